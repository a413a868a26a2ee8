"""When a frame was taken: what the standard cards on time say besides the one that an instrument reads.

An instrument reads the card that it knows, as UTC. What the header says besides is found out here: another time
scale, a zone, a twelve-hour clock, a time of day in a card of its own, that DATE-OBS is the end. What a card states is
converted and noted ("clock: ..."); what contradicts itself is noted as a doubt ("time: ..."), which flags the frame.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import date
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.time import Time, TimeDelta

from potpyri_like.astrometry import SCALES, utc_of
from potpyri_like.errors import HeaderError
from potpyri_like.frame import FrameKind
from potpyri_like.instruments.exposure import RELATIVE_SLACK, exposure_of, positive
from potpyri_like.instruments.former import once_a_method
from potpyri_like.store.header import CardValue, RawHeader, comment_of

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument

__all__ = [
    "FAULTS",
    "Reading",
    "Stamp",
    "date_of",
    "read_stamp",
    "read_time",
    "time_of",
    "trouble_with_stamp",
]

_DATE_CARDS = ("DATE-OBS", "DATE-BEG", "DATE-AVG", "DATE-END")
_TIME_CARDS = (
    "UTSTART",
    "UTCSTART",
    "UTC-STRT",
    "UTC-OBS",
    "UT-OBS",
    "TIME-BEG",
    "TIME-OBS",
    "UT",
    "UTC",
)
_DAY_CARDS = ("MJD-OBS", "MJD-BEG", "MJD-AVG", "MJD-END", "MJD", "JD", "JD-OBS", "JD-BEG", "JD_UTC", "JULIAN")
_DATED_CARDS = (*_DATE_CARDS, *_TIME_CARDS)
_ZONE_CARDS = ("TIMEZONE", "TZ", "ZONE", "UTCOFFST", "UTOFFSET", "TIMEOFFS")
_UTC = ("UTC", "UT", "GMT", "Z", "ZULU", "NTP")
_UNSAID = ("", "UNKNOWN", "N/A", "NONE", "UNDEFINED")

_CLOCK = r"(\d{1,2}):(\d{2})(?::(\d{2}(?:[.,]\d*)?))?\s*([ap]\.?m\.?)?"
_ZONE = r"\s*(Z|UTC?|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?"
_DATED = re.compile(rf"(\d{{4}})[-/.](\d{{1,2}})[-/.](\d{{1,2}})(?:[T\s]+{_CLOCK}{_ZONE})?\s*", re.IGNORECASE)
_SLASHED = re.compile(
    rf"(\d{{1,2}})/(\d{{1,2}})/(\d{{2}}|\d{{4}})(?:[T\s]+{_CLOCK}{_ZONE})?\s*", re.IGNORECASE
)
_TIMED = re.compile(rf"{_CLOCK}{_ZONE}\s*", re.IGNORECASE)
_OFFSET = re.compile(r"(?:UTC?|GMT)?\s*([+-]?)(\d{1,2})(?::?(\d{2}))?(?:\.0*)?", re.IGNORECASE)
_IS_END = re.compile(r"\b(end|stop|finish)\b|frame (grabbed|received)", re.IGNORECASE)
_IS_MIDDLE = re.compile(r"\bmid(dle|point)?\b|mid-?(exp|time|obs)", re.IGNORECASE)
_IS_START = re.compile(r"\b(start|begin|beginning|begins|open)\b", re.IGNORECASE)
_IS_LOCAL = re.compile(r"\blocal\b", re.IGNORECASE)

_LONGEST_FAULT = 200  # characters of what a library says
_LONGEST_MINUTE = 61.0  # s; with a leap second
_A_MOMENT = 0.005  # s; two readings of one card
_DAY_CARD_ERROR = 60.0  # s; MJD-OBS is 2 s early at LCO, 29 s late at Gemini
_READOUT = 30.0  # s; DATE-END may be that of the file
_SLACK = 0.5  # s, beside the part of the exposure
_OLDEST = 47892.0  # MJD of 1990: an earlier date is that of a clock that was never set
# What reading a header may raise where it says what nobody thought of.
FAULTS = (HeaderError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class Stamp:
    """A date, a time of day, or both, as a card has them.

    Attributes
    ----------
    day : int or None
        Whole MJD.
    seconds : float or None
        Of the day.
    zone : float or None
        Hours east of Greenwich; None where the text does not say.
    plain : bool
        Written as FITS has it, so that anybody reads it alike.
    """

    day: int | None
    seconds: float | None
    zone: float | None = None
    plain: bool = True

    @property
    def mjd(self) -> float | None:
        """The date and time in UTC where a zone is given, else as they stand; None where one of both is missing."""
        if self.day is None or self.seconds is None:
            return None
        return self.day + (self.seconds - 3600 * (self.zone or 0.0)) / 86400

    @property
    def as_it_stands(self) -> float | None:
        """The date and time without the zone."""
        return None if self.day is None or self.seconds is None else self.day + self.seconds / 86400

    def joined(self, clock: Stamp) -> Stamp:
        """This date with another stamp's time of day."""
        return Stamp(self.day, clock.seconds, clock.zone, plain=False)

    def texts(self) -> tuple[str, str]:
        """Date and time of day in UTC, as FITS writes them."""
        assert self.day is not None and self.seconds is not None
        micro = round((self.seconds - 3600 * (self.zone or 0.0)) * 1e6)
        days, micro = divmod(micro, 86_400_000_000)
        seconds, micro = divmod(micro, 1_000_000)
        clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{micro:06d}"
        return date.fromordinal(self.day + days + _MJD_0).isoformat(), clock


_MJD_0 = date(1858, 11, 17).toordinal()


def read_stamp(says: CardValue) -> Stamp | None:
    """What a card says of date and time: ISO dates, '31/12/96', zones, am and pm; None where it is neither.

    Of 03/04/2024 nobody knows which is the month.
    """
    text = str(says).strip()
    try:
        if found := _DATED.fullmatch(text):
            year, month, day, *clock = found.groups()
            plain = "/" not in text and "." not in text[:10]
            return _stamp(date(int(year), int(month), int(day)), clock, plain=plain)
        if found := _SLASHED.fullmatch(text):
            first, second, year, *clock = found.groups()
            return _slashed(int(first), int(second), year, clock)
        found = _TIMED.fullmatch(text)
        return _stamp(None, list(found.groups())) if found else None
    except ValueError:  # there is no such day or hour
        return None


def _slashed(first: int, second: int, year: str, clock: list[str | None]) -> Stamp | None:
    """Of day/month/year of the last century, as FITS was until 1999, or of a date whose order shows."""
    if len(year) == 2:
        return _stamp(date(1900 + int(year), second, first), clock, plain=False)
    if first <= 12 and second <= 12 and first != second:
        return None
    day, month = (first, second) if first > 12 else (second, first)
    return _stamp(date(int(year), month, day), clock, plain=False)


def _stamp(day: date | None, clock: list[str | None], *, plain: bool = True) -> Stamp:
    """Of a day and hours, minutes, seconds, half of the day and zone as they are written.

    Raises
    ------
    ValueError
        There is no such hour.
    """
    hours, minutes, seconds, half, zone = clock
    number = None if day is None else day.toordinal() - _MJD_0
    if hours is None:
        return Stamp(number, None, plain=plain)
    hour = int(hours)
    if half:
        if not 1 <= hour <= 12:
            raise ValueError(f"{hour} {half}")
        hour = hour % 12 + 12 * half.lower().startswith("p")
    minute, second = int(minutes or 0), float((seconds or "0").replace(",", "."))
    rest = 60 * minute + second
    if hour > 24 or (hour == 24 and rest) or minute > 59 or second >= _LONGEST_MINUTE:
        raise ValueError(f"{hour}:{minutes}:{seconds}")
    offset, as_fits = _zone_of(zone), hour < 24 and "," not in (seconds or "")
    return Stamp(number, 3600 * hour + rest, offset, plain and as_fits and not half and not zone)


_NUMBERS_OF = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T\s]+(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?)?")


def trouble_with_stamp(says: CardValue) -> str:
    """What makes a card no date and time, in words; "" where it is one."""
    text = str(says).strip()
    if read_stamp(says) is not None:
        return ""
    if not isinstance(says, str):
        return "a number, and no date"
    if found := re.match(r"(\d{1,2})/(\d{1,2})/\d{4}", text):
        first, second = int(found[1]), int(found[2])
        return (
            "it is unclear which number is the month" if max(first, second) <= 12 else "there is no such day"
        )
    found = _NUMBERS_OF.match(text)
    if not found:
        return "it cannot be read as a date"
    _, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    for there_is, name, number in (
        (1 <= month <= 12, "month", month),
        (1 <= day <= 31, "day", day),
        (hour < 24, "hour", hour),
        (minute < 60, "minute", minute),
        (second < _LONGEST_MINUTE, "second", second),
    ):
        if not there_is:
            return f"there is no {name} {number}"
    return "it cannot be read as a date" if found.end() < len(text) else "there is no such day"


def _zone_of(text: str | None) -> float | None:
    """Hours east of Greenwich; None where nothing is said."""
    if not text:
        return None
    if text[0] not in "+-":
        return 0.0
    digits = text[1:].replace(":", "")
    return float(f"{text[0]}1") * (int(digits[:2]) + int(digits[2:] or 0) / 60)


@dataclass(frozen=True)
class _Watched(RawHeader):
    """A header that notes which cards were asked for, and may say some of them otherwise."""

    instead: Mapping[str, str] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)

    def __getitem__(self, card: str) -> CardValue:
        value = super().__getitem__(card)
        self.read.add(card)
        return self.instead.get(card, value)


@dataclass(frozen=True)
class Reading:
    """The middle of an exposure, UTC, what is to be said of it, and the header as the instrument could read it."""

    time: Time
    notes: tuple[str, ...]
    header: RawHeader


def read_time(
    mid_time: Callable[[RawHeader, u.Quantity], Time],
    header: RawHeader,
    exposure: u.Quantity,
    *,
    scale: str | None = None,
    longitude: float = float("nan"),
) -> Reading:
    """The middle of an exposure, UTC, as an instrument reads it and as the standard cards say it is.

    Parameters
    ----------
    mid_time : callable
        Of an instrument. It gets cards with zones, twelve-hour clocks and slashes brought to UTC where it does not cope
        with them itself; what asks for TIMESYS, or gives a time in another scale than UTC, is not converted again.
    header : RawHeader
    exposure : Quantity
    scale : str, optional
        The scale of its clock, whatever TIMESYS says.
    longitude : float
        Of the site, degrees east: it tells the sign of a zone.

    Raises
    ------
    Whatever `mid_time` raises.
    """
    return _Clock(mid_time, header, exposure, longitude).read(scale)


@dataclass
class _Clock:
    """One frame's cards on time, and how its instrument reads them."""

    mid_time: Callable[[RawHeader, u.Quantity], Time]
    header: RawHeader
    exposure: u.Quantity
    longitude: float
    notes: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    view: _Watched | None = None

    def read(self, scale: str | None) -> Reading:
        """The time, by one question after the other."""
        found = self.tidied()
        own_scale = found.scale != "utc" or "TIMESYS" in self.asked or scale is not None
        found = self.by_meaning(found)
        found = self.by_zone(found)
        self.check_days(found, more=70.0 * own_scale)
        found = found if own_scale else self.by_scale(found)
        if found.utc.mjd < _OLDEST:
            self.notes.append(f"time: {found.utc.isot[:19]}, {self.told()}: the clock was not set")
        return Reading(found.utc, tuple(dict.fromkeys(self.notes)), self.view or self.header)

    def told(self) -> str:
        """The card on the date, as it stands."""
        card = next((card for card in _DATE_CARDS if card in self.asked), "DATE-OBS")
        return f"{card} = {self.header.get(card, 'absent')!r}"

    # -- what the instrument reads

    def tidied(self) -> Time:
        """The time as the instrument reads it, from cards in plain UTC where it reads odd ones as they stand."""
        watched = self.watched({})
        fault: Exception | None = None
        try:
            found = self.mid_time(watched, self.exposure)
        except FAULTS as error:
            found, fault = None, error
        self.asked = watched.read
        stamps = self.stamps()
        instead = dict(self.plain_text(stamps))
        if instead and (fault is not None or (set(instead) & self.asked and not self.copes(found, stamps))):
            self.view = self.watched(instead)
            before, found = found, self.mid_time(self.view, self.exposure)
            self.asked |= self.view.read
            if before is None or abs((found - before).to_value(u.s)) > _A_MOMENT:
                changed = ((card, text) for card, text in instead.items() if card in self.asked)
                self.notes += [
                    f"clock: {card} = {self.header[card]!r} is {text} UTC" for card, text in changed
                ]
        elif fault is not None:
            raise fault
        if not isinstance(found, Time):
            raise TypeError(f"mid_time gives {found!r}")
        self.check_time_of_day(found, stamps)
        return found

    def watched(self, instead: Mapping[str, str]) -> _Watched:
        known = {one.name: getattr(self.header, one.name) for one in fields(RawHeader)}
        return _Watched(**known, instead=instead)

    def stamps(self) -> dict[str, Stamp]:
        """What the cards on date and time say, where it can be read."""
        cards = [card for card in (*_DATE_CARDS, *_TIME_CARDS) if card in self.header]
        return {card: found for card in cards if (found := read_stamp(self.header[card])) is not None}

    def plain_text(self, stamps: Mapping[str, Stamp]) -> Iterator[tuple[str, str]]:
        """The cards that say something else, or more, than a plain reading of them, in plain UTC."""
        for card, here in stamps.items():
            if here.mjd is not None and not here.plain:
                yield card, "T".join(here.texts())
        day = stamps.get("DATE-OBS")
        if day is None or day.day is None or day.seconds is not None:
            return
        clocks = [card for card in _TIME_CARDS if card in stamps and stamps[card].day is None]
        if not clocks:
            if not day.plain:
                yield "DATE-OBS", date.fromordinal(day.day + _MJD_0).isoformat()
            return
        clock = stamps[clocks[0]]
        whole = day.joined(clock).texts()
        if not set(_TIME_CARDS) & self.asked:
            yield "DATE-OBS", "T".join(whole)
        elif not (day.plain and clock.plain):
            yield "DATE-OBS", whole[0]
            yield clocks[0], whole[1]

    def copes(self, found: Time | None, stamps: Mapping[str, Stamp]) -> bool:
        """Whether the instrument read a zone itself: the time is that of the card in UTC, not that as it stands."""
        span = self.exposure.to_value(u.d)
        zoned = [s for card, s in stamps.items() if card in self.asked and s.zone and s.mjd is not None]
        if found is None or not zoned:
            return False

        def near(mjd: float | None) -> bool:
            return mjd is not None and abs(found.utc.mjd - mjd) <= span + 1e-6

        return any(near(s.mjd) and not near(s.as_it_stands) for s in zoned)

    def check_time_of_day(self, found: Time, stamps: Mapping[str, Stamp]) -> None:
        """Note a date without a time that was taken for midnight."""
        day = stamps.get("DATE-OBS")
        if day is None or day.seconds is not None or day.day is None or "DATE-OBS" not in self.asked:
            return
        if set(_TIME_CARDS) & self.asked:
            return
        if not self.view and abs(self.reading(found) - day.day) * 86400 < _A_MOMENT:
            self.notes.append(f"time: {self.told()} has no time of day, and no other card has one")

    def reading(self, found: Time) -> float:
        """The MJD that the instrument read off its cards: its time without its part of the exposure."""
        return float(found.mjd - self.part() * self.exposure.to_value(u.d))

    def part(self) -> float:
        """The part of the exposure that the instrument adds to what it reads: 0.5 to a start."""
        header = self.view or self.watched({})
        longer = self.mid_time(header, self.exposure + 1 * u.s)
        return float(np.round((longer - self.mid_time(header, self.exposure)).to_value(u.s), 3))

    # -- what DATE-OBS means

    def by_meaning(self, found: Time) -> Time:
        """The time, moved where DATE-OBS is not the moment of the exposure that the instrument takes it for."""
        here = self.mjd_of("DATE-OBS")
        others = {card: mjd for card in _DATE_CARDS[1:] if (mjd := self.mjd_of(card)) is not None}
        if here is None or "DATE-OBS" not in self.asked or set(others) & self.asked:
            return found
        meant = self.meant_by_comment()
        if not others and meant is None:
            return found
        part = self.part()
        if abs((found.mjd - here) * 86400 - part * self.seconds) > _A_MOMENT:
            return found  # it comes from another card
        if others:
            return self.by_other_dates(found, here, others, 0.5 - part)
        assert meant is not None
        if meant[0] == 0.5 - part:
            return found
        self.notes.append(f"clock: {self.told()} is the {meant[1]} of the exposure, as its comment says")
        return found + TimeDelta((0.5 - part - meant[0]) * self.exposure)

    @property
    def seconds(self) -> float:
        return float(self.exposure.to_value(u.s))

    def mjd_of(self, card: str) -> float | None:
        """What the card says, as the instrument was shown it."""
        says = (self.view or self.header).get(card)
        here = None if says is None else read_stamp(says)
        return None if here is None else here.mjd

    def meant_by_comment(self) -> tuple[float, str] | None:
        """Which moment the comment of DATE-OBS says it is."""
        comment = comment_of(self.header, "DATE-OBS")
        if _IS_START.search(comment):
            return None
        if _IS_MIDDLE.search(comment):
            return 0.5, "middle"
        return (1.0, "end") if _IS_END.search(comment) else None

    def by_other_dates(self, found: Time, here: float, others: Mapping[str, float], assumed: float) -> Time:
        """The time, by DATE-BEG, DATE-AVG and DATE-END where DATE-OBS is another moment than was assumed."""
        exposure, slack = self.seconds, _SLACK + RELATIVE_SLACK * self.seconds
        moments = {"DATE-BEG": 0.0, "DATE-AVG": 0.5, "DATE-END": 1.0}

        def off(meaning: float) -> float:
            late = {
                card: (mjd - here) * 86400 - (moments[card] - meaning) * exposure
                for card, mjd in others.items()
            }
            allowed = {"DATE-END": _READOUT if meaning == 0 else 0.0}
            return max(abs(s) if s < 0 else max(0.0, s - allowed.get(card, 0.0)) for card, s in late.items())

        wrong = {meaning: off(meaning) for meaning in (0.0, 0.5, 1.0)}
        best = min(wrong, key=lambda meaning: (wrong[meaning], abs(meaning - assumed)))
        told = ", ".join(f"{card} = {self.header[card]!r}" for card in ("DATE-OBS", *others))
        if wrong[best] <= slack and wrong[assumed] - wrong[best] > 0.25 * exposure:
            name = {0.0: "start", 0.5: "middle", 1.0: "end"}[best]
            self.notes.append(f"clock: {told}: DATE-OBS is the {name} of the exposure")
            return found + TimeDelta((assumed - best) * self.exposure)
        if wrong[assumed] <= slack:
            return found
        if self.is_middle(here, others, slack):
            self.notes.append(
                f"clock: {told}: the frame took longer than its exposure; its middle is DATE-AVG"
            )
            return found + TimeDelta((others["DATE-AVG"] - found.mjd) * u.d)
        self.notes.append(f"time: {told} and an exposure of {exposure:g} s contradict each other")
        return found

    @staticmethod
    def is_middle(here: float, others: Mapping[str, float], slack: float) -> bool:
        """Whether DATE-AVG is the middle between the start and DATE-END."""
        if not {"DATE-AVG", "DATE-END"} <= set(others):
            return False
        middle = (others.get("DATE-BEG", here) + others["DATE-END"]) / 2
        return abs(others["DATE-AVG"] - middle) * 86400 <= slack

    # -- zones, days and scales

    def by_zone(self, found: Time) -> Time:
        """The time in UTC where the card on the date is said to be local time."""
        offset = _OFFSET.fullmatch(str(self.header.get("TIMESYS", "")).strip())
        zoned = offset is not None and re.search(r"[+-]", offset[0]) and "TIMESYS" not in self.asked
        local = "DATE-OBS" in self.asked and _IS_LOCAL.search(comment_of(self.header, "DATE-OBS"))
        if zoned and offset is not None:
            return self.moved(found, _hours_of(offset), f"TIMESYS = {self.header['TIMESYS']!r}")
        if not local or self.view is not None:
            return found
        for card, mjd, _ in self.days():
            hours = round((found.mjd - mjd) * 96) / 4
            if (
                abs((found.mjd - mjd) * 86400 - 3600 * hours) <= _DAY_CARD_ERROR + self.seconds
                and abs(hours) <= 14
            ):
                return self.moved(found, hours, f"{card} = {self.header[card]!r}") if hours else found
        for card in _ZONE_CARDS:
            if (hours := self.zone_in(card)) is not None:
                return self.moved(found, hours, f"{card} = {self.header[card]!r}")
        self.notes.append(
            f"time: {self.told()} is local time, as its comment says, and no card gives the time zone"
        )
        return found

    def zone_in(self, card: str) -> float | None:
        """Hours east of Greenwich by a card whose sign the site tells; None where it does not."""
        text = _OFFSET.fullmatch(str(self.header.get(card, "")).strip())
        if text is None or not np.isfinite(self.longitude):
            return None
        fitting = [h for h in {_hours_of(text), -_hours_of(text)} if abs(h - self.longitude / 15) < 2.5]
        return fitting[0] if len(fitting) == 1 else None

    def moved(self, found: Time, hours: float, why: str) -> Time:
        self.notes.append(f"clock: {self.told()} is local time, {hours:+g} h from UTC by {why}")
        return found - TimeDelta(hours * u.h)

    def days(self) -> Iterator[tuple[str, float, float]]:
        """What MJD and JD cards say, as MJD, and the seconds that they are good to; zeros say nothing."""
        for card in _DAY_CARDS:
            value = positive(self.header.get(card))
            if value is not None:
                mjd = value - 2400000.5 if value > 2400000.5 else value
                if _OLDEST / 2 < mjd < 2 * _OLDEST:
                    yield card, mjd, 86400 * _step_of(value)

    def check_days(self, found: Time, *, more: float) -> None:
        """Note MJD and JD cards that lie outside the exposure."""
        if any(note.startswith("time:") for note in self.notes):
            return
        for card, mjd, coarse in self.days():
            off = abs(found.mjd - mjd) * 86400 - self.seconds / 2
            if off > _DAY_CARD_ERROR + coarse + more and card not in self.asked:
                self.notes.append(
                    f"time: {self.told()} and {card} = {self.header[card]!r} are {_apart(off)} apart"
                )
                return

    def by_scale(self, found: Time) -> Time:
        """The time in UTC where TIMESYS names another scale."""
        says = str(self.header.get("TIMESYS", "")).strip()
        name = re.split(r"[(\s]", says.upper())[0]
        if name in _UTC or name in _UNSAID or _OFFSET.fullmatch(says):
            return found
        if name not in SCALES:
            self.notes.append(
                f"time: TIMESYS = {says!r} is not a known time scale; the times are taken as UTC"
            )
            return found
        utc = utc_of(found, name)
        off = (utc - found).to_value(u.s)
        self.notes.append(f"clock: TIMESYS = {says!r}: {off:+.3f} s to UTC")
        return utc


def _step_of(days: float) -> float:
    """How coarse a number of days is: whole, or in the single precision that some programs know; 0 for others."""
    if days.is_integer():
        return 1.0
    single = np.float32(days)
    return float(np.spacing(single)) if float(single) == days else 0.0


def _hours_of(offset: re.Match[str]) -> float:
    """Hours of "+05:30", "-8" or "UTC+2"."""
    sign, hours, minutes = offset.groups()
    return (-1.0 if sign == "-" else 1.0) * (int(hours) + int(minutes or 0) / 60)


def _apart(seconds: float) -> str:
    """A span of time in words."""
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} seconds"


# -- the frames of an instrument ----------------------------------------------------------------------------


@once_a_method("time_of")
def time_of(
    instrument: Instrument, header: RawHeader, exposure: u.Quantity, kind: FrameKind
) -> Reading | None:
    """The mid-exposure time of a frame, or of the first plane of a cube; None for a calibration frame without one.

    Raises
    ------
    HeaderError
        A science frame has none.
    """
    duration = exposure if np.isfinite(exposure) else 0 * u.s

    def first(header: RawHeader, exposure: u.Quantity) -> Time:
        return instrument.plane_time(header, exposure, 0)

    read = first if len(header.image_shape) > 2 else instrument.mid_time
    longitude = instrument.site.lon.wrap_at("180d").deg
    try:
        return read_time(read, header, duration, scale=instrument.time_scale, longitude=longitude)
    except FAULTS as error:
        if kind is not FrameKind.SCIENCE:
            return None
        missing = _why_no_time(read, header, duration, error)
        raise HeaderError(
            f"{header.path.name}: no valid time in the header ({missing}); the frame is rejected"
        ) from error


def _why_no_time(
    read: Callable[[RawHeader, u.Quantity], Time], header: RawHeader, exposure: u.Quantity, error: Exception
) -> str:
    """Which card gives no time, and why, in a few words."""
    if isinstance(error, KeyError):
        card = str(error.args[0]) if error.args else ""
        return f"{card} is empty" if card and header.mentions(card) else f"no {error} card"
    watched = _Watched(**{one.name: getattr(header, one.name) for one in fields(RawHeader)})
    with suppress(*FAULTS):
        read(watched, exposure)
    for card in (*_DATE_CARDS, *_TIME_CARDS, *sorted(watched.read)):
        is_meant = card in watched.read and (card in _DATED_CARDS or repr(header[card]) in str(error))
        why = trouble_with_stamp(header[card]) if is_meant else ""
        if why:
            return f"{card} = {header[card]!r}: {why}; FITS dates are written as 2024-03-10T22:01:00"
    return " ".join(str(error).split())[:_LONGEST_FAULT]


def date_of(instrument: Instrument, header: RawHeader) -> Time | None:
    """The mid-exposure time of a frame of any kind; None where its header has none.

    Raises
    ------
    HeaderError
        Its exposure cannot be.
    """
    reading = time_of(instrument, header, exposure_of(instrument, header, FrameKind.OTHER), FrameKind.OTHER)
    return None if reading is None else reading.time
