"""`python -m stair_search.cli`."""

from stair_search.cli import main

main(prog_name="stair-search")
