"""stair-search: photos as weighted vocabulary tokens in the search engine that you already run."""

__version__ = "0.1.0"
