"""What most plugin systems do at start: import every installed plugin and let it register itself.

So do `pluggy.load_setuptools_entrypoints`, vLLM's general plugins and many an `entry_points()` loop.
"""

import importlib.metadata


def register_everything() -> list[str]:
    """Load each entry point of the group and call it; return the names."""
    found = importlib.metadata.entry_points(group="benchmarks.registrars")
    for entry_point in found:
        entry_point.load()()
    return [entry_point.name for entry_point in found]
