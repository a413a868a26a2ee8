"""Registration by star patterns, against transforms that are known."""

from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest

from potpyri_like.astrometry.matching import Match, fit_pairs, follow_stars, is_certain, match_stars
from potpyri_like.astrometry.transform import Transform
from potpyri_like.errors import RegistrationError

FIELD = 1000.0


def random_transform(rng, *, scale=(0.98, 1.02), rotation=(0, 360), shift=300, flip=False):
    """About the middle of the field."""
    angle, size = np.radians(rng.uniform(*rotation)), rng.uniform(*scale)
    matrix = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if flip:
        matrix = matrix @ np.diag([1, -1])
    middle = np.full(2, FIELD / 2)
    return Transform(matrix, middle - matrix @ middle + rng.uniform(-shift, shift, 2))


def two_lists(rng, transform, *, true, false, noise=0.2):
    """The same stars in two frames, each with false ones, in any order; fluxes agree to 5 % and a factor."""
    stars, flux = rng.uniform(0, FIELD, (true, 2)), 10 ** rng.uniform(3, 5, true)
    moved = transform(stars)
    lists = []
    for xy, factor in ((stars, 1.0), (moved, 1.7)):
        junk = rng.uniform(xy.mean(axis=0) - FIELD / 2, xy.mean(axis=0) + FIELD / 2, (false, 2))
        order = rng.permutation(true + false)
        measured = factor * flux * np.exp(rng.normal(0, 0.05, true))
        lists.append(np.vstack([xy + rng.normal(0, noise, xy.shape), junk])[order])
        lists.append(np.concatenate([measured, 10 ** rng.uniform(3, 5, false)])[order])
    source, source_flux, target, target_flux = lists
    return stars, (source, target), {"source_flux": source_flux, "target_flux": target_flux}


def rates(rng, trials, *, true, false, options=None, flux=True, **kind):
    """Fractions of right and of wrong answers; right is within 3 px everywhere on the stars."""
    right = wrong = 0
    for _ in range(trials):
        flip = bool(kind.get("flip")) and rng.random() < 0.5
        transform = random_transform(rng, **{**kind, "flip": flip})
        stars, lists, fluxes = two_lists(rng, transform, true=true, false=false)
        try:
            match = match_stars(*lists, **(fluxes if flux else {}), **(options or {}))
        except RegistrationError:
            continue
        error = np.hypot(*(match.transform(stars) - transform(stars)).T).max()
        right, wrong = right + (error < 3), wrong + (error >= 3)
    return right / trials, wrong / trials


@pytest.mark.parametrize("flux", [True, False])
@pytest.mark.parametrize(("true", "false"), [(3, 1), (4, 1)])
@pytest.mark.slow
def test_four_or_five_stars_with_one_false_are_enough(true, false, flux):
    right, wrong = rates(np.random.default_rng(true), 200, true=true, false=false, flux=flux)
    assert right >= 0.95
    assert wrong == 0


@pytest.mark.slow
def test_thirty_percent_false_stars_and_flips_do_no_harm():
    options = {"allow_flip": True}
    right, wrong = rates(np.random.default_rng(5), 40, true=21, false=9, flip=True, options=options)
    assert (right, wrong) == (1, 0)


@pytest.mark.slow
def test_frames_of_different_cameras_match():
    kind = {"scale": (0.9, 1.1), "options": {"scale": (0.9, 1.1)}}
    right, wrong = rates(np.random.default_rng(6), 25, true=18, false=7, **kind)
    assert (right, wrong) == (1, 0)


def test_hundreds_of_stars_match_by_their_brightest_and_are_all_paired():
    rng = np.random.default_rng(7)
    transform = random_transform(rng)
    _, lists, fluxes = two_lists(rng, transform, true=240, false=60)
    match = match_stars(*lists, **fluxes)
    assert len(match.pairs) >= 235
    assert match.rms == pytest.approx(0.2 * 2, rel=0.15)  # 0.2 px in each of two lists and two axes


@pytest.mark.slow
@pytest.mark.parametrize(("n", "flux"), [(4, True), (5, False), (12, True), (25, True), (25, False)])
def test_unrelated_lists_are_rejected(n, flux):
    rng, accepted = np.random.default_rng(8), 0
    for _ in range(200 if n < 12 else 60):
        source, target = rng.uniform(0, FIELD, (2, n, 2))
        fluxes = {"source_flux": 10 ** rng.uniform(3, 5, n), "target_flux": 10 ** rng.uniform(3, 5, n)}
        try:
            match_stars(source, target, **(fluxes if flux else {}))
            accepted += 1
        except RegistrationError:
            pass
    assert accepted <= 2


def test_a_meridian_flip_is_a_rotation_by_180_degrees():
    rng = np.random.default_rng(9)
    transform = random_transform(rng, rotation=(180, 180), scale=(1, 1), shift=60)
    _, lists, fluxes = two_lists(rng, transform, true=10, false=3)
    assert abs(match_stars(*lists, **fluxes).transform.rotation) == pytest.approx(180, abs=0.1)


def test_pairs_are_one_to_one_and_name_the_stars_of_the_given_lists():
    rng = np.random.default_rng(10)
    stars = rng.uniform(0, FIELD, (30, 2))
    order = rng.permutation(30)
    source = np.vstack([[[np.nan, 3.0]], stars])
    match = match_stars(source, stars[order] + 5, max_stars=30)
    assert len(match.pairs) == 30
    assert np.array_equal(match.pairs[:, 0] - 1, order[match.pairs[:, 1]])


def test_hot_pixels_that_stand_still_do_not_win_over_stars_that_moved():
    rng = np.random.default_rng(11)
    hot, hot_flux = rng.uniform(0, FIELD, (14, 2)), 10 ** rng.uniform(3, 5, 14)
    stars, flux = rng.uniform(0, FIELD, (9, 2)), 10 ** rng.uniform(3, 5, 9)
    for shift in ([0.0, 40.0], [7.0, -5.0], [200.0, 1.0]):
        match = match_stars(
            np.vstack([hot, stars]),
            np.vstack([hot, stars + shift]),
            source_flux=np.concatenate([hot_flux, flux]),
            target_flux=np.concatenate([hot_flux, flux]),
        )
        assert match.transform.offset == pytest.approx(shift, abs=1e-6)
        assert set(match.pairs[:, 0]) == set(range(14, 23))


def test_stars_that_stand_still_match_without_movement():
    rng = np.random.default_rng(12)
    _, lists, fluxes = two_lists(rng, Transform.identity(), true=18, false=7)
    match = match_stars(*lists, **fluxes)
    assert match.transform.offset == pytest.approx([0, 0], abs=0.5)
    assert len(match.pairs) >= 18


def test_positions_that_agree_without_their_fluxes_are_weak_evidence():
    rng = np.random.default_rng(13)
    stars = rng.uniform(0, FIELD, (5, 2))
    flux = np.array([1.0, 10, 100, 1e3, 1e4])
    assert match_stars(stars, stars + 50, source_flux=flux, target_flux=flux).chance < 1e-4
    with pytest.raises(RegistrationError):
        match_stars(stars, stars + 50, source_flux=flux, target_flux=flux[::-1])


def test_a_stretch_of_the_axes_needs_the_affine_transform():
    rng = np.random.default_rng(14)
    stars = rng.uniform(0, FIELD, (60, 2))
    stretch = Transform(np.array([[1.12, 0.002], [-0.001, 1.13]]), np.array([-60.0, -40.0]))
    match = match_stars(
        stars, stretch(stars) + rng.normal(0, 0.2, stars.shape), scale=(1.0, 1.2), affine=True, tolerance=3
    )
    assert len(match.pairs) == 60
    assert match.transform.matrix == pytest.approx(stretch.matrix, abs=5e-4)


def test_stars_on_a_line_make_no_affine_transform():
    x = np.sort(np.random.default_rng(15).uniform(0, FIELD, 12))
    line = np.column_stack([x, 300 + 0.1 * x])
    with pytest.raises(RegistrationError, match="12 stars agree, too few or too nearly on a line"):
        match_stars(line, line + 30, affine=True)


def test_a_pattern_that_looks_the_same_after_a_turn_is_rejected():
    square = np.array([[0.0, 0], [400, 0], [400, 400], [0, 400]])
    turned = random_transform(np.random.default_rng(16), rotation=(30, 30))(square)
    with pytest.raises(RegistrationError, match="two different transforms agree on 4 stars"):
        match_stars(square, turned)


def test_the_message_says_how_many_stars_there_were_and_how_many_agreed():
    rng = np.random.default_rng(17)
    with pytest.raises(RegistrationError, match="2 stars against 9: a pattern needs at least three"):
        match_stars(rng.uniform(0, 9, (2, 2)), rng.uniform(0, 9, (9, 2)))
    with pytest.raises(RegistrationError, match=r"20 stars against 25: .* agrees on \w+ stars"):
        match_stars(rng.uniform(0, FIELD, (20, 2)), rng.uniform(0, FIELD, (25, 2)))
    stars = rng.uniform(0, FIELD, (6, 2))
    with pytest.raises(RegistrationError, match="6 stars agree, 8 are needed"):
        match_stars(stars, stars + 9, min_matched=8)
    with pytest.raises(RegistrationError, match="0 stars against 6"):
        match_stars(np.empty((0, 2)), stars)


def test_a_guess_and_frames_of_one_camera_spare_the_full_search():
    rng = np.random.default_rng(18)
    near = random_transform(rng, scale=(1, 1), rotation=(-0.3, 0.3), shift=50)
    far = random_transform(rng, rotation=(120, 120))
    for transform, guess in ((near, None), (far, far)):
        _, lists, fluxes = two_lists(rng, transform, true=20, false=5)
        times = []
        for _ in range(5):
            start = perf_counter()
            match = match_stars(*lists, **fluxes, guess=guess)
            times.append(perf_counter() - start)
        assert len(match.pairs) >= 20
        assert min(times) < 0.010


def test_the_lists_are_not_changed():
    rng = np.random.default_rng(19)
    _, lists, fluxes = two_lists(rng, random_transform(rng), true=12, false=0)
    given = [*lists, *fluxes.values()]
    before = [a.copy() for a in given]
    match_stars(*lists, **fluxes)
    assert all(np.array_equal(a, b) for a, b in zip(given, before, strict=True))


def test_pairs_that_are_known_are_fitted_without_those_that_disagree():
    rng = np.random.default_rng(20)
    transform = random_transform(rng, scale=(1, 1), shift=40)
    stars = rng.uniform(0, FIELD, (40, 2))
    target = transform(stars) + rng.normal(0, 0.05, stars.shape)
    target[3:6] += [[1.5, 0], [0, 30], [-200, 4]]
    target[10] = np.nan
    near = Transform(transform.matrix, transform.offset + np.array([0.9, -0.6]))
    match = fit_pairs(stars, target, near, chance=1e-7)
    assert np.array_equal(match.pairs[:, 0], match.pairs[:, 1])
    assert set(range(40)) - set(match.pairs[:, 0]) == {4, 5, 10}  # 3 is within the tolerance, but not fitted
    corners = np.array([(0.0, 0), (FIELD, 0), (0, FIELD), (FIELD, FIELD)])
    assert np.abs(match.transform(corners) - transform(corners)).max() < 0.06
    assert match.chance == 1e-7


def test_pairs_that_do_not_agree_are_rejected():
    rng = np.random.default_rng(21)
    source, target = rng.uniform(0, FIELD, (2, 20, 2))
    with pytest.raises(RegistrationError, match="of 20 stars are at the predicted positions, 3 are needed"):
        fit_pairs(source, target, Transform.identity())
    with pytest.raises(RegistrationError, match="0 of 2 stars"):
        fit_pairs(source[:2], source[:2] * np.nan, Transform.identity())


def test_the_second_guess_is_tried_when_the_first_is_wrong():
    rng = np.random.default_rng(22)
    half_turn = random_transform(rng, scale=(1, 1), rotation=(180, 180), shift=60)
    _, lists, fluxes = two_lists(rng, half_turn, true=20, false=5)
    guesses = Transform.identity(), Transform(-np.eye(2), np.zeros(2))
    times = []
    for _ in range(5):
        start = perf_counter()
        match = match_stars(*lists, **fluxes, guess=guesses)
        times.append(perf_counter() - start)
    assert len(match.pairs) >= 20
    assert min(times) < 0.015


@pytest.mark.parametrize("fwhm", [3.0, 6.0])
def test_stars_where_they_are_expected_are_certain_and_those_met_by_chance_are_not(rng, fwhm):
    xy, tolerance = rng.uniform(0, 1000, (40, 2)), 2.0
    true = fit_pairs(xy, xy + rng.normal(0, 0.1, xy.shape), Transform.identity(), tolerance=tolerance)
    far = tolerance * np.sqrt(rng.random(40))  # evenly over a circle
    chance = Match(Transform.identity(), true.pairs, float(np.sqrt(np.mean(far**2))), 0.0)
    assert chance.rms == pytest.approx(tolerance / np.sqrt(2), rel=0.15)
    assert is_certain(true, expected=40, fwhm=fwhm, tolerance=tolerance)
    assert not is_certain(chance, expected=40, fwhm=fwhm, tolerance=tolerance)


@pytest.mark.parametrize(
    ("pairs", "expected", "certain"), [(10, 60, True), (9, 60, False), (5, 10, True), (4, 10, False)]
)
def test_ten_stars_are_enough_or_half_of_those_expected(pairs, expected, certain):
    match = Match(Transform.identity(), np.zeros((pairs, 2), int), 0.1, 1e-9)
    assert is_certain(match, expected=expected, fwhm=5.0) is certain
    assert not is_certain(replace(match, chance=1e-3), expected=expected, fwhm=5.0)
    assert not is_certain(replace(match, rms=np.nan), expected=expected, fwhm=5.0)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "false"), [(256, 0), (1000, 0), (1000, 1)])
def test_three_stars_that_merely_shift_are_matched(rng, size, false):
    right = wrong = 0
    for _ in range(200):
        stars, flux = rng.uniform(20, size - 20, (3, 2)), 10 ** rng.uniform(3, 5, 3)
        shift = rng.uniform(-10, 10, 2)
        lists = [
            np.vstack([xy + rng.normal(0, 0.1, xy.shape), rng.uniform(0, size, (false, 2))])
            for xy in (stars, stars + shift)
        ]
        source, target = (
            np.concatenate([flux * np.exp(rng.normal(0, 0.03, 3)), 10 ** rng.uniform(3, 4, false)])
            for _ in range(2)
        )
        try:
            match = match_stars(*lists, source_flux=source, target_flux=target)
        except RegistrationError:
            continue
        error = np.hypot(*(match.transform(stars) - stars - shift).T).max()
        right, wrong = right + (error < 3), wrong + (error >= 3)
    assert right >= 190 and wrong == 0


def test_two_stars_that_keep_their_distance_are_followed():
    match = follow_stars(
        [[10, 20], [70, 50]],
        [[5, 90], [14.1, 17.0], [74.0, 47.2]],
        source_flux=[9e4, 3e4],
        target_flux=[2e3, 8e4, 3e4],
    )
    assert match.pairs.tolist() == [[0, 1], [1, 2]] and np.isnan(match.chance)
    assert match.transform([[10, 20]]) == pytest.approx(np.array([[14.05, 17.1]]), abs=1e-6)


def test_a_single_star_is_followed_where_one_star_has_its_brightness():
    one = {"source_flux": [9e4]}
    match = follow_stars([[10, 20]], [[30, 25], [5, 90]], **one, target_flux=[7e4, 3e3])
    assert match.transform.offset.tolist() == [20, 5]
    with pytest.raises(RegistrationError, match="2 of them could be"):
        follow_stars([[10, 20]], [[30, 25], [5, 90]], **one, target_flux=[7e4, 6e4])
    with pytest.raises(RegistrationError, match="none has the brightness"):
        follow_stars([[10, 20]], [[5, 90]], **one, target_flux=[3e3])
