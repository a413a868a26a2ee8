"""The sums that FITS files carry of themselves: DATASUM of the pixels, CHECKSUM of a whole HDU (FITS 4.0, 4.4.2.7)."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

__all__ = ["agrees_with_checksum", "datasum", "sums_written"]

_ONES = 2**32 - 1
_CARD = 80  # bytes
_SUM = re.compile(rb"(DATASUM |CHECKSUM)= *'?([^'/]*)")


def datasum(content: bytes | memoryview, *, total: int = 0) -> int:
    """The 32-bit ones' complement sum of a data unit's words, as DATASUM gives it.

    Parameters
    ----------
    content : bytes
        As they are in the file, padded to blocks.
    total : int
        The sum of what comes before it.
    """
    if len(content) % 4:  # a file without its last padding
        content = bytes(content) + bytes(-len(content) % 4)
    total += int(np.frombuffer(content, ">u4").sum(dtype=np.uint64))
    while total > _ONES:
        total = (total & _ONES) + (total >> 32)
    return total


def sums_written(header: bytes) -> tuple[int | None, str]:
    """What a header says of its HDU's sums: DATASUM, None where it is no number, and CHECKSUM, "" where it has none."""
    if b"DATASUM " not in header and b"CHECKSUM" not in header:
        return None, ""
    cards = (_SUM.match(header, at, at + _CARD) for at in range(0, len(header), _CARD))
    says = {card[1].decode().strip(): card[2].decode("latin-1").strip() for card in cards if card}
    data, checksum = says.get("DATASUM", ""), says.get("CHECKSUM", "")
    return (int(data) if data.isdecimal() and data.isascii() else None), checksum.strip("0")


def agrees_with_checksum(parts: Iterable[int]) -> bool:
    """Whether the sums of an HDU's header and data together are those of an HDU whose CHECKSUM is right: all ones."""
    return sum(parts) % _ONES == 0
