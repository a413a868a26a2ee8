"""One sky in some fifty forms of a raw file: the same electrons to the quantisation, or a rejection by name."""

import bz2
import gzip
import lzma
import zipfile
from functools import cache

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from plain import GAIN, Plain, cards

import potpyri_like
from potpyri_like.errors import FrameError

EXPTIME = 60.0
SHAPE = (48, 64)
BLANK_AT = (7, 9)  # row, column of a pixel without data, where a form has one
BLOCK = 2880


@cache
def sky():
    """Counts of a star on a sky, whole numbers below 4000."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    star = 2500 * np.exp(-((x - 30) ** 2 + (y - 20) ** 2) / 12)
    return np.clip(np.round(400 + star + rng.normal(0, 12, SHAPE)), 0, 3999)


# -- the forms: each writes a file and gives its path --------------------------------------------------------


def stored(path, kind, *, bzero=0.0, bscale=1.0, blank=None, header=None, extension=False, written=None):
    """An image of that type of numbers, physical values = BZERO + BSCALE x stored, written byte by byte."""
    values = (sky() - bzero) / bscale
    dtype = np.dtype(kind).newbyteorder(">")
    values = np.round(values) if dtype.kind in "iu" else values
    values = values.astype(dtype)
    if blank is not None:
        values[BLANK_AT] = blank
    bitpix = dtype.itemsize * (8 if dtype.kind in "iu" else -8)
    head = fits.Header([("XTENSION", "IMAGE") if extension else ("SIMPLE", True), ("BITPIX", bitpix)])
    head["NAXIS"], head["NAXIS1"], head["NAXIS2"] = 2, SHAPE[1], SHAPE[0]
    if extension:
        head["PCOUNT"], head["GCOUNT"] = 0, 1
    head.update(cards() if header is None else header)
    for card, value in {
        "BZERO": bzero,
        "BSCALE": bscale,
        **({} if blank is None else {"BLANK": blank}),
    }.items():
        if (card, value) not in (("BZERO", 0.0), ("BSCALE", 1.0)):
            head[card] = value
    text = head.tostring().encode()
    for card, value in (written or {}).items():
        at = text.index(f"{card:8s}=".encode())
        text = text[:at] + f"{card:8s}= {value}".ljust(80)[:80].encode("latin-1") + text[at + 80 :]
    data = values.tobytes()
    first = fits.PrimaryHDU().header.tostring().encode() if extension else b""
    path.write_bytes(first + text + data + bytes(-len(data) % BLOCK))
    return path


def hdus(path, *units, **options):
    fits.HDUList(list(units)).writeto(path, **options)
    return path


def image(kind="u2", data=None, make=fits.PrimaryHDU, **more):
    return make(sky().astype(kind) if data is None else data, cards(), **more)


def compressed(path, method, kind="u2", **options):
    unit = fits.CompImageHDU(sky().astype(kind), cards(), compression_type=method, **options)
    return hdus(path, fits.PrimaryHDU(), unit)


def packed(path, pack):
    plain = stored(path.with_name("plain.fits"), "u2")
    path.write_bytes(pack(plain.read_bytes()))
    plain.unlink()
    return path


def zipped(path, *members):
    plain = stored(path.with_name("plain.fits"), "i2").read_bytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members or ("light.fits",):
            archive.writestr(member, plain if member.endswith(".fits") else b"notes")
    path.with_name("plain.fits").unlink()
    return path


def changed(path, at, bit=0x40):
    content = bytearray(path.read_bytes())
    content[at] ^= bit
    path.write_bytes(content)
    return path


def preview(data=None):
    small = sky().reshape(SHAPE[0] // 8, 8, SHAPE[1] // 8, 8).mean((1, 3)).astype(np.int16)
    return fits.PrimaryHDU(small if data is None else data, cards())


NUMBERS = {
    "unsigned 8 bits": (lambda p: stored(p, "u1", bzero=-10.0, bscale=20.0), 10),
    "signed 8 bits": (lambda p: stored(p, "u1", bzero=-128.0, bscale=20.0), 10),
    "signed 16 bits": (lambda p: stored(p, "i2"), 0),
    "unsigned 16 bits": (lambda p: stored(p, "i2", bzero=32768.0), 0),
    "unsigned 16 bits, whole cards": (lambda p: stored(p, "i2", bzero=32768, bscale=1), 0),
    "signed 32 bits": (lambda p: stored(p, "i4"), 0),
    "unsigned 32 bits": (lambda p: stored(p, "i4", bzero=2147483648.0), 0),
    "signed 64 bits": (lambda p: stored(p, "i8"), 0),
    "32-bit floats": (lambda p: stored(p, "f4"), 1e-3),
    "64-bit floats": (lambda p: stored(p, "f8"), 1e-3),
    "16 bits, coarse": (lambda p: stored(p, "i2", bzero=1000.0, bscale=4.0), 2),
    "16 bits, fine": (lambda p: stored(p, "i2", bzero=2000.0, bscale=0.125), 0.0625),
    "32 bits, scaled": (lambda p: stored(p, "i4", bzero=-5.5, bscale=0.01), 0.005),
    "floats, scaled": (lambda p: stored(p, "f4", bzero=100.0, bscale=2.0), 1e-3),
    "negative scale": (lambda p: stored(p, "i2", bzero=4000.0, bscale=-1.0), 0),
    "extension": (lambda p: stored(p, "i2", bzero=32768.0, extension=True), 0),
}
PACKED = {
    "gzip.fits.gz": (lambda p: packed(p, gzip.compress), 0),
    "bzip2.fits.bz2": (lambda p: packed(p, bz2.compress), 0),
    "xz.fits.xz": (lambda p: packed(p, lzma.compress), 0),
    "lzma.fits.lzma": (lambda p: packed(p, lambda c: lzma.compress(c, format=lzma.FORMAT_ALONE)), 0),
    "zip.fits.zip": (zipped, 0),
    "zip.zip": (lambda p: zipped(p, "readme.txt", "night/light.fits"), 0),
    "RICE": (lambda p: compressed(p, "RICE_1"), 0),
    "RICE, signed": (lambda p: compressed(p, "RICE_1", "i2"), 0),
    "RICE, 32 bits": (lambda p: compressed(p, "RICE_1", "i4"), 0),
    "GZIP_1": (lambda p: compressed(p, "GZIP_1"), 0),
    "GZIP_2": (lambda p: compressed(p, "GZIP_2", "i4"), 0),
    "PLIO": (lambda p: compressed(p, "PLIO_1", "i2"), 0),
    "HCOMPRESS": (lambda p: compressed(p, "HCOMPRESS_1", "i4"), 0),
    "GZIP, floats": (lambda p: compressed(p, "GZIP_2", "f4", quantize_level=0.0), 1e-3),
    "RICE, quantised floats": (lambda p: compressed(p, "RICE_1", "f4", quantize_level=16), 1.0),
}
PLACED = {
    "preview in the primary": (lambda p: hdus(p, preview(), image(make=fits.ImageHDU)), 0),
    "preview behind": (lambda p: hdus(p, image(), fits.ImageHDU(preview().data, name="PREVIEW")), 0),
    "primary of no pixels": (
        lambda p: no_pixels(hdus(p, fits.PrimaryHDU(), image(make=fits.ImageHDU))),
        0,
    ),
    "image with errors and mask": (
        lambda p: hdus(
            p,
            fits.PrimaryHDU(header=cards()),
            fits.ImageHDU(np.zeros(SHAPE, np.uint8), name="BPM"),
            fits.ImageHDU(sky().astype("f4") ** 0.5, name="ERR"),
            image(make=fits.ImageHDU, name="SCI"),
        ),
        0,
    ),
    "a larger mask before it": (
        lambda p: hdus(
            p,
            fits.PrimaryHDU(header=cards()),
            fits.ImageHDU(np.zeros((96, 128), np.uint8), name="DQ"),
            image(make=fits.ImageHDU),
        ),
        0,
    ),
    "table before it": (
        lambda p: hdus(
            p,
            fits.PrimaryHDU(header=cards()),
            fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2])]),
            image(make=fits.ImageHDU),
        ),
        0,
    ),
    "third axis of length 1": (lambda p: hdus(p, image(data=sky()[None].astype("u2"))), 0),
    "fourth axis of length 1": (lambda p: hdus(p, image(data=sky()[None, None].astype("f4"))), 1e-3),
    "bytes behind the end": (lambda p: appended(stored(p, "u2"), bytes(1000)), 0),
    "no padding": (lambda p: cut(stored(p, "i2"), -SHAPE[0] * SHAPE[1] * 2 % BLOCK), 0),
}
CARDS = {
    "EXPTIME with a comma": (lambda p: stored(p, "i2", header=cards(EXPTIME="60,0")), 0),
    "EXPTIME with an exponent": (lambda p: stored(p, "i2", header=cards(EXPTIME="6,0E+01")), 0),
    "EXPTIME with a D": (lambda p: stored(p, "i2", written={"EXPTIME": "               6.0D+01"}), 0),
    "EXPTIME as text": (lambda p: stored(p, "i2", header=cards(EXPTIME="60.0")), 0),
    "BINNING with a point": (lambda p: stored(p, "i2", header=cards(XBINNING=1.0)), 0),
    "BINNING as text": (lambda p: stored(p, "i2", header=cards(XBINNING="1.0")), 0),
    "long text": (lambda p: stored(p, "i2", header=cards(COMMENTS="x" * 200)), 0),
    "HIERARCH": (lambda p: stored(p, "i2", header=cards(**{"HIERARCH ESO DET ID": 5})), 0),
    "Latin-1": (lambda p: stored(p, "i2", written={"OBJECT": "'M\xe9duse'"}), 0),
    "DATASUM and CHECKSUM": (lambda p: hdus(p, image(), checksum=True), 0),
    "CHECKSUM, compressed": (
        lambda p: hdus(p, fits.PrimaryHDU(), fits.CompImageHDU(sky().astype("u2"), cards()), checksum=True),
        0,
    ),
}
WITH_BLANK = {
    "BLANK of 16 bits": (lambda p: stored(p, "i2", blank=-32768), 0),
    "BLANK of unsigned": (lambda p: stored(p, "i2", bzero=32768.0, blank=-32768), 0),
    "BLANK of unsigned, amid the counts": (lambda p: stored(p, "i2", bzero=32768.0, blank=-28000), 0),
    "BLANK, scaled": (lambda p: stored(p, "i2", bzero=1000.0, bscale=0.5, blank=-32768), 0.25),
    "BLANK of 8 bits": (lambda p: stored(p, "u1", bzero=-10.0, bscale=20.0, blank=255), 10),
    "NaN": (lambda p: stored(p, "f4", blank=None) and with_nan(p), 1e-3),
}
REJECTED = {
    "BZERO with a comma": (
        lambda p: stored(p, "i2", bzero=32768.0, written={"BZERO": "           32768,0"}),
        "BZERO = 32768,0",
    ),
    "BZERO as text": (
        lambda p: stored(p, "i2", bzero=32768.0, written={"BZERO": "'32768   '"}),
        "BZERO = '32768 *'",
    ),
    "BSCALE of nothing": (lambda p: stored(p, "i2", bscale=2.0, written={"BSCALE": "NaN"}), "BSCALE = NaN"),
    "BSCALE of zero": (lambda p: stored(p, "i2", bscale=2.0, written={"BSCALE": "0"}), "BSCALE = 0"),
    "a flipped bit": (lambda p: changed(hdus(p, image(), checksum=True), BLOCK + 1001), "DATASUM"),
    "a flipped bit, compressed": (
        lambda p: changed(
            hdus(p, fits.PrimaryHDU(), fits.CompImageHDU(sky().astype("u2"), cards()), checksum=True), -3500
        ),
        "DATASUM|cannot be read",
    ),
    "EXPTIME that is NaN": (lambda p: stored(p, "i2", header=cards(EXPTIME="NaN")), "EXPTIME"),
    "EXPTIME below zero": (lambda p: stored(p, "i2", header=cards(EXPTIME=-60.0)), "EXPTIME"),
    "two.zip": (lambda p: zipped(p, "a.fits", "b.fits"), "2 FITS files"),
    "truncated": (lambda p: cut(stored(p, "i2"), 3000), "truncated"),
    "a table": (
        lambda p: hdus(
            p, fits.PrimaryHDU(), fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])])
        ),
        "no image",
    ),
}


def no_pixels(path):
    """Two axes of length 0 in the primary, as the raw frames of some observatories have them."""
    content = path.read_bytes()
    axes = b"".join(f"NAXIS{n}  = {0:>20d}".ljust(80).encode() for n in (1, 2))
    at = content.index(b"NAXIS   =")
    head = content[:at] + b"NAXIS   =                    2".ljust(80) + axes + content[at + 80 : BLOCK - 160]
    path.write_bytes(head + content[BLOCK:])
    return path


def appended(path, more):
    path.write_bytes(path.read_bytes() + more)
    return path


def cut(path, number):
    path.write_bytes(path.read_bytes()[: -number or None])
    return path


def with_nan(path):
    content = bytearray(path.read_bytes())
    at = BLOCK + 4 * (BLANK_AT[0] * SHAPE[1] + BLANK_AT[1])
    content[at : at + 4] = np.array(np.nan, ">f4").tobytes()
    path.write_bytes(content)
    return path


def file_of(folder, form):
    """A path whose ending says how a form is packed, where it is."""
    return folder / (form if "." in form else "light.fits")


GOOD = {**NUMBERS, **PACKED, **PLACED, **CARDS}


@pytest.mark.parametrize("form", GOOD)
@pytest.mark.slow
def test_one_sky_is_the_same_electrons_in_every_form(tmp_path, form):
    write, quantum = GOOD[form]
    ccd = potpyri_like.read(write(file_of(tmp_path, form)), Plain)
    assert ccd.shape == SHAPE and ccd.unit == u.electron and ccd.mask is None
    np.testing.assert_allclose(ccd.data, GAIN * sky(), atol=GAIN * quantum + 1e-3)
    assert ccd.meta["exposure"] == EXPTIME * u.s


@pytest.mark.parametrize("form", WITH_BLANK)
def test_a_pixel_without_data_is_masked_in_every_form_and_no_other(tmp_path, form):
    write, quantum = WITH_BLANK[form]
    ccd = potpyri_like.read(write(file_of(tmp_path, form)), Plain)
    assert ccd.mask is not None and [tuple(map(int, at)) for at in np.argwhere(ccd.mask)] == [BLANK_AT]
    wanted = np.where(ccd.mask, 0, GAIN * sky())
    np.testing.assert_allclose(ccd.data, wanted, atol=GAIN * quantum + 1e-3)


@pytest.mark.parametrize("form", REJECTED)
def test_what_cannot_be_read_is_rejected_with_the_card_or_the_cause(tmp_path, form):
    write, words = REJECTED[form]
    path = write(file_of(tmp_path, form))
    with pytest.raises(FrameError, match=rf"^{path.name}: .*({words})"):
        potpyri_like.read(path, Plain)
