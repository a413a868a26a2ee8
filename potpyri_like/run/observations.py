"""Which observations of a night are reduced, and which targets they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from astropy.coordinates import SkyCoord

from potpyri_like.errors import NightError, UsageError
from potpyri_like.instruments import pixel_scale
from potpyri_like.lightcurves import named_metric
from potpyri_like.night import Night, ObservationSet
from potpyri_like.night.incidental import incidental, target_key
from potpyri_like.options import Options
from potpyri_like.primitives import Setup, Work
from potpyri_like.primitives.places import pixel_set, target_spec
from potpyri_like.results import Choice, SetResult
from potpyri_like.run.recipe import recipe_of
from potpyri_like.run.report import first_reasons

__all__ = ["by_target", "check_options", "parse_radec", "start", "wanted_sets", "with_their_radec"]

_FAR = 1.0  # degrees from where the telescope looked: --radec is that of another target
_FILTERED = {
    "median": "on science frames, darks and flats",
    "selective": "on science frames only, after subtracting the dark",
    "none": "not applied",
}


def check_options(night: Night, options: Options) -> None:
    """Raise a UsageError for an option that names what the night does not have, before anything is written."""
    science = [frame for observed in night.sets() for frame in observed.frames]
    if options.metric is not None:
        named_metric(options.metric)
    if options.target is not None and science:
        wanted_sets(night, options)
    if options.target_xy is not None and science:
        camera, _ = target_spec(options.target_xy)
        known = {name.casefold() for frame in science for name in (frame.camera, frame.band)}
        if camera and camera.casefold() not in known:
            names = ", ".join(sorted({frame.camera for frame in science}))
            raise UsageError(
                f"--target-xy {options.target_xy}: no frames of a camera {camera}; there are {names}"
            )
        sets = wanted_sets(night, options)
        if pixel_set(_targets_of(night, sets), options.target_xy, options.target_frame) is None:
            raise UsageError(
                f"--target-frame {options.target_frame}: no science frame"
                f"{f' of {camera}' if camera else ''} has that name"
            )


def wanted_sets(night: Night, options: Options) -> tuple[ObservationSet, ...]:
    """The sets to reduce.

    Raises
    ------
    NightError
        There is none; the message says what there is instead.
    """
    sets = night.sets(joined=recipe_of(night.instrument, options).joins_nights)
    if not sets:
        kinds = Counter(str(info.kind) for info in night.frames)
        found = ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "no usable frame"
        raise NightError(f"{night.root}: no science frames; there are {found}{first_reasons(night)}")
    if options.target is None:
        return sets
    wanted = tuple(s for s in sets if options.target.casefold() in s.target.casefold())
    if not wanted:
        names = ", ".join(dict.fromkeys(s.target for s in sets))
        raise UsageError(f"--target {options.target}: no such target; there are {names}")
    return wanted


def _targets_of(night: Night, sets: Sequence[ObservationSet]) -> list[tuple[ObservationSet, ...]]:
    """The sets of each target of each night, in the order of the instrument's cameras; incidental targets last."""
    order, aside = [camera.name for camera in night.instrument.cameras], incidental(sets)

    def name(observed: ObservationSet) -> tuple[bool, tuple[str, str]]:
        return target_key(observed) in aside, target_key(observed)

    alike = groupby(sorted(sets, key=name), key=name)
    return [tuple(sorted(group, key=lambda s: (order.index(s.camera), s.folder))) for _, group in alike]


def by_target(night: Night, sets: Sequence[ObservationSet], options: Options) -> list[tuple[Work, ...]]:
    """The work on each target of each night, its sets in the order of the instrument's cameras."""
    groups = _targets_of(night, sets)
    spec = options.target_xy
    own = None if spec is None else pixel_set(groups, spec, options.target_frame)
    return [
        tuple(start(night, s, for_them).with_(pixel_read_here=s is own) for s in group)
        for group, for_them in zip(groups, with_their_radec(groups, options), strict=True)
    ]


def with_their_radec(groups: Sequence[Sequence[ObservationSet]], options: Options) -> list[Options]:
    """The options for each target: --radec is that of the nearest only, where headers say that others are far."""
    if options.radec is None:
        return [options] * len(groups)
    target = parse_radec(options.radec)
    apart = []
    for group in groups:
        known = [info.pointing for observed in group for info in observed.frames if info.pointing is not None]
        apart.append(float(known[len(known) // 2].separation(target).deg) if known else 0.0)
    there_is_one = min(apart, default=0.0) <= _FAR
    return [replace(options, radec=None) if there_is_one and far > _FAR else options for far in apart]


def start(night: Night, observed: ObservationSet, options: Options) -> Work:
    """The work on one set, before its first stage."""
    instrument = night.instrument
    mode = options.filter_ or instrument.pixel_filter.for_frames(observed.exposure, observed.binning)
    coordinates, why = _target_coordinates(observed, options)
    setup = Setup(
        instrument,
        filter_mode=mode,
        coordinates=coordinates,
        coordinates_why=why,
        coordinates_given=options.radec is not None,
    )
    asked = (
        "given with --filter"
        if options.filter_
        else f"{instrument.name}'s rule for {observed.exposure:g} exposures binned"
        f" {observed.binning[0]}x{observed.binning[1]}"
    )
    result = SetResult(
        observed,
        pixel_scale=pixel_scale(instrument, observed.frames[0]),
        choices=(Choice("3x3 filter", mode, f"{asked}; {_FILTERED[mode]}"),),
    )
    return Work(observed, setup, result)


def _target_coordinates(observed: ObservationSet, options: Options) -> tuple[SkyCoord | None, str]:
    """Where the target is, ICRS, and where that is known from."""
    if options.radec is not None:
        return parse_radec(options.radec), "the coordinates given with --radec"
    known = [info.pointing for info in observed.frames if info.pointing is not None]
    if not known:
        return None, ""
    middle = known[len(known) // 2]
    where = middle.to_string("hmsdms", precision=0)
    return (
        middle,
        f"the headers' pointing, {where}, which may be off the target by arcminutes: up to 0.1 s for each arcminute",
    )


def parse_radec(text: str) -> SkyCoord:
    """Coordinates in degrees or sexagesimal (hours, degrees).

    Raises
    ------
    UsageError
        They are neither.
    """
    words = text.replace(",", " ").split()
    try:
        if len(words) == 2 and not any(":" in w or "h" in w for w in words):
            return SkyCoord(float(words[0]), float(words[1]), unit="deg")
        return SkyCoord(" ".join(words), unit=("hourangle", "deg"))
    except ValueError as error:
        raise UsageError(
            f"--radec {text!r}: give 'HH:MM:SS.S +DD:MM:SS' or degrees, 'RA DEC' ({error})"
        ) from error
