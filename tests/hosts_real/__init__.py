"""Libraries that know nothing of autoreg, unmodified, on the plugins' real checkpoints."""
