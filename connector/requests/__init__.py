"""The way out: inputs and the values of a connection become a Request."""
