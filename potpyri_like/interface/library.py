"""The user's library of masters: nights are added to it, and it is shown with what is wrong in it."""

from __future__ import annotations

from pathlib import Path

from potpyri_like.interface.nights import AnyPath
from potpyri_like.run.library import Added, Shown, add_night, added_lines, library_lines, show_library

__all__ = ["Added", "Shown", "add_to_library", "added_lines", "library_lines", "masters_in_library"]


def add_to_library(night: AnyPath, *, out: AnyPath | None = None) -> list[Added]:
    """Add the masters of a night that was reduced to the user's library; what became of each.

    Parameters
    ----------
    night : path
    out : path, optional
        Where its products are, if not in NIGHT/red.

    Raises
    ------
    NightError
        There is no run of that night, or it made no master.
    ProductError
        The library cannot be written.
    """
    return add_night(Path(night), out=None if out is None else Path(out))


def masters_in_library(instrument: str = "") -> list[Shown]:
    """Return what the user's library holds, of one instrument or of all, and what is wrong with each.

    Raises
    ------
    ProductError
        An index cannot be read.
    """
    return show_library(instrument.upper())
