"""Headers of raw files without the files."""

import re
from pathlib import Path

from astropy.io import fits

from potpyri_like.store.header import RawHeader


def make_header(cards=None, *, inside="frame.fits", shape=(64, 64), bitpix=16, extensions=()):
    """A raw header with these cards in its primary HDU, and an image there unless there are extensions."""
    primary = {} if extensions else {"BITPIX": bitpix, "NAXIS": len(shape)}
    primary |= {f"NAXIS{axis}": n for axis, n in enumerate(reversed(shape), start=1)} if primary else {}
    hdus = [fits.Header((primary or {"NAXIS": 0}) | dict(cards or {})), *map(fits.Header, extensions)]
    return RawHeader(Path(inside), tuple(hdus), inside)


def text_headers(path):
    """The headers in a text with one card per line, HDUs parted by ``--- PHU ---`` and ``--- HDU n ---``."""
    text = path.read_text(encoding="ascii", errors="replace")
    parts = re.split(r"^--- (?:PHU|HDU \d+) ---\s*$", text, flags=re.MULTILINE)
    hdus = [_cards_in(part) for part in parts[1:] or parts]
    return RawHeader(path, tuple(hdus), path.name)


def _cards_in(text):
    """The cards among the lines of a text."""
    lines = [
        line for line in text.splitlines() if re.match(r"[A-Z0-9_-]{1,8} *=|COMMENT|HISTORY|CONTINUE", line)
    ]
    return fits.Header.fromstring("\n".join(lines), sep="\n")
