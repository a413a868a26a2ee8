"""From the raw sections of a readout to one image in electrons: overscan, gain, flips, gaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.polynomial import Chebyshev

from potpyri_like.errors import DeclarationError, PixelError
from potpyri_like.frame import MaskBit, Pixels
from potpyri_like.imaging.bands import row_bands
from potpyri_like.imaging.pixels import Counts
from potpyri_like.imaging.sections import Section

__all__ = [
    "OverscanLevel",
    "Piece",
    "assemble",
    "counts_of",
    "level_of_data",
    "overscan_level",
    "rounding_variance",
]

_MOST_DEGREE = 3
_CLIP = 4.0  # standard deviations: one good overscan pixel in 16 000 is lost
_MAD_TO_SIGMA = 1.4826
_COUNTED = (np.uint8, np.uint16)


class OverscanLevel(NamedTuple):
    """The level of each row (or column) and its variance.

    Attributes
    ----------
    level : ndarray, shape (n,), ADU
    variance : ndarray, shape (n,), ADU^2
    """

    level: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True, eq=False)
class Piece:
    """One amplifier's data section and its place in the assembled image.

    Attributes
    ----------
    data : ndarray, shape (rows, cols), ADU
        As read out; NaN and infinity become bad pixels.
    gain : float, electron/ADU
    read_noise : float, electron
    level : float or ndarray, ADU
        Subtracted: one number, one per row of `data` as read out (1-D), or anything 2-D that
        broadcasts against it.
    level_variance : float or ndarray, ADU^2
        Of `level`, in one of the same forms.
    saturation : float or None, ADU
        Raw values from here on are saturated.
    x0, y0 : int
        Place of its lower left corner in the assembled image, 0-based.
    flip_x, flip_y : bool
        Whether columns, rows are reversed on the way.
    """

    data: np.ndarray
    gain: float
    read_noise: float
    level: float | np.ndarray = 0.0
    level_variance: float | np.ndarray = 0.0
    saturation: float | None = None
    x0: int = 0
    y0: int = 0
    flip_x: bool = False
    flip_y: bool = False

    def __post_init__(self) -> None:
        if self.data.ndim != 2:
            raise PixelError(f"a data section of shape {self.data.shape} cannot be assembled; it must be 2-D")

    @property
    def place(self) -> tuple[slice, slice]:
        """The rows and columns it takes in the assembled image."""
        rows, cols = self.data.shape
        return slice(self.y0, self.y0 + rows), slice(self.x0, self.x0 + cols)


def overscan_level(strip: np.ndarray, *, along: str = "rows", degree: int | None = None) -> OverscanLevel:
    """The electronic level of each row, from the overscan pixels beside it.

    Parameters
    ----------
    strip : ndarray, shape (rows, cols), ADU
    along : {"rows", "columns"}
        "rows": one level per row, from the columns of the strip; "columns": the other way round.
    degree : int, optional
        Degree of the polynomial in row number. Without it, the lowest from 0 (one level for all) to
        3 that the rows ask for by the Bayesian information criterion: each coefficient that is not
        needed would only add noise, common to a whole row.

    Returns
    -------
    OverscanLevel

    Notes
    -----
    Per row the mean of the pixels within 4 standard deviations of the row's median, the standard
    deviation being that of the strip; a Chebyshev polynomial through the rows, outlying rows left
    out. (A median of integers would be quantised and, of Gaussian values, a quarter noisier.)
    """
    if along not in ("rows", "columns"):
        raise PixelError(f"overscan along {along!r}; choose 'rows' or 'columns'")
    strip = np.asarray(strip, dtype=np.float64)
    if strip.ndim != 2 or strip.size == 0 or not np.isfinite(strip).any():
        raise PixelError(
            f"an overscan strip of shape {strip.shape} has no level; it must be 2-D with finite pixels"
        )
    means = _clipped_means(strip if along == "rows" else strip.T)
    good = np.isfinite(means)
    rows = np.linspace(-1, 1, means.size)
    degrees = range(_MOST_DEGREE + 1) if degree is None else (degree,)
    fits = [_fit(rows[good], means[good], each) for each in degrees]
    return _evaluate(min(fits, key=lambda fit: fit.criterion), rows)


def level_of_data(
    image: np.ndarray, data: Section, overscan: Section, *, degree: int | None = None
) -> OverscanLevel:
    """The electronic level of a data section, from an overscan beside, above or below it.

    Parameters
    ----------
    image : ndarray, shape (rows, cols), ADU
    data, overscan : Section
    degree : int, optional
        See `overscan_level`.

    Returns
    -------
    OverscanLevel
        One per row of the data, shape (rows,); of an overscan above or below them one per column, shape (1, cols). Rows
        and columns beyond the overscan have the level of its nearest.
    """
    beside = overscan.x1 <= data.x0 or data.x1 <= overscan.x0
    found = overscan_level(image[overscan.slices], along="rows" if beside else "columns", degree=degree)
    begin, first, pixels = (
        (data.y0, overscan.y0, data.shape[0]) if beside else (data.x0, overscan.x0, data.shape[1])
    )
    nearest = np.clip(begin - first + np.arange(pixels), 0, found.level.size - 1)
    level, variance = (values[nearest] for values in found)
    return OverscanLevel(level, variance) if beside else OverscanLevel(level[None], variance[None])


def assemble(pieces: Sequence[Piece], *, shape: tuple[int, int]) -> Pixels:
    """The pieces in their places, in electrons.

    Parameters
    ----------
    pieces : sequence of Piece
    shape : (int, int)
        Rows, columns of the assembled image.

    Returns
    -------
    Pixels
        The variance is read noise squared, quantisation (gain^2 / 12) and that of the level; the
        Poisson term needs the bias gone and is added by `calibrate`. SATURATED where the raw value
        reaches the limit; BAD, with data and variance 0, where no piece is, and BAD with data 0
        where the raw value is not finite. A variance that one amplifier gives to all pixels, or to
        all of a row, is a read-only view of that one number.
    """
    _check_places(pieces, shape)
    covered = sum(piece.data.size for piece in pieces) == shape[0] * shape[1]
    data = np.empty(shape, np.float32) if covered else np.zeros(shape, np.float32)
    mask = np.zeros(shape, np.uint16) if covered else np.full(shape, MaskBit.BAD, np.uint16)
    for piece in pieces:
        _fill(piece, *(plane[piece.place][_flips(piece)] for plane in (data, mask)))
    return Pixels(data, _variance(pieces, shape), mask)


def counts_of(pieces: Sequence[Piece], *, shape: tuple[int, int]) -> Counts | None:
    """What the assembled image was counted in; None where that is not one level, one gain and 16 bits."""
    first, level = pieces[0], np.asarray(pieces[0].level, np.float32)
    whole = len(pieces) == 1 and first.data.shape == shape and first.data.dtype in _COUNTED
    return Counts(float(level.flat[0]), first.gain) if whole and level.min() == level.max() else None


def _check_places(pieces: Sequence[Piece], shape: tuple[int, int]) -> None:
    for piece in pieces:
        rows, cols = piece.place
        if min(rows.start, cols.start) < 0 or rows.stop > shape[0] or cols.stop > shape[1]:
            raise DeclarationError(f"{_where(piece)} leaves the image of {shape[0]} rows, {shape[1]} columns")
    for one, other in combinations(pieces, 2):
        if all(
            max(a.start, b.start) < min(a.stop, b.stop) for a, b in zip(one.place, other.place, strict=True)
        ):
            raise DeclarationError(
                f"{_where(one)} and {_where(other)} overlap; each pixel must belong to one amplifier"
            )


def _where(piece: Piece) -> str:
    rows, cols = piece.place
    return f"the piece at rows {rows.start}:{rows.stop}, columns {cols.start}:{cols.stop} (from 0)"


def _flips(piece: Piece) -> tuple[slice, slice]:
    return slice(None, None, -1 if piece.flip_y else 1), slice(None, None, -1 if piece.flip_x else 1)


def _variance(pieces: Sequence[Piece], shape: tuple[int, int]) -> np.ndarray:
    """Read noise, quantisation and the error of the level."""
    if len(pieces) == 1 and pieces[0].data.shape == shape:
        return _of_readout(pieces[0])[_flips(pieces[0])]
    variance = np.zeros(shape, np.float32)
    for piece in pieces:
        variance[piece.place][_flips(piece)] = _of_readout(piece)
    return variance


def _of_readout(piece: Piece) -> np.ndarray:
    variance = piece.read_noise**2 + piece.gain**2 * (1 / 12 + _as_rows(piece.level_variance))
    return np.broadcast_to(np.asarray(variance, np.float32), piece.data.shape)


def _fill(piece: Piece, data: np.ndarray, mask: np.ndarray) -> None:
    """Write one piece into views of the image, turned as the piece is read out."""
    level = np.broadcast_to(_as_rows(piece.level), piece.data.shape)
    for band in row_bands(piece.data.shape):
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is dealt with below
            _subtract(piece.data[band], level[band], out=data[band])
            data[band] *= np.float32(piece.gain)
        _mark(piece.data[band], piece.saturation, data[band], out=mask[band])


def _as_rows(level: float | np.ndarray) -> np.ndarray:
    level = np.asarray(level, dtype=np.float32)
    return level[:, None] if level.ndim == 1 else level


def _subtract(raw: np.ndarray, level: np.ndarray, *, out: np.ndarray) -> None:
    if np.can_cast(raw.dtype, np.float32):  # two plain steps are faster than one that converts as it goes
        out[:] = raw
        out -= level
    else:
        np.subtract(raw, level, out=out, casting="unsafe")


def _mark(raw: np.ndarray, limit: float | None, electrons: np.ndarray, *, out: np.ndarray) -> None:
    """The bits of raw values; what is not finite is zero from here on."""
    integers = raw.dtype.kind in "iu"
    if limit is not None and integers:
        limit = math.ceil(limit)  # integers are compared with an integer four times faster
    out[:] = 0
    if limit is not None and not (integers and raw.max() < limit):
        np.multiply(raw >= limit, np.uint16(MaskBit.SATURATED), out=out)
    if not integers:
        lost = ~np.isfinite(electrons)
        electrons[lost] = 0
        out[lost] |= np.uint16(MaskBit.BAD)


def _clipped_means(strip: np.ndarray) -> np.ndarray:
    """Mean of each row without outliers; NaN for a row with nothing finite."""
    values = np.where(np.isfinite(strip), strip, np.nan)
    away = np.abs(values - _row_medians(values))
    limit = _CLIP * max(_MAD_TO_SIGMA * np.nanmedian(away), 0.5)
    kept = away <= limit
    number = kept.sum(axis=1)
    return np.where(number > 0, np.where(kept, values, 0).sum(axis=1) / np.maximum(number, 1), np.nan)


def _row_medians(values: np.ndarray) -> np.ndarray:
    medians = np.full((len(values), 1), np.nan)
    some = np.isfinite(values).any(axis=1)
    medians[some] = np.nanmedian(values[some], axis=1, keepdims=True)
    return medians


class _Fit(NamedTuple):
    curve: Chebyshev
    covariance: np.ndarray
    criterion: float


def _fit(rows: np.ndarray, means: np.ndarray, degree: int) -> _Fit:
    """A Chebyshev polynomial through the row means, without outlying rows."""
    kept = np.ones(rows.size, dtype=bool)
    basis = np.polynomial.chebyshev.chebvander(rows, min(degree, rows.size - 1))
    for _ in range(3):
        coefficients = np.linalg.lstsq(basis[kept], means[kept], rcond=None)[0]
        away = np.abs(means - basis @ coefficients)
        kept = away <= _CLIP * _MAD_TO_SIGMA * np.median(away) + 1e-9
    squares = np.square(np.minimum(away, _CLIP * _MAD_TO_SIGMA * np.median(away))).sum()
    freedom = max(rows.size - basis.shape[1], 1)
    covariance = squares / freedom * np.linalg.pinv(basis.T @ basis)
    criterion = rows.size * np.log(squares + 1e-12) + basis.shape[1] * np.log(rows.size)
    return _Fit(Chebyshev(coefficients), covariance, criterion)


def _evaluate(fit: _Fit, rows: np.ndarray) -> OverscanLevel:
    basis = np.polynomial.chebyshev.chebvander(rows, fit.curve.degree())
    variance = np.einsum("ij,jk,ik->i", basis, fit.covariance, basis)
    return OverscanLevel(fit.curve(rows), variance)


def rounding_variance(gains: Sequence[float]) -> float:
    """The variance of rounding to whole counts, electron^2, a twelfth of the squared gain; the mean of some amplifiers.

    Parameters
    ----------
    gains : sequence of float, electron/ADU
    """
    return float(np.mean([gain**2 for gain in gains])) / 12
