"""The point-spread function of a frame: an elliptical Moffat profile fitted to its bright stars together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import pi, sqrt

import numpy as np

from potpyri_like.photometry.cutouts import PIXEL_FWHM2, native_float32, rounded, square_sums, squares_from

__all__ = ["Profile", "fit_profile"]

_REACH = 1.75  # FWHM around a star
_CORE = 0.55  # half FWHMs around it, that hold its peak
_LEAST_KAPPA, _MOST_KAPPA = 0.02, 0.6  # 1 / beta: nearly a Gaussian, and wings whose sum is hardly finite
_MODEL_ERROR = 0.03  # of the profile itself: no star looks exactly like the model
_STEPS, _CLOSE_ENOUGH = 10, 1e-3
_OUTLYING = 5.0  # times the scatter: pixels of a neighbour
_POOR_STAR = 3.0  # times the usual scatter
_LEAST_WIDTH2 = 0.2  # of the width's square that is left when that of the pixels is taken off


@dataclass(frozen=True)
class Profile:
    """How the light of a star is spread (Moffat 1969, A&A 3, 455): ``(1 + r**2 / alpha**2) ** -beta``, elliptical.

    Attributes
    ----------
    fwhm : float, pixels
        Geometric mean of the largest and the smallest.
    ellipticity : float
        1 - smallest / largest.
    angle : float, degrees
        Of the largest, counter-clockwise from +x, in (-90, 90].
    beta : float
        2 to 4 for seeing; large for a Gaussian.
    """

    fwhm: float
    ellipticity: float = 0.0
    angle: float = 0.0
    beta: float = 3.0

    @property
    def is_known(self) -> bool:
        return bool(np.isfinite([self.fwhm, self.ellipticity, self.angle, self.beta]).all())

    @property
    def equivalent_radius(self) -> float:
        """Radius of the aperture that has the sky noise of an optimal extraction: pi r**2 is 1 / sum(profile**2)."""
        core = self.fwhm / (2 * sqrt(2 ** (1 / self.beta) - 1))
        return core * sqrt(2 * self.beta - 1) / (self.beta - 1)

    def light(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The part of a star's light per square pixel at some distances from its centre, pixels."""
        kappa, (a, b, c) = 1 / self.beta, self.form
        grow = 2**kappa - 1
        value = (1 + grow * (a * x**2 + 2 * b * x * y + c * y**2)) ** -self.beta
        return value * (sqrt(a * c - b**2) * grow * (1 - kappa) / (kappa * pi))

    @property
    def form(self) -> tuple[float, float, float]:
        """a, b, c of ``a x**2 + 2 b x y + c y**2``, which is 1 where the light is half of its maximum."""
        along, across = ((2 / width) ** 2 for width in self.widths)
        cos, sin = np.cos(np.radians(self.angle)), np.sin(np.radians(self.angle))
        a, c = along * cos**2 + across * sin**2, along * sin**2 + across * cos**2
        return float(a), float((along - across) * cos * sin), float(c)

    @property
    def widths(self) -> tuple[float, float]:
        """The largest FWHM and the smallest, pixels."""
        stretch = sqrt(1 - self.ellipticity)
        return self.fwhm / stretch, self.fwhm * stretch

    @classmethod
    def from_form(cls, a: float, b: float, c: float, beta: float) -> Profile:
        """The profile of that `form`."""
        (least, most), axes = np.linalg.eigh([[a, b], [b, c]])
        if not least > 0:
            return cls(np.nan, np.nan, np.nan, np.nan)
        angle = np.degrees(np.arctan2(axes[1, 0], axes[0, 0]))
        angle = 90 - (90 - angle) % 180
        return cls(float(2 / (least * most) ** 0.25), float(1 - sqrt(least / most)), float(angle), beta)

    def through_pixels(self, side: float, *, undo: bool = False) -> Profile:
        """The profile as pixels of that side see it, a little wider; or as it was before they saw it."""
        added = PIXEL_FWHM2 * side**2 * (-1 if undo else 1)
        wide, narrow = (sqrt(max(width**2 + added, _LEAST_WIDTH2 * width**2)) for width in self.widths)
        return replace(self, fwhm=sqrt(wide * narrow), ellipticity=1 - narrow / wide)

    def in_squares(self, side: int) -> Profile:
        """The same in units of squares of so many pixels a side."""
        return replace(self, fwhm=self.fwhm / side)


_UNKNOWN = Profile(np.nan, np.nan, np.nan, np.nan)


def fit_profile(
    image: np.ndarray, xy: np.ndarray, *, sky: np.ndarray, noise: np.ndarray, fwhm: float, binning: int = 1
) -> Profile:
    """The common profile of some stars, by least squares on all their pixels together.

    Each star has its own centre and brightness; no pixel is resampled. Pixels off the fit, as of a neighbour, and
    stars that are not like the others are excluded from a second fit.

    Parameters
    ----------
    image : array_like, shape (ny, nx), electron
    xy : array_like, shape (n, 2), pixels
        Centroids of bright stars, unsaturated; about 15 are plenty.
    sky, noise : array_like, shape (n,), electron
        Level and standard deviation of the sky's pixels around each.
    fwhm : float, pixels
        About that of the stars.
    binning : int
        Look at squares of so many pixels a side; a fourth of the FWHM costs no precision.

    Returns
    -------
    Profile
        Without the width that the pixels add; NaN where no fit succeeds.
    """
    xy = np.asarray(xy, float).reshape(-1, 2)
    if not len(xy) or not fwhm > 0:
        return _UNKNOWN
    values, x, y = _pixels(native_float32(image), xy, fwhm, binning)
    values -= np.asarray(sky, float)[:, None]
    peak = np.max(np.where((np.hypot(x, y) < _CORE) & np.isfinite(values), values, 0), axis=1)
    bright = peak > 0
    if not bright.any():
        return _UNKNOWN
    noise = np.asarray(noise, float)[bright] / binning
    values, weight = _normalised(values[bright], peak[bright], noise, binning)
    shape = _fit_twice(values, x[bright], y[bright], weight)
    a, b, c = shape[:3] / (fwhm / 2) ** 2
    profile = Profile.from_form(a, b, c, float(1 / shape[3]))
    return profile.through_pixels(binning, undo=True) if profile.is_known else _UNKNOWN


def _pixels(
    image: np.ndarray, xy: np.ndarray, fwhm: float, binning: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of squares of pixels around stars, shape (n_star, n_square), and their distances in half FWHMs."""
    half = int(np.ceil(_REACH * fwhm / binning))
    side = 2 * half + 1
    low = rounded(xy) - half * binning - binning // 2
    cut = square_sums(squares_from(image, low, side * binning, outside=np.nan), binning) / binning**2
    place = np.arange(side) * binning + (binning - 1) / 2
    off = (low[:, :, None] + place - xy[:, :, None]) / (fwhm / 2)
    near = np.hypot(place - place.mean(), (place - place.mean())[:, None]) <= _REACH * fwhm
    x, y = np.broadcast_to(off[:, 0, None, :], cut.shape), np.broadcast_to(off[:, 1, :, None], cut.shape)
    return cut[:, near].astype(float), x[:, near], y[:, near]


def _normalised(
    values: np.ndarray, peak: np.ndarray, noise: np.ndarray, binning: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each star's pixels over its peak, and their weights, from photons, sky and model; 0 for what is not finite."""
    known, peak = np.isfinite(values), peak[:, None]
    values = np.where(known, values, 0) / peak
    light = np.clip(values, 0, 1)
    error2 = light / peak / binning**2 + (noise[:, None] / peak) ** 2 + (_MODEL_ERROR * light) ** 2
    return values, np.where(known, 1 / np.maximum(error2, 1e-12), 0)


def _fit_twice(values: np.ndarray, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The shape a, b, c, kappa; the second time without what the first did not explain."""
    star = np.column_stack([np.ones(len(values)), np.zeros((len(values), 2))])
    shape, star = _converge(values, x, y, weight, np.array([1, 0, 1, 0.3]), star)
    if not np.isfinite(shape).all():
        return shape
    off = np.abs(values - _model(x, y, shape, star)[0]) * np.sqrt(weight)
    usual = np.sqrt(np.mean(off**2, axis=1))
    alike = usual <= _POOR_STAR * np.median(usual)
    near = off <= _OUTLYING * max(1.0, float(np.median(usual)))
    if near.all() and alike.all():
        return shape
    weight = np.where(near, weight, 0)[alike]
    return _converge(values[alike], x[alike], y[alike], weight, shape, star[alike])[0]


def _converge(
    values: np.ndarray, x: np.ndarray, y: np.ndarray, weight: np.ndarray, shape: np.ndarray, star: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Newton steps; each star's brightness and centre (`star`) are projected out of the common shape's."""
    root = np.sqrt(weight)[..., None]
    for _ in range(_STEPS):
        model, by_shape, by_star = _model(x, y, shape, star)
        q, r = np.linalg.qr(by_star * root)
        rest, columns = (values - model)[..., None] * root, by_shape * root
        free = columns - q @ (q.swapaxes(1, 2) @ columns)
        flat = free.reshape(-1, free.shape[2])
        step = _solved(flat.T @ flat, flat.T @ rest.ravel())
        if step is None:
            return np.full(4, np.nan), star
        left = q.swapaxes(1, 2) @ (rest - columns @ step[:, None])
        own = np.linalg.solve(r + 1e-9 * np.eye(3), left)[..., 0]
        star = star + np.clip(own, -0.5, 0.5)
        new = _bounded(shape + np.clip(step, -0.5, 0.5))
        moved, shape = np.abs(new - shape).max(), new
        if moved < _CLOSE_ENOUGH:
            break
    return shape, star


def _solved(normal: np.ndarray, right: np.ndarray) -> np.ndarray | None:
    """A damped solution of normal equations; None where there is none."""
    if not (np.isfinite(normal).all() and np.isfinite(right).all() and np.all(np.diag(normal) > 0)):
        return None
    return np.linalg.solve(normal + 1e-6 * np.diag(np.diag(normal)), right)


def _bounded(shape: np.ndarray) -> np.ndarray:
    """A shape that is one: of positive widths, not too unlike, and with wings of finite light."""
    a, c = np.clip(shape[[0, 2]], 0.05, 20)
    most = 0.95 * sqrt(a * c)
    return np.array([a, np.clip(shape[1], -most, most), c, np.clip(shape[3], _LEAST_KAPPA, _MOST_KAPPA)])


def _model(
    x: np.ndarray, y: np.ndarray, shape: np.ndarray, star: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The stars' light, and how it changes with the common shape and with each star's brightness and centre."""
    (a, b, c, kappa), height = shape, star[:, :1]
    x, y = x - star[:, 1:2], y - star[:, 2:3]
    grow = 2**kappa - 1
    form = a * x**2 + 2 * b * x * y + c * y**2
    inner = 1 + grow * form
    log = np.log(inner)
    value = np.exp(-log / kappa)
    slope = -(grow / kappa) * height * value / inner
    by_kappa = height * value * (log / kappa**2 - np.log(2) * 2**kappa * form / (kappa * inner))
    by_shape = np.stack([slope * x**2, 2 * slope * x * y, slope * y**2, by_kappa], axis=-1)
    by_star = np.stack([value, -2 * slope * (a * x + b * y), -2 * slope * (b * x + c * y)], axis=-1)
    return height * value, by_shape, by_star
