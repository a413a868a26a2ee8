"""Calibration: a simulated sky goes through a simulated camera and must come back, with honest errors."""

import numpy as np
import pytest

from potpyri_like.errors import CalibrationError
from potpyri_like.frame import MaskBit
from potpyri_like.imaging import Piece, Pixels, assemble, calibrate, combine, noise_floor, normalise_flat

SHAPE = (400, 500)
SIZE = SHAPE[0] * SHAPE[1]


def flat_pixels(value, variance=0.0, *, shape=SHAPE):
    return Pixels(
        np.full(shape, value, np.float32), np.full(shape, variance, np.float32), np.zeros(shape, np.uint16)
    )


class Camera:
    """A detector with structure everywhere; electrons."""

    read_noise = 5.0
    dark_rate = 2.0

    def __init__(self, rng):
        self.rng = rng
        y, x = np.indices(SHAPE)
        self.bias = 200 + 20 * np.sin(x / 9) + 0.05 * y
        self.dark = self.dark_rate * rng.gamma(4, 0.25, SHAPE)
        vignetting = 1 - 0.4 * ((x - 250) ** 2 + (y - 200) ** 2) / (250**2 + 200**2)
        self.flat = vignetting * rng.normal(1, 0.01, SHAPE)
        self.flat /= self.flat.mean()

    def expose(self, sky, seconds):
        """One readout: Poisson noise of sky and dark current, read noise."""
        electrons = self.rng.poisson(sky * self.flat + self.dark * seconds)
        data = self.bias + electrons + self.rng.normal(0, self.read_noise, SHAPE)
        variance = np.full(SHAPE, self.read_noise**2, np.float32)
        return Pixels(data.astype(np.float32), variance, np.zeros(SHAPE, np.uint16))

    def known(self, plane, variance):
        """A master with Gaussian errors of the given variance."""
        data = plane + self.rng.normal(0, np.sqrt(variance), SHAPE)
        return Pixels(
            data.astype(np.float32), np.full(SHAPE, variance, np.float32), np.zeros(SHAPE, np.uint16)
        )


@pytest.fixture
def camera(rng):
    return Camera(rng)


def check_pulls(image, truth):
    """Pulls of a sky must be N(0, 1) within what their number and the noise estimate allow.

    The variance is estimated from the pixel itself, so a pixel that is low by chance also has its
    error too small: the mean pull is -1/(2 sigma), and its variance changes by about 2/sigma^2.
    """
    good = image.mask == 0
    pulls = ((image.data - truth) / np.sqrt(image.variance))[good].astype(float)
    sigma = np.sqrt(image.variance[good].mean(dtype=float))
    assert abs(pulls.mean()) < 0.5 / sigma + 4 / np.sqrt(pulls.size)
    assert abs(pulls.std() - 1) < 2 / sigma**2 + 4 / np.sqrt(2 * pulls.size)


def test_pulls_of_a_calibrated_sky_are_standard_normal(camera):
    raw = camera.expose(900.0, 60)
    bias = camera.known(camera.bias, 3.0)
    dark = camera.known(camera.dark * 120, 40.0)
    flat = camera.known(camera.flat, 0.01**2)
    image = calibrate(raw, bias=bias, dark=dark, dark_scale=0.5, flat=flat, flat_floor=0.1)
    check_pulls(image, 900.0)


def test_each_noisy_master_shows_in_the_variance(camera):
    raw = camera.expose(900.0, 60)
    exact = {"bias": camera.bias, "dark": camera.dark * 120, "flat": camera.flat}
    for name, variance in {"bias": 400.0, "dark": 2000.0, "flat": 0.01**2}.items():
        masters = {
            each: camera.known(plane, variance if each == name else 0.0) for each, plane in exact.items()
        }
        image = calibrate(raw, **masters, dark_scale=0.5, flat_floor=0.1)
        check_pulls(image, 900.0)


def test_masters_made_from_frames_give_honest_pulls(camera):
    """From raw bias, dark and flat frames to the sky, all by the code under test."""
    bias = combine_pixels([camera.expose(0.0, 0) for _ in range(7)], method="clipped mean")
    darks = [calibrate(camera.expose(0.0, 300), bias=bias) for _ in range(5)]
    dark = combine_pixels(darks, method="median")
    flats = [
        normalise_flat(calibrate(camera.expose(20000.0, 2), bias=bias, dark=dark, dark_scale=2 / 300))[0]
        for _ in range(6)
    ]
    flat = combine_pixels(flats, method="median")
    image = calibrate(
        camera.expose(900.0, 60), bias=bias, dark=dark, dark_scale=0.2, flat=flat, flat_floor=0.1
    )
    level = np.median(image.data)  # a flat knows the sky up to one factor
    pulls = (image.data - level) / np.sqrt(image.variance)
    assert level == pytest.approx(900, rel=0.02)
    # masters share the bias, and the variance of a median of few is 1 to 2 % uncertain
    assert pulls.std() == pytest.approx(1, abs=0.015)


def combine_pixels(frames, *, method):
    done = combine(
        [each.data for each in frames], method=method, variances=[each.variance for each in frames]
    )
    return Pixels(done.value, done.variance, np.zeros(done.value.shape, np.uint16))


def test_dark_is_scaled_to_the_exposure():
    image = calibrate(flat_pixels(1100), bias=flat_pixels(100), dark=flat_pixels(50), dark_scale=4.0)
    np.testing.assert_allclose(image.data, 1100 - 100 - 200)


def test_the_variance_adds_up_term_by_term():
    image = calibrate(
        flat_pixels(1100, 25.0), bias=flat_pixels(100, 2.0), dark=flat_pixels(50, 3.0), dark_scale=2.0,
        flat=flat_pixels(0.8, 1e-4),
    )  # fmt: skip
    signal = 1100 - 100 - 100
    wanted = (25 + 1000 + 2 + 4 * 3 + (signal / 0.8) ** 2 * 1e-4) / 0.8**2
    np.testing.assert_allclose(image.data, signal / 0.8, rtol=1e-6)
    np.testing.assert_allclose(image.variance, wanted, rtol=1e-6)


def test_a_negative_signal_has_no_poisson_noise():
    image = calibrate(flat_pixels(90, 25.0), bias=flat_pixels(100, 0.0))
    np.testing.assert_array_equal(image.data, -10)
    np.testing.assert_array_equal(image.variance, 25)


def test_without_masters_only_the_poisson_term_is_added():
    image = calibrate(flat_pixels(90, 25.0), poisson_factor=1.2)
    np.testing.assert_array_equal(image.data, 90)
    np.testing.assert_allclose(image.variance, 25 + 1.2 * 90, rtol=1e-6)


def test_masks_are_united():
    planes = [flat_pixels(1.0) for _ in range(4)]
    for bit, each in zip(
        (MaskBit.SATURATED, MaskBit.BAD, MaskBit.HOT, MaskBit.COSMIC_RAY), planes, strict=True
    ):
        each.mask[2, 3] = bit
    image = calibrate(planes[0], bias=planes[1], dark=planes[2], flat=planes[3])
    assert image.mask[2, 3] == MaskBit.SATURATED | MaskBit.BAD | MaskBit.HOT | MaskBit.COSMIC_RAY
    assert np.count_nonzero(image.mask) == 1


@pytest.mark.parametrize("value", [0.49, 0.0, -1.0, np.nan, np.inf, -np.inf])
def test_where_the_flat_cannot_be_used_the_pixel_is_bad_and_not_divided(value):
    flat = flat_pixels(0.5, 1e-4)
    flat.data[1, 1], flat.variance[1, 1] = value, np.nan
    image = calibrate(flat_pixels(100, 9.0), flat=flat)
    assert image.mask[1, 1] == MaskBit.BAD and np.count_nonzero(image.mask) == 1
    assert image.data[1, 1] == 100 and image.variance[1, 1] == 109
    assert image.data[0, 0] == 200


@pytest.mark.parametrize("floor", [0.5, 0.0])
def test_the_result_is_finite_whatever_comes_in(floor):
    spoilt = {name: flat_pixels(1.0, 1.0) for name in ("bias", "dark", "flat")}
    for column, value in enumerate([np.nan, np.inf, -np.inf, 0.0, 3e38]):
        for row, master in enumerate(spoilt.values()):
            master.data[row, column] = value
            master.variance[row + 3, column] = value
    image = calibrate(flat_pixels(100, 9.0), **spoilt, flat_floor=floor)
    assert np.isfinite(image.data).all() and np.isfinite(image.variance).all()
    assert (image.mask[:3, :3] == MaskBit.BAD).all() and image.mask[9, 9] == 0
    assert [plane.dtype for plane in image] == [np.float32, np.float32, np.uint16]


def test_a_master_of_another_shape_is_rejected():
    with pytest.raises(CalibrationError, match="dark has shape"):
        calibrate(flat_pixels(1.0), dark=flat_pixels(1.0, shape=(3, 4)))


def test_a_flat_is_divided_by_one_number_and_never_per_column(camera):
    structure = camera.flat * (1 + 0.1 * (np.arange(SHAPE[1]) % 2)) * np.linspace(0.9, 1.1, SHAPE[0])[:, None]
    light = Pixels(
        (30000 * structure).astype(np.float32), np.ones(SHAPE, np.float32), np.zeros(SHAPE, np.uint16)
    )
    flat, level = normalise_flat(light)
    ratio = flat.data / structure
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-5)
    np.testing.assert_allclose(flat.data * level, light.data, rtol=1e-6)
    np.testing.assert_allclose(flat.variance * level**2, 1, rtol=1e-5)
    assert level == pytest.approx(30000 * structure.mean(), rel=0.01)


def test_the_level_of_a_flat_ignores_bad_and_outlying_pixels(camera):
    light = flat_pixels(1000.0, 1000.0)
    light.data[:] = camera.rng.normal(1000, 30, SHAPE)
    wanted = normalise_flat(light)[1]
    light.data[:100], light.mask[:100] = 0, MaskBit.BAD
    light.data[100:104] = 60000
    light.data[200, :5] = np.nan
    # a quarter of the pixels less: the mean moves by its own noise
    assert normalise_flat(light)[1] == pytest.approx(wanted, abs=5 * 30 / np.sqrt(SIZE / 2))


@pytest.mark.parametrize("value", [0.0, -5.0, np.nan])
def test_a_flat_without_light_is_rejected(value):
    with pytest.raises(CalibrationError, match="no light"):
        normalise_flat(flat_pixels(value))


def test_all_arguments_are_left_alone(camera):
    image, bias, dark = (camera.expose(100.0, 1) for _ in range(3))
    flat = camera.known(camera.flat, 1e-4)
    before = [[plane.copy() for plane in each] for each in (image, bias, dark, flat)]
    calibrate(image, bias=bias, dark=dark, dark_scale=0.3, flat=flat)
    calibrate(image)
    normalise_flat(flat)
    for each, was in zip((image, bias, dark, flat), before, strict=True):
        for plane, old in zip(each, was, strict=True):
            np.testing.assert_array_equal(plane, old)


def test_the_sky_survives_the_whole_way_from_adu(camera):
    gain, level = 1.7, 300.0
    raw = camera.expose(900.0, 0)
    adu = np.rint(raw.data / gain + level).astype(np.uint16)
    pixels = assemble([Piece(adu, gain, camera.read_noise, level=level)], shape=SHAPE)
    image = calibrate(
        pixels, bias=camera.known(camera.bias, 0.0), flat=camera.known(camera.flat, 0.0), flat_floor=0.1
    )
    check_pulls(image, 900.0)


def test_a_mask_to_which_nothing_comes_is_handed_on_and_any_other_is_new(camera):
    image, dark, flat = camera.expose(100.0, 1), flat_pixels(5.0), flat_pixels(1.0)
    assert calibrate(image, dark=dark, flat=flat).mask is image.mask
    flat.data[7, 8] = 0
    marked = calibrate(image, dark=dark, flat=flat).mask
    assert marked[7, 8] == MaskBit.BAD and not image.mask.any()


def test_a_variance_of_one_number_is_as_good_as_a_plane_of_it(camera):
    image = camera.expose(100.0, 1)
    few = image._replace(variance=np.broadcast_to(image.variance[:1, :1], SHAPE))
    masters = {"bias": flat_pixels(200, 0.1), "dark": flat_pixels(1, 0.1), "flat": flat_pixels(0.9, 1e-4)}
    for plane, wanted in zip(calibrate(few, **masters), calibrate(image, **masters), strict=True):
        np.testing.assert_array_equal(plane, wanted)


@pytest.mark.parametrize("with_flat", [True, False])
@pytest.mark.parametrize("plane", ["data", "variance"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_pixel_that_is_not_finite_is_bad_and_zero_with_any_masters(value, plane, with_flat):
    image = flat_pixels(100, 9.0)
    getattr(image, plane)[5, 6] = value
    done = calibrate(image, flat=flat_pixels(1.0) if with_flat else None)
    bad = np.zeros(SHAPE, bool)
    bad[5, 6] = True
    np.testing.assert_array_equal(done.mask, np.where(bad, MaskBit.BAD, 0))
    assert not done.data[bad].any() and not done.variance[bad].any()
    assert np.isfinite(done.data).all() and np.isfinite(done.variance).all()


@pytest.mark.parametrize("level", [0.0, 900.0])
def test_the_noise_without_photons_is_that_of_the_readout(rng, level):
    electrons = (rng.poisson(level, (400, 400)) + rng.normal(0, 6, (400, 400))).astype(np.float32)
    image = Pixels(electrons, np.full(electrons.shape, 36, np.float32), np.zeros(electrons.shape, np.uint16))
    frame = calibrate(image)
    assert noise_floor(frame, 1.0) == pytest.approx(36, rel=1e-3)
    if level:
        flat, of_flat = normalise_flat(frame)
        assert noise_floor(flat, 1 / of_flat) == pytest.approx(36 / of_flat**2, rel=1e-3)
