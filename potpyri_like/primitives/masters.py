"""Master bias, darks and flat of a set, each from the best rung of a ladder that the night allows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median_low
from typing import NamedTuple

import numpy as np
from astropy.io import fits

from potpyri_like.encoding import fingerprint
from potpyri_like.errors import CalibrationError, FrameError, UnavailableError
from potpyri_like.evenings import by_nearness, days_between
from potpyri_like.frame import Frame, FrameInfo, MaskBit
from potpyri_like.identity import instrument_identity
from potpyri_like.imaging import (
    Noise,
    Pixels,
    Sample,
    Subset,
    Transfer,
    calibrate,
    combine,
    dark_shares,
    group_exposures,
    near_exposure,
    noise_floor,
    normalise_flat,
    photon_transfer,
    sample_boxes,
    sample_frame,
    typical,
    weighted_sum,
)
from potpyri_like.instruments import Calibration
from potpyri_like.night import ObservationSet, dated, slug, with_folder
from potpyri_like.primitives.fields import FILTER_MODE, MASTERS, POISSON_FACTOR, READING
from potpyri_like.primitives.hot_pixels import HotPixels
from potpyri_like.primitives.odd_frames import judge
from potpyri_like.primitives.stage import SetStage, Setup, Tools, Work, exposure_of
from potpyri_like.primitives.trim import Trim
from potpyri_like.results import Candidate, Choice, Grade, Master, Masters, Problem
from potpyri_like.store import Output, Scratch, ascii_text

__all__ = ["MakeMasters", "dark_ladder"]

log = logging.getLogger(__name__)
_WITHOUT = {"bias": "not bias-subtracted", "dark": "not dark-subtracted", "flat": "not flat-fielded"}

_SATURATED_FLAT = 0.05  # part of saturated pixels above which a flat is rejected
_GAIN_KNOWN, _GAIN_MATTERS, _GAIN_RANGE = 0.03, 0.05, (0.2, 5.0)
_FAINT_FLAT = 200.0  # electron; below this a flat adds more noise than it removes


class _Made(NamedTuple):
    """A master, and what was found while it was made."""

    master: Master
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class MakeMasters(SetStage):
    """Combine the calibration frames of a set; sets that need the same master share it."""

    version = 2
    reads = (FILTER_MODE,)
    gives = (MASTERS,)

    def __call__(self, work: Work, tools: Tools) -> Work:
        mode = "none" if work.setup.filter_mode == "selective" else work.setup.filter_mode
        observed, wanted = work.observed, work.setup.instrument.calibration
        maker = _Maker(
            work.setup.with_(filter_mode=mode),
            tools,
            tools.common.setdefault("masters", {}),
            is_dated=observed.is_dated,
        )
        nightly = _Nightly(maker, observed)
        nights = {night: nightly.masters(night) for night in sorted({f.night for f in observed.frames})}
        masters = next(iter(nights.values()))
        if len(nights) > 1:
            masters = replace(masters, nights=nights)
        missing = _missing_masters(observed, wanted, masters) + _borrowed(nights, observed)
        return work.found(
            masters=masters,
            choices=_ladder_choices(masters, observed, maker.problems),
            problems=[*missing, *dict.fromkeys(maker.problems)],
        )


@dataclass(frozen=True)
class _Nightly:
    """The masters of each night, of each kind by itself: from its own frames, else from the nearest night's that serve.

    Darks and flats are calibrated as in their own night.
    """

    maker: _Maker
    observed: ObservationSet

    def masters(self, night: str) -> Masters:
        """The masters for the science frames of a night."""
        exposures = {exposure_of(f) for f in self.observed.frames if f.night == night}
        flats = by_nearness(self.observed.flats, night)
        made = (self.flat(own, frames) for own, frames in flats)
        flat = next((flat for flat in made if flat is not None), None)
        return Masters(bias=self.bias(night), darks=self.darks(night, exposures), flat=flat)

    def bias(self, night: str) -> Master | None:
        made = (self.maker.bias(frames) for _, frames in by_nearness(self.observed.biases, night))
        return next((bias for bias in made if bias is not None), None)

    def debiased(self, night: str) -> _Maker:
        """What makes masters of the darks and flats of a night."""
        return replace(self.maker, setup=self.maker.setup.with_(masters=Masters(bias=self.bias(night))))

    def darks(self, night: str, exposures: Iterable[float]) -> dict[float, Master]:
        """Master darks for a night; an exact one of another night comes before one that has to be scaled."""
        nights = by_nearness(self.observed.darks, night)
        found: dict[float, Master] = {}
        for group in group_exposures(exposures):
            exposure = median_low(group)
            nearest = sorted(
                nights, key=lambda group: not _has_exposure(group[1], exposure)
            )  # the order stays
            made = (self.debiased(own).darks(frames, {exposure}) for own, frames in nearest)
            found |= next((darks for darks in made if darks), {})
        return found

    def flat(self, night: str, frames: Sequence[FrameInfo]) -> Master | None:
        """The master flat of the flats of one night."""
        exposures = {exposure_of(f) for f in frames if np.isfinite(exposure_of(f))}
        return self.debiased(night).flat(frames, self.darks(night, exposures))


def _has_exposure(frames: Iterable[FrameInfo], exposure: float) -> bool:
    """Whether any of the frames has that exposure, s."""
    return any(near_exposure(exposure_of(f), exposure) for f in frames)


def _borrowed(nights: Mapping[str, Masters], observed: ObservationSet) -> list[Problem]:
    """A remark for each master that is made of frames of another night."""
    taken = {info.label: info for info in (*observed.biases, *observed.darks, *observed.flats)}
    found = []
    for night, masters in nights.items():
        for master in _night_masters(masters):
            others = {taken[label].night for label in master.inputs} - {night}
            if others and night:
                what = f"{observed.name}: {_master_words(master)}"
                words = " and ".join(_away(other, night) for other in sorted(others))
                why = f"there is none of the night of {night}; that of {words}, is used"
                found.append(Problem(what, "night", why, Grade.REMARK))
    return found


def _away(other: str, night: str) -> str:
    """A night, and how many days it is before or after another."""
    if not other:
        return "an unknown date"
    days = days_between(night, other)
    return f"{other}, {abs(days)} day{'s' * (abs(days) != 1)} {'after' if days > 0 else 'before'}"


def _master_words(master: Master) -> str:
    return f"dark of {master.exposure:g} s" if master.kind == "dark" else master.kind


@dataclass(frozen=True)
class _Maker:
    """Makes masters for one setup and writes them; remembers what it made."""

    setup: Setup
    tools: Tools
    made: dict[tuple, _Made]
    problems: list[Problem] = field(default_factory=list)
    is_dated: bool = False

    def bias(self, frames: Sequence[FrameInfo]) -> Master | None:
        """The master bias, from frames without the overscan or, where there is none, with the level in it."""
        raw = self.setup.with_(masters=Masters(bias=_PLACEHOLDER)) if frames else self.setup

        def read(info: FrameInfo) -> _Prepared:
            frame = self.trimmed(info, raw)
            return _Prepared(frame.pixels, 0.0, covariance=frame.covariance)

        return self.combined("bias", frames, 0.0, read, ())

    def darks(self, frames: Sequence[FrameInfo], wanted: Iterable[float]) -> dict[float, Master]:
        """A master dark for each exposure wanted, as far as the ladder reaches."""
        if not frames:
            return {}
        exact = self.exact_darks(frames)
        made = {}
        for exposure in sorted(wanted):
            dark = dark_ladder(exact, exposure, has_bias=self.setup.masters.bias is not None)
            if dark is not None:
                made[exposure] = dark if dark.product else self.written(dark, frames[0])
        return made

    def exact_darks(self, frames: Sequence[FrameInfo]) -> dict[float, Master]:
        """Master darks of the exposures that were taken, by their medians."""
        exposures = {exposure_of(frame) for frame in frames if np.isfinite(exposure_of(frame))}
        before = (self.setup.masters.bias,)
        masters = {}
        for group in group_exposures(exposures):
            exposure = median_low(exposure_of(frame) for frame in frames if exposure_of(frame) in group)
            some = [frame for frame in frames if exposure_of(frame) in group]
            masters[exposure] = self.combined("dark", some, exposure, self.debiased, before)
        return {exposure: master for exposure, master in masters.items() if master is not None}

    def flat(self, frames: Sequence[FrameInfo], of_flats: dict[float, Master]) -> Master | None:
        """The master flat: each frame without its dark, divided by its own level, then combined."""
        before = (self.setup.masters.bias, *of_flats.values())
        return self.combined("flat", frames, 0.0, lambda f: self.levelled(f, of_flats), before)

    def opened(self, info: FrameInfo, setup: Setup) -> Frame:
        frame = Trim()(info, setup)
        self.tools.read(info, frame[READING])
        return frame

    def trimmed(self, info: FrameInfo, setup: Setup) -> Frame:
        return HotPixels()(self.opened(info, setup), setup)

    def transfer(self, flats: Sequence[tuple[np.ndarray, float]]) -> Transfer:
        """What flats say of the gain: boxes of each, with the bias in them, and its variance before photons."""
        bias = self.setup.masters.bias
        level = sample_boxes(bias.pixels.data) if bias else np.zeros(1)
        variance = float(np.median([variance for _, variance in flats])) if flats else 0.0
        return photon_transfer([boxes - level for boxes, _ in flats], read_variance=variance)

    def debiased(self, info: FrameInfo) -> _Prepared:
        bias, frame = self.setup.masters.bias, self.trimmed(info, self.setup)
        photons = frame[POISSON_FACTOR]
        pixels = calibrate(frame.pixels, bias=bias.pixels if bias else None, poisson_factor=photons)
        return _Prepared(pixels, photons, level=typical(pixels.data), covariance=frame.covariance)

    def levelled(self, info: FrameInfo, darks: Mapping[float, Master]) -> _Prepared:
        """One flat, relative to its own level.

        Raises
        ------
        FrameError
            It is saturated, or too faint to be of use, or lies below the bias.
        """
        bias, dark = self.setup.masters.bias, Masters(darks=darks).dark_of(exposure_of(info))
        raw = self.opened(info, self.setup)
        filtered = HotPixels()(raw, self.setup)
        photons = filtered[POISSON_FACTOR]
        pixels = calibrate(
            filtered.pixels,
            bias=bias.pixels if bias else None,
            dark=dark.pixels if dark else None,
            poisson_factor=photons,
        )
        full = np.count_nonzero(pixels.mask & MaskBit.SATURATED) / pixels.mask.size
        if full > _SATURATED_FLAT:
            raise FrameError(f"{info.label}: a flat with {full:.0%} of its pixels saturated; it is rejected")
        try:
            flat, level = normalise_flat(pixels)
        except CalibrationError as error:
            raise FrameError(
                f"{info.label}: {error}; taken with the cap on, or calibrated already; it is rejected"
            ) from error
        if level < _FAINT_FLAT:
            raise FrameError(
                f"{info.label}: a flat with only {level:.0f} electrons per pixel; it is rejected"
            )
        before = sample_boxes(raw.data), typical(raw.variance)
        return _Prepared(flat, photons / level, before, level, filtered.covariance)

    def combined(
        self,
        kind: str,
        frames: Sequence[FrameInfo],
        exposure: float,
        read: Callable[[FrameInfo], _Prepared],
        before: Sequence[Master | None],
    ) -> Master | None:
        """One master of the frames; None where none can be used.

        Parameters
        ----------
        kind : str
        frames : sequence of FrameInfo
        exposure : float
            s
        read : callable
            Gives a frame as it is combined.
        before : sequence of Master or None
            What `read` takes out of each frame.
        """
        if not frames:
            return None
        key = (kind, self.setup.filter_mode, self.is_dated, tuple(sorted((f.path, f.plane) for f in frames)))
        if key in self.made:
            self.problems.extend(self.made[key].problems)
            return self.made[key].master
        found = len(self.problems)
        name = self.free_name(kind, exposure, frames[0])
        master = self.recalled(name, kind, frames, exposure, before)
        if master is None:
            master = self.stacked(kind, frames, exposure, read)
            if master is None:
                return None
            master = self.written(master, frames[0])
            told = [(p.what, p.stage, p.why, str(p.grade)) for p in self.problems[found:]]
            memo = list(master.inputs), told, master.photons
            self.tools.keep(name, self.key(kind, frames, before), memo)
        self.made[key] = _Made(master, tuple(self.problems[found:]))
        return master

    def key(self, kind: str, frames: Sequence[FrameInfo], before: Sequence[Master | None]) -> str:
        """What a master depends on."""
        setup = self.setup
        instrument = instrument_identity(type(setup.instrument)), setup.instrument.calibration
        exposures = [exposure_of(frame) for frame in frames]
        shared = MakeMasters().made_by, instrument, kind, setup.filter_mode, setup.masters.bias is not None
        return fingerprint(
            *shared, list(before), [f.label for f in frames], exposures, self.tools.raw(frames)
        )

    def recalled(
        self,
        name: str,
        kind: str,
        frames: Sequence[FrameInfo],
        exposure: float,
        before: Sequence[Master | None],
    ) -> Master | None:
        """The master that an earlier run made of the same frames, where it stands."""
        memo = self.tools.recall(name, partial(self.key, kind, frames, before))
        if memo is None:
            return None
        inputs, told, photons = memo
        self.problems.extend(Problem(what, stage, why, Grade(grade)) for what, stage, why, grade in told)
        output = self.tools.output
        log.info("master %s of %d frames, from before", kind, len(inputs))
        return Master(
            kind,
            _read_pixels(output, name),
            exposure,
            "exact",
            tuple(inputs),
            name,
            output.sha256(name),
            photons,
        )

    def stacked(
        self,
        kind: str,
        frames: Sequence[FrameInfo],
        exposure: float,
        read: Callable[[FrameInfo], _Prepared],
    ) -> Master | None:
        """The frames, one after the other onto the disk, and from there those that belong together combined."""
        with _Pile(self.tools.output) as pile:
            for info in frames:
                try:
                    pile.add(info, self.read_twice(info, read))
                except FrameError as error:
                    self.reject(info.label, kind, str(error))
            chosen = self.chosen(kind, pile)
            if not chosen:
                return None
            pixels = pile.combined(chosen, self.setup.instrument.calibration.combine, read)
        photons = 1.0
        if kind == "flat":
            pixels, _ = normalise_flat(pixels)
            photons = _believable(self.transfer(pile.transfers(chosen)))
        used = tuple(pile.infos[i].label for i in chosen)
        log.info("master %s of %d frames", kind, len(used))
        return Master(kind, pixels, exposure, "exact", used, photons=photons)

    def chosen(self, kind: str, pile: _Pile) -> list[int]:
        """The frames that belong together; the others are rejected, each with its reason."""
        levels = [prepared.level for prepared in pile.prepared]
        found = judge(kind, pile.samples, levels, has_bias=self.setup.masters.bias is not None)
        for index, why in sorted(found.rejected.items()):
            label = pile.infos[index].label
            self.reject(label, kind, f"{label}: {why}; it is rejected")
        self.problems.extend(
            Problem(f"master {kind}", "masters", why, Grade.DOUBTFUL) for why in found.doubts
        )
        return [index for index in range(len(pile.infos)) if index not in found.rejected]

    def reject(self, label: str, kind: str, why: str) -> None:
        log.warning("%s", why)
        self.problems.append(Problem(label, f"master {kind}", with_folder(label, why), Grade.REMARK))

    def read_twice(self, info: FrameInfo, read: Callable[[FrameInfo], _Prepared]) -> _Prepared:
        """A frame as it is combined; circumstances get a second chance, and what they spoil is not remembered."""
        try:
            return read(info)
        except UnavailableError:
            try:
                return read(info)
            except UnavailableError:
                self.tools.unsettle()
                raise

    def free_name(self, kind: str, exposure: float, first: FrameInfo) -> str:
        """The name of a product that no other master of this run has."""
        name = dated(_master_name(kind, exposure, first), first.night if self.is_dated else "")
        taken = {made.master.product for made in self.made.values()}
        return next(_numbered(name, n) for n in range(1, 1000) if _numbered(name, n) not in taken)

    def written(self, master: Master, first: FrameInfo) -> Master:
        """The same master as its product has it, which holds the error and not its square."""
        name = self.free_name(master.kind, master.exposure, first)
        error = np.sqrt(master.pixels.variance)
        self.tools.output.write_fits(name, _master_hdus(master, error, first, self.setup.filter_mode))
        pixels = master.pixels._replace(variance=error * error)
        return replace(master, pixels=pixels, product=name, digest=self.tools.output.sha256(name))


def _believable(found: Transfer) -> float:
    """The factor of the photons' variance, where it is well known and far enough from 1 to matter; else 1."""
    sure = found.error < _GAIN_KNOWN * found.factor and _GAIN_RANGE[0] < found.factor < _GAIN_RANGE[1]
    return round(found.factor, 4) if sure and abs(found.factor - 1) > _GAIN_MATTERS else 1.0


def _read_pixels(output: Output, name: str) -> Pixels:
    """The pixels of a master that was written."""
    data, mask, error = output.read_images(name)
    return Pixels(data, error * error, mask)


_NOTHING = Pixels(*(np.zeros((0, 0)),) * 3)
_PLACEHOLDER = Master("bias", _NOTHING, 0.0, "", ())  # says: leave the level in


class _Prepared(NamedTuple):
    """A calibration frame as it is combined.

    Attributes
    ----------
    pixels : Pixels
    per_level : float
        The variance of photons over the level, in the unit of the pixels.
    transfer : (ndarray, float) or None
        Of a flat: boxes of it with the bias in them, and its variance before photons.
    level : float, electron
    covariance : float
        See `Frame.covariance`.
    """

    pixels: Pixels
    per_level: float
    transfer: tuple[np.ndarray, float] | None = None
    level: float = 0.0
    covariance: float = 1.0


@dataclass
class _Pile:
    """Frames waiting on disk to be combined, and what is compared of them."""

    output: Output
    infos: list[FrameInfo] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    prepared: list[_Prepared] = field(default_factory=list)  # without their pixels
    floors: list[float] = field(default_factory=list)
    scratch: Scratch | None = None

    def __enter__(self) -> _Pile:
        return self

    def __exit__(self, *error: object) -> None:
        if self.scratch is not None:
            self.scratch.__exit__()

    def add(self, info: FrameInfo, frame: _Prepared) -> None:
        """One frame more.

        Raises
        ------
        PixelError
            Its shape is not that of the others.
        """
        data, variance, mask = frame.pixels
        good = np.where(mask & (MaskBit.BAD | MaskBit.SATURATED), np.float32(np.nan), data)
        self.scratch = self.scratch or Scratch(data.shape, self.output)
        self.scratch.append(good)
        self.infos.append(info)
        self.samples.append(sample_frame(good, frame.covariance * typical(variance)))
        self.floors.append(noise_floor(frame.pixels, frame.per_level))
        self.prepared.append(frame._replace(pixels=_NOTHING))

    def combined(self, chosen: Sequence[int], method: str, read: Callable[[FrameInfo], _Prepared]) -> Pixels:
        """Some frames combined; a single one is itself, read again."""
        assert self.scratch is not None
        if len(chosen) == 1:
            return read(self.infos[chosen[0]]).pixels
        floors = np.array([self.floors[i] for i in chosen])
        noise = Noise(floors, np.array([self.prepared[i].per_level for i in chosen]))
        return _combine_frames(Subset(self.scratch, chosen), method, noise)

    def transfers(self, chosen: Sequence[int]) -> list[tuple[np.ndarray, float]]:
        """What the chosen flats say of the gain."""
        found = (self.prepared[i].transfer for i in chosen)
        return [each for each in found if each is not None]


def _combine_frames(frames: Subset, method: str, noise: Noise) -> Pixels:
    """Combined pixels, with a mask where no frame had a value."""
    combined = combine(frames, method=method, noise=noise)
    empty = ~np.isfinite(combined.value) | ~np.isfinite(combined.variance)
    return Pixels(
        np.where(empty, 0, combined.value).astype(np.float32),
        np.where(empty, 0, combined.variance).astype(np.float32),
        np.where(empty, np.uint16(MaskBit.BAD), np.uint16(0)),
    )


def dark_ladder(exact: dict[float, Master], exposure: float, *, has_bias: bool) -> Master | None:
    """The dark of an exposure: exact, interpolated, scaled, or none.

    Parameters
    ----------
    exact : dict of float to Master
        Darks of the exposures that were taken, seconds; without the bias where there is one.
    exposure : float
        s
    has_bias : bool
        Whether they are without the bias: only then can one of them be scaled.
    """
    made = dark_shares(list(exact), exposure, has_bias=has_bias)
    if made is None:
        return None
    used = [exact[t] for t in made.shares]
    if made.method == "exact":
        return used[0]
    pixels = weighted_sum({t: exact[t].pixels for t in made.shares}, made.shares)
    method = f"{made.method} from {', '.join(f'{t:g} s' for t in made.shares)}"
    return Master("dark", pixels, exposure, method, tuple(i for dark in used for i in dark.inputs))


def _missing_masters(observed: ObservationSet, wanted: Calibration, masters: Masters) -> list[Problem]:
    """What a night should have and has not, and what was taken and does not serve."""
    why = {}
    for kind, frames, got in (
        ("bias", observed.biases, masters.bias),
        ("dark", observed.darks, masters.darks),
        ("flat", observed.flats, masters.flat),
    ):
        if not got and frames:
            why[kind] = f"none of the {len(frames)} {kind} frames is usable: {_WITHOUT[kind]}"
        elif not got:
            why[kind] = f"no matching {kind} frames: {_WITHOUT[kind]}"
    if observed.darks and (without := _exposures_without(observed, masters)):
        taken = ", ".join(f"{t:g} s" for t in sorted({exposure_of(f) for f in observed.darks}))
        why["dark"] = f"no dark of {without} can be made from those of {taken}: {_WITHOUT['dark']}"
    normal = {"bias": wanted.bias, "dark": wanted.dark, "flat": wanted.flat}
    return [
        Problem(f"{observed.name}: {kind}", "masters", reason) for kind, reason in why.items() if normal[kind]
    ]


def _exposures_without(observed: ObservationSet, masters: Masters) -> str:
    """The exposures of the science frames that have no dark; "" where all have one."""
    without = {
        exposure_of(frame)
        for frame in observed.frames
        if masters.of_night(frame.night).dark_of(exposure_of(frame)) is None
    }
    return ", ".join(f"{t:g} s" for t in sorted(without))


def _ladder_choices(
    masters: Masters, observed: ObservationSet, problems: Sequence[Problem] = ()
) -> list[Choice]:
    """Which rung each master stands on and what else there was, for the report."""
    taken = {"bias": observed.biases, "dark": observed.darks, "flat": observed.flats}
    made = {id(m): m for night in masters.nights.values() or [masters] for m in _night_masters(night)}
    left_out = {problem.what: problem.why for problem in problems}
    gain = [_gain_choice(m) for m in made.values() if m.kind == "flat" and m.photons != 1]
    return gain + [
        Choice(
            _master_words(m),
            m.rung,
            _frames_in_words(m, taken[m.kind], left_out),
            tuple(_calibration_candidate(m, frame, left_out, taken[m.kind]) for frame in taken[m.kind]),
        )
        for m in made.values()
    ]


def _night_masters(masters: Masters) -> list[Master]:
    """The masters of one night."""
    return [m for m in (masters.bias, *masters.darks.values(), masters.flat) if m is not None]


def _frames_in_words(master: Master, taken: Sequence[FrameInfo], left_out: Mapping[str, str]) -> str:
    """How many frames a master is made of, of which exposures, and how many were rejected."""
    used = [exposure_of(frame) for frame in taken if frame.label in master.inputs]
    words = f"{len(master.inputs)} frames"
    if master.rung != "exact":
        words = f"no dark of {master.exposure:g} s was taken; {words}"
    elif master.kind == "dark" and used and min(used) < max(used):
        words += f" of {min(used):g} to {max(used):g} s"
    rejected = sum(frame.label in left_out for frame in taken)
    return f"{words}; {rejected} rejected" if rejected else words


def _gain_choice(flat: Master) -> Choice:
    """That the errors follow the flats and not the declared gain."""
    return Choice(
        "gain",
        f"{1 / flat.photons:.3g} of the declared one, in the errors",
        f"{len(flat.inputs)} flats differ from one another by {flat.photons:.2f} times the variance that photons"
        " have by the declared gain; fluxes stay in electrons by that gain",
    )


def _calibration_candidate(
    master: Master, frame: FrameInfo, left_out: Mapping[str, str], taken: Sequence[FrameInfo]
) -> Candidate:
    """A calibration frame that could have gone into a master, and why it did not."""
    exposure, nights = exposure_of(frame), {other.night for other in taken if other.label in master.inputs}
    why = f"it is one of {exposure:g} s"
    if frame.night not in nights:
        why = f"it is of the night of {frame.night}" if frame.night else "it is of no known night"
    lost = "" if frame.label in master.inputs else left_out.get(frame.label, why)
    return Candidate(frame.label, f"{exposure:g} s", lost)


def _master_name(kind: str, exposure: float, first: FrameInfo) -> str:
    """master_{kind}_{camera}_{band?}_{exposure?}_{binning}.fits"""
    parts = ["master", kind, first.camera]
    if kind == "flat" and first.band:
        parts.append(first.band)
    if kind == "dark":
        parts.append(f"{exposure:g}s")
    parts.append(f"{first.binning[0]}x{first.binning[1]}")
    return f"cals/{slug('_'.join(parts))}.fits"


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else name.replace(".fits", f"_{number}.fits")


def _master_hdus(master: Master, error: np.ndarray, first: FrameInfo, filter_mode: str) -> fits.HDUList:
    """SCI, MASK and ERR of a master, and what it was made of."""
    header = fits.Header()
    header["OBJECT"] = f"master {master.kind}"
    header["CAMERA"] = (ascii_text(first.camera), "camera")
    header["BAND"] = (ascii_text(first.band), "band, of a flat")
    header["BINNING"] = f"{first.binning[0]}x{first.binning[1]}"
    header["EXPTIME"] = (master.exposure, "[s]")
    header["BUNIT"] = "electron" if master.kind != "flat" else ""
    header["RUNG"] = (master.rung, "how it was obtained")
    header["FILTER3"] = (filter_mode, "3x3 filter of the frames")
    header["NCOMBINE"] = (len(master.inputs), "frames combined")
    for name in master.inputs:
        header.add_history(ascii_text(name))
    return fits.HDUList(
        [
            fits.PrimaryHDU(master.pixels.data, header),
            fits.ImageHDU(master.pixels.mask, name="MASK"),
            fits.ImageHDU(error, name="ERR"),
        ]
    )
