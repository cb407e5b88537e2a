"""How far a run is, on stderr: a line that is redrawn on a terminal, one every 10 s elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from .output import note
from .text import cut, terminal_width

if TYPE_CHECKING:
    from ..ingest import Progress

EVERY = 10.0
START = "\r\x1b[K"  # of the line, which is emptied


class ProgressLine:
    """`with ProgressLine() as line: line.tell("3 photos")`; at the end the line is gone."""

    def __init__(
        self, terminal: bool | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.terminal = sys.stderr.isatty() if terminal is None else terminal
        self.clock = clock
        self.last = clock()
        self.drawn = False

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def tell(self, text: str) -> None:
        """Shows how far it is."""
        if self.terminal:
            line = cut(text, terminal_width() - 1)
            click.echo(f"{START}{line}", err=True, nl=False, color=True)
            self.drawn = True
        elif self.clock() - self.last >= EVERY:
            self.last = self.clock()
            note(text)

    def clear(self) -> None:
        """Takes the line away, so that what follows starts on a clean one."""
        if self.drawn:
            click.echo(START, err=True, nl=False, color=True)
            self.drawn = False

    def of_ingest(self, progress: Progress) -> None:
        """The callback of `ingest.run`."""
        if progress.notice is None:
            self.tell(describe(progress))
        else:
            self.clear()
            note(progress.notice)


def duration(seconds: float) -> str:
    """A time to wait.

    >>> duration(40), duration(600), duration(90_000)
    ('about 40 s', 'about 10 min', 'about 25 h')
    """
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"about {seconds / length:.0f} {unit}"
    return f"about {seconds:.0f} s"


def describe(progress: Progress) -> str:
    """One line for people."""
    rate = progress.indexed / progress.seconds if progress.seconds else 0.0
    parts = [
        f"{progress.seconds:.0f} s",
        f"{progress.seen} {f'of about {progress.total} ' if progress.total else ''}photos seen",
        *([] if progress.seconds_left is None else [f"{duration(progress.seconds_left)} left"]),
        f"{progress.indexed} indexed ({rate:.1f}/s)",
        f"{progress.unchanged} unchanged",
        f"{progress.failed} failed",
    ]
    if progress.bottleneck:
        parts.append(progress.bottleneck)
    return ", ".join(parts)
