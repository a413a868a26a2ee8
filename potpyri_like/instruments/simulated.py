"""What simulated nights need to know of an instrument, and nothing else asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import astropy.units as u
from astropy.io import fits

from potpyri_like.errors import DeclarationError
from potpyri_like.instruments.dates import check_unit

if TYPE_CHECKING:
    from potpyri_like.instruments.cameras import Camera

__all__ = ["Simulated", "SimulatedCamera"]


@dataclass(frozen=True, kw_only=True)
class SimulatedCamera:
    """What a camera's simulated frames show besides its declaration; it need not be exact.

    Attributes
    ----------
    rotation, centre : Quantity, (float, float)
        Relative to the first camera: the angle of its field, counter-clockwise in the array, and where the
        first camera's centre falls, in unbinned pixels from this one's.
    flipped : bool
        It sees the field mirrored in x, relative to the first camera.
    dark_current : Quantity
        electron/s of an unbinned pixel.
    """

    rotation: u.Quantity = 0 * u.deg
    centre: tuple[float, float] = (0.0, 0.0)
    flipped: bool = False
    dark_current: u.Quantity = 0 * u.electron / u.s

    def __post_init__(self) -> None:
        check_unit("SimulatedCamera", "rotation", self.rotation, u.deg)
        check_unit("SimulatedCamera", "dark_current", self.dark_current, u.electron / u.s)


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """How an instrument's simulated files differ from what its declaration alone gives.

    Attributes
    ----------
    equinox : Quantity or None
        Year of the equinox in which headers state the pointing; None: J2000.
    headers : callable or None
        Gets a Camera, the (columns, rows) of the image and its binning; gives the headers of a raw file without
        pixels, one for each HDU, with NAXIS1 and NAXIS2 for an image. None: they follow from the camera's sections.
    """

    equinox: u.Quantity | None = None
    headers: Callable[[Camera, tuple[int, int], tuple[int, int]], list[fits.Header]] | None = None

    def __post_init__(self) -> None:
        if self.equinox is not None:
            check_unit("Simulated", "equinox", self.equinox, u.yr)
        if self.headers is not None and not callable(self.headers):
            raise DeclarationError(f"Simulated: headers = {self.headers!r} is not a function")
