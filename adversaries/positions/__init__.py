"""Adversaries in the server's and in a participant's position, one per file."""
