"""A bare pass over the installed distributions: name, version and entry points through importlib.metadata.

The baseline of `autoreg list`. Each METADATA is parsed once (`distribution.name` and `.version` would do
it twice), and one line is printed for each model type, as `autoreg list` does.
"""

import importlib.metadata

for distribution in importlib.metadata.distributions():
    metadata = distribution.metadata
    name, version = metadata["Name"], metadata["Version"]
    for entry_point in distribution.entry_points:
        if entry_point.group == "autoreg":
            print(entry_point.name, name, version, sep="\t")
