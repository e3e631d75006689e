"""A model hub on loopback and the checkpoints it serves."""
