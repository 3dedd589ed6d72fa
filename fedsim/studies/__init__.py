"""Studies: a grid over an experiment, run once, with a table or a figure at the end."""
