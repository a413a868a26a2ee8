"""The animation: what is in its pictures, where, and when."""

import io
from dataclasses import replace

import matplotlib.colors
import numpy as np
import pytest
from fake_report import CLOUDY, FWHM, LOST, make_set
from PIL import Image

from potpyri_like.errors import ProductError
from potpyri_like.imaging.snapshots import snapshot
from potpyri_like.products.figures.animation import animated_field
from potpyri_like.products.figures.colours import band_colour
from potpyri_like.products.figures.drawing import COMPARISON, OTHER, TARGET

SHAPE = (200, 240)


def field(xy, flux, *, rng):
    """Stars on a noisy sky; none where nothing is known."""
    rows, columns = np.indices(SHAPE)
    image = rng.normal(100, 10, SHAPE)
    for (x, y), f in zip(xy, flux, strict=True):
        image += f / 40 * np.exp(-4 * np.log(2) * ((columns - x) ** 2 + (rows - y) ** 2) / FWHM**2)
    return image


def snapshots_of(result, *, half=40, binning=2, centre=None):
    """One snapshot for each frame that was measured, else None."""
    series, curve, rng = result.series, result.light_curve, np.random.default_rng(4)
    middle = series.reference_xy[curve.star] if centre is None else centre
    return [
        snapshot(
            field(xy, f[:, -1], rng=rng), xy, centre=middle, half=half, binning=binning, time=jd, label=name
        )
        if np.isfinite(xy).all()
        else None
        for name, jd, xy, f in zip(series.frames, series.jd_utc, series.xy, series.flux, strict=True)
    ]


@pytest.fixture(scope="module")
def result():
    return make_set(n_frames=20)


@pytest.fixture(scope="module")
def shots(result):
    return snapshots_of(result)


@pytest.fixture(scope="module")
def movie(result, shots):
    return animated_field(shots, result.light_curve)


def screens(content):
    """The pictures of a GIF, RGB."""
    with Image.open(io.BytesIO(content)) as image:
        for n in range(image.n_frames):
            image.seek(n)
            yield np.asarray(image.convert("RGB"), int)


def near(screen, colour, tolerance=60):
    """Where a screen has a colour."""
    return np.abs(screen - 255 * np.array(matplotlib.colors.to_rgb(colour))).max(axis=-1) < tolerance


def points(screen, band):
    """How many pixels of the light curve are in full colour."""
    return int(near(screen, band_colour(band), 8).sum())


@pytest.mark.slow
def test_every_frame_with_a_picture_is_shown_and_a_lost_one_is_not(movie, shots):
    assert shots[LOST] is None
    assert sum(1 for _ in screens(movie)) == 19


def test_the_same_data_give_the_same_bytes(movie, result, shots):
    assert animated_field(shots, result.light_curve) == movie


def test_it_goes_round_for_ever_and_rests_at_its_end(movie):
    with Image.open(io.BytesIO(movie)) as image:
        assert image.info["loop"] == 0
        times = []
        for n in range(image.n_frames):
            image.seek(n)
            times.append(image.info["duration"])
    assert set(times[:-1]) == {120}
    assert times[-1] == 1500


def test_the_paper_is_white(movie):
    assert all((screen[0] == 255).all() for screen in screens(movie))


@pytest.mark.slow
@pytest.mark.parametrize(("most", "wanted"), [(1, 1), (2, 2), (7, 7), (500, 19)])
def test_no_more_pictures_than_wanted(result, shots, most, wanted):
    assert sum(1 for _ in screens(animated_field(shots, result.light_curve, most=most))) == wanted


@pytest.mark.slow
def test_few_pictures_are_spread_from_the_first_to_the_last(result, shots, movie):
    every, few = list(screens(movie)), list(screens(animated_field(shots, result.light_curve, most=2)))
    assert points(few[0], "g") == points(every[0], "g")
    assert points(few[1], "g") == points(every[-1], "g")


def test_the_order_of_the_snapshots_is_that_of_the_light_curve(result, shots, movie):
    assert animated_field(shots[::-1], result.light_curve) == movie


def test_points_get_their_colour_when_their_time_has_come(movie):
    done = [points(screen, "g") for screen in screens(movie)]
    cloudy = CLOUDY  # a doubtful point has another colour
    steps = np.diff(done)
    assert (np.delete(steps, [cloudy - 1, cloudy]) > 0).all()
    assert done[-1] > 10 * done[0]


def test_points_to_come_are_there_but_pale(movie):
    first, last = [screen for n, screen in enumerate(screens(movie)) if n in (0, 18)]
    coloured = near(last, band_colour("g"), 8)
    there = first[coloured]
    assert (there.max(axis=1) - there.min(axis=1) > 10).mean() > 0.9
    assert (there.sum(axis=1) > last[coloured].sum(axis=1) + 100).mean() > 0.9


@pytest.mark.slow
def test_the_target_lies_in_the_middle_of_its_circles_in_every_frame(movie):
    places = []
    for screen in screens(movie):
        y, x = np.nonzero(near(screen, TARGET, 90))
        middle = np.array([x.min() + x.max(), y.min() + y.max()]) / 2
        rows, columns = np.indices(screen.shape[:2])
        inside = np.hypot(columns - middle[0], rows - middle[1]) < 45
        light = np.where(inside, screen[:, :, 0] ** 2.0, 0)  # red is 0 in the circles
        found = np.array([(columns * light).sum(), (rows * light).sum()]) / light.sum()
        np.testing.assert_allclose(found, middle, atol=4)
        places.append(middle)
    assert np.ptp(places, axis=0).max() > 2, "the stars drift, and the circles follow"


def test_y_is_up(result):
    high = replace(result.series, xy=result.series.xy + np.array([0, 25]))
    centre = result.series.reference_xy[result.light_curve.star]
    rows = []
    for series in (result.series, high):
        moved = snapshots_of(replace(result, series=series), centre=centre)
        (screen,) = screens(animated_field(moved, result.light_curve, most=1))
        rows.append(np.nonzero(near(screen, TARGET, 90))[0].mean())
    assert rows[1] < rows[0] - 50


def test_comparison_stars_in_the_field_have_circles(result):
    wide = snapshots_of(result, centre=(120, 100), half=120, binning=2)
    (screen,) = screens(animated_field(wide, result.light_curve, most=1))
    assert near(screen, COMPARISON).sum() > 5 * 50
    alone = replace(result.light_curve, comparisons={})
    (screen,) = screens(animated_field(wide, alone, most=1))
    assert near(screen, COMPARISON).sum() == 0


@pytest.mark.slow
def test_what_makes_a_frame_doubtful_is_told_in_its_picture_only(movie):
    told = [int(near(screen, OTHER, 30).sum()) for screen in screens(movie)]
    assert np.flatnonzero(told).tolist() == [CLOUDY]


def test_all_pictures_have_one_stretch(result):
    """Of three equal frames, one of which has a brighter sky, that one is brighter."""
    shots = snapshots_of(result, half=30, binning=1)[:3]
    shots[1] = replace(shots[1], image=shots[1].image + 60)
    sky = [
        np.median(screen[60:480, 30:480].sum(axis=2))
        for screen in screens(animated_field(shots, result.light_curve))
    ]
    assert sky[1] > sky[0] + 60
    assert abs(sky[2] - sky[0]) < 15


def test_stars_without_a_place_are_not_drawn(result, shots):
    lost = [s and replace(s, xy=np.full_like(s.xy, np.nan)) for s in shots]
    (screen,) = screens(animated_field(lost, result.light_curve, most=1))
    assert near(screen, TARGET).sum() == 0


def test_a_light_curve_of_nothing_but_nan_is_shown_empty(result, shots):
    nothing = np.full(20, np.nan)
    curve = replace(result.light_curve, flux=nothing, flux_err=nothing, time=nothing)
    assert all(points(screen, "g") == 0 for screen in screens(animated_field(shots, curve, most=2)))


def test_one_frame_makes_a_picture():
    one = make_set(n_frames=1)
    assert sum(1 for _ in screens(animated_field(snapshots_of(one), one.light_curve))) == 1


@pytest.mark.parametrize("kind", ["none", "strangers", "empty"])
def test_without_a_picture_there_is_no_animation_and_the_error_says_so(result, shots, kind):
    given = {
        "none": [None, None],
        "strangers": [replace(shots[0], label="other.fit")],
        "empty": [replace(shots[0], image=np.full_like(shots[0].image, np.nan))],
    }[kind]
    with pytest.raises(ProductError, match="WASP-0: no frame has a picture"):
        animated_field(given, result.light_curve)


def test_a_picture_of_another_shape_is_left_out(result, shots):
    odd = [shots[0], replace(shots[1], image=shots[1].image[:9, :9]), shots[2]]
    assert sum(1 for _ in screens(animated_field(odd, result.light_curve))) == 2


def test_a_hostile_name_does_no_harm(result, shots):
    name = "\x07 星 \\frac{$\n" + "long " * 60
    frames = (name, *result.light_curve.frames[1:])
    curve = replace(result.light_curve, target=name, frames=frames, band="☆")
    given = [replace(shots[0], label=name, time=np.nan), replace(shots[1], time=1e300)]
    assert sum(1 for _ in screens(animated_field(given, curve))) == 2


def test_what_it_is_given_is_left_alone(result, shots):
    images = [shot.image.copy() for shot in shots if shot]
    flux = result.light_curve.flux.copy()
    animated_field(shots, result.light_curve, most=3)
    assert all(
        np.array_equal(a, s.image, equal_nan=True) for a, s in zip(images, filter(None, shots), strict=True)
    )
    np.testing.assert_array_equal(result.light_curve.flux, flux)
