"""Faults at every file event of a save: a tracer, and a sweep with it."""
