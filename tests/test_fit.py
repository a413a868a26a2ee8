"""One transit in several bands: what was put in comes out, with errors that are right."""

from dataclasses import replace

import numpy as np
import pytest

from potpyri_like.errors import ReductionError
from potpyri_like.lightcurves._joint import solve, thinned, transits
from potpyri_like.lightcurves._steps import model_of, opened
from potpyri_like.lightcurves.curves import BandCurve, Prior, TransitPriors
from potpyri_like.lightcurves.fit import CANDIDATES, fit_transit
from potpyri_like.lightcurves.search import find_transit
from potpyri_like.lightcurves.transit import transit_depth, transit_light_curve

pytestmark = pytest.mark.slow  # each curve is fitted and sampled

ZERO = 2460000.0
DARK = {"g": (0.57, 0.20), "r": (0.39, 0.28), "i": (0.30, 0.29)}
SPAN, N = 0.22, 160  # days, frames


def red_noise(rng, n, cadence, *, scale=20 / 1440):
    """Exponentially correlated noise of unit scatter."""
    memory = np.exp(-cadence / scale)
    steps = rng.normal(size=n) * np.where(np.arange(n) > 0, np.sqrt(1 - memory**2), 1)
    noise = np.empty(n)
    last = 0.0
    for i, step in enumerate(steps):
        last = noise[i] = memory * last + step
    return noise


def night(seed=0, *, s_n=50, bands="gri", tc=0.11, t14=0.1, b=0.3, k=0.1, slopes=False, red=0.0, n=N):
    """Curves of one transit, as deep as k**2, at a signal to noise of about `s_n` in each band."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, SPAN, n)
    sigma = 0.01 * np.sqrt(n * t14 / SPAN) / s_n
    curves = []
    for j, band in enumerate(bands):
        radius = k[j] if np.ndim(k) else k
        shape = {"tc": tc, "t14": t14, "b": b, "u1": DARK[band][0], "u2": DARK[band][1], "exposure": SPAN / n}
        columns = {
            "airmass": 1 + 1.6 * (time / SPAN - 0.3) ** 2,
            "x": 0.05 * np.cumsum(rng.normal(size=n)),
            "y": 0.05 * np.cumsum(rng.normal(size=n)),
            "fwhm": 4 + 0.2 * rng.normal(size=n),
        }
        flux = transit_light_curve(time, k=radius, **shape) if radius else np.ones(n)
        if slopes:
            flux = flux * (1 + 0.003 * (columns["airmass"] - 1) + 5e-4 * columns["x"] - 4e-4 * columns["y"])
        noise = rng.normal(size=n) + (red * red_noise(rng, n, SPAN / n) if red else 0)
        curves.append(
            BandCurve(band, ZERO + time, flux + sigma * noise, np.full(n, sigma), SPAN / n, columns)
        )
    return curves


def pull(estimate, truth):
    side = estimate.minus if estimate.value > truth else estimate.plus
    return (estimate.value - truth) / side


def true_depths(*, b=0.3, k=0.1, bands="gri"):
    return [float(transit_depth(k=k, b=b, u1=DARK[band][0], u2=DARK[band][1])) for band in bands]


def pulls(n_sets, **options):
    """Pulls of the mid-time, shape (n_sets,), and of the depths, shape (n_sets, 3); relative errors of depths."""
    truth = np.array(true_depths())
    mid, deep, off = [], [], []
    for seed, s_n in enumerate(np.geomspace(12, 200, n_sets)):
        fit = fit_transit(night(seed, s_n=s_n, **options), sample=False)
        mid.append(pull(fit.tc, ZERO + 0.11))
        deep.append([pull(band.depth, one) for band, one in zip(fit.bands, truth, strict=True)])
        off.append(np.array([band.depth.value for band in fit.bands]) / truth - 1)
    return np.array(mid), np.array(deep), np.array(off)


@pytest.fixture(scope="module")
def plain():
    return fit_transit(night(3, s_n=80), sample=False)


def test_a_transit_is_found_whole_or_half():
    for tc in (0.0, 0.11, 0.22):
        found = find_transit(night(1, s_n=40, tc=tc))
        assert abs(found.tc - ZERO - tc) < 0.015
        assert found.significance > 8
        assert (found.depths > 0.005).all()


def test_white_noise_holds_no_transit():
    assert max(find_transit(night(seed, k=0)).significance for seed in range(5)) < 5.5


def test_the_priors_say_where_to_search():
    priors = TransitPriors(tc=Prior(ZERO + 0.05, 0.002), t14=Prior(0.1, 0))
    found = find_transit(night(1, s_n=40), priors=priors)
    assert abs(found.tc - ZERO - 0.05) <= 0.0081
    assert found.t14 == 0.1


def test_what_was_put_in_comes_out(plain):
    assert abs(pull(plain.tc, ZERO + 0.11)) < 3
    assert abs(pull(plain.t14, 0.1)) < 3
    for band, truth in zip(plain.bands, true_depths(), strict=True):
        assert abs(pull(band.depth, truth)) < 3
        assert abs(pull(band.k2, 0.01)) < 3
        assert band.depth.plus < 0.1 * truth
        assert band.scale == pytest.approx(1, abs=0.15)
    assert plain.chi2 / plain.dof == pytest.approx(1, abs=0.2)


def test_a_clear_transit_is_detected_and_whole(plain):
    assert plain.detected
    assert plain.significance > 40
    assert "is significant" in plain.why
    assert plain.coverage == "full"


def test_flux_is_transit_times_baseline_plus_residuals(plain):
    for curve, band in zip(night(3, s_n=80), plain.bands, strict=True):
        np.testing.assert_allclose(band.model * band.baseline + band.residuals, curve.flux, rtol=1e-12)
        assert band.rms == pytest.approx(np.std(band.residuals[band.used], ddof=1))


def test_one_planet_has_one_radius_and_another_in_each_band_is_noticed(plain):
    chi2, dof, probability = plain.chromaticity
    assert dof == 2
    assert chi2 >= 0
    assert probability > 0.001
    coloured = fit_transit(night(3, s_n=80, k=(0.08, 0.1, 0.12)), sample=False)
    assert coloured.chromaticity[2] < 1e-4


def test_without_a_transit_none_is_detected():
    fit = fit_transit(night(2, k=0, bands="r"), sample=False)
    assert not fit.detected
    assert "is not significant" in fit.why


@pytest.mark.parametrize(("tc", "coverage"), [(0.0, "egress only"), (0.22, "ingress only")])
def test_half_a_transit_is_told(tc, coverage):
    priors = TransitPriors(t14=Prior(0.1, 0.002))
    fit = fit_transit(night(1, s_n=40, tc=tc, bands="r"), priors=priors, sample=False)
    assert fit.coverage == coverage
    assert "was not observed" in fit.coverage_note
    assert abs(pull(fit.tc, ZERO + tc)) < 3.5
    assert np.isnan(fit.chromaticity[2])


def test_a_prior_of_no_width_is_held():
    priors = TransitPriors(b=Prior(0.3, 0), t14=Prior(0.1, 0), period=Prior(3.0, 0))
    fit = fit_transit(night(1, s_n=40, bands="r"), priors=priors, sample=False)
    assert (fit.b.value, fit.b.minus) == (0.3, 0)
    assert fit.t14.value == pytest.approx(0.1, rel=1e-12)
    assert fit.period == 3.0


def test_outliers_and_holes_are_left_out():
    curve = night(4, bands="r")[0]
    flux = curve.flux.copy()
    flux[[20, 130]] += (0.02, -0.02)
    flux[50] = np.nan
    before = flux.copy()
    fit = fit_transit([replace(curve, flux=flux)], sample=False)
    assert fit.n_outliers == 2
    assert set(np.flatnonzero(~fit.bands[0].used)) == {20, 50, 130}
    np.testing.assert_array_equal(flux, before)
    assert np.isnan(fit.bands[0].residuals[50])


def test_errors_that_promise_too_much_are_raised():
    curve = night(5, bands="r")[0]
    fit = fit_transit([replace(curve, error=curve.error / 2)], sample=False)
    assert fit.bands[0].scale == pytest.approx(2, rel=0.15)


def test_red_noise_widens_the_errors():
    white = fit_transit(night(6, bands="r", s_n=60), sample=False)
    red = fit_transit(night(6, bands="r", s_n=60, red=1.0), sample=False)
    assert white.bands[0].beta < 1.3
    assert red.bands[0].beta > 1.4


def test_a_meridian_flip_is_taken_out():
    curve = night(7, bands="r", s_n=150)[0]
    stepped = replace(curve, flux=curve.flux * np.where(curve.time > ZERO + 0.19, 1.004, 1.0))
    fit = fit_transit([stepped], steps=(ZERO + 0.19,), sample=False)
    assert "flip" in fit.bands[0].chosen
    assert fit.bands[0].coefficients["flip"] == pytest.approx(0.004, rel=0.3)
    assert abs(pull(fit.bands[0].depth, true_depths(bands="r")[0])) < 3


def test_too_few_points_are_a_clear_error():
    curve = night(1, bands="r")[0]
    short = BandCurve("r", curve.time[:8], curve.flux[:8], curve.error[:8])
    with pytest.raises(ReductionError, match="8 points are measured, a transit fit needs at least 12"):
        fit_transit([short])
    with pytest.raises(ReductionError, match="no light curve"):
        fit_transit([])
    with pytest.raises(ReductionError, match="no light curve"):
        find_transit([])
    with pytest.raises(ReductionError, match="two light curves are called r"):
        fit_transit([curve, curve])
    with pytest.raises(ReductionError, match="have the shapes"):
        fit_transit([replace(curve, flux=curve.flux[:-1])])


def test_priors_that_exclude_each_other_are_a_clear_error():
    dark = {"r": ((0.9, 0.0), (0.5, 0.01))}
    priors = TransitPriors(
        tc=Prior(ZERO + 0.11, 0.001), t14=Prior(0.1, 0), b=Prior(0.3, 0), limb_darkening=dark
    )
    with pytest.raises(ReductionError, match="the transit priors are incompatible"):
        fit_transit(night(1, bands="r", s_n=200), priors=priors)


def test_thinned_points_weigh_and_mean_the_same():
    curve = night(1, bands="r", slopes=True)[0]
    band = opened(curve, ZERO, CANDIDATES, ())
    priors = TransitPriors(tc=Prior(ZERO + 0.11), t14=Prior(0.1), b=Prior(0.3), k=Prior(0.1))
    model = model_of((band,), priors, ZERO)
    fewer = replace(model, parts=(thinned(model.parts[0], 0.003),))
    assert fewer.parts[0].time.size < 90
    coefficients = [solve(one.parts[0], transits(one, one.mean[None], 0))[0][0] for one in (model, fewer)]
    information = solve(model.parts[0], transits(model, model.mean[None], 0))[1][0]
    error = np.sqrt(np.diag(np.linalg.inv(information)))
    assert np.max(np.abs(coefficients[1] - coefficients[0]) / error) < 0.7


@pytest.mark.slow
def test_errors_are_right_at_every_signal_to_noise():
    mid, deep, off = pulls(20)
    assert abs(mid.mean()) < 0.5
    assert 0.7 < mid.std() < 1.4
    assert abs(deep.mean()) < 0.3
    assert 0.7 < deep.std() < 1.2  # nine useless columns make the errors cautious
    assert abs(off[8:].mean()) < 0.03


@pytest.mark.slow
def test_samples_agree_with_least_squares_and_repeat_to_the_bit():
    curves = night(3, s_n=80, bands="gr", n=120)
    gauss, once, again = (fit_transit(curves, sample=sample, seed=4) for sample in (False, True, True))
    np.testing.assert_array_equal(once.samples, again.samples)
    assert 0.15 < once.acceptance < 0.6
    assert once.autocorrelation < 150
    assert abs(once.tc.value - gauss.tc.value) < 0.5 * gauss.tc.plus
    assert 0.7 < once.tc.plus / gauss.tc.plus < 1.4
    for band, truth in zip(once.bands, true_depths(bands="gr"), strict=True):
        assert abs(pull(band.depth, truth)) < 3


@pytest.mark.slow
def test_errors_hold_within_a_factor_of_two_in_red_noise_and_slopes():
    # A night has some fifteen correlation times in each band: too few to know red noise well.
    mid, deep, off = pulls(20, slopes=True, red=0.5)
    assert abs(deep.mean()) < 0.6
    assert np.median(np.abs(deep)) < 2 * 0.6745
    assert np.median(np.abs(mid)) < 2 * 0.6745
    assert abs(off[8:].mean()) < 0.03
