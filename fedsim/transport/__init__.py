"""Efficient transport of messages: buffers, channels, lazy arrays, serialisation."""
