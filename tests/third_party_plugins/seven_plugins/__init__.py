"""Seven plugins of a third party, one of each kind, each in a file of its own."""
