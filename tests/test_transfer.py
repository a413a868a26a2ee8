"""The gain told by flats that differ by their photons alone."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from toy import Toy

from potpyri_like.imaging import photon_transfer, sample_boxes
from potpyri_like.night import scan
from potpyri_like.options import Options
from potpyri_like.primitives import MakeMasters
from potpyri_like.run.observations import start
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.run.progress import Silent
from potpyri_like.run.runner import Runner
from potpyri_like.store import Output
from potpyri_like.testing import NightPlan, simulate_night

SHAPE = (420, 500)


def sensitivity(rng, shape=SHAPE):
    """Pixels that differ by 1 %, and corners with a quarter less light."""
    y, x = (np.linspace(-1, 1, n) for n in shape)
    return (1 + 0.01 * rng.normal(size=shape)) * (1 - 0.125 * (y[:, None] ** 2 + x**2))


def flats(rng, levels, *, factor=1.0, read_noise=0.0, gradient=0.0, shape=SHAPE):
    """Flats in electrons by the declared gain, which are `factor` times the true ones."""
    pixels, slope = sensitivity(rng, shape), np.linspace(-1, 1, shape[1])
    return [
        factor * (rng.poisson(level * pixels * (1 + gradient * i * slope)) + rng.normal(0, read_noise, shape))
        for i, level in enumerate(levels)
    ]


def told(images, **options):
    return photon_transfer([sample_boxes(image) for image in images], **options)


@pytest.mark.parametrize("factor", [0.75, 1.0, 1.3])
def test_the_factor_of_a_wrong_gain_comes_back(rng, factor):
    found = told(flats(rng, [20000] * 4, factor=factor, read_noise=8.0), read_variance=(factor * 8.0) ** 2)
    assert abs(found.factor - factor) < 3 * found.error
    assert found.error < 0.01 * factor


@pytest.mark.slow
def test_the_error_is_the_scatter_of_the_factor(rng):
    trials = [told(flats(rng, [9000] * 2, shape=(200, 200))) for _ in range(60)]
    factor, error = np.array(trials).T
    pull = (factor - 1) / error
    assert abs(pull.mean()) < 4 / np.sqrt(60)
    assert pull.std() == pytest.approx(1, abs=0.35)


def test_boxes_of_a_small_image_do_not_overlap(rng):
    image = np.arange(60 * 80.0).reshape(60, 80)
    boxes = sample_boxes(image)
    assert boxes.shape == (2 * 3, 24, 24)
    assert len(np.unique(boxes)) == boxes.size


def test_flats_of_unequal_level_tell_the_same(rng):
    found = told(flats(rng, [30000, 12000, 22000, 6000], factor=1.3))
    assert abs(found.factor - 1.3) < 3 * found.error


def test_a_gradient_between_flats_is_no_noise(rng):
    found = told(flats(rng, [20000] * 4, gradient=0.03))
    assert abs(found.factor - 1) < 3 * found.error + 0.01


def test_the_read_out_is_taken_off(rng):
    faint = flats(rng, [400] * 6, read_noise=12.0)
    found = told(faint, read_variance=144.0)
    assert abs(found.factor - 1) < 3 * found.error
    assert told(faint).factor == pytest.approx(1 + 144 / (400 * 0.917), rel=0.05)


def test_a_few_cosmic_rays_are_no_noise(rng):
    images = flats(rng, [20000] * 4)
    for image in images:
        image[rng.integers(SHAPE[0], size=400), rng.integers(SHAPE[1], size=400)] += 5000
    found = told(images)
    assert abs(found.factor - 1) < 4 * found.error


@pytest.mark.parametrize("shape", [(20, 500), (24, 24), (10, 10)])
def test_an_image_too_small_tells_nothing(rng, shape):
    found = told(flats(rng, [20000] * 2, shape=shape))
    assert np.isnan(found.factor)
    assert np.isnan(found.error)


def test_one_flat_tells_nothing(rng):
    for images in ([], flats(rng, [20000])):
        assert np.isnan(told(images)).all()


def test_flats_without_light_tell_nothing():
    assert np.isnan(told([np.zeros(SHAPE)] * 3)).all()


def test_the_boxes_are_spread_over_the_image_and_are_copies():
    y, x = np.indices(SHAPE)
    boxes = sample_boxes(np.stack([y, x]).max(axis=0))
    assert boxes.shape == (16 * 16, 24, 24)
    image = np.zeros(SHAPE)
    corners = sample_boxes(np.where((y < 1) & (x < 1) | (y > 418) & (x > 498), 1.0, 0))
    assert corners.sum() == 2
    sample_boxes(image)[:] = 7
    assert not image.any()


def test_the_flats_are_not_changed(rng):
    boxes = [sample_boxes(image) for image in flats(rng, [9000] * 2)]
    before = [box.copy() for box in boxes]
    photon_transfer(boxes, read_variance=9.0)
    for box, then in zip(boxes, before, strict=True):
        np.testing.assert_array_equal(box, then)


# -- in a reduction ------------------------------------------------------------------------------------------


class Plain(Toy):
    """Photons and read-out are its only noise."""

    telescope_diameter = None


def with_camera(**changes):
    """The instrument with other words on its camera."""
    return type("Plain", (Plain,), {"cameras": (replace(Toy.cameras[0], **changes),), "__doc__": "Plain."})()


def declared(factor):
    """The instrument that was simulated, with a gain that is not what it says."""
    true = Toy.cameras[0]
    return with_camera(gain=true.gain * factor, read_noise=true.read_noise * factor)


def masters_of(folder, instrument, *, true=None, full=0, **plan):
    """The result of the masters of a night that was simulated with the true gain; `full` of its flats saturated."""
    known = {
        "frames": 2,
        "size": (256, 256),
        "stars": 5,
        "comparisons": 2,
        "drift": 2,
        "flip": None,
        "darks": 0,
    }
    simulate_night(true or Plain(), folder, NightPlan(**{**known, "biases": 5, "flats": 5, **plan}))
    for path in sorted(path for path in folder.rglob("*flat*") if path.is_file())[-full:] if full else ():
        with fits.open(path, mode="update") as hdus:
            hdus[0].data = np.minimum(2.2 * hdus[0].data, 65535).astype(np.uint16)
    output = Output(folder / "red")
    output.make()
    found = scan(folder, instrument)
    work = start(found, found.sets()[0], Options(filter_="none"))
    return MakeMasters()(work, Runner(output, Options(), Silent())).result


@pytest.mark.slow
@pytest.mark.parametrize("factor", [0.75, 1.0, 1.3])
def test_the_flats_of_a_night_tell_a_wrong_gain(tmp_path, factor):
    result = masters_of(tmp_path, declared(factor))
    assert result.masters.flat.photons == pytest.approx(factor, rel=0.04)
    gain = [choice for choice in result.choices if choice.what == "gain"]
    assert len(gain) == (factor != 1)
    for choice in gain:
        number, _, rest = choice.chosen.partition(" ")
        assert float(number) == pytest.approx(1 / factor, rel=0.04)
        assert rest == "of the declared gain, in the errors"
        assert "5 flats differ from one another by" in choice.why


def test_a_loud_read_out_is_no_wrong_gain(tmp_path):
    loud = with_camera(read_noise=90 * u.electron)  # a sixth of the variance of its flats
    result = masters_of(tmp_path, loud, true=loud)
    assert result.masters.flat.photons == 1


@pytest.mark.slow
def test_flats_that_are_left_out_tell_nothing_of_the_gain(tmp_path):
    result = masters_of(tmp_path, declared(1.3), flats=9, full=5)
    assert len(result.masters.flat.inputs) == 4
    assert result.masters.flat.photons == pytest.approx(1.3, rel=0.05)


@pytest.fixture(scope="module")
def reduced(tmp_path_factory):
    """A night without a transit, reduced by somebody whose gain is a third too large."""
    folder = tmp_path_factory.mktemp("gain")
    field = {"size": (256, 256), "stars": 5, "comparisons": 8, "drift": 3, "flip": None}
    plan = NightPlan(**field, frames=40, exposure=10, depth=0, biases=5, darks=0, flats=7)
    truth = simulate_night(Plain(), folder, plan)
    x, y = truth.target_xy["main"]
    options = Options(target_xy=f"{x:.1f},{y:.1f}", filter_="none", fit="none", jobs=1)
    return reduce_night(declared(1.33), folder, out=folder / "red", options=options)


@pytest.mark.slow
def test_errors_are_right_in_spite_of_a_wrong_gain(reduced):
    (result,) = reduced.sets
    factor = result.masters.flat.photons
    assert factor == pytest.approx(1.33, rel=0.03)
    assert (result.series.pixel_noise["photons"] == factor).all()
    bright = result.stars.weight > 0.02
    ratio = result.budget.ratio[bright, 0]
    assert bright.sum() >= 4
    assert np.median(ratio) == pytest.approx(1, abs=0.1)  # without the flats' word it were 0.87
