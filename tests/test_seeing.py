"""How sharp a frame is, and which of several is chosen, on stars whose widths are known."""

import numpy as np
import pytest

from potpyri_like.frame import MaskBit
from potpyri_like.photometry import RICH, detect_stars, fwhm_at, fwhm_of, profile_at, round_up, sharp_and_rich

SKY, SIZE = 200.0, 400
PLACES = np.array([[x, y] for y in (70.0, 200.0, 330.0) for x in (70.0, 200.0, 330.0)])


def image_of(rng, fwhm, *, light=3e5, neighbours=()):
    y, x = np.indices((SIZE, SIZE))
    sigma2 = fwhm**2 / (8 * np.log(2))
    image = np.full((SIZE, SIZE), SKY)
    for number, (x0, y0) in enumerate(PLACES):
        flux = light / (1 + 0.1 * number)
        image += flux / (2 * np.pi * sigma2) * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * sigma2))
    return rng.poisson(image).astype(np.float32)


@pytest.mark.parametrize("fwhm", [3.0, 6.0, 11.0])
def test_the_width_of_gaussian_stars_is_theirs(rng, fwhm):
    image, mask = image_of(rng, fwhm), np.zeros((SIZE, SIZE), np.uint16)
    assert fwhm_at(image, mask, PLACES, 1.2 * fwhm) == pytest.approx(fwhm, rel=0.03)
    assert fwhm_of(image, detect_stars(image)) == pytest.approx(fwhm, rel=0.03)
    profile = profile_at(image, mask, PLACES, fwhm)
    assert profile.fwhm == pytest.approx(fwhm, rel=0.05)
    assert profile.ellipticity < 0.05


def test_saturated_stars_have_no_say(rng):
    image, mask = image_of(rng, 6.0), np.zeros((SIZE, SIZE), np.uint16)
    for x, y in PLACES[:4].astype(int):
        image[y - 5 : y + 6, x - 5 : x + 6] = 60000
        mask[y - 5 : y + 6, x - 5 : x + 6] = MaskBit.SATURATED
    assert fwhm_at(image, mask, PLACES, 6.0) == pytest.approx(6.0, rel=0.03)
    assert np.isnan(fwhm_at(image, mask, PLACES[:4], 6.0))
    assert not profile_at(image, mask, PLACES[:4], 6.0).is_known


def test_the_sharpest_of_those_with_nearly_all_stars_comes_first():
    counts = np.array([100, int(100 * RICH), 79, 30, 95])
    widths = np.array([5.0, 4.0, 2.0, 1.0, 6.0])
    assert sharp_and_rich(counts, widths).tolist() == [1, 0, 4, 2, 3]
    assert RICH == 0.8


def test_a_width_is_rounded_up_to_a_step_and_stays_there():
    steps = [round_up(width, 1.1) for width in np.linspace(4, 8, 200)]
    assert all(width <= step < 1.1 * width for width, step in zip(np.linspace(4, 8, 200), steps, strict=True))
    assert len(set(np.round(steps, 9))) == 8  # ln 2 / ln 1.1 is 7.3
    assert np.isnan(round_up(np.nan, 1.1))
