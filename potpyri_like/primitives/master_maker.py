"""How one master is made: its frames read, judged and combined."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median_low
from typing import NamedTuple

import numpy as np
from astropy.io import fits

from potpyri_like.encoding import fingerprint
from potpyri_like.errors import CalibrationError, FrameError, UnavailableError
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
    group_exposures,
    noise_floor,
    normalise_flat,
    photon_transfer,
    sample_boxes,
    sample_frame,
    scatter_ratio,
    typical,
)
from potpyri_like.instruments import Keyword, camera_named
from potpyri_like.instruments.cameras import parts_of
from potpyri_like.night import band_slug, dated, slug, with_folder
from potpyri_like.night.amplifiers import mode_in_words
from potpyri_like.primitives.dark_ladder import dark_ladder
from potpyri_like.primitives.fields import LEVELS, POISSON_FACTOR, READING
from potpyri_like.primitives.filter_pixels import FilterPixels
from potpyri_like.primitives.odd_frames import judge
from potpyri_like.primitives.stage import Setup, Tools, exposure_of
from potpyri_like.primitives.trim import Trim
from potpyri_like.results import Grade, Level, Master, Masters, Problem
from potpyri_like.store import Output, Scratch, ascii_text, read_header

__all__ = ["Maker", "some_of"]

log = logging.getLogger(__name__)
_SATURATED_FLAT = 0.05  # part of saturated pixels above which a flat is rejected
_GAIN_KNOWN, _GAIN_MATTERS, _GAIN_RANGE = 0.03, 0.05, (0.2, 5.0)
_WORTH_WEIGHTS = 1.05  # variance of the mean of all flats over that of their weighted mean
_SHORT = 40  # characters of a card beside which there is room for a comment
_NOISIER = 1.5  # times the declared read noise
_HALF, _DARK_PART = (
    0.5,
    0.3,
)  # of a flat's level, and of its pixels; a round field of view leaves 0.21 of a square dark
_FAINT_FLAT = 200.0  # electron; below this a flat adds more noise than it removes


class _Made(NamedTuple):
    """A master, and what was found while it was made."""

    master: Master
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Maker:
    """Makes masters for one setup and writes them; remembers what it made."""

    setup: Setup
    tools: Tools
    made_by: Mapping[str, object]
    made: dict[tuple, _Made]
    problems: list[Problem] = field(default_factory=list)
    is_dated: bool = False
    science: tuple[FrameInfo, ...] = ()

    def bias(self, frames: Sequence[FrameInfo]) -> Master | None:
        """The master bias, from frames without the overscan or, where there is none, with the level in it."""

        usual: list[tuple[bool, ...] | None] = []

        def read(info: FrameInfo) -> _Prepared:
            frame = self.with_level(info, has_bias=True)
            levels: tuple[Level, ...] = frame[LEVELS]
            if not usual:  # headers are read again where frames are, and not for a master from before
                usual.append(self.usual_overscans(frames))
            if usual[0] is not None and _overscans_in(levels) != usual[0]:
                raise FrameError(
                    f"{info.label}: it has no overscan although the other bias frames have one, or vice versa; it is"
                    " rejected"
                )
            return _Prepared(frame.pixels, 0.0, covariance=frame.covariance, levels=levels)

        return self.combined("bias", frames, 0.0, read, ())

    def usual_overscans(self, frames: Sequence[FrameInfo]) -> tuple[bool, ...] | None:
        """Which amplifiers have an overscan in most of some frames; None where all have what is declared."""
        parts = parts_of(camera_named(self.setup.instrument, frames[0].camera))
        if not any(isinstance(part.overscan_section, Keyword) for part in parts):
            return None
        found: list[tuple[bool, ...]] = []
        for info in frames:
            with suppress(FrameError):
                header = read_header(info.path, inside=info.inside)
                camera = camera_named(self.setup.instrument, info.camera)
                layout = self.setup.instrument.layout(header, camera)
                found.append(tuple(readout.overscan is not None for readout in layout.readouts))
        return max(set(found), key=lambda one: (found.count(one), sum(one)), default=None)

    def darks(self, frames: Sequence[FrameInfo], wanted: Iterable[float]) -> dict[float, Master]:
        """A master dark for each exposure wanted, as far as the ladder reaches."""
        if not frames:
            return {}
        exact = self.exact_darks(frames)
        made = {}
        for exposure in sorted(wanted):
            dark = dark_ladder(exact, exposure, bias=self.setup.masters.bias)
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
        return FilterPixels()(self.opened(info, setup), setup)

    def transfer(self, flats: Sequence[tuple[np.ndarray, float]]) -> Transfer:
        """What flats say of the gain: boxes of each, with the bias in them, and its variance before photons."""
        bias = self.setup.masters.bias
        level = sample_boxes(bias.pixels.data) if bias else np.zeros(1)
        variance = float(np.median([variance for _, variance in flats])) if flats else 0.0
        return photon_transfer([boxes - level for boxes, _ in flats], read_variance=variance)

    def debiased(self, info: FrameInfo) -> _Prepared:
        bias, frame = self.setup.masters.bias, self.trimmed(info, self.setup)
        photons = frame[POISSON_FACTOR]
        pixels = calibrate(
            frame.pixels, bias=bias.pixels if bias else None, bias_left=0.0, poisson_factor=photons
        )
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
        filtered = FilterPixels()(raw, self.setup)
        photons, bias_left = filtered[POISSON_FACTOR], 1 - dark.bias_share if dark else 1.0
        pixels = calibrate(
            filtered.pixels,
            bias=bias.pixels if bias else None,
            bias_left=bias_left,
            dark=dark.pixels if dark else None,
            poisson_factor=photons,
            pedestal=self.setup.masters.pedestal,
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
        parts = [] if bias is None else [(bias.pixels.variance, bias_left / level)]
        parts += [] if dark is None else [(dark.pixels.variance, 1 / level)]
        return _Prepared(flat, photons / level, before, level, filtered.covariance, tuple(parts))

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
        key = (
            kind,
            self.setup.filter_mode,
            self.is_dated,
            tuple(sorted((f.path, f.plane, f.cut) for f in frames)),
        )
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
            memo = list(master.inputs), told, master.photons, [tuple(level) for level in master.levels]
            self.tools.keep(name, self.key(kind, frames, before), memo)
        self.made[key] = _Made(master, tuple(self.problems[found:]))
        return master

    def key(self, kind: str, frames: Sequence[FrameInfo], before: Sequence[Master | None]) -> str:
        """What a master depends on."""
        setup = self.setup
        instrument = instrument_identity(type(setup.instrument)), setup.instrument.calibration
        exposures = [exposure_of(frame) for frame in frames]
        shared = self.made_by, instrument, kind, setup.filter_mode, setup.masters.bias is not None
        level = [setup.masters.pedestal] if setup.masters.pedestal else []
        return fingerprint(
            *shared,
            *level,
            list(before),
            [(f.label, f.cut) for f in frames],
            exposures,
            self.tools.raw(frames),
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
        inputs, told, photons, levels = memo
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
            self.bias_share(kind),
            levels=tuple(Level(*level) for level in levels),
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
            pixels = pile.combined(kind, chosen, self.setup.instrument.calibration.combine, read)
        photons = 1.0
        if kind == "bias":
            self.doubt(kind, _noise_in_words([pile.samples[i] for i in chosen]))
        if kind == "flat":
            pixels, _ = normalise_flat(pixels)
            self.doubt(kind, _dark_part_in_words(pixels))
            photons = _believable(self.transfer(pile.transfers(chosen)))
        used = tuple(pile.infos[i].label for i in chosen)
        log.info("master %s of %d frames", kind, len(used))
        return Master(
            kind,
            pixels,
            exposure,
            "exact",
            used,
            photons=photons,
            bias_share=self.bias_share(kind),
            levels=_mean_levels([pile.prepared[i].levels for i in chosen]),
        )

    def bias_share(self, kind: str) -> float:
        """How often the bias was subtracted from a master."""
        return 1.0 if kind == "dark" and self.setup.masters.bias is not None else 0.0

    def chosen(self, kind: str, pile: _Pile) -> list[int]:
        """The frames that belong together; the others are rejected, each with its reason."""
        levels = [prepared.level for prepared in pile.prepared]
        found = judge(
            kind,
            pile.samples,
            levels,
            has_bias=self.setup.masters.bias is not None,
            names=[info.label for info in pile.infos],
            sky=self.sky,
        )
        for index, why in sorted(found.rejected.items()):
            label = pile.infos[index].label
            self.reject(label, kind, f"{label}: {why}; it is rejected")
        for why in found.doubts:
            self.doubt(kind, why)
        return [index for index in range(len(pile.infos)) if index not in found.rejected]

    def recalled_copy(self, name: str, key: str) -> Master | None:
        """The copy of another night's master that this run or an earlier one made, where it stands."""
        known = ("copy", key)
        if known in self.made:
            self.problems.extend(self.made[known].problems)
            return self.made[known].master
        memo = self.tools.recall_copy(name, key)
        if memo is None:
            return None
        kind, exposure, rung, photons, source, told = memo
        problems = [Problem(what, stage, why, Grade(grade)) for what, stage, why, grade in told]
        pixels, digest = _read_pixels(self.tools.output, name), self.tools.output.sha256(name)
        master = Master(kind, pixels, exposure, rung, (), name, digest, photons, source=source)
        self.made[known] = _Made(master, tuple(problems))
        self.problems.extend(problems)
        return master

    def kept_copy(self, master: Master, key: str, problems: Sequence[Problem]) -> Master:
        """The master; its copy, which was written, is used again until everything is done anew."""
        told = [(p.what, p.stage, p.why, str(p.grade)) for p in problems]
        memo = master.kind, master.exposure, master.rung, master.photons, master.source, told
        self.tools.keep(master.product, key, memo)
        self.made["copy", key] = _Made(master, tuple(problems))
        self.problems.extend(problems)
        return master

    def shape_of(self, frames: Sequence[FrameInfo]) -> tuple[int, ...] | None:
        """Rows and columns of science frames once they are trimmed; None where none can be read."""
        for info in some_of(frames):
            with suppress(FrameError):
                return tuple(self.with_level(info, has_bias=True).data.shape)
        return None

    def with_level(self, info: FrameInfo, *, has_bias: bool, levels: Sequence[Level] = ()) -> Frame:
        """A frame with the bias's level in it, where there is a bias; else as the declared pedestal leaves it.

        Parameters
        ----------
        info : FrameInfo
        has_bias : bool
        levels : sequence of Level
            Those of the bias from which they are compared with it.
        """
        bias = replace(_PLACEHOLDER, levels=tuple(levels)) if has_bias else None
        return self.trimmed(info, self.setup.with_(masters=Masters(bias=bias)))

    def sky(self) -> Sample | None:
        """What science frames have in common on large scales, without bias; None where none can be read."""
        bias, seen = self.setup.masters.bias, []
        for info in some_of(self.science):
            with suppress(FrameError):
                frame = self.trimmed(info, self.setup)
                seen.append(frame.data - (bias.pixels.data if bias else 0))
        if not seen or len({image.shape for image in seen}) > 1:
            return None
        return sample_frame(np.mean(seen, axis=0), 1.0)

    def doubt(self, kind: str, why: str) -> None:
        """Say what makes a master doubtful, if anything does."""
        if why:
            self.problems.append(Problem(f"master {kind}", "masters", why, Grade.DOUBTFUL))

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


def some_of(infos: Sequence[FrameInfo]) -> list[FrameInfo]:
    """The first, the middle and the last of some frames."""
    return [infos[i] for i in sorted({0, len(infos) // 2, len(infos) - 1})] if infos else []


def _noise_in_words(biases: Sequence[Sample]) -> str:
    """That biases scatter by more than their declared read noise; "" where they do not."""
    ratio = scatter_ratio(biases)
    if not ratio > _NOISIER:
        return ""
    declared = float(np.sqrt(np.median([sample.variance for sample in biases])))
    return (
        f"the pixels of {len(biases)} bias frames scatter by {ratio * declared:.2g} electrons, whereas a read noise of"
        f" {declared:.2g} electrons is declared: errors of faint stars are too small; correct the read noise or the"
        " gain in the instrument's declaration"
    )


def _dark_part_in_words(flat: Pixels) -> str:
    """That a large part of a flat has little light; "" where it has not."""
    part = float(np.mean(flat.data[flat.mask == 0] < _HALF)) if np.any(flat.mask == 0) else 0.0
    if not part > _DARK_PART:
        return ""
    return (
        f"{part:.0%} of its pixels have less than one half of its mean light, and are not used: a shutter or a mirror"
        " was in the way, or the flat frames are of another filter; look at them, and set the status of the wrong ones"
        " to 'leave out' in night.ecsv"
    )


def _believable(found: Transfer) -> float:
    """The factor of the photons' variance, where it is well known and far enough from 1 to matter; else 1."""
    sure = found.error < _GAIN_KNOWN * found.factor and _GAIN_RANGE[0] < found.factor < _GAIN_RANGE[1]
    return round(found.factor, 4) if sure and abs(found.factor - 1) > _GAIN_MATTERS else 1.0


def _read_pixels(output: Output, name: str) -> Pixels:
    """The pixels of a master that was written."""
    data, mask, error = output.read_images(name)
    return Pixels(data, error * error, mask)


def _overscans_in(levels: Sequence[Level]) -> tuple[bool, ...]:
    """Which amplifiers of a frame have an overscan."""
    return tuple(not np.isnan(level.adu) for level in levels)


def _mean_levels(frames: Sequence[tuple[Level, ...]]) -> tuple[Level, ...]:
    """The levels of each amplifier in some frames: their means, and their scatter where there are several."""
    found = []
    for same in zip(*frames, strict=True):
        adu = [level.adu for level in same]
        error = float(np.std(adu, ddof=1)) if len(same) > 1 else same[0].error
        found.append(same[0]._replace(adu=float(np.mean(adu)), error=0.0 if np.isnan(error) else error))
    return tuple(found)


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
    subtracted : tuple of (ndarray, float)
        The variances of the masters that were subtracted from it, which other frames share, and what multiplies each
        master in the frame as it is combined.
    levels : tuple of Level
        Of a bias frame.
    """

    pixels: Pixels
    per_level: float
    transfer: tuple[np.ndarray, float] | None = None
    level: float = 0.0
    covariance: float = 1.0
    subtracted: tuple[tuple[np.ndarray, float], ...] = ()
    levels: tuple[Level, ...] = ()


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

    def combined(
        self, kind: str, chosen: Sequence[int], method: str, read: Callable[[FrameInfo], _Prepared]
    ) -> Pixels:
        """Some frames combined; a single one is itself, read again."""
        assert self.scratch is not None
        if len(chosen) == 1:
            return read(self.infos[chosen[0]]).pixels
        floors = np.array([self.floors[i] for i in chosen])
        noise = Noise(floors, np.array([self.prepared[i].per_level for i in chosen]))
        weights = 1 / noise.expected(np.ones(1))[:, 0] if kind == "flat" else np.ones(len(chosen))
        weighted = kind == "flat" and method == "clipped mean" and _gain_of_weights(weights) > _WORTH_WEIGHTS
        pixels = _combine_frames(Subset(self.scratch, chosen), method, noise, weighted=weighted)
        shares = weights / weights.sum() if weighted else np.full(len(chosen), 1 / len(chosen))
        common = self.shared_variance(chosen, shares)
        return pixels if common is None else pixels._replace(variance=pixels.variance + common)

    def shared_variance(self, chosen: Sequence[int], shares: np.ndarray) -> np.ndarray | None:
        """What the masters subtracted from several frames add to the variance of their mean; their scatter lacks it."""
        parts: dict[int, tuple[np.ndarray, float]] = {}
        for index, share in zip(chosen, shares, strict=True):
            for variance, times in self.prepared[index].subtracted:
                _, sum_ = parts.get(id(variance), (variance, 0.0))
                parts[id(variance)] = variance, sum_ + float(share) * times
        terms = [np.float32(times**2) * variance for variance, times in parts.values() if times]
        return np.asarray(np.sum(terms, axis=0)) if terms else None

    def transfers(self, chosen: Sequence[int]) -> list[tuple[np.ndarray, float]]:
        """What the chosen flats say of the gain."""
        found = (self.prepared[i].transfer for i in chosen)
        return [each for each in found if each is not None]


def _gain_of_weights(weights: np.ndarray) -> float:
    """The variance of the plain mean over that of the weighted one."""
    return float(np.mean(1 / weights) * np.mean(weights))


def _combine_frames(frames: Subset, method: str, noise: Noise, *, weighted: bool) -> Pixels:
    """Combined pixels, with a mask where no frame had a value."""
    combined = combine(frames, method=method, noise=noise, weighted=weighted)
    empty = ~np.isfinite(combined.value) | ~np.isfinite(combined.variance)
    return Pixels(
        np.where(empty, 0, combined.value).astype(np.float32),
        np.where(empty, 0, combined.variance).astype(np.float32),
        np.where(empty, np.uint16(MaskBit.BAD), np.uint16(0)),
    )


def _master_name(kind: str, exposure: float, first: FrameInfo) -> str:
    """master_{kind}_{camera}_{band?}_{exposure?}_{binning}.fits"""
    parts = ["master", kind, slug(first.camera)]
    if kind == "flat" and first.band:
        parts.append(band_slug(first.band))
    elif first.colour:
        parts.append(first.colour)
    if kind == "dark":
        parts.append(f"{exposure:g}s")
    parts.append(f"{first.binning[0]}x{first.binning[1]}")
    if first.cut is not None:
        x, y, columns, rows = first.cut
        parts.append(f"window_{x}_{y}_{columns}x{rows}")
    return f"cals/{'_'.join(parts)}.fits"


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else name.replace(".fits", f"_{number}.fits")


def _text_card(text: str, comment: str) -> str | tuple[str, str]:
    """Return a text for a card, with a comment where both fit into one."""
    plain = ascii_text(text)
    return (plain, comment) if len(plain) + len(comment) <= _SHORT else plain


def _master_hdus(master: Master, error: np.ndarray, first: FrameInfo, filter_mode: str) -> fits.HDUList:
    """SCI, MASK and ERR of a master, and what it was made of."""
    header = fits.Header()
    header["OBJECT"] = f"master {master.kind}"
    header["CAMERA"] = _text_card(first.camera, "camera")
    header["BAND"] = _text_card(first.band, "band, of a flat")
    header["BINNING"] = f"{first.binning[0]}x{first.binning[1]}"
    header["EXPTIME"] = (master.exposure, "[s]")
    header["BUNIT"] = "electron" if master.kind != "flat" else ""
    header["RUNG"] = _text_card(master.rung, "how it was obtained")
    header["FILTER3"] = (filter_mode, "3x3 filter of the frames")
    header["NCOMBINE"] = (len(master.inputs), "frames combined")
    header["NIGHT"] = (first.night, "date of the evening")
    header["READOUT"] = _text_card(mode_in_words(first), "read-out mode")
    header["GAINSET"] = _text_card(first.gain_setting, "gain setting of the camera")
    header["OFFSET"] = _text_card(first.offset, "offset of the camera")
    if first.temperature is not None:
        header["DETTEMP"] = (first.temperature, "[deg C] of the detector")
    header["BIASPART"] = (master.bias_share, "how often the master bias was subtracted")
    header["PHOTONS"] = (master.photons, "variance of photons over the declared one")
    if master.source:
        header["SOURCE"] = ascii_text(master.source)  # where it was taken from
    for name in master.inputs:
        header.add_history(ascii_text(name))
    return fits.HDUList(
        [
            fits.PrimaryHDU(master.pixels.data, header),
            fits.ImageHDU(master.pixels.mask, name="MASK"),
            fits.ImageHDU(error, name="ERR"),
        ]
    )
