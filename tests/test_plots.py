"""Figures: they are PNGs, the same for the same data, and nothing that is missing stops them."""

import io
import struct
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from fake_report import hollow, make_master, make_set, with_transit
from matplotlib.figure import Figure
from PIL import Image

from potpyri_like.frame import FrameFlag, StarFlag
from potpyri_like.products.figures.bands import bands_plot, draw_bands
from potpyri_like.products.figures.colours import band_colour
from potpyri_like.products.figures.comparisons import comparison_plot
from potpyri_like.products.figures.drawing import limits, shown_time
from potpyri_like.products.figures.field import field_plot
from potpyri_like.products.figures.light_curve import draw_light_curve, light_curve_plot, marked
from potpyri_like.products.figures.masters import masters_plot
from potpyri_like.products.figures.noise import noise_plot

pytestmark = pytest.mark.slow

LIGHT_CURVE_SIZE = (1105, 1365)


@pytest.fixture(scope="module")
def result():
    return make_set()


def size(png):
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", png[16:24])


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int)


def count(png, colour, tolerance=40):
    """Pixels close to a colour."""
    wanted = np.array(matplotlib.colors.to_rgb(colour)) * 255
    return int((np.abs(pixels(png) - wanted).max(axis=-1) < tolerance).sum())


def test_light_curve_is_a_png_of_its_size_and_the_same_twice(result):
    one, two = light_curve_plot(result.light_curve), light_curve_plot(result.light_curve)
    assert size(one) == LIGHT_CURVE_SIZE
    assert one == two


def test_a_users_matplotlib_settings_change_nothing_and_are_left_alone(result):
    one = noise_plot(result)
    with matplotlib.rc_context({"font.family": "serif", "figure.dpi": 37, "axes.facecolor": "black"}):
        assert noise_plot(result) == one
        assert matplotlib.rcParams["figure.dpi"] == 37


def test_bands_have_their_colours():
    wanted = {"g": "dodgerblue", "r": "forestgreen", "i": "red", "z": "saddlebrown", "u": "darkviolet"}
    assert {band: band_colour(band) for band in wanted} == wanted
    assert band_colour("g'") == band_colour("gp") == "dodgerblue"
    assert band_colour("Ha") == band_colour("") == "#486581"


def drawn(curve):
    figure = Figure(figsize=(8.5, 10.5))
    draw_light_curve(figure, curve)
    return figure


def test_light_curve_is_drawn_in_the_colour_of_its_band(result):
    lines = drawn(replace(result.light_curve, band="r")).axes[0].lines
    colours = {line.get_color() for line in lines if len(line.get_xdata()) > 5}
    assert "forestgreen" in colours
    assert "dodgerblue" not in colours


def test_every_measured_point_is_drawn_flagged_ones_as_crosses(result):
    ax = drawn(result.light_curve).axes[0]
    crosses = [line for line in ax.lines if line.get_marker() == "x"]
    assert [np.isfinite(line.get_ydata()).sum() for line in crosses] == [1]
    dots = [line for line in ax.lines if line.get_label() == "_nolegend_" or line.get_marker() == "o"]
    assert max(np.isfinite(line.get_ydata()).sum() for line in dots) == 38  # of 40, one cloudy and one lost


def test_a_fitted_transit_is_drawn_through_the_points_and_not_across_a_long_gap(result):
    (fitted,) = with_transit([result])
    lines = [line for line in drawn(fitted.light_curve).axes[0].lines if "baseline" in line.get_label()]
    assert [line.get_label() for line in lines] == ["transit × baseline"]
    seen = np.isfinite(fitted.light_curve.model)
    assert np.array_equal(lines[0].get_ydata(), fitted.light_curve.model[seen])
    late = np.where(np.arange(40) > 20, 0.1, 0.0)
    split = replace(fitted.light_curve, time=fitted.light_curve.time + late)
    pieces = [
        line
        for line in drawn(split).axes[0].lines
        if line.get_linestyle() == "-" and line.get_zorder() == 3.5
    ]
    assert sorted(len(line.get_xdata()) for line in pieces) == [19, 20]


def test_without_a_fit_no_model_is_drawn(result):
    assert not [line for line in drawn(result.light_curve).axes[0].lines if "baseline" in line.get_label()]


def test_read_off_times_are_exact(result):
    figure = drawn(result.light_curve)
    label = figure.axes[5].get_xlabel()
    offset = int(label.split("−")[1].split("[")[0])
    dots = figure.axes[1].lines[0].get_xdata()
    assert np.allclose(dots + offset, result.light_curve.time, rtol=0, atol=1e-9)
    assert label.startswith("BJD_TDB")


def test_panels_below_the_flux_are_what_the_page_promises(result):
    labels = [ax.get_ylabel() for ax in drawn(result.light_curve).axes[1:6]]
    assert labels == ["airmass", "FWHM [px]", "sky [e⁻/px]", "comparisons\n[10⁶ e⁻]", "drift [px]"]


def test_noise_figures_stand_in_the_light_curve(result):
    texts = [text.get_text() for text in drawn(result.light_curve).axes[0].texts]
    rms = result.light_curve.noise["rms"]
    assert any(f"rms {1e3 * rms:.3g} ppt" in text and f"{1085.736 * rms:.3g} mmag" in text for text in texts)


def test_a_wild_point_does_not_squeeze_the_light_curve_and_is_still_shown():
    many = make_set(n_frames=200).light_curve
    wild = many.flux.copy()
    wild[100] = 9.0
    ax = drawn(replace(many, flux=wild)).axes[0]
    assert ax.get_ylim()[1] < 1.1
    triangles = [line for line in ax.lines if line.get_marker() == "^"]
    assert sum(len(line.get_xdata()) for line in triangles) >= 1


def test_a_flag_on_most_points_marks_none(result):
    curve = result.light_curve
    saturated = np.full(40, int(StarFlag.SATURATED) << 8)
    saturated[3] |= FrameFlag.CLOUD
    assert np.flatnonzero(marked(replace(curve, flags=saturated))).tolist() == [3]


def test_replaced_hot_pixels_do_not_mark_a_point(result):
    flags = np.zeros(40, int)
    flags[5] = int(StarFlag.HOT_PIXEL) << 8
    flags[6] = int(StarFlag.SATURATED) << 8
    assert np.flatnonzero(marked(replace(result.light_curve, flags=flags))).tolist() == [6]


@pytest.mark.parametrize("n_frames", [1, 5000])
def test_light_curve_of_any_length_is_drawn(n_frames):
    curve = make_set(n_frames=n_frames, n_stars=4).light_curve
    assert size(light_curve_plot(curve)) == LIGHT_CURVE_SIZE


def test_light_curve_of_nothing_but_nan_is_drawn(result):
    curve = result.light_curve
    nothing = {
        name: np.full(40, np.nan) for name, value in vars(curve).items() if isinstance(value, np.ndarray)
    }
    empty = replace(curve, **{**nothing, "flags": np.ones(40, int)}, noise={"rms": np.nan}, comparisons={})
    assert size(light_curve_plot(empty)) == LIGHT_CURVE_SIZE
    assert size(bands_plot([empty, curve]))[0] == 1105


def test_light_curve_without_frames_is_drawn(result):
    curve = result.light_curve
    none = {name: value[:0] for name, value in vars(curve).items() if isinstance(value, np.ndarray)}
    assert size(light_curve_plot(replace(curve, **none, frames=()))) == LIGHT_CURVE_SIZE


@pytest.mark.parametrize("name", ["$\\frac{<&\"'>\u661f\u0645\nb\x00", ""])
def test_any_target_name_can_be_drawn(result, name):
    curve = replace(result.light_curve, target=name, band=name, camera=name)
    assert size(light_curve_plot(curve)) == LIGHT_CURVE_SIZE


def test_bands_in_another_time_are_left_out_and_said_so(result):
    other = make_set(band="r", barycentric=False).light_curve
    figure = Figure(figsize=(8.5, 6))
    draw_bands(figure, (result.light_curve, other))
    assert any("r has times on another scale" in text.get_text() for text in figure.texts)


def test_field_shows_target_lime_comparisons_red_others_orange(result):
    png = field_plot(result)
    assert count(png, "lime") > 100
    assert count(png, "red") > 100
    assert count(png, "orange") > 100
    bare = field_plot(replace(result, light_curve=None, stars=None))
    assert count(bare, "lime") == count(bare, "red") == 0


def test_field_has_y_up():
    result = make_set()
    rows, columns = result.reference.image.shape
    image = np.zeros((rows, columns))
    image[:20] = 1000.0  # the lowest rows
    series = replace(result.series, reference_xy=result.series.reference_xy + 1e4)
    png = pixels(field_plot(replace(result, series=series, reference=replace(result.reference, image=image))))
    dark = np.flatnonzero((png.max(axis=-1) < 60).sum(axis=1) > 500)
    assert dark.mean() > 0.75 * len(png)


@pytest.mark.parametrize("fill", [np.nan, 0.0])
def test_field_of_a_blank_image_is_drawn(result, fill):
    reference = replace(result.reference, image=np.full((50, 60), fill))
    assert size(field_plot(replace(result, reference=reference, pixel_scale=float("nan"))))[0] == 1105


def test_master_is_drawn_even_where_all_is_masked(rng):
    master = make_master(rng, "flat")
    masked = replace(master, pixels=master.pixels._replace(mask=np.ones_like(master.pixels.mask)))
    assert size(masters_plot(master)) == size(masters_plot(masked)) == (728, 364)
    assert masters_plot(master) == masters_plot(master)


def test_at_most_eight_comparison_stars_are_drawn():
    many = make_set(n_stars=30)
    weight = np.full(30, 1 / 29)
    weight[2] = 0
    few = replace(many, light_curve=None, stars=replace(many.stars, weight=weight))
    eight = comparison_plot(few)
    assert size(eight)[1] == round((2.0 + 0.65 * 8) * 130)


@pytest.mark.parametrize("draw", [field_plot, noise_plot, comparison_plot])
def test_a_set_of_which_nothing_could_be_made_is_drawn(result, draw):
    assert size(draw(hollow(result)))[0] > 700
    assert size(draw(make_set(n_frames=1, n_stars=2)))[0] > 700


def test_no_bands_are_drawn_as_such():
    assert size(bands_plot([]))[0] == 1105


def test_plots_leave_their_data_alone(result):
    before = {
        name: np.copy(value)
        for name, value in vars(result.light_curve).items()
        if isinstance(value, np.ndarray)
    }
    image = result.reference.image.copy()
    light_curve_plot(result.light_curve)
    field_plot(result)
    assert all(np.array_equal(getattr(result.light_curve, n), v, equal_nan=True) for n, v in before.items())
    assert np.array_equal(result.reference.image, image)


def test_limits_are_those_of_the_bulk():
    values = np.append(np.linspace(-1, 1, 1001), 1e6)
    low, high = limits(values, pad=0)
    assert -1 <= low < -0.95
    assert 0.95 < high <= 1
    assert limits([np.nan]) is None


def test_times_are_shown_minus_a_whole_day():
    time, label = shown_time(np.array([2460729.875, np.nan, 2460730.25]), "jd_utc_mid")
    assert label.startswith("JD_UTC − 2460729")
    assert time[2] == 1.25
