"""Finds the target on the references."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from potpyri_like.errors import RegistrationError
from potpyri_like.frame import FrameInfo
from potpyri_like.instruments.colours import pixel_of_file
from potpyri_like.night import ObservationSet
from potpyri_like.photometry import SIGMA_STAR, combined_significance
from potpyri_like.primitives.fields import (
    COORDINATES,
    FILTER_MODE,
    FORCED,
    MASTERS,
    PLACE,
    PROBE,
    REFERENCE,
    REGISTRATION,
    TARGET,
)
from potpyri_like.primitives.place_by_probe import PlaceByProbe
from potpyri_like.primitives.place_by_sky import PlaceBySky
from potpyri_like.primitives.places import Search, agreed, target_spec
from potpyri_like.primitives.reference_match import ON_CHIP, ON_SKY, at, base_of, match_references, only
from potpyri_like.primitives.register import Register, sample_of
from potpyri_like.primitives.stage import FrameOutcome, TargetStage, Tools, Work
from potpyri_like.registration import Place, Probe
from potpyri_like.results import Choice, Grade, Problem, Reference
from potpyri_like.stages import FrameStage

__all__ = ["LocateTarget"]

log = logging.getLogger(__name__)
_SOLUTIONS = 5  # frames with a WCS that are asked together where the target is
_PROBED = 15  # frames that are looked at where no star was detected
_FEW_FRAMES = 5  # a pointing with fewer has no light curve anyway


@dataclass(frozen=True)
class LocateTarget(TargetStage):
    """Find the target in every set: by the pixel given in one camera, or by its coordinates and a WCS.

    Where it was named and cannot be found, it has no star: no other star takes its place.

    Attributes
    ----------
    calibration : tuple of FrameStage
        The stages before a frame is registered.
    """

    calibration: tuple[FrameStage, ...]
    reads = (
        FILTER_MODE,
        MASTERS,
        REFERENCE,
        COORDINATES,
    )
    gives = (
        TARGET,
        FORCED,
    )

    def __call__(self, works: tuple[Work, ...], tools: Tools) -> tuple[Work, ...]:
        spec = tools.options.target_xy
        if spec is None:
            return self.by_coordinates(works, tools)
        works = tuple(work.with_(named_by=f"--target-xy {spec}") for work in works)
        return self.by_pixel(works, tools, target_spec(spec)[1])

    # -- by a pixel ------------------------------------------------------------------------------------------

    def by_pixel(self, works: tuple[Work, ...], tools: Tools, xy: np.ndarray) -> tuple[Work, ...]:
        """The target from its pixel in one frame of one set, carried over to the others."""
        first = next((work for work in works if work.pixel_read_here), None)
        if first is None:
            return self.from_elsewhere(works, tools)
        name = first.named_by
        try:
            here = self.in_reference(first, tools, xy)
        except RegistrationError as error:
            return only(works, first, _unplaced(first, f"{name}: {error}"))
        log.info("%s: the target is at %.1f, %.1f in the reference", first.observed.name, *here)
        done = self.placed(first, tools, here, f"{name} in {first.observed.camera}", _reach_of_pixel(first))
        return self.carried_to_all(only(works, first, done), tools, done)

    def from_elsewhere(self, works: tuple[Work, ...], tools: Tools) -> tuple[Work, ...]:
        """The target where its pixel was not read off: the same star, where the same stars are seen."""
        base = base_of(works)
        there, name = base.elsewhere, base.named_by
        if there is None or there.reference is None:
            why = f"{name}: the frame to which the pixel refers could not be used, so the target's position is unknown"
            return only(works, base, _unplaced(base, why))
        small = all(len(work.observed.frames) < _FEW_FRAMES for work in works)
        try:
            if there.xy is None:
                raise RegistrationError(f"the target was not found in {there.name}")
            match = match_references(there, base)
        except RegistrationError:
            why = (
                f"{name} refers to {there.name}; this is another field, or its stars could not be matched:"
                f" give --target {base.observed.target!r} --target-xy X,Y for it"
            )
            grade = Grade.REMARK if small or there.xy is None else Grade.MISSING
            return only(works, base, _unplaced(base, why, grade))
        why = f"the same star as in {there.name}, by {len(match.pairs)} common stars"
        done = self.placed(base, tools, match.transform(there.xy[None])[0], why, _reach_of_pixel(base))
        return self.carried_to_all(only(works, base, done), tools, done)

    def in_reference(self, work: Work, tools: Tools, xy: np.ndarray) -> np.ndarray:
        """A pixel of the frame it was read off in, as a pixel of the reference."""
        info = _target_frame(work.observed, tools.options.target_frame)
        reference = work.setup.reference
        if reference is None:
            raise RegistrationError(f"{work.observed.name} has no reference")
        xy = pixel_of_file(info, xy)
        _check_inside(xy, reference.image.shape, f"the pixel given in {info.label}")
        if info == reference.info:
            return xy
        outcome = tools.run_frames([info], (*self.calibration, Register()), work.setup, what="")[0]
        if outcome.reason:
            raise RegistrationError(
                f"the target's pixel was given for {info.label}, which could not be matched ({outcome.reason});"
                " name another frame with --target-frame"
            )
        return outcome[REGISTRATION].transform.inverse()(xy[None])[0]

    # -- by coordinates --------------------------------------------------------------------------------------

    def by_coordinates(self, works: tuple[Work, ...], tools: Tools) -> tuple[Work, ...]:
        """The target at its coordinates: by a set's own WCS, else by that of another camera and the common stars."""
        searches = [self.search(work, tools) for work in works]
        if not any(search.has_wcs for search in searches):
            return _times_only(works)
        given = works[0].setup.coordinates_given
        words = f"--radec {tools.options.radec}" if given else "the coordinates in the headers"
        done = tuple(
            self.at_coordinates(work.with_(named_by=words), tools, search)
            for work, search in zip(works, searches, strict=True)
        )
        first = next((work for work in done if work.target_star is not None), None)
        if first is not None:
            bare = tuple(
                old if new.target_star is None else new for old, new in zip(works, done, strict=True)
            )
            return self.carried_to_all(tuple(work.with_(named_by=words) for work in bare), tools, first)
        if given:  # one sentence: the first that has a WCS says why
            teller = next(i for i, search in enumerate(searches) if search.has_wcs)
            return tuple(
                new if i == teller else old.with_(named_by=words)
                for i, (old, new) in enumerate(zip(works, done, strict=True))
            )
        return tuple(_not_at_header(old, new) for old, new in zip(works, done, strict=True))

    def at_coordinates(self, work: Work, tools: Tools, search: Search) -> Work:
        """The work on a set with the target where its WCS says."""
        where = work.setup[COORDINATES].to_string("hmsdms", precision=1)
        if search.xy is None:
            why = f"the target at {where} could not be placed: {search.why or 'no frame has a WCS'}"
            return _unplaced(work, f"{why}; give --target-xy")
        reach = max(ON_SKY / _scale_of(work), ON_CHIP)
        why = f"the target at {where} according to {search.why}"
        return self.placed(work, tools, search.xy, why, reach, faint=work.setup.coordinates_given)

    def search(self, work: Work, tools: Tools) -> Search:
        """Where the frames' WCS put the coordinates, in the reference."""
        if work.setup.coordinates is None or work.setup.reference is None:
            return Search()
        looks = tools.run_frames(work.observed.frames, (PlaceBySky(),), work.setup, what="")
        seen = [(look, look.get(PLACE) or Place()) for look in looks]
        known = [look for look, place in seen if place.xy is not None]
        if not known:
            doubts = [f"{look.info.label}: {place.doubt}" for look, place in seen if place.doubt]
            return Search(None, f"the WCS cannot be used ({doubts[0]})", True) if doubts else Search()
        places, failed = self.places(work, tools, known)
        if not len(places):
            why = f"none of the {len(known)} frames with a WCS could be matched to the reference ({failed})"
            return Search(None, why, True)
        return agreed(places, _scale_of(work), known[0].info.label)

    def places(self, work: Work, tools: Tools, known: list[FrameOutcome]) -> tuple[np.ndarray, str]:
        """The target's place in the reference by the first few of some frames that can be matched."""
        order = _spread(len(known))
        reference = work.setup[REFERENCE]
        found: list[np.ndarray] = []
        failed = ""
        for start in range(0, len(order), _SOLUTIONS):
            looks = [known[i] for i in order[start : start + _SOLUTIONS]]
            others = [look.info for look in looks if look.info != reference.info]
            matched = tools.run_frames(others, (*self.calibration, Register()), work.setup, what="")
            transforms = {o.info.label: o[REGISTRATION].transform for o in matched if not o.reason}
            failed = failed or next((o.reason for o in matched if o.reason), "")
            for look in looks:
                place = np.array(look[PLACE].xy)
                if look.info == reference.info:
                    found.append(place)
                elif look.info.label in transforms:
                    found.append(transforms[look.info.label].inverse()(place[None])[0])
            if found:
                break
        return np.array(found).reshape(-1, 2), failed

    # -- the star, or the place ------------------------------------------------------------------------------

    def placed(
        self, work: Work, tools: Tools, xy: np.ndarray, why: str, reach: float, *, faint: bool = True
    ) -> Work:
        """The work with the star at a place as its target, detected or not; or a problem where there is none.

        Parameters
        ----------
        reach : float, pixel
            How far a detected star may be.
        faint : bool
            A star that was not detected will do.
        """
        reference = work.setup[REFERENCE]
        star, distance = _nearest(reference, xy)
        near = "" if star is None else f"; the nearest is star {star}, {_distance_words(work, distance)} away"
        try:
            _check_inside(xy, reference.image.shape, "it")
        except RegistrationError as error:
            return _unplaced(work, f"{why}: {error}{near}")
        if star is not None and distance <= reach:
            return work.with_(
                target_xy=reference.xy[star],
                target_star=star,
                target_why=f"{why}; {distance:.1f} pixels from the star",
            )
        if not faint:
            return _unplaced(work, f"{why}: no star was detected there{near}")
        seen = self.significance(work, tools, xy)
        forced = not seen >= SIGMA_STAR
        if forced and not tools.options.forced:
            return _unplaced(
                work,
                f"{why}: no star there ({_sigma_words(seen)}){near}; correct the position, or give --forced"
                " for an upper limit",
            )
        words = "no star was detected there" if forced else "no star was detected there, but there is light"
        what = f"{why}; {words} ({_sigma_words(seen)}), so this position is measured"
        return work.with_(
            shared=work.shared.with_(forced=np.array([xy])),
            target_xy=xy,
            target_star=len(reference.xy),
            target_why=what + ("; upper limit (--forced)" if forced else ""),
            is_limit=forced,
        )

    def significance(self, work: Work, tools: Tools, xy: np.ndarray) -> float:
        """By how many standard deviations there is light at a place, in the reference or in several frames together."""
        reference = work.setup[REFERENCE]
        infos = [info for info in sample_of(work.observed.frames, _PROBED) if info != reference.info]
        probe = PlaceByProbe((float(xy[0]), float(xy[1])))
        stages = (*self.calibration, Register(), probe)
        outcomes = tools.run_frames([reference.info, *infos], stages, work.setup, what="")
        probes = [o.get(PROBE) or Probe(np.nan, np.nan) for o in outcomes]
        found = np.array([(probe.flux, probe.error) for probe in probes], float)
        alone, together = combined_significance(*found[:1].T), combined_significance(*found.T)
        return float(np.nanmax([alone, together])) if np.isfinite([alone, together]).any() else float("nan")

    def carried_to_all(self, works: tuple[Work, ...], tools: Tools, first: Work) -> tuple[Work, ...]:
        """The target's place in all sets that do not have it yet, by the stars that they share with the first."""
        if first.target_star is None:
            return works
        return tuple(
            work
            if work.target_star is not None or _is_same(work, first)
            else self.carried(work, tools, first)
            for work in works
        )

    def carried(self, work: Work, tools: Tools, first: Work) -> Work:
        """The target's place in another set."""
        assert first.target_xy is not None
        try:
            match = match_references(at(first), work)
        except RegistrationError as error:
            return _unplaced(
                work, f"the target could not be carried over from {first.observed.name}: {error}"
            )
        there = match.transform(first.target_xy[None])[0]
        why = f"the same star as in {first.observed.name}, by {len(match.pairs)} common stars"
        return self.placed(work, tools, there, why, _reach_of_pixel(work))


def _target_frame(observed: ObservationSet, name: str | None) -> FrameInfo:
    """The frame in which the target's pixel was read off."""
    if name is None:
        return observed.frames[0]
    for info in observed.frames:
        if name in (info.label, info.path.name, str(info.path)):
            return info
    raise RegistrationError(f"--target-frame {name} is not one of the frames of {observed.name}")


def _is_same(one: Work, other: Work) -> bool:
    """Whether two works are on the same set."""
    return one.observed.folder == other.observed.folder


def _unplaced(work: Work, why: str, grade: Grade = Grade.MISSING) -> Work:
    """The work on a set whose target was named and could not be placed."""
    found = work.found(problems=[Problem(work.observed.name, "target", why, grade)])
    return found.with_(target_xy=None, target_star=None, target_why=why)


def _times_only(works: tuple[Work, ...]) -> tuple[Work, ...]:
    """Works whose coordinates serve for the times alone, with a sentence where the observer gave them."""
    first = works[0]
    if not first.setup.coordinates_given:
        return works
    why = "no frame has a WCS, so --radec is used for times and airmass only; give --target-xy to identify the target"
    return only(works, first, first.found(choices=[Choice("target", "not named", why)]))


def _not_at_header(before: Work, after: Work) -> Work:
    """The work on a set at whose headers' coordinates no star was found: nobody named them."""
    return (
        before.found(choices=[Choice("target", "not named", after.target_why)])
        if after.target_why
        else before
    )


def _spread(count: int) -> list[int]:
    """All numbers below one, those first that are spread evenly over them."""
    first = np.unique(np.linspace(0, count - 1, min(count, _SOLUTIONS)).round().astype(int))
    return [*map(int, first), *(i for i in range(count) if i not in first)]


def _check_inside(xy: np.ndarray, shape: tuple[int, ...], what: str) -> None:
    """Raise a RegistrationError for a place outside an image."""
    rows, columns = shape
    if not (-0.5 <= xy[0] < columns - 0.5 and -0.5 <= xy[1] < rows - 0.5):
        raise RegistrationError(
            f"{what} falls at {xy[0]:.0f}, {xy[1]:.0f}, outside the frame of {columns} x {rows} pixels"
        )


def _scale_of(work: Work) -> float:
    """arcsec/pixel; 3 where it is not known, so that a pixel is as good as the sky."""
    scale = work.result.pixel_scale
    return scale if np.isfinite(scale) and scale > 0 else ON_SKY


def _reach_of_pixel(work: Work) -> float:
    """How far from a pixel that was read off by eye a star may be, pixels."""
    return max(5.0, 1.5 * work.setup[REFERENCE].fwhm)


def _distance_words(work: Work, distance: float) -> str:
    """A distance in the reference, on the sky and in pixels."""
    return f"{distance * _scale_of(work):.0f} arcsec ({distance:.1f} pixels)"


def _sigma_words(seen: float) -> str:
    """How much light there is."""
    return f"{seen:.1f} sigma" if np.isfinite(seen) else "its flux could not be measured"


def _nearest(reference: Reference, xy: np.ndarray) -> tuple[int | None, float]:
    """The star nearest to a place and its distance, pixels."""
    if not len(reference.xy):
        return None, float("inf")
    distance = np.hypot(*(reference.xy - xy).T)
    return int(np.argmin(distance)), float(distance.min())
