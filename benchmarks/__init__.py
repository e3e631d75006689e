"""What autoreg costs: whole processes timed side by side, and warm loads in one process.

Run `python -m benchmarks` from the repository; README.md says what each row means.
"""
