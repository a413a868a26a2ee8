"""`reduce batch`: many nights."""

from __future__ import annotations

import sys
from collections.abc import Sequence
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
from potpyri_like.instruments import Instrument
from potpyri_like.options import OptionValue
from potpyri_like.products import aligned, plural
from potpyri_like.run.batch import Outcome, nights_in, run_batch
from potpyri_like.run.memory import Standing
from potpyri_like.run.settings import user_options
from potpyri_like.run.workers import workers

__all__ = []

_WORST_FIRST = (NOTHING_REDUCED, WRONG_COMMAND, SOMETHING_MISSING, DOUBTFUL)


@click.command(
    "batch", cls=WithRunParameters, short_help="Reduce many nights on one pool of workers, or one cluster."
)
@click.argument("nights", nargs=-1, required=True, metavar="NIGHT...")
@click.option("--instrument", metavar="NAME", help="The instrument of all nights for which no file names it.")
@click.option("--out", type=PATH, metavar="DIR", help="Write to DIR/NAME-OF-NIGHT instead of NIGHT/red.")
@click.pass_context
def batch(
    ctx: click.Context,
    nights: tuple[str, ...],
    instrument: str | None,
    out: Path | None,
    **given: OptionValue,
) -> None:
    """Reduce many nights, and end with a table of what became of each.

    NIGHT is a folder, or a file that names nights, one in a line: NIGHT or INSTRUMENT NIGHT. The instrument
    is the one named, else that of an earlier run, else the one that understands the headers. Each night's
    reduce.toml holds for it. The exit status is that of the worst night: 1 before 2, 3 and 4.
    """
    registry, (flags, options) = registry_of(ctx), split_flags(given)
    entries = [replace(e, instrument=e.instrument or instrument or "") for e in nights_in(nights)]
    for name in {entry.instrument for entry in entries} - {""}:
        known_instrument(registry, name)
    own = user_options(options)
    outcomes: list[Outcome] = []
    with (
        interruptible(plain=flags.verbose, tell=lambda: say(_batch_table(outcomes))) as progress,
        workers(own.jobs, own.scheduler, most=sys.maxsize) as executor,
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

        for outcome in run_batch(entries, registry, reduce, out=out):
            outcomes.append(outcome)
            if not outcome.frames:
                progress.say(f"{outcome.night}: {outcome.word}")
    say_and_exit(_batch_table(outcomes), _worst({outcome.status for outcome in outcomes}))


def _batch_table(outcomes: Sequence[Outcome]) -> list[str]:
    """What became of each night, in straight columns."""
    rows = [
        [
            str(o.night),
            o.instrument,
            f"{o.measured} of {plural(o.frames, 'frame')}" if o.frames else "",
            o.word,
        ]
        for o in outcomes
    ]
    return aligned(rows)


def _worst(statuses: set[int]) -> int:
    """The exit status of several nights: that of the worst of them."""
    return next((status for status in _WORST_FIRST if status in statuses), ALL_IS_WELL)
