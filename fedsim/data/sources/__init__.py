"""Data sources, one file each: whatever finds, decodes and returns all records of a data set."""
