"""A call, from its inputs to its result."""
