"""Engines, which deliver Flower messages between the server and the participants."""
