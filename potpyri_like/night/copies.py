"""Copies of one exposure among the frames of a night: backups, and calibrated frames beside the raw ones.

No camera takes two exposures at once. Of frames whose exposures overlap, those whose pixels one linear relation joins
are one exposure: their noise is the same. Equal times alone are a doubt about the clock, and no more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeGuard

import astropy.units as u
import numpy as np

from potpyri_like.astrometry import utc_days
from potpyri_like.encoding import Kept
from potpyri_like.errors import FrameError
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.store import read_raw
from potpyri_like.store.header import RawHeader

__all__ = ["copies"]

_SAMPLED = 4096  # differences of neighbouring pixels that are compared
_GLANCED, _PROMISING = 512, 0.3  # of these, and their correlation, before all are compared
_WITHIN = 3.0  # standard deviations; beyond are stars, whose light is the same in all exposures of a field
_SAME_EXPOSURE = 0.01  # relative
_SHARED = 0.75  # of the noise compared; a copy of which more is lost is no copy
# Least squared correlation of the noise of two copies: of one kind of number, and of different kinds. A calibrated
# frame was divided by a flat, which adds its own pattern; flats and biases have the detector's patterns in common.
_ALIKE, _CONVERTED, _PATTERNED = 0.99, 0.5, 0.9999


class _Memory(Protocol):
    """Remembers what was found of files that have not changed since."""

    def key(self, path: Path, *more: object) -> str: ...

    def rows(self, file: str, key: str) -> Kept: ...

    def keep(self, file: str, key: str, rows: object) -> None: ...


_HDUs = Callable[[RawHeader], Iterable[int]]


@dataclass(frozen=True)
class _Sampled:
    """What is compared of a frame, and what shows which of two copies is the raw one.

    Attributes
    ----------
    noise : ndarray, shape (up to SAMPLED,)
        Differences of neighbouring pixels in standard deviations, 0 where a star is.
    is_integer : bool
        The pixels are stored as whole numbers, as detectors give them.
    is_processed : bool
        A card says that it was calibrated.
    """

    noise: np.ndarray
    is_integer: bool
    is_processed: bool


def copies(
    infos: Sequence[FrameInfo],
    images_of: Callable[[FrameInfo], _HDUs],
    *,
    preferred: Collection[str] = (),
    memory: _Memory | None = None,
) -> dict[str, str]:
    """The frames that are copies of others, each with the frame that stands for the exposure, by their labels.

    The raw frame stands for it: whole numbers before others, without a card that says that it was calibrated, then the
    one highest up in the tree of folders. Pixels are read of frames only whose times leave room for no two exposures.

    Parameters
    ----------
    infos : sequence of FrameInfo
    images_of : callable
        Gives for a frame what selects its images by their headers, as `read_raw` wants it.
    preferred : collection of str
        Labels of frames that the observer wants to stand for their exposure.
    memory : Memory, optional
        Spares reading pixels again.
    """
    found: dict[str, str] = {}
    for group in _candidates(infos):
        read = [(info, _sampled(info, images_of, memory)) for info in group]
        found |= _within([(info, sample) for info, sample in read if sample is not None], preferred)
    return found


def _candidates(infos: Sequence[FrameInfo]) -> Iterator[list[FrameInfo]]:
    """Groups of frames of one camera, shape and exposure, too near in time to be several; undated: of one name."""
    alike: dict[tuple, list[FrameInfo]] = defaultdict(list)
    for info in infos:
        name = PurePosixPath(info.inside).name.casefold() if info.mid_time is None else ""
        alike[info.camera, info.binning, info.shape, info.plane, info.kind, name].append(info)
    for (*_, name), group in alike.items():
        groups = [group] if name else _overlapping(group)
        yield from (some for some in groups if len({info.path for info in some}) > 1)


def _overlapping(group: Sequence[FrameInfo]) -> Iterator[list[FrameInfo]]:
    """Runs of frames each of which begins before the one before it is half over."""
    timed = [
        (utc_days(i.mid_time) * 86400, np.nan_to_num(i.exposure.to_value(u.s)), i)
        for i in group
        if i.mid_time
    ]
    run: list[tuple[float, float, FrameInfo]] = []
    for now in sorted(timed, key=lambda one: (one[0], one[2].label)):
        if run and not (now[0] - run[-1][0] <= now[1] / 2 + 1e-3 and _are_close(now[1], run[-1][1])):
            yield [info for *_, info in run]
            run = []
        run.append(now)
    yield [info for *_, info in run]


def _are_close(one: float, other: float) -> bool:
    """Whether two exposures are the same."""
    return bool(abs(one - other) <= _SAME_EXPOSURE * max(one, other))


def _within(group: list[tuple[FrameInfo, _Sampled]], preferred: Collection[str]) -> dict[str, str]:
    """The copies within a group."""
    ranked = sorted(group, key=lambda one: (one[0].label not in preferred, *_rawness(*one)))
    found: dict[str, str] = {}
    for i, j in _look_alike([sample for _, sample in ranked]):
        (first, its), (info, sample) = ranked[i], ranked[j]
        if not {first.label, info.label} & found.keys() and _is_copy(sample, its, info.kind):
            found[info.label] = first.label
    return found


def _look_alike(samples: Sequence[_Sampled]) -> list[tuple[int, int]]:
    """The pairs whose noise may be the same by a small part of it, in order: where a clock stands, there are many."""
    noise = np.array([_resized(sample.noise) for sample in samples], np.float32).reshape(-1, _GLANCED)
    noise /= np.maximum(np.linalg.norm(noise, axis=1, keepdims=True), 1e-9)
    first, second = np.nonzero(np.triu(noise @ noise.T > _PROMISING, 1))
    return list(zip(first.tolist(), second.tolist(), strict=True))


def _resized(noise: np.ndarray) -> np.ndarray:
    """A part of the noise, from all over the image."""
    part = noise[:: max(1, noise.size // _GLANCED)][:_GLANCED]
    return np.pad(part, (0, _GLANCED - part.size))


def _rawness(info: FrameInfo, sample: _Sampled) -> tuple:
    """What is least of the raw frame."""
    return not sample.is_integer, sample.is_processed, info.label.count("/"), info.label


def _is_copy(one: _Sampled, other: _Sampled, kind: FrameKind) -> bool:
    """Whether the noise of two frames is that of one exposure."""
    a, b = np.asarray(one.noise, np.float64), np.asarray(other.noise, np.float64)
    both = (a != 0) & (b != 0)
    if np.count_nonzero(both) <= _SHARED * max(np.count_nonzero(a), np.count_nonzero(b)):
        return False
    size = np.sqrt(np.sum(a[both] ** 2) * np.sum(b[both] ** 2))
    correlation = float(np.sum(a[both] * b[both]) / size)
    least = _ALIKE if kind is FrameKind.SCIENCE else _PATTERNED
    if one.is_integer != other.is_integer:
        least = _CONVERTED if kind is FrameKind.SCIENCE else _ALIKE
    return correlation > 0 and correlation**2 > least


def _sampled(
    info: FrameInfo, images_of: Callable[[FrameInfo], _HDUs], memory: _Memory | None
) -> _Sampled | None:
    """What is compared of a frame, from the memory where it has it; None where its pixels cannot be read now."""
    name = f"{info.label} (noise)"
    try:
        key = "" if memory is None else memory.key(info.path, name)
        known = None if memory is None else memory.rows(name, key)
        if not _is_sample(known):
            known = _sample_of(info, images_of(info))
            if memory is not None:
                memory.keep(name, key, known)
    except (OSError, FrameError):  # what befell it is reported where it is reduced
        return None
    return _Sampled(*known)


def _is_sample(known: object) -> TypeGuard[tuple[np.ndarray, bool, bool]]:
    """Whether what a memory gives are the cells of a `_Sampled`."""
    return (
        isinstance(known, tuple | list)
        and len(known) == 3
        and isinstance(known[0], np.ndarray)
        and isinstance(known[1], bool)
        and isinstance(known[2], bool)
    )


def _sample_of(info: FrameInfo, images: _HDUs) -> tuple[np.ndarray, bool, bool]:
    """The cells of a `_Sampled`, from the file.

    Raises
    ------
    FrameError
        Its pixels cannot be read, or are all the same.
    """
    header, read, _ = read_raw(
        info.path, lambda h: list(images(h))[:1], plane=info.file_plane, inside=info.inside
    )
    ((hdu, image),) = read.items()
    is_integer = header.hdus[hdu].get("BITPIX", -32) > 0
    unit = str(header.of(hdu).get("BUNIT", "")).casefold()
    return _noise_of(image), is_integer, "CALSTAT" in header or unit.startswith("e")


def _noise_of(image: np.ndarray) -> np.ndarray:
    """Differences of neighbours all over an image, in standard deviations; 0 where they are larger than noise."""
    rows = image[:: max(1, image.shape[0] // 64)].astype(np.float64)
    steps = np.diff(np.where(np.isfinite(rows), rows, np.nan), axis=1).ravel()
    if not steps.size:
        return np.zeros(0, np.float16)
    steps = np.nan_to_num(steps[np.linspace(0, steps.size - 1, min(steps.size, _SAMPLED)).astype(int)])
    scale = 1.4826 * float(np.median(np.abs(steps))) or float(np.std(steps)) or 1.0
    return np.where(np.abs(steps) < _WITHIN * scale, steps / scale, 0).astype(np.float16)
