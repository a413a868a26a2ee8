"""A run that never was: two bands of one transit, with clouds, gaps, hostile names and rejected frames."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time

from potpyri_like.frame import FrameFlag, FrameInfo, FrameKind, StarFlag
from potpyri_like.imaging import Pixels
from potpyri_like.lightcurves import (
    BandFit,
    Estimate,
    TransitFit,
    TransitSearch,
    lag,
    periodogram,
    rms_flux,
    time_averaging,
)
from potpyri_like.night import FrameRow, Night, ObservationSet
from potpyri_like.photometry import close_budget
from potpyri_like.photometry.series import LightCurve, Series
from potpyri_like.products import Picture, contents, made_of, master_images, write_content
from potpyri_like.products.ours import register_products
from potpyri_like.results import (
    Candidate,
    Choice,
    Master,
    Masters,
    Problem,
    Reference,
    RunReport,
    SetResult,
    StarTable,
    Timing,
)

ROOT = Path("/nights/231122")
START = 2460729.874377
CADENCE = 60.0  # s
CLOUDY, LOST = 7, 11
RADII_FWHM = np.array([1.0, 1.5, 2.0, 2.5])
FWHM = 6.0
DEPTH = 0.015
CANDIDATES = (
    Candidate("airmass", "BIC -12.0", ""),
    Candidate("x", "BIC +3.0", "not justified by the BIC"),
    Candidate("sky", "", "it is the same in all frames"),
)


def transit(time, depth=DEPTH):
    """A trapezoid over the middle half of the night."""
    phase = np.abs(time - time.mean()) / np.ptp(time) if len(time) > 1 else np.ones(1)
    return 1 - depth * np.clip((0.25 - phase) / 0.05, 0, 1)


def frame_info(
    name, *, kind=FrameKind.SCIENCE, band="g", camera="C1", target="WASP-0", time=START, exposure=30.0
):
    science = kind is FrameKind.SCIENCE
    return FrameInfo(
        path=ROOT / camera / name,
        kind=kind,
        camera=camera,
        band=band if kind in (FrameKind.SCIENCE, FrameKind.FLAT) else "",
        target=target if science else "",
        binning=(2, 2),
        exposure=exposure * u.s,
        mid_time=Time(time, format="jd", scale="utc"),
        shape=(200, 240),
        clock="PC",
        decided_by="IMGTYPE is 'object'",
    )


def star_field(rng, n_stars, shape=(200, 240)):
    """Positions and fluxes of stars, brightest first, the target third, and their image on a noisy sky."""
    columns = int(np.ceil(np.sqrt(n_stars * shape[1] / shape[0])))
    rows = int(np.ceil(n_stars / columns))
    grid = np.array([(x, y) for y in range(rows) for x in range(columns)], float)[:n_stars]
    step = np.array([shape[1] / columns, shape[0] / rows])
    xy = (grid + 0.5 + rng.uniform(-0.2, 0.2, grid.shape)) * step
    xy = xy[rng.permutation(n_stars)]
    flux = np.sort(10 ** rng.uniform(4, 6, n_stars))[::-1]
    y, x = np.indices(shape)
    image = rng.normal(100, 10, shape)
    sigma = FWHM / 2.355
    for (cx, cy), f in zip(xy, flux, strict=True):
        image += f / (2 * np.pi * sigma**2) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
    return xy, flux, image


def make_series(rng, xy, flux, *, n_frames, target, frames, barycentric):
    """Fluxes with photon and sky noise under a changing airmass, one cloudy frame, one that was lost."""
    hours = np.arange(n_frames) * CADENCE / 86400
    airmass = 1.05 + 0.4 * (hours / max(hours[-1], 1e-9)) ** 2
    fwhm = FWHM * (1 + 0.3 * np.abs(np.linspace(-1, 1, n_frames)))
    radii = RADII_FWHM * FWHM
    growth = 1 - np.exp(-4 * np.log(2) * RADII_FWHM**2)
    seen = flux * np.exp(-0.15 * (airmass - 1))[:, None] * np.ones((n_frames, len(flux)))
    seen[:, target] *= transit(hours)
    variance = seen[:, :, None] * growth + np.pi * radii**2 * 120
    counts = seen[:, :, None] * growth + rng.normal(size=variance.shape) * np.sqrt(variance)
    drift = np.cumsum(rng.normal(0, 0.2, (n_frames, 2)), axis=0)
    flags = np.zeros(n_frames, int)
    reasons = [""] * n_frames
    if n_frames > LOST:
        counts[CLOUDY] *= 0.4
        flags[CLOUDY] = FrameFlag.CLOUD
        reasons[CLOUDY] = "the comparison stars lost 60 % of their light"
        counts[LOST] = variance[LOST] = airmass[LOST] = fwhm[LOST] = drift[LOST] = np.nan
        flags[LOST] = FrameFlag.UNMATCHED
        reasons[LOST] = f"{frames[LOST]}: 2 stars found where 5 are needed; the frame is not measured"
    jd = START + hours
    star_flags = np.zeros((n_frames, len(flux)), int)
    star_flags[0, target] = StarFlag.HOT_PIXEL
    return Series(
        frames=frames,
        jd_utc=jd,
        bjd_tdb=jd + 0.0013 if barycentric else None,
        exposure=np.full(n_frames, 30.0),
        airmass=airmass,
        fwhm=fwhm,
        ellipticity=np.where(np.isnan(fwhm), np.nan, 0.05),
        angle=np.where(np.isnan(fwhm), np.nan, 30.0),
        scintillation=np.full(n_frames, 4e-4),
        pixel_noise={
            name: np.full(n_frames, value)
            for name, value in (
                ("photons", 1.0),
                ("digitisation", 0.1),
                ("read-out", 15.0),
                ("dark current", 3.0),
                ("flat", 1e-6),
            )
        },
        shift=drift,
        rotation=np.where(np.isnan(fwhm), np.nan, 0.01),
        matched=np.where(np.isnan(fwhm), 0, len(flux)),
        flags=flags,
        reasons=tuple(reasons),
        reference_xy=xy,
        xy=xy + drift[:, None, :],
        flux=counts,
        flux_err=np.sqrt(variance),
        sky=np.full((n_frames, len(flux)), 100.0) * np.where(np.isnan(fwhm), np.nan, 1)[:, None],
        peak=seen / 40,
        star_flags=star_flags,
        radii=radii,
        radii_fwhm=RADII_FWHM,
        annulus=(20.0, 32.0),
    )


def make_stars(series, *, target, aperture, n_comparisons):
    """Relative fluxes of all stars against the weighted sum of the brightest."""
    flux, error = series.flux[:, :, aperture], series.flux_err[:, :, aperture]
    n_stars = flux.shape[1]
    chosen = [s for s in range(n_stars) if s != target][:n_comparisons]
    weight = np.zeros(n_stars)
    weight[chosen] = np.linspace(2, 1, len(chosen))
    weight /= max(weight.sum(), 1)
    with np.errstate(invalid="ignore"):
        total = flux[:, chosen].sum(axis=1, keepdims=True)
        relflux = flux / total
        level = np.array([np.median(r[np.isfinite(r)]) for r in relflux.T])
        relflux_err = error / total / level
    relflux = relflux / level
    good = np.isfinite(relflux[:, 0])
    rms = relflux[good].std(axis=0, ddof=min(1, good.sum() - 1))
    point = (
        np.diff(relflux[good], axis=0).std(axis=0) / np.sqrt(2)
        if good.sum() > 1
        else np.full(n_stars, np.nan)
    )
    expected = np.sqrt((relflux_err[good] ** 2).mean(axis=0))
    why = tuple(
        "" if w else ("the target" if s == target else "scatters too much") for s, w in enumerate(weight)
    )
    median = np.array([np.median(f[np.isfinite(f)]) for f in flux.T])
    own = np.full(n_stars, series.radii[aperture])
    return StarTable(median, weight, rms, point, expected, rms / expected, own, why, relflux, relflux_err)


def make_light_curve(series, stars, *, target, aperture, name, band, camera):
    chosen = {int(s): float(w) for s, w in enumerate(stars.weight) if w}
    return LightCurve(
        star=target,
        target=name,
        band=band,
        camera=camera,
        time_name=series.time_name,
        time=series.time,
        flux=stars.relflux[:, target],
        flux_err=stars.relflux_err[:, target],
        x=series.xy[:, target, 0],
        y=series.xy[:, target, 1],
        fwhm=series.fwhm,
        sky=series.sky[:, target],
        airmass=series.airmass,
        comparison=series.flux[:, list(chosen), aperture].sum(axis=1),
        flags=series.flags | (series.star_flags[:, target] << 8),
        frames=series.frames,
        radius=float(series.radii[aperture]),
        radius_fwhm=float(series.radii_fwhm[aperture]),
        annulus=series.annulus,
        model=np.ones(len(series.frames)),
        trend=np.ones(len(series.frames)),
        comparisons=chosen,
        noise={
            "rms": float(stars.rms[target]),
            "point_to_point": float(stars.point_to_point[target]),
            "expected": float(stars.expected[target]),
        },
        reasons={"target": "--target-xy 100,100", "aperture": "2.0 FWHM: least point-to-point scatter"},
    )


def make_master(rng, kind, *, exposure=0.0, rung="exact", camera="C1", shape=(200, 240)):
    level = 1.0 if kind == "flat" else 100.0
    data = rng.normal(level, 0.01 * level, shape).astype(np.float32)
    mask = np.zeros(shape, np.uint16)
    mask[3, 4] = 1
    return Master(
        kind=kind,
        pixels=Pixels(data, np.ones(shape, np.float32), mask),
        exposure=exposure,
        rung=rung,
        inputs=tuple(f"{camera}/{kind}{i:02d}.fit" for i in range(11)),
        product=f"cals/master_{kind}_{camera}.fits",
    )


def make_set(
    *,
    band="g",
    camera="C1",
    target="WASP-0",
    n_frames=40,
    n_stars=12,
    seed=1,
    barycentric=True,
    shape=(200, 240),
):
    """One set, complete."""
    rng = np.random.default_rng(seed)
    star, aperture = min(2, n_stars - 1), 2
    infos = tuple(
        frame_info(
            f"231122{band}{i:04d}o.fit",
            band=band,
            camera=camera,
            target=target,
            time=START + i * CADENCE / 86400,
        )
        for i in range(n_frames)
    )
    xy, flux, image = star_field(rng, n_stars, shape)
    frames = tuple(info.label for info in infos)
    series = make_series(
        rng, xy, flux, n_frames=n_frames, target=star, frames=frames, barycentric=barycentric
    )
    stars = make_stars(series, target=star, aperture=aperture, n_comparisons=min(5, n_stars - 1))
    curve = make_light_curve(
        series, stars, target=star, aperture=aperture, name=target, band=band, camera=camera
    )
    folder = f"WASP-0/{band}"
    return SetResult(
        observed=ObservationSet(target, camera, band, (2, 2), folder, infos),
        masters=Masters(
            darks={
                30.0: make_master(
                    rng, "dark", exposure=30.0, rung="interpolated between 10 s and 60 s", camera=camera
                )
            },
            flat=make_master(rng, "flat", exposure=4.0, camera=camera),
        ),
        reference=Reference(infos[0], image, xy, flux, FWHM, 1.4 * FWHM, "the sharpest near the meridian"),
        series=series,
        aperture=aperture,
        stars=stars,
        light_curve=curve,
        pixel_scale=0.28,
        products={
            "light curve": f"{folder}/lightcurve.ecsv",
            "measurements": f"{folder}/measurements.fits",
            "stars": f"{folder}/stars.ecsv",
        },
        choices=(
            Choice("reference", infos[0].label, "it is the sharpest of the frames near the meridian"),
            Choice("aperture", "2.0 FWHM", "its light curve has the least point-to-point scatter"),
        ),
        problems=(
            Problem("bias", "masters", "the night has no bias frames; the pedestal is taken from the darks"),
        ),
        notes=("The 3x3 median takes 3.7 % of a star's light at this FWHM.",),
    )


def make_report(*, bands=("g", "r"), target="WASP-0", n_frames=40, n_stars=12, rejected=3, shape=(200, 240)):
    """A run over a night with one set for each band."""
    cameras = dict(zip(bands, ("C1", "C2", "C3"), strict=False))
    sets = tuple(
        make_set(
            band=b,
            camera=cameras[b],
            target=target,
            n_frames=n_frames,
            n_stars=n_stars,
            seed=i + 1,
            shape=shape,
        )
        for i, b in enumerate(bands)
    )
    rows = [FrameRow(f"{i.camera}/{i.path.name}", "use", "", i) for s in sets for i in s.observed.frames]
    broken = [f"C1/broken{k:03d}.fit" for k in range(rejected)]
    rows += [
        FrameRow(
            f, "rejected", f"{f[3:]}: no EXPOSURE card, which OPTICAM frames need; the frame is rejected"
        )
        for f in broken
    ]
    status = {row.file: ("measured" if row.status == "use" else row.status, row.reason) for row in rows}
    return RunReport(
        instrument="OPTICAM",
        recipe="timeseries",
        night=Night(ROOT, SimpleNamespace(name="OPTICAM"), tuple(rows)),
        sets=sets,
        status=status,
        problems=(
            Problem("RA, DEC", "scan", "the headers have placeholders (0, 31); give --radec for BJD_TDB"),
        ),
        options={
            "filter": ("median", "instrument"),
            "target_xy": ("100,100", "command line"),
            "jobs": (2, "default"),
        },
        timing=Timing(
            per_frame={"Measure": 7.5},
            per_set={"MakeMasters": 1.25},
            times={"Measure": 100, "MakeMasters": 1},
        ),
    )


# -- what light curves say -----------------------------------------------------------------------------------


def band_fit(result, name):
    """The true transit and a flat baseline as one band's part of a fit; one point clipped."""
    curve = result.light_curve
    model = transit(curve.time)
    measured = np.isfinite(curve.flux)
    model, flat = np.where(measured, model, np.nan), np.where(measured, 1.0, np.nan)
    used = measured.copy()
    used[:1] = False
    residuals = curve.flux - model
    k = float(np.sqrt(DEPTH))
    return BandFit(
        name=name,
        depth=Estimate(DEPTH, 4e-4, 4e-4),
        k=Estimate(k, 0.002, 0.002),
        k2=Estimate(k**2, 4e-4, 4e-4),
        u1=Estimate(0.4, 0.1, 0.1),
        u2=Estimate(0.1, 0.1, 0.2),
        columns=("constant", "airmass"),
        chosen=("airmass",),
        coefficients={"constant": 1.0, "airmass": -0.001},
        bic={"airmass": -12.0, "x": 3.0},
        dropped={"sky": "it is the same in all frames"},
        scale=1.1,
        beta=1.2,
        model=model,
        baseline=flat,
        residuals=residuals,
        used=used,
        rms=float(np.std(residuals[used])) if used.any() else np.nan,
    )


def transit_fit(results, names):
    """One transit in all bands, where it truly is."""
    time = results[0].light_curve.time
    span, middle = np.ptp(time), float(np.mean([np.min(time), np.max(time)]))
    bands = tuple(band_fit(result, name) for result, name in zip(results, names, strict=True))
    t14 = float(max(0.5 * span, 0.01))
    return TransitFit(
        tc=Estimate(middle, 2e-4, 2e-4),
        t14=Estimate(t14, 0.001, 0.001),
        b=Estimate(0.3, 0.2, 0.1),
        bands=bands,
        samples=np.zeros((4, 3 + 3 * len(bands))),
        names=("tc", "t14", "b", *(f"{p} {name}" for name in names for p in ("k", "u1", "u2"))),
        chi2=70.0,
        dof=65,
        n_outliers=len(bands),
        significance=20.0,
        detected=True,
        why="the transit is significant: it lowers chi-square by 400",
        coverage="full",
        coverage_note="ingress and egress observed",
        chromaticity=(0.7, len(bands) - 1, 0.4) if len(bands) > 1 else (np.nan, 0, np.nan),
        period=None,
        autocorrelation=np.nan,
        acceptance=np.nan,
        search=TransitSearch(middle, t14, np.full(len(bands), DEPTH), 400.0, 20.0, ((middle, t14),)),
    )


def noise_told(result):
    """The result with the averages in time and the noise budget of its residuals."""
    curve, stars = result.light_curve, result.stars
    relflux = stars.relflux.copy()
    relflux[:, curve.star] = 1 + curve.residuals
    noise = {**curve.noise, "residual_rms": float(np.nanstd(curve.residuals)), "cdpp": 3e-4, "beta": 1.2}
    return replace(
        result,
        averaging=time_averaging(curve.time, curve.residuals),
        budget=close_budget(result.series, result.aperture, relflux, stars.relflux_err),
        light_curve=replace(curve, noise=noise),
    )


def with_transit(results):
    """Sets of one target with a fitted transit and what follows from it."""
    names = [result.observed.band or result.observed.camera for result in results]
    fit = transit_fit(results, names)
    told = Choice(
        "transit",
        f"Tc {fit.tc.value:.5f} ± 0.00020; depth g 1.500 ± 0.040 %",
        f"{fit.why}; {fit.coverage_note}; 1.25 minutes late of 2460729.88000 ± 0.5 minutes, transit 7 by HOSTED",
    )
    baseline = Choice("baseline", "constant, airmass", "by the Bayesian information criterion", CANDIDATES)
    return tuple(
        noise_told(
            replace(
                result,
                transit=fit,
                curve_name=name,
                light_curve=replace(result.light_curve, model=band.model, trend=band.baseline),
                choices=(*result.choices, told, baseline),
            )
        )
        for result, name, band in zip(results, names, fit.bands, strict=True)
    )


def with_periods(results):
    """Sets of one target whose light curves were searched for periods, and the first for lags of the others."""
    searched = [
        noise_told(
            replace(
                result,
                periods=periodogram(c.time, c.flux, c.flux_err),
                flux_relation=rms_flux(c.time, c.flux, c.flux_err, duration=max(np.ptp(c.time) / 40, 1e-3)),
            )
        )
        for result, c in ((result, result.light_curve) for result in results)
    ]
    first, *others = searched
    columns = [(c.time, c.flux, c.flux_err) for c in (result.light_curve for result in searched)]
    lags = {
        other.observed.name: lag(columns[0], column, realisations=20)
        for other, column in zip(others, columns[1:], strict=True)
    }
    return (replace(first, lags=lags), *others)


def hollow(result):
    """The same set when nothing could be made of it."""
    return SetResult(observed=replace(result.observed, folder="WASP-0/empty"))


def made(results, options=None, *, only=None):
    """The contents of our products of some observations, by their paths."""
    found = {}
    for product in register_products():
        for shown in made_of(product, results, options, only=only):
            content = contents(product, shown)
            if content is not None:
                found[shown.path(product)] = content
    return found


def set_tables(result, *, only=None):
    """The tables of an observation by their paths, exports left out."""
    found = made([result], only=only).items()
    return {
        n: content
        for n, content in found
        if isinstance(content, Table | fits.HDUList) and "/export/" not in n
    }


def set_exports(result, options):
    """The exports of an observation by their paths."""
    return {name: content for name, content in made([result], options).items() if "/export/" in name}


def set_images(result):
    """The figures of an observation, not drawn yet, by their paths."""
    return {name: content for name, content in made([result]).items() if isinstance(content, Picture)}


def page_images(report):
    """The figures of a run, not drawn yet, by their paths."""
    pictures = {name: content for name, content in made(report.sets).items() if isinstance(content, Picture)}
    return pictures | master_images(report)


def write_tables(output, tables):
    for name, table in tables.items():
        write_content(output, name, table)
