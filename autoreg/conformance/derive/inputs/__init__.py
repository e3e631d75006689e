"""Inputs for any model class: which arguments it needs, how large they are, and what they hold."""
