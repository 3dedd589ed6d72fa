"""What a federation leaves on the disk while its rounds run."""
