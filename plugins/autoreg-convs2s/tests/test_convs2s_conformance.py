"""The architecture behaves as transformers' own do."""

from autoreg.pytest_plugin import conformance

test_conformance = conformance("convs2s")
