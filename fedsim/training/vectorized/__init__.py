"""Many small participants trained as one: a fast path of the SGD loop, never a second truth."""
