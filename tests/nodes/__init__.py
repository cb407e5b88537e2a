"""Real engine nodes for the tests; `python -m tests.nodes` starts and stops them by hand."""
