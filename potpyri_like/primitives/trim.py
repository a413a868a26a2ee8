"""From a raw file to one image in electrons: overscan, trim, gain, assembly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from potpyri_like.errors import PixelError
from potpyri_like.frame import Frame, FrameInfo, FrameKind, MaskBit, Pixels
from potpyri_like.imaging import Piece, assemble, counts_of, level_of_data, mosaic_colour, rounding_variance
from potpyri_like.instruments import Layout, Readout, camera_named, image_hdus, wcs_of
from potpyri_like.instruments.colours import colour_wcs, pattern_of
from potpyri_like.instruments.keywords import Keyword
from potpyri_like.instruments.layout import with_image
from potpyri_like.primitives.fields import (
    COUNTS,
    DIGITISATION,
    LEVELS,
    MASTERS,
    READING,
    TRIMMED,
    WCS_TROUBLE,
)
from potpyri_like.primitives.stage import Setup
from potpyri_like.results import Level
from potpyri_like.stages import FrameStage, Input
from potpyri_like.store import read_raw

__all__ = ["Trim"]


@dataclass(frozen=True)
class Trim(FrameStage):
    """Read a frame, subtract its overscan or the declared pedestal, trim it, and put its amplifiers together.

    What is known of the file from reading it is handed on, what an image of one amplifier was counted in, the variance
    of rounding to whole counts, and the level of each amplifier. One without overscan has the level that the overscans
    of the bias frames told; where it is in the master bias, no overscan is subtracted.

    Raises
    ------
    FrameError
        It cannot be read, or all its pixels are the same.
    """

    reads = (Input(MASTERS, required=False),)
    gives = (TRIMMED, READING, COUNTS, DIGITISATION, LEVELS, WCS_TROUBLE)
    version = 2

    def __call__(self, info: FrameInfo, setup: Setup) -> Frame:
        instrument = setup.instrument
        camera = camera_named(instrument, info.camera)
        wanted = partial(image_hdus, instrument, camera=camera)
        header, images, reading = read_raw(info.path, wanted, plane=info.file_plane, inside=info.inside)
        header = with_image(header, camera)
        if header.image_shape[-2:] != info.shape:
            raise PixelError(
                f"{info.path.name}: its size has changed since the night was scanned; the frame is rejected"
            )
        layout = instrument.layout(header, camera)
        pedestal = (0.0, 0.0) if setup.masters.bias else instrument.pedestal(header, camera)
        bases = [_base_of(info, r, images[r.hdu], setup, layout, pedestal) for r in layout.readouts]
        pieces = [_piece(r, images[r.hdu], base) for r, base in zip(layout.readouts, bases, strict=True)]
        pixels = assemble(pieces, shape=layout.shape)
        frame = Frame(pixels, info, wcs_of(instrument, header, layout))
        frame = _cut_out(_one_colour(frame, layout))
        counts = None if info.mosaic and info.colour else counts_of(pieces, shape=layout.shape)
        rounding = rounding_variance([readout.gain for readout in layout.readouts])
        levels = tuple(_level_of(info, r, base) for r, base in zip(layout.readouts, bases, strict=True))
        return frame.after(
            _said(layout, pedestal), reading=reading, counts=counts, digitisation=rounding, levels=levels
        )


def _one_colour(frame: Frame, layout: Layout) -> Frame:
    """The colour of a mosaic that the frame is to be, where it is split; else the frame."""
    info = frame.info
    if not info.mosaic or not info.colour:
        return frame
    pixels = mosaic_colour(frame.pixels, pattern_of(info, layout), info.colour)
    return replace(frame, pixels=pixels, wcs=colour_wcs(frame.wcs, info, layout))


def _cut_out(frame: Frame) -> Frame:
    """The part of a calibration frame that serves a window, where it does; else the frame.

    A science frame that lacks an amplifier has bad pixels in its place.

    Raises
    ------
    PixelError
        It does not hold that part.
    """
    if frame.info.cut is None:
        return frame
    x, y, columns, rows = frame.info.cut
    high, wide = frame.data.shape
    whole = min(x, y) >= 0 and x + columns <= wide and y + rows <= high
    if whole:
        part = slice(y, y + rows), slice(x, x + columns)
        return replace(frame, pixels=Pixels(*(plane[part] for plane in frame.pixels)), wcs=None)
    if frame.info.kind is FrameKind.SCIENCE:
        fillings = 0, 0, MaskBit.BAD
        planes = (_enlarged(*each, frame.info.cut) for each in zip(frame.pixels, fillings, strict=True))
        return replace(frame, pixels=Pixels(*planes), wcs=None)
    raise PixelError(
        f"{frame.info.label}: {wide} x {high} pixels do not hold the window of"
        f" {columns} x {rows} at {x}, {y}; the frame is rejected"
    )


def _enlarged(plane: np.ndarray, filling: int, cut: tuple[int, int, int, int]) -> np.ndarray:
    """A plane in a larger one, of which some lies outside of it."""
    x, y, columns, rows = cut
    found = np.full((rows, columns), filling, plane.dtype)
    high, wide = plane.shape
    inner = slice(max(y, 0), min(high, y + rows)), slice(max(x, 0), min(wide, x + columns))
    outer = tuple(slice(one.start - off, one.stop - off) for one, off in zip(inner, (y, x), strict=True))
    found[outer] = plane[inner]
    return found


_Base = tuple[float | np.ndarray, float | np.ndarray]  # level and its variance, adu and adu^2


def _base_of(
    info: FrameInfo,
    readout: Readout,
    image: np.ndarray,
    setup: Setup,
    layout: Layout,
    pedestal: tuple[float, float],
) -> _Base:
    """The level to subtract from an amplifier: of its overscan, or else of the bias frames, or that is declared.

    Raises
    ------
    PixelError
        Other amplifiers of the frame have an overscan, and nothing tells the level of this one.
    """
    bias = setup.masters.of_night(info.night).bias
    told = None if bias is None else _told(bias.levels, _part_of(info, readout))
    if told is not None and np.isnan(told.adu):  # it is in the master bias
        return 0.0, 0.0
    if readout.overscan is not None:
        degree = setup.instrument.calibration.overscan_degree
        return level_of_data(image, readout.data, readout.overscan, degree=degree)
    if told is not None:
        return told.adu, told.error**2
    is_alone = bias is None and any(one.overscan is not None for one in layout.readouts)
    if is_alone and not pedestal[0]:
        card = camera_named(setup.instrument, info.camera).overscan_section
        what = f"no {' or '.join(card.cards)}" if isinstance(card, Keyword) else "no overscan"
        raise PixelError(
            f"{info.label}: {what} in HDU {readout.hdu}, whereas its other amplifiers have one, and there are no bias"
            " frames to give the level there; the frame is rejected (add bias frames)"
        )
    return pedestal[0], 0.0


def _part_of(info: FrameInfo, readout: Readout) -> tuple[int, int, int, int]:
    """The part of the image that an amplifier reads: first column and row, from 0, and those after its last."""
    x, y = (0, 0) if info.cut is None else info.cut[:2]
    rows, columns = readout.data.shape
    return readout.x0 - x, readout.y0 - y, readout.x0 - x + columns, readout.y0 - y + rows


def _told(levels: Sequence[Level], part: tuple[int, int, int, int]) -> Level | None:
    """What bias frames tell of a part of the image: of the amplifier with most of it; None where they tell nothing."""

    def shared(level: Level) -> int:
        columns = min(part[2], level.x1) - max(part[0], level.x0)
        rows = min(part[3], level.y1) - max(part[1], level.y0)
        return max(columns, 0) * max(rows, 0)

    best = max(levels, key=shared, default=None)
    return best if best is not None and shared(best) else None


def _level_of(info: FrameInfo, readout: Readout, base: _Base) -> Level:
    """What a frame tells of the level of an amplifier."""
    if readout.overscan is None:
        return Level(*_part_of(info, readout), np.nan, 0.0)
    level, variance = (float(np.mean(values)) for values in base)
    return Level(*_part_of(info, readout), level, float(np.sqrt(variance)))


def _piece(readout: Readout, image: np.ndarray, base: _Base) -> Piece:
    """One amplifier's data section with the level to subtract."""
    return Piece(
        data=image[readout.data.slices],
        gain=readout.gain,
        read_noise=readout.read_noise,
        level=base[0],
        level_variance=base[1],
        saturation=readout.saturation,
        x0=readout.x0,
        y0=readout.y0,
        flip_x=readout.flip_x,
        flip_y=readout.flip_y,
    )


def _said(layout: Layout, pedestal: tuple[float, float]) -> str:
    """What the stage did, in words."""
    what = "overscan subtracted" if layout.has_overscan else f"pedestal of {pedestal[0]:g} ADU subtracted"
    return f"trimmed to {layout.shape[1]} x {layout.shape[0]}, {what}, {len(layout.readouts)} amplifier(s)"
