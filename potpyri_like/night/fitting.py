"""Which calibration frames fit science frames, and what those have that do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from potpyri_like.frame import FrameInfo, FrameKind

__all__ = ["fits_settings", "fits_temperature", "temperature_of", "unfit_in_words"]


def temperature_of(frames: Iterable[FrameInfo]) -> float | None:
    """The median temperature of the detector, degrees Celsius; None where no header tells."""
    known = [frame.temperature for frame in frames if frame.temperature is not None]
    return float(np.median(known)) if known else None


def fits_settings(info: FrameInfo, science: FrameInfo) -> bool:
    """Whether two frames were taken with one setting of gain and offset, as far as their headers tell."""
    pairs = (info.gain_setting, science.gain_setting), (info.offset, science.offset)
    return all(one == other or not one or not other for one, other in pairs)


def fits_temperature(info: FrameInfo, temperature: float | None, tolerance: float) -> bool:
    """Whether a dark was taken at the temperature of the science frames, as far as headers tell; other kinds fit."""
    if info.kind is not FrameKind.DARK or temperature is None or info.temperature is None:
        return True
    return abs(info.temperature - temperature) <= tolerance


def unfit_in_words(kind: FrameKind, others: Sequence[FrameInfo], science: Sequence[FrameInfo]) -> str:
    """What calibration frames of the same pixels have that science frames have not; "" where there are none."""
    if not others:
        return ""
    first, told = science[0], []
    if kind is FrameKind.FLAT and (bands := sorted({f.band for f in others if f.band != first.band})):
        told.append(f"in {_listed(bands)}, the science frames in {first.band or 'no band'}")
        others = [f for f in others if f.band == first.band]
    for name, value in (("gain", "gain_setting"), ("offset", "offset")):
        wanted = getattr(first, value)
        if found := sorted({getattr(f, value) for f in others} - {wanted, ""} if wanted else ()):
            told.append(f"with {name} {_listed(found)}, the science frames with {name} {wanted}")
    warm = temperature_of(science)
    if kind is FrameKind.DARK and warm is not None:
        known = sorted({round(f.temperature) for f in others if f.temperature is not None})
        if known and not told:
            told.append(
                f"at {_listed([f'{t:+d}' for t in known])} degrees Celsius, the science frames at {warm:+.0f}"
            )
    return "; ".join(told)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(
        filter(None, [", ".join(name or "no band" for name in names[:-1]), names[-1] or "no band"])
    )
