"""Makes the master bias, darks and flat of an observation, each by the best method that the night allows."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median_low

import astropy.units as u
import numpy as np

from potpyri_like.frame import FrameInfo
from potpyri_like.imaging import Pedestal, group_exposures
from potpyri_like.instruments import Calibration
from potpyri_like.night import ObservationSet, slug
from potpyri_like.night.evenings import by_nearness, night_in_words
from potpyri_like.options import Options
from potpyri_like.primitives.borrowed_masters import Borrower, Shelf, shelf_in, shelf_of_user
from potpyri_like.primitives.dark_ladder import has_exposure
from potpyri_like.primitives.doubtful_masters import contradictions
from potpyri_like.primitives.fields import FILTER_MODE, MASTERS
from potpyri_like.primitives.master_maker import Maker
from potpyri_like.primitives.stage import SetStage, Setup, Tools, Work, exposure_of
from potpyri_like.primitives.undeclared_pedestal import pedestal_in_words, undeclared_pedestal
from potpyri_like.results import Candidate, Choice, Grade, Master, Masters, Problem
from potpyri_like.store.library import library_path

__all__ = ["SHELVES", "MakeMasters"]

log = logging.getLogger(__name__)

SHELVES = "shelves"  # what stages keep in common for a run: folders of masters
_GAIN_DOUBTED = 1.4  # times the declared gain
_WITHOUT = {"bias": "not bias-subtracted", "dark": "not dark-subtracted", "flat": "not flat-fielded"}


@dataclass(frozen=True)
class MakeMasters(SetStage):
    """Combine the calibration frames of a set; sets that need the same master share it."""

    version = 4
    reads = (FILTER_MODE,)
    gives = (MASTERS,)

    def __call__(self, work: Work, tools: Tools) -> Work:
        mode = "none" if work.setup.filter_mode == "selective" else work.setup.filter_mode
        observed, wanted = _as_asked(work.observed, work.setup.instrument.calibration, tools.options)
        maker = Maker(
            work.setup.with_(filter_mode=mode),
            tools,
            self.made_by,
            tools.common.setdefault("masters", {}),
            is_dated=observed.is_dated,
            science=observed.frames,
        )
        lenders = {k: Borrower(maker, s, observed.frames) for k, s in _shelves(work.setup, tools).items()}
        nightly = _Nightly(maker, observed, lenders.get("given"), lenders.get("library"), wanted)
        pedestals, said = _pedestals(nightly, tools.options.pedestal)
        in_flats = {night: found.level for night, found in pedestals.items()}
        nightly = replace(nightly, in_flats=in_flats if tools.options.pedestal == "auto" else {})
        nights = {
            night: replace(nightly.masters(night), pedestal=in_flats.get(night, 0.0))
            for night in sorted({f.night for f in observed.frames})
        }
        masters = next(iter(nights.values()))
        if len(nights) > 1:
            masters = replace(masters, nights=nights)
        missing = _missing_masters(observed, wanted, masters) + _borrowed(nights, observed)
        for night, own in nights.items():
            missing += contradictions(maker, own, [f for f in observed.frames if f.night == night])
        missing += [*_wrong_gains(masters, observed), *said]
        return work.found(
            masters=masters,
            choices=_ladder_choices(masters, observed, maker.problems),
            problems=[*missing, *dict.fromkeys(maker.problems)],
        )


@dataclass(frozen=True)
class _Wanted:
    """Which masters are missed where there are none, and which are not to be used."""

    bias: bool
    dark: bool
    flat: bool
    without: tuple[str, ...]


@dataclass(frozen=True)
class _Nightly:
    """The masters of each night, of each kind by itself: from its own frames, else from the nearest night's that serve.

    Darks and flats are calibrated as in their own night.
    """

    maker: Maker
    observed: ObservationSet
    given: Borrower | None
    library: Borrower | None
    wanted: _Wanted
    in_flats: Mapping[str, float] = field(default_factory=dict)  # levels without light to subtract, by night

    def masters(self, night: str) -> Masters:
        """The masters for the science frames of a night."""
        exposures = {exposure_of(f) for f in self.observed.frames if f.night == night}
        flats = by_nearness(self.observed.flats, night)
        flat = self.first(
            "flat",
            night,
            (self.flat(own, frames) for own, frames in flats),
            bias=self.bias(night),
        )
        return Masters(bias=self.bias(night), darks=self.darks(night, exposures), flat=flat)

    def bias(self, night: str) -> Master | None:
        nights = by_nearness(self.observed.biases, night)
        return self.first("bias", night, (self.maker.bias(frames) for _, frames in nights))

    def first(
        self, kind: str, night: str, own: Iterable[Master | None], bias: Master | None = None
    ) -> Master | None:
        """A master of the folder that was named, else the first of the night's own, else one of the library."""
        if kind in self.wanted.without:
            return None
        given = None if self.given is None else self.given.borrow(kind, night, bias=bias)
        made = given or next((master for master in own if master is not None), None)
        return made or (None if self.library is None else self.library.borrow(kind, night, bias=bias))

    def debiased(self, night: str) -> Maker:
        """What makes masters of the darks and flats of a night."""
        masters = Masters(bias=self.bias(night), pedestal=self.in_flats.get(night, 0.0))
        return replace(self.maker, setup=self.maker.setup.with_(masters=masters))

    def darks(self, night: str, exposures: Iterable[float]) -> dict[float, Master]:
        """Master darks for a night; an exact one of another night comes before one that has to be scaled."""
        if "dark" in self.wanted.without:
            return {}
        nights = by_nearness(self.observed.darks, night)
        found: dict[float, Master] = {}
        for group in group_exposures(exposures):
            exposure = median_low(group)
            nearest = sorted(
                nights, key=lambda group: not has_exposure(group[1], exposure)
            )  # the order stays
            made = (self.debiased(own).darks(frames, {exposure}) for own, frames in nearest)
            found |= (
                self.lent(self.given, night, exposure)
                or next((darks for darks in made if darks), {})
                or self.lent(self.library, night, exposure)
            )
        return found

    def lent(self, lender: Borrower | None, night: str, exposure: float) -> dict[float, Master]:
        """A dark of another night's, by its exposure; none where none serves."""
        dark = None if lender is None else lender.borrow("dark", night, exposure, self.bias(night))
        return {} if dark is None else {exposure: dark}

    def flat(self, night: str, frames: Sequence[FrameInfo]) -> Master | None:
        """The master flat of the flats of one night."""
        exposures = {exposure_of(f) for f in frames if np.isfinite(exposure_of(f))}
        return self.debiased(night).flat(frames, self.darks(night, exposures))


def _as_asked(
    observed: ObservationSet, wanted: Calibration, options: Options
) -> tuple[ObservationSet, _Wanted]:
    """The calibration frames to be used, and what is missed where it is not there."""
    without = tuple(kind for kind in ("dark", "flat") if getattr(options, f"no_{kind}"))
    unfit = {kind: words for kind, words in observed.unfit.items() if kind not in without}
    changes = {f"{kind}s": () for kind in without}
    missed = _Wanted(
        wanted.bias, wanted.dark and not options.no_dark, wanted.flat and not options.no_flat, without
    )
    return replace(observed, unfit=unfit, **changes), missed  # type: ignore[arg-type]


def _pedestals(nightly: _Nightly, asked: str | None) -> tuple[dict[str, Pedestal], list[Problem]]:
    """The levels without light that nobody declared, by night, and what is to be said of them."""
    observed, found, said = nightly.observed, {}, []
    for night in sorted({f.night for f in observed.frames}) if asked != "none" else ():
        frames = [frame for frame in observed.frames if frame.night == night]
        level = None if nightly.bias(night) is not None else undeclared_pedestal(nightly.maker, frames)
        if level is not None:
            found[night] = level
            said.append(pedestal_in_words(observed.name, level, in_flat=asked == "auto"))
    return found, said


def _shelves(setup: Setup, tools: Tools) -> dict[str, Shelf]:
    """The folder of masters that the user named, and the user's library, where there are any."""
    known: dict[str, Shelf] = tools.common.setdefault(SHELVES, {})
    tolerance = float(setup.instrument.calibration.temperature_tolerance.to_value(u.K))
    if tools.options.masters is not None and "given" not in known:
        known["given"] = shelf_in(Path(tools.options.masters), tolerance, log.warning)
    if "library" not in known:
        known["library"] = shelf_of_user(library_path(slug(setup.instrument.name)), tolerance)
    return known


def _borrowed(nights: Mapping[str, Masters], observed: ObservationSet) -> list[Problem]:
    """A remark for each master that is made of frames of another night."""
    taken = {info.label: info for info in (*observed.biases, *observed.darks, *observed.flats)}
    found = []
    for night, masters in nights.items():
        for master in _night_masters(masters):
            others = {taken[label].night for label in master.inputs} - {night}
            if others and night:
                what = f"{observed.name}: {master.words}"
                words = " and ".join(night_in_words(other, night) for other in sorted(others))
                why = f"none was taken on the night of {night}; the one from {words} is used instead"
                found.append(Problem(what, "night", why, Grade.REMARK))
    return found


def _missing_masters(observed: ObservationSet, wanted: _Wanted, masters: Masters) -> list[Problem]:
    """What a night should have and has not, and what was taken and does not serve."""
    why = {}
    for kind, frames, got in (
        ("bias", observed.biases, masters.bias),
        ("dark", observed.darks, masters.darks),
        ("flat", observed.flats, masters.flat),
    ):
        if not got and frames:
            why[kind] = f"none of the {len(frames)} {kind} frames is usable: {_WITHOUT[kind]}"
        elif not got and kind in observed.unfit:
            why[kind] = f"the only {kind} frames were taken {observed.unfit[kind]}: {_WITHOUT[kind]}"
        elif not got:
            why[kind] = f"no matching {kind} frames: {_WITHOUT[kind]}"
    if observed.darks and (without := _exposures_without(observed, masters)):
        taken = ", ".join(f"{t:g} s" for t in sorted({exposure_of(f) for f in observed.darks}))
        why["dark"] = f"no dark of {without} can be made from those of {taken}: {_WITHOUT['dark']}"
    normal = {"bias": wanted.bias, "dark": wanted.dark, "flat": wanted.flat}
    found = [
        Problem(f"{observed.name}: {kind}", "masters", reason)
        for kind, reason in why.items()
        if normal[kind] or kind in observed.unfit
    ]
    return found + [
        Problem(
            f"{observed.name}: {kind}",
            "masters",
            f"some frames were taken {words}: they are not used",
            Grade.REMARK,
        )
        for kind, words in observed.unfit.items()
        if kind not in why and kind != "flat"
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
    gain = [_gain_choice(m) for m in _with_other_gain(masters)]
    return gain + [
        Choice(
            m.words,
            m.rung,
            _frames_in_words(m, taken[m.kind], left_out),
            tuple(_calibration_candidate(m, frame, left_out, taken[m.kind]) for frame in taken[m.kind]),
        )
        for m in made.values()
    ]


def _with_other_gain(masters: Masters) -> list[Master]:
    """The flats that show another gain than the declared one."""
    made = {id(m): m for night in masters.nights.values() or [masters] for m in _night_masters(night)}
    return [m for m in made.values() if m.kind == "flat" and m.photons != 1]


def _wrong_gains(masters: Masters, observed: ObservationSet) -> list[Problem]:
    """A doubt where the flats show a gain so far from the declared one that fluxes in electrons mean little."""
    return [
        Problem(
            f"{observed.name}: gain",
            "masters",
            f"the scatter of {len(flat.inputs)} flats shows {1 / flat.photons:.2g} times the declared gain; errors"
            " use the gain from the flats, fluxes the declared gain: correct the declaration",
            Grade.DOUBTFUL,
        )
        for flat in _with_other_gain(masters)
        if not 1 / _GAIN_DOUBTED < flat.photons < _GAIN_DOUBTED
    ]


def _night_masters(masters: Masters) -> list[Master]:
    """The masters of one night."""
    return [m for m in (masters.bias, *masters.darks.values(), masters.flat) if m is not None]


def _frames_in_words(master: Master, taken: Sequence[FrameInfo], left_out: Mapping[str, str]) -> str:
    """How many frames a master is made of, of which exposures, and how many were rejected."""
    used = [exposure_of(frame) for frame in taken if frame.label in master.inputs]
    words = f"{len(master.inputs)} frames"
    if master.source:
        own = f"; none of the {len(taken)} frames of the night is used" if taken else ""
        return f"from {master.source}{own}"
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
        f"{1 / flat.photons:.3g} of the declared gain, in the errors",
        f"{len(flat.inputs)} flats differ from one another by {flat.photons:.2f} times the variance of their photons"
        " at the declared gain; fluxes stay in electrons of the declared gain",
    )


def _calibration_candidate(
    master: Master, frame: FrameInfo, left_out: Mapping[str, str], taken: Sequence[FrameInfo]
) -> Candidate:
    """A calibration frame that could have gone into a master, and why it did not."""
    exposure, nights = exposure_of(frame), {other.night for other in taken if other.label in master.inputs}
    why = f"it is one of {exposure:g} s"
    if frame.night not in nights:
        why = f"it is of the night of {frame.night}" if frame.night else "its night is not known"
    lost = "" if frame.label in master.inputs else left_out.get(frame.label, why)
    return Candidate(frame.label, f"{exposure:g} s", lost)
