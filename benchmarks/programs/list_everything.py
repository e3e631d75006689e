"""List the model types, where every installed plugin is imported at start."""

from everything import register_everything

print("\n".join(register_everything()))
