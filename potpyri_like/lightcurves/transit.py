"""The light curve of a dark disc that crosses a limb-darkened star.

Lengths are in radii of the star, times in days, fluxes relative to the star alone. The limb darkening is
quadratic, ``I(mu) / I(1) = 1 - u1 (1 - mu) - u2 (1 - mu)**2``.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import ellipe, ellipkm1

from potpyri_like.errors import ReductionError

__all__ = [
    "ingress_duration",
    "occulted_flux",
    "radius_for_depth",
    "separation",
    "transit_depth",
    "transit_light_curve",
    "transit_of_depth",
]

_NUDGE = 1e-12  # stellar radii: the distance kept from z = k, where an elliptic integral is infinite
_TINY = 1e-16  # the same for squares of distances to the edge
_MAX_SAMPLES = 51
_MAX_STEPS, _CONVERGED = 12, 1e-8  # the arithmetic-geometric mean is right to the square of that
_LIMB, _IMPACT = (0.4, 0.25), 0.2  # of a transit of which only the depth is asked for
_Number = float | np.ndarray


def transit_light_curve(
    time: _Number,
    *,
    tc: _Number,
    k: _Number,
    t14: _Number,
    b: _Number,
    u1: _Number,
    u2: _Number,
    period: _Number | None = None,
    exposure: _Number = 0.0,
    tolerance: float = 5e-6,
) -> np.ndarray:
    """Relative flux of a star in transit; every argument broadcasts against the others.

    Parameters
    ----------
    time : array_like, days
        Mid-exposure.
    tc : array_like, days
        Mid-transit.
    k : array_like
        Radius of the planet; below 0 counts as 0.
    t14 : array_like, days
        From first to fourth contact.
    b : array_like
        Distance of the planet from the star's centre at mid-transit; above 1 + k there is no transit.
    u1, u2 : array_like
        Quadratic limb darkening.
    period : array_like, days, optional
        Of a circular orbit, whose a/R* follows from t14, b and k. Without it the path is straight and the
        speed constant.
    exposure : array_like, days
        Over which the flux is averaged.
    tolerance : float
        Relative flux by which the average over the exposure may be wrong: it sets the samples it is made of.

    Returns
    -------
    ndarray
        Of the broadcast shape; 1 out of transit.
    """
    time, tc, k, t14, b = (np.asarray(value, float) for value in (time, tc, k, t14, b))
    samples = _samples(np.asarray(exposure, float), k, t14, b, tolerance)
    shifts = (np.arange(samples) + 0.5) / samples - 0.5
    total = np.zeros(())
    for shift in shifts:
        z = separation(time + shift * exposure, tc=tc, k=k, t14=t14, b=b, period=period)
        total = total + occulted_flux(z, k, u1, u2)
    return total / samples


def separation(
    time: _Number,
    *,
    tc: _Number,
    k: _Number,
    t14: _Number,
    b: _Number,
    period: _Number | None = None,
) -> np.ndarray:
    """Distance of the planet from the star's centre, stellar radii; infinite while it is behind the star.

    ``z**2 = b**2 + ((1 + k)**2 - b**2) x**2``, where x goes from -1 to 1 between first and fourth contact: as
    the time on a straight path, as the sine of the phase on a circular orbit (Seager & Mallen-Ornelas 2003).
    """
    chord2 = np.maximum((1 + np.maximum(k, 0)) ** 2 - np.square(b), 0)
    elapsed = np.asarray(time, float) - tc
    if period is None:
        return np.sqrt(np.square(b) + chord2 * (2 * elapsed / t14) ** 2)
    phase = 2 * np.pi * elapsed / period
    # A transit cannot last longer than half the orbit.
    stretch = np.sin(np.pi * np.minimum(np.divide(t14, period), 0.5))
    z = np.sqrt(np.square(b) + chord2 * (np.sin(phase) / stretch) ** 2)
    return np.where(np.cos(phase) > 0, z, np.inf)


def transit_depth(*, k: _Number, b: _Number, u1: _Number, u2: _Number) -> np.ndarray:
    """Flux lost at mid-transit, relative; k**2 for a central planet on a star without limb darkening."""
    return 1 - occulted_flux(b, k, u1, u2)


def radius_for_depth(depth: float, *, b: float, u1: float, u2: float) -> float:
    """The radius whose transit is that deep at its middle, radii of the star.

    Raises
    ------
    ReductionError
        The depth is not between 0 and 1.
    """
    if not 0 <= depth <= 1:
        raise ReductionError(f"invalid transit depth {depth:g}; give a depth between 0 and 1")
    return float(
        brentq(lambda k: float(transit_depth(k=k, b=b, u1=u1, u2=u2)) - depth, 0, 1.01 + b, xtol=1e-12)
    )


def transit_of_depth(
    time: np.ndarray, *, tc: float, t14: float, depth: float, exposure: float = 0.0
) -> np.ndarray:
    """A nearly central transit of a Sun-like star, its deepest point exactly as deep as wanted.

    Parameters
    ----------
    time : ndarray, days
        Mid-exposure.
    tc, t14, exposure : float, days
    depth : float
        Between 0 and 1.
    """
    u1, u2 = _LIMB
    k = radius_for_depth(depth, b=_IMPACT, u1=u1, u2=u2)
    return transit_light_curve(time, tc=tc, k=k, t14=t14, b=_IMPACT, u1=u1, u2=u2, exposure=exposure)


def ingress_duration(*, k: _Number, t14: _Number, b: _Number) -> np.ndarray:
    """Time from first to second contact, days; half of t14 for a grazing transit. Straight path."""
    k, b = np.maximum(k, 0), np.asarray(b, float)
    outer = np.maximum((1 + k) ** 2 - b**2, np.finfo(float).tiny)
    inner = np.where(np.asarray(k) < 1, np.maximum((1 - k) ** 2 - b**2, 0), 0)
    return 0.5 * np.asarray(t14, float) * (1 - np.sqrt(np.minimum(inner / outer, 1)))


def occulted_flux(z: _Number, k: _Number, u1: _Number, u2: _Number) -> np.ndarray:
    """Relative flux of a star behind a disc of radius k at the distance z (Mandel & Agol 2002).

    Their expressions are rearranged with the addition theorems of the complete integral of the third kind, so
    that no term is infinite at z = k, z = 0 or either contact (compare Agol, Luger & Foreman-Mackey 2020).

    Parameters
    ----------
    z, k, u1, u2 : array_like
        Broadcast against each other; k may be above 1. NaN gives NaN.
    """
    shape = np.broadcast_shapes(*(np.shape(value) for value in (z, k, u1, u2)))
    z, k = np.broadcast_to(np.abs(z), shape), np.broadcast_to(np.maximum(k, 0), shape)
    flux = np.where(np.isfinite(k) & ~np.isnan(z), 1.0, np.nan)
    hit = (z < 1 + k) & (k > 0)
    u1, u2 = (np.broadcast_to(value, shape)[hit] for value in (u1, u2))
    uniform, linear, square = _lost(z[hit], k[hit])
    lost = (1 - u1 - 2 * u2) * uniform + (u1 + 2 * u2) * linear + u2 * square
    flux[hit] = 1 - lost / (1 - u1 / 3 - u2 / 6)
    return flux[()]


def _lost(z: np.ndarray, k: np.ndarray) -> np.ndarray:
    """What the disc hides of 1, of sqrt(1 - r**2) and of r**2, each over pi; arrays of one dimension."""
    lost = np.empty((3, *z.shape))
    inside, all_of_it = z + k <= 1, z <= k - 1
    partly = ~inside & ~all_of_it
    lost[:, inside] = _inside(z[inside], k[inside])
    lost[:, partly] = _partly(z[partly], k[partly])
    lost[:, all_of_it] = np.array([1, 2 / 3, 0.5])[:, None]
    return lost


def _inside(z: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    z = np.where(np.abs(z - k) < _NUDGE, k + _NUDGE, z)
    a, b = (z - k) ** 2, (z + k) ** 2
    a1, b1 = np.maximum(1 - a, _TINY), np.maximum(1 - b, _TINY)
    ratio = b1 / a1
    first, second, third = _integrals(ratio, a * ratio / b)
    bracket = b1 * (a1 * first - 3 * (k - z) / (k + z) * third) + a1 * (z**2 + 7 * k**2 - 4) * second
    linear = 2 / (9 * np.pi) * bracket / np.sqrt(a1) + 2 / 3 * (z < k)
    return k**2, linear, 0.5 * k**2 * (k**2 + 2 * z**2)


def _partly(z: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a1, b1 = np.maximum(1 - (z - k) ** 2, _TINY), np.maximum((z + k) ** 2 - 1, _TINY)
    kite = np.sqrt(a1 * b1)
    of_disc, of_star = np.arctan2(kite, z**2 + k**2 - 1), np.arctan2(kite, z**2 + 1 - k**2)
    uniform = (k**2 * of_disc + of_star - 0.5 * kite) / np.pi
    square = (of_star + k**2 * (k**2 + 2 * z**2) * of_disc - 0.25 * (1 + 5 * k**2 + z**2) * kite) / (
        2 * np.pi
    )
    product = z * k
    first, second, third = _integrals(np.minimum(b1 / (4 * product), 1), b1 / (1 + b1))
    bracket = b1 * ((3 - 6 * k**2 - 2 * product) * first + 3 * (k - z) / (k + z) * third)
    bracket = bracket + 4 * product * (z**2 + 7 * k**2 - 4) * second
    return uniform, 1 / 3 + bracket / (9 * np.pi * np.sqrt(product)), square


def _integrals(m1: np.ndarray, n1: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Complete elliptic integrals K(m), E(m), Pi(n, m) of m = 1 - m1, n = 1 - n1, both above 0.

    The third by the arithmetic-geometric mean (Bulirsch 1969), which converges for all of an array in a few
    steps.
    """
    mean, other, root = np.ones_like(m1), np.sqrt(m1), np.sqrt(n1)
    product, up, down = other, np.ones_like(m1), 1 / root
    for _ in range(_MAX_STEPS):
        ratio = product / root
        up, down = up + down / root, 2 * (down + up * ratio)
        root = root + ratio
        last, mean = mean, mean + other
        if not np.any(np.abs(last - other) > _CONVERGED * last):
            break
        other = 2 * np.sqrt(product)
        product = other * mean
    third = 0.5 * np.pi * (down + up * mean) / (mean * (mean + root))
    return ellipkm1(m1), ellipe(1 - m1), third


def _samples(exposure: np.ndarray, k: np.ndarray, t14: np.ndarray, b: np.ndarray, tolerance: float) -> int:
    """How many midpoints average over the exposure: the error is largest at a contact, where the slope jumps."""
    if not np.any(exposure > 0):
        return 1
    share = np.nanmax(exposure) / np.maximum(ingress_duration(k=k, t14=t14, b=b), 1e-9)
    error = np.nanmax(np.square(k) * np.minimum(share, 8) / 8)
    return int(np.clip(np.ceil(np.sqrt(error / tolerance)), 1, _MAX_SAMPLES))
