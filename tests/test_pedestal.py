"""The level without light, from simulated skies."""

from itertools import pairwise

import numpy as np
import pytest

from potpyri_like.imaging import pedestal_of, sample_boxes

GAIN, READ_NOISE = 1.3, 6.0


def skies(rng, *, sky, level, n=6, stars=30, response=0.01, shape=(240, 240)):
    """Images of whole counts, electron, with a level without light, moving stars and pixels of unlike sensitivity."""
    y, x = np.indices(shape)
    sensitivity = rng.normal(1, response, shape)
    places, peaks = rng.uniform(0, 240, (stars, 2)), rng.uniform(500, 20000, stars)
    images = []
    for i in range(n):
        light = np.full(shape, float(sky))
        for (a, b), peak in zip(places + i, peaks, strict=True):
            light += peak * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 8)
        electrons = rng.poisson(light * sensitivity) + rng.normal(0, READ_NOISE, shape) + level
        images.append(sample_boxes(np.round(electrons / GAIN) * GAIN))
    return list(pairwise(images))


@pytest.mark.parametrize("sky", [30, 200, 800])
@pytest.mark.parametrize("level", [0, 390])
@pytest.mark.slow
def test_the_level_without_light_is_found_within_its_error(rng, sky, level):
    found = pedestal_of(skies(rng, sky=sky, level=level), read_variance=READ_NOISE**2 + GAIN**2 / 12)
    assert abs(found.level - level) < 2 * found.error + 0.02 * sky
    assert found.error < 0.06 * sky + 1
    assert found.sky == pytest.approx(sky, abs=2 * found.error + 0.02 * sky)


def test_nothing_is_said_of_too_few_pixels(rng):
    assert np.isnan(pedestal_of([], read_variance=36).level)
    one = rng.normal(300, 6, (3, 24, 24))
    assert np.isnan(pedestal_of([(one, one + 1)], read_variance=36).level)
