"""Stages, and what the frames of one observation share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, TypeVar

import numpy as np
from astropy.coordinates import SkyCoord

from potpyri_like.encoding import Kept
from potpyri_like.frame import FrameInfo, Results
from potpyri_like.instruments import Instrument
from potpyri_like.night import ObservationSet
from potpyri_like.options import Options
from potpyri_like.photometry import ApertureChoice
from potpyri_like.results import Choice, Masters, Problem, Reference, SetResult
from potpyri_like.stages import AnyField, Field, FrameStage, HasFields, Stage
from potpyri_like.store import Output, Reading

if TYPE_CHECKING:
    from potpyri_like.primitives.saved import SavedImage

_T = TypeVar("_T")

__all__ = [
    "AnyStage",
    "Exposure",
    "ExposureStage",
    "FrameOutcome",
    "Located",
    "SetStage",
    "Setup",
    "TargetStage",
    "Tools",
    "Work",
    "exposure_of",
    "exposures_of",
]


AnyStage: TypeAlias = Any  # one of any grouping; with what it is called, its grouping says


@dataclass(frozen=True)
class Setup(HasFields):
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
    more : mapping of str to object
        What stages of plugins gave, by the names of fields.
    """

    instrument: Instrument
    filter_mode: str = "none"
    masters: Masters = field(default_factory=Masters)
    reference: Reference | None = None
    forced: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    coordinates: SkyCoord | None = None
    coordinates_why: str = ""
    coordinates_given: bool = False
    more: Results = field(default_factory=dict)

    def with_(self, **changes: Any) -> Setup:
        return replace(self, **changes)

    def giving(self, values: Mapping[AnyField, object]) -> Setup:
        """The same, with more values."""
        ours: Results = {one.name: value for one, value in values.items() if one.name in _SHARED}
        more = {one.name: value for one, value in values.items() if one.name not in _SHARED}
        return replace(self, more={**self.more, **more}, **ours)

    def get(self, wanted: Field[_T]) -> _T | None:
        """The value of a field; None where nothing gave it."""
        return self.more[wanted.name] if wanted.name in self.more else getattr(self, wanted.name, None)

    def showing(self, stage: Stage) -> Setup:
        """The instrument and what a stage reads; the rest as if nothing were known of it."""
        read = [one.field for one in stage.inputs if one.field.per != "frame"]
        ours = {one.name: getattr(self, one.name) for one in read if one.name in _SHARED}
        more = {one.name: self.more[one.name] for one in read if one.name in self.more}
        return Setup(self.instrument, more=more, **ours)


_SHARED = {item.name for item in fields(Setup)} - {"instrument", "more"}


@dataclass(frozen=True)
class FrameOutcome(HasFields):
    """What is left of a frame after its stages: numbers, or the reason why there are none.

    Attributes
    ----------
    info : FrameInfo
    results : mapping
        What the stages found out.
    stage : str
        The stage that failed; "" where none did.
    reason : str
    rejected : bool
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
    read_again : bool
        Its pixels were not made, but read from an image that was saved.
    saved : tuple of SavedImage
        The images that were saved.
    """

    info: FrameInfo
    results: Results
    stage: str = ""
    reason: str = ""
    rejected: bool = False
    trace: str = ""
    died: bool = False
    passing: bool = False
    where: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    reading: Reading | None = None
    read_again: bool = False
    saved: tuple[SavedImage, ...] = ()

    def get(self, wanted: Field[_T]) -> _T | None:
        """What a stage found out; None where it did not."""
        return self.results.get(wanted.name)


class Tools(Protocol):
    """What the pipeline lends to stages that run once per set."""

    output: Output
    options: Options
    common: dict[str, Any]  # what stages keep for other sets of the same run, by the stage

    def run_frames(
        self, infos: Sequence[FrameInfo], stages: Sequence[FrameStage], setup: Setup, *, what: str
    ) -> list[FrameOutcome]:
        """Run stages over frames, on the workers; failures are outcomes, not exceptions."""

    def raw(self, infos: Sequence[FrameInfo]) -> tuple[str, ...]:
        """The SHA-256 of some raw files, read where they were not yet; "" for one that cannot be read."""

    def recall(self, product: str, key: Callable[[], str]) -> Kept:
        """What was remembered with a product that stands as it was made under that key; None where it does not."""

    def recall_copy(self, product: str, key: str) -> Kept:
        """The same of a product that was copied from elsewhere, and is not made again where all others are."""

    def keep(self, product: str, key: str, memo: object) -> None:
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
    shared : Setup
        What was known at the start, and what stages of plugins gave; without masters and reference.
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
    shared: Setup
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

    @property
    def setup(self) -> Setup:
        """What its frames share, as it travels to the workers."""
        return self.shared.with_(masters=self.result.masters, reference=self.result.reference)

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


class SetStage(Stage):
    """A stage that runs once per observation."""

    per: ClassVar[str] = "observation"

    def __call__(self, work: Work, tools: Tools) -> Work:
        raise NotImplementedError


class TargetStage(Stage):
    """A stage that looks at all observations of one target together."""

    per: ClassVar[str] = "target"

    def __call__(self, works: tuple[Work, ...], tools: Tools) -> tuple[Work, ...]:
        raise NotImplementedError


@dataclass(frozen=True)
class Exposure:
    """One exposure of a target: the frames that all its chips and cameras took together.

    Attributes
    ----------
    instrument : Instrument
    infos : tuple of FrameInfo
        In the order of the cameras.
    results : tuple of mapping
        What the stages found out in each frame.
    """

    instrument: Instrument
    infos: tuple[FrameInfo, ...]
    results: tuple[Results, ...]

    def __getitem__(self, wanted: Field[_T]) -> tuple[_T | None, ...]:
        """A field of each frame; None for one where nothing gave it."""
        return tuple(result.get(wanted.name) for result in self.results)


class ExposureStage(Stage):
    """A stage that runs once per exposure, on what was found out in the frames that were taken together."""

    per: ClassVar[str] = "exposure"

    def __call__(self, exposure: Exposure, /) -> Mapping[AnyField, object]:
        raise NotImplementedError


def exposures_of(works: Sequence[Work], stage: Stage) -> list[Exposure]:
    """The exposures of several observations of one target, in order of time.

    Frames of different cameras or chips belong together where the middle of one lies within another.
    """
    timed = [
        (outcome.info.mid_time.mjd, rank, outcome)
        for rank, work in enumerate(works)
        for outcome in work.outcomes
        if outcome.info.mid_time is not None and not outcome.reason
    ]
    groups: list[list[tuple[float, int, FrameOutcome]]] = []
    for one in sorted(timed, key=lambda item: item[:2]):
        last = groups[-1] if groups else []
        half = exposure_of(one[2].info) / 2 / 86400
        together = bool(last) and one[0] - last[0][0] <= half and one[1] not in {rank for _, rank, _ in last}
        if together:
            last.append(one)
        else:
            groups.append([one])
    read = {one.field.name for one in stage.inputs}
    instrument = works[0].setup.instrument if works else None
    return [
        Exposure(
            instrument,
            tuple(o.info for _, _, o in sorted(group, key=lambda item: item[1])),
            tuple(
                {name: value for name, value in o.results.items() if name in read}
                for _, _, o in sorted(group, key=lambda item: item[1])
            ),
        )
        for group in groups
        if instrument is not None
    ]


def exposure_of(info: FrameInfo) -> float:
    """Seconds."""
    return float(info.exposure.to_value("s"))
