"""What the verbs of the command line have in common: exit statuses, options of a run, last lines."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import click

from potpyri_like.errors import UnknownInstrument
from potpyri_like.interface import runs
from potpyri_like.interface.runs import (
    STATUS_WORDS,
    Instrument,
    OptionField,
    OptionValue,
    Plugins,
    public_name,
    value_type,
)

__all__ = [
    "ALL_IS_WELL",
    "COMMAND",
    "CONTEXT",
    "DIFFERS",
    "DOUBTFUL",
    "NOTHING_REDUCED",
    "PATH",
    "SOMETHING_MISSING",
    "STATUSES",
    "TOOLS",
    "UNCHANGED",
    "WRONG_COMMAND",
    "Finite",
    "Flags",
    "WithOptions",
    "WithOptionsOfARunAgain",
    "WithRunParameters",
    "known_instrument",
    "registry_of",
    "run_parameters",
    "say",
    "say_and_exit",
    "split_flags",
    "warn",
]

TOOLS = (
    "batch",
    "explain",
    "inject",
    "instruments",
    "library",
    "simulate",
    "verify",
    "watch",
)  # a file each, beside this one
ALL_IS_WELL, NOTHING_REDUCED, WRONG_COMMAND, SOMETHING_MISSING, DOUBTFUL = 0, 1, 2, 3, 4
STATUSES = (
    "Exit status: 0 all is well; 1 nothing could be reduced; 2 the command line or reduce.toml is wrong; 3 a"
    " requested or standard product is missing; 4 a result is doubtful; 130 interrupted."
)
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
PATH = click.Path(path_type=Path)
DIFFERS = {3: "something differs from what it should be"}
COMMAND = "potpyri_like.command"  # where click keeps the command as it was given
UNCHANGED = "stopped; nothing was changed"
_OF_A_RUN_AGAIN = ("metric", "recipe", "jobs", "scheduler", "online")  # what run.json is not asked for


class Finite(click.FloatRange):
    """A number within a range, and neither NaN nor infinite."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        return number if math.isfinite(number) else self.fail(f"{value} is not a finite number.", param, ctx)


def registry_of(ctx: click.Context) -> Plugins:
    """The installed instruments, loaded once per call."""
    root = ctx.find_root()
    if not isinstance(root.obj, Plugins):
        root.obj = runs.instruments(TOOLS)
    return root.obj


def known_instrument(registry: Plugins, name: str) -> Instrument:
    """The instrument of that name; a wrong name is a wrong command line."""
    try:
        return registry[name]
    except UnknownInstrument as error:
        first = " The instrument comes first: reduce INSTRUMENT NIGHT." if Path(name).exists() else ""
        raise click.UsageError(f"{error}{first}") from error


def _option_parameters(only: Collection[str] = ()) -> list[click.Parameter]:
    """The options of a run, as declared in `Options`; None means that the command line does not say."""
    return [_option_parameter(item) for item in runs.declared_options() if not only or item.name in only]


def run_parameters() -> list[click.Parameter]:
    """The same, and the flags of `Flags`."""
    return [
        *_option_parameters(),
        click.Option(
            ["--redo"], is_flag=True, help="Ignore what earlier runs computed: compute everything again."
        ),
        click.Option(["--timings"], is_flag=True, help="Show at the end where the time went."),
        click.Option(["--verbose", "-v"], is_flag=True, help="Show the log on the screen."),
    ]


class WithRunParameters(click.Command):
    """A command with the parameters of a run besides its own; which there are, the plugins say when it is called."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*run_parameters(), *super().get_params(ctx)]


class WithOptions(click.Command):
    """The same, without the flags of `Flags`."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*_option_parameters(), *super().get_params(ctx)]


class WithOptionsOfARunAgain(click.Command):
    """A command with those options that run.json is not asked for."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*_option_parameters(_OF_A_RUN_AGAIN), *super().get_params(ctx)]


def _option_parameter(item: OptionField) -> click.Option:
    """One of them."""
    choices, names = item.metadata["choices"], ["--" + public_name(item).replace("_", "-"), item.name]
    if value_type(item) is bool:
        return click.Option(names, is_flag=True, default=None, help=item.metadata["help"])
    default = f"  [default: {item.default}]" if item.default is not None else ""
    return click.Option(
        names,
        type=click.Choice(choices, case_sensitive=False) if choices else value_type(item),
        default=None,
        metavar=item.metadata["metavar"] or None,
        help=item.metadata["help"] + default,
    )


@dataclass(frozen=True)
class Flags:
    """What only the command line says of a run."""

    redo: bool = False
    timings: bool = False
    verbose: bool = False


def split_flags(given: dict[str, OptionValue]) -> tuple[Flags, dict[str, OptionValue]]:
    """What click hands over, as flags and as options by the names of their fields."""
    flags = {item.name: bool(given[item.name]) for item in fields(Flags)}
    return Flags(**flags), {name: value for name, value in given.items() if name not in flags}


def say_and_exit(lines: Sequence[str], status: int, words: Mapping[int, str] = STATUS_WORDS) -> None:
    """The last lines on the screen, and the exit status, which the last of them names where it is not 0."""
    say(lines)
    if status != ALL_IS_WELL:
        click.echo(f"exit status {status}: {words[status]} (see above)")
    raise SystemExit(status)


def warn(sentence: str) -> None:
    """Show a sentence on the screen, apart from what the command prints."""
    click.echo(sentence, err=True)


def say(lines: Sequence[str]) -> None:
    """Print lines."""
    for line in lines:
        click.echo(line)
