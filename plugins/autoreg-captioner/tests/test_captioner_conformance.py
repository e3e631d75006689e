"""The captioner behaves as transformers' own architectures do."""

from autoreg.pytest_plugin import conformance

test_conformance = conformance("captioner")
