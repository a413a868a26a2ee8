"""What a raw file is, in our words: one description, or one for each plane of a cube."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.time import TimeDelta

from potpyri_like.errors import HeaderError
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.instruments.cameras import Camera, camera_at, camera_named
from potpyri_like.instruments.clock import FAULTS, Reading, time_of
from potpyri_like.instruments.colours import (
    PLANES,
    colour_card,
    in_colours,
    mosaic_notes,
    mosaic_planes,
    planes_in,
)
from potpyri_like.instruments.exposure import CYCLE, added_up, cycle_of, exposure_of, impossible, open_shutter
from potpyri_like.instruments.file_notes import amplifier_notes, file_notes
from potpyri_like.instruments.former import once_a_method
from potpyri_like.instruments.keywords import Compound, Keyword
from potpyri_like.instruments.layout import with_image
from potpyri_like.instruments.pointing import direction_of
from potpyri_like.instruments.rules import kind_of
from potpyri_like.instruments.state import state_of
from potpyri_like.instruments.windows import place_of
from potpyri_like.store.header import RawHeader

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument

__all__ = ["described"]

_FEW_PLANES = 12  # are asked for their times one by one
_SAME_STEP = 1e-6  # s


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
            f" ({type(error).__name__}: {error}); the frame is rejected"
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
    if what is FrameKind.BIAS and _names_a_card(because, instrument.keywords.exposure):
        exposure_of(instrument, header, FrameKind.DARK)  # what made it a bias has to be an exposure
    exposure = exposure_of(instrument, header, what)
    which = _camera_wanted(instrument, header, camera)
    header = with_image(header, which)
    *planes, rows, columns = header.image_shape
    binning = instrument.binning_of(header)
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
        binning=binning,
        exposure=exposure,
        mid_time=None if reading is None or planes else reading.time,
        shape=(rows, columns),
        pointing=instrument.pointing_of(header),
        readout=instrument.readout_of(header),
        clock=instrument.clock_of(header),
        decided_by=because,
        notes=tuple(_notes_on(instrument, header, which, what, reading)),
        **state_of(instrument, header)._asdict(),
        **place_of(instrument, header, which, binning, needed=what is not FrameKind.OTHER)._asdict(),
    )
    if not planes:
        return mosaic_planes(info, header, which, binning)
    because = colour_card(header) if which.colour != "times" else ""
    if because and which.colour == "reject":
        raise HeaderError(
            f"{header.path.name}: its planes are red, green and blue of a single exposure ({because}); the declaration"
            f" of camera {which.name} says to reject such frames"
        )
    if because:
        time = None if reading is None else reading.time
        colours = (in_colours(replace(info, plane=plane, mid_time=time), because) for plane in range(PLANES))
        return tuple(colours if band is None else (replace(one, band=band) for one in colours))
    return _planes_of(instrument, info, planes_in(header, which, binning), reading)


def _names_a_card(rule: str, keyword: Keyword | Compound) -> bool:
    """Whether a rule looks at any of a quantity's cards."""
    return any(re.search(rf"\b{re.escape(card)}\b", rule) for card in keyword.cards)


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
        raise HeaderError(f"{header.path.name}: {error}; the frame is rejected") from error


@once_a_method("notes_on")
def _notes_on(
    instrument: Instrument, header: RawHeader, camera: Camera, kind: FrameKind, reading: Reading | None
) -> Iterator[str]:
    """What is remarkable about a frame: the instrument's own remarks, and what the cards in general say."""
    yield from instrument.remarks(header, camera)
    yield from file_notes(instrument, header, camera)
    if kind in (FrameKind.SCIENCE, FrameKind.FLAT):
        yield from amplifier_notes(instrument, header, camera)
    if kind is FrameKind.SCIENCE:
        yield from mosaic_notes(header, camera, instrument.binning_of(header))
    if kind is FrameKind.SCIENCE:
        yield from filter(None, (open_shutter(header, instrument.keywords.exposure).note, added_up(header)))
        yield from reading.notes if reading is not None else ()
        yield from filter(None, (direction_of(instrument, header).note,))
    elif kind in (FrameKind.BIAS, FrameKind.FLAT):
        yield from filter(None, (impossible(header, instrument.keywords.exposure),))


@once_a_method("planes_of")
def _planes_of(
    instrument: Instrument, info: FrameInfo, number: int, reading: Reading | None
) -> tuple[FrameInfo, ...]:
    """The planes of a cube, each with its own time."""
    if reading is None:
        return tuple(replace(info, plane=plane) for plane in range(number))
    exposure = np.nan_to_num(info.exposure)
    cycle, after = (
        cycle_of(reading.header, exposure),
        _after_first(instrument, reading.header, exposure, number),
    )
    if cycle != exposure and number > 1 and abs(after[1] - cycle.to_value(u.s)) < _SAME_STEP:
        told = f"planes: one each {cycle.to_value(u.s):g} s, as {CYCLE} says"
        info = replace(info, notes=(*info.notes, told))
    times = reading.time + TimeDelta(after, format="sec")
    return tuple(replace(info, plane=plane, mid_time=times[plane]) for plane in range(number))


def _after_first(instrument: Instrument, header: RawHeader, exposure: u.Quantity, number: int) -> np.ndarray:
    """Seconds from the first plane of a cube to each; of many, a few show that the planes are evenly spaced."""

    def after(planes: Sequence[int]) -> np.ndarray:
        times = [instrument.plane_time(header, exposure, plane) for plane in planes]
        return np.array([(time - first).to_value(u.s) for time in times])

    first = instrument.plane_time(header, exposure, 0)
    if number <= _FEW_PLANES:
        return after(range(number))
    some = np.unique(np.linspace(0, number - 1, _FEW_PLANES).astype(int))
    known = after(some.tolist())
    even = np.arange(number) * (known[-1] / (number - 1))
    return even if np.abs(known - even[some]).max() < _SAME_STEP else after(range(number))
