"""Figures of what light curves say: right where the truth is, and nothing that is missing stops them."""

import io
import struct
from dataclasses import replace

import numpy as np
import pytest
from fake_report import DEPTH, hollow, make_set, transit, with_periods, with_transit
from matplotlib.figure import Figure
from PIL import Image

from potpyri_like.lightcurves import periodogram, transit_light_curve
from potpyri_like.photometry import NoiseBudget
from potpyri_like.products.figures.lags import draw_lags, lags_plot
from potpyri_like.products.figures.noise import draw_noise, noise_plot, smooth_line, terms_that_matter
from potpyri_like.products.figures.periods import draw_periodogram, periodogram_plot
from potpyri_like.products.figures.time_averaging import draw_time_averaging, time_averaging_plot
from potpyri_like.products.figures.transit import draw_transit, fine_model, fitted_bands, transit_plot

pytestmark = pytest.mark.slow

PLOTS = (time_averaging_plot, noise_plot, periodogram_plot, lags_plot)
HOSTILE = "$\\frac{<&\"'>\u661f\u0645\nb\x00"


@pytest.fixture(scope="module")
def bands():
    """Two bands of one transit."""
    return with_transit([make_set(band=b, camera=c, seed=n) for b, c, n in (("g", "C1", 1), ("r", "C2", 2))])


@pytest.fixture(scope="module")
def variable():
    """Two bands of a star without a fit, searched for periods and lags."""
    return with_periods(
        [make_set(band=b, camera=c, n_frames=160, seed=n) for b, c, n in (("g", "C1", 1), ("r", "C2", 2))]
    )


def size(png):
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def figure_of(draw, what):
    figure = Figure(figsize=(8.5, 7))
    draw(figure, what)
    return figure


def words_of(figure):
    texts = [*figure.texts, *(text for ax in figure.axes for text in ax.texts)]
    legends = [ax.get_legend() for ax in figure.axes if ax.get_legend() is not None]
    return "\n".join(
        [text.get_text() for text in texts]
        + [text.get_text() for legend in legends for text in (legend.get_title(), *legend.get_texts())]
    )


# -- transits ------------------------------------------------------------------------------------------------


def test_model_and_mid_transit_lie_where_the_transit_is(bands):
    ax = figure_of(draw_transit, bands).axes[0]
    fit, day = bands[0].transit, np.floor(bands[0].light_curve.time[0])
    for place, result in enumerate(bands):
        line = [one for one in ax.lines if len(one.get_xdata()) == 1000][2 * place]
        time, model = line.get_xdata() + day, line.get_ydata()
        away = np.abs(time - fit.tc.value) > 0.56 * fit.t14.value
        assert np.allclose(model[away], model.max(), rtol=0, atol=1e-9)
        # The truth of these data is a trapezoid, which the limb-darkened model follows as far as it can.
        trapezoid = np.interp(time, result.light_curve.time, transit(result.light_curve.time))
        assert np.abs(model - model.max() + 1 - trapezoid).max() < 0.12 * DEPTH
    upright = [line.get_xdata()[0] + day for line in ax.lines if list(line.get_ydata()) == [0, 1]]
    wanted = [fit.tc.value + side * fit.t14.value / 2 for side in (-1, 0, 1)]
    assert all(min(abs(x - w) for x in upright) < 1e-9 for w in wanted)


@pytest.mark.parametrize("later", [0.0, 0.001])
def test_line_goes_through_the_most_probable_model_where_the_medians_miss_it(bands, later):
    curve, fit, exposure = bands[0].light_curve, bands[0].transit, 30 / 86400
    true = {"tc": fit.tc.value + later, "t14": 1.1 * fit.t14.value, "b": 0.5, "k": 0.13, "u1": 0.3, "u2": 0.2}
    best = transit_light_curve(curve.time, **true, exposure=exposure)
    one = replace(bands[0], light_curve=replace(curve, model=best))
    time, model = fine_model(fit, fitted_bands([one])[0])
    assert np.abs(model - transit_light_curve(time, **true, exposure=exposure)).max() < 0.02 * DEPTH
    medians = {"tc": fit.tc.value, "t14": fit.t14.value, "b": fit.b.value, "k": fit.bands[0].k.value}
    missed = transit_light_curve(curve.time, **medians, u1=0.4, u2=0.1, exposure=exposure)
    assert np.abs(missed - best).max() > 0.1 * DEPTH


def test_a_model_of_another_shape_is_drawn_from_point_to_point(bands):
    curve = bands[0].light_curve
    wave = 1 - 0.01 * np.sin(curve.time * 600) ** 2
    time, model = fine_model(
        bands[0].transit, fitted_bands([replace(bands[0], light_curve=replace(curve, model=wave))])[0]
    )
    assert np.array_equal(time, curve.time) and np.array_equal(model, wave)


def test_every_point_of_a_transit_is_drawn_and_the_clipped_ones_as_crosses(bands):
    ax = figure_of(draw_transit, bands).axes[0]
    dots = [line for line in ax.lines if line.get_marker() == "o" and line.get_alpha() == 0.33]
    crosses = [line for line in ax.lines if line.get_marker() == "x"]
    assert [len(line.get_xdata()) for line in dots] == [38, 38]  # of 40: one lost, one clipped
    assert [len(line.get_xdata()) for line in crosses] == [1, 1]


def test_bins_of_a_transit_have_the_errors_of_their_points(bands):
    one = bands[0]
    error = one.light_curve.flux_err * one.band_fit.scale * one.band_fit.beta
    bars = figure_of(draw_transit, bands).axes[1].containers[0]
    lengths = np.array([np.ptp(segment[:, 1]) for segment in bars[2][0].get_segments()]) / 2
    typical = 1e3 * np.sqrt(np.nanmean(error**2))
    assert np.median(lengths) == pytest.approx(typical / np.sqrt(2), rel=0.2)  # 1-minute cadence, bins of 2


def test_each_band_tells_its_depth_scatter_and_red_noise(bands):
    words = words_of(figure_of(draw_transit, bands))
    assert f"g   depth {100 * DEPTH:.3f} ± 0.040 %" in words
    assert "β 1.20" in words and f"rms {1e3 * bands[0].band_fit.rms:.3g} ppt" in words
    assert f"Tc {bands[0].transit.tc.value:.5f} ± 0.00020 BJD_TDB" in words
    assert "b 0.30 +0.10 −0.20" in words
    assert "χ² 0.7 for 1,\nprobability 0.4" in words


def test_a_partial_transit_is_told_and_drawn_over_its_data_only(bands):
    fit = replace(bands[0].transit, coverage="egress only")
    after = bands[0].light_curve.time > fit.tc.value
    curve = bands[0].light_curve
    names = ("time", "flux", "flux_err", "model", "trend")
    half = replace(curve, **{name: getattr(curve, name)[after] for name in names})
    band = replace(fit.bands[0], used=fit.bands[0].used[after])
    part = replace(bands[0], transit=replace(fit, bands=(band,)), light_curve=half)
    figure = figure_of(draw_transit, (part,))
    assert "egress only" in words_of(figure)
    (model, _) = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1000]
    low, high = figure.axes[0].get_xlim()
    span = np.ptp(half.time)
    assert low <= model.get_xdata()[0] + 1e-9 and model.get_xdata()[-1] <= high + 1e-9
    assert high - low < 1.1 * span
    assert "a single band" in words_of(figure) or "one radius" in words_of(figure)


def test_transit_is_the_same_twice_and_leaves_its_data_alone(bands):
    before = [result.light_curve.flux.copy() for result in bands]
    assert transit_plot(bands) == transit_plot(bands)
    assert all(
        np.array_equal(result.light_curve.flux, flux, equal_nan=True)
        for result, flux in zip(bands, before, strict=True)
    )


@pytest.mark.parametrize("n_frames", [0, 1, 2])
def test_a_transit_of_hardly_any_points_is_drawn(bands, n_frames):
    curve, fit = bands[0].light_curve, bands[0].transit
    short = {n: v[:n_frames] for n, v in vars(curve).items() if isinstance(v, np.ndarray)}
    band = replace(fit.bands[0], used=fit.bands[0].used[:n_frames])
    few = replace(bands[0], transit=replace(fit, bands=(band,)), light_curve=replace(curve, **short))
    assert size(transit_plot([few]))[0] == 1105


def test_a_transit_of_nothing_but_nan_and_any_name_is_drawn(bands):
    curve, fit = bands[0].light_curve, bands[0].transit
    nothing = {n: np.full(40, np.nan) for n, v in vars(curve).items() if isinstance(v, np.ndarray)}
    nothing["flags"] = np.zeros(40, int)
    unknown = replace(fit.tc, value=np.nan, minus=np.nan, plus=np.nan)
    band = replace(fit.bands[0], name=HOSTILE, k2=unknown, depth=unknown, rms=np.nan)
    strange = replace(curve, **nothing, target=HOSTILE, band=HOSTILE, time_name="jd_utc_mid")
    lost = replace(
        bands[0], transit=replace(fit, bands=(band,)), curve_name=HOSTILE, light_curve=strange, series=None
    )
    assert size(transit_plot([lost]))[0] == 1105
    assert size(transit_plot([])) == size(transit_plot([hollow(bands[0])]))


# -- noise ---------------------------------------------------------------------------------------------------


def test_time_averaging_shows_measured_and_white_noise_and_the_lengths_of_the_transit(bands):
    figure = figure_of(draw_time_averaging, bands[0])
    ax, averaging = figure.axes[0], bands[0].averaging
    known = averaging.rms > 0
    shown = [line for line in ax.lines if np.array_equal(line.get_ydata(), 1e3 * averaging.rms[known])]
    white = [line for line in ax.lines if np.array_equal(line.get_ydata(), 1e3 * averaging.expected[known])]
    assert len(shown) == len(white) == 1
    assert np.allclose(shown[0].get_xdata(), 1440 * averaging.width[known])
    marks = [line.get_xdata()[0] for line in ax.lines if list(line.get_ydata()) == [0, 1]]
    assert pytest.approx(1440 * bands[0].transit.t14.value) in marks
    assert "β = 1.20" in words_of(figure)


def test_noise_tells_which_terms_are_too_small_to_be_drawn(bands):
    figure = figure_of(draw_noise, bands[0])
    budget = bands[0].budget
    everyone = np.arange(len(bands[0].stars.flux))
    drawn, left_out = terms_that_matter(budget, everyone)
    total = sum(noise**2 for noise in budget.terms.values())
    assert all((budget.terms[name] ** 2 >= 0.02 * total).any() for name in drawn)
    assert all((budget.terms[name] ** 2 < 0.02 * total).all() for name in left_out)
    assert "star" in drawn and "digitisation" in left_out
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert set(drawn) < set(legend)
    assert any(text.startswith("below 2 % of the variance") and "digitisation" in text for text in legend)


def test_noise_shows_the_target_after_its_fit(bands):
    ax = figure_of(draw_noise, bands[0]).axes[0]
    star = bands[0].light_curve.star
    after = 1e3 * bands[0].budget.measured[star, 0]
    (line,) = [line for line in ax.lines if line.get_label() == "target, after the fit"]
    assert line.get_ydata() == [after]
    assert after < 0.5 * 1e3 * bands[0].stars.rms[star]  # the transit is out of it


def test_predicted_over_measured_is_shown_for_each_star_and_time_scale():
    result = with_transit([make_set(n_stars=10)])[0]
    ones = np.ones((10, 2))
    ratio = np.array([[1.0, 2.0]] * 10)
    terms = {"star": np.ones(10)}
    budget = NoiseBudget(terms, np.array([0.0, 15.0]), ratio * 1e-3, ones * 1e-3, 0.1 * ones)
    figure = figure_of(draw_noise, replace(result, budget=budget))
    by_flux, by_scale = figure.axes[1:]
    assert sum(len(line.get_xdata()) for line in by_flux.lines if line.get_marker() in "o*") == 10
    assert [label.get_text() for label in by_scale.get_xticklabels()] == ["frame", "15"]
    shown = [line.get_ydata() for line in by_scale.lines if line.get_marker() in "o*"]
    assert len(shown) == 2 and all(np.allclose(values, [1, 2]) for values in shown)


def test_a_smooth_line_keeps_a_power_law_and_is_not_bent_by_one_star(rng):
    flux = np.sort(10 ** rng.uniform(3, 6, 120))
    noise = flux**-0.5
    noise[60] *= 30
    x, y = smooth_line(flux, noise)
    assert np.allclose(y, x**-0.5, rtol=0.03)
    assert np.allclose((x[0], x[-1]), (flux[0], flux[-1]))
    one = smooth_line(flux[:1], noise[:1])
    assert np.allclose(one, (flux[:1], noise[:1]))


# -- periods and lags ----------------------------------------------------------------------------------------


def test_best_period_is_marked_and_told(rng):
    result = with_periods([make_set(n_frames=160)])[0]
    time = result.light_curve.time
    flux = 1 + 0.05 * np.sin(2 * np.pi * time / 0.02) + rng.normal(0, 0.005, len(time))
    curve = replace(result.light_curve, flux=flux, flags=np.zeros(len(time), int))
    periods = periodogram(time, flux, np.full(len(time), 0.005))
    figure = figure_of(draw_periodogram, replace(result, light_curve=curve, periods=periods))
    upper = figure.axes[0]
    (mark,) = [line for line in upper.lines if line.get_linestyle() == ":"]
    assert mark.get_xdata()[0] == pytest.approx(0.02 * 1440, rel=0.02)  # minutes
    assert sum(list(line.get_ydata()) == [level] * 2 for line in upper.lines for level in periods.levels) == 3
    assert "best 28.8" in words_of(figure) and "min, false-alarm probability" in words_of(figure)
    folded = max(figure.axes[1].lines, key=lambda line: len(line.get_xdata()))
    sine = folded.get_ydata() - 1
    phase = 2 * np.pi * (folded.get_xdata() + time[0] / 0.02 % 1)
    assert np.corrcoef(sine, np.sin(phase))[0, 1] > 0.95


def test_lags_are_drawn_for_each_pair_with_their_errors(variable):
    figure = figure_of(draw_lags, variable[0])
    assert len(figure.axes) == len(variable[0].lags) == 1
    assert "WASP-0, C2 r:" in words_of(figure) and "±" in words_of(figure)
    assert "follows" in figure.axes[-1].get_xlabel()


@pytest.mark.parametrize("draw", PLOTS)
def test_figures_are_the_same_twice(bands, variable, draw):
    for result in (bands[0], variable[0]):
        assert draw(result) == draw(result)


@pytest.mark.parametrize("draw", PLOTS)
def test_a_set_of_which_nothing_could_be_made_is_drawn(bands, draw):
    assert size(draw(hollow(bands[0])))[0] > 700


@pytest.mark.parametrize("n_frames", [1, 3])
def test_hardly_any_frames_are_drawn(n_frames):
    sets = [make_set(band=b, n_frames=n_frames, n_stars=2) for b in "gr"]
    (few, _), (periods, _) = with_transit(sets), with_periods(sets)
    for draw in PLOTS:
        assert size(draw(few))[0] > 700
        assert size(draw(periods))[0] > 700
    assert size(transit_plot(with_transit(sets)))[0] == 1105


def test_a_budget_of_nothing_but_nan_is_drawn(bands):
    budget = bands[0].budget
    nothing = np.full_like(budget.predicted, np.nan)
    terms = {name: np.full_like(noise, np.nan) for name, noise in budget.terms.items()}
    unknown = NoiseBudget(terms, budget.width, nothing, nothing, nothing)
    image = noise_plot(replace(bands[0], budget=unknown))
    assert np.asarray(Image.open(io.BytesIO(image))).std() > 0
