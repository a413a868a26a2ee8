"""Centroids of stars whose places are known within a few pixels, in several ways with one signature.

`CENTROIDS` names them. Each is given (image, xy, *, fwhm, max_shift, mask) and returns (xy, ok): a star without a
centroid within `max_shift` of its place keeps that place, and `ok` is False. Cutouts begin at whole pixels, and what
is found in them is added to that beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from scipy.ndimage import uniform_filter

from potpyri_like.photometry.cutouts import native_float32, rounded, squares

__all__ = [
    "CENTROIDS",
    "FWHM_PER_SIGMA",
    "Centroid",
    "centre_of_mass",
    "frozen",
    "gaussian_fit",
    "quadratic_fit",
    "refine_positions",
    "windowed",
]

FWHM_PER_SIGMA = 2.3548
_CLOSE_ENOUGH = 1e-4  # pixel: a step below which the centroid is found
_STEPS = 16
_BLOCK = 32  # stars at a time: their pixels stay in the cache
_MASS_RADIUS = 1.0  # FWHM
_QUADRATIC_HALF, _QUADRATIC_MOVES = (
    0.45,
    4,
)  # FWHM: half the side of the square; how often it follows its maximum
_FIT_RADIUS, _FIT_STEPS, _FIT_CLOSE = 1.25, 12, 1e-3  # FWHM; steps; pixel


def refine_positions(
    image: np.ndarray, xy: np.ndarray, *, fwhm: float, max_shift: float, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Windowed centroids near given positions (XWIN_IMAGE of SExtractor; Bertin & Arnouts 1996).

    Parameters
    ----------
    image : array_like, shape (ny, nx)
    xy : array_like, shape (n, 2), pixels
    fwhm : float, pixels
        The window is a Gaussian of this FWHM.
    max_shift : float, pixels
    mask : ndarray, optional
        Pixels that are not zero are excluded.

    Returns
    -------
    xy : ndarray, shape (n, 2)
        The centroid, or the position given where `ok` is False.
    ok : ndarray of bool, shape (n,)
        False where there is no centroid within `max_shift`.
    """
    found, light = windowed(image, xy, fwhm=fwhm, max_shift=max_shift, mask=mask)
    return found, light > 0


def windowed(
    image: np.ndarray, xy: np.ndarray, *, fwhm: float, max_shift: float, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The centroids of `refine_positions`, and the light above the sky weighted with the window.

    The light is 0 where there is no centroid; `image unit`, the weight at the centre being 1.
    """
    image, xy = native_float32(image), np.asarray(xy, dtype=float).reshape(-1, 2)
    found, light = xy.copy(), np.zeros(len(xy))
    for start in range(0, len(xy), _BLOCK):
        some = slice(start, start + _BLOCK)
        found[some], light[some] = _of_some(image, xy[some], fwhm / FWHM_PER_SIGMA, max_shift, mask)
    return found, light


def _of_some(
    image: np.ndarray, xy: np.ndarray, sigma: float, max_shift: float, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """`windowed` for a few stars."""
    corner, half = rounded(xy), int(np.ceil(4 * sigma + max_shift)) + 1
    pixels, usable = _above_rim(image, corner, half, mask)
    usable &= np.isfinite(xy).all(axis=1)
    start = np.where(usable[:, None], xy - corner, 0)
    place, light = _converge(pixels, start, sigma)
    shift = place - start
    good = usable & (light > 0) & (np.hypot(*shift.T) <= max_shift)
    return np.where(good[:, None], xy + shift, xy), np.where(good, light, 0)


def _converge(pixels: np.ndarray, start: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Offsets from the squares' centres after steps of twice the first moment in the window, and the light.

    Each star stops on its own, so that it does not matter which others are measured along with it.
    """
    offset = np.arange(pixels.shape[1]) - pixels.shape[1] // 2
    place, light, going = start.copy(), np.zeros(len(start)), np.arange(len(start))
    for _ in range(_STEPS):
        away = offset - place[going, :, None]
        weight = np.exp(away**2 / (-2 * sigma**2))
        (x, y), (by_x, by_y) = weight.swapaxes(0, 1), (weight * away).swapaxes(0, 1)
        moments = np.stack([y, by_y], axis=1) @ (pixels @ np.stack([x, by_x], axis=2))
        light[going] = moments[:, 0, 0]
        step = 2 * np.column_stack([moments[:, 0, 1], moments[:, 1, 0]])
        step = np.divide(step, moments[:, :1, 0], out=np.zeros_like(step), where=moments[:, :1, 0] > 0)
        place[going] += step
        on = np.hypot(*step.T) > _CLOSE_ENOUGH
        if not on.all():
            going, pixels = going[on], pixels[on]
        if not len(going):
            break
    return place, light


def _above_rim(
    image: np.ndarray, corner: np.ndarray, half: int, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Squares around stars less the median along their rims, bad pixels 0; and which have any good pixel."""
    pixels = squares(image, corner, half, outside=np.nan).astype(float)
    if mask is not None:
        pixels[squares(np.asarray(mask), corner, half) != 0] = np.nan
    rim = np.concatenate([pixels[:, 0], pixels[:, -1], pixels[:, 1:-1, 0], pixels[:, 1:-1, -1]], axis=1)
    rim.sort(axis=1)
    middle = np.count_nonzero(np.isfinite(rim), axis=1) // 2
    pixels -= np.nan_to_num(rim[np.arange(len(rim)), middle])[:, None, None]
    bad = np.isnan(pixels)
    if bad.any():
        pixels[bad] = 0
    return pixels, ~bad.all(axis=(1, 2))


def centre_of_mass(
    image: np.ndarray, xy: np.ndarray, *, fwhm: float, max_shift: float, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """First moments within one FWHM, the circle following the centroid; as `refine_positions` otherwise."""

    def of_some(pixels: np.ndarray, start: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        offset = np.arange(pixels.shape[1]) - pixels.shape[1] // 2
        place, light = start.copy(), np.zeros(len(start))
        for _ in range(_STEPS):
            x, y = (offset - place[:, axis, None] for axis in (0, 1))
            far = np.hypot(x[:, None, :], y[:, :, None])
            within = np.clip(_MASS_RADIUS * fwhm + 0.5 - far, 0, 1) * good * pixels  # the rim counts in part
            light = within.sum(axis=(1, 2))
            step = np.column_stack([np.einsum("nyx,nx->n", within, x), np.einsum("nyx,ny->n", within, y)])
            step = np.divide(step, light[:, None], out=np.zeros_like(step), where=light[:, None] > 0)
            place += np.clip(step, -fwhm, fwhm)
            if np.abs(step).max(initial=0) < _CLOSE_ENOUGH:
                break
        return place, light > 0

    return _in_cutouts(of_some, image, xy, (_MASS_RADIUS + 0.5) * fwhm, max_shift, mask)


def quadratic_fit(
    image: np.ndarray, xy: np.ndarray, *, fwhm: float, max_shift: float, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The maximum of a parabola fitted to the square of pixels around it; as `refine_positions` otherwise.

    The square has a side of about 0.9 FWHM, three pixels at least, and follows the maximum.
    """
    half = max(1, round(_QUADRATIC_HALF * fwhm))

    def of_some(pixels: np.ndarray, start: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        reach = pixels.shape[1] // 2
        place = _brightest(pixels, start, max_shift, half)
        found = np.zeros(len(start), bool)
        for _ in range(_QUADRATIC_MOVES):
            middle = np.clip(np.rint(place), half - reach, reach - half).astype(int)
            top, found = _tops(*(_squares_of(plane, middle + reach, half) for plane in (pixels, good)))
            place = np.where(found[:, None], middle + top, place)
            if not (found & (np.abs(top).max(axis=1, initial=0) > 0.5)).any():
                break
        return place, found

    return _in_cutouts(of_some, image, xy, half + 1, max_shift, mask)


def _brightest(pixels: np.ndarray, start: np.ndarray, max_shift: float, half: int) -> np.ndarray:
    """The brightest pixel (x, y) within reach of the start, from the middle; after a mean over a few neighbours."""
    smooth = uniform_filter(pixels, size=(1, half + 1 - half % 2, half + 1 - half % 2), mode="constant")
    offset = np.arange(pixels.shape[1]) - pixels.shape[1] // 2
    x, y = (offset - start[:, axis, None] for axis in (0, 1))
    near = np.hypot(x[:, None, :], y[:, :, None]) <= max_shift + 0.5
    rows, columns = np.divmod(
        np.where(near, smooth, -np.inf).reshape(len(start), -1).argmax(axis=1), len(offset)
    )
    return np.column_stack([columns, rows]) + float(offset[0])


def _squares_of(stack: np.ndarray, middle: np.ndarray, half: int) -> np.ndarray:
    """The square around a whole pixel (x, y) in each image of a stack."""
    offset = np.arange(-half, half + 1)
    rows, columns = middle[:, 1, None, None] + offset[:, None], middle[:, 0, None, None] + offset
    return stack[np.arange(len(stack))[:, None, None], rows, columns]


def _tops(values: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where parabolas through squares of pixels have their maximum, from the middle; and which have one."""
    offset = np.arange(values.shape[1]) - values.shape[1] // 2
    x, y = (part.ravel().astype(float) for part in np.meshgrid(offset, offset))
    terms = np.column_stack([np.ones_like(x), x, y, x * y, x**2, y**2])
    values, weight = values.reshape(len(values), -1), good.reshape(len(good), -1)
    normal = np.einsum("pi,np,pj->nij", terms, weight, terms) + 1e-9 * np.eye(6)
    _, b, c, d, e, f = np.linalg.solve(normal, ((values * weight) @ terms)[..., None])[..., 0].T
    bend = 4 * e * f - d**2
    found = (weight.sum(axis=1) >= 6) & (bend > 0) & (e < 0) & (f < 0)
    top = np.column_stack([d * c - 2 * f * b, d * b - 2 * e * c]) / np.where(found, bend, 1)[:, None]
    return top, found & (np.abs(top).max(axis=1, initial=0) <= values.shape[1])


def gaussian_fit(
    image: np.ndarray, xy: np.ndarray, *, fwhm: float, max_shift: float, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The centre of an elliptical Gaussian on a flat sky, by least squares; as `refine_positions` otherwise."""

    def of_some(pixels: np.ndarray, start: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        offset = np.arange(pixels.shape[1]) - pixels.shape[1] // 2
        y, x = (part.ravel().astype(float) for part in np.meshgrid(offset, offset, indexing="ij"))
        far = np.hypot(x - start[:, :1], y - start[:, 1:])
        weight = good.reshape(len(good), -1) * (far <= _FIT_RADIUS * fwhm + 0.5)
        return _gaussians(pixels.reshape(len(pixels), -1), x, y, weight, start, fwhm)

    return _in_cutouts(of_some, image, xy, _FIT_RADIUS * fwhm + 1, max_shift, mask)


def _gaussians(
    values: np.ndarray, x: np.ndarray, y: np.ndarray, weight: np.ndarray, start: np.ndarray, fwhm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Centres after Gauss-Newton steps, and which fits make sense.

    A fit has x, y and a, b, c of ``exp(-(a x**2 + 2 b x y + c y**2))``, in FWHM; height and sky are solved for in
    each step.
    """
    x, y, root = x / fwhm, y / fwhm, np.sqrt(weight)
    usual = 4 * np.log(2)
    fit = np.column_stack([start / fwhm, np.tile([usual, 0, usual], (len(start), 1))])
    height = np.zeros(len(start))
    for _ in range(_FIT_STEPS):
        step, height = _gaussian_step(values * root, x, y, root, fit)
        step *= np.array([1, 1, usual, usual, usual])
        fit += step
        fit[:, [2, 4]] = np.clip(fit[:, [2, 4]], usual / 16, 9 * usual)
        most = 0.9 * np.sqrt(fit[:, 2] * fit[:, 4])
        fit[:, 3] = np.clip(fit[:, 3], -most, most)
        if np.abs(step[:, :2]).max(initial=0) * fwhm < _FIT_CLOSE:
            break
    return fit[:, :2] * fwhm, (np.count_nonzero(weight, axis=1) > 10) & (height > 0)


def _gaussian_step(
    values: np.ndarray, x: np.ndarray, y: np.ndarray, root: np.ndarray, fit: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The next step of each fit, in units of usual sizes and not too long, and the heights."""
    dx, dy = x - fit[:, :1], y - fit[:, 1:2]
    a, b, c = fit[:, 2:].T[..., None]
    shape = root * np.exp(-np.clip(a * dx**2 + 2 * b * dx * dy + c * dy**2, 0, 50))
    q, r = np.linalg.qr(np.stack([shape, root], axis=-1))
    inside = np.einsum("npk,np->nk", q, values)
    height = np.linalg.solve(r + 1e-12 * np.eye(2), inside[..., None])[:, 0, 0]
    usual, light = 4 * np.log(2), shape * height[:, None]
    by = [2 * (a * dx + b * dy), 2 * (b * dx + c * dy), -usual * dx**2, -2 * usual * dx * dy, -usual * dy**2]
    columns = np.stack([light * part for part in by], axis=-1)
    columns -= q @ (q.swapaxes(1, 2) @ columns)
    normal = columns.swapaxes(1, 2) @ columns
    size = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    normal += np.where(size > 0, 1e-5 * size, 1) * np.eye(5)
    step = np.linalg.solve(normal, np.einsum("npk,np->nk", columns, values)[..., None])[..., 0]
    return np.clip(step, -0.3, 0.3), height


def frozen(
    image: np.ndarray, xy: np.ndarray, *, fwhm: float, max_shift: float, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The places as they are given: for stars too faint to be looked for."""
    xy = np.array(xy, dtype=float).reshape(-1, 2)
    return xy, np.isfinite(xy).all(axis=1)


def _in_cutouts(
    of_some: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    image: np.ndarray,
    xy: np.ndarray,
    radius: float,
    max_shift: float,
    mask: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """What a function finds in squares around stars, where that is near enough.

    The function is given the pixels above the sky, where the stars must be in them, and which pixels are good; places
    are counted from the middle of the squares. It returns places, and which to believe.
    """
    image, xy = native_float32(image), np.asarray(xy, dtype=float).reshape(-1, 2)
    found, ok = xy.copy(), np.zeros(len(xy), bool)
    half = int(np.ceil(radius + max_shift)) + 1
    for first in range(0, len(xy), _BLOCK):
        some = slice(first, first + _BLOCK)
        corner = rounded(xy[some])
        pixels, usable = _above_rim(image, corner, half, mask)
        good = np.isfinite(squares(image, corner, half, outside=np.nan))
        if mask is not None:
            good &= squares(np.asarray(mask), corner, half) == 0
        usable &= np.isfinite(xy[some]).all(axis=1)
        start = np.where(usable[:, None], xy[some] - corner, 0)
        place, believed = of_some(pixels, start, good.astype(float))
        shift = place - start
        ok[some] = usable & believed & (np.hypot(*shift.T) <= max_shift)
        found[some] = np.where(ok[some][:, None], xy[some] + shift, xy[some])
    return found, ok


Centroid = Callable[..., tuple[np.ndarray, np.ndarray]]

CENTROIDS: Mapping[str, Centroid] = MappingProxyType(
    {
        "windowed": refine_positions,
        "com": centre_of_mass,
        "quadratic": quadratic_fit,
        "gaussian": gaussian_fit,
        "frozen": frozen,
    }
)
