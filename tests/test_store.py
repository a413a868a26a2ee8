import bz2
import errno
import gzip
import hashlib
import io
import lzma
import os
import stat
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from potpyri_like.errors import FrameError, HeaderError, PixelError, ProductError, UnavailableError
from potpyri_like.store import (
    Output,
    Scratch,
    ascii_text,
    datasum,
    is_raw_name,
    one_line,
    read_header,
    read_raw,
    read_table,
    sha256,
    signature,
    unpacked_name,
)
from potpyri_like.store import raw as reading_raw
from potpyri_like.store.folders import Folder

BLOCK = 2880


@pytest.fixture
def picture(rng):
    return rng.integers(0, 65536, (64, 80)).astype(np.uint16)


@pytest.fixture
def raw(tmp_path, picture):
    """A raw frame, uncompressed."""
    header = fits.Header([("EXPOSURE", 10.0), ("OBJECT", "WASP-0")])
    fits.PrimaryHDU(picture, header).writeto(tmp_path / "raw.fits")
    return tmp_path / "raw.fits"


def first_image(header):
    return header.images[:1]


def pixels(path, **more):
    (image,) = read_raw(path, first_image, **more)[1].values()
    return image


def packed_as(raw, suffix):
    """The raw frame, packed."""
    path = raw.with_name(f"raw.fits{suffix}")
    if suffix == ".fz":
        with fits.open(raw) as hdus:
            tiles = fits.CompImageHDU(hdus[0].data, hdus[0].header)
            fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(path)
    else:
        pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[suffix]
        path.write_bytes(pack(raw.read_bytes()))
    return path


def with_cards(raw, **cards):
    """The raw frame with 80-character cards overwritten, whatever they say."""
    content = raw.read_bytes()
    for name, text in cards.items():
        at = content.index(f"{name:<8}=".encode())
        content = content[:at] + f"{name:<8}= {text}".ljust(80).encode("latin-1") + content[at + 80 :]
    raw.write_bytes(content)
    return raw


# -- names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", ["", ".gz", ".GZ", ".fz", ".bz2", ".xz", ".lzma", ".zip"])
@pytest.mark.parametrize("suffix", [".fit", ".fits", ".fts", ".FIT", ".Fits", ".FTS"])
def test_raw_names_are_known_in_any_letter_case(suffix, packed):
    assert is_raw_name(f"a{suffix}{packed}")
    assert unpacked_name(f"a{suffix}{packed}") == f"a{suffix}"


@pytest.mark.parametrize(
    "name", ["a.txt", "fits", "a.zip", ".a.fits", "._a.fits.gz", "a.fits~", "a.gz", "a.fitsx", ""]
)
def test_other_and_hidden_names_are_not_raw(name):
    assert not is_raw_name(name)


# -- reading -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".fz"])
def test_a_packed_frame_is_read_as_the_unpacked_one(raw, picture, suffix):
    path = packed_as(raw, suffix)
    header = read_header(path, inside="C1/raw.fits")
    image = pixels(path)
    assert header["OBJECT"] == "WASP-0" and header["EXPOSURE"] == 10.0
    assert header.image_shape == (64, 80) and header.inside == "C1/raw.fits"
    np.testing.assert_array_equal(image, picture)
    assert image.dtype.isnative and image.flags.c_contiguous


def test_a_packed_frame_is_known_by_its_content_not_its_name(raw, picture):
    hidden = packed_as(raw, ".gz").rename(raw.with_name("odd.fits"))
    np.testing.assert_array_equal(pixels(hidden), picture)


@pytest.mark.parametrize("suffix", ["", ".gz", ".fz"])
@pytest.mark.parametrize("shape", [(5, 6, 7), (2, 3, 6, 7), (1, 6, 7)])
def test_a_plane_of_a_cube_is_counted_through_all_axes(tmp_path, rng, shape, suffix):
    cube = rng.integers(0, 1000, shape).astype(np.uint16)
    path = tmp_path / f"cube.fits{suffix}"
    if suffix == ".fz":
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(cube)]).writeto(path)
    else:
        fits.PrimaryHDU(cube).writeto(path)
    flat = cube.reshape(-1, 6, 7)
    for plane, expected in enumerate(flat):
        np.testing.assert_array_equal(pixels(path, plane=plane), expected)


def test_one_plane_of_a_large_cube_takes_the_memory_of_one_plane(tmp_path):
    cube = np.zeros((200, 256, 256), np.uint16)
    cube[:, 0, 0] = np.arange(200) + 1
    fits.PrimaryHDU(cube).writeto(tmp_path / "cube.fits")
    tracemalloc.start()
    image = pixels(tmp_path / "cube.fits", plane=150)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert image[0, 0] == 151
    assert peak < cube.nbytes / 10


def test_raw_files_are_opened_for_reading_only(raw, opens):
    for suffix in ("", ".gz", ".bz2", ".xz", ".fz"):
        packed_as(raw, suffix)
    opens[:] = opens[:1]
    before = {path: path.stat().st_mtime_ns for path in raw.parent.iterdir()}
    for path in before:
        read_header(path)
        pixels(path)
        sha256(path)
    own = [(str(path), mode, flags) for path, mode, flags in opens if str(path).startswith(str(raw.parent))]
    assert len(own) >= 12
    assert {mode for _, mode, _ in own} <= {"r", "rb"}
    assert not any(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) for _, _, flags in own)
    assert before == {path: path.stat().st_mtime_ns for path in raw.parent.iterdir()}


def reading_of(path, **more):
    return read_raw(path, first_image, **more)[2]


def openings(opens, path):
    return sum(given == path or given == str(path) for given, *_ in opens)


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".fz"])
def test_a_raw_file_is_read_once_and_known_by_its_bytes_on_disk(raw, suffix, opens):
    path = packed_as(raw, suffix)
    opens[:] = opens[:1]
    reading = reading_of(path)
    assert openings(opens, path) == 1
    assert reading.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert reading.size == path.stat().st_size
    assert signature(path) == (reading.size, reading.mtime_ns, reading.ctime_ns, reading.inode)
    assert 0 < reading.seconds < 10


def test_the_bytes_of_a_raw_file_are_asked_for_once(raw, monkeypatch):
    asked = []

    class Counted(io.FileIO):
        def read(self, size=-1):
            asked.append(size)
            return super().read(size)

    monkeypatch.setattr(Path, "open", lambda path, mode: Counted(path, mode))
    reading_of(raw)
    assert asked == [-1]


def test_the_signature_of_a_file_changes_with_its_content_and_when_it_is_replaced(raw):
    before = signature(raw)
    assert signature(raw) == before
    os.utime(raw, ns=(0, before[1]))
    raw.with_name("other").write_bytes(raw.read_bytes())
    os.utime(raw.with_name("other"), ns=(0, before[1]))
    raw.with_name("other").replace(raw)
    replaced = signature(raw)
    assert replaced[:2] == before[:2] and replaced != before
    raw.write_bytes(raw.read_bytes()[:-1])
    assert signature(raw)[0] == before[0] - 1


def test_the_planes_of_a_cube_share_one_checksum(tmp_path, rng, opens):
    path = tmp_path / "cube.fits"
    fits.PrimaryHDU(rng.integers(0, 1000, (5, 6, 7)).astype(np.uint16)).writeto(path)
    opens[:] = opens[:1]
    found = {reading_of(path, plane=plane).sha256 for plane in range(5)}
    assert openings(opens, path) == 5 + 1
    assert found == {hashlib.sha256(path.read_bytes()).hexdigest()}
    path.write_bytes(path.read_bytes() + b"x")
    assert reading_of(path, plane=0).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".fz"])
def test_a_file_too_large_for_the_memory_is_read_as_any_other(raw, picture, suffix, monkeypatch):
    path = packed_as(raw, suffix)
    wanted = reading_of(path)
    monkeypatch.setattr(reading_raw, "MOST_AT_ONCE", 100)
    _, images, reading = read_raw(path, first_image)
    (image,) = images.values()
    np.testing.assert_array_equal(image, picture)
    assert (reading.sha256, reading.size) == (wanted.sha256, wanted.size)


def stored(tmp_path, rng, bitpix, cards, *, shape=(9, 11), extension=False):
    """A file whose header and pixels are any that its BITPIX allows: written here, not by astropy."""
    kind = np.dtype({8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}[bitpix])
    size = int(np.prod(shape))
    if kind.kind == "f":
        values = rng.normal(0, 1e4, size).astype(kind)
        values[:2] = np.nan, -np.inf
    else:
        values = np.frombuffer(rng.bytes(size * kind.itemsize), kind).copy()
        values[:2] = np.iinfo(kind).min, np.iinfo(kind).max
    header = fits.Header([("XTENSION", "IMAGE") if extension else ("SIMPLE", True), ("BITPIX", bitpix)])
    header["NAXIS"] = len(shape)
    for axis, length in enumerate(reversed(shape), start=1):
        header[f"NAXIS{axis}"] = length
    if extension:
        header["PCOUNT"], header["GCOUNT"] = 0, 1
    header.update(cards)
    data = values.tobytes()
    content = header.tostring().encode() + data + b"\0" * (-len(data) % BLOCK)
    path = tmp_path / "any.fits"
    path.write_bytes(fits.PrimaryHDU().header.tostring().encode() * extension + content)
    return path


SCALES = [
    {},
    {"BZERO": 32768},
    {"BZERO": 32768.0, "BSCALE": 1.0},
    {"BZERO": 0, "BSCALE": 1},
    {"BZERO": 100},
    {"BSCALE": 2.5},
    {"BZERO": 2147483648},
    {"BZERO": -128},
    {"BLANK": 5},
    {"BZERO": 32768, "BLANK": 5},
]


@pytest.mark.parametrize("bitpix", [8, 16, 32, 64, -32, -64])
@pytest.mark.parametrize("cards", SCALES, ids=str)
@pytest.mark.parametrize("extension", [False, True])
@pytest.mark.slow
def test_pixels_are_those_that_astropy_reads(tmp_path, rng, bitpix, cards, extension):
    path = stored(tmp_path, rng, bitpix, cards, extension=extension)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = fits.getdata(path, int(extension))
    image = pixels(path)
    assert image.dtype.isnative
    if "BLANK" not in cards:  # without a blank pixel, whole numbers stay what they are
        assert image.dtype == wanted.dtype.newbyteorder("=")
    assert image.flags.c_contiguous and image.flags.writeable
    np.testing.assert_array_equal(image, wanted)


def test_an_image_that_is_wanted_twice_is_read_once(tmp_path, rng):
    path = stored(tmp_path, rng, 16, {"BZERO": 100})
    _, images, _ = read_raw(path, lambda header: (0, 0))
    np.testing.assert_array_equal(images[0], fits.getdata(path))


@pytest.mark.parametrize("bitpix", [8, 16, 32, -32])
@pytest.mark.parametrize("cards", [{}, {"BZERO": 32768}, {"BSCALE": 2.5}], ids=str)
@pytest.mark.parametrize("shape", [(3, 9, 11), (2, 3, 9, 11)])
def test_planes_are_those_that_astropy_reads(tmp_path, rng, bitpix, cards, shape):
    path = stored(tmp_path, rng, bitpix, cards, shape=shape)
    wanted = fits.getdata(path).reshape(-1, 9, 11)
    for plane, expected in enumerate(wanted):
        image = pixels(path, plane=plane)
        assert image.dtype == expected.dtype.newbyteorder("=")
        np.testing.assert_array_equal(image, expected)
    with pytest.raises(PixelError, match=r"any\.fits: its pixels cannot be read"):
        pixels(path, plane=len(wanted))
    with pytest.raises(PixelError, match=r"any\.fits: its pixels cannot be read \(its shape is"):
        pixels(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_every_extension_has_its_own_pixels(tmp_path, rng, compressed):
    images = [rng.integers(0, 60000, (20, 30)).astype(kind) for kind in ("u2", "i4", "i2", "f4")]
    make = fits.CompImageHDU if compressed else fits.ImageHDU
    hdus = [
        make(images[0]),
        fits.BinTableHDU(Table({"a": [1, 2, 3]})),
        *(make(image) for image in images[1:]),
    ]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "mosaic.fits")
    with fits.open(tmp_path / "mosaic.fits") as opened:
        wanted = {number: opened[number].data for number in (5, 1, 4, 3)}
        _, found, _ = read_raw(tmp_path / "mosaic.fits", lambda header: [5, 1, 4, 3, 1])
        assert list(found) == [5, 1, 4, 3]
        for number, image in found.items():
            assert image.dtype == wanted[number].dtype.newbyteorder("=")
            np.testing.assert_array_equal(image, wanted[number])


def test_the_checksum_is_that_of_the_files_bytes(raw):
    assert sha256(raw) == hashlib.sha256(raw.read_bytes()).hexdigest()


# -- frames that cannot be used ------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".fz"])
@pytest.mark.parametrize("part", [0, 1, 79, 0.2, 0.5, 0.8])
@pytest.mark.slow
def test_a_truncated_file_is_rejected_by_name(raw, suffix, part):
    path = packed_as(raw, suffix)
    content = path.read_bytes()
    path.write_bytes(content[: part if isinstance(part, int) else int(len(content) * part)])
    with pytest.raises(FrameError, match=r"raw\.fits.*rejected"):
        read_header(path)
        read_raw(path, first_image)


@pytest.mark.parametrize("missing", [1, 2, BLOCK])
def test_a_file_that_lacks_its_last_pixel_is_truncated(raw, picture, missing):
    whole = BLOCK + picture.nbytes
    raw.write_bytes(raw.read_bytes()[: whole - missing])
    with pytest.raises(
        PixelError, match=rf"raw\.fits: truncated: {whole - missing} bytes, whereas .* {whole};"
    ):
        read_header(raw)


def test_a_file_that_lacks_only_the_padding_is_whole(raw, picture):
    raw.write_bytes(raw.read_bytes()[: BLOCK + picture.nbytes])
    read_header(raw)
    np.testing.assert_array_equal(pixels(raw), picture)


def test_a_file_cut_between_two_extensions_is_truncated(tmp_path, picture):
    primary = fits.PrimaryHDU()
    primary.header["NEXTEND"] = 3
    path = tmp_path / "mosaic.fits"
    fits.HDUList([primary, *(fits.ImageHDU(picture) for _ in range(3))]).writeto(path)
    read_header(path)
    with fits.open(path) as hdus:
        end = hdus[3].fileinfo()["hdrLoc"]
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(PixelError, match=r"mosaic\.fits: truncated .* only 2 extensions"):
        read_header(path)


@pytest.mark.parametrize(
    "content", [b"hello", b"\0" * 10_000, b"\xff" * 5000, b"SIMPLE", b"\x1f\x8b", b"BZh9"]
)
def test_what_is_no_fits_file_is_rejected_by_name(tmp_path, content):
    path = tmp_path / "raw.fits"
    path.write_bytes(content)
    with pytest.raises(
        HeaderError, match=r"^raw\.fits: it is not a readable FITS file \(.+\); the frame is rejected$"
    ):
        read_header(path)


@pytest.mark.parametrize(
    "cards",
    [{"BITPIX": "17"}, {"BITPIX": "'x'"}, {"NAXIS1": "-80"}, {"NAXIS": "'two'"}, {"NAXIS2": "6.4E1"}],
    ids=str,
)
def test_a_header_that_cannot_be_is_rejected(raw, cards):
    with pytest.raises(FrameError, match=r"raw\.fits: "):
        read_header(with_cards(raw, **cards))


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    "axes", [{"NAXIS1": "2000000000", "NAXIS2": "2000000000"}, {"NAXIS2": "900000"}], ids=str
)
def test_a_huge_image_is_rejected_before_memory_is_taken(raw, axes, suffix):
    path = packed_as(with_cards(raw, **axes), suffix)
    tracemalloc.start()
    with pytest.raises(FrameError, match=r"^raw\.fits"):
        read_header(path)
    with pytest.raises(FrameError, match=r"^raw\.fits"):
        read_raw(path, first_image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e7


def test_a_huge_image_is_rejected_even_if_the_file_is_as_long(raw):
    with_cards(raw, NAXIS1="40000", NAXIS2="40000")
    os.truncate(raw, BLOCK + 2 * 40000**2 + BLOCK)  # a file of holes
    with pytest.raises(PixelError, match="40000 x 40000 pixels: too large"):
        read_header(raw)


def test_a_cube_of_a_billion_planes_is_rejected(tmp_path):
    header = fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 3)])
    header.update(NAXIS1=1, NAXIS2=1, NAXIS3=10**9)
    path = tmp_path / "cube.fits"
    path.write_bytes(header.tostring().encode())
    os.truncate(path, BLOCK + 10**9 + BLOCK)
    with pytest.raises(PixelError, match="1 x 1 x 1000000000 pixels: too large"):
        read_header(path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["2147483648", "+1000", "99999999999999999999 / axes"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_axes_that_nobody_can_count_are_rejected_at_once(raw, text, suffix):
    path = packed_as(with_cards(raw, NAXIS=text), suffix)
    for read in (read_header, pixels):
        with pytest.raises(PixelError, match=r"raw\.fits.*: HDU 0 says NAXIS = \d+, which is invalid"):
            read(path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("name", "which"), [("NAXIS", 1), ("NAXIS", 2), ("TFIELDS", 2), ("ZNAXIS", 3)])
def test_axes_and_columns_that_nobody_can_count_are_rejected_in_any_extension(tmp_path, picture, name, which):
    path = tmp_path / "mosaic.fits"
    table = fits.BinTableHDU(Table({"a": [1, 2, 3]}))
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(picture), table, fits.CompImageHDU(picture)]).writeto(path)
    with fits.open(path, disable_image_compression=True) as hdus:
        start = hdus[which].fileinfo()["hdrLoc"]
    content = path.read_bytes()
    at = content.index(f"{name:<8}=".encode(), start)
    path.write_bytes(content[:at] + f"{name:<8}= 2147483648".ljust(80).encode() + content[at + 80 :])
    for read in (read_header, pixels):
        with pytest.raises(PixelError, match=rf"mosaic\.fits: HDU {which} says {name} = 2147483648, which"):
            read(path)


def test_what_a_comment_says_of_axes_is_no_count(raw):
    with_cards(raw, OBJECT="'NAXIS   = 5000'")
    assert read_header(raw)["OBJECT"] == "NAXIS   = 5000"


def test_a_spoilt_card_counts_as_missing_and_the_frame_is_used(raw, picture):
    with_cards(raw, OBJECT="'never closed", EXPOSURE="1o.0 / a letter o")
    header = read_header(raw)
    assert header.get("EXPOSURE", "absent") in ("absent", "1o.0")
    np.testing.assert_array_equal(pixels(raw), picture)


def test_a_card_with_strange_bytes_does_not_spoil_the_others(raw, picture):
    with_cards(raw, OBJECT="'caf\xe9 \x07'")
    header = read_header(raw)
    assert header["EXPOSURE"] == 10.0
    np.testing.assert_array_equal(pixels(raw), picture)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2"])
def test_a_spoilt_mandatory_card_is_rejected_at_once(raw, suffix):
    content = raw.read_bytes()
    raw.write_bytes(content[:31] + b"\x0c" + content[32:])  # astropy never ends with this in a .gz
    path = packed_as(raw, suffix)
    with pytest.raises(FrameError, match=r"raw\.fits"):
        read_header(path)


@pytest.mark.parametrize("suffix", [".gz", ".bz2"])
def test_a_wrong_byte_in_a_packed_frame_is_noticed(raw, suffix):
    path = packed_as(raw, suffix)
    content = bytearray(path.read_bytes())
    middle = slice(len(content) // 2, len(content) // 2 + 40)
    content[middle] = bytes(255 - byte for byte in content[middle])
    path.write_bytes(content)
    with pytest.raises(FrameError, match=r"raw\.fits.*cannot be read|not a readable"):
        read_raw(path, first_image)


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".fz"])
@pytest.mark.slow
def test_no_damage_to_a_file_raises_anything_but_a_frame_error(raw, rng, suffix):
    path = packed_as(raw, suffix)
    whole = path.read_bytes()
    rejected = 0
    for trial in range(60):
        content = bytearray(whole[: rng.integers(len(whole))] if trial % 4 == 0 else whole)
        for place in rng.integers(max(len(content), 1), size=0 if trial % 4 == 0 else 4):
            content[place % (2 * BLOCK) if trial % 2 else place] = rng.integers(256)
        path.write_bytes(content)
        try:
            assert np.prod(read_header(path).image_shape) < 1e9
            pixels(path)
        except FrameError as error:
            assert "raw.fits" in str(error)
            rejected += 1
    assert rejected > 10


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_a_frame_whose_pixels_are_all_the_same_is_rejected(tmp_path, value):
    fits.PrimaryHDU(np.full((8, 9), value, np.uint16)).writeto(tmp_path / "raw.fits")
    with pytest.raises(PixelError, match=rf"^raw\.fits: every pixel of HDU 0 is {value}: no exposure"):
        pixels(tmp_path / "raw.fits")


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_one_pixel_that_differs_anywhere_is_an_exposure(tmp_path, kind):
    image = np.full((8, 9), 7, kind)
    image[6, 5] = 8
    fits.PrimaryHDU(image).writeto(tmp_path / "raw.fits")
    np.testing.assert_array_equal(pixels(tmp_path / "raw.fits"), image)


@pytest.mark.parametrize(
    ("values", "match"),
    [([np.nan] * 3, "no pixel of HDU 0 is a number"), ([np.nan, 5, 5], "every pixel of HDU 0 is 5")],
)
def test_pixels_that_are_no_numbers_do_not_count_as_an_exposure(tmp_path, values, match):
    image = np.resize(np.float32([*values, np.inf] if 5 in values else values), (9, 9))
    fits.PrimaryHDU(image).writeto(tmp_path / "raw.fits")
    with pytest.raises(PixelError, match=match):
        pixels(tmp_path / "raw.fits")


def test_single_pixels_that_are_no_numbers_are_handed_on(tmp_path):
    image = np.arange(81, dtype=np.float32).reshape(9, 9)
    image[0, 0], image[4, 4] = np.nan, np.inf
    fits.PrimaryHDU(image).writeto(tmp_path / "raw.fits")
    np.testing.assert_array_equal(pixels(tmp_path / "raw.fits"), image)


def test_an_extension_without_pixels_is_rejected(tmp_path, picture):
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(picture)]).writeto(tmp_path / "raw.fits")
    with pytest.raises(PixelError, match=r"raw\.fits: its pixels cannot be read"):
        read_raw(tmp_path / "raw.fits", lambda header: (0,))
    with pytest.raises(PixelError, match=r"raw\.fits: its pixels cannot be read"):
        read_raw(tmp_path / "raw.fits", lambda header: (7,))


def test_a_file_that_may_not_be_read_is_named(raw, monkeypatch):
    def denied(self, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(
        UnavailableError, match=r"^raw\.fits: there is no permission to read it \(Permission denied\)"
    ):
        read_header(raw)
    with pytest.raises(UnavailableError, match=r"^raw\.fits: .*Permission denied"):
        read_raw(raw, first_image)


def test_a_file_that_has_vanished_is_named(tmp_path):
    with pytest.raises(FrameError, match=r"gone\.fits"):
        read_raw(tmp_path / "gone.fits", first_image)


def test_what_an_instrument_rejects_keeps_its_own_words(raw):
    def wanted(header):
        raise HeaderError("no GAIN card")

    with pytest.raises(HeaderError, match=r"^no GAIN card$"):
        read_raw(raw, wanted)


def test_text_for_one_line_prints():
    assert one_line("two\n  lines\tand \x07 \udcff é") == r"two lines and \x07 \udcff é"


def test_text_for_a_fits_header_is_ascii():
    assert ascii_text("ε Eri\n\x07 é") == r"\u03b5 Eri \x07 \xe9"
    fits.Header()["OBJECT"] = ascii_text("ε\nEri \udcff")


# -- writing -------------------------------------------------------------------------------------------------


def files_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), ValueError("x"), KeyboardInterrupt()]
)
def test_a_product_that_fails_halfway_leaves_the_old_one_and_nothing_else(tmp_path, error):
    output = Output(tmp_path)
    output.write_text("a/b.txt", "old")

    def fill(file):
        file.write(b"half")
        raise error

    wanted = ProductError if isinstance(error, OSError) else type(error)
    for name in ("a/b.txt", "a/new.txt"):
        with pytest.raises(wanted):
            output.write(name, fill)
    assert files_of(tmp_path) == ["a/b.txt"]
    assert (tmp_path / "a/b.txt").read_text() == "old"


def test_a_full_disk_is_told_with_what_to_do(tmp_path):
    def fill(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(
        ProductError, match=r"b\.txt: it cannot be written \(No space left on device\).*--out DIR"
    ):
        Output(tmp_path).write("b.txt", fill)


def test_an_output_folder_that_is_a_file_is_told_with_what_to_do(tmp_path):
    (tmp_path / "red").write_text("in the way")
    for root in (tmp_path / "red", tmp_path / "red" / "below"):
        with pytest.raises(
            ProductError, match=r"red.*nothing can be written there \(.+\); choose another .*--out"
        ):
            Output(root).make()


def test_a_read_only_output_folder_is_told_with_what_to_do(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Folder, "scratch", refuse)
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ProductError, match=r"Read-only file system.*--out DIR"):
        Output(tmp_path).make()
    with pytest.raises(ProductError, match=r"Read-only file system.*--out DIR"):
        Output(tmp_path).write_text("a.txt", "x")


def test_products_have_the_permissions_that_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        path = Output(tmp_path).write_text("a.txt", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_product_may_have_as_long_a_name_as_the_disk_takes(tmp_path):
    assert Output(tmp_path).write_text("x" * 250 + ".txt", "x").read_text() == "x"


def test_text_that_is_no_unicode_is_written_all_the_same(tmp_path):
    assert Output(tmp_path).write_text("a.txt", "α \udcff").read_text(encoding="utf-8") == "α \\udcff"


def some_hdus(picture):
    """What our products are made of: unsigned integers, floats, a table of numbers and text."""
    table = Table(
        {"star": np.arange(3), "why": ["", "edge", "saturated"], "flux": [[1.0, 2], [3, np.nan], [5, 6]]}
    )
    images = [fits.ImageHDU(picture, name="MASK"), fits.ImageHDU(picture.astype(np.float32) / 3, name="ERR")]
    return fits.HDUList(
        [fits.PrimaryHDU(picture), *images, fits.table_to_hdu(table), fits.CompImageHDU(picture)]
    )


def test_a_fits_product_carries_valid_checksums(tmp_path, picture):
    path = Output(tmp_path).write_fits("a.fits", some_hdus(picture))
    with fits.open(path, checksum=True) as hdus:  # a wrong one is a warning, and warnings are errors here
        assert all("CHECKSUM" in hdu.header and "DATASUM" in hdu.header for hdu in hdus[:4])
        np.testing.assert_array_equal(hdus[0].data, picture)
        np.testing.assert_array_equal(hdus[4].data, picture)
        assert list(hdus[3].data["why"]) == ["", "edge", "saturated"]


@pytest.mark.slow
def test_a_fits_product_is_the_same_bytes_at_any_time(tmp_path, picture):
    one = Output(tmp_path).write_fits("one.fits", some_hdus(picture)).read_bytes()
    time.sleep(1.1)
    assert Output(tmp_path).write_fits("two.fits", some_hdus(picture)).read_bytes() == one


def test_a_table_is_read_as_it_was_written(tmp_path):
    table = Table({"file": ["a b.fits", "c,d.fits", '"q".fits', "é.fits"], "exposure": [1.0, 2, np.nan, 4]})
    table.meta["instrument"] = "TOY"
    Output(tmp_path).write_table("night.ecsv", table)
    again = read_table(tmp_path / "night.ecsv")
    assert list(again["file"]) == list(table["file"]) and again.meta["instrument"] == "TOY"
    np.testing.assert_array_equal(again["exposure"], table["exposure"])


def test_a_spoilt_table_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "lightcurve.ecsv"
    path.write_text("# %ECSV 1.0\n# ---\n# datatype: [\nx")
    with pytest.raises(HeaderError, match=r"lightcurve\.ecsv: it cannot be read .*repair it, or delete it"):
        read_table(path)


# -- frames waiting on disk ----------------------------------------------------------------------------------


def test_frames_come_back_from_the_disk_pixel_by_pixel(tmp_path, rng):
    frames = rng.normal(size=(5, 6, 7)).astype(np.float32)
    with Scratch((6, 7), Output(tmp_path)) as scratch:
        for frame in frames:
            scratch.append(frame[:, ::-1])
        assert len(scratch) == 5
        np.testing.assert_array_equal(scratch.chunk(10, 31), frames[:, :, ::-1].reshape(5, -1)[:, 10:31])
    assert not list(tmp_path.iterdir())


def test_a_frame_of_another_shape_is_not_mixed_with_the_others(tmp_path):
    with Scratch((6, 7), Output(tmp_path)) as scratch, pytest.raises(PixelError, match=r"\(7, 6\).*\(6, 7\)"):
        scratch.append(np.zeros((7, 6)))


def test_no_room_for_waiting_frames_is_told_with_what_to_do(tmp_path):
    with Scratch((600, 700), Output(tmp_path)) as scratch:
        scratch._file.close()
        scratch._file = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115
        with pytest.raises(ProductError, match=r"no room for frames .*No space left.*--out DIR"):
            scratch.append(np.zeros((600, 700)))


# -- the checksum of the pixels ------------------------------------------------------------------------------


def with_datasum(path, image, **cards):
    hdu = fits.PrimaryHDU(image)
    hdu.header.update(cards)
    hdu.writeto(path, checksum=True)
    return path


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
def test_a_frame_whose_pixels_add_up_to_its_datasum_is_read(tmp_path, kind):
    image = np.random.default_rng(5).integers(0, 200, (50, 60)).astype(kind)
    path = with_datasum(tmp_path / "a.fits", image)
    np.testing.assert_array_equal(pixels(path), image)
    with fits.open(path) as hdus:
        assert datasum(path.read_bytes()[2880:]) == int(hdus[0].header["DATASUM"])


@pytest.mark.parametrize("at", [0, 1001, 5999])
def test_one_flipped_bit_shows_in_the_datasum(tmp_path, at):
    path = with_datasum(tmp_path / "a.fits", np.arange(3000, dtype=np.uint16).reshape(50, 60))
    content = bytearray(path.read_bytes())
    content[2880 + at] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(PixelError, match=r"a\.fits: the pixels of HDU 0 do not match DATASUM = \d+"):
        pixels(path)


@pytest.mark.parametrize("says", ["", "none", "0x12", None])
def test_a_datasum_that_is_no_number_is_not_looked_at(tmp_path, says):
    image = np.arange(3000, dtype=np.uint16).reshape(50, 60)
    path = tmp_path / "a.fits"
    hdu = fits.PrimaryHDU(image)
    if says is not None:
        hdu.header["DATASUM"] = says
    hdu.writeto(path)
    np.testing.assert_array_equal(pixels(path), image)
