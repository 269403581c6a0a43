"""Documents become a Connector, or every problem in them at once."""
