"""Figures of the documentation, each from a command; speed as a ratio within one run."""
