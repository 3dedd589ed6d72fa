"""From files of scores to the figures of a run."""
