"""Mutators: seeded ways to break content, one kind of content a file."""
