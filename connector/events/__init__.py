"""What happens at a provider: verified, mapped, and what follows from it."""
