"""The page of the night: what was made from what, and why, in one self-contained file."""

from __future__ import annotations

import base64
import re
import struct
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePath
from urllib.parse import quote

import astropy.units as u
import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from potpyri_like.lightcurves import BandFit, TransitFit
from potpyri_like.night import FrameRow
from potpyri_like.options import ENGINE, told_value
from potpyri_like.photometry.budget import NoiseBudget
from potpyri_like.photometry.noise import nan_median
from potpyri_like.products.colours import band_colour
from potpyri_like.products.making import Picture, leading
from potpyri_like.products.summary import (
    BUDGET_CLOSED,
    count_frames,
    curve_file,
    final_rows,
    graded,
    masters_of,
    middle_comparison,
    missing,
    remarks,
    transit_choice,
    versions,
    with_error,
)
from potpyri_like.products.words import (
    SOFTWARE,
    clean,
    in_mmag,
    in_ppt,
    pixels_or_arcsec,
    plural,
    short,
)
from potpyri_like.results import Choice, Master, RunReport, SetResult

__all__ = ["master_images", "night_page"]

_TEMPLATE = "page.html.j2"
_MOST_OPEN_ROWS = 20
_DIFFER = 0.01  # probability of one radius in all bands, from which down they differ
_VERDICTS = {
    0: ("good", "Everything was reduced; nothing is missing."),
    1: ("bad", "Nothing could be reduced."),
    3: ("fair", "The night was reduced, and something is missing."),
    4: ("fair", "The night was reduced, and a number is doubtful."),
}


@dataclass(frozen=True)
class _Image:
    """A PNG on the page.

    Attributes
    ----------
    src : Markup
        A data URI, which needs no escaping.
    width, height : int
        Pixels.
    alt : str
    """

    src: Markup
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class _Link:
    """A file of the run: what to call it and its address relative to the page."""

    name: str
    href: str


# -- the images ----------------------------------------------------------------------------------------------


def master_images(report: RunReport) -> dict[str, Picture]:
    """The figures of masters, not drawn yet, by their path within the output folder."""
    images: dict[str, Picture] = {}
    for result in report.sets:
        for master in masters_of(result):
            images.setdefault(_master_image(result, master), Picture("masters_plot", master))
    return images


def _master_image(result: SetResult, master: Master) -> str:
    """The path of a master's figure: beside its product, else in the folder of its set."""
    if master.product:
        return PurePath(master.product).with_suffix(".png").as_posix()
    exposure = f"_{short(master.exposure)}s" if master.kind == "dark" else ""
    return f"{result.observed.folder}/master_{master.kind}{exposure}.png"


def _target_folder(result: SetResult) -> str:
    """The folder of a set's target."""
    return PurePath(result.observed.folder).parent.as_posix()


def _by_target(report: RunReport) -> dict[tuple[str, str], list[SetResult]]:
    """The sets of a run by night and target, in the order of the run."""
    groups: dict[tuple[str, str], list[SetResult]] = defaultdict(list)
    for result in report.sets:
        groups[result.observed.night, result.observed.target.casefold()].append(result)
    return groups


def _image(images: Mapping[str, bytes], name: str, alt: str) -> _Image | None:
    """A figure for the page; None where there is none of that name."""
    png = images.get(name)
    if png is None:
        return None
    width, height = struct.unpack(">II", png[16:24])
    return _Image(Markup("data:image/png;base64," + base64.b64encode(png).decode()), width, height, alt)


# -- the page ------------------------------------------------------------------------------------------------


def night_page(report: RunReport, images: Mapping[str, bytes], *, reload: float | None = None) -> str:
    """report.html: one file without script, font or image from elsewhere.

    Parameters
    ----------
    report : RunReport
    images : mapping of str to bytes
        PNGs by their path within the output folder, as `page_images` names them; those that are not there are
        left out of the page.
    reload : float, optional
        Seconds after which a browser loads it again: while frames are still coming.
    """
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: clean(value) if type(value) is str else value,  # not what is markup already
    )
    source = resources.files("potpyri_like.products").joinpath(_TEMPLATE).read_text("utf-8")
    return environment.from_string(source).render(_page_view(report, images), reload=reload)


def _page_view(report: RunReport, images: Mapping[str, bytes]) -> dict[str, object]:
    """What the template shows, in its words."""
    remarked = remarks(report)
    verdict, sentence = _VERDICTS[report.exit_status]
    return {
        "night": report.night.root.resolve().name or str(report.night.root),
        "instrument": report.instrument,
        "recipe": report.recipe,
        "when": _when(report),
        "software": SOFTWARE,
        "versions": versions(),
        "verdict": verdict,
        "sentence": sentence,
        "missing": [_subject_and_reason(line) for _, line in graded(missing(report))],
        "tally": _tally(report),
        "targets": [_target_view(report, results, images) for results in _by_target(report).values()],
        "masters": _master_views(report, images),
        "remarked": [_row_view(row) for row in remarked],
        "remarks_open": len(remarked) <= _MOST_OPEN_ROWS,
        "options": [
            (name, str(told_value(name, value)), origin)
            for name, (value, origin) in sorted(report.options.items())
            if name not in ENGINE
        ],
        "frames": [_row_view(row) for row in final_rows(report)],
        "links": [
            _Link(path, _address(path))
            for path in report.of_several
            if path not in _below(report, {_target_folder(result) for result in report.sets})
        ],
    }


def _below(report: RunReport, folders: Collection[str]) -> list[str]:
    """The products of several observations that lie in some folders."""
    return [path for path in report.of_several if PurePath(path).parent.as_posix() in folders]


def _when(report: RunReport) -> str:
    """From when to when the science frames were taken."""
    times = [
        info.mid_time.utc for s in report.sets for info in s.observed.frames if info.mid_time is not None
    ]
    if not times:
        return ""
    first, last = min(times), max(times)
    to = "%H:%M" if first.strftime("%F") == last.strftime("%F") else "%Y-%m-%d %H:%M"
    return f"{first.strftime('%Y-%m-%d %H:%M')} to {last.strftime(to)} UTC"


def _tally(report: RunReport) -> list[tuple[str, str]]:
    """Numbers for the head of the page."""
    counts = [count_frames(report, result) for result in report.sets]
    targets = len({target for _, target in _by_target(report)})
    remarked = remarks(report)
    return [
        (f"{len(report.night.rows):,}", "raw frame" if len(report.night.rows) == 1 else "raw frames"),
        (f"{sum(c.measured for c in counts):,}", "measured"),
        (f"{sum(row.status == 'flagged' for row in remarked):,}", "flagged"),
        (f"{sum(row.status == 'refused' for row in remarked):,}", "refused"),
        (str(targets), "target" if targets == 1 else "targets"),
        (str(sum(result.light_curve is not None for result in report.sets)), "light curves"),
    ]


def _subject_and_reason(line: str) -> tuple[str, str]:
    """What is missing, and why, taken apart at the last colon before the reason."""
    match = re.match(r"(.{1,100}?(?:: [^:]{1,60})?): (?=\S)(.*)", line, re.DOTALL)
    return (match.group(1), match.group(2)) if match else (line, "")


def _target_view(
    report: RunReport, results: list[SetResult], images: Mapping[str, bytes]
) -> dict[str, object]:
    """One target: its sets, and all its bands in one figure."""
    observed = results[0].observed
    name = ", ".join(filter(None, (observed.target, observed.night)))
    bands = ", ".join(result.observed.band or result.observed.camera for result in results)
    folder = _target_folder(results[0])
    alt = f"Light curves of {name} in {bands}, one above the other on one axis of time."
    lags = f"Correlation of the light curves of {name} in {bands} against their lag."
    return {
        "name": name,
        "bands": _image(images, f"{folder}/{curve_file(leading(results), 'bands.png')}", alt),
        "transit": _transit_view(results, images),
        "lags": _image(images, f"{folder}/{curve_file(leading(results), 'lags.png')}", lags),
        "sets": [_set_view(report, result, images) for result in results],
        "links": [_Link(PurePath(path).name, _address(path)) for path in _below(report, {folder})],
    }


def _transit_view(results: list[SetResult], images: Mapping[str, bytes]) -> dict[str, object] | None:
    """The transit of a target in all its bands; None without one."""
    result = next((result for result in results if result.transit is not None), None)
    if result is None or result.transit is None:
        return None
    fit, curve, folder = result.transit, result.light_curve, _target_folder(result)
    scale = {"bjd_tdb": "BJD_TDB", "jd_utc_mid": "JD_UTC"}.get(curve.time_name, "") if curve else ""
    why = transit_choice(result).why or f"{fit.why}; {fit.coverage_note}"
    table = curve_file(leading(results), "transit.ecsv")
    return {
        "image": _image(
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
        "table": _Link(table, _address(f"{folder}/{table}")),
    }


def _transit_alt(result: SetResult) -> str:
    """The transit in words."""
    depths = transit_choice(result).chosen or "the depth is in the table below"
    name = result.observed.target
    return f"The transit of {name} in each band without its baseline, with the model and residuals: {depths}."


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
        "links": [_Link(name, _address(path)) for name, path in result.products.items()],
        "curve": _image(
            images, f"{observed.folder}/{curve_file(result, 'lightcurve.png')}", _curve_alt(result)
        ),
        "field": _field_figure(result, images),
        "figures": _set_figures(result, images),
        "choices": _set_choices(result),
        "budget": _budget_view(result),
        "notes": result.notes,
    }


def _address(path: str) -> str:
    """A path within the output folder as a relative address; undecodable bytes stay as they are."""
    return quote(path.encode("utf-8", "surrogateescape"))


def _noise_view(result: SetResult) -> list[tuple[str, str, str]]:
    """Noise figures: name, ppt, mmag."""
    noise = result.light_curve.noise if result.light_curve is not None else {}
    left = "rms after the fit" if result.transit is not None else "rms, clear frames"
    named = (
        ("rms", "rms"),
        ("residual_rms", left),
        ("point_to_point", "point-to-point"),
        ("expected", "expected"),
        ("cdpp", "over a transit (CDPP)" if result.transit is not None else "over an hour (CDPP)"),
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
        ("Flagged, refused", f"{counts.flagged}, {counts.refused}"),
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
    below = "Below it airmass, FWHM, sky, comparison counts and drift."
    return f"Relative flux of {result.observed.name} against time; {noise or 'noise not known'}. {below}"


def _field_figure(result: SetResult, images: Mapping[str, bytes]) -> _Image | None:
    """The field of a set."""
    stars = 0 if result.reference is None else len(result.reference.xy)
    alt = f"The field of {result.observed.name}: {plural(stars, 'numbered star')}, apertures and sky annuli."
    return _image(images, f"{result.observed.folder}/field.png", alt)


def _set_figures(result: SetResult, images: Mapping[str, bytes]) -> list[_Image]:
    """The noise, the comparison stars and the periods of a set."""
    folder, name = result.observed.folder, result.observed.name
    alts = (
        ("noise", f"Noise of every star of {name} against its flux, with what it is made of."),
        ("comparisons", f"Light curves of the comparison stars of {name}."),
        ("time_averaging", f"Scatter of {name} in bins against their width, with that of white noise."),
        ("periodogram", f"Power of {name} against period, and its light curve folded."),
    )
    of_curve = ("time_averaging", "periodogram")
    files = [curve_file(result, f"{key}.png") if key in of_curve else f"{key}.png" for key, _ in alts]
    found = (_image(images, f"{folder}/{file}", alt) for file, (_, alt) in zip(files, alts, strict=True))
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


def _master_views(report: RunReport, images: Mapping[str, bytes]) -> list[dict[str, object]]:
    """Every master of the run once, with the sets that it calibrated."""
    found: dict[str, tuple[SetResult, Master]] = {}
    used: dict[str, list[str]] = defaultdict(list)
    for result in report.sets:
        for master in masters_of(result):
            name = _master_image(result, master)
            found.setdefault(name, (result, master))
            used[name].append(result.observed.name)
    return [_master_view(master, name, used[name], images) for name, (_, master) in found.items()]


def _master_view(
    master: Master, name: str, used: list[str], images: Mapping[str, bytes]
) -> dict[str, object]:
    """One master."""
    exposure = f"{short(master.exposure)} s" if master.exposure > 0 else ""
    alt = f"Master {master.kind} {exposure}: image and distribution of its pixels.".replace(" :", ":")
    return {
        "kind": master.kind,
        "exposure": exposure,
        "rung": master.rung,
        "count": plural(len(master.inputs), "frame"),
        "inputs": master.inputs,
        "used": used,
        "link": _Link(PurePath(master.product).name, _address(master.product)) if master.product else None,
        "image": _image(images, name, alt),
    }


def _row_view(row: FrameRow) -> dict[str, str]:
    """One raw file."""
    info = row.info
    known = {} if info is None else {"kind": str(info.kind), "camera": info.camera, "band": info.band}
    time = "" if info is None or info.mid_time is None else info.mid_time.utc.isot[:19].replace("T", " ")
    exposure = "" if info is None else short(float(info.exposure.to_value(u.s)))
    empty = {"kind": "", "camera": "", "band": ""}
    target = "" if info is None else info.target
    words = {"file": row.file, "status": row.status, "reason": row.reason}
    return {**empty, **known, **words, "target": target, "time": time, "exposure": exposure}
