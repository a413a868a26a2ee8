"""Images of frames that are saved after a stage, and read again instead of being made again."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import numpy as np
from astropy.io import fits

from potpyri_like.encoding import decode, encode
from potpyri_like.frame import Frame, FrameInfo, Results
from potpyri_like.imaging import Pixels
from potpyri_like.instruments import Instrument, camera_named, wcs_of
from potpyri_like.primitives.fields import CALIBRATED
from potpyri_like.primitives.stage import exposure_of
from potpyri_like.stages import Field
from potpyri_like.store import Output, ascii_text, read_header, unpacked_name
from potpyri_like.store.header import RawHeader

__all__ = ["SAVABLE", "SavedImage", "error_plane", "image_hdus", "names_of", "pixels_in", "variance_plane"]

# What `--save` takes, which is also the name of the folder, and whose pixels are saved; a new one is one entry.
SAVABLE: Mapping[str, Field[Frame]] = {"frames": CALIBRATED}

_LONGEST = 200  # name, without what is added to it; file systems take 255
_ROWS, _LEVEL = 128, 2  # of a tile; of packing: more takes long and gains little
_BITPIX = {"u1": 8, "i2": 16, "f4": -32, "f8": -64}
_OF_THE_FILE = (
    "CHECKSUM",
    "DATASUM",
    "EXTNAME",
    "EXTVER",
    "INHERIT",
    "NEXTEND",
    "BLANK",
)  # cards, not of the sky
_SPARE_BITS = np.uint64(
    24
)  # of a square root's mantissa, without which its square still rounds to the same float32


@dataclass(frozen=True)
class SavedImage:
    """The image of one frame after one of its stages, as a file in the output folder: to be read, or to be written.

    Attributes
    ----------
    stage : str
        The name of the stage that makes it.
    name : str
        The file's, within
    output : Output
    gives : frozenset of str
        Names of the fields that this stage gives, and those before it that made its pixels.
    digest : str
        The SHA-256 of the file that is to be read; "" where it is to be written.
    results : mapping
        What these stages found out besides pixels.
    lost : tuple of str
        The fields of which that is not known any more.
    did : tuple of str
        What the frame went through, in words.
    has_wcs : bool
    covariance : float
        See `Frame`.
    """

    stage: str
    name: str
    output: Output
    gives: frozenset[str] = frozenset()
    digest: str = ""
    results: Results = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    did: tuple[str, ...] = ()
    has_wcs: bool = False
    covariance: float = 1.0

    def known(self, memo: object, digest: str) -> SavedImage | None:
        """The image with what was remembered of it; None where that is not as it was remembered."""
        match memo:
            case {
                "results": dict() as results,
                "lost": tuple() as lost,
                "did": tuple() as did,
                "has_wcs": bool() as has_wcs,
                "covariance": float() as covariance,
            }:
                known = replace(self, digest=digest, results=results, lost=lost, did=did)
                return replace(known, has_wcs=has_wcs, covariance=covariance)
        return None

    @property
    def memo(self) -> dict[str, object]:
        """What has to be remembered of it besides the file."""
        kept = ("results", "lost", "did", "has_wcs", "covariance")
        return {name: getattr(self, name) for name in kept}

    def written(self, frame: Frame) -> SavedImage:
        """What is to be remembered of it, once the file is written.

        Raises
        ------
        ProductError
            It cannot be written.
        UnavailableError
            The raw header cannot be read for the moment.
        """
        found = {name: value for name, value in frame.results.items() if name in self.gives}
        results = {name: value for name, value in found.items() if _comes_back(value)}
        lost = tuple(name for name in found if name not in results)
        header = read_header(frame.info.path, inside=frame.info.inside)
        self.output.write_fits(self.name, image_hdus(frame, header))
        known = replace(self, results=results, lost=lost, did=frame.stages)
        return replace(known, has_wcs=frame.wcs is not None, covariance=float(frame.covariance))

    def read(self, info: FrameInfo, instrument: Instrument) -> Frame | None:
        """The frame as it left the stage; None where the file is not as it was written.

        Its WCS is taken from the raw header again, since one that is written as cards is not the same to the last bit.

        Raises
        ------
        UnavailableError
            The raw header cannot be read for the moment.
        """
        try:
            content = self.output.read_bytes(self.name)
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != self.digest:
            return None
        wcs = None
        if self.has_wcs:
            header = read_header(info.path, inside=info.inside)
            camera = camera_named(instrument, info.camera)
            wcs = wcs_of(instrument, header, instrument.layout(header, camera))
        return Frame(pixels_in(content), info, wcs, self.covariance, tuple(self.did), dict(self.results))


def names_of(infos: Sequence[FrameInfo], folder: str) -> dict[str, str]:
    """The name of each frame's file in a folder, by the frame's label: that of the raw file, where no other has it."""
    short = {info.label: _plain_name(info) for info in infos}
    often = Counter(name.casefold() for name in short.values())
    return {
        label: f"{folder}/{name if often[name.casefold()] == 1 else f'{name}_{_mark(label)}'}.fits.fz"
        for label, name in short.items()
    }


def _plain_name(info: FrameInfo) -> str:
    """The raw file's name without what tells its format, and with the plane."""
    name = PurePosixPath(unpacked_name(info.inside or info.path.name)).stem
    name = re.sub(r"[^\w.+-]", "_", name, flags=re.ASCII)[:_LONGEST]
    return name if info.plane is None else f"{name}_{info.plane:04d}"


def _mark(label: str) -> str:
    """What tells a frame from others of the same name."""
    return hashlib.sha256(label.encode(errors="backslashreplace")).hexdigest()[:8]


def _comes_back(value: object) -> bool:
    """Whether a value is the same, in its types too, after it was remembered."""
    try:
        return _alike(value, decode(encode(value)))
    except TypeError:
        return False


def _alike(one: object, other: object) -> bool:
    """Whether two values are equal and of the same types."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_alike(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    return encode(one) == encode(other)


# -- as FITS -------------------------------------------------------------------------------------------------


def image_hdus(frame: Frame, raw: RawHeader) -> fits.HDUList:
    """SCI, MASK and ERR of a frame, compressed without loss, below the raw header."""
    info = frame.info
    header = fits.Header()
    header["OBJECT"] = ascii_text(info.target)
    header["BAND"], header["CAMERA"] = ascii_text(info.band), ascii_text(info.camera)
    header["BUNIT"] = "electron"
    header["EXPTIME"] = (exposure_of(info), "[s]")
    if info.mid_time is not None:
        header["DATE-AVG"] = (info.mid_time.utc.isot, "mid-exposure time, UTC")
    header["COVAR"] = (float(frame.covariance), "variance of a sum / sum of ERR^2")
    header["RAWFILE"] = ascii_text(info.label)
    if frame.wcs is not None:
        header.update(frame.wcs.to_header(relax=True))
    for did in frame.stages:
        header.add_history(ascii_text(did))
    error = fits.Header({"BUNIT": "electron"})
    return fits.HDUList(
        [
            fits.PrimaryHDU(header=_cards_of(raw.hdus)),
            _packed(frame.data, header, "SCI"),
            _packed(frame.mask, fits.Header(), "MASK"),
            _packed(error_plane(frame.variance), error, "ERR"),
        ]
    )


def _packed(plane: np.ndarray, header: fits.Header, name: str) -> fits.BinTableHDU:
    """A plane as a tile-compressed image, without loss (FITS standard 4.0, section 10; GZIP_2).

    astropy's own takes five times as long for two hundredths of the size, and has the time of day in every tile.
    """
    rows, columns = plane.shape
    height = min(_ROWS, rows)
    is_unsigned = plane.dtype == np.uint16  # FITS has integers of two bytes with a sign only
    stored = (plane ^ np.uint16(0x8000)).view(np.int16) if is_unsigned else plane
    tiles = np.empty(-(-rows // height), object)
    tiles[:] = [_tile(stored[start : start + height]) for start in range(0, rows, height)]
    sizes = [len(tile) for tile in tiles]
    column = fits.Column("COMPRESSED_DATA", f"1PB({max(sizes)})", array=tiles)
    table = fits.BinTableHDU.from_columns([column], name=name)
    table.header["PCOUNT"] = sum(sizes)  # which astropy fills in when it writes, after the checksum
    told = {"ZIMAGE": True, "ZTENSION": "IMAGE", "ZBITPIX": _BITPIX[stored.dtype.str[1:]], "ZNAXIS": 2}
    told |= {"ZNAXIS1": columns, "ZNAXIS2": rows, "ZPCOUNT": 0, "ZGCOUNT": 1}
    told |= {"ZTILE1": columns, "ZTILE2": height, "ZCMPTYPE": "GZIP_2"}
    table.header.update(told | ({"BZERO": 32768, "BSCALE": 1} if is_unsigned else {}))
    table.header.extend(header, end=True)
    return table


def _tile(part: np.ndarray) -> np.ndarray:
    """Some rows, packed: the first bytes of all values before the second ones."""
    values = np.ascontiguousarray(part, part.dtype.newbyteorder(">")).view(np.uint8)
    shuffled = np.ascontiguousarray(values.reshape(-1, part.itemsize).T)
    return np.frombuffer(gzip.compress(shuffled.tobytes(), _LEVEL, mtime=0), np.uint8)


def pixels_in(content: bytes) -> Pixels:
    """The planes of a file that holds what `image_hdus` gives."""
    with fits.open(io.BytesIO(content), memmap=False) as hdus:
        sci, mask, error = (_native(hdus[name].data) for name in ("SCI", "MASK", "ERR"))
    return Pixels(sci, variance_plane(error), mask)


def _native(plane: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(plane, dtype=plane.dtype.newbyteorder("="))


def error_plane(variance: np.ndarray) -> np.ndarray:
    """The square root of a variance, float32, from which `variance_plane` brings it back bit for bit.

    Float32 is too coarse for that; of float64, the bits that do not matter are 0, and compress to nothing.
    """
    bits = np.sqrt(np.asarray(variance, np.float64)).view(np.uint64)
    half = np.uint64(1) << (_SPARE_BITS - np.uint64(1))
    return (((bits + half) >> _SPARE_BITS) << _SPARE_BITS).view(np.float64)


def variance_plane(error: np.ndarray) -> np.ndarray:
    """The variance, float32, of which `error_plane` made errors."""
    with np.errstate(over="ignore", under="ignore"):
        return np.square(error).astype(np.float32)


def _cards_of(headers: Iterable[fits.Header]) -> fits.Header:
    """The cards of a raw file, those of its first header first, each keyword once but for commentary.

    What tells how the file is built is excluded, and so is a card that is no FITS.
    """
    kept = fits.Header()
    for header in headers:
        for card in header.copy(strip=True).cards:
            if card.keyword in _OF_THE_FILE or (
                card.keyword in kept and not card.is_blank and card.keyword not in ("COMMENT", "HISTORY")
            ):
                continue
            try:
                card.verify("exception")
                kept.append(card, end=True)
            except (fits.VerifyError, ValueError):
                continue
    return kept
