"""The command line: one command a file, imported only when called.

Results go to stdout; progress, notes and errors to stderr. What a command does lives elsewhere:
here are only its options, the way to the right place, and what people read.
"""

# Relative to the parent, so that a stray `import cli` through the link at the root fails.
from .app import main as main
