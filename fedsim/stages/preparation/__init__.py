"""The setup that every stage starts from, and all checks before round 1."""
