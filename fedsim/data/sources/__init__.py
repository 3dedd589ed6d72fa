"""Data sources, one per file, which find, decode and return all records of a data set."""
