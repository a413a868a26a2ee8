"""Windowed centroids of stars whose places are known within a few pixels."""

from __future__ import annotations

import numpy as np

from potpyri_like.photometry.cutouts import native_float32, rounded, squares

__all__ = ["refine_positions", "windowed"]

FWHM_PER_SIGMA = 2.3548
CLOSE_ENOUGH = 1e-4  # pixel: a step below which the centroid is found
STEPS = 16
BLOCK = 32  # stars at a time: their pixels stay in the cache


def refine_positions(image, xy, *, fwhm: float, max_shift: float, mask=None) -> tuple[np.ndarray, np.ndarray]:
    """Windowed centroids near given positions (XWIN_IMAGE of SExtractor; Bertin & Arnouts 1996).

    Parameters
    ----------
    image : array_like, shape (ny, nx)
    xy : array_like, shape (n, 2), pixels
    fwhm : float, pixels
        The window is a Gaussian of this FWHM.
    max_shift : float, pixels
    mask : ndarray, optional
        Pixels that are not zero are left out.

    Returns
    -------
    xy : ndarray, shape (n, 2)
        The centroid, or the position given where `ok` is False.
    ok : ndarray of bool, shape (n,)
        False where there is no centroid within `max_shift`.
    """
    found, light = windowed(image, xy, fwhm=fwhm, max_shift=max_shift, mask=mask)
    return found, light > 0


def windowed(image, xy, *, fwhm: float, max_shift: float, mask=None) -> tuple[np.ndarray, np.ndarray]:
    """The centroids of `refine_positions`, and the light above the sky weighted with the window.

    The light is 0 where there is no centroid; `image unit`, the weight at the centre being 1.
    """
    image, xy = native_float32(image), np.asarray(xy, dtype=float).reshape(-1, 2)
    found, light = xy.copy(), np.zeros(len(xy))
    for start in range(0, len(xy), BLOCK):
        some = slice(start, start + BLOCK)
        found[some], light[some] = _of_some(image, xy[some], fwhm / FWHM_PER_SIGMA, max_shift, mask)
    return found, light


def _of_some(image, xy, sigma: float, max_shift: float, mask) -> tuple[np.ndarray, np.ndarray]:
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
    for _ in range(STEPS):
        away = offset - place[going, :, None]
        weight = np.exp(away**2 / (-2 * sigma**2))
        (x, y), (by_x, by_y) = weight.swapaxes(0, 1), (weight * away).swapaxes(0, 1)
        moments = np.stack([y, by_y], axis=1) @ (pixels @ np.stack([x, by_x], axis=2))
        light[going] = moments[:, 0, 0]
        step = 2 * np.column_stack([moments[:, 0, 1], moments[:, 1, 0]])
        step = np.divide(step, moments[:, :1, 0], out=np.zeros_like(step), where=moments[:, :1, 0] > 0)
        place[going] += step
        on = np.hypot(*step.T) > CLOSE_ENOUGH
        if not on.all():
            going, pixels = going[on], pixels[on]
        if not len(going):
            break
    return place, light


def _above_rim(image, corner, half: int, mask) -> tuple[np.ndarray, np.ndarray]:
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
