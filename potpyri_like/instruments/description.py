"""What a raw file is, in our words: one description, or one for each plane of a cube."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from potpyri_like.errors import HeaderError
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.instruments.cameras import Camera, camera_at, camera_named
from potpyri_like.instruments.clock import FAULTS, Reading, time_of
from potpyri_like.instruments.exposure import CYCLE, cycle_of, exposure_of, open_shutter
from potpyri_like.instruments.former import once_a_method
from potpyri_like.instruments.pointing import direction_of
from potpyri_like.instruments.rules import kind_of
from potpyri_like.instruments.state import state_of
from potpyri_like.store.header import RawHeader

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument

__all__ = ["described"]


def described(
    instrument: Instrument,
    header: RawHeader,
    *,
    kind: FrameKind | None,
    camera: str | None,
    band: str | None,
    target: str | None,
) -> tuple[FrameInfo, ...]:
    """What `Instrument.describe` gives: its questions asked one after the other.

    Raises
    ------
    HeaderError
        The file cannot be used, or its header says what nobody thought of.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values are ours to tell
            return _frames_in(instrument, header, kind=kind, camera=camera, band=band, target=target)
    except HeaderError:
        raise
    except FAULTS as error:
        raise HeaderError(
            f"{header.path.name}: {instrument.name} cannot make sense of its header"
            f" ({type(error).__name__}: {error}); the frame is left out"
        ) from error


@once_a_method("frames_in")
def _frames_in(
    instrument: Instrument,
    header: RawHeader,
    *,
    kind: FrameKind | None,
    camera: str | None,
    band: str | None,
    target: str | None,
) -> tuple[FrameInfo, ...]:
    """The descriptions, as long as nothing unforeseen is in the header."""
    what, because = _kind_wanted(instrument, header, kind)
    exposure = exposure_of(instrument, header, what)
    which = _camera_wanted(instrument, header, camera)
    *planes, rows, columns = header.image_shape
    lit = what in (FrameKind.SCIENCE, FrameKind.FLAT)
    reading = time_of(instrument, header, exposure, what)
    if what is not FrameKind.OTHER:  # a constant without a value for its time is found here
        camera_at(which, None if reading is None else reading.time, frame=header.path.name)
    info = FrameInfo(
        path=header.path,
        inside=header.inside,
        kind=what,
        camera=which.name,
        band=(band or instrument.band_of(header, which)) if lit else "",
        target=(target or instrument.target_of(header)) if what is FrameKind.SCIENCE else "",
        binning=instrument.binning_of(header),
        exposure=exposure,
        mid_time=None if reading is None or planes else reading.time,
        shape=(rows, columns),
        pointing=instrument.pointing_of(header),
        readout=instrument.readout_of(header),
        clock=instrument.clock_of(header),
        decided_by=because,
        notes=tuple(_notes_on(instrument, header, which, what, reading)),
        **state_of(instrument, header)._asdict(),
    )
    return _planes_of(instrument, info, int(np.prod(planes)), reading) if planes else (info,)


@once_a_method("kind_wanted")
def _kind_wanted(
    instrument: Instrument, header: RawHeader, wanted: FrameKind | None
) -> tuple[FrameKind, str]:
    """The kind that the observer wants the frame to be, else that of the rules, and what decided it."""
    try:
        found, because = kind_of(instrument, header)
    except HeaderError:
        if wanted is None:
            raise
        found, because = wanted, "edited by hand"
    return (found, because) if wanted in (None, found) else (wanted, "edited by hand")


@once_a_method("camera_wanted")
def _camera_wanted(instrument: Instrument, header: RawHeader, wanted: str | None) -> Camera:
    """The camera that the observer says took the frame, else that of the header."""
    if not wanted:
        return instrument.camera_of(header)
    try:
        return camera_named(instrument, wanted)
    except HeaderError as error:
        raise HeaderError(f"{header.path.name}: {error}; the frame is left out") from error


@once_a_method("notes_on")
def _notes_on(
    instrument: Instrument, header: RawHeader, camera: Camera, kind: FrameKind, reading: Reading | None
) -> Iterator[str]:
    """What is remarkable about a frame: the instrument's own remarks, and what the cards in general say."""
    yield from instrument.remarks(header, camera)
    if kind is FrameKind.SCIENCE:
        yield from filter(None, (open_shutter(header, instrument.keywords.exposure).note,))
        yield from reading.notes if reading is not None else ()
        yield from filter(None, (direction_of(instrument, header).note,))


@once_a_method("planes_of")
def _planes_of(
    instrument: Instrument, info: FrameInfo, number: int, reading: Reading | None
) -> tuple[FrameInfo, ...]:
    """The planes of a cube, each with its own time."""
    if reading is None:
        return tuple(replace(info, plane=plane) for plane in range(number))
    exposure = np.nan_to_num(info.exposure)
    cycle, step = cycle_of(reading.header, exposure), None
    if cycle != exposure and number > 1:
        first, second = (instrument.plane_time(reading.header, exposure, plane) for plane in (0, 1))
        step = (second - first).to_value(u.s)
    if step is not None and abs(step - cycle.to_value(u.s)) < 1e-6:
        told = f"planes: one each {cycle.to_value(u.s):g} s, as {CYCLE} says"
        info = replace(info, notes=(*info.notes, told))
    first = instrument.plane_time(reading.header, exposure, 0)
    return tuple(
        replace(
            info,
            plane=plane,
            mid_time=reading.time + (instrument.plane_time(reading.header, exposure, plane) - first),
        )
        for plane in range(number)
    )
