"""Where the telescope looked: what the cards of right ascension and declination mean, and what bears them out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.coordinates import FK4, FK5, ICRS, BaseCoordinateFrame, SkyCoord, angular_separation
from astropy.time import Time

from potpyri_like.instruments.former import once_a_method
from potpyri_like.instruments.keywords import Compound, Keyword, Value, read_keyword
from potpyri_like.store.header import RawHeader, comment_of

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument

__all__ = ["Direction", "angle", "direction_of", "equinox_of", "frame_of_cards", "pointing", "read_direction"]

_NEAR = 3.0  # degrees; the mount, the object and the solution of one frame lie within
_CLOSE = 0.01  # degrees; two readings that far apart are one
_PLAIN = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)
_SEXAGESIMAL = re.compile(
    r"([+-]?)\s*(\d{1,3})\s*([hd°: ])\s*(\d{1,2}(?:[.,]\d*)?)?\s*(?:[m'′: ]\s*(\d{1,2}(?:[.,]\d*)?)?\s*[s\"″]?)?",
    re.IGNORECASE,
)
_SAYS_HOURS = re.compile(
    r"\[\s*(h|hr|hrs|hour|hours)\s*\]|\bin hours\b|\(\s*hours?\s*\)|\bdecimal hours\b", re.I
)
_EQUINOXES = (1875, 1900, 1950, 2000)  # EPOCH may as well be the date of the observation
_PRECESSED = {"FK4": FK4, "FK4-NO-E": FK4, "FK5": FK5}
_CHECKED_BY = ("OBJCTRA", "OBJCTDEC")


@dataclass(frozen=True)
class Direction:
    """Right ascension and declination in degrees, in the frame of the header; None with a note on why there is none."""

    ra: float | None = None
    dec: float | None = None
    note: str = ""


def read_direction(
    header: RawHeader, ra: Keyword | Compound | None, dec: Keyword | Compound | None
) -> Direction:
    """Where the declared cards say that the telescope looked.

    A number, or text of a plain number, is degrees unless the declaration says hours (or, where it gives no unit, the
    card's comment); sexagesimal text is hours and degrees. Hours above 24 are degrees. OBJCTRA, OBJCTDEC and the
    celestial coordinates of the image, where they are there, decide between hours and degrees; where they bear out
    neither, nothing is believed. So are two zeros.
    """
    if ra is None or dec is None:
        return Direction()
    says, height = _raw_value(header, ra), _raw_value(header, dec)
    if says is None or height is None:
        return Direction()
    cards = f"{_told(ra, says)} and {_told(dec, height)}"
    down = _declinations(height)
    readings = [(value, down) for value in _right_ascensions(header, ra, says) if down is not None]
    if not readings:
        return Direction(note=f"coordinates: {cards} are impossible; none are used")
    if (0.0, 0.0) in readings:
        return Direction(note=f"coordinates: {cards} are placeholders; none are used")
    found = _chosen(readings, list(_witnesses(header, {*ra.cards, *dec.cards})), cards)
    if not found.note and _is_beyond(header, ra, says):
        return replace(found, note=f"coordinates: {cards}: above 24, so not in hours; read as degrees")
    return found


def _chosen(
    readings: list[tuple[float, float]], others: list[tuple[str, float, float]], cards: str
) -> Direction:
    """The reading that the other cards bear out, the first where there are none."""
    if not others:
        return Direction(*readings[0])
    apart = [min(_separation(*reading, *other[1:]) for other in others) for reading in readings]
    best = int(np.argmin(apart)) if min(apart) < apart[0] - _CLOSE else 0
    against = " and ".join(name for name, *_ in others)
    if apart[best] > _NEAR:
        far = f"contradict {against} by {apart[best]:.0f} degrees"
        return Direction(note=f"coordinates: {cards} {far}; none are used (--radec gives them)")
    note = f"coordinates: {cards}: {readings[best][0]:.4f} degrees of right ascension, as {against} says"
    return Direction(*readings[best], note=note if best else "")


def _raw_value(header: RawHeader, keyword: Keyword | Compound) -> Value:
    """What the card says, as it stands; None where there is none."""
    if isinstance(keyword, Compound):
        return None if any(card not in header for card in keyword.cards) else keyword.read(header)
    card = next((card for card in keyword.cards if card in header), None)
    return None if card is None else header[card]


def _told(keyword: Keyword | Compound, value: Value) -> str:
    """The card and what it says."""
    return f"{keyword.cards[0]} = {value!r}"


def _right_ascensions(header: RawHeader, keyword: Keyword | Compound, says: Value) -> list[float]:
    """The right ascension in degrees as it must be read, then as it might be meant, too."""
    if isinstance(says, u.Quantity):
        return _within([float(says.to_value(u.deg))])
    found = angle(says)
    if found is None:
        return []
    value, unit = found
    if unit is not None or not _is_plain(says):
        hours = unit != "d" and 0 <= value <= 24
        return _within([15 * value if hours else value])
    both = [15 * value, value] if _in_hours(header, keyword) else [value, 15 * value]
    return _within([one for one in both if one <= 360])


def _is_beyond(header: RawHeader, keyword: Keyword | Compound, says: Value) -> bool:
    """Whether the right ascension should be in hours, and is more than there are."""
    found = None if isinstance(says, u.Quantity) else angle(says)
    if found is None or found[0] <= 24:
        return False
    return _in_hours(header, keyword) if _is_plain(says) else found[1] != "d"


def _in_hours(header: RawHeader, keyword: Keyword | Compound) -> bool:
    """Whether a plain number of that card is in hours."""
    unit = getattr(keyword, "unit", None)
    if unit is not None:
        return bool(unit == u.hourangle)
    return any(_SAYS_HOURS.search(comment_of(header, card)) for card in keyword.cards if card in header)


def _within(values: list[float]) -> list[float]:
    """Those that can be a right ascension, from 0 to 360."""
    return [value % 360 for value in values if np.isfinite(value) and -180 <= value <= 360]


def _declinations(says: Value) -> float | None:
    """The declination in degrees; None for what cannot be one."""
    found = (float(says.to_value(u.deg)), None) if isinstance(says, u.Quantity) else angle(says)
    return found[0] if found is not None and found[1] != "h" and -90 <= found[0] <= 90 else None


def _is_plain(says: Value) -> bool:
    """Whether it is a number, or text of one."""
    return not isinstance(says, str) or _PLAIN.fullmatch(says.strip()) is not None


def angle(says: Value) -> tuple[float, str | None] | None:
    """A plain or sexagesimal number, and "h" or "d" where it says so; None for what is neither.

    Examples
    --------
    >>> angle("10h14m"), angle("-00 30 00"), angle("153,5")
    ((10.233333333333333, 'h'), (-0.5, None), (153.5, None))
    """
    text = str(says).strip()
    if isinstance(says, bool):
        return None
    if _PLAIN.fullmatch(text):
        return float(text.replace(",", ".")), None
    parts = _SEXAGESIMAL.fullmatch(text)
    if parts is None:
        return None
    sign, whole, mark, *minor = parts.groups()
    minutes, seconds = (float((part or "0").replace(",", ".")) for part in minor)
    if minutes >= 60 or seconds > 60:
        return None
    value = int(whole) + minutes / 60 + seconds / 3600
    return (-value if sign == "-" else value), {":": None, " ": None, "°": "d"}.get(mark, mark.lower())


def _witnesses(header: RawHeader, but: set[str]) -> Iterator[tuple[str, float, float]]:
    """What else says where the telescope looked: its words, right ascension and declination in degrees."""
    ra, dec = (header.get(card) for card in _CHECKED_BY)
    if ra is not None and dec is not None and not but & set(_CHECKED_BY):
        hours, degrees = angle(ra), _declinations(dec)
        if hours is not None and not _is_plain(ra) and degrees is not None and (hours[0] or degrees):
            yield f"OBJCTRA = {ra!r}, OBJCTDEC = {dec!r}", 15 * hours[0] % 360, degrees
    yield from _image_centre(header)


def _image_centre(header: RawHeader) -> Iterator[tuple[str, float, float]]:
    """The place of the reference pixel, where the first image has equatorial coordinates in degrees."""
    own = header.of(header.image) if header.images else header
    kinds = [str(own.get(f"CTYPE{axis}", ""))[:4] for axis in (1, 2)]
    if sorted(kinds) != ["DEC-", "RA--"] or not all(
        str(own.get(f"CUNIT{axis}", "deg")).lower().startswith("deg") for axis in (1, 2)
    ):
        return
    values = [own.get(f"CRVAL{1 + kinds.index(kind)}") for kind in ("RA--", "DEC-")]
    places = [angle(value) for value in values]
    if all(place is not None for place in places) and any(place[0] for place in places if place):
        ra, dec = (place[0] for place in places if place)
        if -90 <= dec <= 90:
            yield f"the image's coordinates (CRVAL {ra:.3f}, {dec:.3f})", ra % 360, dec


def _separation(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    """Degrees between two directions."""
    return float(np.degrees(angular_separation(*np.radians([ra, dec, other_ra, other_dec]))))


def frame_of_cards(header: RawHeader) -> BaseCoordinateFrame:
    """The frame of coordinates by RADESYS, EQUINOX and EPOCH, as FITS has them; ICRS where they say nothing.

    An EPOCH that is no customary equinox is the date of the observation, as at Gemini.
    """
    system = str(header.get("RADESYS", header.get("RADECSYS", ""))).upper()
    year = _year_of(header.get("EQUINOX"))
    if year is None and _year_of(header.get("EPOCH")) in _EQUINOXES:
        year = _year_of(header.get("EPOCH"))
    if system == "ICRS" or (year is None and system not in _PRECESSED):
        return ICRS()
    kind = _PRECESSED.get(system, FK4 if year is not None and year < 1984 else FK5)
    if kind is FK4:
        return FK4(equinox=Time(year or 1950.0, format="byear"))
    return FK5(equinox=Time(year or 2000.0, format="jyear"))


def _year_of(says: Value) -> float | None:
    """A year that can be an equinox, from 2000.0, 'J2000' or 'B1950.0'; else None."""
    found = re.fullmatch(r"[JB]?\s*(\d{4}(?:\.\d*)?)", str(says).strip(), re.IGNORECASE)
    return float(found[1]) if found and 1850 < float(found[1]) < 2150 else None


@once_a_method("direction_of")
def direction_of(instrument: Instrument, header: RawHeader) -> Direction:
    """What the declared `ra` and `dec` cards say, as the other cards bear it out."""
    return read_direction(header, instrument.keywords.ra, instrument.keywords.dec)


@once_a_method("equinox_of")
def equinox_of(instrument: Instrument, header: RawHeader) -> BaseCoordinateFrame | None:
    """The frame of the coordinates: FK5 of the declared equinox; None where it cannot be.

    Where no equinox is declared, RADESYS, EQUINOX and EPOCH tell; where these are absent, too, it is ICRS.
    """
    if instrument.keywords.equinox is None:
        return frame_of_cards(header)
    equinox = read_keyword(instrument, "equinox", header, optional=True)
    if equinox is None:
        return ICRS()
    year = float(u.Quantity(equinox, u.yr).value)
    return FK5(equinox=Time(year, format="jyear")) if 1850 < year < 2150 else None


def pointing(instrument: Instrument, header: RawHeader) -> SkyCoord | None:
    """Where the telescope looked, ICRS; None where the header says nothing valid."""
    frame = equinox_of(instrument, header)
    found = direction_of(instrument, header)
    if frame is None or found.ra is None or found.dec is None:
        return None
    return SkyCoord(found.ra * u.deg, found.dec * u.deg, frame=frame).transform_to(ICRS())
