"""Photometers: ways to add up a star's light. One more is a small class in a plugin.

A photometer is a frozen dataclass derived from `Photometer` whose fields are plain numbers, texts and tuples of them::

    @dataclass(frozen=True)
    class Peak(Photometer):
        \"\"\"The brightest pixel.\"\"\"

        name: ClassVar[str] = "peak"

        def sizes(self, template): ...
        def measure(self, scene): ...

Centroids, sky, flags and peaks are found before it is asked, alike for all photometers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from math import pi
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from potpyri_like.identity import instrument_identity
from potpyri_like.photometry.apertures import aperture_sums
from potpyri_like.photometry.cutouts import (
    in_blocks,
    is_clean,
    leaves,
    rounded,
    square_sums,
    squares_from,
    to_squares,
)
from potpyri_like.photometry.masks import Template, circles, contours, layered_sums, parts
from potpyri_like.photometry.noise import nan_median
from potpyri_like.photometry.psf import Profile

if TYPE_CHECKING:
    from potpyri_like.photometry.measure import Sky

__all__ = [
    "BUILT_IN",
    "GRID",
    "MOST_TOGETHER",
    "Aperture",
    "Context",
    "Mask",
    "Optimal",
    "Photometer",
    "Psf",
    "Scene",
    "Shape",
]

GRID = tuple(np.round(np.geomspace(0.5, 5.0, 24), 3).tolist())
_AT_ONCE = 300_000  # parts of pixels
MOST_TOGETHER, _CLOSER = (
    20,
    0.7,
)  # stars fitted at once; by how much the reach shrinks where more hang together
_ENOUGH_LIGHT = 0.5  # of an optimal extraction's weight that must be on good pixels


@dataclass(frozen=True, eq=False)
class Context:
    """Properties of a frame besides its pixels.

    Attributes
    ----------
    psf : Profile or None
        Of the frame; None: a round Moffat profile of beta = 3 and the frame's FWHM.
    template : Template or None
        The reference with its stars, in the same order.
    matrix : ndarray, shape (2, 2)
        The linear part of the transform from the reference's pixels to the frame's.
    covariance : float
        What multiplies sums of the variance, since neighbours are correlated; see `Frame.covariance`.
    photons : float
        The variance of a pixel, electron^2, for each electron in it: less than 1 after the 3x3 median.
    """

    psf: Profile | None = None
    template: Template | None = None
    matrix: np.ndarray = field(default_factory=lambda: np.eye(2))
    covariance: float = 1.0
    photons: float = 1.0


@dataclass(frozen=True, eq=False)
class Scene:
    """The part of a frame that a photometer is given.

    Attributes
    ----------
    image, variance : ndarray, shape (ny, nx)
        Bad pixels filled; the variance is that of each pixel by itself, and its sums count `context.covariance` times.
    mask : ndarray of uint16, shape (ny, nx)
        Bits of `MaskBit`.
    xy : ndarray, shape (n_star, 2), pixels
        The stars' centroids.
    sky : Sky
    fwhm : float, pixels
    radii : ndarray, shape (n_size,), pixels
        The photometer's `sizes`, in pixels.
    squared : ndarray, shape (ny // binning, nx // binning)
        Sums of squares of pixels: enough for stars as wide as these.
    binning : int
    context : Context
    """

    image: np.ndarray
    variance: np.ndarray
    mask: np.ndarray
    xy: np.ndarray
    sky: Sky
    fwhm: float
    radii: np.ndarray
    squared: np.ndarray
    binning: int = 1
    context: Context = field(default_factory=Context)

    @property
    def psf(self) -> Profile:
        """The frame's profile, before pixels saw it."""
        known = self.context.psf
        return known if known is not None and known.is_known else Profile(self.fwhm)

    def blank(self, sizes: int) -> tuple[np.ndarray, np.ndarray]:
        """NaN for the flux and its error of each star and size."""
        return np.full((len(self.xy), sizes), np.nan), np.full((len(self.xy), sizes), np.nan)

    def above_sky(
        self,
        sums: np.ndarray,
        variances: np.ndarray,
        area: np.ndarray | float,
        *,
        some: np.ndarray | slice = slice(None),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Flux and error, given sums of the image and of the variance, shape (n_star, n_size), over some of its pixels.

        `some` are the stars that they are of. The covariance of the pixels is counted in.
        """
        level, uncertain = self.sky.level[some, None], self.sky.variance_of_level[some, None]
        return sums - level * area, np.sqrt(self.context.covariance * variances + area**2 * uncertain)


class Photometer(ABC):
    """How the flux of stars is measured, above a sky that is known. A subclass is a frozen dataclass of plain values.

    Attributes
    ----------
    name : str
        What the option `photometer` calls it; small letters.
    parts_blends : bool
        Stars whose light overlaps are measured together: the flux of one holds none of another's.
    """

    name: ClassVar[str]
    parts_blends: ClassVar[bool] = False

    @abstractmethod
    def sizes(self, template: Template) -> np.ndarray:
        """How large each of its sums is, rising, in FWHM of the template: the radius of a circle of the same area."""

    @abstractmethod
    def measure(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        """Fluxes and their errors, shape (n_star, n_size), image unit; NaN where it cannot measure."""

    @property
    def digest(self) -> str:
        """What its numbers depend on: its class, the source of the plugin that brings it, its settings."""
        return f"{instrument_identity(type(self))} {self!r}"


@dataclass(frozen=True)
class Aperture(Photometer):
    """Sums in concentric circles, with exact overlap of circles and pixels.

    Attributes
    ----------
    grid : tuple of float
        Radii in FWHM.
    wide : float
        Larger circles, in squares, are summed on squares twice as large: their borders run through the faint wings,
        where that moves a flux by less than 1e-4 from frame to frame.
    """

    name: ClassVar[str] = "aperture"
    grid: tuple[float, ...] = GRID
    wide: float = 12.0

    def sizes(self, template: Template) -> np.ndarray:
        return np.asarray(self.grid)

    def measure(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        sums, variances = np.empty((2, len(scene.xy), len(scene.radii)))
        wide = scene.radii > self.wide * scene.binning
        for which, more in ((~wide, 1), (wide, 2)):
            if which.any():
                binning = more * scene.binning
                sums[:, which], variances[:, which] = aperture_sums(
                    square_sums(scene.squared, more),
                    scene.variance,
                    to_squares(scene.xy, binning),
                    scene.radii[which] / binning,
                    binning=binning,
                )
        return scene.above_sky(sums, variances, pi * scene.radii**2)


@dataclass(frozen=True)
class Mask(Photometer):
    """Sums in concentric circles of parts of pixels (or of squares of pixels), each cut into so many a side."""

    name: ClassVar[str] = "mask"
    grid: tuple[float, ...] = GRID
    subpixels: int = 3

    def sizes(self, template: Template) -> np.ndarray:
        return np.asarray(self.grid)

    def measure(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        flux, error = scene.blank(len(scene.radii))
        xy, radii = to_squares(scene.xy, scene.binning), scene.radii / scene.binning
        half = int(np.ceil(radii.max())) + 1
        offset, inside = np.arange(-half, half + 1), np.flatnonzero(~leaves(scene.image.shape, scene.xy, 0))
        for some in in_blocks(inside, (offset.size * self.subpixels) ** 2, at_once=_AT_ONCE):
            centre = rounded(xy[some])
            x, y = (parts(offset + c[:, None], self.subpixels) for c in (centre - xy[some]).T)
            within = circles(x, y, radii)
            flux[some], error[some] = _masked(scene, some, centre - half, within)
        return flux, error


@dataclass(frozen=True)
class Shape(Photometer):
    """Sums within the star's own contour in the reference, grown by some layers of pixels and moved with the star.

    Attributes
    ----------
    layers : tuple of int
        Of 3 x 3 pixels.
    depth : float
        Of the star's peak: the level of the contour.
    subpixels : int
        Parts of a pixel along each side.
    """

    name: ClassVar[str] = "shape"
    layers: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22)
    depth: float = 0.2
    subpixels: int = 3

    def sizes(self, template: Template) -> np.ndarray:
        found = contours(template, depth=self.depth, layers=max(self.layers))
        return found.equivalent_radii(self.layers) / template.fwhm

    def measure(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        template = scene.context.template
        assert template is not None
        found = contours(template, depth=self.depth, layers=max(self.layers))
        flux, error = scene.blank(len(self.layers))
        half = found.layers.shape[1] // (2 * scene.binning) + 2
        inside = np.flatnonzero(~leaves(scene.image.shape, scene.xy, 0))
        for some in in_blocks(inside, ((2 * half + 1) * self.subpixels) ** 2, at_once=_AT_ONCE):
            low, within = self._moved(scene, template, some, half)
            flux[some], error[some] = _masked(scene, some, low, within)
        return flux, error

    def _moved(
        self, scene: Scene, template: Template, some: np.ndarray, half: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The first pixel of the squares around some stars, and which mask holds each part of their pixels."""
        found = contours(template, depth=self.depth, layers=max(self.layers))
        xy, factor = to_squares(scene.xy[some], scene.binning), scene.binning
        low, offset = rounded(xy) - half, np.arange(2 * half + 1)
        x, y = (factor * parts(offset + c[:, None], self.subpixels) for c in (low - xy).T)
        x, y = x[:, None, None, :, :], y[:, :, :, None, None]
        back = np.linalg.inv(scene.context.matrix)
        start = template.xy[some] - found.low[some]
        column, row = (
            np.rint(start[:, axis, None, None, None, None] + back[axis, 0] * x + back[axis, 1] * y).astype(
                int
            )
            for axis in (0, 1)
        )
        side = found.layers.shape[1]
        outside = (row < 0) | (column < 0) | (row >= side) | (column >= side)
        star = np.reshape(some, (-1, 1, 1, 1, 1))
        grown = found.layers[star, row.clip(0, side - 1), column.clip(0, side - 1)]
        return low, np.where(outside, len(self.layers), np.searchsorted(self.layers, grown, side="left"))


def _masked(
    scene: Scene, some: np.ndarray, low: np.ndarray, within: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Flux and error of some stars in nested masks."""
    count = scene.radii.size
    sums, variances, area = layered_sums(
        scene.squared, scene.variance, low, within, count, binning=scene.binning
    )
    return scene.above_sky(sums, variances, area * scene.binning**2, some=some)


@dataclass(frozen=True)
class Optimal(Photometer):
    """Optimal extraction: pixels weighted by the frame's own profile over the variance (Naylor 1998, MNRAS 296, 339).

    The flux is that of the whole profile, so that frames of different seeing agree. Masked pixels are excluded.

    Attributes
    ----------
    reach : float
        FWHM around a star in which pixels count.
    """

    name: ClassVar[str] = "optimal"
    reach: float = 2.0

    def sizes(self, template: Template) -> np.ndarray:
        return np.array([Profile(1.0).equivalent_radius])

    def measure(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        flux, error = scene.blank(1)
        inside = np.flatnonzero(~leaves(scene.image.shape, scene.xy, 0))
        half = int(np.ceil(self.reach * scene.fwhm / scene.binning))
        for some in in_blocks(inside, (2 * half + 1) ** 2):
            flux[some, 0], error[some, 0] = self._of_some(_Stamps.of(scene, some, half), scene, some)
        return flux, error

    def _of_some(self, stamps: _Stamps, scene: Scene, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        near = np.hypot(stamps.x, stamps.y) <= self.reach * scene.fwhm / scene.binning
        profile = _effective(scene).light(stamps.x, stamps.y) * near
        seen = profile * stamps.good
        whole, square = (profile**2).sum(axis=(1, 2)), (seen**2).sum(axis=(1, 2))
        enough = np.where(square >= _ENOUGH_LIGHT * whole, square, np.nan)
        first = (seen * stamps.data).sum(axis=(1, 2)) / enough
        light = np.maximum(first, 0)[:, None, None] * profile
        variance = stamps.noise2[:, None, None] + scene.context.photons * light
        weight = seen / np.maximum(variance, 1e-9)
        weight /= (weight * profile).sum(axis=(1, 2))[:, None, None]
        flux = (weight * stamps.data).sum(axis=(1, 2))
        sky = weight.sum(axis=(1, 2)) ** 2 * scene.binning**4 * scene.sky.variance_of_level[some]
        of_pixels = scene.context.covariance * (weight**2 * stamps.variance).sum(axis=(1, 2))
        return flux, np.sqrt(of_pixels + sky)


@dataclass(frozen=True)
class Psf(Photometer):
    """Profiles fitted to stars that overlap, all at once, by linear least squares at their known places.

    Each group has a sky of its own, which the annulus constrains. Masked pixels are excluded.

    Attributes
    ----------
    together : float
        FWHM between stars that are fitted together.
    reach : float
        FWHM around each in which pixels count.
    """

    name: ClassVar[str] = "psf"
    parts_blends: ClassVar[bool] = True
    together: float = 4.0
    reach: float = 1.75

    def sizes(self, template: Template) -> np.ndarray:
        return np.array([Profile(1.0).equivalent_radius])

    def measure(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        flux, error = scene.blank(1)
        inside = np.flatnonzero(~leaves(scene.image.shape, scene.xy, 0) & np.isfinite(scene.sky.level))
        profile = _effective(scene)
        for group in _groups(scene.xy[inside], self.together * scene.fwhm):
            members = inside[group]
            flux[members, 0], error[members, 0] = self._of_group(scene, members, profile)
        return flux, error

    def _of_group(self, scene: Scene, members: np.ndarray, profile: Profile) -> tuple[np.ndarray, np.ndarray]:
        pixels = _Pixels.around(scene, members, self.reach * scene.fwhm / scene.binning)
        light = profile.light(pixels.x, pixels.y)
        near = np.hypot(pixels.x, pixels.y).min(axis=0) <= self.reach * scene.fwhm / scene.binning
        used = near & pixels.good
        terms = np.vstack([light[:, used], np.ones(np.count_nonzero(used))])
        data, seen = pixels.data[used], np.sum(light[:, used] ** 2, axis=1)
        few = seen < _ENOUGH_LIGHT * np.sum(light[:, near] ** 2, axis=1)
        prior = np.zeros(len(terms))
        prior[-1] = 1 / max(pixels.sky_variance, 1e-12)
        found, noise2 = np.zeros(len(terms)), max(pixels.noise2, 1e-9)
        covariance, photons = scene.context.covariance, scene.context.photons
        for _ in range(2):
            light = np.maximum(found[:-1], 0) @ terms[:-1]
            weight = 1 / (covariance * (noise2 + photons * light))
            inverse = _inverse((terms * weight) @ terms.T + np.diag(prior))
            found = inverse @ ((terms * weight) @ data)
        spread = (terms * weight**2 * covariance * pixels.variance[used]) @ terms.T + np.diag(prior)
        error = np.sqrt(np.diag(inverse @ spread @ inverse)[:-1])
        return np.where(few, np.nan, found[:-1]), np.where(few, np.nan, error)


def _inverse(normal: np.ndarray) -> np.ndarray:
    """The inverse of a normal matrix, whatever the units of its unknowns: a sky may be known far better than stars."""
    scale = np.sqrt(np.maximum(np.diag(normal), np.finfo(float).tiny))
    return np.linalg.pinv(normal / np.outer(scale, scale), hermitian=True) / np.outer(scale, scale)


def _groups(xy: np.ndarray, reach: float) -> list[np.ndarray]:
    """Indices of places that hang together by distances within reach; a shorter one where too many do."""
    found: list[np.ndarray] = []
    for group in _chained(xy, reach):
        if len(group) <= MOST_TOGETHER:
            found.append(group)
        else:  # in a crowded field all stars would be one group, and too large to be solved at once
            found.extend(group[part] for part in _groups(xy[group], _CLOSER * reach))
    return found


def _chained(xy: np.ndarray, reach: float) -> list[np.ndarray]:
    """Indices of places that hang together by distances within reach."""
    near = np.hypot(*(xy[:, None] - xy).transpose(2, 0, 1)) <= reach
    group, before = np.arange(len(xy)), np.full(len(xy), -1)
    while (group != before).any():
        group, before = np.where(near, group, len(xy)).min(axis=1, initial=len(xy)), group
    return [np.flatnonzero(group == first) for first in np.unique(group)]


def _effective(scene: Scene) -> Profile:
    """The profile as the scene's squares see it, in squares."""
    return scene.psf.through_pixels(scene.binning).in_squares(scene.binning)


def _cut(
    scene: Scene, low: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
    """Image, variance and whether they are good of a rectangle of squares."""
    rows, columns = (slice(max(a, 0), a + n) for a, n in zip(low[::-1], shape, strict=True))
    factor = scene.binning
    fine = tuple(slice(s.start * factor, s.stop * factor) for s in (rows, columns))
    image = scene.squared[rows, columns]
    fine = tuple(slice(s.start, s.start + n * factor) for s, n in zip(fine, image.shape, strict=True))
    variance = square_sums(scene.variance[fine], factor)
    hidden = square_sums(scene.mask[fine] != 0, factor)
    return image.astype(float), variance, np.isfinite(image) & ~hidden, (columns.start, rows.start)


@dataclass(frozen=True, eq=False)
class _Pixels:
    """The squares around a group of stars; `x`, `y` are their distances from each star, shape (n_star, n_square)."""

    data: np.ndarray
    variance: np.ndarray
    good: np.ndarray
    x: np.ndarray
    y: np.ndarray
    noise2: float  # the variance of a square without the stars' photons
    sky_variance: float

    @classmethod
    def around(cls, scene: Scene, members: np.ndarray, reach: float) -> _Pixels:
        xy, factor, sky = to_squares(scene.xy[members], scene.binning), scene.binning, scene.sky
        low = np.floor(xy.min(axis=0) - reach).astype(int)
        high = np.ceil(xy.max(axis=0) + reach).astype(int)
        data, variance, good, first = _cut(scene, low, tuple((high - low + 1)[::-1]))
        y, x = np.indices(data.shape).reshape(2, 1, -1)
        level = factor**2 * sky.level[members].mean()
        data -= level
        stamp = (variance[None], data[None], good[None])
        return cls(
            data=data.ravel(),
            variance=np.asarray(variance, float).ravel(),
            good=good.ravel(),
            x=x + first[0] - xy[:, :1],
            y=y + first[1] - xy[:, 1:],
            noise2=float(_without_light(*stamp, sky=level, photons=scene.context.photons)[0]),
            sky_variance=float(factor**4 * sky.variance_of_level[members].mean()),
        )


@dataclass(frozen=True, eq=False)
class _Stamps:
    """Squares of `Scene.squared` around stars, above the sky; `x` and `y` are distances from the star, in squares."""

    data: np.ndarray
    variance: np.ndarray
    good: np.ndarray
    x: np.ndarray
    y: np.ndarray
    noise2: np.ndarray  # the variance of a square without the star's photons

    @classmethod
    def of(cls, scene: Scene, some: np.ndarray, half: int) -> _Stamps:
        factor, side = scene.binning, 2 * half + 1
        xy = to_squares(scene.xy[some], factor)
        low = rounded(xy) - half
        data = squares_from(scene.squared, low, side, outside=np.nan).astype(float)
        fine = squares_from(scene.variance, low * factor, side * factor)
        good = np.isfinite(data)
        if not is_clean(scene.mask):
            good &= ~square_sums(squares_from(scene.mask, low * factor, side * factor) != 0, factor)
        data -= factor**2 * scene.sky.level[some, None, None]
        x, y = ((low[:, n, None] + np.arange(side) - xy[:, n, None]) for n in (0, 1))
        data, variance = np.where(good, data, 0), square_sums(fine, factor)
        sky = factor**2 * scene.sky.level[some]
        noise2 = _without_light(variance, data, good, sky=sky, photons=scene.context.photons)
        return cls(data, variance, good, x[:, None, :], y[:, :, None], noise2)


def _without_light(
    variance: np.ndarray, above_sky: np.ndarray, good: np.ndarray, *, sky: np.ndarray, photons: float
) -> np.ndarray:
    """The variance of a typical good square of each stamp, shape (n_star,), when the stars' photons are taken off.

    Of a very bright star a flat that is not 1 leaves some, or takes too many: it is never below that of the sky's
    photons, `sky` of them in a square.
    """
    rest = np.where(good, variance - photons * above_sky, np.nan)
    typical = nan_median(rest.reshape(len(rest), np.prod(rest.shape[1:], dtype=int)).T)
    return np.fmax(typical, photons * sky)


BUILT_IN: tuple[type[Photometer], ...] = (Aperture, Optimal, Psf, Shape, Mask)
