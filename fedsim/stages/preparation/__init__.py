"""What every stage starts from, and all that is checked before round 1."""
