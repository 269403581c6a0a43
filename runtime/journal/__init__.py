"""What happened and what is to be done, kept durably."""
