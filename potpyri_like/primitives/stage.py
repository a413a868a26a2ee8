"""What a stage is, and what the frames of one set share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.nddata import CCDData, VarianceUncertainty
from astropy.wcs import WCS

from potpyri_like.frame import Frame, FrameInfo
from potpyri_like.imaging import Pixels
from potpyri_like.instruments import Instrument
from potpyri_like.night import ObservationSet
from potpyri_like.options import Options
from potpyri_like.photometry import ApertureChoice
from potpyri_like.results import Choice, Masters, Problem, Reference, SetResult
from potpyri_like.store import Output, Reading

__all__ = [
    "FrameOutcome",
    "FrameStage",
    "Located",
    "SetStage",
    "Setup",
    "TargetStage",
    "Tools",
    "Work",
    "pixels_of",
    "to_ccd",
]


@dataclass(frozen=True)
class Setup:
    """What all frames of a set share; it travels to each worker once.

    Attributes
    ----------
    instrument : Instrument
    filter_mode : str
        Of the 3x3 filter, for science and calibrations alike.
    masters : Masters
    reference : Reference or None
        None until it is chosen.
    forced : ndarray, shape (n, 2), pixel
        Positions in the reference, measured besides its stars: a target too faint to be detected.
    coordinates : SkyCoord or None
        Of the target, or of where the telescope looked.
    coordinates_why : str
        Where they come from.
    coordinates_given : bool
        The observer named the target by them; they are not only what the headers say.
    """

    instrument: Instrument
    filter_mode: str = "none"
    masters: Masters = field(default_factory=Masters)
    reference: Reference | None = None
    forced: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    coordinates: SkyCoord | None = None
    coordinates_why: str = ""
    coordinates_given: bool = False

    def with_(self, **changes: Any) -> Setup:
        return replace(self, **changes)

    def showing(self, names: Sequence[str]) -> Setup:
        """The instrument and what is named; the rest as if nothing were known of it."""
        return Setup(self.instrument, **{name: getattr(self, name) for name in names})


class FrameStage(Protocol):
    """A stage that runs once per frame; the first of a recipe gets the frame's description instead.

    `reads` names what it is shown of the setup besides the instrument: where that is as it was, and the frame, too, the
    outcome of an earlier run serves. Numbers come out of it; one that hands on images says `hands_on_pixels = True`.
    """

    per: ClassVar[str]
    reads: ClassVar[tuple[str, ...]]

    def __call__(self, frame: Any, setup: Setup, /) -> Frame: ...


@dataclass(frozen=True)
class FrameOutcome:
    """What is left of a frame after its stages: numbers, or the reason why there are none.

    Attributes
    ----------
    info : FrameInfo
    results : mapping
        What the stages found out.
    stage : str
        The stage that failed; "" where none did.
    reason : str
    refused : bool
        The frame cannot be used at all; where False it failed later, as when it could not be matched.
    trace : str
        The traceback of an error that nobody foresaw.
    died : bool
        No worker survived it.
    passing : bool
        Circumstances kept it from being worked on, as a file that could not be read: it is tried again.
    where : str
        The worker of a cluster that had it.
    seconds : mapping of str to float
        Processor time of each stage.
    reading : Reading or None
        Of the raw file.
    """

    info: FrameInfo
    results: Mapping[str, Any]
    stage: str = ""
    reason: str = ""
    refused: bool = False
    trace: str = ""
    died: bool = False
    passing: bool = False
    where: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    reading: Reading | None = None


class Tools(Protocol):
    """What the pipeline lends to stages that run once per set."""

    output: Output
    options: Options

    def run_frames(
        self, infos: Sequence[FrameInfo], stages: Sequence[FrameStage], setup: Setup, *, what: str
    ) -> list[FrameOutcome]:
        """Run stages over frames, on the workers; failures are outcomes, not exceptions."""

    def raw(self, infos: Sequence[FrameInfo]) -> tuple[str, ...]:
        """The SHA-256 of some raw files, read where they were not yet; "" for one that cannot be read."""

    def recall(self, product: str, key: Callable[[], str]) -> Any:
        """What was remembered with a product that stands as it was made under that key; None where it does not."""

    def keep(self, product: str, key: str, memo: Any) -> None:
        """Remember a product that was written, and under which key."""

    def read(self, info: FrameInfo, reading: Reading) -> None:
        """Remember a raw file that was read."""

    def unsettle(self) -> None:
        """Note that something failed that may succeed another time: nothing is kept that depends on it."""


@dataclass(frozen=True)
class Located:
    """A target that was placed in one set: what it takes to find it in another.

    Attributes
    ----------
    name, camera : str
        Of the set.
    reference : Reference or None
        None where nothing was found.
    pixel_scale : float
        arcsec/pixel
    xy : ndarray, shape (2,), pixel, or None
        In the reference; None where the target could not be placed.
    """

    name: str
    camera: str
    reference: Reference | None
    pixel_scale: float
    xy: np.ndarray | None


@dataclass(frozen=True)
class Work:
    """One set on its way through a recipe.

    Attributes
    ----------
    observed : ObservationSet
    setup : Setup
    result : SetResult
        What there is so far.
    outcomes : tuple of FrameOutcome
        One for each frame, once the frame stages ran.
    target_xy : ndarray, shape (2,), pixel, or None
        Where the target lies in the reference.
    target_star : int or None
        Its index among the stars.
    target_why : str
    named_by : str
        How the observer named the target, "--target-xy 512,480"; "" where no target was named. One that was named and
        could not be placed has no `target_star`, and nobody takes its place.
    is_limit : bool
        No star was seen at the target's place, which is measured all the same.
    pixel_read_here : bool
        The target's pixel was read off in a frame of this set.
    elsewhere : Located or None
        Where the pixel lies in the pointing in which it was read off, if that is another one.
    choice : ApertureChoice or None
        The aperture and the comparison stars, once they are chosen.
    failed : bool
        A stage could not do its part; the others leave it alone.
    """

    observed: ObservationSet
    setup: Setup
    result: SetResult
    outcomes: tuple[FrameOutcome, ...] = ()
    target_xy: np.ndarray | None = None
    target_star: int | None = None
    target_why: str = ""
    named_by: str = ""
    is_limit: bool = False
    pixel_read_here: bool = False
    elsewhere: Located | None = None
    choice: ApertureChoice | None = None
    failed: bool = False

    def with_(self, **changes: Any) -> Work:
        return replace(self, **changes)

    def found(
        self, *, choices: Sequence[Choice] = (), problems: Sequence[Problem] = (), **changes: Any
    ) -> Work:
        """The same work, with more in its result."""
        result = replace(
            self.result,
            choices=(*self.result.choices, *choices),
            problems=(*self.result.problems, *problems),
            **changes,
        )
        return replace(self, result=result)


class SetStage(Protocol):
    """A stage that runs once per set."""

    per: ClassVar[str]

    def __call__(self, work: Work, tools: Tools) -> Work: ...


class TargetStage(Protocol):
    """A stage that looks at all sets of one target together."""

    per: ClassVar[str]

    def __call__(self, works: tuple[Work, ...], tools: Tools) -> tuple[Work, ...]: ...


def to_ccd(pixels: Pixels, wcs: WCS | None = None) -> CCDData:
    """Pixels as the frame people know; nothing is copied.

    The bits go to `flags`, since `mask` would make them true or false.
    """
    return CCDData(
        pixels.data,
        unit="electron",
        flags=pixels.mask,
        uncertainty=VarianceUncertainty(pixels.variance, copy=False),
        wcs=wcs,
    )


def pixels_of(frame: Frame) -> Pixels:
    """Data, variance and mask of a frame; nothing is copied."""
    return Pixels(frame.data, frame.variance, frame.mask)


def exposure_of(info: FrameInfo) -> float:
    """Seconds."""
    return float(info.exposure.to_value("s"))
