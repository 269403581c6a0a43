"""One request out, one answer back, through the guard."""
