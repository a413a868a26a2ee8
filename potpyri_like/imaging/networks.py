"""Sorting networks: fixed lists of compare-exchange steps that sort whatever they are given.

A step ``(a, b)`` leaves the smaller of two values in place ``a`` and the larger in ``b``. As the
list does not depend on the values, every step can be done for thousands of pixels at once with
`numpy.minimum` and `numpy.maximum`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

__all__ = ["LARGEST", "apply_network", "median_network", "sort_down", "sorting_network"]

LARGEST = 64  # values; beyond, the network's n log(n)^2 steps cost more than the sort of each pixel

_Network = tuple[tuple[int, int], ...]


@lru_cache(maxsize=64)
def sorting_network(n: int) -> _Network:
    """Steps that sort `n` values: Batcher's odd-even merge exchange, for any `n`.

    Source: Knuth, The Art of Computer Programming 3, algorithm 5.2.2M.
    """
    return tuple(_merge_exchange(n))


def _merge_exchange(n: int) -> Iterator[tuple[int, int]]:
    top = 1 << max((n - 1).bit_length() - 1, 0)
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while d > 0:
            yield from ((i, i + d) for i in range(n - d) if i & p == r)
            d, q, r = q - p, q >> 1, p
        p >>= 1


@lru_cache(maxsize=64)
def median_network(n: int) -> _Network:
    """Steps that bring the middle value of `n` (the middle two of an even `n`) to their places.

    The sorting network without the steps on which the middle does not depend.
    """
    wanted = {(n - 1) // 2, n // 2}
    kept = []
    for a, b in reversed(sorting_network(n)):
        if a in wanted or b in wanted:
            wanted |= {a, b}
            kept.append((a, b))
    return tuple(reversed(kept))


def apply_network(values: np.ndarray, network: _Network) -> list[np.ndarray]:
    """Run a network down the first axis of `values`, which serves as the workspace.

    Parameters
    ----------
    values : ndarray, shape (n, pixels)
        Overwritten; its rows end in another order than that of the answer.
    network : tuple of (int, int)

    Returns
    -------
    list of ndarray, length n
        Views of the rows in sorted order (a pruned network: only those it was pruned to). A NaN
        spoils both values of each step it meets.
    """
    rows, spare = list(values), np.empty_like(values[0])
    for a, b in network:
        np.minimum(rows[a], rows[b], out=spare)
        np.maximum(rows[a], rows[b], out=rows[b])
        rows[a], spare = spare, rows[a]
    return rows


def sort_down(values: np.ndarray) -> np.ndarray:
    """The values in ascending order along the first axis, as a new array; not for NaN."""
    n = len(values)
    if n <= LARGEST:
        return np.stack(apply_network(values.copy(), sorting_network(n)))
    return np.sort(np.ascontiguousarray(values.T), axis=1).T
