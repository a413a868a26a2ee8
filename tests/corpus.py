"""Files that go wrong, each in its own way, made from one good frame; the same bytes every time.

A `Case` says under which name a file is put into a night, how it is made, and what is to be said of it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy.ndimage import gaussian_filter, uniform_filter1d

BLOCK, CARD = 2880, 80
REJECTED, LEFT_OUT = "rejected", "leave out"


@dataclass(frozen=True)
class Sample:
    """A good frame: its bytes."""

    raw: bytes

    @cached_property
    def blocks(self) -> int:
        return len(self.raw) // BLOCK

    @cached_property
    def header(self) -> fits.Header:
        with fits.open(io.BytesIO(self.raw)) as hdus:
            return hdus[0].header.copy()

    @cached_property
    def image(self) -> np.ndarray:
        with fits.open(io.BytesIO(self.raw)) as hdus:
            return hdus[0].data.copy()

    def head(self) -> bytes:
        """The header's blocks."""
        return self.raw[: len(self.header.tostring())]

    def pixels(self) -> bytes:
        """What follows them."""
        return self.raw[len(self.head()) :]

    def edited(self, **cards: str | bytes | int) -> bytes:
        """The same file, with cards replaced by what is given, as it is, or by a number in its place.

        JD stands for a card to be added.
        """
        raw = bytearray(self.raw)
        for name, given in cards.items():
            card = name.replace("_", "-")
            text = f"{card:<8}= {given:>20}" if isinstance(given, int) else given
            line = text if isinstance(text, bytes) else text.encode("latin-1")
            at = self.raw.index(f"{card:<8}".encode())
            raw[at : at + CARD] = line.ljust(CARD)[:CARD]
        return bytes(raw)

    def saying(self, **cards: object) -> bytes:
        """The same file, with other values in its cards, as FITS writes them; None takes a card away."""
        return self.showing(self.image, **cards)

    def showing(self, image: np.ndarray, **cards: object) -> bytes:
        """A frame of these pixels, whose cards are those of the sample but for those given."""
        header = self.header.copy()
        for name, value in cards.items():
            card = name.replace("_", "-")
            if value is None:
                del header[card]
            else:
                header[card] = value
        if image.dtype.kind == "f":
            del header["BZERO"], header["BSCALE"]
        content = io.BytesIO()
        fits.PrimaryHDU(image, header).writeto(content, output_verify="silentfix+ignore")
        return content.getvalue()

    def at(self, seconds: float, image: np.ndarray | None = None, **cards: object) -> bytes:
        """A frame taken so much later than the sample."""
        start = np.datetime64(self.header["UT"].strip().replace(" ", "T"))
        now = str(start + np.timedelta64(round(1000 * seconds), "ms")).replace("T", " ")
        return self.showing(self.image if image is None else image, UT=now, **cards)


Make = Callable[[Path, Sample], object]


@dataclass(frozen=True)
class Case:
    """One file that is wrong.

    Attributes
    ----------
    file : str
        Its path within the night.
    make : callable
        Puts it there.
    reason : str
        A regular expression found in what is said of it; "" where it is a frame like others.
    status : str
        Its status in night.ecsv.
    row : str
        What night.ecsv calls it, if not as it is called.
    """

    file: str
    make: Make
    reason: str = ""
    status: str = REJECTED
    row: str = ""

    @property
    def called(self) -> str:
        return self.row or self.file

    def put(self, folder: Path, sample: Sample) -> Path:
        path = folder / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        self.make(path, sample)
        return path


def content(build: Callable[[Sample], bytes]) -> Make:
    """Writes what is built from the sample."""

    def make(path: Path, sample: Sample) -> None:
        path.write_bytes(build(sample))

    return make


def bad(
    file: str, build: Callable[[Sample], bytes], reason: str, *, status: str = REJECTED, row: str = ""
) -> Case:
    return Case(file, content(build), reason, status, row)


# -- cut off, empty, not FITS --------------------------------------------------------------------------------


def cut(blocks: int, more: int = 0) -> Case:
    """The first blocks of the file."""
    reason = r"truncated|not a readable FITS file|no SIMPLE|empty"
    return bad(f"cut_{blocks:02d}_{more:04d}.fits", lambda s: s.raw[: blocks * BLOCK + more], reason)


def truncated(blocks: int) -> list[Case]:
    """A file of so many blocks cut after each, and within the first, the second and the last."""
    return [*(cut(n) for n in range(blocks)), cut(0, 1), cut(0, 1440), cut(1, 1440), cut(blocks - 2, 2879)]


def not_fits() -> list[Case]:
    text = r"not a readable FITS file|corrupt"
    return [
        bad("text.fits", lambda s: b"the guider lost the star again\n" * 400, text),
        bad("page.fits", lambda s: b"<!DOCTYPE html><title>404 Not Found</title>" + bytes(4000), text),
        bad("jpeg.fits", lambda s: b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(9000), text),
        # After a power cut a file has its length, and nothing in it.
        bad("hollow.fits", lambda s: bytes(len(s.raw)), text),
        bad("noise.fits", lambda s: np.random.default_rng(5).bytes(len(s.raw)), text),
        bad("shifted.fits", lambda s: b"\n" + s.raw, text),
        bad("crlf.fits", lambda s: s.raw.replace(b" ", b"\r\n"), text + "|cannot be|is invalid|truncated"),
        bad("tail.fits", lambda s: s.pixels(), text),
    ]


# -- broken headers ------------------------------------------------------------------------------------------


def structural(name: str, reason: str, *, status: str = REJECTED, **cards: str | bytes | int) -> Case:
    """A file with cards that are written as given."""
    return bad(f"card_{name}.fits", lambda s: s.edited(**cards), reason, status=status)


def broken_headers() -> list[Case]:
    unreadable = r"not a readable FITS file|corrupt|cannot be|is invalid"
    cannot = unreadable
    no_image = "no image in it|not a readable FITS file"
    large = "too large|can hold|truncated"
    return [
        bad(
            "no_end.fits", lambda s: s.raw.replace(b"END".ljust(CARD), b" " * CARD), unreadable + "|truncated"
        ),
        bad("end_at_once.fits", lambda s: b"END".ljust(BLOCK) + s.pixels(), unreadable),
        bad("simple_only.fits", lambda s: s.raw[:CARD] + b"END".ljust(BLOCK - CARD), unreadable),
        structural("simple_f", unreadable, SIMPLE="SIMPLE  =                    F"),
        structural("simple_x", unreadable, SIMPLE="SIMPLE  = 'yes'"),
        structural("simple_gone", unreadable, SIMPLE="COMMENT"),
        structural("extension_first", unreadable, SIMPLE="XTENSION= 'IMAGE   '"),
        structural("bitpix_17", cannot, BITPIX=17),
        structural("bitpix_0", cannot, BITPIX=0),
        structural("bitpix_float", cannot, BITPIX="BITPIX  =                 16.5"),
        structural("bitpix_text", cannot, BITPIX="BITPIX  = 'sixteen'"),
        structural("bitpix_true", cannot, BITPIX="BITPIX  =                    T"),
        structural("bitpix_gone", cannot, BITPIX="COMMENT"),
        structural("bitpix_wide", "truncated", BITPIX=-64),
        structural("naxis_gone", cannot, NAXIS="COMMENT"),
        structural("naxis_negative", cannot, NAXIS=-2),
        structural("naxis_text", cannot, NAXIS="NAXIS   = 'two'"),
        structural("naxis_999", cannot, NAXIS=999),
        structural("naxis_0", no_image, NAXIS=0),
        structural("naxis_1", no_image, NAXIS=1),
        structural("naxis_4", cannot, NAXIS=4),
        structural("naxis1_gone", cannot, NAXIS1="COMMENT"),
        structural("naxis1_negative", cannot, NAXIS1=-160),
        structural("naxis1_zero", "without pixels|" + no_image, NAXIS1=0),
        structural("naxis1_text", cannot, NAXIS1="NAXIS1  = 'wide'"),
        structural("naxis1_float", cannot, NAXIS1="NAXIS1  =                160.0"),
        structural("naxis2_more", "truncated", NAXIS2=2000),
        structural("huge", large + "|not a readable", NAXIS1=2000000000, NAXIS2=2000000000),
        structural("huge_row", large + "|not a readable", NAXIS1=500000000, NAXIS2=1),
        structural("huge_number", large + "|" + unreadable, NAXIS1=f"NAXIS1  = {'9' * 60}"),
        structural("just_allowed", "truncated", NAXIS1=23170, NAXIS2=23170),
        structural(
            "groups",
            no_image + "|cannot be|is invalid|truncated",
            NAXIS1=0,
            JD="GROUPS  =                    T",
        ),
        structural("nextend", "truncated or corrupt", JD="NEXTEND =                    3"),
        structural(
            "exposure_no_number",
            "EXPOSURE = .* is not a number|no EXPOSURE card",
            EXPOSURE="EXPOSURE= twenty",
        ),
        structural(
            "exposure_open_quote",
            "EXPOSURE = .* is not a number|no EXPOSURE card",
            EXPOSURE="EXPOSURE= '20.0",
        ),
        structural("exposure_nul", "EXPOSURE", EXPOSURE=b"EXPOSURE= 2\x000"),
        bad("of_one_axis.fits", lambda s: s.showing(s.image[0]), "no image in it"),
        bad(
            "of_no_axis.fits",
            lambda s: s.head().replace(b"NAXIS   =                    2", b"NAXIS   =                    0"),
            "no image in it",
        ),
    ]


# -- exposures and dates -------------------------------------------------------------------------------------


def exposures() -> list[Case]:
    def said(name: str, value: object, reason: str) -> Case:
        return bad(f"exposure_{name}.fits", lambda s: s.saying(EXPOSURE=value), reason)

    return [
        said("negative", -1.0, "is invalid"),
        said("none", 0.0, "an exposure of 0 s .* is invalid"),
        said("gone", None, "no EXPOSURE card, which OPTICAM frames need"),
        said("nan", "NaN", "not a number"),
        said("inf", "inf", "not a number"),
        said("absurd", 1e30, "is invalid"),
        said("a_year", 4e7, "is invalid"),
        said("text", "20 s", "not a number"),
        said("blank", "", "no EXPOSURE card"),
        structural(
            "exposure_too_large", "is invalid|not a number", EXPOSURE="EXPOSURE=              1.0E+400"
        ),
        structural("exposure_endless", "is invalid|not a number", EXPOSURE="EXPOSURE= " + "9" * 70),
        structural("exposure_complex", "not a number", EXPOSURE="EXPOSURE=         (20.0, 1.0)"),
    ]


WRONG_TIMES = {
    "slashes": "22/02/25 05:00:00",
    "month_or_day": "02/03/2025 05:00:00",
    "mjd": "60728.25",
    "month_13": "2025-13-01 05:00:00.000",
    "hour_24": "2025-02-23 24:30:00.000",
    "minute_99": "2025-02-23 05:99:00.000",
    "year_0": "0000-00-00 00:00:00",
    "year_9999": "9999-12-31 23:59:59",
    "clock_never_set": "1970-01-01 00:00:00",
    "garbage": "\\o/",
    "percent": "%s%n%d 05:00:00",
}


def dates() -> list[Case]:
    def said(name: str, text: str) -> Case:
        build = lambda s: s.saying(UT=text, DATE_OBS=text)  # noqa: E731
        return bad(f"date_{name}.fits", build, "no valid time in the header")

    return [
        *(said(name, text) for name, text in WRONG_TIMES.items()),
        bad("date_none.fits", lambda s: s.saying(UT=None, DATE_OBS=None), "no valid time"),
        bad("date_only.fits", lambda s: s.saying(UT="2025-02-23", DATE_OBS="2025-02-23"), "no valid time"),
        bad("date_number.fits", lambda s: s.saying(UT=20250223, DATE_OBS=20250223.5), "no valid time"),
        structural(
            "date_latin1", "no valid time", UT=b"UT      = '2025\xb702\xb723 05:00:00'", DATE_OBS="COMMENT"
        ),
    ]


# -- what cannot be the frame it says it is ------------------------------------------------------------------


def misfits() -> list[Case]:
    def smaller(s: Sample) -> bytes:
        return s.showing(s.image[:, :128])

    return [
        bad("smaller.fits", smaller, "128 x 160 pixels, whereas "),
        bad("transposed.fits", lambda s: s.showing(s.image[:150].T), "150 x 160 pixels, whereas "),
        bad(
            "no_camera.fits",
            lambda s: s.saying(SERIALN="VSC-99999", FILTER="H-alpha"),
            "does not say which of",
        ),
        bad("binning_none.fits", lambda s: s.saying(BINNING="0x0"), "binning of '0x0' is not understood"),
        bad("binning_text.fits", lambda s: s.saying(BINNING="fast"), "binning of 'fast' is not understood"),
        bad("table.fits", lambda s: table(), "no image in it"),
        bad("binning_endless.fits", lambda s: s.saying(BINNING="9" * 30), "binning of .* is not understood"),
        bad(
            "binned_more.fits",
            lambda s: s.saying(CCDXBIN=1e20, CCDYBIN=1.0),
            "binning of .* is not understood",
        ),
        bad("focus.fits", lambda s: s.saying(IMGTYPE="focus"), "neither science nor", status=LEFT_OUT),
    ]


def table() -> bytes:
    """A FITS file with a table in it, and no image."""
    written = io.BytesIO()
    column = fits.Column("X", "E", array=np.arange(5.0))
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([column])]).writeto(written)
    return written.getvalue()


# -- packed --------------------------------------------------------------------------------------------------


def tiled(sample: Sample, **given: object) -> bytes:
    """The sample, compressed in tiles."""
    written = io.BytesIO()
    image = fits.CompImageHDU(sample.image, sample.header, **given)
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(written)
    return written.getvalue()


def tiled_with(sample: Sample, card: str, text: str) -> bytes:
    """The same, one card of the table replaced."""
    raw = tiled(sample)
    at = raw.index(f"{card:<8}=".encode())
    return raw[:at] + text.ljust(CARD).encode() + raw[at + CARD :]


def spoilt(raw: bytes, at: int) -> bytes:
    """64 bytes turned over."""
    return raw[:at] + bytes(255 - b for b in raw[at : at + 64]) + raw[at + 64 :]


def packed() -> list[Case]:
    broken = r"not a readable FITS file|truncated|cannot be|is invalid"
    return [
        bad("half_gz.fits.gz", lambda s: gzip.compress(s.raw, mtime=0)[:9000], broken),
        bad("spoilt_gz.fits.gz", lambda s: spoilt(gzip.compress(s.raw, mtime=0), 9000), broken),
        bad("wrong_sum.fits.gz", lambda s: gzip.compress(s.raw, mtime=0)[:-8] + bytes(8), broken),
        bad("only_magic.fits.gz", lambda s: b"\x1f\x8b", broken),
        bad("of_a_half.fits.gz", lambda s: gzip.compress(s.raw[:20000], mtime=0), "truncated"),
        bad("twice.fits.gz", lambda s: gzip.compress(gzip.compress(s.raw, mtime=0), mtime=0), broken),
        bad("half_bz2.fits.bz2", lambda s: bz2.compress(s.raw)[:9000], broken),
        bad("spoilt_bz2.fits.bz2", lambda s: spoilt(bz2.compress(s.raw), 9000), broken),
        bad("half_fz.fits.fz", lambda s: tiled(s)[:14400], broken),
        bad("bitpix.fits.fz", lambda s: tiled_with(s, "ZBITPIX", "ZBITPIX =                   17"), broken),
        bad(
            "naxis.fits.fz",
            lambda s: tiled_with(s, "ZNAXIS1", "ZNAXIS1 =                   -1"),
            broken + "|corrupt",
        ),
        bad(
            "huge.fits.fz",
            lambda s: tiled_with(s, "ZNAXIS1", "ZNAXIS1 =           2000000000"),
            "can hold|too large",
        ),
        bad(
            "heap.fits.fz",
            lambda s: tiled_with(s, "PCOUNT", "PCOUNT  =        9000000000000"),
            broken + "|corrupt",
        ),
    ]


def bomb(gigabytes: int, start: bytes = b"") -> bytes:
    """A small .gz that unpacks to so many gigabytes of nothing, behind a start."""
    member = gzip.compress(bytes(2**24), mtime=0)
    return gzip.compress(start, mtime=0) + member * (64 * gigabytes)


def bz2_bomb(gigabytes: int) -> bytes:
    """The same as .bz2, a hundred times smaller."""
    return bz2.compress(bytes(2**24)) * (64 * gigabytes)


def tiled_claim(sample: Sample, side: int) -> bytes:
    """A compressed image that declares a side of so many pixels, in a table of a few rows."""
    raw = tiled(sample)
    for card in ("ZNAXIS1", "ZNAXIS2"):
        at = raw.index(f"{card:<8}=".encode())
        raw = raw[:at] + f"{card:<8}= {side:>20}".ljust(CARD).encode() + raw[at + CARD :]
    return raw


# -- what is not a regular file -----------------------------------------------------------------------------------


def strangers(elsewhere: Path) -> list[Case]:
    """Links and devices; `elsewhere` is a folder outside the night with a frame in it."""
    return [
        Case(
            "link_out.fits",
            lambda p, s: p.symlink_to(elsewhere / "frame.fits"),
            "link.* out|leaves the night",
        ),
        Case("link_to_itself.fits", lambda p, s: p.symlink_to(p.name), "link"),
        Case("link_a.fits", lambda p, s: p.symlink_to("link_b.fits"), "link"),
        Case("link_b.fits", lambda p, s: p.symlink_to("link_a.fits"), "link"),
        Case("link_broken.fits", lambda p, s: p.symlink_to("never.fits"), "cannot be accessed"),
        Case(
            "link_to_device.fits",
            lambda p, s: p.symlink_to("/dev/zero"),
            "not a regular file|leaves the night|link",
        ),
        Case("pipe.fits", lambda p, s: os.mkfifo(p), "not a regular file"),
    ]


def unreadable_pixels() -> list[Case]:
    """Files that their headers do not betray."""
    pixels = "pixels cannot be read|not a readable FITS file|cannot be|is invalid|corrupt"
    return [
        structural("bzero_text", "BZERO = 'much' cannot scale", BZERO="BZERO   = 'much'"),
        structural(
            "bscale_nan",
            "BSCALE = NaN cannot scale",
            BSCALE="BSCALE  =                  NaN",
        ),
        structural("bscale_0", "BSCALE = 0 cannot scale", BSCALE=0),
        bad(
            "duplicate_naxis1.fits",
            lambda s: s.edited(JD=b"NAXIS1  =                  320"),
            "pixels cannot be read",
        ),
        bad(
            "tile.fits.fz",
            lambda s: tiled_with(s, "ZTILE1", "ZTILE1  =                    0"),
            pixels + "|corrupt",
        ),
        bad("rice.fits.fz", lambda s: tiled_with(s, "ZCMPTYPE", "ZCMPTYPE= 'ZIP_9   '"), pixels + "|corrupt"),
    ]


# -- frames whose pixels go wrong ----------------------------------------------------------------------------


APART = 21.0  # seconds from one exposure to the next, which is as long as one and its readout


def shot(index: int, image: Callable[[np.ndarray], np.ndarray]) -> Callable[[Sample], bytes]:
    """A frame of its own time whose pixels are made from the sample's."""
    return lambda s: s.at(APART * (1 + index), image(s.image))


def with_some(image: np.ndarray, value: float, every: int = 97) -> np.ndarray:
    """Every so many pixels are of that value; float32."""
    changed = image.astype(np.float32)
    changed.flat[::every] = value
    return changed


def one_pixel(image: np.ndarray) -> np.ndarray:
    """All 0 but for one."""
    return (np.arange(image.size) == 9999).reshape(image.shape).astype(image.dtype)


def whole(image: np.ndarray, value: float) -> np.ndarray:
    return np.full_like(image, value, dtype=np.float32 if not np.isfinite(value) else image.dtype)


def hollow(image: np.ndarray) -> np.ndarray:
    """The second half never reached the disk: bytes of 0, which are 32768 ADU."""
    changed = image.copy()
    changed[len(image) // 2 :] = 32768
    return changed


def sky_only(image: np.ndarray) -> np.ndarray:
    """Clouds: the sky's noise, and no star."""
    rng = np.random.default_rng(11)
    return rng.poisson(float(np.median(image)), image.shape).astype(image.dtype)


def trailed(image: np.ndarray) -> np.ndarray:
    """The telescope was not guided."""
    return uniform_filter1d(image.astype(float), 61, axis=1, mode="nearest").astype(image.dtype)


def crowded(image: np.ndarray, stars: int = 10_000) -> np.ndarray:
    """So many stars."""
    rng = np.random.default_rng(12)
    field = np.zeros(image.shape)
    np.add.at(field, tuple(rng.integers(0, n, stars) for n in image.shape), rng.pareto(1.5, stars) * 500)
    return np.clip(image + gaussian_filter(field, 1.0) * 6, 0, 65000).astype(image.dtype)


def white(image: np.ndarray) -> np.ndarray:
    """Dawn: all saturated, with some noise at the end of the scale."""
    return np.random.default_rng(13).integers(65000, 65536, image.shape).astype(image.dtype)


def shots(
    made: list[tuple[str, Callable[[np.ndarray], np.ndarray]]], reason: str, status: str, *, first: int
) -> list[Case]:
    """A case for each way to make pixels, one after another."""
    return [
        bad(f"pixels_{name}.fits", shot(first + index, image), reason, status=status)
        for index, (name, image) in enumerate(made)
    ]


def spoilt_pixels() -> list[Case]:
    """Frames that their headers do not betray, and that a telescope may well make."""
    constant: list = [("all_0", partial(whole, value=0)), ("all_saturated", partial(whole, value=65535))]
    no_number: list = [("all_nan", partial(whole, value=np.nan)), ("all_inf", partial(whole, value=np.inf))]
    unmatched: list = [
        ("white", white),
        ("sky_only", sky_only),
        ("trailed", trailed),
        ("crowded", crowded),
        ("hollow", hollow),
        ("most_nan", partial(with_some, value=np.nan, every=2)),
        ("one_pixel", one_pixel),
        ("bytes_swapped", lambda image: image.byteswap()),
        ("negative", lambda image: (-1000.0 - image).astype(np.float32)),
    ]
    return [
        *shots(constant, "no exposure", REJECTED, first=0),
        *shots(no_number, "no pixel of HDU 0 is a number", REJECTED, first=10),
        *shots(unmatched, "stars against|no star", "flagged", first=20),
    ]


def damaged() -> list[Case]:
    """Frames in which enough is whole to be measured."""
    some = {"nan": np.nan, "inf": np.inf, "minus_inf": -np.inf, "huge": 3e38}
    made: list = [(f"some_{name}", partial(with_some, value=value)) for name, value in some.items()]
    made.append(("upside_down", lambda image: image[::-1, ::-1].copy()))
    return shots(made, "", "measured", first=40)


# -- names ---------------------------------------------------------------------------------------------------

ODD_NAMES: tuple[str | bytes, ...] = (
    "with blanks in it.fits",
    " leading.fits",
    "-rf.fits",
    "--out.fits",
    "#comment.fits",
    "new\nline.fits",
    "tab\tbell\a.fits",
    "quotes\"'`;$(id)&|.fits",
    "comma,semi;colon.fits",
    "ε Eri ★ 日本.fits",
    "\u202egnp.fits",
    "<img src=x onerror=alert(1)>.FITS",
    "{{7*7}}%s%n{0}.fts",
    "=1+1.fit",
    "night.ecsv.fits",
    "nul.fits",
    "~.fits",
    "n" * 245 + ".fits",
    "cafe\u0301.fits",
    "..fits.fits",
    b"latin\xe9\xff.fits",
)

ODD_TARGETS = (
    "../../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "cals",
    "log",
    "night.ecsv",
    "run.json",
    "CON",
    "red",
    "a/b\\c",
    'it\'s "quoted"',
    "<script>alert(1)</script>",
    "{{ 7 * 7 }}",
    "%s %n %d",
    "$(touch pwned)`id`",
    "x" * 500,
    "#1, first; row",
    "-rf *",
    "=cmd()",
    "nan",
)
