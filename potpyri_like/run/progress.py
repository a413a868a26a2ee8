"""How far a run is, for whoever waits for it."""

from __future__ import annotations

from typing import Protocol

import click

__all__ = ["Lines", "Progress", "Silent"]


class Progress(Protocol):
    """What watches a run."""

    def begin(self, what: str, total: int) -> None: ...
    def step(self) -> None: ...
    def end(self) -> None: ...
    def say(self, what: str) -> None: ...


class Silent:
    """Watches nothing."""

    def begin(self, what: str, total: int) -> None: ...
    def step(self) -> None: ...
    def end(self) -> None: ...
    def say(self, what: str) -> None: ...


class Lines:
    """A line for each stage, in a pipe."""

    def begin(self, what: str, total: int) -> None:
        click.echo(f"{what}: {total} frame{'s' * (total != 1)}", err=True)

    def step(self) -> None: ...

    def end(self) -> None: ...

    def say(self, what: str) -> None:
        click.echo(what, err=True)
