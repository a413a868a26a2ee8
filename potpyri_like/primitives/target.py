"""Which star is the target, in every camera."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS, NoConvergence

from potpyri_like.astrometry import Match, match_stars
from potpyri_like.errors import RegistrationError, UsageError
from potpyri_like.frame import Frame, FrameInfo
from potpyri_like.imaging import Pixels
from potpyri_like.instruments import camera_named, wcs_of, wcs_trouble
from potpyri_like.night import ObservationSet
from potpyri_like.photometry import SIGMA_STAR, combined_significance, forced_flux
from potpyri_like.primitives.fields import (
    CALIBRATED,
    CAMERA_MATCH,
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
from potpyri_like.primitives.register import Register, sample_of
from potpyri_like.primitives.stage import FrameOutcome, Located, Setup, TargetStage, Tools, Work
from potpyri_like.registration import Place, Probe
from potpyri_like.results import Choice, Grade, Problem, Reference
from potpyri_like.stages import FrameStage
from potpyri_like.store import read_header

__all__ = ["LocateTarget", "MatchCameras", "ProbePlace", "SkyPlace", "located", "pixel_set", "target_spec"]

log = logging.getLogger(__name__)

_SAME_SCALE, _SCALE_ERROR = (
    0.02,
    0.10,
)  # the ratio of declared pixel scales is trusted to this: of one camera, of two
_SCALE_WRONG = 0.25  # of two cameras, where their stars do not agree so: a declaration may be wrong
_ON_SKY, _ON_CHIP = 3.0, 1.0  # arcsec, pixel: how far a star may be from its coordinates; the larger counts
_SOLUTIONS = 5  # frames with a WCS that are asked together where the target is
_PROBED = 15  # frames that are looked at where no star was detected
_FEW_FRAMES = 5  # a pointing with fewer has no light curve anyway
_MAIN = 1 / 3  # of the frames of the largest pointing: as many has the one in which a pixel was read off


@dataclass(frozen=True)
class MatchCameras(TargetStage):
    """Match the stars of each set's reference to those of the first set of the same target."""

    reads = (REFERENCE,)
    gives = (CAMERA_MATCH,)

    def __call__(self, works: tuple[Work, ...], tools: Tools) -> tuple[Work, ...]:
        first = _base_of(works)
        return tuple(work if work is first else self.matched(work, first) for work in works)

    def matched(self, work: Work, first: Work) -> Work:
        """A set with its stars' counterparts in the first set."""
        try:
            match = _match_references(_at(first), work)
        except RegistrationError as error:
            what = f"{work.observed.name} and {first.observed.name}"
            why = f"their stars could not be matched: {error}"
            return work.found(problems=[Problem(what, "match cameras", why, Grade.REMARK)])
        same = {int(there): int(here) for here, there in match.pairs}
        log.info("%s: %d stars are those of %s", work.observed.name, len(same), first.observed.name)
        transform = match.transform
        why = (
            f"{len(same)} stars agree, scale {transform.scale:.4f}, rotation {transform.rotation:+.2f} deg,"
            f" rms {match.rms:.2f} pixel"
        )
        return work.found(
            same_as=same,
            same_as_set=first.observed.folder,
            choices=[Choice(f"stars matched to {first.observed.name}", f"{len(same)} stars", why)],
        )


@dataclass(frozen=True)
class SkyPlace(FrameStage):
    """Where the target's coordinates lie in a frame, by the frame's own WCS; only its header is read."""

    reads = (COORDINATES,)
    gives = (PLACE,)

    def __call__(self, info: FrameInfo, setup: Setup) -> Frame:
        instrument = setup.instrument
        header = read_header(info.path, inside=info.inside)
        layout = instrument.layout(header, camera_named(instrument, info.camera))
        wcs = wcs_of(instrument, header, layout)
        place, doubt = None, ""
        if wcs is not None and setup.coordinates is not None:
            place, doubt = _pixel_of(wcs, setup.coordinates)
        elif wcs is None:
            doubt = wcs_trouble(instrument, header, layout)
        nothing = np.zeros((1, 1), np.float32)
        frame = Frame(Pixels(nothing, nothing, nothing.astype(np.uint16)), info)
        return frame.after("its WCS looked at", place=Place(place, doubt))


@dataclass(frozen=True)
class ProbePlace(FrameStage):
    """The flux of a star at a place in the reference where none was detected, its neighbours subtracted.

    Attributes
    ----------
    xy : (float, float), pixel
    """

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
        return frame.after("a place looked at", probe=Probe(flux, error))


@dataclass(frozen=True)
class _Search:
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
            return _only(works, first, _unplaced(first, f"{name}: {error}"))
        log.info("%s: the target is at %.1f, %.1f in the reference", first.observed.name, *here)
        done = self.placed(first, tools, here, f"{name} in {first.observed.camera}", _reach_of_pixel(first))
        return self.carried_to_all(_only(works, first, done), tools, done)

    def from_elsewhere(self, works: tuple[Work, ...], tools: Tools) -> tuple[Work, ...]:
        """The target where its pixel was not read off: the same star, where the same stars are seen."""
        base = _base_of(works)
        there, name = base.elsewhere, base.named_by
        if there is None or there.reference is None:
            why = f"{name}: the frames in which it was read off could not be used, so the target's place is unknown"
            return _only(works, base, _unplaced(base, why))
        small = all(len(work.observed.frames) < _FEW_FRAMES for work in works)
        try:
            if there.xy is None:
                raise RegistrationError(f"no target was found in {there.name}")
            match = _match_references(there, base)
        except RegistrationError:
            why = (
                f"{name} was read off in {there.name}, and this is another field, or its stars are not"
                f" recognised; name its target with --target {base.observed.target!r} --target-xy X,Y"
            )
            grade = Grade.REMARK if small or there.xy is None else Grade.MISSING
            return _only(works, base, _unplaced(base, why, grade))
        why = f"the same star as in {there.name}, by {len(match.pairs)} common stars"
        done = self.placed(base, tools, match.transform(there.xy[None])[0], why, _reach_of_pixel(base))
        return self.carried_to_all(_only(works, base, done), tools, done)

    def in_reference(self, work: Work, tools: Tools, xy: np.ndarray) -> np.ndarray:
        """A pixel of the frame it was read off in, as a pixel of the reference."""
        info = _target_frame(work.observed, tools.options.target_frame)
        reference = work.setup.reference
        if reference is None:
            raise RegistrationError(f"{work.observed.name} has no reference")
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
        words = f"--radec {tools.options.radec}" if given else "the headers' coordinates"
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

    def at_coordinates(self, work: Work, tools: Tools, search: _Search) -> Work:
        """The work on a set with the target where its WCS says."""
        where = work.setup[COORDINATES].to_string("hmsdms", precision=1)
        if search.xy is None:
            why = f"the target at {where} could not be placed: {search.why or 'no frame has a WCS'}"
            return _unplaced(work, f"{why}; name it with --target-xy")
        reach = max(_ON_SKY / _scale_of(work), _ON_CHIP)
        why = f"the target at {where} by {search.why}"
        return self.placed(work, tools, search.xy, why, reach, faint=work.setup.coordinates_given)

    def search(self, work: Work, tools: Tools) -> _Search:
        """Where the frames' WCS put the coordinates, in the reference."""
        if work.setup.coordinates is None or work.setup.reference is None:
            return _Search()
        looks = tools.run_frames(work.observed.frames, (SkyPlace(),), work.setup, what="")
        seen = [(look, look.get(PLACE) or Place()) for look in looks]
        known = [look for look, place in seen if place.xy is not None]
        if not known:
            doubts = [f"{look.info.label}: {place.doubt}" for look, place in seen if place.doubt]
            return (
                _Search(None, f"a WCS is there and cannot be used ({doubts[0]})", True)
                if doubts
                else _Search()
            )
        places, failed = self.places(work, tools, known)
        if not len(places):
            why = f"none of the {len(known)} frames with a WCS could be matched to the reference ({failed})"
            return _Search(None, why, True)
        return _agreed(places, _scale_of(work), known[0].info.label)

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
                target_why=f"{why}; {distance:.1f} pixel from the star",
            )
        if not faint:
            return _unplaced(work, f"{why}: no star was detected there{near}")
        seen = self.significance(work, tools, xy)
        forced = not seen >= SIGMA_STAR
        if forced and not tools.options.forced:
            return _unplaced(
                work,
                f"{why}: no star is there ({_sigma_words(seen)}){near}; correct the place, or measure it all the same,"
                " as a limit, with --forced",
            )
        words = "no star is seen there" if forced else "no star was detected there, but light"
        what = f"{why}; {words} ({_sigma_words(seen)}), so that place is measured"
        return work.with_(
            shared=work.shared.with_(forced=np.array([xy])),
            target_xy=xy,
            target_star=len(reference.xy),
            target_why=what + ("; it is a limit, as --forced asks" if forced else ""),
            is_limit=forced,
        )

    def significance(self, work: Work, tools: Tools, xy: np.ndarray) -> float:
        """By how many standard deviations there is light at a place, in the reference or in several frames together."""
        reference = work.setup[REFERENCE]
        infos = [info for info in sample_of(work.observed.frames, _PROBED) if info != reference.info]
        probe = ProbePlace((float(xy[0]), float(xy[1])))
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
            match = _match_references(_at(first), work)
        except RegistrationError as error:
            return _unplaced(
                work, f"the target could not be carried over from {first.observed.name}: {error}"
            )
        there = match.transform(first.target_xy[None])[0]
        why = f"the same star as in {first.observed.name}, by {len(match.pairs)} common stars"
        return self.placed(work, tools, there, why, _reach_of_pixel(work))


# -- what the observer named ---------------------------------------------------------------------------------


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


def _target_frame(observed: ObservationSet, name: str | None) -> FrameInfo:
    """The frame in which the target's pixel was read off."""
    if name is None:
        return observed.frames[0]
    for info in observed.frames:
        if name in (info.label, info.path.name, str(info.path)):
            return info
    raise UsageError(f"--target-frame {name}: no science frame of {observed.name} has that name")


# -- what came of it -----------------------------------------------------------------------------------------


def located(works: Sequence[Work]) -> Located | None:
    """Where the target's pixel lies in the pointing in which it was read off; None if it was read off in another."""
    work = next((work for work in works if work.pixel_read_here), None)
    return None if work is None else _at(work)


def _at(work: Work) -> Located:
    """A set's target, for other sets."""
    return Located(
        work.observed.name,
        work.observed.camera,
        work.setup.reference,
        work.result.pixel_scale,
        work.target_xy,
    )


def _only(works: tuple[Work, ...], old: Work, new: Work) -> tuple[Work, ...]:
    """The works with another one in the place of one."""
    return tuple(new if work is old else work for work in works)


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
    why = "no frame has a WCS, so --radec gives times and airmass only; it names no star (give --target-xy)"
    return _only(works, first, first.found(choices=[Choice("target", "not named", why)]))


def _not_at_header(before: Work, after: Work) -> Work:
    """The work on a set at whose headers' coordinates no star was found: nobody named them."""
    return (
        before.found(choices=[Choice("target", "not named", after.target_why)])
        if after.target_why
        else before
    )


# -- small geometry ------------------------------------------------------------------------------------------


def _base_of(works: tuple[Work, ...]) -> Work:
    """The set that the others are matched to: the first with a reference."""
    return next((work for work in works if work.setup.reference is not None), works[0])


def _match_references(one: Located, other: Work) -> Match:
    """The stars of two references of the same field, at the ratio of the declared scales, mirrored or not.

    Raises
    ------
    RegistrationError
        They do not agree.
    """
    if one.camera == other.observed.camera:
        return _match_at_scale(one, other, _SAME_SCALE)
    try:
        return _match_at_scale(one, other, _SCALE_ERROR)
    except RegistrationError:
        return _match_at_scale(one, other, _SCALE_WRONG)


def _match_at_scale(one: Located, other: Work, error: float) -> Match:
    """The same, the ratio of the scales being known to a relative error."""
    a, b = one.reference, other.setup.reference
    if a is None or b is None:
        raise RegistrationError("one of them has no reference")
    ratio, same_camera = one.pixel_scale / other.result.pixel_scale, one.camera == other.observed.camera
    return match_stars(
        a.xy,
        b.xy,
        source_flux=a.flux,
        target_flux=b.flux,
        scale=(ratio * (1 - error), ratio * (1 + error)),
        allow_flip=not same_camera,
        tolerance=max(2.0, 0.4 * b.fwhm),
        affine=True,
    )


def _pixel_of(wcs: WCS, coordinates: SkyCoord) -> tuple[tuple[float, float] | None, str]:
    """Where coordinates lie in an image; None and the reason where its WCS does not say."""
    try:
        x, y = wcs.world_to_pixel(coordinates)
    except (NoConvergence, ValueError) as error:
        return None, f"its WCS cannot be inverted ({str(error).partition(chr(10))[0]})"
    if not np.isfinite([x, y]).all():
        return None, "by its WCS the coordinates are on the other side of the sky"
    return (float(x), float(y)), ""


def _spread(count: int) -> list[int]:
    """All numbers below one, those first that are spread evenly over them."""
    first = np.unique(np.linspace(0, count - 1, min(count, _SOLUTIONS)).round().astype(int))
    return [*map(int, first), *(i for i in range(count) if i not in first)]


def _agreed(places: np.ndarray, scale: float, label: str) -> _Search:
    """The place on which most of several frames' WCS agree."""
    reach = max(_ON_SKY / scale, _ON_CHIP)
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    near = apart <= reach
    best = int(np.argmax(near.sum(axis=1)))
    if 2 * near[best].sum() <= len(places) and len(places) > 1:
        why = f"the WCS of {len(places)} frames differ by up to {scale * apart.max():.0f} arcsec"
        return _Search(None, why, True)
    who = (
        f"the WCS of {label}"
        if len(places) == 1
        else f"the WCS of {near[best].sum()} of {len(places)} frames"
    )
    return _Search(np.median(places[near[best]], axis=0), who, True)


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
    return scale if np.isfinite(scale) and scale > 0 else _ON_SKY


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
