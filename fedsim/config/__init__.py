"""Experiments as typed objects: the schema, the YAML around it, and the engine's settings."""
