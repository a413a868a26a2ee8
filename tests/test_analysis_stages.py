"""The stages that read light curves: transits, noise, periods, lags."""

from dataclasses import replace
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from fake_report import make_set

from potpyri_like.errors import UsageError
from potpyri_like.frame import FrameFlag, StarFlag
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.lightcurves import Estimate, beta_at, flip_times
from potpyri_like.lightcurves.transit import transit_depth, transit_light_curve
from potpyri_like.options import Options
from potpyri_like.photometry import LightCurve
from potpyri_like.primitives.average_over_time import AverageOverTime, _out_of_transit
from potpyri_like.primitives.compute_noise_budget import ComputeNoiseBudget
from potpyri_like.primitives.fit_transit import (
    FitTransit,
    band_curve,
    curve_names,
    late,
    usable_flux,
    with_sure_clocks,
)
from potpyri_like.primitives.search_periods import SearchPeriods, period_words
from potpyri_like.primitives.stage import Setup, Work
from potpyri_like.results import Grade, StarTable
from potpyri_like.sky.archive import ENVIRONMENT, Ephemeris

START, NOISE, TARGET = 2460730.0, 1e-3, 2
TRANSIT = {"tc": START + 0.1003, "t14": 0.1, "b": 0.3}
DARK = {"g": (0.60, 0.12), "r": (0.40, 0.22), "z": (0.25, 0.22)}
RADIUS = {"g": 0.12, "r": 0.121, "z": 0.119}


class Tools:
    """What the pipeline lends, as far as these stages borrow it."""

    def __init__(self, **options):
        self.options = Options(**options)


def times(n, hours=4.8):
    return START + np.linspace(0, hours / 24, n)


def light_curve(time, flux, *, error=NOISE, flags=0, band="g", camera="C1", wander=None):
    """A light curve of the third star, and nothing remarkable beside it."""
    n, flat = len(time), np.ones(len(time))
    return LightCurve(
        star=TARGET, target="WASP-0", band=band, camera=camera, time_name="bjd_tdb", time=time, flux=flux,
        flux_err=np.full(n, error), x=100 + (0 * flat if wander is None else wander), y=100 + 0 * flat, fwhm=6 * flat,
        sky=100 * flat, airmass=1.1 + 0.3 * (time - time.mean()) ** 2 / 0.01, comparison=1e6 * flat,
        flags=np.zeros(n, int) + flags, frames=tuple(f"f{i}" for i in range(n)), radius=12.0, radius_fwhm=2.0,
        annulus=(20.0, 32.0), model=flat, trend=flat, noise={"rms": 1e-3},
    )  # fmt: skip


def work_of(curve, *, score=1.0, seed=1):
    """The work on one set whose light curve is given; its series has the same frames."""
    n = len(curve.time)
    result = make_set(band=curve.band, camera=curve.camera, n_frames=n, seed=seed)
    series = replace(
        result.series, jd_utc=curve.time, bjd_tdb=curve.time, rotation=np.zeros(n), flags=np.zeros(n, int)
    )
    stars = result.stars
    table = StarTable(**{**vars(stars), "score": np.where(np.arange(12) == TARGET, score, 1.0)})
    result = replace(result, series=series, stars=table, light_curve=curve, choices=(), problems=(), notes=())
    return Work(result.observed, Setup(Opticam()), result, target_star=TARGET)


def choice(work, what):
    return next(c for c in work.result.choices if c.what == what)


# -- transits ------------------------------------------------------------------------------------------------


def transit_in(band, time):
    u1, u2 = DARK[band]
    return transit_light_curve(time, k=RADIUS[band], u1=u1, u2=u2, **TRANSIT)


def nights(bands, *, n=80, depth=True, seed=8):
    """Works on light curves of one transit, or of none."""
    rng, time = np.random.default_rng(seed), times(n)
    flux = {
        band: (transit_in(band, time) if depth else np.ones(n)) + NOISE * rng.normal(size=n) for band in bands
    }
    cameras = dict(zip(bands, ("C1", "C2", "C3"), strict=False))
    return tuple(work_of(light_curve(time, flux[b], band=b, camera=cameras[b])) for b in bands)


@pytest.fixture(scope="module")
def fitted():
    """Three bands of one transit."""
    return FitTransit()(nights("grz", n=60), Tools())


@pytest.mark.slow
def test_mid_time_and_depths_of_three_bands_come_back(fitted):
    fit = fitted[0].result.transit
    assert all(work.result.transit is fit for work in fitted)
    assert abs(fit.tc.value - TRANSIT["tc"]) < 4 * (fit.tc.plus + fit.tc.minus) / 2
    assert fit.tc.plus < 60 / 86400
    for work in fitted:
        band, name = work.result.band_fit, work.observed.band
        true = transit_depth(k=RADIUS[name], b=TRANSIT["b"], u1=DARK[name][0], u2=DARK[name][1])
        assert abs(band.depth.value - float(true)) < 4 * (band.depth.plus + band.depth.minus) / 2
        assert band.depth.plus < 0.1 * true


@pytest.mark.slow
def test_the_choice_tells_the_transit_and_the_baseline_what_it_follows(fitted):
    fit = fitted[0].result.transit
    for work in fitted:
        told = choice(work, "transit")
        assert told.chosen.startswith(f"Tc {fit.tc.value:.5f} ± ")
        assert all(f"{band} " in told.chosen for band in "grz")
        assert fit.why in told.why
        assert fit.coverage_note in told.why
        baseline = choice(work, "baseline")
        assert baseline.chosen.startswith("constant")
        assert {c.name for c in baseline.candidates} >= {"airmass", "x", "y"}
        assert not work.result.problems


@pytest.mark.slow
def test_the_light_curve_gets_its_model_and_its_baseline(fitted):
    for work in fitted:
        curve = work.result.light_curve
        assert curve.model.min() < 1 - 0.01
        assert np.std(curve.residuals) == pytest.approx(NOISE, rel=0.35)
        assert np.median(curve.detrended[np.abs(curve.time - TRANSIT["tc"]) > 0.06]) == pytest.approx(
            1, abs=5e-4
        )


def test_a_night_without_a_transit_has_none():
    (work,) = FitTransit()(nights("r", depth=False), Tools())
    assert work.result.transit is None
    assert choice(work, "transit").chosen == "none"
    assert "--fit transit" in choice(work, "transit").why
    assert (work.result.light_curve.model == 1).all()


def test_without_a_fit_asked_for_nothing_changes():
    works = nights("gr")
    assert FitTransit()(works, Tools(fit="none")) is works
    bare = tuple(work.found(light_curve=None) for work in works)
    assert FitTransit()(bare, Tools()) is bare


def test_a_light_curve_of_few_points_is_passed_over():
    few = nights("g", n=11)
    assert FitTransit()(few, Tools(fit="transit")) is few


@pytest.mark.slow
def test_an_ephemeris_says_how_late_the_transit_is():
    early = TRANSIT["tc"] - 100 * 1.5 - 4 / 1440  # by which it comes four minutes late
    (work,) = FitTransit()(nights("r"), Tools(ephemeris=f"{early:.6f} 1.5 0.1"))
    fit = work.result.transit
    assert abs(fit.tc.value - TRANSIT["tc"]) < 4 * (fit.tc.plus + fit.tc.minus) / 2
    assert fit.period == 1.5
    why = choice(work, "transit").why
    late, _, rest = why.rpartition("; ")[2].partition(" minutes after ")
    assert float(late) == pytest.approx(4, abs=1440 * 4 * fit.tc.plus)
    assert rest == f"transit 100 according to --ephemeris, due at {TRANSIT['tc'] - 4 / 1440:.5f}"


@pytest.mark.parametrize(("minutes", "words"), [(3, "3.00 minutes after"), (-12, "12.00 minutes before")])
def test_a_transit_is_early_or_late_by_its_ephemeris(minutes, words):
    ephemeris = Ephemeris("", tc=2460000.0, period=2.0, tc_error=1 / 1440, source="--ephemeris")
    fit = SimpleNamespace(tc=Estimate(2460020.0 + minutes / 1440, 1e-4, 1e-4))
    (told,) = late(fit, ephemeris)
    assert told == f"{words} transit 10 according to --ephemeris, due at 2460020.00000 ± 1.0 minutes"
    assert late(fit, None) == []


def test_a_fit_gets_exposures_in_the_unit_of_its_times():
    (work,) = nights("r", n=30, depth=False)
    curve = band_curve(work, "r")
    exposed = (work.result.series.exposure * u.s).to_value(u.day)
    assert curve.exposure == pytest.approx(exposed) and np.all(exposed > 0)
    assert set(curve.columns) == {"airmass", "x", "y", "fwhm", "sky", "comparison"}


@pytest.mark.slow
def test_a_transit_that_is_due_and_does_not_show_is_fitted_and_not_detected():
    (work,) = FitTransit()(nights("r", depth=False), Tools(ephemeris=f"{TRANSIT['tc']:.6f} 1.5"))
    fit = work.result.transit
    assert not fit.detected
    assert fit.why in choice(work, "transit").why
    assert abs(fit.tc.value - TRANSIT["tc"]) < 4 * 0.02
    depth = fit.bands[0].depth
    assert depth.value - 3 * depth.minus < 5e-4


@pytest.mark.parametrize("away", [0.75, -0.75, 0.3])
def test_a_transit_that_is_not_due_in_the_night_is_not_fitted(away):
    ephemeris = f"{TRANSIT['tc'] + away - 20 * 1.5:.6f} 1.5 0.1"
    (work,) = FitTransit()(nights("r", depth=False), Tools(ephemeris=ephemeris))
    assert work.result.transit is None
    told = choice(work, "transit")
    assert told.chosen == "none"
    assert told.why.startswith("according to --ephemeris, the nearest transit is at 246")
    assert f"span {START:.4f} to {START + 0.2:.4f}" in told.why


@pytest.mark.slow
def test_an_archive_out_of_reach_is_a_problem_and_the_search_goes_on(monkeypatch, tmp_path):
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    works = FitTransit()(
        nights("gr", depth=False), Tools(planet="WASP-12 b", online=True)
    )  # tests may not leave loopback
    (problem,) = works[0].result.problems
    assert (problem.what, problem.stage) == ("ephemeris", "transit")
    assert "--ephemeris" in problem.why
    assert not works[1].result.problems  # told once
    assert all(choice(work, "transit").chosen == "none" for work in works)


@pytest.mark.parametrize(
    "text",
    ["2460730.1 0", "2460730.1,-1.5", "2460730.1 1.5 0", "1e999 1.5", "2460730.1 1e999", "2460730.1 1.5 9"],
)
def test_numbers_that_are_no_orbit_are_a_problem_and_the_search_goes_on(text):
    (work,) = FitTransit()(nights("g", n=20, depth=False), Tools(ephemeris=text))
    (problem,) = work.result.problems
    assert problem.what == "ephemeris"
    assert problem.why.startswith(f"--ephemeris {text}: give TC,PERIOD")
    assert choice(work, "transit").chosen == "none"


def test_points_known_to_be_bad_are_excluded_from_fits_and_a_replaced_pixel_is_not():
    flags = np.zeros(30, int)
    flags[3], flags[7], flags[9] = FrameFlag.CLOUD, FrameFlag.UNMATCHED, FrameFlag.POOR_SEEING
    flags[12], flags[13], flags[14] = StarFlag.SATURATED << 8, StarFlag.EDGE << 8, StarFlag.HOT_PIXEL << 8
    flags[15], flags[16], flags[17] = StarFlag.FILLED << 8, StarFlag.BAD_PIXEL << 8, FrameFlag.TIME_DOUBTFUL
    usable = usable_flux(light_curve(times(30), np.ones(30), flags=flags))
    assert np.flatnonzero(np.isnan(usable)).tolist() == [3, 7, 9, 12, 15]


def test_the_meridian_flip_is_found_between_its_frames():
    series = make_set(n_frames=40).series
    rotation = np.where(np.arange(40) < 25, 179.9, -0.3)  # a turn by 180 degrees and a bit
    rotation[:10] = -179.9  # the same angle as 179.9, nearly
    rotation[25] = np.nan
    found = flip_times(series.time, rotation)
    assert found == [pytest.approx((series.time[24] + series.time[26]) / 2)]
    assert flip_times(series.time, np.full(40, 0.1)) == []
    assert flip_times(series.time, np.full(40, np.nan)) == []


def test_curves_are_called_by_their_band_and_by_camera_where_two_share_it():
    time = times(20)
    three = [
        work_of(light_curve(time, np.ones(20), band=band, camera=camera))
        for band, camera in (("g", "C1"), ("r", "C2"), ("r", "C3"))
    ]
    assert curve_names(three[:2]) == {0: "g", 1: "r"}
    assert curve_names(three) == {0: "g C1", 1: "r C2", 2: "r C3"}
    twice = curve_names([three[0], three[0]])
    assert len(set(twice.values())) == 2
    without = three[1].found(light_curve=None)
    assert curve_names([three[0], without, three[2]]) == {0: "g", 2: "r"}


# -- noise ---------------------------------------------------------------------------------------------------


def quiet(n=200, *, red=0.0, error=NOISE, seed=5):
    """The work on a constant star, with slow noise besides or not."""
    rng = np.random.default_rng(seed)
    slow, keep = np.zeros(n), np.exp(-1 / 12)
    for i in range(1, n):
        slow[i] = keep * slow[i - 1] + np.sqrt(1 - keep**2) * rng.normal()
    flux = 1 + NOISE * rng.normal(size=n) + red * slow
    return work_of(light_curve(times(n), flux, error=error))


def test_white_noise_has_a_beta_of_one_and_red_noise_more():
    white, red = (AverageOverTime()(quiet(red=r), Tools()).result for r in (0.0, 1.5 * NOISE))
    assert white.light_curve.noise["residual_rms"] == pytest.approx(NOISE, rel=0.2)
    assert white.light_curve.noise["beta"] < 1.5
    assert red.light_curve.noise["beta"] > 2
    in_an_hour = NOISE / np.sqrt(200 / 4.8)  # CDPP is that of white noise: slow changes are taken off
    assert white.light_curve.noise["cdpp"] == pytest.approx(in_an_hour, rel=0.2)
    assert white.light_curve.noise["rms"] == 1e-3  # what was known before stays
    assert red.averaging.width.size > 5


def test_only_the_observer_s_intervals_count():
    work = quiet()
    flux = work.result.light_curve.flux.copy()
    flux[100:] += 0.01 * np.sin(np.arange(100))
    work = work.found(light_curve=replace(work.result.light_curve, flux=flux))
    chosen = f"{START:.5f}:{work.result.light_curve.time[99]:.5f}"
    whole, part = (AverageOverTime()(work, Tools(out_of_transit=text)) for text in (None, chosen))
    assert part.result.light_curve.noise["residual_rms"] == pytest.approx(NOISE, rel=0.2)
    assert whole.result.light_curve.noise["residual_rms"] > 4 * NOISE


@pytest.mark.parametrize("own", ["bjd_tdb", "jd_utc_mid"])
def test_intervals_of_the_other_scale_are_compared_with_the_times_of_that_scale(own):
    """Both times of a point differ by the light travel time: here ten points."""
    time = np.arange(30.0)
    series = SimpleNamespace(bjd_tdb=time, jd_utc=time - 10, frames=tuple(map(str, range(30))))
    curve = SimpleNamespace(
        time=time if own == "bjd_tdb" else time - 10, time_name=own, frames=series.frames[5:]
    )
    curve.time = curve.time[5:]
    for words, first in (
        ("BJD 20:22", 20),
        ("JD_UTC 10:12", 20),
        ("", 20 if own == "bjd_tdb" else 10),
    ):
        mask, why = _out_of_transit(curve, series, words or f"{first}:{first + 2}")
        assert list(curve.time[mask]) == list(np.arange(20.0, 23) - 10 * (own != "bjd_tdb"))
        assert ("scale of the light curve" in why) is not bool(words)
    bare = SimpleNamespace(bjd_tdb=None, jd_utc=time, frames=series.frames)
    if own != "bjd_tdb":
        with pytest.raises(UsageError, match="in BJD_TDB, and the light curve has JD_UTC"):
            _out_of_transit(curve, bare, "BJD_TDB 20:22")


def test_intervals_that_hold_no_point_are_a_problem():
    work = AverageOverTime()(quiet(), Tools(out_of_transit="2450000.0:2450000.1"))
    (problem,) = work.result.problems
    assert (problem.what, problem.stage) == (work.observed.name, "out of transit")
    assert work.result.light_curve.noise["residual_rms"] == pytest.approx(NOISE, rel=0.2)


def test_few_points_or_no_light_curve_have_no_averaging():
    bare = quiet().found(light_curve=None)
    assert AverageOverTime()(bare, Tools()) is bare
    few = quiet(4)
    assert AverageOverTime()(few, Tools()) is few


def test_a_light_curve_all_under_cloud_has_no_noise_figures():
    work = quiet(40)
    curve = replace(work.result.light_curve, flags=np.full(40, int(FrameFlag.CLOUD)))
    noise = AverageOverTime()(work.found(light_curve=curve), Tools()).result.light_curve.noise
    assert np.isnan(noise["residual_rms"])
    assert np.isnan(noise["cdpp"])


def budgeted(*, told=1.0, n=200):
    """The work on twelve constant stars whose errors are `told` times the truth."""
    work = quiet(n)
    series, stars, rng = work.result.series, work.result.stars, np.random.default_rng(2)
    flux = np.median(np.nan_to_num(series.flux[..., work.result.aperture]), axis=0)
    true = np.full((n, 12), NOISE)
    relflux = 1 + true * rng.normal(size=true.shape)
    errors = np.repeat((told * true * flux)[:, :, None], 4, axis=2)
    series = replace(
        series,
        flux=np.repeat((relflux * flux)[:, :, None], 4, axis=2),
        flux_err=errors,
        scintillation=np.zeros(n),
        fwhm=np.full(n, 6.0),
        xy=np.broadcast_to(series.reference_xy, (n, 12, 2)),
        sky=np.full((n, 12), 100.0),
        pixel_noise={**series.pixel_noise, "flat": np.zeros(n)},
    )
    table = StarTable(**{**vars(stars), "relflux": relflux, "relflux_err": told * true})
    curve = replace(work.result.light_curve, flux=relflux[:, TARGET], flux_err=told * true[:, TARGET])
    return work.found(series=series, stars=table, light_curve=curve)


def test_honest_errors_give_no_note():
    result = ComputeNoiseBudget()(budgeted(), Tools()).result
    assert np.median(result.budget.ratio[:, 0]) == pytest.approx(1, abs=0.05)
    assert result.notes == ()


@pytest.mark.parametrize(
    ("told", "words"), [(0.5, "the error bars are too small"), (2.0, "the error bars are too large")]
)
def test_errors_that_are_wrong_by_two_give_a_note(told, words):
    result = ComputeNoiseBudget()(budgeted(told=told), Tools()).result
    for who in ("the target", "comparison stars"):
        (note,) = [n for n in result.notes if n.startswith(f"noise budget of {who} from frame to frame")]
        assert note.endswith(words)
        ratio = float(note.partition("measured is ")[2].partition(",")[0])
        assert ratio == pytest.approx(told, rel=0.15)


def test_a_transit_is_no_noise():
    work = budgeted()
    curve = work.result.light_curve
    model = transit_in("r", curve.time)
    relflux = work.result.stars.relflux.copy()
    relflux[:, TARGET] *= model
    table = StarTable(**{**vars(work.result.stars), "relflux": relflux})
    work = work.found(stars=table, light_curve=replace(curve, flux=curve.flux * model, model=model))
    assert ComputeNoiseBudget()(work, Tools()).result.notes == ()


def test_a_set_without_a_series_or_with_few_frames_has_no_budget():
    work = budgeted()
    for less in (
        work.found(series=None),
        work.found(stars=None),
        work.found(series=replace(work.result.series, pixel_noise={})),
    ):
        assert ComputeNoiseBudget()(less, Tools()) is less


# -- periods and lags ----------------------------------------------------------------------------------------

PERIOD, LAG = 2 / 24, 90 / 86400


def pulsating(*, band, camera, behind=0.0, score=40.0, n=240, seed=3):
    """The work on a star that varies by 1 % in two hours."""
    rng, time = np.random.default_rng(seed), times(n, hours=6.0)
    flux = 1 + 0.01 * np.sin(2 * np.pi * (time - START - behind) / PERIOD) + NOISE * rng.normal(size=n)
    return work_of(light_curve(time, flux, band=band, camera=camera), score=score)


@pytest.fixture(scope="module")
def varying():
    works = (
        pulsating(band="g", camera="C1"),
        pulsating(band="r", camera="C2", behind=LAG, seed=4),
    )
    return SearchPeriods()(works, Tools())


@pytest.mark.slow
def test_the_period_is_found_in_each_band(varying):
    for work in varying:
        found = work.result.periods
        assert abs(found.period - PERIOD) < 4 * found.period_error
        assert found.period_error < 0.02 * PERIOD
        told = choice(work, "period")
        assert told.chosen.endswith(" h")
        assert float(told.chosen.split()[0]) == pytest.approx(2, rel=0.02)
        assert "false-alarm probability" in told.why
        assert work.result.flux_relation is not None


@pytest.mark.slow
def test_the_band_that_follows_is_named_with_its_lag(varying):
    first, second = varying
    (found,) = first.result.lags.values()
    assert list(first.result.lags) == [second.observed.name]
    assert found.lag == pytest.approx(LAG, abs=max(4 * found.lag_error, 5 / 86400))
    assert found.lag_error < 30 / 86400
    (note,) = first.result.notes
    assert note.startswith(f"{second.observed.name} follows {first.observed.name} by ")
    seconds, error = note.partition(" by ")[2].partition(" s ")[0].split(" ± ")
    assert abs(float(seconds) - 86400 * LAG) < max(4 * float(error), 5) and float(error) < 30
    assert not second.result.lags


def test_a_constant_star_has_no_period_beyond_chance():
    (work,) = SearchPeriods()((quiet(),), Tools())
    assert choice(work, "period").chosen == "none significant"


def test_bands_in_which_the_star_does_not_vary_have_no_lag():
    works = tuple(
        pulsating(band=band, camera=camera, score=2.0) for band, camera in (("g", "C1"), ("r", "C2"))
    )
    assert all(not work.result.lags for work in SearchPeriods()(works, Tools()))


@pytest.mark.slow
def test_a_light_curve_with_a_transit_is_not_searched_for_periods(fitted):
    assert all(work.result.periods is None for work in SearchPeriods()(fitted, Tools()))


def test_few_points_are_not_searched():
    work = pulsating(band="g", camera="C1", n=29)
    (found,) = SearchPeriods()((work,), Tools())
    assert found is work


@pytest.mark.parametrize(
    ("days", "words"),
    [(1.5, "1.5 d"), (0.5, "12 h"), (0.01, "14.4 min"), (1e-4, "8.64 s"), (np.nan, "unknown")],
)
def test_a_period_is_told_in_the_unit_that_suits_it(days, words):
    assert period_words(days) == words


def test_the_works_are_not_changed():
    works = (pulsating(band="g", camera="C1", n=60), pulsating(band="r", camera="C2", n=60))
    before = [(w.result, w.result.light_curve.flux.copy(), w.result.stars.relflux.copy()) for w in works]
    for work in SearchPeriods()(works, Tools()):
        ComputeNoiseBudget()(AverageOverTime()(work, Tools()), Tools())
    for work, (result, flux, relflux) in zip(works, before, strict=True):
        assert work.result is result
        np.testing.assert_array_equal(work.result.light_curve.flux, flux)
        np.testing.assert_array_equal(work.result.stars.relflux, relflux)


# -- the scale of red noise ----------------------------------------------------------------------------------


def in_a_fit(work, *, k, b, t14):
    """The work with a fit of that planet; nothing else of it is looked at."""
    band = SimpleNamespace(name="g", k=Estimate(k, 0.01, 0.01))
    transit = SimpleNamespace(t14=Estimate(t14, 0.01, 0.01), b=Estimate(b, 0.1, 0.1), bands=(band,))
    return work.found(transit=transit, curve_name="g")


@pytest.mark.parametrize(("k", "b"), [(0.1, 0.2), (0.15, 0.7), (0.1, 0.97)])
def test_beta_is_told_at_the_time_scale_of_the_ingress(k, b):
    t14 = 0.1
    result = AverageOverTime()(in_a_fit(quiet(400, red=1.5 * NOISE), k=k, b=b, t14=t14), Tools()).result
    # from first to second contact, or to the middle where the disc is never whole before the star
    time = np.linspace(-t14 / 2, 0, 200_001)
    z = np.sqrt(b**2 + ((1 + k) ** 2 - b**2) * (2 * time / t14) ** 2)
    whole = np.flatnonzero(z <= 1 - k)
    ingress = (time[whole[0]] if whole.size else 0) + t14 / 2
    assert result.light_curve.noise["beta"] == pytest.approx(beta_at(result.averaging, ingress), rel=0.01)
    twice = beta_at(result.averaging, 2 * ingress)
    assert abs(result.light_curve.noise["beta"] / twice - 1) > 0.03


# -- doubtful clocks -----------------------------------------------------------------------------------------


def clocked(work, doubtful):
    """The work with the clocks of some of its frames in doubt."""
    curve = work.result.light_curve
    flags = np.where(doubtful, int(FrameFlag.TIME_DOUBTFUL), 0)
    return work.found(light_curve=replace(curve, flags=flags))


def test_one_camera_with_a_doubtful_clock_takes_no_part_in_the_fit():
    works = nights("gr", n=30)
    works = (works[0], clocked(works[1], np.ones(30, bool)))
    named, unsure, problems = with_sure_clocks(works, {0: "g", 1: "r"})
    assert named == {0: "g"} and not unsure
    assert [p.grade for p in problems] == [Grade.DOUBTFUL]
    assert problems[0].what == works[1].observed.name


def test_where_all_clocks_are_doubtful_all_points_are_fitted_and_it_is_said():
    works = tuple(clocked(work, np.ones(30, bool)) for work in nights("gr", n=30))
    named, unsure, problems = with_sure_clocks(works, {0: "g", 1: "r"})
    assert named == {0: "g", 1: "r"} and unsure and not problems
    assert np.isfinite(band_curve(works[0], "g", unsure=True).flux).all()


def test_single_doubtful_times_stay_out_of_the_fit_and_sure_clocks_say_nothing():
    works = nights("gr", n=30)
    some = clocked(works[1], np.arange(30) < 5)
    named, unsure, problems = with_sure_clocks((works[0], some), {0: "g", 1: "r"})
    assert named == {0: "g", 1: "r"} and not unsure and not problems
    assert np.flatnonzero(np.isnan(band_curve(some, "r").flux)).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_a_transit_of_doubtful_times_has_its_depth_and_a_mid_time_that_is_called_doubtful():
    works = tuple(clocked(work, np.ones(60, bool)) for work in nights("gr", n=60))
    done = FitTransit()(works, Tools(ephemeris=f"{TRANSIT['tc']},3.0"))
    told = choice(done[0], "transit")
    assert told.chosen.startswith("doubtful Tc ")
    assert "minutes" not in told.why and "flag 8" in told.why
    assert [p.grade for p in done[0].result.problems] == [Grade.DOUBTFUL]
    assert done[0].result.band_fit.depth.value > 0.008
