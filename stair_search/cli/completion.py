"""`stair-search completion`: the script that makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .command import Command, debug_option

EXAMPLES = """
eval "$(stair-search completion bash)"   # in ~/.bashrc
eval "$(stair-search completion zsh)"    # in ~/.zshrc
stair-search completion fish > ~/.config/fish/completions/stair-search.fish
"""


@click.command("completion", cls=Command, examples=EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@debug_option
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands in a shell."""
    script = get_completion_class(shell)
    assert script is not None
    root = ctx.find_root().command
    click.echo(script(root, {}, "stair-search", "_STAIR_SEARCH_COMPLETE").source())
