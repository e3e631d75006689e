"""The tests of autoreg."""
