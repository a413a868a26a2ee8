"""Nights: an instrument, what lies in a folder, a synthetic night, a run over one."""

from __future__ import annotations

import warnings
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from potpyri_like.instruments import Instrument
from potpyri_like.interface.results import Run
from potpyri_like.interface.screen import Lines
from potpyri_like.night import Night
from potpyri_like.night import scan as scan_night
from potpyri_like.options import Options, OptionValue
from potpyri_like.run.output import output_of
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.run.progress import Progress, Silent
from potpyri_like.run.recipe import installed
from potpyri_like.run.settings import gather_options
from potpyri_like.testing import NightPlan, Truth, simulate_night

__all__ = ["AnyInstrument", "AnyPath", "instrument", "reduce", "scan", "simulate"]

AnyPath: TypeAlias = str | PathLike[str]
AnyInstrument: TypeAlias = str | Instrument | type[Instrument]


def instrument(which: AnyInstrument) -> Instrument:
    """An instrument by its name, in any letter case, or by its class.

    Raises
    ------
    UnknownInstrument
        None of that name is installed; the message suggests the nearest.
    """
    if isinstance(which, str):
        return installed()[which]
    return which() if isinstance(which, type) else which


def scan(night: AnyPath, which: AnyInstrument) -> Night:
    """The frames of a folder by their headers, what each is, and which are rejected and why; nothing is written.

    What an observer wrote into the night.ecsv of an earlier run is not looked at here; `reduce` obeys it.

    Raises
    ------
    NightError
        The folder does not exist or holds no raw file.
    """
    return scan_night(Path(night), instrument(which))


def simulate(which: AnyInstrument, folder: AnyPath, plan: NightPlan | None = None) -> Truth:
    """Write a night of synthetic raw frames into a folder; what is true of it."""
    return simulate_night(instrument(which), Path(folder), plan or NightPlan())


def reduce(
    night: AnyPath,
    which: AnyInstrument,
    *,
    out: AnyPath | None = None,
    config: AnyPath | None = None,
    redo: bool = False,
    progress: bool | Progress = False,
    options: Options | None = None,
    **more: OptionValue,
) -> Run:
    """Reduce a night as the command `reduce INSTRUMENT NIGHT` does, and write the same products.

    What an earlier run did and still holds is not done again. An interrupt (KeyboardInterrupt, as a notebook's stop
    button raises it) ends the run; what is done is kept.

    Parameters
    ----------
    night : str or Path
    which : str, Instrument or class
    out : str or Path, optional
        Where the products go, instead of `red` in the night.
    config : str or Path, optional
        A file of options, instead of the night's reduce.toml.
    redo : bool
        Forget what earlier runs did.
    progress : bool or Progress
        True: a line for each stage, on standard error.
    options : Options, optional
        Those of them that differ from their defaults are in force, whatever the night's reduce.toml says.
    **more
        Single options, as on the command line, with underscores: ``target_xy="512,480"``, ``jobs=2``.

    Raises
    ------
    UsageError
        An option does not exist or does not fit.
    NightError
        There is nothing to reduce.
    """
    folder, known = Path(night), instrument(which)
    settled, origins = gather_options(
        folder,
        None if config is None else Path(config),
        _given(options) | more,
        say=_warned,
        where="reduce()",
    )
    shown: Progress = Lines() if progress is True else Silent() if progress is False else progress
    goes_to = None if out is None else Path(out)
    report = reduce_night(
        known, folder, out=goes_to, options=settled, origins=origins, redo=redo, progress=shown
    )
    return Run(report, output_of(folder, goes_to).root, known, settled)


def _warned(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=3)


def _given(options: Options | None) -> dict[str, OptionValue]:
    """The options that differ from their defaults, by the names of their fields."""
    if options is None:
        return {}
    values = {item.name: (getattr(options, item.name), item.default) for item in fields(options)}
    return {name: value for name, (value, default) in values.items() if value != default}
