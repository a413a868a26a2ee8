"""The header of a raw file, whatever the number of its extensions, as the instruments see it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
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
# "3,2" but not "60,000", which may be sixty thousand; with an exponent it cannot be
_DECIMAL_COMMA = re.compile(
    r"[+-]?(\d*,(\d{1,2}|\d{4,})|0,\d+|\d+,\d+(?=[ED]))([ED][+-]?\d+)?", re.IGNORECASE
)
_DOUBLE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)D[+-]?\d+", re.IGNORECASE)  # FORTRAN's exponents
_SCIENCE = re.compile(r"(SCI(ENCE)?|IMAGE)(\W|_|\d|$)", re.IGNORECASE)
# Planes beside an image that are not the sky, by the names that pipelines give them
_BESIDE = re.compile(
    r"(BPM|DQ|(BAD)?PIX|(BAD)?MASK|MSK|ERR(ORS?)?|VAR(IANCE)?|UNC(ERT(AINTY)?)?|IVAR|STD(DEV)?|RMS|NOISE|WEIGHTS?|WHT|WT"
    r"|SKY|BKG|BACKGROUND|FLAGS?|QUALITY|CONF(IDENCE)?|EXP(OSURE)?MAP|COVERAGE|CATALOG(UE)?|CAT"
    r"|PREVIEW|THUMB(NAIL)?|QUICK-?LOOK)(\W|_|\d|$)",
    re.IGNORECASE,
)
_PREVIEW = 4  # times smaller in both axes, and of the same proportions
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
    chosen : int or None
        The HDU of the image, where it was declared.
    altered : tuple of int
        The HDUs whose headers were changed after their CHECKSUM was written.
    """

    path: Path
    hdus: tuple[fits.Header, ...]
    inside: str = ""
    texts: tuple[Mapping[str, str], ...] = ()
    chosen: int | None = None
    altered: tuple[int, ...] = ()

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

    def mentions(self, *cards: str) -> bool:
        """Whether any of some cards is there, whatever it says: quicker than to read them."""
        return any(card in header for header in self.hdus for card in cards)

    def of(self, hdu: int) -> RawHeader:
        """The same, with the cards of one extension looked up first."""
        if not hdu:
            return self
        texts = (self.texts[hdu], *self.texts[:1]) if self.texts else ()
        return RawHeader(self.path, (self.hdus[hdu], *self.hdus[:1]), self.inside, texts)

    @cached_property
    def images(self) -> tuple[int, ...]:
        """The HDUs that hold an image; one without pixels is none."""
        return tuple(
            i for i, header in enumerate(self.hdus) if _has_image(header) and 0 not in _shape(header)
        )

    @cached_property
    def image(self) -> int:
        """The HDU with the image of the sky: as declared, else by its name, else the largest, the first of equals.

        Raises
        ------
        HeaderError
            The file holds no image.
        """
        if self.chosen is not None:
            return self.chosen
        if not self.images:
            empty = next((_shape(header) for header in self.hdus if _has_image(header)), None)
            what = "no image in it" if empty is None else f"an image without pixels, {empty}"
            raise HeaderError(f"{self.path.name}: {what}; the file is rejected")
        return max(self.contenders, key=lambda hdu: (_area(self.hdus[hdu]), -hdu))

    @property
    def contenders(self) -> tuple[int, ...]:
        """The HDUs that may be the image of the sky: those so named, else those not named for something else."""
        named = [i for i in self.images if _SCIENCE.match(_extension(self.hdus[i]))]
        others = [i for i in self.images if not _BESIDE.match(_extension(self.hdus[i]))]
        return tuple(named or others or self.images)

    @property
    def others(self) -> tuple[int, ...]:
        """The HDUs with other images than the one that is used, without those named for something else."""
        return tuple(
            i for i in self.images if i != self.image and not _BESIDE.match(_extension(self.hdus[i]))
        )

    def is_preview(self, hdu: int) -> bool:
        """Whether an image is a small copy of the one that is used, by its size."""
        (rows, columns), (high, wide) = (_shape(self.hdus[n])[-2:] for n in (hdu, self.image))
        alike = abs(high / rows - wide / columns) <= 0.1 * wide / columns
        return alike and wide >= _PREVIEW * columns

    def image_in_words(self, hdu: int) -> str:
        """An image by its HDU, its name and its size: "HDU 1 (SCI, 256 x 256 pixels)"."""
        name, (rows, columns) = _extension(self.hdus[hdu]), _shape(self.hdus[hdu])[-2:]
        return f"HDU {hdu} ({name + ', ' if name else ''}{columns} x {rows} pixels)"

    @cached_property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of the image, (rows, columns) or (planes, rows, columns).

        Raises
        ------
        HeaderError
            The file holds no image.
        """
        return _shape(self.hdus[self.image])


def as_number(value: CardValue) -> float:
    """A card's value as a number; "60,0" is 60, as observers in half of Europe write it, and "6.0D1", as FORTRAN does.

    Raises
    ------
    ValueError
        It is none. "60,000" may be 60 or 60,000: it is none either.
    """
    if isinstance(value, str) and (
        _DECIMAL_COMMA.fullmatch(value.strip()) or _DOUBLE.fullmatch(value.strip())
    ):
        return float(value.replace(",", ".").upper().replace("D", "E"))
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


def _shape(header: fits.Header) -> tuple[int, ...]:
    """The shape of an HDU's array, the fastest axis last."""
    return tuple(int(header[f"NAXIS{axis}"]) for axis in range(int(header["NAXIS"]), 0, -1))


def _area(header: fits.Header) -> int:
    """The pixels of one plane of an image."""
    rows, columns = _shape(header)[-2:]
    return rows * columns


def _extension(header: fits.Header) -> str:
    """The name of an HDU; "" where it has none."""
    return str(card_value(header, "EXTNAME") or "")


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
