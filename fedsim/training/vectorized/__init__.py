"""Training of many small participants at once: a fast path of the SGD loop."""
