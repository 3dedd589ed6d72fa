"""Dishonest positions in a federation: one file each."""
