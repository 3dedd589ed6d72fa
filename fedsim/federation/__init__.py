"""The federation as a Flower app: server, participants, rounds, strategies and checkpoints."""
