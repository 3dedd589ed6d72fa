"""Local training: objectives, optimisers, and the loops that participants run."""
