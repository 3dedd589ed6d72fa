"""The multi-snapshot membership-inference attack, from per-record gradients to scores."""
