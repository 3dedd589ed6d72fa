"""The stages of an experiment, with files between them: simulate, attack, report."""
