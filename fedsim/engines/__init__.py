"""Engines: what carries Flower messages between the server and the participants."""
