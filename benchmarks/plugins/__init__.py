"""The conformance suite over all installed plugins, and the page that tells of it."""
