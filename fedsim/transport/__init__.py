"""What makes messages cheap: buffers, channels, lazy arrays, serialisation."""
