"""The contract of an adversary: its positions in a federation, what it sees and what it changes."""
