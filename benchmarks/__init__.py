"""What the product costs, measured against hand-written code and against peers in one run. Not part of the wheel."""
