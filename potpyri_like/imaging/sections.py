"""FITS image sections, `[x1:x2,y1:y2]`: 1-based, ends included, x first. Converted here and nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass

from potpyri_like.errors import HeaderError

__all__ = ["Section", "parse_section"]

_RANGE = r"\s*(\d+)\s*:\s*(\d+)\s*"
_SECTION = re.compile(rf"\s*\[{_RANGE},{_RANGE}\]\s*")


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
    found = _SECTION.fullmatch(str(text))
    if found is None:
        raise HeaderError(f"the section {text!r} is not of the form [x1:x2,y1:y2], in whole pixels")
    x1, x2, y1, y2 = (int(number) for number in found.groups())
    if not (1 <= x1 <= x2 and 1 <= y1 <= y2):
        raise HeaderError(f"the section {text!r} runs backwards or starts before pixel 1")
    return Section(x1 - 1, x2, y1 - 1, y2)
