"""`reduce batch`: many nights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from potpyri_like.commands.console import interruptible
from potpyri_like.commands.reduce import reduce_one
from potpyri_like.commands.shared import (
    ALL_IS_WELL,
    DOUBTFUL,
    NOTHING_REDUCED,
    PATH,
    SOMETHING_MISSING,
    WRONG_COMMAND,
    WithRunParameters,
    known_instrument,
    registry_of,
    say,
    say_and_exit,
    split_flags,
)
from potpyri_like.interface import runs
from potpyri_like.interface.runs import Instrument, OptionValue, Outcome, Standing, outcome_lines

__all__: list[str] = []

_WORST_FIRST = (NOTHING_REDUCED, WRONG_COMMAND, SOMETHING_MISSING, DOUBTFUL)


@click.command(
    "batch", cls=WithRunParameters, short_help="Reduce many nights on one pool of workers, or one cluster."
)
@click.argument("nights", nargs=-1, required=True, metavar="NIGHT...")
@click.option(
    "--instrument", metavar="NAME", help="The instrument for every night whose list does not name one."
)
@click.option("--out", type=PATH, metavar="DIR", help="Write to DIR/NAME-OF-NIGHT instead of NIGHT/red.")
@click.pass_context
def batch(
    ctx: click.Context,
    nights: tuple[str, ...],
    instrument: str | None,
    out: Path | None,
    **given: OptionValue,
) -> None:
    """Reduce many nights, and end with a table of the results.

    NIGHT is a folder, or a file that names nights, one per line: NIGHT or INSTRUMENT NIGHT. The instrument
    is the one named, otherwise that of an earlier run, otherwise the one whose declaration fits the headers.
    Each night's own reduce.toml applies to it. The exit status is that of the worst night: 1 before 2, 3 and 4.
    """
    registry, (flags, options) = registry_of(ctx), split_flags(given)
    entries = [replace(e, instrument=e.instrument or instrument or "") for e in runs.nights_in(nights)]
    for name in {entry.instrument for entry in entries} - {""}:
        known_instrument(registry, name)
    outcomes: list[Outcome] = []
    with (
        interruptible(plain=flags.verbose, tell=lambda: say(outcome_lines(outcomes))) as progress,
        runs.workers_for(options) as executor,
    ):

        def reduce(known: Instrument, night: Path, output: Path | None) -> Standing:
            progress.say(f"night {len(outcomes) + 1} of {len(entries)}: {known.name} {night}")
            done = reduce_one(
                known,
                night,
                out=output,
                config=None,
                flags=flags,
                given=options,
                progress=progress,
                executor=executor,
            )
            for line in () if done.is_old and not flags.timings else done.lines:
                progress.say(line)
            return done

        for outcome in runs.batch(entries, reduce, out=out, registry=registry):
            outcomes.append(outcome)
            if not outcome.frames:
                progress.say(f"{outcome.night}: {outcome.word}")
    say_and_exit(outcome_lines(outcomes), _worst({outcome.status for outcome in outcomes}))


def _worst(statuses: set[int]) -> int:
    """The exit status of several nights: that of the worst of them."""
    return next((status for status in _WORST_FIRST if status in statuses), ALL_IS_WELL)
