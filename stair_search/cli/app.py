"""The `stair-search` command itself: its sub-commands, and how every run ends."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import traceback
import warnings
from typing import Any, NoReturn

import click

from .. import __version__
from ..errors import StairError, UsageError
from .command import debug_option, debugging
from .config import settings
from .lazy import LazyGroup
from .output import note

COMMANDS = (
    "ingest",
    "job",
    "delete",
    "search",
    "explain",
    "encode",
    "index",
    "doctor",
    "train",
    "adapt",
    "models",
    "evaluate",
    "export",
    "demo",
    "completion",
)
INTERRUPTED = 130  # as a shell reports a process that SIGINT ended
READER_GONE = 141  # as a shell reports a process that SIGPIPE ended
BUG = 70  # EX_SOFTWARE
EVALUATION = ("matplotlib", "scipy", "sklearn", "textblob")
TRAIN = ("torch", "transformers", "timm", "accelerate", "safetensors", "tokenizers", "tensorboard")

ENDING = """\
Settings come from an option, else the environment (STAIR_SEARCH_INDEX, STAIR_SEARCH_SEARCH_SIZE and
the like), else ./stair-search.toml, else stair-search.toml in your configuration folder.

Secrets come from the environment alone: ES_API_KEY, or ES_USERNAME and ES_PASSWORD, or
OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD.

\b
Exit codes:
  0    done
  1    finished, with documents or photos that failed
  2    usage: an option, a file or a field that cannot be
  3    the destination could not be reached or used
  4    model and index do not fit, or a model cannot be loaded
  70   a bug in stair-search
  130  interrupted
  141  what read the output stopped reading
"""


class Main(LazyGroup):
    """Turns every way in which a command can end into one line and an exit code."""

    def main(self, *args: Any, **extra: Any) -> Any:
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:  # a daemon may have closed it
                setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        if not extra.get("standalone_mode", True):
            return super().main(*args, **extra)
        try:
            code = super().main(*args, **extra | {"standalone_mode": False})
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except click.Abort:  # interrupted before or after `invoke`
            code = INTERRUPTED
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except (click.ClickException, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            # Python flushes stdout once more at its end: give it a place to go.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(READER_GONE)
        except Exception as error:
            if debugging(ctx):
                traceback.print_exc()
            _fail(ctx, error)


def _fail(ctx: click.Context, error: Exception) -> NoReturn:
    pointed = getattr(error, "pointed", "")  # of a question's text, with the mistake marked
    match error:
        case StairError():
            message, code = str(error).removesuffix(pointed), error.exit_code
        case ModuleNotFoundError(name="PIL" | "onnxruntime" as name):
            message = f"{name} is not installed: pip install 'stair-search[starter]'"
            code = UsageError.exit_code
        case ModuleNotFoundError(name=str(name)) if name.partition(".")[0] in EVALUATION:
            message = f"{name} is not installed: pip install 'stair-search[evaluation]'"
            code = UsageError.exit_code
        case ModuleNotFoundError(name=str(name)) if name.partition(".")[0] in TRAIN:
            message = f"{name} is not installed: pip install 'stair-search[train]'"
            code = UsageError.exit_code
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            message, code = f"{place}{error.strerror or error}", 3
        case _:
            code = BUG
            message = (
                f"this is a bug in stair-search ({type(error).__name__}: {error}); "
                "--debug shows where it is: please report that"
            )
    note(f"Error: {message}")
    if pointed:
        click.echo(pointed, err=True)
    ctx.exit(code)


@click.group(
    cls=Main,
    package=__package__,
    names=COMMANDS,
    epilog=ENDING,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "STAIR_SEARCH",
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name="stair-search")
@debug_option
@click.pass_context
def main(ctx: click.Context) -> None:
    """Photos become weighted words in the search engine that you already run; each hit says why.

    First `stair-search ingest ~/Pictures`, then `stair-search search "dog on the beach"`.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8
    if not debugging(ctx):
        # The commands say in a line of their own what went wrong.
        logging.getLogger().addHandler(logging.NullHandler())
        warnings.simplefilter("ignore")
    ctx.obj = settings(COMMANDS)
