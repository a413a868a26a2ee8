"""Frames that disagree with the others as a whole, against simulated biases, darks and twilight flats."""

import numpy as np
import pytest
from astropy.io import fits

from potpyri_like.imaging import agreement, faint_frames, sample_frame

SHAPE = (128, 160)
READ_NOISE = 5.0
FLATS = {"levels": False, "sigmas": 0.0, "relative": 0.015}


def biases(rng, n, *, drift=0.5):
    """Biases whose level drifts by a part of the read noise."""
    return rng.normal(390, READ_NOISE, (n, *SHAPE)) + drift * READ_NOISE * rng.standard_normal((n, 1, 1))


def samples(frames, variance=READ_NOISE**2):
    variances = np.broadcast_to(variance, len(frames))
    return [sample_frame(np.asarray(f, np.float32), v) for f, v in zip(frames, variances, strict=True)]


def twilight_flats(rng, n, *, gradient=0.003, stars=20):
    """Flats relative to their level, and their variances; levels differ by factors, gradients a little; with stars."""
    y, x = np.indices(SHAPE) / np.array(SHAPE)[:, None, None] - 0.5
    sensitivity = rng.normal(1, 0.01, SHAPE) * (1 - 0.3 * (x**2 + y**2))
    flats, variances = [], []
    for level in np.exp(rng.uniform(np.log(3000), np.log(50000), n)):
        light = (
            level * sensitivity * (1 + 2 * gradient * (rng.standard_normal() * x + rng.standard_normal() * y))
        )
        for row, col in zip(rng.integers(3, 120, stars), rng.integers(3, 150, stars), strict=True):
            light[row : row + 4, col : col + 4] += level * rng.uniform(0.05, 3)
        electrons = rng.poisson(light) + rng.normal(0, READ_NOISE, SHAPE)
        found = np.median(electrons)
        flats.append(electrons / found)
        variances.append((found + READ_NOISE**2) / found**2)
    return np.array(flats), variances


def from_the_side():
    """0 at the left edge, 1 at the right."""
    return np.tile(np.linspace(0, 1, SHAPE[1]), (SHAPE[0], 1))


FEW = [(3, 1), (4, 1), (5, 1), (5, 2), (9, 2), (30, 2)]


@pytest.mark.parametrize(("n", "bad"), FEW)
def test_a_bias_eight_sigma_above_the_others_is_found_by_its_level(rng, n, bad):
    frames = biases(rng, n)
    frames[1 : 1 + bad] += 8 * READ_NOISE + 3 * 0.5 * READ_NOISE
    result = agreement(samples(frames))
    assert {index: oddity.what for index, oddity in result.odd.items()} == dict.fromkeys(
        range(1, 1 + bad), "level"
    )
    assert result.odd[1].by == pytest.approx(8 * READ_NOISE, abs=4 * READ_NOISE)
    assert result.divided is None


@pytest.mark.parametrize(("n", "bad"), FEW)
def test_a_light_leak_is_found_by_its_shape(rng, n, bad):
    frames = biases(rng, n)
    frames[:bad] += 80 * (from_the_side() - 0.5)
    result = agreement(samples(frames))
    assert {index: oddity.what for index, oddity in result.odd.items()} == dict.fromkeys(range(bad), "shape")


def test_light_in_one_corner_is_found(rng):
    frames = biases(rng, 5)
    frames[3, :32, :40] += 100  # a sixteenth of the image
    assert {index: oddity.what for index, oddity in agreement(samples(frames)).odd.items()} == {3: "shape"}


@pytest.mark.parametrize(("n", "bad"), FEW)
def test_a_flat_lit_from_the_side_is_found(rng, n, bad):
    flats, variances = twilight_flats(rng, n)
    flats[-bad:] *= 0.95 + 0.1 * from_the_side()
    result = agreement(samples(flats, variances), **FLATS)
    assert sorted(result.odd) == list(range(n - bad, n))
    assert result.odd[n - 1].by == pytest.approx(0.05, abs=0.015)


def test_a_frame_with_four_times_the_noise_is_found(rng):
    frames = biases(rng, 5)
    frames[2] += rng.normal(0, 15**0.5 * READ_NOISE, SHAPE)
    odd = agreement(samples(frames)).odd
    assert list(odd) == [2] and odd[2].what == "noise"
    assert odd[2].by == pytest.approx(4, rel=0.1)


def test_half_against_half_is_no_majority(rng):
    frames = biases(rng, 10)
    frames[5:] += 400
    result = agreement(samples(frames))
    assert not result.odd
    assert result.divided.what == "level" and result.divided.by == pytest.approx(400, abs=20)


def test_two_frames_that_differ_are_no_majority(rng):
    result = agreement(samples(biases(rng, 2) + np.array([0, 100])[:, None, None]))
    assert not result.odd and result.divided.what == "level"


def test_a_frame_without_good_pixels_is_named(rng):
    frames = biases(rng, 4)
    frames[2] = np.nan
    assert agreement(samples(frames)).odd[2].what == "no good pixels"


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 4, 5, 7, 10, 30])
def test_honest_biases_lose_no_frame(n):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        for drift in (0.0, 0.5, 1.0):
            result = agreement(samples(biases(rng, n, drift=drift)))
            assert not result.odd and (result.divided is None or n == 2)


@pytest.mark.parametrize("sigma", [0.2, 0.4, 1.0])
def test_biases_of_whole_numbers_lose_no_frame(sigma):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        frames = np.round(rng.normal(390, sigma, (7, *SHAPE)) + rng.normal(0, 0.5 * sigma, (7, 1, 1)))
        assert not agreement(samples(frames, sigma**2 + 1 / 12)).odd


@pytest.mark.parametrize("n", [3, 4, 5, 10, 20])
@pytest.mark.slow
def test_twilight_flats_lose_no_frame(n):
    for seed in range(6):
        flats, variances = twilight_flats(np.random.default_rng(seed), n)
        result = agreement(samples(flats, variances), **FLATS)
        assert not result.odd and result.divided is None


def test_a_few_bad_pixels_and_missing_ones_change_nothing(rng):
    frames = biases(rng, 4)
    frames[0, ::9, ::7] = 60000
    frames[1, ::5] = np.nan
    assert agreement(samples(frames)) == ({}, None)


def test_a_flat_of_a_tenth_of_the_usual_level_is_faint():
    assert faint_frames([30000, 29000, 1200, 31000, 30500]) == {2: 30000}
    assert not faint_frames([50000, 20000, 9000, 4000, 2500])  # a twilight
    assert not faint_frames([])


def test_the_frames_are_left_alone(rng):
    frames = biases(rng, 3).astype(np.float32)
    before = frames.copy()
    agreement(samples(frames))
    np.testing.assert_array_equal(frames, before)


@pytest.mark.slow
def test_the_biases_and_flats_of_a_real_night_all_belong_together(real_data):
    def read(kind):
        files = sorted((real_data / "hall42" / kind).glob("*.fits"))
        kept = [f for f in files if kind == "zero" or fits.getval(f, "FILTNAME") == "VR"]
        return [fits.getdata(f)[:, 17:1382].astype(np.float32) for f in kept]

    zeros = read("zero")
    assert agreement(samples(zeros, 2.0)) == ({}, None)
    flats = [flat - np.mean(zeros, axis=0) for flat in read("flat")]
    levels = [float(np.median(flat)) for flat in flats]
    relative = samples(
        [f / level for f, level in zip(flats, levels, strict=True)], [0.5 / level for level in levels]
    )
    for n in (3, 4, 5, len(flats)):
        assert agreement(relative[:n], **FLATS) == ({}, None)
    assert not faint_frames(levels)
