"""Participants on a Ray cluster."""
