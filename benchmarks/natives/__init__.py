"""The conformance suite over transformers' own architectures: what it can do with classes it never saw.

Run `python -m benchmarks.natives` from the repository; it goes on where it stopped.
"""
