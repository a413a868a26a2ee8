"""A synthetic detector: from light to the numbers in a raw file. Pure numerics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from potpyri_like.instruments import Layout, Readout

__all__ = ["Electronics", "dark_rates", "electronics", "flat_field", "photon_noise", "read_out"]

_EXACT_BELOW = 100.0  # electron; above, a Poisson number is a normal one with its skewness put in


@dataclass(frozen=True)
class Electronics:
    """What the read-out of one HDU adds to its pixels, adu.

    Attributes
    ----------
    bias : ndarray, shape (rows, columns), float32
    noise : ndarray, shape (rows, columns), float32
        Standard deviation.
    limit : ndarray, shape (rows, columns), float32
        The highest value there is.
    """

    bias: np.ndarray
    noise: np.ndarray
    limit: np.ndarray


def flat_field(
    pixels: np.random.Generator,
    optics: np.random.Generator,
    shape: tuple[int, int],
    *,
    response: float,
    vignetting: float,
    rings: int,
) -> np.ndarray:
    """Relative sensitivity, mean 1.

    Parameters
    ----------
    pixels, optics : Generator
        For what belongs to the detector, and for what belongs to the filter in front of it.
    shape : (int, int)
    response : float
        Scatter from pixel to pixel.
    vignetting : float
        Part of the light that is missing in the corners.
    rings : int
        Shadows of dust, out of focus.
    """
    rows, columns = shape
    y, x = np.arange(rows)[:, None] / rows - 0.5, np.arange(columns)[None, :] / columns - 0.5
    flat = 1 - vignetting * 2 * (x**2 + y**2) + response * pixels.standard_normal(shape)
    for _ in range(rings):
        radius, depth = optics.uniform(0.02, 0.04) * max(shape), optics.uniform(0.02, 0.06)
        centre = optics.uniform(0, 1, 2) * [rows, columns]
        flat -= depth * _dust_ring(shape, centre, radius)
    return (flat / flat.mean()).astype(np.float32)


def _dust_ring(shape: tuple[int, int], centre: np.ndarray, radius: float) -> np.ndarray:
    """The shadow of a mote: 1 on a ring, 0 away from it."""
    y, x = np.arange(shape[0])[:, None] - centre[0], np.arange(shape[1])[None, :] - centre[1]
    return np.exp(-(((np.sqrt(x**2 + y**2) - radius) / (0.3 * radius)) ** 2))


def dark_rates(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    dark_current: float,
    hot_fraction: float,
    hot_rate: float,
) -> np.ndarray:
    """Dark current, electron/s; a fraction of the pixels are hot, with `hot_rate` more on average.

    The rates of hot pixels are distributed exponentially above a tenth of `hot_rate`.
    """
    rates = np.full(shape, dark_current, np.float32)
    hot = rng.choice(rates.size, int(np.rint(hot_fraction * rates.size)), replace=False)
    rates.flat[hot] += hot_rate * (0.1 + 0.9 * rng.exponential(size=hot.size))
    return rates


def photon_noise(rng: np.random.Generator, mean: np.ndarray) -> np.ndarray:
    """Poisson numbers of these means, float32.

    Exact below 100; above, mean + sqrt(mean) z + (z^2 - 1) / 6 with z normal, the first terms of the
    Cornish-Fisher expansion: mean and skewness are Poisson's, the variance is too high by 1/18.
    """
    low = mean < _EXACT_BELOW
    if low.all():
        return rng.poisson(mean).astype(np.float32)
    z = rng.standard_normal(mean.shape, dtype=np.float32)
    counts = mean + np.sqrt(mean) * z + (z * z - 1) / 6
    if low.any():
        counts[low] = rng.poisson(mean[low])
    return counts


def electronics(
    rng: np.random.Generator,
    shapes: Mapping[int, tuple[int, int]],
    layout: Layout,
    *,
    level: float,
    structure: float,
) -> dict[int, Electronics]:
    """Bias, read noise and full scale of each HDU.

    Parameters
    ----------
    rng : Generator
    shapes : mapping of int to (int, int)
        Rows, columns of each HDU's image.
    layout : Layout
    level : float, adu
        Bias of the first amplifier; each further one is 17 adu higher than the one before it.
    structure : float, adu
        Scatter of the bias from row to row, and from column to column.
    """
    return {
        hdu: _hdu_electronics(
            _structured(rng, shape, level, structure),
            [(17.0 * i, readout) for i, readout in enumerate(layout.readouts) if readout.hdu == hdu],
        )
        for hdu, shape in shapes.items()
    }


def _structured(rng: np.random.Generator, shape: tuple[int, int], level: float, scatter: float) -> np.ndarray:
    """A level with rows and columns a little off it, float32."""
    rows, columns = rng.standard_normal((shape[0], 1)), rng.standard_normal((1, shape[1]))
    return (level + scatter * (rows + columns)).astype(np.float32)


def _hdu_electronics(bias: np.ndarray, amplifiers: list[tuple[float, Readout]]) -> Electronics:
    """The electronics of one HDU; what lies outside all sections is the first amplifier's."""
    parts = [np.empty_like(bias) for _ in range(3)]
    whole = (slice(None), slice(None))
    first = True
    for offset, readout in amplifiers:
        sections = [s.slices for s in (readout.data, readout.overscan) if s is not None]
        for place in [whole] if first else sections:
            parts[0][place] = bias[place] + offset
            parts[1][place] = readout.read_noise / readout.gain
            parts[2][place] = min(readout.saturation, 65535)
        first = False
    return Electronics(*parts)


def read_out(
    rng: np.random.Generator,
    electrons: np.ndarray,
    layout: Layout,
    amplifiers: Mapping[int, Electronics],
    *,
    wander: float = 0.0,
) -> dict[int, np.ndarray]:
    """The images of a raw file, by HDU, uint16.

    Parameters
    ----------
    rng : Generator
    electrons : ndarray, shape of the layout
        Collected in the exposure.
    layout : Layout
    amplifiers : mapping of int to Electronics
    wander : float, adu
        Added to the bias of the whole frame, overscan included.
    """
    images = {}
    for hdu, electronic in amplifiers.items():
        raw = electronic.bias + electronic.noise * rng.standard_normal(
            electronic.bias.shape, dtype=np.float32
        )
        raw += np.float32(wander)
        for readout in (r for r in layout.readouts if r.hdu == hdu):
            raw[readout.data.slices] += _amplifier_part(electrons, readout) / np.float32(readout.gain)
        images[hdu] = np.clip(np.rint(raw), 0, electronic.limit).astype(np.uint16)
    return images


def _amplifier_part(image: np.ndarray, readout: Readout) -> np.ndarray:
    """The part of the assembled image that one amplifier reads, turned as it is in the file."""
    rows, columns = readout.data.shape
    part = image[readout.y0 : readout.y0 + rows, readout.x0 : readout.x0 + columns]
    return part[:: -1 if readout.flip_y else 1, :: -1 if readout.flip_x else 1]
