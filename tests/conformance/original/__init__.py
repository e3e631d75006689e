"""A small architecture that is correct in everything; each broken twin differs from it in one thing."""
