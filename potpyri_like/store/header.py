"""The header of a raw file, whatever the number of its extensions, as the instruments see it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType

from astropy.io import fits

from potpyri_like.errors import HeaderError

__all__ = [
    "CardValue",
    "RawHeader",
    "as_number",
    "broken_card",
    "card_value",
    "comment_of",
    "texts_beyond_ascii",
]

CardValue = str | int | float | bool
_CARD = 80  # bytes
_DECIMAL_COMMA = re.compile(r"[+-]?(\d*,(\d{1,2}|\d{4,})|0,\d+)")
_TEXT = re.compile(rb"([A-Z0-9_-]{1,8} *)= *'((?:[^']|'')*)'")


@dataclass(frozen=True)
class RawHeader(Mapping[str, CardValue]):
    """All headers of one raw file; ``header["CARD"]`` finds a card in the first that has it.

    Text comes without the blanks around it. A card that is there without a value, or whose value cannot be
    parsed, counts as missing.

    Attributes
    ----------
    path : Path
    hdus : tuple of astropy.io.fits.Header
        The primary header first.
    inside : str
        The path within the night, with slashes; rules on folders look at this.
    texts : tuple of mapping of str to str
        For each HDU the cards with text beyond ASCII, which FITS does not allow and camera software writes all the
        same: "Hα". astropy gives question marks for it.
    """

    path: Path
    hdus: tuple[fits.Header, ...]
    inside: str = ""
    texts: tuple[Mapping[str, str], ...] = ()

    def __getitem__(self, card: str) -> CardValue:
        for header, texts in zip_longest(self.hdus, self.texts, fillvalue=MappingProxyType[str, str]({})):
            value = texts.get(card) or card_value(header, card)
            if value is not None:
                return value
        raise KeyError(card)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(card for header in self.hdus for card in header))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, card: object) -> bool:
        return any(card_value(header, str(card)) is not None for header in self.hdus)

    def of(self, hdu: int) -> RawHeader:
        """The same, with the cards of one extension looked up first."""
        if not hdu:
            return self
        texts = (self.texts[hdu], *self.texts[:1]) if self.texts else ()
        return RawHeader(self.path, (self.hdus[hdu], *self.hdus[:1]), self.inside, texts)

    @property
    def images(self) -> tuple[int, ...]:
        """The HDUs that hold an image."""
        return tuple(i for i, header in enumerate(self.hdus) if _has_image(header))

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of the first image, (rows, columns) or (planes, rows, columns).

        Raises
        ------
        HeaderError
            The file holds no image.
        """
        if not self.images:
            raise HeaderError(f"{self.path.name}: no image in it; the file is left out")
        header = self.hdus[self.images[0]]
        return tuple(int(header[f"NAXIS{axis}"]) for axis in range(int(header["NAXIS"]), 0, -1))


def as_number(value: CardValue) -> float:
    """A card's value as a number; "60,0" is 60, as observers in half of Europe write it.

    Raises
    ------
    ValueError
        It is none. "60,000" may be 60 or 60,000: it is none either.
    """
    if isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value.strip()):
        return float(value.replace(",", "."))
    return float(value)


def broken_card(header: RawHeader, card: str) -> str:
    """A card that is there and cannot be parsed, with what it says, without its comment; "" where there is none."""
    for hdu in header.hdus:
        if card in hdu:
            try:
                hdu[card]
            except (fits.VerifyError, ValueError):
                return f"{card} = {_written(hdu, card)}"
    return ""


def _written(header: fits.Header, card: str) -> str:
    """The value of a card that cannot be parsed, as it is written; "?" where not even that can be had."""
    with warnings.catch_warnings(), suppress(fits.VerifyError, ValueError):
        warnings.simplefilter("ignore")  # that it is broken is what is wanted
        value = header.cards[card].image.partition("=")[2].partition("/")[0]
        return value.strip(" '") or "?"
    return "?"


def texts_beyond_ascii(header: bytes) -> dict[str, str]:
    """The cards of a header with text that is no ASCII, by keyword: as UTF-8, or else Latin-1."""
    found: dict[str, str] = {}
    for start in range(0, 0 if header.isascii() else len(header), _CARD):
        card = header[start : start + _CARD]
        match = None if card.isascii() else _TEXT.match(card)
        if match is not None:
            text = match[2].replace(b"''", b"'")
            try:
                found[match[1].decode("ascii").strip()] = text.decode("utf-8").strip()
            except UnicodeDecodeError:
                found[match[1].decode("ascii").strip()] = text.decode("latin-1").strip()
    return {card: text for card, text in found.items() if text}


def comment_of(header: RawHeader, card: str) -> str:
    """The comment of a card, in the HDU in which `header[card]` finds its value; "" where it has none."""
    for hdu in header.hdus:
        if card_value(hdu, card) is not None:
            return str(hdu.comments[card])
    return ""


def _has_image(header: fits.Header) -> bool:
    """Whether an HDU holds an image; a table has two axes, too."""
    return header.get("NAXIS", 0) >= 2 and card_value(header, "XTENSION") in (None, "IMAGE")


def card_value(header: fits.Header, card: str) -> CardValue | None:
    """The value of a card, stripped; None where it is absent, blank or broken."""
    try:
        value = header.get(card)
    except (fits.VerifyError, ValueError):
        return None
    if isinstance(value, str):
        return value.strip() or None
    return None if isinstance(value, fits.card.Undefined) else value
