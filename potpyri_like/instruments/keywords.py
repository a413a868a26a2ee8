"""Which card holds which quantity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import astropy.units as u

from potpyri_like.errors import DeclarationError, HeaderError
from potpyri_like.header import RawHeader

__all__ = ["Compound", "HeaderKeywords", "Keyword"]


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

    def read(self, header: RawHeader) -> Any:
        """The value: a Quantity where a unit is declared, else text; None where an optional card is absent.

        Raises
        ------
        HeaderError
            No card of that name, or no number in it.
        """
        value = next((header[card] for card in self.cards if card in header), None)
        if value is None:
            if self.optional:
                return None
            raise HeaderError(f"{header.path.name}: no {' or '.join(self.cards)} card")
        return str(value).strip() if self.unit is None else number(header, self.card, value) * self.unit

    def write(self, value: Any) -> dict[str, Any]:
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
    combine: Callable[..., Any]
    split: Callable[[Any], tuple[Any, ...]]
    optional: bool = False

    def read(self, header: RawHeader) -> Any:
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
        except (TypeError, ValueError) as error:
            found = ", ".join(f"{card} = {header[card]!r}" for card in self.cards)
            raise HeaderError(f"{header.path.name}: {found} cannot be combined ({error})") from error

    def write(self, value: Any) -> dict[str, Any]:
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

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None and not isinstance(value, Keyword | Compound):
                raise DeclarationError(
                    f"HeaderKeywords: {item.name} = {value!r}; give Keyword({value!r}) or a Compound"
                )
        if isinstance(self.exposure, Keyword) and (
            self.exposure.unit is None or not self.exposure.unit.is_equivalent(u.s)
        ):
            raise DeclarationError(
                f"HeaderKeywords: exposure = {self.exposure.card} has the unit {self.exposure.unit}; "
                "give a unit of time, as in Keyword('EXPTIME', u.s)"
            )

    def items(self) -> Mapping[str, Keyword | Compound]:
        """The declared keywords by quantity."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}


def number(header: RawHeader, card: str, value: Any) -> float:
    """A card's value as a number, or an error that names file, card and value."""
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise HeaderError(f"{header.path.name}: {card} = {value!r} is not a number") from error
