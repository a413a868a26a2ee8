"""Which card holds which quantity, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import astropy.units as u
import numpy as np

from potpyri_like.errors import DeclarationError, HeaderError
from potpyri_like.instruments.former import once_a_method
from potpyri_like.store.header import CardValue, RawHeader, as_number, broken_card

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument

__all__ = [
    "Compound",
    "HeaderKeywords",
    "Keyword",
    "Value",
    "check_binning",
    "number",
    "parse_binning",
    "read_keyword",
]

Value: TypeAlias = u.Quantity | CardValue | None  # of a quantity in a header

_MOST_BINNED = 64


@dataclass(frozen=True)
class Keyword:
    """A header card that holds one quantity.

    Attributes
    ----------
    card : str
        The card's name.
    unit : Unit or None
        The unit of the number in it; None for text.
    also : tuple of str
        Other names of the card, tried in order.
    optional : bool
        A frame may lack it.
    """

    card: str
    unit: u.UnitBase | None = None
    also: tuple[str, ...] = ()
    optional: bool = False

    @property
    def cards(self) -> tuple[str, ...]:
        return (self.card, *self.also)

    def __post_init__(self) -> None:
        _check_cards(f"Keyword({self.card!r})", self.cards if isinstance(self.also, tuple) else self.also)
        if self.unit is not None and not isinstance(self.unit, u.UnitBase):
            raise DeclarationError(
                f"Keyword({self.card!r}): unit = {self.unit!r}; give astropy's, as in u.s, or none for text"
            )

    def read(self, header: RawHeader) -> Value:
        """The value: a Quantity where a unit is declared, else text; None where an optional card is absent.

        Raises
        ------
        HeaderError
            No card of that name, or no number in it.
        """
        card = next((card for card in self.cards if card in header), None)
        if card is None:
            if self.optional:
                return None
            broken = next(filter(None, (broken_card(header, name) for name in self.cards)), "")
            wanted = "a number" if self.unit is not None else "text"
            none = f"no {' or '.join(self.cards)} card"
            what = f"{broken} is not {wanted} as FITS writes it" if broken else none
            raise HeaderError(f"{header.path.name}: {what}")
        return str(header[card]).strip() if self.unit is None else number(header, card) * self.unit

    def write(self, value: Value) -> dict[str, CardValue]:
        """The card that a frame with this value has: `read` backwards."""
        return {self.card: str(value) if self.unit is None else float(u.Quantity(value).to_value(self.unit))}


@dataclass(frozen=True)
class Compound:
    """A quantity that no single card holds.

    Attributes
    ----------
    cards : tuple of str
        The cards it is made of; all must be there.
    combine : callable
        Gets their values, in that order; gives the quantity.
    split : callable
        Gets the quantity; gives the cards' values, in that order (for simulated frames).
    optional : bool
        A frame may lack it.
    """

    cards: tuple[str, ...]
    combine: Callable[..., Value]
    split: Callable[[Any], tuple[CardValue, ...]]
    optional: bool = False

    def __post_init__(self) -> None:
        _check_cards("Compound", self.cards)

    def read(self, header: RawHeader) -> Value:
        """The combined value; None where an optional one is incomplete.

        Raises
        ------
        HeaderError
            A card is missing, or the values do not combine.
        """
        missing = [card for card in self.cards if card not in header]
        if missing and self.optional:
            return None
        if missing:
            raise HeaderError(f"{header.path.name}: no {' and no '.join(missing)} card")
        try:
            return self.combine(*(header[card] for card in self.cards))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            found = ", ".join(f"{card} = {header[card]!r}" for card in self.cards)
            raise HeaderError(f"{header.path.name}: {found} cannot be combined ({error})") from error

    def write(self, value: Value) -> dict[str, CardValue]:
        """The cards that a frame with this value has: `read` backwards."""
        return dict(zip(self.cards, self.split(value), strict=True))


@dataclass(frozen=True, kw_only=True)
class HeaderKeywords:
    """The cards of an instrument, one for each quantity; None for what its headers do not say.

    Attributes
    ----------
    exposure : Keyword or Compound
        Open-shutter time; with a unit of time.
    kind : Keyword or None
        The type of the frame, where one card says it (`Instrument.kinds` then is a table of its values).
    band, target, camera, binning : Keyword, Compound or None
        Text. The binning is "2x2", "2 2", "2,2" or "2": columns, rows.
    ra, dec : Keyword or None
        Where the telescope looked: sexagesimal text (hours, degrees) or numbers in the unit declared.
    equinox : Keyword or None
        Equinox of `ra` and `dec` in years; ICRS where there is none.
    temperature : Keyword, Compound or None
        Of the detector, u.deg_C or u.K. Darks of another one are not used; see `Calibration.temperature_tolerance`.
    gain_setting, offset : Keyword, Compound or None
        What the camera was set to, gain or ISO, and offset: calibrations of another setting are not used. These three
        may be absent from any frame. Where none is declared, the cards are read that camera programs commonly write.
    """

    exposure: Keyword | Compound
    kind: Keyword | Compound | None = None
    band: Keyword | Compound | None = None
    target: Keyword | Compound | None = None
    camera: Keyword | Compound | None = None
    binning: Keyword | Compound | None = None
    ra: Keyword | Compound | None = None
    dec: Keyword | Compound | None = None
    equinox: Keyword | Compound | None = None
    temperature: Keyword | Compound | None = None
    gain_setting: Keyword | Compound | None = None
    offset: Keyword | Compound | None = None

    UNITS: ClassVar[Mapping[str, u.UnitBase]] = {
        "exposure": u.s,
        "ra": u.deg,
        "dec": u.deg,
        "equinox": u.yr,
        "temperature": u.deg_C,
    }

    def __post_init__(self) -> None:
        for quantity in (field.name for field in fields(self)):
            value = getattr(self, quantity)
            if value is not None and not isinstance(value, Keyword | Compound):
                raise DeclarationError(
                    f"HeaderKeywords: {quantity} = {value!r}; give Keyword({value!r}) or a Compound"
                )
            if isinstance(value, Keyword):
                self.check_unit(quantity, value)

    def check_unit(self, quantity: str, keyword: Keyword) -> None:
        """Raise a DeclarationError where a keyword's unit is not one of its quantity."""
        wanted, unit = self.UNITS.get(quantity), keyword.unit
        if unit is None and quantity != "exposure":
            return
        if unit is None or wanted is None or not unit.is_equivalent(wanted, u.temperature()):
            raise DeclarationError(
                f"HeaderKeywords: {quantity} = {keyword.card} has the unit {unit}; "
                + (f"give one like u.{wanted}" if wanted is not None else "it is text: give none")
            )

    def items(self) -> Mapping[str, Keyword | Compound]:
        """The declared keywords by quantity."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}


def number(header: RawHeader, card: str) -> float:
    """A card's value as a finite number, or an error that names file, card and value."""
    try:
        value = as_number(header[card])
        if not np.isfinite(value):
            raise ValueError("it is not finite")
        return value
    except (TypeError, ValueError) as error:
        raise HeaderError(f"{header.path.name}: {card} = {header[card]!r} is not a number") from error


def _check_cards(where: str, cards: object) -> None:
    """Raise a DeclarationError unless these are the names of header cards."""
    if not isinstance(cards, tuple) or not cards or not all(isinstance(c, str) and c.strip() for c in cards):
        raise DeclarationError(
            f"{where}: {cards!r} are not cards; give a tuple of names, as in ('UT', 'UTC')"
        )


@once_a_method("read")
def read_keyword(
    instrument: Instrument, quantity: str, header: RawHeader, *, optional: bool = False
) -> Value:
    """The value of a declared keyword; None where none is declared, or where it may be absent and is.

    Raises
    ------
    HeaderError
        The card is missing; the message says what to do.
    """
    keyword = getattr(instrument.keywords, quantity)
    if keyword is None:
        return None
    try:
        return keyword.read(header)
    except HeaderError as error:
        if optional:
            return None
        raise HeaderError(
            f"{error}, which {instrument.name} frames need; the frame is rejected"
            f" (reduce instruments {instrument.name} lists the cards)"
        ) from error


def parse_binning(header: RawHeader, says: Value) -> tuple[int, int]:
    """Columns and rows that were added, from "2x2", "2 2", "2,2", "22", "2" or 2.0.

    Raises
    ------
    HeaderError
        That cannot be.
    """
    text = re.sub(r"(\d),0+\s*$", r"\1", str(says))  # "2,0": nothing is binned by 0
    numbers = [float(n) for n in re.findall(r"\d{1,20}(?:\.\d*)?", text)]
    factors = [int(n) if n.is_integer() else 0 for n in numbers]
    if len(factors) == 1:
        factors = factors * 2 if factors[0] < 10 else [factors[0] // 10, factors[0] % 10]
    return check_binning(header, says, factors)


def check_binning(header: RawHeader, says: Value, factors: list[int]) -> tuple[int, int]:
    """Columns and rows that were added.

    Raises
    ------
    HeaderError
        That cannot be.
    """
    if len(factors) != 2 or not all(1 <= factor <= _MOST_BINNED for factor in factors):
        raise HeaderError(
            f"{header.path.name}: a binning of {says!r} is not understood; the frame is rejected"
        )
    return factors[0], factors[1]
