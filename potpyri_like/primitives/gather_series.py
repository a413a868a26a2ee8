"""Gathers what was measured on single frames into series of every star."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from astropy.time import Time

from potpyri_like.astrometry import airmass, bjd_tdb, jd_utc
from potpyri_like.errors import RegistrationError
from potpyri_like.instruments import site_of
from potpyri_like.photometry import Series, scintillation
from potpyri_like.photometry.psf import Profile
from potpyri_like.primitives.fields import (
    COORDINATES,
    FORCED,
    MEASUREMENT,
    PIXEL_NOISE,
    REFERENCE,
    REGISTRATION,
    SERIES,
)
from potpyri_like.primitives.measure import Measure, annulus_of, radii_of, sizes_of
from potpyri_like.primitives.points import with_flags, without_mistaken
from potpyri_like.primitives.stage import FrameOutcome, SetStage, Setup, Tools, Work, exposure_of
from potpyri_like.results import Problem, Reference
from potpyri_like.stages import Input

__all__ = ["GatherSeries", "series_of"]


@dataclass(frozen=True)
class GatherSeries(SetStage):
    """Put the measurements of all frames together, in order of time.

    Attributes
    ----------
    measured : Measure
        The stage that measured them.
    """

    measured: Measure
    reads = (
        Input(MEASUREMENT, many=True),
        Input(REGISTRATION, many=True),
        Input(PIXEL_NOISE, many=True),
        REFERENCE,
        Input(FORCED, required=False),
        COORDINATES,
    )
    gives = (SERIES,)

    def __call__(self, work: Work, tools: Tools) -> Work:
        reference = work.setup[REFERENCE]
        usable = [outcome for outcome in work.outcomes if not outcome.rejected]
        if not any("measurement" in outcome.results for outcome in usable):
            causes = "; ".join(list(dict.fromkeys(o.reason for o in work.outcomes if o.reason))[:3])
            raise RegistrationError(f"{work.observed.name}: no frame could be measured ({causes})")
        problems = []
        if work.setup.coordinates is None:
            why = "no valid coordinates in the headers: times are JD_UTC; give --radec 'RA DEC' for BJD_TDB"
            told = (note for info in work.observed.frames for note in info.notes)
            reason = next((note for note in told if note.startswith("coordinates:")), "")
            why += f" ({reason})" * bool(reason)
            problems.append(Problem(work.observed.name, "time", why))
        return work.found(series=series_of(usable, work.setup, reference, self.measured), problems=problems)


def series_of(outcomes: Sequence[FrameOutcome], setup: Setup, reference: Reference, stage: Measure) -> Series:
    """The series of some frames that were registered and measured, or tell why not."""
    times = Time([o.info.mid_time for o in outcomes])
    site, coordinates = site_of(setup.instrument, outcomes[0].info.camera), setup.coordinates
    radii_fwhm = sizes_of(stage, reference)
    stars, grid = len(reference.xy) + len(setup.forced), len(radii_fwhm)
    centre = (np.array(reference.image.shape[::-1]) - 1) / 2
    n = len(outcomes)

    def column(name: str, *shape: int) -> np.ndarray:
        values = [getattr(o.get(MEASUREMENT), name, np.full(shape, np.nan)) for o in outcomes]
        return np.array(values, dtype=float)

    found = [o.get(REGISTRATION) for o in outcomes]
    psfs = [Profile(np.nan, np.nan, np.nan) if one is None else one.profile for one in found]
    flags = np.nan_to_num(column("flags", stars)).astype(int)
    series = Series(
        frames=tuple(o.info.label for o in outcomes),
        jd_utc=jd_utc(times),
        bjd_tdb=None if coordinates is None else bjd_tdb(times, coordinates, site),
        exposure=np.array([exposure_of(o.info) for o in outcomes]),
        airmass=np.full(n, np.nan) if coordinates is None else airmass(times, coordinates, site),
        fwhm=np.array([np.nan if one is None else one.fwhm for one in found]),
        ellipticity=np.array([psf.ellipticity for psf in psfs]),
        angle=np.array([psf.angle for psf in psfs]),
        scintillation=np.zeros(n),
        pixel_noise=_pixel_noise_of(outcomes),
        shift=np.array(
            [np.full(2, np.nan) if one is None else one.transform(centre[None])[0] - centre for one in found]
        ),
        rotation=np.array([np.nan if one is None else one.transform.rotation for one in found]),
        matched=np.array([0 if one is None else one.matched for one in found]),
        flags=np.zeros(n, int),
        reasons=tuple(o.reason for o in outcomes),
        reference_xy=np.vstack([reference.xy, setup.forced]),
        xy=column("xy", stars, 2),
        flux=column("flux", stars, grid),
        flux_err=column("flux_err", stars, grid),
        sky=column("sky", stars),
        peak=column("peak", stars),
        star_flags=flags,
        radii=radii_of(stage, reference),
        radii_fwhm=radii_fwhm,
        annulus=annulus_of(stage, reference),
        parts_blends=stage.photometer.parts_blends,
    )
    series = _with_scintillation(without_mistaken(series, reference), setup)
    return with_flags(series, [_time_doubts(o.info.notes) for o in outcomes])


def _pixel_noise_of(outcomes: Sequence[FrameOutcome]) -> dict[str, np.ndarray]:
    """What makes the noise of a pixel in each frame; NaN where a frame does not tell."""
    told = [o.get(PIXEL_NOISE) or {} for o in outcomes]
    names = dict.fromkeys(name for one in told for name in one)
    return {name: np.array([float(one.get(name, np.nan)) for one in told]) for name in names}


def _with_scintillation(series: Series, setup: Setup) -> Series:
    """The series with the atmosphere's own noise in its errors, where the telescope's diameter is declared."""
    diameter = setup.instrument.telescope_diameter
    if diameter is None:
        return series
    height = setup.instrument.site.height.to_value("m")
    through = np.where(np.isfinite(series.airmass), series.airmass, 1.0)
    relative = [
        scintillation(t, x, diameter=diameter.to_value("m"), altitude=height) if t > 0 else 0.0
        for t, x in zip(series.exposure, through, strict=True)
    ]
    return replace(
        series,
        flux_err=np.hypot(series.flux_err, series.flux * np.array(relative)[:, None, None]),
        scintillation=np.array(relative),
    )


def _time_doubts(notes: Sequence[str]) -> str:
    """What the notes on a frame doubt of its time; "" for nothing."""
    return "; ".join(note.removeprefix("time: ") for note in notes if note.startswith("time:"))
