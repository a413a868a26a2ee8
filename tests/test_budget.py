"""The noise budget against simulated stars whose noise is known term by term."""

from dataclasses import replace

import numpy as np
import pytest

from potpyri_like.photometry import Series
from potpyri_like.photometry.budget import (
    NoiseBudget,
    close_budget,
    noise_terms,
    photons_seen,
    shared_flat_error,
)

RADIUS, FWHM, ANNULUS = 12.0, 6.0, (20.0, 32.0)
AREA, OF_ANNULUS = np.pi * RADIUS**2, np.pi * (ANNULUS[1] ** 2 - ANNULUS[0] ** 2)
SKY = 90.0
PIXEL = {"photons": 1.0, "read-out": 36.0, "digitisation": 0.4, "dark current": 5.0, "flat": 0.0}
CADENCE = 60.0


def series_of(flux, error, *, pixel=PIXEL, xy=None, cadence=CADENCE, scintillation=0.0, sky=SKY):
    """A series of one aperture without anything remarkable; `flux` of shape (n_frames, n_stars)."""
    n, stars = flux.shape
    xy = np.zeros((n, stars, 2)) if xy is None else xy
    return Series(
        frames=tuple(f"f{i}" for i in range(n)),
        jd_utc=2460000.5 + cadence * np.arange(n) / 86400,
        bjd_tdb=None,
        exposure=np.full(n, 30.0),
        airmass=np.full(n, 1.2),
        fwhm=np.full(n, FWHM),
        ellipticity=np.full(n, 0.05),
        angle=np.zeros(n),
        scintillation=np.full(n, scintillation),
        pixel_noise={name: np.full(n, value) for name, value in pixel.items()},
        shift=np.zeros((n, 2)),
        rotation=np.zeros(n),
        matched=np.full(n, stars),
        flags=np.zeros(n, int),
        reasons=("",) * n,
        reference_xy=np.zeros((stars, 2)),
        xy=xy,
        flux=flux[:, :, None],
        flux_err=error[:, :, None],
        sky=np.full((n, stars), float(sky)),
        peak=flux / 40,
        star_flags=np.zeros((n, stars), int),
        radii=np.array([RADIUS]),
        radii_fwhm=np.array([RADIUS / FWHM]),
        annulus=ANNULUS,
    )


def drawn(rng, light, *, frames, scintillation=0.0):
    """Counts of constant stars, photon by photon: in the aperture, then the sky of the annulus taken off."""
    shape = (frames, len(light))
    air = 1 + scintillation * rng.normal(size=shape)
    pixels = rng.poisson(light * air + AREA * (SKY + PIXEL["dark current"]))
    quiet = PIXEL["read-out"] + PIXEL["digitisation"]
    level = rng.poisson(OF_ANNULUS * (SKY + PIXEL["dark current"]), shape)
    level = (level + rng.normal(0, np.sqrt(OF_ANNULUS * quiet), shape)) / OF_ANNULUS
    return pixels + rng.normal(0, np.sqrt(AREA * quiet), shape) - AREA * level


def error_of(light, *, scintillation=0.0, masters=0.0):
    """The error that goes with `drawn`, from the CCD equation."""
    pixel = SKY + PIXEL["dark current"] + PIXEL["read-out"] + PIXEL["digitisation"]
    return np.sqrt(light + (AREA + AREA**2 / OF_ANNULUS) * pixel + (scintillation * light) ** 2 + masters)


@pytest.fixture(scope="module")
def constant():
    """Forty constant stars from faint to bright in 360 frames, relative to what they truly are."""
    rng, light, air = np.random.default_rng(11), np.geomspace(3e3, 3e6, 40), 4e-4
    flux = drawn(rng, light, frames=360, scintillation=air)
    error = np.broadcast_to(error_of(light, scintillation=air), flux.shape)
    series = series_of(flux, error, scintillation=air)
    return series, flux / light, error / light, light


def closes(budget):
    """Whether predicted and measured noise agree at every time scale, within 4 standard errors of the median star."""
    off = np.nanmedian(budget.ratio, axis=0) - 1
    sure = 1.25 * np.nanmedian(budget.uncertainty, axis=0) / np.sqrt(len(budget.ratio))
    return bool(np.all(np.abs(off) < 4 * sure))


# -- terms ---------------------------------------------------------------------------------------------------


def test_the_terms_are_those_that_were_put_in(constant):
    series, relflux, error, light = constant
    terms = {
        name: np.sqrt(value.mean(axis=0)) for name, value in noise_terms(series, 0, relflux, error).items()
    }
    pixel = SKY + PIXEL["dark current"] + PIXEL["read-out"] + PIXEL["digitisation"]
    truth = {
        "star": light,
        "sky": AREA * SKY,
        "dark current": AREA * PIXEL["dark current"],
        "read-out": AREA * PIXEL["read-out"],
        "digitisation": AREA * PIXEL["digitisation"],
        "sky level": AREA**2 / OF_ANNULUS * pixel,
        "scintillation": (4e-4 * light) ** 2,
    }
    for name, variance in truth.items():
        assert terms[name] == pytest.approx(np.sqrt(variance) / light, rel=0.03), name
    assert set(terms) == {*truth, "flat", "masters", "comparison stars"}
    assert not terms["flat"].any()


def test_the_terms_add_up_to_the_squared_error(constant):
    series, relflux, error, _ = constant
    larger = error * 1.2  # comparison stars
    more = replace(series, flux_err=series.flux_err * 1.05)  # masters
    for one, given in ((series, error), (series, larger), (more, larger)):
        total = sum(noise_terms(one, 0, relflux, given).values())
        np.testing.assert_allclose(total, given**2, rtol=1e-9)


def test_what_a_star_s_error_does_not_explain_is_the_comparison_stars(constant):
    series, relflux, error, _ = constant
    terms = noise_terms(series, 0, relflux, np.hypot(error, 2e-3))
    own = series.flux_err[..., 0] * relflux / series.flux[..., 0]
    np.testing.assert_allclose(terms["comparison stars"], error**2 + 4e-6 - own**2, rtol=1e-6)
    bright = terms["comparison stars"][:, -20:]
    assert np.sqrt(bright.mean()) == pytest.approx(2e-3, rel=0.03)


def test_what_no_name_explains_is_the_masters(constant):
    series, relflux, _, light = constant
    masters = 0.3 * AREA**2  # a master whose error a whole aperture shares
    error = np.broadcast_to(error_of(light, scintillation=4e-4, masters=masters), relflux.shape)
    terms = noise_terms(replace(series, flux_err=error[..., None]), 0, relflux, error / light)
    left = np.sqrt(terms["masters"].mean(axis=0))[:25] * light[:25]
    assert left == pytest.approx(np.sqrt(masters), rel=0.05)


def test_a_wrong_gain_multiplies_the_terms_of_photons_alone(constant):
    series, relflux, error, _ = constant
    pixel = {**series.pixel_noise, "photons": np.full(len(relflux), 1.3)}
    large = replace(series, flux_err=2 * series.flux_err)  # room for them
    plain, more = (
        noise_terms(replace(large, pixel_noise=p), 0, relflux, error) for p in (series.pixel_noise, pixel)
    )
    for name in ("star", "sky"):
        np.testing.assert_allclose(more[name], 1.3 * plain[name], rtol=1e-9)
    for name in ("read-out", "dark current", "digitisation"):
        np.testing.assert_allclose(more[name], plain[name], rtol=1e-9)


# -- against what is measured --------------------------------------------------------------------------------


def test_the_budget_of_constant_stars_closes_at_every_time_scale(constant):
    series, relflux, error, _ = constant
    budget = close_budget(series, 0, relflux, error)
    assert budget.width.tolist() == [0, 2, 5, 10, 15, 30]
    assert budget.predicted.shape == budget.measured.shape == (40, 6)
    pull = (budget.ratio - 1) / budget.uncertainty
    assert closes(budget)
    assert np.all((pull.std(axis=0) > 0.7) & (pull.std(axis=0) < 1.4))


def test_the_first_column_is_the_sum_of_the_terms(constant):
    series, relflux, error, _ = constant
    budget = close_budget(series, 0, relflux, error)
    assert budget.predicted[:, 0] == pytest.approx(
        np.sqrt(sum(value**2 for value in budget.terms.values())), rel=1e-9
    )


def test_red_noise_is_betrayed_by_the_longer_time_scales(constant):
    series, relflux, error, _ = constant
    rng, red, keep = np.random.default_rng(4), np.zeros(len(relflux)), np.exp(-1 / 20)  # 20 minutes
    for i in range(1, len(red)):
        red[i] = keep * red[i - 1] + np.sqrt(1 - keep**2) * rng.normal()
    star = 30
    spoilt = relflux.copy()
    spoilt[:, star] += error[0, star] * red
    budget = close_budget(series, 0, spoilt, error)
    ratio = budget.ratio[star]
    assert ratio[0] == pytest.approx(1 / np.sqrt(2), rel=0.2)
    assert np.all(np.diff(ratio[:4]) < 0)
    assert ratio[3] < 0.45
    others = np.delete(budget.ratio, star, axis=0)
    assert np.nanmin(np.median(others, axis=0)) > 0.9


def test_errors_half_of_the_truth_show_as_a_half(constant):
    series, relflux, error, _ = constant
    half = replace(series, flux_err=series.flux_err / 2)
    budget = close_budget(half, 0, relflux, error / 2)
    assert np.median(budget.ratio, axis=0) == pytest.approx(0.5, rel=0.06)


# -- the flat ------------------------------------------------------------------------------------------------

PIXEL_ERROR = 0.01  # of the flat
OF_FLAT = np.sqrt(2 * np.log(2) / np.pi) / FWHM * PIXEL_ERROR  # of a star: sum of a Gaussian's squared pixels


def profile_at(x, y, shape):
    """A Gaussian star of flux 1."""
    sigma = FWHM / np.sqrt(8 * np.log(2))
    rows = np.exp(-((np.arange(shape[0]) - y) ** 2) / (2 * sigma**2))
    columns = np.exp(-((np.arange(shape[1]) - x) ** 2) / (2 * sigma**2))
    return rows[:, None] * columns / (2 * np.pi * sigma**2)


def over_a_flat(rng, track, *, stars=30):
    """Relative fluxes of bright stars whose track (n_frames, 2) lies on flats of known errors; errors, and a series."""
    light, shape = 2e6, (48, 120)
    y, x = np.indices(shape)
    flux = np.empty((len(track), stars))
    sensitivity = 1 + PIXEL_ERROR * rng.normal(size=(stars, *shape))
    for i, (at_x, at_y) in enumerate(track):
        within = np.hypot(x - at_x, y - at_y) <= RADIUS
        flux[i] = np.tensordot(sensitivity, light * profile_at(at_x, at_y, shape) * within, 2)
    flux += rng.normal(0, np.sqrt(light), flux.shape)
    pixel = {**dict.fromkeys(PIXEL, 0.0), "photons": 1.0, "flat": PIXEL_ERROR**2}
    error = np.full(flux.shape, np.hypot(np.sqrt(light), OF_FLAT * light))
    xy = np.repeat(track[:, None, :], stars, axis=1)
    series = series_of(flux, error, pixel=pixel, xy=xy, sky=0.0)
    return series, flux / flux.mean(axis=0), error / light


def tracks(rng, frames=240):
    """A star that stays, one that wanders over many FWHM, one that drifts slowly over a few."""
    middle = np.array([60.0, 24.0])
    drift = np.column_stack([np.linspace(-30, 30, frames), np.zeros(frames)])
    return {
        "stays": np.tile(middle, (frames, 1)),
        "wanders": middle + rng.uniform((-45, -9), (45, 9), (frames, 2)),
        "drifts": middle + drift,
    }


@pytest.mark.parametrize("kind", ["stays", "wanders", "drifts"])
def test_the_error_of_the_flat_shows_only_where_stars_move(rng, kind):
    series, relflux, error = over_a_flat(rng, tracks(rng)[kind])
    budget = close_budget(series, 0, relflux, error)
    # Thirty stars, each on pixels of its own, and about ten independent places for one that drifts.
    assert np.median(budget.ratio[:, 0]) == pytest.approx(1, abs=0.12 if kind == "drifts" else 0.03)
    assert np.median(budget.ratio, axis=0) == pytest.approx(1, abs=0.2)
    photons = np.sqrt(1 / 2e6)
    expected = photons if kind == "stays" else np.hypot(photons, OF_FLAT)
    assert np.median(budget.measured[:, 0]) == pytest.approx(expected, rel=0.12)
    assert np.median(budget.terms["flat"]) == pytest.approx(OF_FLAT, rel=0.03)


@pytest.mark.parametrize("apart", [1.0, 2.5, 4.0, 7.0])
def test_two_places_share_the_flat_s_error_as_far_as_their_profiles_overlap(apart):
    one, other = profile_at(40, 24, (48, 120)), profile_at(40 + 0.6 * apart, 24 + 0.8 * apart, (48, 120))
    overlap = (one * other).sum() / (one * one).sum()  # the correlation of two sums over one white noise
    assert shared_flat_error(np.array(apart**2), FWHM) == pytest.approx(overlap, rel=1e-3)


@pytest.mark.parametrize("apart", [2.0, 4.0])
def test_a_field_that_jumps_by_less_than_its_seeing_sees_a_part_of_the_flat_s_error(apart):
    frames, light = 120, 1e7
    track = np.tile([[40.0, 24.0], [40.0 + apart, 24.0]], (frames // 2, 1))
    pixel = {**dict.fromkeys(PIXEL, 0.0), "photons": 1.0, "flat": PIXEL_ERROR**2}
    error = np.full((frames, 5), np.hypot(np.sqrt(light), OF_FLAT * light))
    series = series_of(
        np.full((frames, 5), light), error, pixel=pixel, xy=np.repeat(track[:, None], 5, axis=1), sky=0.0
    )
    budget = close_budget(series, 0, np.ones((frames, 5)), error / light)
    difference = profile_at(40, 24, (48, 120)) - profile_at(40 + apart, 24, (48, 120))
    jump = PIXEL_ERROR * np.sqrt(np.square(difference).sum())  # of the flux from one place to the other
    assert budget.predicted[0, 0] == pytest.approx(np.hypot(1 / np.sqrt(light), jump / 2), rel=0.02)


def test_the_flat_counts_for_star_and_sky_together(rng):
    light, level = 1e5, 800.0
    y, x = np.indices((41, 41)) - 20
    image = (light * profile_at(20, 20, x.shape) + level) * (np.hypot(x, y) <= RADIUS)
    seen = np.tensordot(PIXEL_ERROR * rng.normal(size=(4000, *x.shape)), image, 2)
    pixel = {**dict.fromkeys(PIXEL, 0.0), "photons": 1.0, "flat": PIXEL_ERROR**2}
    flux = np.full((4, 1), light)
    error = np.full((4, 1), 1e5)
    term = noise_terms(series_of(flux, error, pixel=pixel, sky=level), 0, flux / light, error / light)["flat"]
    assert np.sqrt(term[0, 0]) * light == pytest.approx(seen.std(), rel=0.05)


# -- what may be missing -------------------------------------------------------------------------------------


def test_frames_without_a_measurement_are_left_out(constant):
    series, relflux, error, _ = constant
    lost = np.zeros(len(relflux), bool)
    lost[50:90] = lost[::7] = True
    flux, flux_err, xy = series.flux.copy(), series.flux_err.copy(), series.xy.copy()
    flux[lost] = flux_err[lost] = np.nan
    xy[lost] = np.nan
    sky, fwhm = series.sky.copy(), series.fwhm.copy()
    sky[lost] = fwhm[lost] = np.nan
    scintillation = np.where(lost, np.nan, series.scintillation)
    gappy = replace(
        series, flux=flux, flux_err=flux_err, xy=xy, sky=sky, fwhm=fwhm, scintillation=scintillation
    )
    hole = np.where(lost[:, None], np.nan, relflux)
    budget = close_budget(gappy, 0, hole, np.where(lost[:, None], np.nan, error))
    assert closes(budget)


def test_a_cloudy_frame_that_is_not_usable_does_not_count(constant):
    series, relflux, error, _ = constant
    cloudy = relflux.copy()
    cloudy[100:140] *= 0.5
    clear = np.ones(len(relflux), bool)
    clear[100:140] = False
    budget = close_budget(series, 0, cloudy, error, usable=clear)
    assert closes(budget)


def test_one_cosmic_ray_is_no_noise(constant):
    series, relflux, error, _ = constant
    hit = relflux.copy()
    hit[77, -1] = 1.5
    assert close_budget(series, 0, hit, error).ratio[-1, 0] == pytest.approx(1, abs=0.15)


def test_a_star_never_measured_has_no_budget(constant):
    series, relflux, error, _ = constant
    relflux, flux = relflux.copy(), series.flux.copy()
    relflux[:, 3] = flux[:, 3] = np.nan
    budget = close_budget(replace(series, flux=flux), 0, relflux, error)
    assert np.isnan(budget.ratio[3]).all()
    assert np.isnan(budget.terms["star"][3])
    assert np.isfinite(np.delete(budget.ratio, 3, axis=0)).all()


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_too_few_frames_tell_nothing(rng, frames):
    flux = drawn(rng, np.array([1e4, 1e5]), frames=frames)
    series = series_of(flux, np.broadcast_to(error_of(np.array([1e4, 1e5])), flux.shape))
    budget = close_budget(series, 0, flux / [1e4, 1e5], series.flux_err[..., 0] / [1e4, 1e5])
    assert budget.width.tolist() == [0]
    assert np.isnan(budget.measured).all()
    assert np.isfinite(budget.terms["star"]).all()


def test_a_series_that_does_not_tell_of_its_pixels_has_its_whole_error_in_no_name(constant):
    series, relflux, error, _ = constant
    bare = replace(series, pixel_noise={}, scintillation=np.zeros(len(relflux)))
    terms = noise_terms(bare, 0, relflux, error)
    np.testing.assert_allclose(sum(terms.values()), error**2, rtol=1e-9)
    assert closes(close_budget(bare, 0, relflux, error))


def test_the_arguments_are_not_changed(constant):
    series, relflux, error, _ = constant
    usable = np.arange(len(relflux)) % 5 > 0
    before = [a.copy() for a in (relflux, error, usable, series.flux, series.xy, series.sky)]
    close_budget(series, 0, relflux, error, usable=usable)
    for value, then in zip((relflux, error, usable, series.flux, series.xy, series.sky), before, strict=True):
        np.testing.assert_array_equal(value, then)


def test_many_stars_tell_their_ratio_better_than_one(constant):
    series, relflux, error, _ = constant
    budget = close_budget(series, 0, relflux, error)
    halves = [budget.typical_ratio(np.arange(first, 40, 2), 0) for first in (0, 1)]
    for middle, sure in halves:
        assert sure == pytest.approx(2 / np.sqrt(2 * 359 * 20), rel=0.01)
        assert abs(middle - 1) < 2 * sure
    assert np.isnan(budget.typical_ratio(np.arange(0), 0)).all()


# -- the gain, from stars alone --------------------------------------------------------------------------------------


def scattering(rng, factor, *, stars=20, frames=60, systematic=0.0):
    """A budget of stars whose photons scatter by a factor in variance, and their light by a part of it besides."""
    light = np.geomspace(3e4, 3e6, stars)
    photons, read = 1 / light, 200 * 36 / light**2
    sky = 0.5 * photons * (3e4 / light)
    real = factor * (photons + sky) + read + systematic**2
    measured = np.sqrt(real * rng.chisquare(frames - 1, stars) / (frames - 1))
    return NoiseBudget(
        terms={"star": np.sqrt(photons), "sky": np.sqrt(sky), "read-out": np.sqrt(read)},
        width=np.zeros(1),
        predicted=np.sqrt(photons + sky + read)[:, None],
        measured=measured[:, None],
        uncertainty=np.full((stars, 1), 1 / np.sqrt(2 * frames)),
    )


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_the_gain_is_seen_from_the_scatter_of_stars(rng, factor):
    found, error = photons_seen(scattering(rng, factor), np.arange(20))
    # a variance of 60 values is known to 18 %, that of twenty stars to 4 %, their median to 5 %
    assert found == pytest.approx(factor, rel=0.2)
    assert error < 0.12 * factor


def test_noise_that_is_not_of_photons_tells_nothing_of_the_gain(rng):
    assert np.isnan(photons_seen(scattering(rng, 1.0, systematic=3e-3), np.arange(20))[0])
    assert np.isnan(photons_seen(scattering(rng, 2.0), np.arange(4))[0])
