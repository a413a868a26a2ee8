"""Positions on the references of several cameras: by pixel, by coordinates, by transform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS, NoConvergence

from potpyri_like.errors import UsageError
from potpyri_like.frame import Frame, FrameInfo
from potpyri_like.imaging import Pixels
from potpyri_like.instruments import camera_named, wcs_of, wcs_trouble
from potpyri_like.instruments.colours import colour_wcs
from potpyri_like.night import ObservationSet
from potpyri_like.photometry import forced_flux
from potpyri_like.primitives.fields import CALIBRATED, COORDINATES, PLACE, PROBE, REFERENCE, REGISTRATION
from potpyri_like.primitives.reference_match import ON_CHIP, ON_SKY, at
from potpyri_like.primitives.stage import Located, Setup, Work
from potpyri_like.registration import Place, Probe
from potpyri_like.stages import FrameStage
from potpyri_like.store import read_header

__all__ = ["PlaceByProbe", "PlaceBySky", "Search", "agreed", "located", "pixel_set", "target_spec"]

_MAIN = 1 / 3  # of the frames of the largest pointing: as many has the one in which a pixel was read off


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
        wcs = colour_wcs(wcs_of(instrument, header, layout), info, layout)
        place, doubt = None, ""
        if wcs is not None and setup.coordinates is not None:
            place, doubt = _pixel_of(wcs, setup.coordinates)
        elif wcs is None:
            doubt = wcs_trouble(instrument, header, layout)
        nothing = np.zeros((1, 1), np.float32)
        frame = Frame(Pixels(nothing, nothing, nothing.astype(np.uint16)), info)
        return frame.after("WCS read", place=Place(place, doubt))


@dataclass(frozen=True)
class PlaceByProbe(FrameStage):
    """The flux of a star at a place in the reference where none was detected, its neighbours subtracted.

    Attributes
    ----------
    xy : (float, float), pixel
    """

    former_names = ("ProbePlace",)

    xy: tuple[float, float]
    reads = (
        CALIBRATED,
        REGISTRATION,
        REFERENCE,
    )
    gives = (PROBE,)

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        registration = frame[REGISTRATION]
        places = registration.transform(np.vstack([[self.xy], setup[REFERENCE].xy]))
        image = np.where(frame.unusable, np.nan, frame.data)
        flux, error = forced_flux(image, places[0], places[1:], profile=registration.psf)
        return frame.after("flux measured at a position", probe=Probe(flux, error))


@dataclass(frozen=True)
class Search:
    """What the frames' WCS say of the target's place in the reference of a set.

    Attributes
    ----------
    xy : ndarray, shape (2,), pixel, or None
    why : str
        Which frames say so; or why it cannot be told.
    has_wcs : bool
        A WCS is there, of use or not.
    """

    xy: np.ndarray | None = None
    why: str = ""
    has_wcs: bool = False


def target_spec(text: str) -> tuple[str, np.ndarray]:
    """Camera ("" for any) and pixel of "X,Y" or "CAMERA:X,Y".

    Raises
    ------
    UsageError
        It is neither.
    """
    camera, _, numbers = text.rpartition(":")
    try:
        x, y = (float(part) for part in numbers.split(","))
    except ValueError as error:
        raise UsageError(
            f"--target-xy {text}: give X,Y or CAMERA:X,Y, as in 512,480 or C1:512,480"
        ) from error
    return camera.strip(), np.array([x, y])


def pixel_set(
    groups: Sequence[Sequence[ObservationSet]], spec: str, frame: str | None
) -> ObservationSet | None:
    """The set in which the target's pixel was read off: that of the frame, or of the camera, in the first pointing.

    A pointing of few frames, as for the focus, is not the one that is meant.

    Parameters
    ----------
    groups : sequence of sequence of ObservationSet
        The sets of each target, in the order of the cameras.
    spec : str
        --target-xy
    frame : str or None
        --target-frame

    Returns
    -------
    ObservationSet or None
        None where there is no such camera or frame.
    """
    camera, _ = target_spec(spec)
    of_camera = [
        [o for o in group if not camera or camera.casefold() in (o.camera.casefold(), o.band.casefold())]
        for group in groups
    ]
    if frame is not None:
        return next((o for group in of_camera for o in group if _has_frame(o, frame)), None)
    usable = [group for group in of_camera if group]
    if not usable:
        return None
    most = max(_frames_of(group) for group in usable)
    main = [group for group in usable if _frames_of(group) >= _MAIN * most]
    return min(main, key=_begin_of)[0]


def _frames_of(group: Sequence[ObservationSet]) -> int:
    """How many frames the largest set of a target has."""
    return max(len(observed.frames) for observed in group)


def _begin_of(group: Sequence[ObservationSet]) -> float:
    """When the first frame of a target was taken, MJD; infinity where no frame has a time."""
    times = [info.mid_time.mjd for observed in group for info in observed.frames if info.mid_time is not None]
    return float(min(times, default=np.inf))


def _has_frame(observed: ObservationSet, name: str) -> bool:
    """Whether a set has a frame of that name."""
    return any(name in (info.label, info.path.name, str(info.path)) for info in observed.frames)


def located(works: Sequence[Work]) -> Located | None:
    """Where the target's pixel lies in the pointing in which it was read off; None if it was read off in another."""
    work = next((work for work in works if work.pixel_read_here), None)
    return None if work is None else at(work)


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


def agreed(places: np.ndarray, scale: float, label: str) -> Search:
    """The place on which most of several frames' WCS agree."""
    reach = max(ON_SKY / scale, ON_CHIP)
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    near = apart <= reach
    best = int(np.argmax(near.sum(axis=1)))
    if 2 * near[best].sum() <= len(places) and len(places) > 1:
        why = f"the WCS of {len(places)} frames differ by up to {scale * apart.max():.0f} arcsec"
        return Search(None, why, True)
    who = (
        f"the WCS of {label}"
        if len(places) == 1
        else f"the WCS of {near[best].sum()} of {len(places)} frames"
    )
    return Search(np.median(places[near[best]], axis=0), who, True)
