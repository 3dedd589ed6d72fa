"""What an adversary saw, and how inference reads it."""
