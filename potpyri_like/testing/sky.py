"""A synthetic sky: stars, their profile, a transit, and what changes in the course of a night. Pure numerics.

Positions are in arcsec about the field's centre, in the orientation of the first camera; fluxes in electron/s
above the atmosphere; `fraction` runs from 0, the first frame of a night, to 1, the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf

from potpyri_like.astrometry.transform import Transform
from potpyri_like.lightcurves.transit import ingress_duration, radius_for_depth, transit_light_curve

__all__ = [
    "PROFILES",
    "StarField",
    "Transit",
    "cloud_passage",
    "extinction",
    "field_motion",
    "peak_fraction",
    "rotation_matrix",
    "smooth_change",
    "star_field",
    "star_image",
    "v_shaped",
]

PROFILES = ("moffat", "gauss")
_FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))
_FWHM_TO_ALPHA = 0.5 / np.sqrt(2 ** (1 / 3) - 1)  # of a Moffat profile of beta = 3
_STAMP = 4.5  # half a stamp, in FWHM: 0.2 % of a Moffat star of beta = 3 lies beyond, and is put inside


@dataclass(frozen=True)
class StarField:
    """Stars; the first is the target.

    Attributes
    ----------
    xy : ndarray, shape (n_stars, 2), arcsec
    flux : mapping of str to ndarray, shape (n_stars,), electron/s
        By band.
    """

    xy: np.ndarray
    flux: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Transit:
    """A planet before a star that is darker at its limb.

    Attributes
    ----------
    depth : float
        Part of the light that is lost at mid-transit.
    centre : float, day
    t14 : float, day
        From first to last contact.
    b : float
        How far from the middle of the star the planet passes, radii of the star.
    u1, u2 : float
        Quadratic limb darkening.
    """

    depth: float
    centre: float
    t14: float
    b: float = 0.3
    u1: float = 0.4
    u2: float = 0.25

    @property
    def k(self) -> float:
        """Radius of the planet over that of the star."""
        return radius_for_depth(self.depth, b=self.b, u1=self.u1, u2=self.u2)

    @property
    def t12(self) -> float:
        """From first to second contact, day."""
        return float(ingress_duration(k=self.k, t14=self.t14, b=self.b))

    def mean_flux(self, time: ArrayLike, exposure: float) -> np.ndarray:
        """Relative flux averaged over exposures (1 out of transit).

        Parameters
        ----------
        time : array_like, day
            Of mid-exposure.
        exposure : float, day
        """
        shape = {"tc": self.centre, "t14": self.t14, "b": self.b, "u1": self.u1, "u2": self.u2}
        return transit_light_curve(np.asarray(time, float), k=self.k, exposure=exposure, **shape)


def star_field(
    rng: np.random.Generator,
    *,
    bands: tuple[str, ...],
    half_size: tuple[float, float],
    core: tuple[float, float],
    faint: int,
    comparisons: int,
    target_flux: float,
    target_xy: tuple[float, float],
    separation: float,
) -> StarField:
    """A target, comparison stars of like brightness near it, and faint stars everywhere.

    Parameters
    ----------
    rng : Generator
    bands : tuple of str
        From blue to red; each star's colour tilts its fluxes.
    half_size : (float, float), arcsec
        Faint stars lie within +- this in x and y.
    core : (float, float), arcsec
        Comparison stars lie within +- this in x and y.
    faint, comparisons : int
        How many; fewer where they find no room.
    target_flux : float, electron/s
    target_xy : (float, float), arcsec
    separation : float, arcsec
        No star is nearer to the target or a comparison star; these keep twice of it among themselves where there is
        room, faint stars half of it.

    Notes
    -----
    Faint stars: N(> F) goes as F**-0.75, that is 10**(0.3 m), from 0.3 % to 40 % of the target.
    """
    xy = np.array([target_xy], float)
    wide = max(separation, min(2 * separation, 0.5 * min(core)))
    xy = _with_stars(rng, xy, comparisons, half_size=core, apart=wide, among=wide)
    bright = len(xy)
    xy = _with_stars(rng, xy, faint, half_size=half_size, apart=separation, among=separation / 2)
    flux = np.ones(len(xy))
    flux[1:bright] = rng.uniform(0.5, 1.2, bright - 1)
    least, most = 0.003**-0.75, 0.4**-0.75
    flux[bright:] = rng.uniform(most, least, len(xy) - bright) ** (-1 / 0.75)
    colour = np.where(np.arange(len(xy)) < bright, 0.05, 0.15) * rng.standard_normal(len(xy))
    colour[0] = 0
    tilts = np.linspace(-1, 1, len(bands)) if len(bands) > 1 else [0.0]
    tilted = {
        band: target_flux * flux * np.exp(tilt * colour) for band, tilt in zip(bands, tilts, strict=True)
    }
    return StarField(xy, tilted)


def _with_stars(
    rng: np.random.Generator,
    xy: np.ndarray,
    count: int,
    *,
    half_size: tuple[float, float],
    apart: float,
    among: float,
) -> np.ndarray:
    """Old positions and new ones, which keep `apart` from the old and `among` from each other."""
    places = list(xy)
    keep = [apart] * len(xy)
    for _ in range(count):
        for _attempt in range(50):
            place = rng.uniform(-np.asarray(half_size), half_size)
            if np.all(np.hypot(*(np.array(places) - place).T) > keep):
                places.append(place)
                keep.append(among)
                break
    return np.array(places)


def star_image(
    shape: tuple[int, int],
    xy: np.ndarray,
    flux: np.ndarray,
    *,
    fwhm: tuple[float, float],
    profile: str = "moffat",
) -> np.ndarray:
    """Stars without noise, integrated over the pixels.

    Parameters
    ----------
    shape : (int, int)
        Rows, columns.
    xy : ndarray, shape (n_stars, 2), pixel
    flux : ndarray, shape (n_stars,)
        Sum over a star's pixels, all of which lie within 4.5 FWHM.
    fwhm : (float, float), pixel
        Along x and y (they differ where the binning does).
    profile : str
        "moffat" (beta = 3) or "gauss".

    Returns
    -------
    ndarray, float32
    """
    image = np.zeros(shape, np.float32)
    half = [int(np.ceil(_STAMP * width)) + 1 for width in fwhm]
    for (x, y), light in zip(xy, flux, strict=True):
        column, row = int(np.rint(x)) - half[0], int(np.rint(y)) - half[1]
        columns = slice(max(column, 0), min(column + 2 * half[0] + 1, shape[1]))
        rows = slice(max(row, 0), min(row + 2 * half[1] + 1, shape[0]))
        if columns.start < columns.stop and rows.start < rows.stop:
            stamp = light * _unit_stamp(x - column, y - row, half, fwhm, profile)
            image[rows, columns] += stamp[
                rows.start - row : rows.stop - row, columns.start - column : columns.stop - column
            ]
    return image


def _unit_stamp(x: float, y: float, half: list[int], fwhm: tuple[float, float], profile: str) -> np.ndarray:
    """A star of flux 1 at (x, y) of a stamp of 2 half + 1 pixels.

    A Gaussian is integrated exactly; a Moffat profile by Gauss-Legendre points in each pixel, to 1e-4 of its
    peak at a FWHM of 1.5 pixels, better above.
    """
    offsets = [np.arange(2 * n + 1) - centre for n, centre in zip(half, (x, y), strict=True)]
    if profile == "gauss":
        across, up = (_gauss_integral(o, width) for o, width in zip(offsets, fwhm, strict=True))
        stamp = np.outer(up, across)
    else:
        stamp = _moffat_integral(offsets[0], offsets[1], fwhm)
    return stamp / stamp.sum()


def _gauss_integral(offset: np.ndarray, fwhm: float) -> np.ndarray:
    """Integral of a Gaussian over pixels at these distances, along one axis."""
    edges = np.append(offset - 0.5, offset[-1] + 0.5) / (np.sqrt(2) * _FWHM_TO_SIGMA * fwhm)
    return np.diff(erf(edges))


def _moffat_integral(across: np.ndarray, up: np.ndarray, fwhm: tuple[float, float]) -> np.ndarray:
    """Integral of a Moffat profile of beta = 3 over pixels, not normalised."""
    nodes, weights = np.polynomial.legendre.leggauss(3 if min(fwhm) < 5 else 2)
    x2, y2 = (
        np.square((offset + nodes[:, None] / 2) / (_FWHM_TO_ALPHA * width))
        for offset, width in zip((across, up), fwhm, strict=True)
    )
    stamp = np.zeros((up.size, across.size))
    for column, weight_x in zip(x2, weights, strict=True):
        for row, weight_y in zip(y2, weights, strict=True):
            base = 1 + column[None, :] + row[:, None]
            stamp += weight_x * weight_y / (base * base * base)
    return stamp


def peak_fraction(fwhm: tuple[float, float], *, profile: str = "moffat") -> float:
    """The part of a star's light in its brightest pixel, when centred on it."""
    half = [int(np.ceil(_STAMP * width)) + 1 for width in fwhm]
    return float(_unit_stamp(half[0], half[1], half, fwhm, profile).max())


def v_shaped(fraction: np.ndarray, *, best: float, worst: float) -> np.ndarray:
    """Worst at both ends, best in the middle."""
    return best + (worst - best) * np.abs(2 * np.asarray(fraction) - 1)


def smooth_change(fraction: np.ndarray, *, amplitude: float, phase: float) -> np.ndarray:
    """A slow wave about 1."""
    return 1 + amplitude * np.sin(2 * np.pi * (0.8 * np.asarray(fraction) + phase))


def cloud_passage(
    fraction: np.ndarray, *, loss: float, middle: float = 0.25, width: float = 0.04
) -> np.ndarray:
    """What a cloud lets through, when it takes `loss` of the light at its thickest."""
    return 1 - loss * np.exp(-0.5 * ((np.asarray(fraction) - middle) / width) ** 2)


def extinction(airmass: np.ndarray, *, coefficient: float) -> np.ndarray:
    """What the air lets through, for a coefficient in magnitudes per airmass."""
    return 10 ** (-0.4 * coefficient * np.asarray(airmass))


def field_motion(
    fraction: float,
    *,
    drift: float,
    direction: float,
    rotation: float,
    flip: float | None,
    flip_offset: tuple[float, float],
    jitter: tuple[float, float],
) -> Transform:
    """Where the field has moved to since the first frame, all in one unit of length.

    Parameters
    ----------
    fraction : float
    drift : float
        How far it is from its first place at the end of the night, on a curved path.
    direction : float, radian
        In which it sets out.
    rotation : float, degrees
        By how much the field turns, counter-clockwise, over the night.
    flip : float or None
        From this fraction on it is turned by 180 degrees about its centre and moved by `flip_offset`.
    jitter : (float, float)
        Added.
    """
    flipped = flip is not None and fraction >= flip
    angle = np.radians(rotation * fraction + 180 * flipped)
    heading = direction + 0.6 * fraction
    offset = drift * fraction * np.array([np.cos(heading), np.sin(heading)]) + np.asarray(jitter)
    if flipped:
        offset = offset + np.asarray(flip_offset)
    return Transform(rotation_matrix(angle), offset)


def rotation_matrix(angle: float) -> np.ndarray:
    """Counter-clockwise from x to y, for an angle in radians."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
