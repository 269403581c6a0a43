"""The way in: a Response becomes a Result."""
