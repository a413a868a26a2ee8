"""The stage that measures: what the options choose, and what becomes of it in a frame."""

import pickle
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from small_night import run, run_json, small_night

from potpyri_like.astrometry import Transform
from potpyri_like.encoding import fingerprint
from potpyri_like.errors import UsageError
from potpyri_like.frame import Frame, MaskBit, StarFlag
from potpyri_like.imaging import Pixels
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.options import Options
from potpyri_like.photometry import CENTROIDS, Aperture, Optimal, Profile, Psf, Shape, profile_at
from potpyri_like.photometry.photometers import BUILT_IN
from potpyri_like.primitives import Measure, imaging, timeseries
from potpyri_like.primitives.fields import MEASUREMENT
from potpyri_like.primitives.gather_series import GatherSeries
from potpyri_like.primitives.measure import annulus_of, radii_of, sizes_of
from potpyri_like.primitives.stage import Setup
from potpyri_like.registration import Registration
from potpyri_like.results import Reference
from potpyri_like.run.recipe import recipe_of
from potpyri_like.stages import configured

SKY, READ_NOISE, SIZE, FWHM = 200.0, 5.0, 420, 5.0
INFO = SimpleNamespace(label="simulated.fits")
STARS = np.array([[100.0, 100.0], [320.0, 110.0], [105.0, 310.0], [310.0, 315.0]])
FLUX = np.array([4e5, 2e5, 1e5, 5e4])


def light(profile, xy, flux):
    y, x = np.indices((SIZE, SIZE))
    return sum(f * profile.light(x - x0, y - y0) for (x0, y0), f in zip(xy, flux, strict=True))


def frame_of(clean, rng, profile, transform):
    """A calibrated and registered frame."""
    data = (rng.poisson(clean + SKY) + rng.normal(0, READ_NOISE, clean.shape)).astype(np.float32)
    pixels = Pixels(data, np.maximum(data, 0) + np.float32(READ_NOISE**2), np.zeros(data.shape, np.uint16))
    known = Registration(transform, 10, 0.1, profile.fwhm, profile)
    return Frame(pixels, INFO, results={"registration": known})


def setup_of(rng, forced=()):
    image = (light(Profile(FWHM), STARS, FLUX) + rng.normal(SKY, np.sqrt(SKY), (SIZE, SIZE))).astype(
        np.float32
    )
    reference = Reference(INFO, image, STARS, FLUX, FWHM, FWHM * 1.3, "")
    return Setup(None, reference=reference, forced=np.reshape(forced, (-1, 2)))


def moved(shift):
    return Transform(np.eye(2), np.array(shift, float))


def test_options_choose_photometer_centroid_and_radii():
    def asked_of(**options):
        stages = recipe_of(Opticam(), Options(**options)).stages
        return next(stage for stage in stages if MEASUREMENT in stage.gives)

    assert asked_of() == Measure()
    asked = asked_of(photometer="Psf", centroid="com", radii="fwhm")
    assert (asked.photometer, asked.centroid, asked.radii) == (Psf(), "com", "fwhm")
    with pytest.raises(UsageError, match="did you mean shape"):
        asked_of(photometer="shapes")


def test_every_choice_that_is_offered_exists():
    choices = {item.name: item.metadata["choices"] for item in fields(Options)}
    assert set(choices["centroid"]) == set(CENTROIDS)
    text = next(item.metadata["help"] for item in fields(Options) if item.name == "photometer")
    assert not [cls.name for cls in BUILT_IN if cls.name not in text]


@pytest.mark.parametrize("recipe", [timeseries(), imaging()], ids=lambda recipe: recipe.name)
def test_a_recipe_measures_and_gathers_with_the_same_stage(recipe):
    stages = [configured(stage, {"photometer": Optimal()}) for stage in recipe.stages]
    assert Measure(Optimal()) in stages
    assert next(s for s in stages if isinstance(s, GatherSeries)).measured == Measure(Optimal())
    assert Measure() in recipe.stages


def test_stages_that_measure_differently_are_told_apart_and_travel():
    stages = [
        Measure(),
        Measure(Optimal()),
        Measure(Optimal(1.5)),
        Measure(centroid="com"),
        Measure(radii="fwhm"),
    ]
    assert len({fingerprint((stage,)) for stage in stages}) == len(stages)
    assert all(pickle.loads(pickle.dumps(stage)) == stage for stage in stages)


@pytest.mark.slow
def test_frozen_measures_a_forced_target_too_faint_to_be_seen_without_a_remark():
    rng, shift, target = np.random.default_rng(1), (3.3, -2.6), np.array([[205.4, 203.7]])
    setup, stage, transform = setup_of(rng, target), Measure(Aperture((1.0,)), "frozen"), moved(shift)
    clean = light(Profile(FWHM), STARS + shift, FLUX) + light(Profile(FWHM), target + shift, [250.0])
    found = [
        stage(frame_of(clean, rng, Profile(FWHM), transform), setup).results["measurement"] for _ in range(40)
    ]
    assert all(np.array_equal(m.xy, transform(np.vstack([STARS, target]))) for m in found)
    assert not any(m.flags[4] & StarFlag.NO_CENTROID for m in found)
    flux, error = (np.array([getattr(m, name)[4, 0] for m in found]) for name in ("flux", "flux_err"))
    y, x = np.indices((SIZE, SIZE))
    inside = np.hypot(x - target[0, 0] - shift[0], y - target[0, 1] - shift[1]) <= FWHM
    expected = light(Profile(FWHM), target + shift, [250.0])[inside].sum()
    assert np.mean(flux) == pytest.approx(expected, abs=3.5 * error.mean() / np.sqrt(40))
    followed = replace(stage, centroid="windowed")(frame_of(clean, rng, Profile(FWHM), transform), setup)
    assert not np.array_equal(followed.results["measurement"].xy, found[0].xy)


def test_radii_that_follow_the_seeing_hold_the_same_part_of_the_light():
    rng, grid = np.random.default_rng(2), (0.8, 1.5, 3.0)
    setup, transform = setup_of(rng), moved((0.4, 0.3))
    part = {}
    for radii in ("fixed", "fwhm"):
        for fwhm in (5.0, 7.0):
            frame = frame_of(light(Profile(fwhm), transform(STARS), FLUX), rng, Profile(fwhm), transform)
            measured = Measure(Aperture(grid), radii=radii)(frame, setup).results["measurement"]
            part[radii, fwhm] = measured.flux[:2].sum(axis=0) / FLUX[:2].sum()
    assert part["fwhm", 7.0] == pytest.approx(part["fwhm", 5.0], abs=0.01)
    assert part["fixed", 5.0][0] > part["fixed", 7.0][0] + 0.1
    assert part["fixed", 5.0] == pytest.approx(part["fwhm", 5.0], abs=0.01)


def test_the_wings_of_bright_stars_are_no_sky():
    rng, wide, bright = np.random.default_rng(6), Profile(FWHM, beta=3.0), np.full(8, 1e6)
    places = np.vstack([STARS, STARS + np.array([4 * FWHM, 3 * FWHM])])  # each in the annulus of another
    image = light(wide, places, bright)
    reference = replace(setup_of(rng).reference, xy=places, flux=bright, image=image + SKY)
    frame = frame_of(image, rng, wide, Transform.identity())
    sky = Measure(Aperture((1.5,)))(frame, Setup(None, reference=reference)).results["measurement"].sky
    noise = np.sqrt(SKY + READ_NOISE**2)  # what clipping alone leaves of the wings is more than a fifth of it
    assert np.mean(sky) == pytest.approx(SKY, abs=noise / 7)


@pytest.mark.parametrize(("off", "found"), [(0.0, True), (0.4 * 8, True), (0.9 * 8, False)])
def test_a_star_is_looked_for_within_half_its_width(off, found):
    rng, profile = np.random.default_rng(7), Profile(8.0)
    reference = replace(setup_of(rng).reference, fwhm=8.0, widest=8.0)
    moved_star = STARS + np.array([[off, 0.0], [0, 0], [0, 0], [0, 0]])
    frame = frame_of(light(profile, moved_star, 10 * FLUX), rng, profile, Transform.identity())
    measured = Measure(Aperture((1.5,)))(frame, Setup(None, reference=reference)).results["measurement"]
    assert bool(measured.flags[0] & StarFlag.NO_CENTROID) is not found
    assert not (measured.flags[1:] & StarFlag.NO_CENTROID).any()
    expected = moved_star[0] if found else STARS[0]
    assert measured.xy[0] == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(("away", "flagged"), [(0.5, True), (1.3, True), (1.8, False)])
def test_a_saturated_pixel_within_one_and_a_half_widths_flags_its_star(away, flagged):
    rng, profile = np.random.default_rng(8), Profile(FWHM)
    frame = frame_of(light(profile, STARS, FLUX), rng, profile, Transform.identity())
    frame.mask[round(STARS[0, 1]), round(STARS[0, 0] + away * FWHM)] = MaskBit.SATURATED
    flags = Measure(Aperture((1.0,)))(frame, setup_of(rng)).results["measurement"].flags
    assert bool(flags[0] & StarFlag.SATURATED) is flagged and not (flags[1:] & StarFlag.SATURATED).any()


def test_the_annulus_follows_the_seeing_with_the_radii():
    rng, fwhm = np.random.default_rng(9), 9.0
    profile, places = Profile(fwhm), STARS[:1] * 2.1
    reference = replace(setup_of(rng).reference, xy=places, flux=FLUX[:1], widest=FWHM)
    frame = frame_of(light(profile, places, [4e5]), rng, profile, Transform.identity())
    y, x = np.indices(frame.data.shape)
    far = np.hypot(x - places[0, 0], y - places[0, 1])
    frame.data[(far > 4 * fwhm) & (far < 6 * fwhm)] += 100  # a ring of light where the wider annulus is
    seen = {}
    for radii in ("fixed", "fwhm"):
        stage = Measure(Aperture((1.0,)), radii=radii)
        seen[radii] = stage(frame, Setup(None, reference=reference)).results["measurement"].sky[0]
    assert seen["fwhm"] == pytest.approx(SKY + 100, abs=2)
    assert seen["fixed"] == pytest.approx(SKY, abs=10)  # the wings of the star


def test_radii_are_told_in_pixels_and_in_fwhm():
    reference = setup_of(np.random.default_rng(3)).reference
    for photometer in (Aperture(), Shape(), Optimal()):
        stage = Measure(photometer)
        assert radii_of(stage, reference) == pytest.approx(sizes_of(stage, reference) * FWHM)
        assert np.all(np.diff(sizes_of(stage, reference)) > 0)
    assert sizes_of(Measure(), reference)[[0, -1]].tolist() == [0.5, 5.0] and len(Aperture().grid) == 24


@pytest.mark.parametrize("photometer", [cls() for cls in BUILT_IN], ids=lambda p: p.name)
def test_every_photometer_sees_a_star_fade_and_not_the_seeing_change(photometer):
    rng, fade = np.random.default_rng(4), np.array([1.0, 1.0, 0.97, 1.0])
    setup, ratios = setup_of(rng), []
    for fwhm, factor in ((5.0, 1.0), (6.0, fade)):
        profile, shift = Profile(fwhm), rng.uniform(-2, 2, 2)
        frame = frame_of(light(profile, STARS + shift, 10 * FLUX * factor), rng, profile, moved(shift))
        flux = Measure(photometer)(frame, setup).results["measurement"].flux
        size = flux.shape[1] // 2
        ratios.append(flux[2, size] / flux[:2, size].sum())
    assert ratios[1] / ratios[0] == pytest.approx(0.97, abs=0.006)


def test_the_frames_profile_is_found_from_its_stars():
    rng, truth = np.random.default_rng(5), Profile(6.0, 0.25, -35.0, 3.0)
    frame = frame_of(light(truth, STARS, FLUX), rng, truth, Transform.identity())
    found = profile_at(frame.data, frame.mask, STARS + rng.normal(0, 0.1, STARS.shape), 6.3)
    assert (found.fwhm, found.ellipticity) == pytest.approx((6.0, 0.25), rel=0.05)
    assert found.angle == pytest.approx(-35.0, abs=3)
    assert not profile_at(frame.data, frame.mask, np.empty((0, 2)), 6.3).is_known


@pytest.mark.slow
def test_another_photometer_measures_all_frames_again(tmp_path):
    small_night(tmp_path / "night")
    first = run("OPTICAM", tmp_path / "night", "--jobs", "1")
    again = run(
        "OPTICAM", tmp_path / "night", "--jobs", "1", "--photometer", "optimal", "--centroid", "frozen"
    )
    assert first.status == again.status == 0, again.err
    assert "all 18 to be redone: settings changed" in again.err
    options = run_json(tmp_path / "night" / "red")["options"]
    assert options["photometer"]["value"] == "optimal" and options["centroid"]["value"] == "frozen"
    wrong = run("OPTICAM", tmp_path / "night", "--photometer", "optimel")
    assert wrong.status == 2 and "did you mean optimal" in wrong.err


@pytest.mark.parametrize(
    ("given", "wanted"), [("3,5", (18.0, 30.0)), ((4.0, 6.0), (24.0, 36.0)), ("1, 1.2", (6.0, 14.0))]
)
def test_the_annulus_is_that_which_was_asked_for_and_wide_enough(given, wanted):
    assert annulus_of(Measure(annulus=given), SimpleNamespace(fwhm=6.0)) == pytest.approx(wanted)


def test_an_annulus_inside_out_is_a_wrong_command():
    with pytest.raises(UsageError, match="inner radius"):
        annulus_of(Measure(annulus="6,4"), SimpleNamespace(fwhm=6.0))
