"""Other light in an aperture, against skies in which it is known."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from potpyri_like.frame import StarFlag
from potpyri_like.photometry import light_of_others, sky_error
from potpyri_like.photometry.psf import Profile
from potpyri_like.primitives.surroundings import Surroundings, surroundings_of
from potpyri_like.results import Grade

FWHM, SKY, SIZE = 4.5, 60.0, 160
PROFILE = Profile(FWHM, beta=3.0).through_pixels(1)
TARGET = np.array([80.3, 78.6])
RADII = np.array([0.6, 1.0, 1.6, 2.4]) * FWHM
ANNULUS = (6 * FWHM, 9 * FWHM)
YY, XX = np.mgrid[:SIZE, :SIZE]


def star(xy, flux):
    return flux * PROFILE.light(XX - xy[0], YY - xy[1])


def inside(image, radius):
    return image[np.hypot(XX - TARGET[0], YY - TARGET[1]) <= radius].sum()


@pytest.mark.parametrize("apart", [1.2, 2.0, 3.0, 5.0])
@pytest.mark.parametrize("ratio", [0.1, 1.0, 10.0])
def test_the_share_of_a_neighbour_is_that_of_its_light_in_the_aperture(rng, apart, ratio):
    other = TARGET + apart * FWHM * np.array([0.8, 0.6])
    mine, theirs = star(TARGET, 2e5), star(other, 2e5 * ratio)
    image = rng.poisson(SKY + mine + theirs).astype(np.float32)
    share = light_of_others(image, np.array([TARGET, other]), 0, RADII, profile=PROFILE, annulus=ANNULUS)
    true = [inside(theirs, r) / inside(mine + theirs, r) for r in RADII]
    assert share == pytest.approx(true, abs=0.03)


def test_a_star_alone_has_its_light_to_itself(rng):
    image = rng.poisson(SKY + star(TARGET, 2e5)).astype(np.float32)
    alone = light_of_others(image, TARGET[None], 0, RADII, profile=PROFILE, annulus=ANNULUS)
    assert alone == pytest.approx(0)
    empty = light_of_others(
        image, np.array([TARGET, [30.0, 30.0]]), 1, RADII, profile=PROFILE, annulus=ANNULUS
    )  # at a place without a star, the other one is too far away to matter
    assert np.all(np.isnan(empty) | (empty < 0.2))


def error_of(image, xy=(TARGET,)):
    level = (
        SKY
        if image is None
        else float(np.median(image[np.abs(np.hypot(XX - TARGET[0], YY - TARGET[1]) - 30) < 6]))
    )
    return sky_error(image, np.array(xy), 0, level=level, fwhm=FWHM, outer=8 * FWHM)


def test_the_sky_below_a_star_on_a_galaxy_is_not_that_of_its_annulus(rng):
    galaxy = 2000 * np.exp(-np.hypot(XX - TARGET[0], YY - TARGET[1] - 14) / 20)
    image = rng.poisson(SKY + galaxy + star(TARGET, 1e5)).astype(np.float32)
    off, error = error_of(image)
    assert off > 5 * error and off > 0.3 * galaxy[78, 80] / 2


def test_a_level_sky_a_plain_slope_and_neighbours_are_no_error_of_the_sky(rng):
    other = TARGET + np.array([22.0, 9.0])
    for sky in (SKY, SKY + 0.5 * XX):
        image = rng.poisson(sky + star(TARGET, 1e5) + star(other, 3e5)).astype(np.float32)
        off, error = error_of(image, (TARGET, other))
        assert abs(off) * np.pi * RADII[2] ** 2 < 0.005 * 1e5 or abs(off) < 5 * error


def test_without_free_pixels_nothing_is_known_of_the_sky(rng):
    everywhere = np.column_stack([XX[::6, ::6].ravel(), YY[::6, ::6].ravel()]).astype(float)
    image = rng.poisson(np.full((SIZE, SIZE), SKY)).astype(np.float32)
    assert np.isnan(error_of(image, (TARGET, *everywhere))).all()


@dataclass(frozen=True)
class SimpleSeries:
    star_flags: np.ndarray


def surroundings(others, slope=(0.0, 0.0, 0.0)):
    return Surroundings(np.array(others), np.array(slope))


@pytest.mark.parametrize(
    ("others", "allowed"),
    [
        ([0.0, 0.01, 0.2], [True, True, False]),  # what holds little is let in
        ([0.10, 0.115, 0.2], [True, True, False]),  # where none is clean, the least bad ones
        ([np.nan, 0.0, 0.0], [True, True, True]),  # what is not known is no reason
    ],
)
def test_apertures_that_hold_the_light_of_others_are_barred(others, allowed):
    assert surroundings(others).allowed.tolist() == allowed


def test_what_is_in_the_aperture_is_said_and_graded_by_how_much_it_is():
    around = surroundings([0.01, 0.04, 0.5], [0.0, -0.03, 0.2])
    assert around.problems("here", 0) == []
    neighbour, sky = around.problems("here", 1)
    assert (neighbour.grade, sky.grade) == (Grade.REMARK, Grade.REMARK)
    assert "4% of the light" in neighbour.why and "1.04 times as deep" in neighbour.why and "3%" in sky.why
    neighbour, sky = around.problems("here", 2)
    assert (neighbour.grade, sky.grade) == (Grade.DOUBTFUL, Grade.DOUBTFUL) and "2.00 times" in neighbour.why


def test_points_are_flagged_at_the_aperture_that_was_chosen_and_the_targets_alone():
    series = SimpleSeries(np.zeros((4, 3), int))
    around = surroundings([0.01, 0.04, 0.0], [0.0, 0.0, 0.03])
    assert around.flagged(series, 1, 0) is series
    assert around.flagged(series, 1, 1).star_flags.tolist() == [[0, int(StarFlag.NEIGHBOUR), 0]] * 4
    assert around.flagged(series, 1, 2).star_flags.tolist() == [[0, int(StarFlag.SLOPE), 0]] * 4


@pytest.mark.parametrize("together", [False, True])
def test_what_parts_blends_holds_no_light_of_others(rng, together):
    other = TARGET + np.array([9.0, 0.0])
    xy = np.array([TARGET, other])
    image = rng.poisson(SKY + star(TARGET, 2e5) + star(other, 2e5)).astype(np.float32)
    reference = SimpleNamespace(image=image, xy=xy, fwhm=FWHM)
    series = SimpleNamespace(
        radii=RADII, reference_xy=xy, annulus=ANNULUS, flux=np.full((3, 2, 4), 2e5), parts_blends=together
    )
    work = SimpleNamespace(setup=SimpleNamespace(reference=reference), target_star=0)
    assert bool(surroundings_of(work, series).others[-1] > 0.1) is not together
