"""Frames whose stars are not those of the reference, and what is remarkable about the others."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from fake_report import make_set

from potpyri_like.errors import UsageError
from potpyri_like.frame import FrameFlag, StarFlag
from potpyri_like.photometry import choose_aperture
from potpyri_like.primitives.compare_stars import aperture_choice, without_drifting
from potpyri_like.primitives.points import (
    for_choices,
    with_clouds,
    with_cuts,
    with_disagreement,
    with_flags,
    with_odd_light,
    without_mistaken,
)
from potpyri_like.primitives.star_table import star_table

BAD = 20
OF_A_FRAME = ("shift", "rotation", "xy", "flux", "flux_err", "sky", "peak")


@pytest.fixture
def measured():
    """A series as it is gathered, and its reference: no flags yet, one frame that could not be matched."""
    result = make_set(n_frames=40)
    return replace(result.series, flags=np.zeros(40, int)), result.reference


def changed(series, frame, flux):
    """The series with other fluxes in one frame."""
    own = series.flux.copy()
    own[frame] = flux
    return replace(series, flux=own)


def scrambled(series, frame, rng):
    """The light of other stars where each star should be."""
    stars = series.flux.shape[1]
    return changed(series, frame, series.flux[frame][(np.arange(stars) + stars // 2) % stars])


def turned(series, frame, rng):
    """The bright stars where the faint ones should be."""
    return changed(series, frame, series.flux[frame][::-1])


@pytest.mark.parametrize("how", [scrambled, turned])
def test_a_frame_matched_to_the_wrong_stars_is_not_measured(measured, rng, how):
    series, reference = measured
    found = without_mistaken(how(series, BAD, rng), reference)
    for name in OF_A_FRAME:
        assert np.isnan(getattr(found, name)[BAD]).all()
    assert found.matched[BAD] == 0
    assert f"{series.frames[BAD]}: matched to the reference, but only" in found.reasons[BAD]
    assert "of its 12 brightest stars have the expected relative brightness" in found.reasons[BAD]


def test_a_frame_with_sky_where_its_stars_should_be_is_not_measured(measured):
    series, reference = measured
    rng = np.random.default_rng(1)
    noise = np.sqrt(np.pi * series.radii**2 * 120)
    sky = noise * rng.normal(size=(12, 1))  # one sky under all apertures of a star
    assert np.median(sky) > 0
    errors = series.flux_err.copy()
    errors[BAD] = noise
    found = without_mistaken(replace(changed(series, BAD, sky), flux_err=errors), reference)
    assert found.matched[BAD] == 0


def test_it_keeps_its_row_and_is_flagged_as_not_matched(measured, rng):
    series, reference = measured
    found = without_mistaken(scrambled(series, BAD, rng), reference)
    assert found.frames == series.frames
    assert found.time[BAD] == series.time[BAD]
    assert found.airmass[BAD] == series.airmass[BAD]
    flagged = with_flags(found, [""] * 40)
    assert flagged.flags[BAD] & FrameFlag.UNMATCHED
    assert flagged.reasons[BAD] == found.reasons[BAD]


def test_the_other_frames_stay_as_they_were(measured, rng):
    series, reference = measured
    found = without_mistaken(scrambled(series, BAD, rng), reference)
    others = np.arange(40) != BAD
    for name in (*OF_A_FRAME, "matched"):
        np.testing.assert_array_equal(getattr(found, name)[others], getattr(series, name)[others])
    assert [r for i, r in enumerate(found.reasons) if i != BAD] == [
        r for i, r in enumerate(series.reasons) if i != BAD
    ]


def test_several_wrong_frames_are_found_together(measured, rng):
    series, reference = measured
    for frame in (3, 15, 16, 17, 33):
        series = scrambled(series, frame, rng)
    found = without_mistaken(series, reference)
    assert np.flatnonzero(found.matched == 0).tolist() == [3, 11, 15, 16, 17, 33]


@pytest.mark.parametrize("left", [0.5, 0.1])
def test_a_cloud_over_all_stars_is_no_wrong_match(measured, left):
    series, reference = measured
    assert without_mistaken(changed(series, BAD, left * series.flux[BAD]), reference).matched[BAD] == 12


def test_a_patchy_cloud_is_no_wrong_match(measured, rng):
    series, reference = measured
    through = 0.3 * rng.uniform(0.7, 1.3, 12)[:, None]
    assert without_mistaken(changed(series, BAD, through * series.flux[BAD]), reference).matched[BAD] == 12


@pytest.mark.parametrize("factor", [0.02, 8.0])
def test_one_variable_star_is_no_wrong_match(measured, factor):
    series, reference = measured
    flux = series.flux[BAD].copy()
    flux[0] *= factor
    assert without_mistaken(changed(series, BAD, flux), reference).matched[BAD] == 12


def test_a_good_series_is_handed_on_as_it_is(measured):
    series, reference = measured
    assert without_mistaken(series, reference) is series


def cut(series, frames, stars=None):
    """A few frames, or stars, of a series."""
    n, per_star = len(series.frames), ("xy", "flux", "flux_err", "sky", "peak", "star_flags")
    parts = {}
    for name, values in vars(series).items():
        if isinstance(values, tuple) and len(values) == n:
            parts[name] = values[:frames]
        elif isinstance(values, np.ndarray) and values.shape[:1] == (n,):
            parts[name] = values[:frames, :stars] if name in per_star else values[:frames]
    return replace(series, **parts, reference_xy=series.reference_xy[:stars])


def test_few_frames_are_compared_with_the_reference(measured, rng):
    series, reference = measured
    few = cut(series, 3)
    assert without_mistaken(few, reference) is few
    found = without_mistaken(scrambled(scrambled(few, 0, rng), 1, rng), reference)
    assert found.matched.tolist() == [0, 0, 12]  # though two of the three agree with each other


def test_many_frames_are_not_compared_with_a_reference_of_other_fluxes(measured):
    series, reference = measured
    odd = replace(reference, flux=reference.flux[::-1])
    assert without_mistaken(series, odd) is series


def test_three_stars_do_not_tell_a_wrong_match(measured, rng):
    series, reference = measured
    few = scrambled(cut(series, 40, 3), BAD, rng)
    assert without_mistaken(few, reference) is few


def test_the_series_is_not_changed(measured, rng):
    series, reference = measured
    wrong = scrambled(series, BAD, rng)
    before = {name: np.copy(getattr(wrong, name)) for name in (*OF_A_FRAME, "matched")}
    with_flags(without_mistaken(wrong, reference), ["its date was guessed"] * 40)
    for name, values in before.items():
        np.testing.assert_array_equal(getattr(wrong, name), values)


# -- remarks on frames ---------------------------------------------------------------------------------------


def test_trailed_stars_flag_their_frame(measured):
    series, _ = measured
    ellipticity = series.ellipticity.copy()
    ellipticity[BAD] = 0.45
    flagged = with_flags(replace(series, ellipticity=ellipticity), [""] * 40)
    assert flagged.flags[BAD] == FrameFlag.TRAILED
    assert flagged.reasons[BAD] == "trailed: ellipticity 0.45 at 30 degrees"
    assert np.count_nonzero(flagged.flags & FrameFlag.TRAILED) == 1


def test_a_night_of_elongated_stars_is_not_trailed(measured):
    series, _ = measured
    flagged = with_flags(replace(series, ellipticity=series.ellipticity + 0.4), [""] * 40)
    assert not np.any(flagged.flags & FrameFlag.TRAILED)


def test_poor_seeing_few_stars_and_a_guessed_date_are_told_together(measured):
    series, _ = measured
    fwhm, matched = series.fwhm.copy(), series.matched.copy()
    fwhm[BAD], matched[BAD] = 20.0, 3
    flagged = with_flags(
        replace(series, fwhm=fwhm, matched=matched), ["its date was guessed" * (i == BAD) for i in range(40)]
    )
    assert flagged.flags[BAD] == FrameFlag.POOR_SEEING | FrameFlag.FEW_STARS | FrameFlag.TIME_DOUBTFUL
    for words in ("matched on 3 stars only", "its date was guessed", "FWHM 20.0 pixel"):
        assert words in flagged.reasons[BAD]


def test_a_comparison_star_of_another_colour_is_left_out_with_its_reason(rng):
    airmass = 1 + np.linspace(0, 1, 80) ** 2
    level = np.linspace(1e6, 5e5, 12)
    flux = level * np.exp(-0.15 * airmass)[:, None]
    flux[:, 5] *= 1 - 0.01 * (airmass - 1)
    error = np.sqrt(flux)
    cube = (flux + error * rng.normal(size=flux.shape))[:, :, None], error[:, :, None]
    series = SimpleNamespace(flux=cube[0], flux_err=cube[1], airmass=airmass)
    choice = choose_aperture(*cube, target=0)
    found = without_drifting(choice, series, 0).ensemble
    assert found.weights[5] == 0 and "drifts with airmass by -" in found.reasons[5]
    assert (np.delete(found.weights, [0, 5]) > 0).all() and found.weights[0] == 0
    assert found.reasons[0] == "target"
    unknown = SimpleNamespace(flux=cube[0], flux_err=cube[1], airmass=np.full(80, np.nan))
    assert without_drifting(choice, unknown, 0) is choice


# -- what is known to be bad steers nothing ------------------------------------------------------------------


def test_a_frame_without_light_is_flagged_and_not_measured(measured):
    series, _ = measured
    found = with_clouds(changed(series, BAD, 0.01 * series.flux[BAD]), 2)
    assert found.flags[BAD] == FrameFlag.CLOUD
    assert np.isnan(found.flux[BAD]).all() and np.isnan(found.flux_err[BAD]).all()
    assert found.reasons[BAD] == "cloud: the comparison stars are 99% fainter; the frame is not measured"


def test_a_cloud_is_flagged_and_measured(measured):
    series, _ = measured
    found = with_clouds(changed(series, BAD, 0.5 * series.flux[BAD]), 2)
    assert found.flags[BAD] == FrameFlag.CLOUD
    np.testing.assert_array_equal(found.flux[BAD], 0.5 * series.flux[BAD])
    assert found.reasons[BAD].startswith("cloud: the comparison stars are 5")


def test_the_target_alone_is_no_cloud(measured):
    series, _ = measured
    flux = series.flux[BAD].copy()
    flux[2] *= 0.01
    assert not with_clouds(changed(series, BAD, flux), 2).flags[BAD]


def test_flagged_points_are_not_there_for_choices(measured):
    series, _ = measured
    flags, star_flags = series.flags.copy(), np.zeros_like(series.star_flags)
    flags[BAD], flags[3] = FrameFlag.TRAILED, FrameFlag.TIME_DOUBTFUL
    star_flags[5, 4], star_flags[6, 4] = StarFlag.FILLED, StarFlag.BAD_PIXEL
    found = for_choices(replace(series, flags=flags, star_flags=star_flags))
    lost = np.isnan(found.flux) & ~np.isnan(series.flux)
    assert lost[BAD].all() and lost[5, 4].all()
    assert lost.sum() == lost[BAD].sum() + lost[5, 4].sum()


def test_where_every_point_is_flagged_all_are_there_for_choices(measured):
    series, _ = measured
    every = replace(series, flags=np.full(40, int(FrameFlag.POOR_SEEING)))
    assert for_choices(every) is every


def night_of(rng, *, spoilt, n=60, stars=12):
    """A constant field, in some frames through a cloud and out of focus; and the frames that are honest."""
    series = make_set(n_frames=n).series
    radii = np.array([0.6, 1.0, 1.7, 2.5])
    inside = 1 - np.exp(-4 * np.log(2) * radii**2)
    flux = np.geomspace(3e5, 3e4, stars)[:, None] * inside * np.ones((n, 1, 1))
    sky = 30 * np.sqrt(np.pi) * radii * 6
    if spoilt:
        flux[[7, 21]] *= 0.02
        flux[33] *= (1 - np.exp(-4 * np.log(2) * (radii / 4) ** 2)) / inside
    error = np.sqrt(flux + sky**2)
    cube = flux + error * np.random.default_rng(3).normal(size=flux.shape)
    shared = {
        "flux": cube,
        "flux_err": error,
        "radii_fwhm": radii,
        "radii": 6 * radii,
        "flags": np.zeros(n, int),
        "star_flags": np.zeros((n, stars), int),
    }
    honest = np.setdiff1d(np.arange(n), [7, 21, 33])
    fwhm = np.where(np.isin(np.arange(n), [33]) & spoilt, 24.0, 6.0)
    return replace(
        series,
        **shared,
        fwhm=fwhm,
        ellipticity=np.full(n, 0.05),
        matched=np.full(n, stars),
        reasons=("",) * n,
    ), honest


def test_the_aperture_and_the_figures_are_those_of_the_night_without_its_bad_frames(rng):
    tables = {}
    for spoilt in (True, False):
        series, honest = night_of(rng, spoilt=spoilt)
        series = with_clouds(with_flags(series, [False] * 60), 3)
        if not spoilt:
            assert not series.flags.any()  # and no sentence where there is no cloud
            kept = np.full(60, int(FrameFlag.UNMATCHED))
            kept[honest] = 0
            series = replace(series, flags=kept)
        steady = for_choices(series)
        choice = aperture_choice(steady, 3, {}, None, None)
        tables[spoilt] = choice.index, star_table(series, choice)
    (index, bad), (same, good) = tables[True], tables[False]
    assert index == same
    for name in ("weight", "rms", "point_to_point", "expected", "score", "flux", "own_aperture"):
        np.testing.assert_allclose(getattr(bad, name), getattr(good, name), rtol=2e-3, atol=1e-6)


def test_three_stars_are_few_only_where_the_field_has_more(measured):
    series, _ = measured
    poor = replace(series, matched=np.where(series.matched > 0, 3, 0))
    assert not np.any(with_flags(poor, [False] * 40).flags & FrameFlag.FEW_STARS)
    assert with_flags(replace(series, matched=np.where(np.arange(40) == BAD, 3, 12)), [False] * 40).flags[BAD]


def test_a_frame_out_of_focus_stands_alone_among_its_neighbours(measured):
    series, _ = measured
    slow = 6 * (1 + 0.3 * np.sin(np.arange(40) / 8))  # seeing that comes and goes is none
    fwhm = slow * np.random.default_rng(2).normal(1, 0.03, 40)
    assert not np.any(with_flags(replace(series, fwhm=fwhm), [False] * 40).flags & FrameFlag.POOR_SEEING)
    fwhm[BAD] = 1.75 * slow[BAD]
    flagged = with_flags(replace(series, fwhm=fwhm), [False] * 40)
    assert np.flatnonzero(flagged.flags & FrameFlag.POOR_SEEING).tolist() == [BAD]
    assert "times that of the frames around it" in flagged.reasons[BAD]


def test_seeing_that_jumps_from_frame_to_frame_is_no_focus(measured):
    series, _ = measured
    fwhm = 6 * np.random.default_rng(2).lognormal(0, 0.18, 40)
    assert not np.any(with_flags(replace(series, fwhm=fwhm), [False] * 40).flags & FrameFlag.POOR_SEEING)


def test_exposures_of_different_length_are_no_cloud_and_a_cloud_in_a_long_one_is(measured):
    (series, _), target = measured, 2
    exposure = np.where(np.arange(len(series.frames)) % 3 == 0, 20.0, 60.0)
    times = (exposure / 60)[:, None, None]
    mixed = replace(
        series, exposure=exposure, flux=series.flux * times, flux_err=series.flux_err * np.sqrt(times)
    )
    plain = with_clouds(series, target).flags
    np.testing.assert_array_equal(with_clouds(mixed, target).flags, plain)
    cloudy = mixed.flux.copy()
    cloudy[10] *= 0.4  # with as much light as the short ones have
    flags = with_clouds(replace(mixed, flux=cloudy), target).flags
    assert np.flatnonzero(flags != plain).tolist() == [10] and flags[10] & FrameFlag.CLOUD


def test_a_frame_whose_comparison_stars_disagree_is_flagged_and_its_errors_hold_it(measured):
    (series, _), target = measured, 2
    flux = series.flux.copy()
    others = [star for star in range(flux.shape[1]) if star != target][:15]
    flux[7, others[: len(others) // 2]] *= 0.9
    found = with_disagreement(replace(series, flux=flux), target)
    assert np.flatnonzero(found.flags & FrameFlag.DISAGREE).tolist() == [7]
    assert "comparison stars disagree" in found.reasons[7]
    assert np.nanmin(found.flux_err[7] / np.abs(flux[7])) > 0.04
    np.testing.assert_array_equal(found.flux_err[6], series.flux_err[6])
    assert with_disagreement(series, target) is series


def test_a_star_that_is_struck_again_and_again_lies_on_a_bad_pixel(measured):
    series, _ = measured
    flags = series.star_flags.copy()
    flags[:, 2] |= int(StarFlag.COSMIC_RAY)
    flags[5, 3] |= int(StarFlag.COSMIC_RAY)
    found = with_odd_light(replace(series, star_flags=flags)).star_flags
    assert not (found[:, 2] & StarFlag.COSMIC_RAY).any() and (found[:, 2] & StarFlag.BAD_PIXEL).all()
    assert np.argwhere(found & StarFlag.COSMIC_RAY).tolist() == [[5, 3]]


def test_the_observers_condition_flags_the_frames_for_which_it_holds(measured):
    series, _ = measured
    limit = float(np.nanquantile(series.fwhm, 0.9))
    found = with_cuts(series, 2, f"fwhm > {limit}")
    cut = series.fwhm > limit
    assert cut.any() and ((found.flags & FrameFlag.CUT) > 0).tolist() == cut.tolist()
    assert all("--reject fwhm >" in found.reasons[i] for i in np.flatnonzero(cut))
    with pytest.raises(UsageError, match="--reject 'seeing > 3': there is no column seeing"):
        with_cuts(series, None, "seeing > 3")
