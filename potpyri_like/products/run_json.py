"""The record of a run, run.json."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath

import numpy as np
from astropy.time import Time
from astropy.units import Quantity

from potpyri_like.identity import code_identity, versions
from potpyri_like.lightcurves import BandFit, Lag
from potpyri_like.night import FrameRow
from potpyri_like.photometry.noise import nan_median
from potpyri_like.products.closing import middle_comparison
from potpyri_like.products.rows import count_frames, final_rows, frame_file, masters_of, missing, remarks
from potpyri_like.products.words import clean
from potpyri_like.results import Choice, Master, Problem, RunReport, SetResult, Timing

__all__ = ["plain", "run_json"]


def run_json(
    report: RunReport,
    *,
    raw: Mapping[str, Mapping[str, object]] | None = None,
    products: Mapping[str, Mapping[str, object]] | None = None,
    digests: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """The run in plain JSON types: NaN is null, times are UTC, quantities have their unit.

    Parameters
    ----------
    report : RunReport
    raw : mapping of str to mapping, optional
        SHA-256, size and time of the raw files, by their path within the night.
    products : mapping of str to mapping, optional
        SHA-256 and size of the products, by their path within the output folder.
    digests : mapping of str to str, optional
        SHA-256 of the user's own code, by the options that name it.
    """
    raw, digests = raw or {}, digests or {}
    told = {
        "software": "potpyri_like",
        "versions": versions(),
        "source_sha256": code_identity(whole=True)["source"],
        "command": report.command,
        "instrument": report.instrument,
        "recipe": report.recipe,
        "night": report.night.root,
        "exit_status": report.exit_status,
        "options": {
            key: {
                "value": v,
                "from": origin,
                **({"sha256": digests[key]} if key in digests else {}),
            }
            for key, (v, origin) in report.options.items()
        },
        "sets": [_set_json(report, result) for result in report.sets],
        "problems": [_problem_json(problem) for problem in report.problems],
        "missing": [_problem_json(problem) for problem in missing(report)],
        "frames": [_frame_json(row) for row in remarks(report)],
        "inputs": [
            {"file": row.file, "status": row.status, **raw.get(row.file, {})} for row in final_rows(report)
        ],
        "products": [
            {"file": name, **about, "inputs": _inputs_of(report, name)}
            for name, about in (products or {}).items()
        ],
        "timings": _timing_json(report.timing),
    }
    return {name: plain(value) for name, value in told.items()}


def _inputs_of(report: RunReport, product: str) -> list[str]:
    """What a product was made from, raw files and other products; [] for what tells of the whole night."""
    for result in report.sets:
        observed, masters = result.observed, masters_of(result)
        for master in masters:
            if master.product == product:
                return list(master.inputs)
        if product.startswith(f"{observed.folder}/"):
            only = report.images.get(product)
            return [
                *(master.product for master in masters),
                *(frame_file(report, info) for info in observed.frames if only in (None, info.label)),
            ]
    folder = PurePath(product).parent
    sets = [result for result in report.sets if PurePath(result.observed.folder).parent == folder]
    if folder == PurePath() or not sets:
        return []
    return [file for result in sets for file in _inputs_of(report, f"{result.observed.folder}/")]


def _timing_json(timing: Timing) -> dict[str, object]:
    """Where the time went."""
    return {
        "per_frame": {
            stage: {
                "seconds": seconds,
                "frames": timing.times[stage],
                "ms_per_frame": 1e3 * seconds / timing.times[stage],
            }
            for stage, seconds in timing.per_frame.items()
        },
        "per_set": {stage: {"seconds": seconds} for stage, seconds in timing.per_set.items()},
        "frames": timing.frames,
        "wall_seconds": timing.wall,
        "frames_per_second": timing.frames / timing.wall if timing.wall else None,
        "bytes_read": timing.bytes_read,
        "seconds_reading": timing.seconds_reading,
        "megabytes_per_second": timing.bytes_read / timing.seconds_reading / 1e6
        if timing.seconds_reading
        else None,
    }


def _set_json(report: RunReport, result: SetResult) -> dict[str, object]:
    """One set of a run."""
    observed = result.observed
    counts = count_frames(report, result)
    return {
        "target": observed.target,
        "camera": observed.camera,
        "band": observed.band,
        "binning": list(observed.binning),
        "night": observed.night or ", ".join(sorted({info.night for info in observed.frames})),
        "folder": observed.folder,
        "frames": vars(counts),
        "files": [frame_file(report, info) for info in observed.frames],
        "masters": [_master_json(master) for master in masters_of(result)],
        "reference": None if result.reference is None else _reference_json(report, result),
        "light_curve": _light_curve_json(result),
        "transit": _transit_json(result),
        "noise_budget": _budget_json(result),
        "time_averaging": _averaging_json(result),
        "period": _period_json(result),
        "lags": {name: _lag_json(lag) for name, lag in result.lags.items()},
        "choices": [_choice_json(choice) for choice in result.choices],
        "problems": [_problem_json(problem) for problem in result.problems],
        "notes": result.notes,
        "products": result.products,
        "same_stars_as": result.same_as_set or None,
    }


def _choice_json(choice: Choice) -> dict[str, object]:
    candidates = [vars(candidate) for candidate in choice.candidates]
    return {"what": choice.what, "chosen": choice.chosen, "why": choice.why, "candidates": candidates}


def _master_json(master: Master) -> dict[str, object]:
    return {
        "kind": master.kind,
        "exposure_s": master.exposure,
        "rung": master.rung,
        "inputs": master.inputs,
        "product": master.product,
        **({"source": master.source} if master.source else {}),
    }


def _reference_json(report: RunReport, result: SetResult) -> dict[str, object]:
    reference = result.reference
    if reference is None:
        return {}
    return {
        "frame": frame_file(report, reference.info),
        "why": reference.why,
        "fwhm_pixels": reference.fwhm,
        "pixel_scale_arcsec": result.pixel_scale,
        "stars": len(reference.xy),
    }


def _light_curve_json(result: SetResult) -> dict[str, object] | None:
    """How the light curve of a set was made, and how noisy it is."""
    curve = result.light_curve
    if curve is None:
        return None
    return {
        "target": curve.target,
        "star": curve.star,
        "identified": curve.is_identified,
        "limit": curve.is_limit,
        "time": curve.time_name,
        "aperture_pixels": curve.radius,
        "aperture_fwhm": curve.radius_fwhm,
        "annulus_pixels": curve.annulus,
        "comparisons": curve.comparisons,
        "noise": curve.noise,
        "reasons": curve.reasons,
    }


def _transit_json(result: SetResult) -> dict[str, object] | None:
    """The transit: what all bands of the target share, and this set's own part."""
    fit, band = result.transit, result.band_fit
    if fit is None:
        return None
    chi2, freedom, probability = fit.chromaticity
    return {
        **{name: vars(getattr(fit, name)) for name in ("tc", "t14", "b")},
        "time": None if result.light_curve is None else result.light_curve.time_name,
        "unit": {"tc": "d", "t14": "d"},
        "detected": fit.detected,
        "significance": fit.significance,
        "why": fit.why,
        "coverage": fit.coverage,
        "coverage_note": fit.coverage_note,
        "chromaticity": {"chi2": chi2, "dof": freedom, "probability": probability},
        "chi2": fit.chi2,
        "dof": fit.dof,
        "outliers": fit.n_outliers,
        "period_days": fit.period,
        "bands": [one.name for one in fit.bands],
        "band": None if band is None else _band_json(band),
    }


def _band_json(band: BandFit) -> dict[str, object]:
    """The part of a fit that is one band's own."""
    known = ("name", "columns", "chosen", "coefficients", "bic", "dropped", "scale", "beta", "rms")
    estimates = {name: vars(getattr(band, name)) for name in ("depth", "k", "k2", "u1", "u2")}
    return {**estimates, **{name: getattr(band, name) for name in known}}


def _budget_json(result: SetResult) -> dict[str, object] | None:
    """The noise predicted and measured, of the target and of the median comparison star."""
    budget, target = result.budget, _aimed_star(result)
    if budget is None:
        return None
    rows: dict[str, list[int] | np.ndarray] = {
        "target": [] if target is None else [target],
        "median_comparison": middle_comparison(result),
    }
    wanted = ("predicted", "measured", "ratio", "uncertainty")
    return {
        "widths_minutes": budget.width,
        "unit": "relative",
        **{
            who: {
                **{name: nan_median(getattr(budget, name)[stars]) for name in wanted},
                "terms": {name: nan_median(noise[stars]) for name, noise in budget.terms.items()},
            }
            for who, stars in rows.items()
            if len(stars)
        },
        "comparison_stars": len(rows["median_comparison"]),
    }


def _aimed_star(result: SetResult) -> int | None:
    """The star of a set's light curve."""
    return None if result.light_curve is None else int(result.light_curve.star)


def _averaging_json(result: SetResult) -> dict[str, object] | None:
    """The scatter in bins of time."""
    return None if result.averaging is None else {"width_unit": "d", **vars(result.averaging)}


def _period_json(result: SetResult) -> dict[str, object] | None:
    """The best period, without the periodogram itself, and how the scatter goes with the flux."""
    if result.periods is None:
        return None
    wanted = ("period", "period_error", "best_power", "false_alarm", "false_alarms", "levels")
    found = {name: getattr(result.periods, name) for name in (*wanted, "amplitude", "amplitude_error")}
    relation = None if result.flux_relation is None else vars(result.flux_relation)
    return {"unit": "d", **found, "notes": result.periods.notes, "rms_flux": relation}


def _lag_json(lag: Lag) -> dict[str, object]:
    """By how much a light curve follows this one."""
    wanted = ("lag", "lag_error", "peak", "peak_lag", "notes")
    return {"unit": "d", **{name: getattr(lag, name) for name in wanted}}


def _problem_json(problem: Problem) -> dict[str, str]:
    return {**vars(problem), "grade": str(problem.grade)}


def _frame_json(row: FrameRow) -> dict[str, str]:
    return {"file": row.file, "status": row.status, "reason": row.reason}


def plain(value: object) -> object:
    """A value in the types of JSON; other values as text."""
    match value:
        case None | bool():
            return value
        case Enum():
            return plain(value.value)
        case str():
            return clean(value)
        case Quantity():
            return {"value": plain(value.value), "unit": value.unit.to_string()}
        case Time():
            return value.utc.isot
        case Mapping():
            return {clean(str(key)): plain(item) for key, item in value.items()}
        case np.ndarray() | np.generic():
            return plain(value.tolist())
        case int():
            return value
        case float():
            return value if np.isfinite(value) else None
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
    return clean(str(value))
