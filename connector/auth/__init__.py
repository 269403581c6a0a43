"""How a request shows who is asking: methods, OAuth 2.0 grants and their tokens."""
