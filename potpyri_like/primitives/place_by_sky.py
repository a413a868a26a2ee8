"""Where the target's coordinates lie in a frame, by the frame's WCS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS, NoConvergence

from potpyri_like.frame import Frame, FrameInfo
from potpyri_like.imaging import Pixels
from potpyri_like.instruments import camera_named, wcs_of, wcs_trouble
from potpyri_like.instruments.colours import colour_wcs
from potpyri_like.primitives.fields import COORDINATES, PLACE
from potpyri_like.primitives.stage import Setup
from potpyri_like.registration import Place
from potpyri_like.stages import FrameStage
from potpyri_like.store import read_header

__all__ = ["PlaceBySky"]


@dataclass(frozen=True)
class PlaceBySky(FrameStage):
    """Where the target's coordinates lie in a frame, by the frame's own WCS; only its header is read."""

    former_names = ("SkyPlace",)

    reads = (COORDINATES,)
    gives = (PLACE,)

    def __call__(self, info: FrameInfo, setup: Setup) -> Frame:
        instrument = setup.instrument
        header = read_header(info.path, inside=info.inside)
        layout = instrument.layout(header, camera_named(instrument, info.camera))
        wcs = None if info.cut else colour_wcs(wcs_of(instrument, header, layout), info, layout)
        place, doubt = None, ""
        if wcs is not None and setup.coordinates is not None:
            place, doubt = _pixel_of(wcs, setup.coordinates)
        elif wcs is None:
            doubt = wcs_trouble(instrument, header, layout)
        nothing = np.zeros((1, 1), np.float32)
        frame = Frame(Pixels(nothing, nothing, nothing.astype(np.uint16)), info)
        return frame.after("WCS read", place=Place(place, doubt))


def _pixel_of(wcs: WCS, coordinates: SkyCoord) -> tuple[tuple[float, float] | None, str]:
    """Where coordinates lie in an image; None and the reason where its WCS does not say."""
    try:
        x, y = wcs.world_to_pixel(coordinates)
    except (NoConvergence, ValueError) as error:
        return None, f"its WCS cannot be inverted ({str(error).partition(chr(10))[0]})"
    if not np.isfinite([x, y]).all():
        centre = ", ".join(f"CRVAL{axis} = {value:g}" for axis, value in enumerate(wcs.wcs.crval, start=1))
        return None, f"by {centre} the coordinates are on the opposite side of the sky"
    return (float(x), float(y)), ""
