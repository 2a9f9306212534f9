"""What the bytes mean: sans-I/O state machines over specs."""
