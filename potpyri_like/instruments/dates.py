"""Constants that changed: the dates between which each value holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TypeAlias

import astropy.units as u
import numpy as np
from astropy.time import Time

from potpyri_like.errors import DeclarationError, HeaderError
from potpyri_like.instruments.keywords import Keyword

__all__ = ["Constant", "Dated", "check_constant", "check_unit", "periods", "value_at", "values_of"]


@dataclass(frozen=True)
class Dated:
    """The value of a constant between two dates; a constant that changed is a tuple of them.

    Attributes
    ----------
    value : Quantity or Keyword
    since, until : str or None
        UTC, as in "2020-07-29" or "2020-07-29T18:00": it holds from the first moment on, and ends before the second.
        None: since always; until now and after.

    Raises
    ------
    DeclarationError
        There is no such date, none is given, or the dates are in the wrong order.
    """

    value: u.Quantity | Keyword
    since: str | None = None
    until: str | None = None

    def __post_init__(self) -> None:
        if self.since is None and self.until is None:
            raise DeclarationError(
                f"Dated({self.value}): give since or until; a constant that always holds stands alone"
            )
        if not self.first < self.end:
            raise DeclarationError(
                f"Dated({self.value}): since {self.since} is not before until {self.until}"
            )

    @property
    def first(self) -> float:
        """MJD of its first moment; -inf where it always held."""
        return -np.inf if self.since is None else _mjd(self.since)

    @property
    def end(self) -> float:
        """MJD of the moment at which it ends; inf where it still holds."""
        return np.inf if self.until is None else _mjd(self.until)

    @property
    def dates(self) -> str:
        """The dates in words."""
        since = "" if self.since is None else f"since {self.since}"
        return f"{since} until {self.until}".strip() if self.until is not None else since


Constant: TypeAlias = u.Quantity | Keyword | Dated | tuple[Dated, ...]


@cache
def _mjd(date: str) -> float:
    try:
        return float(Time(date, scale="utc").mjd)
    except (TypeError, ValueError) as error:
        raise DeclarationError(
            f"Dated: {date!r} is not a date; give UTC, as in '2020-07-29' or '2020-07-29T18:00'"
        ) from error


def periods(constant: Constant | None) -> tuple[Dated, ...]:
    """The values of a constant that changed, each with its dates; () of one that always holds."""
    if isinstance(constant, Dated):
        return (constant,)
    return constant if isinstance(constant, tuple) else ()


def values_of(constant: Constant) -> tuple[u.Quantity | Keyword, ...]:
    """Every value that a constant has, or had."""
    return tuple(period.value for period in periods(constant)) or (constant,)


def value_at(
    constant: Constant | None, time: Time | None, *, name: str, frame: str
) -> u.Quantity | Keyword | None:
    """The value of a constant at a time; a plain constant holds always.

    Parameters
    ----------
    constant : Quantity, Keyword, Dated, tuple of Dated, or None
    time : Time or None
        Mid-exposure; None where the frame has none.
    name : str
        What the constant is, as in "gain of camera 'main'".
    frame : str
        The file's name, for the message.

    Raises
    ------
    HeaderError
        The constant changed, and the frame has no date, or one of which no value is declared.
    """
    declared = periods(constant)
    if not declared:
        return constant
    known = "; ".join(period.dates for period in declared)
    if time is None:
        raise HeaderError(
            f"{frame}: no time in its header, and {name} is declared by date ({known}); the frame is rejected"
        )
    for period in declared:
        if period.first <= time.utc.mjd < period.end:
            return period.value
    raise HeaderError(
        f"{frame}: no {name} is declared for {time.utc.isot[:19]} ({known}); the frame is rejected"
    )


def check_constant(where: str, name: str, constant: object, unit: u.UnitBase, *, card: bool = False) -> None:
    """Raise a DeclarationError unless each value has the unit, and no two of them hold at once."""
    if not isinstance(constant, Dated | tuple):
        return check_unit(where, name, constant, unit, card=card)
    values = constant if isinstance(constant, tuple) else (constant,)
    if not values or not all(isinstance(value, Dated) for value in values):
        raise DeclarationError(
            f"{where}: {name} = {constant!r}; give one constant, or Dated(..., since='2020-07-29') for each period"
        )
    for value in values:
        check_unit(where, name, value.value, unit, card=card)
    return _check_apart(where, name, values)


def _check_apart(where: str, name: str, values: Iterable[Dated]) -> None:
    for one, other in pairwise(sorted(values, key=lambda value: value.first)):
        if other.first < one.end:
            raise DeclarationError(
                f"{where}: two values of {name} hold at once: {one.value} {one.dates}, {other.value} {other.dates}"
            )


def check_unit(where: str, name: str, value: object, unit: u.UnitBase, *, card: bool = False) -> None:
    """Raise a DeclarationError unless this is a quantity of that unit or, where allowed, a card of it."""
    if isinstance(value, Keyword) and not card:
        raise DeclarationError(f"{where}: {name} = {value!r} is a card; give a number in {unit}")
    if isinstance(value, Keyword) and value.optional:
        raise DeclarationError(
            f"{where}: {name} = {value!r} is optional; a frame without {name} has no errors"
        )
    found = value.unit if isinstance(value, Keyword | u.Quantity) else None
    if found is None or not found.is_equivalent(unit):
        got = "no unit" if found is None else f"the unit {found}"
        shown = str(value) if isinstance(value, u.Quantity) else repr(value)
        raise DeclarationError(f"{where}: {name} = {shown} has {got}; give it in {unit}")
