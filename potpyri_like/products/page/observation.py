"""What the page shows of one observation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

import astropy.units as u
import numpy as np

from potpyri_like.lightcurves import BandFit, TransitFit
from potpyri_like.photometry.budget import BUDGET_CLOSED, NoiseBudget
from potpyri_like.photometry.noise import nan_median
from potpyri_like.products.closing import middle_comparison, transit_choice, with_error
from potpyri_like.products.figures.colours import band_colour
from potpyri_like.products.making import leading
from potpyri_like.products.page.images import Image, image
from potpyri_like.products.page.links import Link, address, below, target_folder
from potpyri_like.products.rows import count_frames, curve_file, masters_of
from potpyri_like.products.words import in_mmag, in_ppt, pixels_or_arcsec, plural, short
from potpyri_like.results import Choice, RunReport, SetResult

__all__ = ["target_view"]

_DIFFER = 0.01  # probability of one radius in all bands, from which down they differ


def target_view(
    report: RunReport, results: list[SetResult], images: Mapping[str, bytes]
) -> dict[str, object]:
    """One target: its sets, and all its bands in one figure."""
    observed = results[0].observed
    name = ", ".join(filter(None, (observed.target, observed.night)))
    bands = ", ".join(result.observed.band or result.observed.camera for result in results)
    folder = target_folder(results[0])
    alt = f"Light curves of {name} in {bands}, stacked on a common time axis."
    lags = f"Correlation of the light curves of {name} in {bands} against lag."
    return {
        "name": name,
        "bands": image(images, f"{folder}/{curve_file(leading(results), 'bands.png')}", alt),
        "transit": _transit_view(results, images),
        "lags": image(images, f"{folder}/{curve_file(leading(results), 'lags.png')}", lags),
        "sets": [_set_view(report, result, images) for result in results],
        "links": [Link(PurePath(path).name, address(path)) for path in below(report, {folder})],
    }


def _transit_view(results: list[SetResult], images: Mapping[str, bytes]) -> dict[str, object] | None:
    """The transit of a target in all its bands; None without one."""
    result = next((result for result in results if result.transit is not None), None)
    if result is None or result.transit is None:
        return None
    fit, curve, folder = result.transit, result.light_curve, target_folder(result)
    scale = {"bjd_tdb": "BJD_TDB", "jd_utc_mid": "JD_UTC"}.get(curve.time_name, "") if curve else ""
    why = transit_choice(result).why or f"{fit.why}; {fit.coverage_note}"
    table = curve_file(leading(results), "transit.ecsv")
    return {
        "image": image(
            images, f"{folder}/{curve_file(leading(results), 'transit.png')}", _transit_alt(result)
        ),
        "shared": [
            ("Mid-transit Tc", f"{with_error(fit.tc)} {scale}"),
            ("Duration T14", f"{with_error(fit.t14, factor=24)} h"),
            ("Impact parameter b", with_error(fit.b)),
            ("Seen", fit.coverage),
        ],
        "bands": [_band_view(band, results) for band in fit.bands],
        "sentences": [_sentence(words) for words in (*why.split("; "), *_chromaticity_words(fit)) if words],
        "table": Link(table, address(f"{folder}/{table}")),
    }


def _transit_alt(result: SetResult) -> str:
    """The transit in words."""
    depths = transit_choice(result).chosen or "the depth is in the table below"
    name = result.observed.target
    return (
        f"The transit of {name} in each band divided by its baseline, with the model and residuals: {depths}."
    )


def _band_view(band: BandFit, results: list[SetResult]) -> dict[str, object]:
    """One band's part in a transit."""
    observed = next((result.observed.band for result in results if result.curve_name == band.name), "")
    return {
        "name": band.name,
        "colour": band_colour(observed),
        "cells": [
            f"{with_error(band.depth, factor=100)} %",
            *(with_error(value) for value in (band.k, band.u1, band.u2)),
            in_ppt(band.rms),
            f"{band.scale:.2f}",
            f"{band.beta:.2f}",
        ],
        "baseline": ", ".join(("constant", *band.chosen)),
    }


def _chromaticity_words(fit: TransitFit) -> list[str]:
    """Whether the bands agree on one radius of the planet."""
    chi2, freedom, probability = fit.chromaticity
    if not np.isfinite(probability):
        return []
    judged = "the bands agree on one radius" if probability > _DIFFER else "the bands differ in their radius"
    return [f"{judged}: chi-square {chi2:.2f} for {freedom}, probability {short(probability, 2)}"]


def _sentence(words: str) -> str:
    """Words with a capital and a full stop."""
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) else ".")


def _set_view(report: RunReport, result: SetResult, images: Mapping[str, bytes]) -> dict[str, object]:
    """One set of a target."""
    observed = result.observed
    return {
        "id": "set-" + str([r is result for r in report.sets].index(True) + 1),
        "name": observed.name,
        "band": observed.band or "no filter",
        "camera": observed.camera,
        "colour": band_colour(observed.band),
        "noise": _noise_view(result),
        "facts": _set_facts(report, result),
        "links": [Link(name, address(path)) for name, path in result.products.items()],
        "curve": image(
            images, f"{observed.folder}/{curve_file(result, 'lightcurve.png')}", _curve_alt(result)
        ),
        "field": _field_figure(result, images),
        "figures": _set_figures(result, images),
        "choices": _set_choices(result),
        "budget": _budget_view(result),
        "notes": result.notes,
    }


def _noise_view(result: SetResult) -> list[tuple[str, str, str]]:
    """Noise values: name, ppt, mmag."""
    noise = result.light_curve.noise if result.light_curve is not None else {}
    left = "rms of the residuals" if result.transit is not None else "rms, clear frames"
    named = (
        ("rms", "rms"),
        ("residual_rms", left),
        ("point_to_point", "point-to-point"),
        ("expected", "error bars"),
        ("cdpp", "CDPP, transit duration" if result.transit is not None else "CDPP, one hour"),
    )
    return [(words, in_ppt(noise[key]), in_mmag(noise[key])) for key, words in named if key in noise]


def _budget_view(result: SetResult) -> list[tuple[str, list[tuple[str, str, str, str]]]]:
    """Predicted and measured noise at each time scale, of the target and the median comparison star.

    Each row has, for each of the two, predicted and measured in ppt, their ratio, and "open" where that is surely
    beyond what a closed budget may be.
    """
    budget = result.budget
    if budget is None:
        return []
    star = [] if result.light_curve is None else [result.light_curve.star]
    stars = (star, middle_comparison(result))
    return [
        (
            "single frames" if width == 0 else f"{width:g} minutes",
            [_budget_cells(budget, chosen, scale) for chosen in stars],
        )
        for scale, width in enumerate(budget.width)
    ]


def _budget_cells(
    budget: NoiseBudget, stars: Sequence[int] | np.ndarray, scale: int
) -> tuple[str, str, str, str]:
    """Predicted and measured noise of some stars' median, their ratio, and whether that is surely too far from 1."""
    chosen = np.asarray(stars, int)
    tables = (budget.predicted, budget.measured, budget.ratio, budget.uncertainty)
    predicted, measured, ratio, sigma = (float(nan_median(table[chosen, scale])) for table in tables)
    (low, high), sure = BUDGET_CLOSED, 2 * sigma / np.sqrt(max(len(chosen), 1))
    beyond = ratio * (1 + sure) < low or ratio * (1 - sure) > high
    words = f"{ratio:.2f}" if np.isfinite(ratio) else "–"
    return in_ppt(predicted), in_ppt(measured), words, "open" if beyond else ""


def _set_facts(report: RunReport, result: SetResult) -> list[tuple[str, str]]:
    """What a set is and how it was measured, in a few words each."""
    counts = count_frames(report, result)
    facts = [
        ("Frames", f"{counts.measured} of {counts.total} measured"),
        ("Flagged, rejected", f"{counts.flagged}, {counts.rejected}"),
        ("Exposure", _exposure_words(result)),
        ("Masters", _masters_words(result)),
    ]
    if result.series is not None:
        facts += _series_facts(result)
    if result.light_curve is not None:
        facts.append(("Comparison stars", str(len(result.light_curve.comparisons))))
        if "beta" in result.light_curve.noise:
            facts.append(("Red noise β", f"{result.light_curve.noise['beta']:.2f}"))
        facts.append(
            ("Time", {"bjd_tdb": "BJD_TDB"}.get(result.light_curve.time_name, "JD_UTC, not barycentric"))
        )
    return facts


def _masters_words(result: SetResult) -> str:
    """Which masters calibrated a set, and which it lacks."""
    kinds = dict.fromkeys(master.kind for master in masters_of(result))
    lacking = [f"no {kind}" for kind in ("bias", "dark", "flat") if kind not in kinds]
    return ", ".join([*kinds, *lacking])


def _exposure_words(result: SetResult) -> str:
    """The exposures of a set: one number, or a range."""
    seconds = [float(info.exposure.to_value(u.s)) for info in result.observed.frames]
    known = sorted({value for value in seconds if np.isfinite(value)})
    return "–".join(short(value) for value in dict.fromkeys(known[:1] + known[-1:])) + " s" if known else "–"


def _series_facts(result: SetResult) -> list[tuple[str, str]]:
    """Seeing and aperture of a set."""
    series = result.series
    if series is None:
        return []
    facts = []
    fwhm = series.fwhm[np.isfinite(series.fwhm)]
    if fwhm.size:
        facts.append(("FWHM", pixels_or_arcsec((fwhm.min(), fwhm.max()), result.pixel_scale, digits=2)))
    if result.aperture < len(series.radii):
        radius = pixels_or_arcsec([series.radii[result.aperture]], result.pixel_scale)
        facts.append(("Aperture", f"{radius} = {short(series.radii_fwhm[result.aperture])} FWHM"))
    facts.append(("Stars measured", str(len(series.reference_xy))))
    return facts


def _curve_alt(result: SetResult) -> str:
    """The light curve in words."""
    noise = " ".join(f"{words} {ppt} ppt," for words, ppt, _ in _noise_view(result)).rstrip(",")
    beneath = "Below: airmass, FWHM, sky, comparison counts and drift."
    return f"Relative flux of {result.observed.name} against time; {noise or 'noise unknown'}. {beneath}"


def _field_figure(result: SetResult, images: Mapping[str, bytes]) -> Image | None:
    """The field of a set."""
    stars = 0 if result.reference is None else len(result.reference.xy)
    alt = f"The field of {result.observed.name}: {plural(stars, 'numbered star')}, apertures and sky annuli."
    return image(images, f"{result.observed.folder}/field.png", alt)


def _set_figures(result: SetResult, images: Mapping[str, bytes]) -> list[Image]:
    """The noise, the comparison stars and the periods of a set."""
    folder, name = result.observed.folder, result.observed.name
    alts = (
        ("noise", f"Noise of every star of {name} against its flux, by source."),
        ("comparisons", f"Light curves of the comparison stars of {name}."),
        ("time_averaging", f"Scatter of {name} in bins against bin width, with that of white noise."),
        ("periodogram", f"Power of {name} against period, and the folded light curve."),
    )
    of_curve = ("time_averaging", "periodogram")
    files = [curve_file(result, f"{key}.png") if key in of_curve else f"{key}.png" for key, _ in alts]
    found = (image(images, f"{folder}/{file}", alt) for file, (_, alt) in zip(files, alts, strict=True))
    return [figure for figure in found if figure is not None]


def _set_choices(result: SetResult) -> list[Choice]:
    """What was chosen for a set, and why, each once."""
    choices = list(result.choices)
    named = {choice.what for choice in choices}
    if result.reference is not None and "reference" not in named:
        choices.append(Choice("reference", result.reference.info.label, result.reference.why))
    if result.light_curve is not None:
        reasons = result.light_curve.reasons.items()
        choices += [Choice(what, _chosen(result, what), why) for what, why in reasons if what not in named]
    return choices


def _chosen(result: SetResult, what: str) -> str:
    """What a light curve says was chosen as its target, aperture or comparison stars."""
    curve = result.light_curve
    if curve is None:
        return ""
    if what == "comparisons":
        return "stars " + ", ".join(str(star) for star in sorted(curve.comparisons))
    return {"target": f"star {curve.star}", "aperture": f"{short(curve.radius_fwhm)} FWHM"}.get(what, "")
