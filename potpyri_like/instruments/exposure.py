"""How long the shutter was open, as the card that an instrument declares and the cards beside it have it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from potpyri_like.errors import HeaderError
from potpyri_like.frame import FrameKind
from potpyri_like.instruments.former import once_a_method
from potpyri_like.instruments.keywords import Compound, Keyword, Value, read_keyword
from potpyri_like.store.header import CardValue, RawHeader, as_number, comment_of

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument

__all__ = [
    "CYCLE",
    "RELATIVE_SLACK",
    "Duration",
    "cycle_of",
    "exposure_of",
    "impossible",
    "open_shutter",
    "positive",
]

_COUNTS = ("COADDS", "NCOADDS", "EXPCOAD", "STACKCNT", "NCOMBINE", "SNAPSHOT")
_IN_MS = re.compile(r"\[ms\]|\(ms\)|\bin ms\b|^\s*ms\s*$|milli-?sec", re.IGNORECASE)
_IN_S = re.compile(r"\[s\]|\(s\)|\bsec(ond)?s?\b", re.IGNORECASE)
RELATIVE_SLACK = 0.02  # of the exposure
_LONGEST = 86400  # s
CYCLE = "KCT"  # kinetic cycle time, s, as Andor's cameras write it


@dataclass(frozen=True)
class Duration:
    """An exposure in seconds, None where no card gives one, and what is to be said of it."""

    seconds: float | None
    note: str = ""


def open_shutter(header: RawHeader, keyword: Keyword | Compound) -> Duration:
    """The exposure by a card declared in seconds, as its comment and the other cards of that name bear it out.

    A comment says milliseconds; a thousand times another card is milliseconds, too; whatever else differs is a doubt.
    """
    if not isinstance(keyword, Keyword) or keyword.unit != u.s:
        return Duration(None)
    names = dict.fromkeys(
        (*keyword.cards, *({"EXPTIME", "EXPOSURE"} if {"EXPTIME", "EXPOSURE"} & {*keyword.cards} else ()))
    )
    known = {card: value for card in names if (value := positive(header.get(card))) is not None}
    first = next((card for card in keyword.cards if card in header), None)
    if first not in known:
        return Duration(None)
    seconds = {
        card: value / 1000 if _in_milliseconds(header, card) else value for card, value in known.items()
    }
    here = seconds[first]
    if here != known[first]:
        return Duration(here, f"exposure: {first} = {known[first]:g} is in milliseconds, as its comment says")
    for card, other in seconds.items():
        if abs(here / other / 1000 - 1) < RELATIVE_SLACK:
            return Duration(
                other, f"exposure: {first} = {here:g} is in milliseconds, as {card} = {other:g} says"
            )
    said = [f"{card} = {value:g}" for card, value in known.items()]
    if any(_differ(here, other, header) for other in seconds.values()):
        return Duration(
            here, f"time: {' and '.join(said)} contradict each other; {here:g} s is taken as the exposure"
        )
    written = None if first is None else header[first]
    if isinstance(written, str) and "," in written:
        return Duration(here, f"exposure: {first} = {written!r} is read as {here:g} s")
    return Duration(here)


def cycle_of(header: RawHeader, exposure: u.Quantity) -> u.Quantity:
    """The time from one plane of a cube to the next: the camera's kinetic cycle where a card gives it, in seconds.

    Else the exposure: planes follow each other without a pause.
    """
    seconds = positive(header.get(CYCLE))
    return exposure if seconds is None or not seconds * u.s >= exposure else seconds * u.s


def _is_possible(exposure: Value) -> bool:
    """Whether a value is an exposure that a camera can take."""
    return isinstance(exposure, u.Quantity) and bool(0 <= exposure.to_value(u.s) < _LONGEST)


def impossible(header: RawHeader, keyword: Keyword | Compound) -> str:
    """A note on a card without a possible exposure, of a frame that needs none; "" where it is well, or absent."""
    if not isinstance(keyword, Keyword):
        return ""
    card = next((card for card in keyword.cards if card in header), None)
    value = None if card is None else header[card]
    try:
        good = value is None or 0 <= as_number(value) < _LONGEST
    except (TypeError, ValueError):
        good = False
    return "" if good else f"exposure: {card} = {value} is not an exposure, and none is needed"


def _in_milliseconds(header: RawHeader, card: str) -> bool:
    """Whether the comment of a card says so."""
    comment = comment_of(header, card)
    return bool(_IN_MS.search(comment)) and not _IN_S.search(comment)


def positive(value: CardValue | None) -> float | None:
    """A number above 0; None for what is none."""
    try:
        number = np.nan if value is None else as_number(value)
    except (TypeError, ValueError):
        return None
    return number if number > 0 and np.isfinite(number) else None


def _differ(one: float, other: float, header: RawHeader) -> bool:
    """Whether two exposures are not one: not within 2 %, in milliseconds, or that of a sum and of its parts."""
    low, high = sorted((one, other))
    counts = (
        1.0,
        1000.0,
        *(number for card in _COUNTS if (number := positive(header.get(card))) is not None),
    )
    return not any(abs(high - low * count) <= 0.05 + RELATIVE_SLACK * high for count in counts)


@once_a_method("exposure_of")
def exposure_of(instrument: Instrument, header: RawHeader, kind: FrameKind) -> u.Quantity:
    """The open-shutter time; 0 for a bias, NaN for a flat, whose headers lack it or have one that cannot be.

    Raises
    ------
    HeaderError
        The header of another frame lacks it, or it cannot be.
    """
    may_lack = {FrameKind.BIAS: 0 * u.s, FrameKind.FLAT: np.nan * u.s, FrameKind.OTHER: np.nan * u.s}
    keyword = instrument.keywords.exposure
    seconds = open_shutter(header, keyword).seconds
    exposure = (
        read_keyword(instrument, "exposure", header, optional=kind in may_lack)
        if seconds is None
        else seconds * u.s
    )
    if kind in may_lack and not _is_possible(exposure):
        return may_lack[kind]
    cards = " and ".join(keyword.cards)
    if not isinstance(exposure, u.Quantity) or not _is_possible(exposure):
        raise HeaderError(
            f"{header.path.name}: an exposure of {exposure} ({cards}) is invalid; the frame is rejected"
        )
    if kind is FrameKind.SCIENCE and exposure == 0:
        raise HeaderError(
            f"{header.path.name}: an exposure of 0 s ({cards}) of a science frame is invalid; the frame is rejected"
            " (if it is a bias, say so in the kind column of night.ecsv)"
        )
    return exposure.to(u.s)
