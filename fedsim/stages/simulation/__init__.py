"""Files that a federation writes while its rounds run."""
