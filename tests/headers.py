"""Headers of raw files without the files."""

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
    """The headers in a text with one card per line, HDUs parted by ``--- HDU n ---``."""
    parts = path.read_text(encoding="ascii").split("--- HDU ")[1:]
    hdus = [fits.Header.fromstring(part.split("\n", 1)[1].rstrip("\n"), sep="\n") for part in parts]
    return RawHeader(path, tuple(hdus), path.name)
