"""Scores that need no training, or hardly any: the baselines of every report, one a file."""
