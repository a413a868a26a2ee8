"""From a raw file to one image in electrons: overscan, trim, gain, assembly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from potpyri_like.errors import PixelError
from potpyri_like.frame import Frame, FrameInfo, Pixels
from potpyri_like.imaging import Piece, assemble, counts_of, mosaic_colour, overscan_level, rounding_variance
from potpyri_like.instruments import Instrument, Layout, Readout, camera_named, image_hdus, wcs_of
from potpyri_like.instruments.colours import colour_wcs, pattern_of
from potpyri_like.instruments.layout import with_image
from potpyri_like.primitives.fields import COUNTS, DIGITISATION, MASTERS, READING, TRIMMED, WCS_TROUBLE
from potpyri_like.primitives.stage import Setup
from potpyri_like.stages import FrameStage, Input
from potpyri_like.store import read_raw

__all__ = ["Trim"]


@dataclass(frozen=True)
class Trim(FrameStage):
    """Read a frame, subtract its overscan or the declared pedestal, trim it, and put its amplifiers together.

    What is known of the file from reading it is handed on, what an image of one amplifier was counted in, and the
    variance of rounding to whole counts.

    Raises
    ------
    FrameError
        It cannot be read, or all its pixels are the same.
    """

    reads = (Input(MASTERS, required=False),)
    gives = (TRIMMED, READING, COUNTS, DIGITISATION, WCS_TROUBLE)

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
        pieces = [_piece(r, images[r.hdu], instrument, pedestal) for r in layout.readouts]
        pixels = assemble(pieces, shape=layout.shape)
        frame = Frame(pixels, info, wcs_of(instrument, header, layout))
        frame = _cut_out(_one_colour(frame, layout))
        counts = None if info.mosaic and info.colour else counts_of(pieces, shape=layout.shape)
        rounding = rounding_variance([readout.gain for readout in layout.readouts])
        return frame.after(_said(layout, pedestal), reading=reading, counts=counts, digitisation=rounding)


def _one_colour(frame: Frame, layout: Layout) -> Frame:
    """The colour of a mosaic that the frame is to be, where it is split; else the frame."""
    info = frame.info
    if not info.mosaic or not info.colour:
        return frame
    pixels = mosaic_colour(frame.pixels, pattern_of(info, layout), info.colour)
    return replace(frame, pixels=pixels, wcs=colour_wcs(frame.wcs, info, layout))


def _cut_out(frame: Frame) -> Frame:
    """The part of a calibration frame that serves a window, where it does; else the frame.

    Raises
    ------
    PixelError
        It does not hold that part.
    """
    if frame.info.cut is None:
        return frame
    x, y, columns, rows = frame.info.cut
    part = slice(y, y + rows), slice(x, x + columns)
    if frame.data[part].shape != (rows, columns):
        raise PixelError(
            f"{frame.info.label}: {frame.data.shape[1]} x {frame.data.shape[0]} pixels do not hold the window of"
            f" {columns} x {rows} at {x}, {y}; the frame is rejected"
        )
    return replace(frame, pixels=Pixels(*(plane[part] for plane in frame.pixels)), wcs=None)


def _piece(
    readout: Readout, image: np.ndarray, instrument: Instrument, pedestal: tuple[float, float]
) -> Piece:
    """One amplifier's data section with the level to subtract."""
    level: float | np.ndarray = pedestal[0]
    variance: float | np.ndarray = 0.0
    if readout.overscan is not None:
        strip = image[readout.overscan.slices]
        level, variance = overscan_level(strip, degree=instrument.calibration.overscan_degree)
    return Piece(
        data=image[readout.data.slices],
        gain=readout.gain,
        read_noise=readout.read_noise,
        level=level,
        level_variance=variance,
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
