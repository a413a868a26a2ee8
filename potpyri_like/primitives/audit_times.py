"""Check the times of an observation."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from astropy.time import Time

from potpyri_like.astrometry import altitude, cadence, contradicted, outlasting, sharing, sun_altitude
from potpyri_like.frame import FrameFlag, FrameInfo
from potpyri_like.instruments import Instrument, site_of
from potpyri_like.primitives.fields import AUDIT, SERIES
from potpyri_like.primitives.stage import TargetStage, Tools, Work
from potpyri_like.results import Choice, Grade, Problem

__all__ = ["AuditTimes", "Doubt"]

log = logging.getLogger(__name__)

_DAYLIGHT = 2.0  # degrees; no stars are measured with the Sun that high
_BELOW = -1.0  # degrees; refraction lifts nothing from there
_FEW = 0.1  # of the frames; fewer change no exit status
_SIMULATED = "simulated"  # a clock that knows no site


@dataclass(frozen=True)
class Doubt:
    """What is wrong about the times of some frames.

    Attributes
    ----------
    why : str
    frames : ndarray of bool, shape (n_frames,)
    """

    why: str
    frames: np.ndarray


@dataclass(frozen=True)
class AuditTimes(TargetStage):
    """Compare the times of each camera's frames with each other, the exposures, the Sun and the horizon.

    Contradicted times are flagged in all frames concerned, and reported in one sentence.
    """

    reads = (SERIES,)
    gives = (AUDIT,)

    def __call__(self, works: tuple[Work, ...], tools: Tools) -> tuple[Work, ...]:
        sets = {_shutter_of(work): [w for w in works if _known(w, _shutter_of(work))] for work in works}
        audited = {id(w): done for group in sets.values() for w, done in _audit(group)}
        return tuple(audited.get(id(work), work) for work in works)


def _shutter_of(work: Work) -> tuple[str, str]:
    """What exposes a set's frames one after the other: a camera; of one in colour, each colour by itself."""
    return work.observed.camera, next((info.colour for info in work.observed.frames), "")


def _known(work: Work, shutter: tuple[str, str]) -> bool:
    """Whether a set is of that camera, and has times."""
    return _shutter_of(work) == shutter and work.result.series is not None


def _audit(group: Sequence[Work]) -> Iterator[tuple[Work, Work]]:
    """Each set of one camera, and the same with its doubts."""
    if not group:
        return
    infos = [_frames_of(work) for work in group]
    every = [info for frames in infos for info in frames]
    mid = np.array([_mjd_of(info) for info in every])
    instrument = group[0].setup.instrument
    doubts = list(_of_each_other(every, mid, instrument))
    start = 0
    for work, frames in zip(group, infos, strict=True):
        here = slice(start, start + len(frames))
        own = [Doubt(doubt.why, doubt.frames[here]) for doubt in doubts]
        own = [*_of_cards(frames), *own] or list(_of_the_sky(work, frames, mid[here]))
        yield work, _doubted(work, frames, [doubt for doubt in own if doubt.frames.any()])
        start += len(frames)


def _frames_of(work: Work) -> list[FrameInfo]:
    """The descriptions of the frames of a set's series, in its order."""
    by_label = {info.label: info for info in work.observed.frames}
    return [by_label[label] for label in work.result[SERIES].frames]


def _mjd_of(info: FrameInfo) -> float:
    return float("nan") if info.mid_time is None else float(info.mid_time.utc.mjd)


def _of_cards(frames: Sequence[FrameInfo]) -> Iterator[Doubt]:
    """Contradictions within the headers, one sentence for those that differ only in numbers."""
    kinds: dict[str, list[tuple[int, str]]] = {}
    for i, info in enumerate(frames):
        for note in info.notes:
            if note.startswith("time:"):
                kinds.setdefault(re.sub(r"[\d.:T+-]+", "#", note), []).append((i, note))
    for alike in kinds.values():
        mask = np.zeros(len(frames), bool)
        mask[[i for i, _ in alike]] = True
        yield Doubt(alike[0][1].removeprefix("time: "), mask)


def _of_each_other(frames: Sequence[FrameInfo], mid: np.ndarray, instrument: Instrument) -> Iterator[Doubt]:
    """Contradictions between the times of one camera, and with the exposures."""
    exposure = np.array([info.exposure.to_value("s") for info in frames])
    shared = sharing(mid)
    if shared.any():
        first = frames[int(np.flatnonzero(shared)[0])]
        assert first.mid_time is not None
        many = int((mid[shared] == mid[shared][0]).sum())
        why = (
            f"{int(shared.sum())} of {len(frames)} frames of {first.camera} have the same time as another frame"
            f" ({many} at {first.mid_time.isot[:23]}): the clock is too coarse or has stopped"
        )
        yield Doubt(why, shared)
    if outlasting(mid, exposure):
        cards = " or ".join(instrument.keywords.exposure.cards)
        why = (
            f"exposures of {np.median(exposure):g} s ({cards}) are longer than the interval between starts,"
            f" {cadence(mid):.4g} s: wrong unit of the exposure, or wrong times"
        )
        yield Doubt(why, np.ones(len(frames), bool))


def _of_the_sky(work: Work, frames: Sequence[FrameInfo], mid: np.ndarray) -> Iterator[Doubt]:
    """Contradictions of the times with the Sun and the target; not for simulated nights."""
    if not frames or all(info.clock == _SIMULATED for info in frames):
        return
    site, target = site_of(work.setup.instrument, work.observed.camera), work.setup.coordinates
    times = Time(mid, format="mjd", scale="utc")
    where = f"the site ({site.lon.deg:+.2f}, {site.lat.deg:+.2f}), the clock"
    sun = sun_altitude(times, site)
    if (sun > _DAYLIGHT).any():
        when = int(np.nanargmax(sun))
        why = (
            f"the Sun was {sun[when]:.0f} degrees above the horizon at {times[when].isot[:16]} UTC, and stars were"
            f" measured: {where} or its zone is wrong"
        )
        yield Doubt(why, contradicted(mid, sun > _DAYLIGHT))
        return
    if target is None:
        return
    height = altitude(times, target, site)
    if (height < _BELOW).any():
        when = int(np.nanargmin(height))
        why = (
            f"the target ({target.to_string('hmsdms', precision=0)}) was {-height[when]:.0f} degrees below the"
            f" horizon at {times[when].isot[:16]} UTC: {where} or the coordinates are wrong"
        )
        yield Doubt(why, contradicted(mid, height < _BELOW))


def _doubted(work: Work, frames: Sequence[FrameInfo], doubts: Sequence[Doubt]) -> Work:
    """The set with its doubts: flags, one sentence each, and what was converted."""
    series = work.result[SERIES]
    flags, reasons = series.flags.copy(), list(series.reasons)
    problems = []
    for doubt in doubts:
        flags[doubt.frames] |= int(FrameFlag.TIME_DOUBTFUL)
        for i in np.flatnonzero(doubt.frames):
            if "time doubtful: " not in reasons[i]:  # by the cards of its own header
                reasons[i] = "; ".join(filter(None, (reasons[i], f"time doubtful: {doubt.why}")))
        problems.append(_problem_of(work, frames, doubt))
        log.warning("%s: %s", work.observed.name, problems[-1].why)
    series = replace(series, flags=flags, reasons=tuple(reasons))
    verdict = Choice("times", "doubtful" if doubts else "consistent", _basis(frames, doubts))
    return work.found(
        series=series, problems=problems, choices=[verdict], notes=(*work.result.notes, *_conversions(frames))
    )


def _problem_of(work: Work, frames: Sequence[FrameInfo], doubt: Doubt) -> Problem:
    """One sentence; a few frames of many change no exit status."""
    some = np.flatnonzero(doubt.frames)
    which = (
        "all frames"
        if len(some) == len(frames)
        else f"{len(some)} of {len(frames)} frames ({frames[some[0]].label}"
    )
    which += ", ...)" * (1 < len(some) < len(frames)) + ")" * (len(some) == 1 < len(frames))
    grade = Grade.DOUBTFUL if len(some) > _FEW * len(frames) else Grade.REMARK
    return Problem(work.observed.name, "times", f"times doubtful in {which}: {doubt.why}", grade)


def _basis(frames: Sequence[FrameInfo], doubts: Sequence[Doubt]) -> str:
    """The basis of the verdict."""
    if doubts:
        return "; ".join(doubt.why for doubt in doubts)
    step = cadence(np.array([_mjd_of(info) for info in frames]))
    often = f"a frame every {step:.4g} s; " if np.isfinite(step) else ""
    return f"{often}no contradiction with the header cards, the Sun or the horizon"


def _conversions(frames: Sequence[FrameInfo]) -> Iterator[str]:
    """What was converted, with the first frame's cards: one sentence for what is alike but for its numbers."""
    kinds: dict[str, list[str]] = {}
    for info in frames:
        for note in info.notes:
            if note.startswith(("clock:", "exposure:")):
                kinds.setdefault(re.sub(r"[\d.:T+-]+", "#", note), []).append(note)
    for alike in kinds.values():
        yield f"{alike[0]} (in {len(alike)} of {len(frames)} frames)"
