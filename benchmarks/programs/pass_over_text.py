"""The least that any discovery can do: read each entry_points.txt, parse nothing, know no version."""

import importlib.metadata

found = sum("[autoreg]" in (each.read_text("entry_points.txt") or "") for each in importlib.metadata.distributions())
print(found, "model types")
