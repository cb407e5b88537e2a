"""Tests of the house itself: packaging, arrows, links, files at the root, engine nodes."""
