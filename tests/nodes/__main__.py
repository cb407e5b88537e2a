"""`python -m tests.nodes start|stop|url|fetch [NAME…]`: the engines of `make engines`."""

import argparse
import sys
import time

from tests.nodes.nodes import KEPT, NODES, URL_VARIABLES, NodeError, fetch, keep, kept, release


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.nodes", description=__doc__)
    parser.add_argument("verb", choices=["start", "stop", "url", "fetch"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NODES)}")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in NODES]:
        parser.error(f"no node {', '.join(unknown)}; there are {', '.join(NODES)}")
    default = list(NODES) if given.verb == "stop" else ["opensearch", "elasticsearch7"]
    try:
        for name in given.names or default:
            run(given.verb, name)
    except NodeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if given.verb == "start":
        print(f"They stay until `make engines-stop`; data and logs are in {KEPT}", file=sys.stderr)
    return 0


def run(verb: str, name: str) -> None:
    recipe, began = NODES[name], time.monotonic()
    match verb:
        case "fetch":
            home = fetch(recipe)
            print(f"{name} {recipe.version} in {home}, {time.monotonic() - began:.0f} s")
        case "start":
            node = keep(recipe)
            print(f"{URL_VARIABLES[name]}={node.url}", flush=True)
            took = f"{time.monotonic() - began:.0f} s"
            print(f"  {name} {node.version}, pid {node.pid}, {took}", file=sys.stderr)
        case "stop":
            if release(name):
                print(f"stopped {name}")
        case "url":
            if found := kept(recipe):
                print(found.url)


if __name__ == "__main__":
    sys.exit(main())
