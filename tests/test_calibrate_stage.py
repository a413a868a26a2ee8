"""The stage that calibrates, on frames whose detector is known: electrons, noise and bad pixels."""

from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest

from potpyri_like.frame import Frame, MaskBit
from potpyri_like.imaging import Pixels
from potpyri_like.primitives.calibrate import Calibrate
from potpyri_like.primitives.stage import Setup
from potpyri_like.results import Master, Masters

SHAPE, EXPOSURE = (300, 320), 30.0
BIAS, DARK, SKY, READ_NOISE, FLAT_ERROR = 900.0, 60.0, 400.0, 6.0, 0.004
INFO = SimpleNamespace(label="simulated.fits", exposure=EXPOSURE * u.s, night="", mosaic="", colour="")
INSTRUMENT = SimpleNamespace(calibration=SimpleNamespace(flat_floor=0.2))


def plane(values, variance=0.0):
    data = np.broadcast_to(np.asarray(values, np.float32), SHAPE).copy()
    return Pixels(data, np.full(SHAPE, variance, np.float32), np.zeros(SHAPE, np.uint16))


def vignetting():
    y, x = np.indices(SHAPE)
    return 1 - 0.4 * ((x - 160) ** 2 + (y - 150) ** 2) / 160**2 / 2


def masters_of(*, gain_ratio=1.0, flat=None, flat_variance=0.0, masked=()):
    flat = plane(vignetting() if flat is None else flat, flat_variance)
    for row, column in masked:
        flat.mask[row, column] = MaskBit.BAD
    return Masters(
        bias=Master("bias", plane(BIAS), 0.0, "exact", ()),
        darks={EXPOSURE: Master("dark", plane(DARK), EXPOSURE, "exact", ())},
        flat=Master("flat", flat, 1.0, "exact", (), photons=gain_ratio),
    )


def exposed(rng, *, gain_ratio=1.0, flat=None):
    """A frame in electrons of the declared gain, which is `gain_ratio` times the true one."""
    flat = vignetting() if flat is None else flat
    photons = rng.poisson((SKY * flat + DARK) / gain_ratio, SHAPE)
    data = BIAS + gain_ratio * photons + rng.normal(0, READ_NOISE, SHAPE)
    return Frame(plane(data, READ_NOISE**2), INFO)


def calibrated(frame, masters):
    return Calibrate()(frame, Setup(INSTRUMENT, masters=masters))


@pytest.mark.parametrize("gain_ratio", [1.0, 1.6, 0.5])
def test_errors_are_honest_whatever_the_gain_truly_is(rng, gain_ratio):
    done = calibrated(exposed(rng, gain_ratio=gain_ratio), masters_of(gain_ratio=gain_ratio))
    assert done.data.mean() == pytest.approx(SKY, abs=5 * np.sqrt(SKY / done.data.size) * 2)
    pull = (done.data - SKY) / np.sqrt(done.variance)
    assert pull.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("gain_ratio", [1.0, 1.6])
def test_the_noise_by_its_causes_is_that_of_a_pixel(rng, gain_ratio):
    flat = np.ones(SHAPE)
    sensitivity = flat + FLAT_ERROR * rng.normal(size=SHAPE)
    frame = exposed(rng, gain_ratio=gain_ratio, flat=sensitivity)
    done = calibrated(frame, masters_of(gain_ratio=gain_ratio, flat=flat, flat_variance=FLAT_ERROR**2))
    noise = done.results["pixel_noise"]
    total = noise["photons"] * SKY + noise["dark current"] + noise["read-out"] + noise["flat"] * SKY**2
    assert done.data.std() == pytest.approx(np.sqrt(total), rel=0.02)
    assert noise["photons"] == pytest.approx(gain_ratio)
    assert noise["dark current"] == pytest.approx(gain_ratio * DARK)
    assert noise["read-out"] == pytest.approx(READ_NOISE**2)
    assert noise["flat"] == pytest.approx(FLAT_ERROR**2)


def test_the_rounding_of_the_digits_is_a_part_of_the_read_out(rng):
    frame = exposed(rng).after("trimmed", digitisation=2.5)
    frame = frame.after("filtered", poisson_factor=0.2, covariance=6.0)
    noise = calibrated(frame, masters_of()).results["pixel_noise"]
    assert noise["digitisation"] == pytest.approx(6 * 0.2 * 2.5)
    assert noise["digitisation"] + noise["read-out"] == pytest.approx(6 * READ_NOISE**2)
    assert noise["photons"] == pytest.approx(6 * 0.2)
    assert noise["dark current"] == pytest.approx(6 * 0.2 * DARK)


def test_a_bad_pixel_gets_the_mean_of_its_good_neighbours_and_stays_marked(rng):
    bad = [(100, 120), (100, 121), (250, 30)]
    frame = exposed(rng)
    for row, column in bad:
        frame.data[row, column] = 60000
    frame.mask[40, 50] = MaskBit.COSMIC_RAY
    frame.data[40, 50] = 30000
    done = calibrated(frame, masters_of(masked=bad))
    for row, column in [*bad, (40, 50)]:
        window = slice(row - 1, row + 2), slice(column - 1, column + 2)
        good = (done.mask[window] & (MaskBit.BAD | MaskBit.COSMIC_RAY)) == 0
        assert done.data[row, column] == pytest.approx(done.data[window][good].mean(), rel=1e-5)
        assert abs(done.data[row, column] - SKY) < 5 * np.sqrt((SKY + DARK) / 5)
    assert (done.mask[100, 120], done.mask[40, 50]) == (MaskBit.BAD, MaskBit.COSMIC_RAY)
    assert np.count_nonzero(done.mask) == 4


def test_a_pixel_that_the_flat_does_not_know_is_filled(rng):
    flat = vignetting()
    flat[200, 210] = 0.01
    done = calibrated(exposed(rng), masters_of(flat=flat))
    assert done.mask[200, 210] == MaskBit.BAD
    assert abs(done.data[200, 210] - SKY) < 60


def test_the_frame_and_the_masters_are_left_alone(rng):
    frame, masters = exposed(rng), masters_of(masked=[(3, 4)])
    planes = (frame.data, frame.mask, frame.variance, *masters.flat.pixels, *masters.bias.pixels)
    before = [each.copy() for each in planes]
    calibrated(frame, masters)
    for each, was in zip(planes, before, strict=True):
        np.testing.assert_array_equal(each, was)
