"""What this installation knows: settings, connectors, values of connections."""
