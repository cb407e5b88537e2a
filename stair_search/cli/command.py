"""What every command shares: settings from files as defaults, and `--debug` at its end too."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from . import config, shipped
from .text import printable

F = TypeVar("F", bound=Callable[..., Any])


class Command(click.Command):
    """A leaf command, with examples at the end of its help."""

    def __init__(self, *args: Any, examples: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples.strip().splitlines()

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for line in self.examples:
                formatter.write(f"  {line}\n")
        super().format_epilog(ctx, formatter)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        if parent is not None and parent.find_root().obj:
            name = f"{parent.command_path} {info_name}".split(" ", 1)[1]
            options = [param.name for param in self.params if param.name]
            extra["default_map"] = config.for_command(parent.find_root().obj, name, options)
        return super().make_context(info_name, args, parent, **extra)


class SpreadCommand(Command):
    """Lets one option, `spread`, take all the words that follow it, up to the next option."""

    def __init__(self, *args: Any, spread: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spread = spread

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        taking = ended = False
        for arg in args:
            ended = ended or arg == "--"
            if (arg.startswith("-") and len(arg) > 1) or ended:
                taking = arg == self.spread and not ended
            elif taking and spread[-1] != self.spread:
                spread.append(self.spread)
            spread.append(arg)
        return super().parse_args(ctx, spread)


def utf8(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """The callback of options whose text is sent to an engine: refuses what is no Unicode.

    (Bytes that are no UTF-8 can be in a file's name, and Python gives them as surrogates.)
    """
    for text in value if isinstance(value, tuple) else [value]:
        try:
            (text or "").encode()
        except UnicodeEncodeError:
            raise click.BadParameter(f"{printable(text)} is not UTF-8", ctx, param) from None
    return value


def debugging(ctx: click.Context) -> bool:
    """Whether `--debug` was given, at whatever place, or STAIR_SEARCH_DEBUG is set."""
    return bool(ctx.find_root().meta.get("debug"))


def _set_debug(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not debugging(ctx):
        ctx.find_root().meta["debug"] = True
        # INFO, since clients log whole requests below it
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)


def model_option(help: str) -> Callable[[F], F]:
    """`--model`, with what the command does with it as its help."""
    return click.option(
        "--model",
        envvar="STAIR_SEARCH_MODEL",
        default="starter",
        show_default=True,
        metavar="NAME",
        shell_complete=shipped.completed(shipped.models, "dir"),
        help=help,
    )


text_encoder_option = click.option(
    "--text-encoder",
    type=click.Choice(["static", "neural"]),
    help="How words become tokens: by a table, or by the model's network.  [default: the model's]",
)


debug_option = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    envvar="STAIR_SEARCH_DEBUG",
    callback=_set_debug,
    help="Show tracebacks and the clients' log.",
)
