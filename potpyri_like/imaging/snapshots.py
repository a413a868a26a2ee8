"""Small pictures of a part of a frame, for the eye: binned, in float32, with the places of its stars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Snapshot", "snapshot"]

_FAR = 1e6  # pixels, outside every frame


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A part of one frame.

    Attributes
    ----------
    image : ndarray, shape (rows, columns), float32
        Means of squares of pixels; NaN outside the frame.
    origin : (int, int)
        Column and row, in the frame, of the first pixel; below 0 where the picture begins outside it.
    binning : int
        Pixels of the frame along the side of one of the picture.
    xy : ndarray, shape (n_stars, 2), float32, pixel
        The stars' positions in the frame, NaN where not known.
    time : float, days
        JD_UTC of mid-exposure.
    label : str
        The frame's name.
    """

    image: np.ndarray
    origin: tuple[int, int]
    binning: int
    xy: np.ndarray
    time: float = float("nan")
    label: str = ""

    @property
    def places(self) -> np.ndarray:
        """The stars' positions in the picture, 0-based, pixel centres on integers; shape (n_stars, 2)."""
        return (np.asarray(self.xy, float) - self.origin + 0.5) / self.binning - 0.5


def snapshot(
    image: np.ndarray,
    xy: np.ndarray,
    *,
    centre: tuple[float, float] | np.ndarray,
    half: int,
    binning: int = 1,
    time: float = float("nan"),
    label: str = "",
) -> Snapshot:
    """Cut a square out of a frame.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
    xy : ndarray, shape (n_stars, 2), pixel
        Positions of the stars, those outside the square as well.
    centre : (float, float), pixel
        Column and row of the middle. Where they are not finite, the picture is NaN.
    half : int, pixel
        Pixels of the frame, at least, on each side of the central one.
    binning : int
        Side of the squares of pixels that become one. NaN is ignored of their means.
    time, label
        As in `Snapshot`.
    """
    side = -(-(2 * half + 1) // binning)  # rounded up
    known = np.clip(np.nan_to_num(np.asarray(centre, float), nan=-_FAR), -_FAR, _FAR)
    middle = np.rint(known).astype(int)
    low = middle - side * binning // 2
    cut = _padded(image, low, side * binning)
    return Snapshot(
        image=_binned(cut, binning),
        origin=(int(low[0]), int(low[1])),
        binning=binning,
        xy=np.array(xy, np.float32).reshape(-1, 2),
        time=float(time),
        label=label,
    )


def _padded(image: np.ndarray, low: np.ndarray, side: int) -> np.ndarray:
    """The square that begins at a pixel (x, y), float32, NaN outside the image."""
    square = np.full((side, side), np.nan, np.float32)
    x, y = low
    rows = slice(max(y, 0), max(min(y + side, image.shape[0]), 0))
    columns = slice(max(x, 0), max(min(x + side, image.shape[1]), 0))
    if rows.start < rows.stop and columns.start < columns.stop:
        square[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x] = image[rows, columns]
    return square


def _binned(image: np.ndarray, factor: int) -> np.ndarray:
    """Means of squares of pixels, without NaN; NaN where there is nothing else."""
    if factor == 1:
        return image
    high, wide = image.shape[0] // factor, image.shape[1] // factor
    squares = image.reshape(high, factor, wide, factor)
    known = np.isfinite(squares)
    total = np.where(known, squares, 0).sum(axis=(1, 3))
    count = known.sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
