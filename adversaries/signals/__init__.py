"""Scores that need little or no training: the baselines of every report, one per file."""
