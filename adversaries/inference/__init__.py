"""Attacks that learn or compare, one paper a file, and the features of records that they read."""
