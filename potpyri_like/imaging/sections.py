"""FITS image sections, `[x1:x2,y1:y2]`: 1-based, ends included, x first. Converted here and nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass

from potpyri_like.errors import HeaderError

__all__ = ["Section", "parse_mirrored", "parse_section", "says_nothing"]

_RANGE = r"\s*(\d+)\s*:\s*(\d+)\s*"
_SECTION = re.compile(rf"\s*\[{_RANGE},{_RANGE}\]\s*")
# What observatories write where there is no section: nothing, a word, or zeros
_NOTHING = re.compile(r"[\s\[\]0:,]*|N/?A|NONE|NULL|UNKNOWN|UNDEFINED", re.IGNORECASE)


@dataclass(frozen=True)
class Section:
    """A rectangle of pixels: 0-based, first included, last excluded."""

    x0: int
    x1: int
    y0: int
    y1: int

    def __post_init__(self) -> None:
        if not (0 <= self.x0 < self.x1 and 0 <= self.y0 < self.y1):
            raise HeaderError(f"the section {self.fits()} has no pixels or starts before pixel 1")

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return self.y1 - self.y0, self.x1 - self.x0

    def fits(self) -> str:
        """The section as a FITS header writes it."""
        return f"[{self.x0 + 1}:{self.x1},{self.y0 + 1}:{self.y1}]"

    def binned(self, bx: int, by: int) -> Section:
        """The binned pixels that lie wholly inside this section of unbinned ones.

        Parameters
        ----------
        bx, by : int
            Columns and rows that make one binned pixel; binning starts at the first pixel.
        """
        return Section(-(-self.x0 // bx), self.x1 // bx, -(-self.y0 // by), self.y1 // by)

    def inside(self, shape: tuple[int, int]) -> bool:
        """Whether an image of `shape` (rows, columns) holds all of it."""
        return self.y1 <= shape[0] and self.x1 <= shape[1]


def parse_section(text: str) -> Section:
    """The section that a FITS header writes as `[x1:x2,y1:y2]`; blanks do not matter."""
    x1, x2, y1, y2 = _numbers_in(text)
    if not (1 <= x1 <= x2 and 1 <= y1 <= y2):
        raise HeaderError(f"the section {text!r} runs backwards or starts before pixel 1")
    return Section(x1 - 1, x2, y1 - 1, y2)


def parse_mirrored(text: str) -> tuple[Section, bool, bool]:
    """A section that may run backwards, and whether its columns and its rows do.

    ``[4096:2049,1:2048]`` is where an amplifier's image lies on the detector that is read from right to left.
    """
    x1, x2, y1, y2 = _numbers_in(text)
    if min(x1, x2, y1, y2) < 1:
        raise HeaderError(f"the section {text!r} starts before pixel 1")
    return Section(min(x1, x2) - 1, max(x1, x2), min(y1, y2) - 1, max(y1, y2)), x1 > x2, y1 > y2


def says_nothing(text: str) -> bool:
    """Whether a header says in place of a section that there is none: blank, "N/A", "UNKNOWN", ``[0:0,0:0]``."""
    return _NOTHING.fullmatch(str(text).strip()) is not None


def _numbers_in(text: str) -> tuple[int, int, int, int]:
    """The numbers of a section, as they are written."""
    found = _SECTION.fullmatch(str(text))
    if found is None:
        raise HeaderError(f"the section {text!r} is not of the form [x1:x2,y1:y2], in whole pixels")
    x1, x2, y1, y2 = (int(number) for number in found.groups())
    return x1, x2, y1, y2
