"""What a definition is once it is read: frozen values."""
