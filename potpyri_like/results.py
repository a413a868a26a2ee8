"""The results of a run: what was made, from what, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
from astropy.wcs import WCS

from potpyri_like.encoding import fingerprint
from potpyri_like.frame import FrameInfo, Results
from potpyri_like.imaging import Pixels, Snapshot, same_exposure
from potpyri_like.lightcurves import BandFit, Lag, Periodogram, RmsFlux, TimeAveraging, TransitFit
from potpyri_like.night import Night, ObservationSet
from potpyri_like.night.incidental import incidental, target_key
from potpyri_like.photometry.budget import NoiseBudget
from potpyri_like.photometry.series import LightCurve, Series
from potpyri_like.stages import Field, HasFields

__all__ = [
    "STATUS_WORDS",
    "Candidate",
    "Choice",
    "Grade",
    "Level",
    "Master",
    "Masters",
    "Problem",
    "Reference",
    "RunReport",
    "SetResult",
    "StarTable",
    "Timing",
]

_FEW_FRAMES = (
    0.15  # of those in the largest set of the target observed most: a target with fewer is one of the rest
)


_OTHER_NAMES = {"star_table": "stars", "choice": "aperture"}  # of fields, among the results of an observation
_T = TypeVar("_T")


@dataclass(frozen=True)
class Candidate:
    """A candidate of a choice: its name, its figures of merit, and why it was rejected ("" if it was chosen)."""

    name: str
    figures: str = ""
    lost: str = ""


@dataclass(frozen=True)
class Choice:
    """A decision and its reason: what was decided, what was chosen, why, and out of what."""

    what: str
    chosen: str
    why: str
    candidates: tuple[Candidate, ...] = ()


class Grade(StrEnum):
    """What a problem means for the run."""

    MISSING = "missing"  # a requested or standard product is missing: exit status 3
    DOUBTFUL = "doubtful"  # a result is doubtful: exit status 4
    REMARK = "note"  # a single frame, or what is not needed: no exit status of its own


STATUS_WORDS = {
    0: "all is well",
    1: "nothing could be reduced",
    2: "the command line or reduce.toml is wrong",
    3: "a requested or standard product is missing",
    4: "a result is doubtful",
}


@dataclass(frozen=True)
class Problem:
    """Something that failed, is missing or is doubtful: what (a file, a product, a set), which stage, why, how bad."""

    what: str
    stage: str
    why: str
    grade: Grade = Grade.MISSING


class Level(NamedTuple):
    """The level without light of an amplifier.

    Attributes
    ----------
    x0, y0, x1, y1 : int
        Its part of the image: first column and row, from 0, and those after its last.
    adu : float
        NaN where it was not subtracted, since there is no overscan: it is in the pixels.
    error : float, adu
        Its scatter from frame to frame.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    adu: float
    error: float


@dataclass(frozen=True)
class Master:
    """A master frame.

    Attributes
    ----------
    kind : str
        "bias", "dark", "flat".
    pixels : Pixels
        electron; a flat is relative to 1; a dark is that of `exposure` seconds.
    exposure : float
        s
    rung : str
        The rung of the ladder: "exact", "interpolated between 10 s and 60 s", "scaled from 60 s", ...
    inputs : tuple of str
        The frames it was made of.
    product : str
        Its file within the output folder.
    digest : str
        The SHA-256 of that file.
    photons : float
        Of a flat: the variance of photons over that of the declared gain, from the scatter between its frames; 1 where
        the gain is right, or nothing is known.
    bias_share : float
        Of a dark: how often the master bias was subtracted from it, whose error its variance does not hold. An image
        from which both are subtracted has 1 less that share of the bias's error.
    source : str
        Of one that was taken from the library, or from a folder that the user named: its name there.
    levels : tuple of Level
        Of a bias: the level of each amplifier, as the overscans of its frames told it; () where it is not known.
    """

    kind: str
    pixels: Pixels
    exposure: float
    rung: str
    inputs: tuple[str, ...]
    product: str = ""
    digest: str = ""
    photons: float = 1.0
    bias_share: float = 0.0
    source: str = ""
    levels: tuple[Level, ...] = ()

    @property
    def words(self) -> str:
        """What it is: "flat", "dark of 20 s"."""
        return f"dark of {self.exposure:g} s" if self.kind == "dark" else self.kind


@dataclass(frozen=True)
class Masters:
    """What calibrates the frames of a set; None for what the night lacks.

    Attributes
    ----------
    nights : mapping of str to Masters
        Those of each night, where the set has frames of several; this stands for the first then.
    pedestal : float
        electron; the level without light where there is no bias, as it was estimated from the frames.
    """

    bias: Master | None = None
    darks: Mapping[float, Master] = field(default_factory=dict)
    flat: Master | None = None
    nights: Mapping[str, Masters] = field(default_factory=dict)
    pedestal: float = 0.0

    def of_night(self, night: str) -> Masters:
        """Those for frames of a night."""
        return self.nights.get(night, self)

    def dark_of(self, exposure: float) -> Master | None:
        """The dark of that exposure, seconds, within the accuracy of a shutter."""
        same = [known for known in self.darks if same_exposure(known, exposure)]
        return self.darks[min(same, key=lambda known: abs(known - exposure))] if same else None


@dataclass(frozen=True)
class Reference:
    """The frame that a set is registered to.

    Attributes
    ----------
    info : FrameInfo
    image : ndarray, shape (rows, columns), electron
    xy : ndarray, shape (n_stars, 2), pixel
        The stars to be measured, brightest first.
    flux : ndarray, shape (n_stars,), electron
    fwhm : float, pixel
    widest : float, pixel
        FWHM of the worst of the frames that were looked at.
    why : str
    wcs : WCS or None
        Celestial coordinates, where the raw header has them.
    """

    info: FrameInfo
    image: np.ndarray
    xy: np.ndarray
    flux: np.ndarray
    fwhm: float
    widest: float
    why: str
    wcs: WCS | None = None

    @cached_property
    def digest(self) -> str:
        """The fingerprint of what frames are compared with, whatever the reason why it was chosen."""
        return fingerprint(self.info.label, self.image, self.xy, self.flux, self.fwhm, self.widest)


@dataclass(frozen=True)
class StarTable:
    """What is known of each star of a set after its light curves were made.

    Attributes
    ----------
    flux : ndarray, shape (n_stars,), electron
        Median at the chosen aperture.
    weight : ndarray, shape (n_stars,)
        Of the comparison ensemble; 0 where not used.
    rms, point_to_point, expected : ndarray, shape (n_stars,)
        Of its relative flux.
    score : ndarray, shape (n_stars,)
        Variability over noise; about 1 for a constant star.
    own_aperture : ndarray, shape (n_stars,), pixel
        The radius at which the star's own light curve has the least point-to-point scatter; NaN for none.
    why : tuple of str
        Why its weight is 0; "" for a comparison star.
    relflux, relflux_err : ndarray, shape (n_frames, n_stars)
        Relative flux at the chosen aperture.
    """

    flux: np.ndarray
    weight: np.ndarray
    rms: np.ndarray
    point_to_point: np.ndarray
    expected: np.ndarray
    score: np.ndarray
    own_aperture: np.ndarray
    why: tuple[str, ...]
    relflux: np.ndarray
    relflux_err: np.ndarray


@dataclass(frozen=True)
class SetResult(HasFields):
    """What was made of one observation set; None for what could not be made.

    Attributes
    ----------
    observed : ObservationSet
    masters : Masters
    reference : Reference or None
    series : Series or None
    aperture : int
        Index of the chosen aperture.
    stars : StarTable or None
    light_curve : LightCurve or None
        Of the target, or of the star that varies most where no target was named.
    curve_name : str
        What the fits call its light curve; "" where nothing was fitted.
    transit : TransitFit or None
        Of all sets of the target together.
    averaging : TimeAveraging or None
        Of the light curve's residuals: their scatter against the width of bins.
    periods : Periodogram or None
        Of a light curve without a transit.
    flux_relation : RmsFlux or None
        How its scatter goes with its flux.
    lags : mapping of str to Lag
        Of the light curves of the target's other sets against this one, by the set's name.
    snapshots : tuple of Snapshot
        Small pictures of the field around the target, in order of time.
    budget : NoiseBudget or None
        The noise of every star term by term, against what was measured at several time scales.
    pixel_scale : float
        arcsec/pixel
    same_as : mapping of int to int
        This set's star for a star of the set named in `same_as_set`.
    same_as_set : str
    products : mapping of str to str
        Files within the output folder, by name.
    choices : tuple of Choice
    problems : tuple of Problem
    notes : tuple of str
        Sentences for the observer, as on the cost of the filter.
    more : mapping of str to object
        What products of plugins read besides, by the names of fields.
    """

    observed: ObservationSet
    masters: Masters = field(default_factory=Masters)
    reference: Reference | None = None
    series: Series | None = None
    aperture: int = 0
    stars: StarTable | None = None
    light_curve: LightCurve | None = None
    curve_name: str = ""
    transit: TransitFit | None = None
    averaging: TimeAveraging | None = None
    periods: Periodogram | None = None
    flux_relation: RmsFlux | None = None
    lags: Mapping[str, Lag] = field(default_factory=dict)
    snapshots: tuple[Snapshot, ...] = ()
    budget: NoiseBudget | None = None
    pixel_scale: float = float("nan")
    same_as: Mapping[int, int] = field(default_factory=dict)
    same_as_set: str = ""
    products: Mapping[str, str] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    more: Results = field(default_factory=dict)

    def get(self, wanted: Field[_T]) -> _T | None:
        """The value of a field; None where nothing gave it."""
        name = _OTHER_NAMES.get(wanted.name, wanted.name)
        return self.more.get(wanted.name, getattr(self, name, None))

    @property
    def band_fit(self) -> BandFit | None:
        """This set's part in the fit of the transit."""
        bands = () if self.transit is None else self.transit.bands
        return next((band for band in bands if band.name == self.curve_name), None)


@dataclass
class Timing:
    """Where the time of a run went.

    Attributes
    ----------
    per_frame : dict of str to float
        Processor seconds of each stage that runs once per frame, over all frames.
    per_set : dict of str to float
        Wall-clock seconds of each stage that runs once per set or target, with the frames that it looks at.
    times : dict of str to int
        How often each stage ran.
    frames : int
        Frames that were worked on in the long loops over all frames of a set, and
    wall : float
        the wall-clock seconds that these took.
    bytes_read, seconds_reading : int, float
        Raw files: reading, checksum, decoding; of all processes together.
    """

    per_frame: dict[str, float] = field(default_factory=dict)
    per_set: dict[str, float] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    frames: int = 0
    wall: float = 0.0
    bytes_read: int = 0
    seconds_reading: float = 0.0

    def add(self, seconds: Mapping[str, float], *, per_frame: bool = True) -> None:
        """Add what some stages took."""
        table = self.per_frame if per_frame else self.per_set
        for stage, spent in seconds.items():
            table[stage] = table.get(stage, 0.0) + spent
            self.times[stage] = self.times.get(stage, 0) + 1

    def loop(self, frames: int, seconds: float) -> None:
        """Add a loop over frames."""
        self.frames += frames
        self.wall += seconds

    def read(self, size: int, seconds: float) -> None:
        """Add a raw file."""
        self.bytes_read += size
        self.seconds_reading += seconds


@dataclass(frozen=True)
class RunReport:
    """What a run made from what; what failed, where and why; what was chosen and why.

    Attributes
    ----------
    instrument : str
    recipe : str
    night : Night
    sets : tuple of SetResult
    status : mapping of str to (str, str)
        Status and reason of each raw file after the run, by its path within the night.
    problems : tuple of Problem
        Those that belong to no set.
    options : mapping of str to (value, str)
        The options in force and where each came from.
    timing : Timing
    command : str
        As it was given.
    is_part : bool
        Only a part of the recipe was asked for.
    images : mapping of str to str
        The frame in each file in which an image of a single one is saved, by the product's name.
    of_several : tuple of str
        Products of several observations together, of a target, a night or the run, by their paths.
    """

    instrument: str
    recipe: str
    night: Night
    sets: tuple[SetResult, ...]
    status: Mapping[str, tuple[str, str]]
    problems: tuple[Problem, ...] = ()
    options: Mapping[str, tuple[object, str]] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)
    command: str = ""
    is_part: bool = False
    images: Mapping[str, str] = field(default_factory=dict)
    of_several: tuple[str, ...] = ()

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        """Those of the run and those of its sets."""
        return (*self.problems, *(problem for result in self.sets for problem in result.problems))

    @property
    def by_frames(self) -> tuple[tuple[SetResult, ...], tuple[SetResult, ...]]:
        """The sets, those of the target with the most frames first; and apart, those that no status is about.

        Those are the sets of targets with few frames, and of focus, test and pointing frames, which come last.
        """
        found = incidental([result.observed for result in self.sets])
        aside = [target_key(result.observed) in found for result in self.sets]
        most: dict[str, int] = {}
        for result in self.sets:
            name = result.observed.target
            most[name] = max(most.get(name, 0), len(result.observed.frames))
        frames = [most[result.observed.target] for result in self.sets]
        limit = _FEW_FRAMES * max((n for n, off in zip(frames, aside, strict=True) if not off), default=0)
        order = sorted(range(len(frames)), key=lambda i: (aside[i], -frames[i]))  # stable
        main = tuple(self.sets[i] for i in order if frames[i] > limit and not aside[i])
        return main, tuple(self.sets[i] for i in order if frames[i] <= limit or aside[i])

    @property
    def exit_status(self) -> int:
        """0 success; 1 nothing could be reduced; 3 a requested or standard product is missing; 4 a result is doubtful.

        What befell targets with few frames, as tests, focus frames and misspelt names, changes nothing.
        """
        made = (result.series is not None or result.products or self.is_part for result in self.sets)
        if not any(made):
            return 1
        told = [problem for result in self.by_frames[0] for problem in result.problems]
        grades = {problem.grade for problem in (*self.problems, *told)}
        return 3 if Grade.MISSING in grades else 4 if Grade.DOUBTFUL in grades else 0
