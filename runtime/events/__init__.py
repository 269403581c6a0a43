"""Where events come from, and who receives them."""
