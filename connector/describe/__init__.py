"""What a connector offers, for programs and for people."""
