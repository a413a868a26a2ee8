"""Linear transforms between the pixels of two images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from potpyri_like.errors import RegistrationError

__all__ = ["Transform", "as_complex", "fit_affine", "fit_similarity", "similarity"]

# Stars whose spread across their line is below this fraction of the spread along it say nothing across it.
_COLLINEAR = 1e-3


@dataclass(frozen=True, eq=False)
class Transform:
    """A linear map of positions, ``xy_out = matrix @ xy_in + offset``.

    Attributes
    ----------
    matrix : ndarray, shape (2, 2)
    offset : ndarray, shape (2,), pixels
    """

    matrix: np.ndarray
    offset: np.ndarray

    @classmethod
    def identity(cls) -> Transform:
        """The transform that leaves positions where they are."""
        return cls(np.eye(2), np.zeros(2))

    @classmethod
    def half_turn(cls, shape: tuple[int, int]) -> Transform:
        """The transform of an image of (rows, columns) turned upside down, as after a meridian flip."""
        return cls(-np.eye(2), np.array(shape[::-1], dtype=float) - 1)

    def __call__(self, xy: ArrayLike) -> np.ndarray:
        """Positions after the transform, shape (n, 2) like the argument."""
        return np.asarray(xy, dtype=float) @ self.matrix.T + self.offset

    def inverse(self) -> Transform:
        """The transform back."""
        back = np.linalg.inv(self.matrix)
        return Transform(back, -back @ self.offset)

    def then(self, other: Transform) -> Transform:
        """This transform first, the other one after it."""
        return Transform(other.matrix @ self.matrix, other.matrix @ self.offset + other.offset)

    @property
    def scale(self) -> float:
        """Output pixels per input pixel: the square root of the change of area."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    @property
    def rotation(self) -> float:
        """Degrees in (-180, 180], counter-clockwise from x to y; when flipped, after y was mirrored."""
        a, b = self.matrix[:, 0], self.matrix[:, 1] * (-1 if self.flipped else 1)
        return float(np.degrees(np.arctan2(a[1] - b[0], a[0] + b[1])))

    @property
    def flipped(self) -> bool:
        """Whether left and right are exchanged."""
        return bool(np.linalg.det(self.matrix) < 0)


def fit_similarity(
    source: ArrayLike, target: ArrayLike, *, weights: ArrayLike | None = None, flip: bool = False
) -> Transform:
    """Least-squares shift, rotation and scale that bring source positions to their targets.

    Parameters
    ----------
    source, target : array_like, shape (n, 2), pixels
        Matched positions; two at least.
    weights : array_like, shape (n,), optional
        Relative inverse variances; all equal by default.
    flip : bool
        Mirror y before rotating.

    Raises
    ------
    RegistrationError
        When fewer than two different positions are given.
    """
    source, target, weights = _matched(source, target, weights, needed=2)
    z, w = as_complex(source, flip=flip), as_complex(target)
    z0, w0 = np.average(z, weights=weights), np.average(w, weights=weights)
    norm = np.sum(weights * np.abs(z - z0) ** 2)
    if norm == 0:
        raise RegistrationError(
            f"all {len(source)} stars lie on one point: no rotation or scale can be fitted"
        )
    a = np.sum(weights * np.conj(z - z0) * (w - w0)) / norm
    return similarity(a, w0 - a * z0, flip=flip)


def fit_affine(source: ArrayLike, target: ArrayLike, *, weights: ArrayLike | None = None) -> Transform:
    """Least-squares affine transform (six numbers) that brings source positions to their targets.

    Parameters
    ----------
    source, target : array_like, shape (n, 2), pixels
        Matched positions; three at least, not on one line.
    weights : array_like, shape (n,), optional
        Relative inverse variances; all equal by default.

    Raises
    ------
    RegistrationError
        When there are fewer than three stars, or all of them lie on one line.
    """
    source, target, weights = _matched(source, target, weights, needed=3)
    s0, t0 = np.average(source, axis=0, weights=weights), np.average(target, axis=0, weights=weights)
    root = np.sqrt(weights)[:, None]
    solution, _, _, spread = np.linalg.lstsq((source - s0) * root, (target - t0) * root, rcond=None)
    if spread[1] <= _COLLINEAR * spread[0]:
        raise RegistrationError(f"all {len(source)} stars lie on one line: no affine transform can be fitted")
    return Transform(solution.T, t0 - solution.T @ s0)


def similarity(a: complex, b: complex, *, flip: bool = False) -> Transform:
    """The transform ``w = a z + b`` of the position ``z = x + iy``, or of its conjugate with `flip`."""
    turn = np.array([[a.real, -a.imag], [a.imag, a.real]])
    if flip:
        turn[:, 1] *= -1
    return Transform(turn, np.array([b.real, b.imag]))


def as_complex(xy: np.ndarray, *, flip: bool = False) -> np.ndarray:
    """Positions as x + iy, or x - iy."""
    return xy[:, 0] + (-1j if flip else 1j) * xy[:, 1]


def _matched(
    source: ArrayLike, target: ArrayLike, weights: ArrayLike | None, *, needed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions and weights as float arrays of the same length, or an error."""
    source, target = np.asarray(source, dtype=float), np.asarray(target, dtype=float)
    weights = np.ones(len(source)) if weights is None else np.asarray(weights, dtype=float)
    if source.shape != target.shape or source.shape != (len(weights), 2):
        raise RegistrationError(
            f"shapes {source.shape}, {target.shape}, {weights.shape} are not (n, 2), (n, 2), (n,)"
        )
    if np.count_nonzero(weights) < needed:
        raise RegistrationError(
            f"{np.count_nonzero(weights)} matched stars, {needed} are needed to fit a transform"
        )
    return source, target, weights
