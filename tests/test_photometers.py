"""Photometers on simulated stars whose fluxes are known."""

import pickle
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from photutils.aperture import CircularAperture

from potpyri_like.frame import MaskBit, StarFlag
from potpyri_like.photometry import (
    Aperture,
    Context,
    Mask,
    Optimal,
    Photometer,
    Profile,
    Psf,
    Shape,
    Template,
    measure_stars,
)
from potpyri_like.photometry.photometers import MOST_TOGETHER, _groups

SKY, READ_NOISE = 200.0, 5.0
NOISE = np.sqrt(SKY + READ_NOISE**2)
RADII = (0.7, 1.0, 1.5, 2.5)
ALL = (Aperture(RADII), Mask(RADII), Shape((0, 2, 4)), Optimal(), Psf())


def light_of(profile, shape, xy, flux, sub=3):
    """Stars of that profile, averaged over s x s points of each pixel."""
    image = np.zeros(shape)
    y, x = ((np.arange(n * sub) + 0.5) / sub - 0.5 for n in shape)
    for (x0, y0), f in zip(xy, flux, strict=True):
        star = profile.light(x - x0, (y - y0)[:, None])
        image += f * star.reshape(shape[0], sub, shape[1], sub).mean(axis=(1, 3))
    return image


def grid_of_stars(rng, profile, flux, *, spacing):
    """Stars far from each other, at random places within their pixels: image without sky, positions."""
    side = int(np.ceil(np.sqrt(len(flux))))
    rows, columns = np.divmod(np.arange(len(flux)), side)
    place = rng.uniform(spacing / 2 - 1, spacing / 2 + 1, (len(flux), 2))
    image = np.zeros((side * spacing, side * spacing))
    for row, column, xy, f in zip(rows, columns, place, flux, strict=True):
        cell = slice(row * spacing, (row + 1) * spacing), slice(column * spacing, (column + 1) * spacing)
        image[cell] = light_of(profile, (spacing, spacing), [xy], [f])
    return image, place + np.column_stack([columns, rows]) * spacing


def observed(rng, clean):
    """Image, variance and mask of what a camera sees of that light."""
    image = rng.poisson(clean + SKY) + rng.normal(0, READ_NOISE, clean.shape)
    variance = np.maximum(image, 0) + READ_NOISE**2
    return image.astype(np.float32), variance.astype(np.float32), np.zeros(clean.shape, np.uint16)


def measured(photometer, frame, xy, profile, template=None, **options):
    """With the frame's own profile, on a wide sky."""
    template = template or Template("frame", frame[0], xy, profile.fwhm)
    return measure_stars(
        *frame,
        xy,
        fwhm=profile.fwhm,
        radii=photometer.sizes(template) * profile.fwhm,
        annulus=(5 * profile.fwhm, 8 * profile.fwhm),
        photometer=photometer,
        **{"context": Context(profile, template), **options},
    )


@pytest.mark.slow
@pytest.mark.parametrize("photometer", ALL, ids=lambda p: p.name)
@pytest.mark.parametrize(("fwhm", "binning"), [(4.0, 1), (9.0, 2)])
def test_fluxes_deviate_from_their_mean_by_their_errors(photometer, fwhm, binning):
    rng, profile = np.random.default_rng(1), Profile(fwhm, 0.15, 30.0, 3.5)
    flux = 10 ** rng.uniform(3.6, 5, 16)
    clean, xy = grid_of_stars(rng, profile, flux, spacing=int(20 * fwhm))
    template = Template(f"{photometer} {fwhm}", clean + SKY, xy, fwhm)
    truth = measured(
        photometer,
        (
            (clean + SKY).astype(np.float32),
            np.full(clean.shape, NOISE**2, np.float32),
            np.zeros(clean.shape, np.uint16),
        ),
        xy,
        profile,
        template,
        binning=binning,
        sky_binning=binning,
    )
    pulls = []
    for _ in range(12):
        m = measured(
            photometer, observed(rng, clean), xy, profile, template, binning=binning, sky_binning=binning
        )
        pulls.append((m.flux - truth.flux) / m.flux_err)
    pulls = np.array(pulls)
    assert pulls.shape[:2] == (12, 16) and np.isfinite(pulls).all()
    assert np.abs(pulls.mean(axis=(0, 1))).max() < 4 / np.sqrt(12 * 16)
    assert np.all((pulls.std(axis=(0, 1)) > 0.88) & (pulls.std(axis=(0, 1)) < 1.12))


@pytest.mark.parametrize("photometer", [Optimal(), Psf()], ids=lambda p: p.name)
def test_the_whole_light_is_measured_whatever_the_seeing(photometer):
    rng, flux = np.random.default_rng(2), np.array([3e4, 1e5, 3e5, 1e6])
    ratios = []
    for fwhm in (3.0, 4.5, 6.5, 9.0):
        profile = Profile(fwhm, 0.1, -40.0, 3.0)
        clean, xy = grid_of_stars(rng, profile, flux, spacing=120)
        m = measured(photometer, observed(rng, clean), xy, profile)
        ratios.append(m.flux[:, 0] / flux)
        assert np.abs(ratios[-1] - 1).max() < 0.02 + 4 * np.max(m.flux_err[:, 0] / flux)
    assert np.std(np.array(ratios)[:, 3]) < 0.006


def signal_to_noise(flux, profile, photometers, rng, rounds=60):
    """Mean over scatter of each photometer's best size, for stars of one flux."""
    clean, xy = grid_of_stars(rng, profile, np.full(25, flux), spacing=int(17 * profile.fwhm))
    found = {p.name: [] for p in photometers}
    for _ in range(rounds):
        frame = observed(rng, clean)
        for p in photometers:
            found[p.name].append(measured(p, frame, xy, profile).flux)
    return {
        name: np.max(np.mean(f, axis=(0, 1)) / np.std(f - np.mean(f, axis=0), axis=(0, 1)))
        for name, f in ((name, np.array(values)) for name, values in found.items())
    }


@pytest.mark.slow
def test_optimal_extraction_gains_a_tenth_on_faint_stars_and_loses_nothing_on_bright_ones():
    # On a Gaussian the best aperture has 0.9026 of the signal to noise of weights; whole pixels soften its border.
    rng, profile, radii = (
        np.random.default_rng(3),
        Profile(8.0, beta=40.0),
        np.array([0.6, 0.673, 0.75, 1.5, 2.5]),
    )
    light = light_of(profile, (101, 101), [(50.2, 50.4)], [1.0])
    circles = [
        CircularAperture((50.2, 50.4), r * 8).to_mask(method="exact").to_image((101, 101)) for r in radii
    ]
    best = max((f * light).sum() / np.sqrt((f**2).sum()) for f in circles)
    expected = np.sqrt((light**2).sum()) / best
    assert 1.07 < expected < 1 / 0.9026
    photometers = (Aperture(tuple(radii)), Optimal())
    faint = signal_to_noise(300.0, profile, photometers, rng, rounds=80)
    assert faint["optimal"] / faint["aperture"] == pytest.approx(expected, abs=0.035)
    bright = signal_to_noise(1e7, profile, photometers, rng, rounds=20)
    assert bright["optimal"] / bright["aperture"] == pytest.approx(1, abs=0.06)


def test_optimal_extraction_gives_the_fluxes_of_apertures_on_bright_stars():
    rng, profile = np.random.default_rng(4), Profile(4.0, beta=40.0)
    clean, xy = grid_of_stars(rng, profile, np.array([1e5, 3e5, 1e6, 3e6]), spacing=80)
    frame = observed(rng, clean)
    whole = measured(Aperture((3.0,)), frame, xy, profile)
    weighted = measured(Optimal(), frame, xy, profile)
    assert np.all(np.abs(weighted.flux - whole.flux) < 3 * whole.flux_err)


def blend(rng, apart, *, ratio=3.0):
    """Pairs of stars, the brighter one beside the fainter; image, positions, fluxes."""
    profile = Profile(5.0, 0.1, 20.0, 3.0)
    flux = np.array([2e4, 2e4 * ratio])
    clean, xy, truth = np.zeros((480, 480)), [], []
    for k in range(16):
        first = np.array([60.0, 60.0]) + 120 * np.array(divmod(k, 4)) + rng.uniform(-0.5, 0.5, 2)
        angle = rng.uniform(0, 2 * np.pi)
        pair = [first, first + apart * profile.fwhm * np.array([np.cos(angle), np.sin(angle)])]
        low = np.rint(first).astype(int) - 58
        clean[low[1] : low[1] + 117, low[0] : low[0] + 117] += light_of(profile, (117, 117), pair - low, flux)
        xy += pair
        truth += list(flux)
    return profile, clean, np.array(xy), np.array(truth)


def test_profiles_fitted_together_separate_blends_that_apertures_mix():
    rng = np.random.default_rng(5)
    profile, clean, xy, truth = blend(rng, 1.5)
    fitted, summed, pulls = [], [], []
    for _ in range(6):
        frame = observed(rng, clean)
        m = measured(Psf(), frame, xy, profile, reach=np.full(len(xy), 15.0))
        fitted.append(m.flux[:, 0] / truth)
        pulls.append((m.flux[:, 0] - truth) / m.flux_err[:, 0])
        summed.append(
            measured(Aperture((1.0,)), frame, xy, profile, reach=np.full(len(xy), 15.0)).flux[:, 0] / truth
        )
    fitted, summed = (np.array(f).mean(axis=0) for f in (fitted, summed))
    faint = truth == truth.min()
    assert np.abs(fitted - 1).max() < 0.04 and abs(fitted[faint].mean() - 1) < 0.01
    assert summed[faint].mean() - summed[~faint].mean() > 0.2
    assert 0.8 < np.std(pulls) < 1.25


def test_the_contour_moves_with_the_star_by_parts_of_pixels_and_turns_with_the_field():
    profile, turn = Profile(6.0, 0.4, 25.0, 3.0), np.deg2rad(130)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    flat = np.full((121, 121), 25.0, np.float32), np.zeros((121, 121), np.uint16)
    here, there = np.array([[60.0, 60.0]]), np.array([[61.37, 58.81]])
    reference = (light_of(profile, (121, 121), here, [1e5])).astype(np.float32)
    turned = replace(profile, angle=profile.angle + 130 - 180)
    frame = (light_of(turned, (121, 121), there, [1e5])).astype(np.float32)
    template, shape = Template("turned", reference, here, 6.0), Shape((0, 2, 5))
    first = measured(shape, (reference, *flat), here, profile, template)
    moved = measured(
        shape, (frame, *flat), there, profile, template, context=Context(profile, template, matrix)
    )
    still = measured(shape, (frame, *flat), there, profile, template)
    assert moved.flux == pytest.approx(first.flux, rel=0.01)
    assert still.flux[0, 0] < 0.97 * first.flux[0, 0]


def test_sizes_are_radii_of_circles_of_the_same_area():
    rng, profile = np.random.default_rng(6), Profile(6.0, beta=3.0)
    clean, xy = grid_of_stars(rng, profile, np.full(4, 1e5), spacing=120)
    template = Template("sizes", clean, xy, 6.0)
    layers = Shape((0, 1, 3)).sizes(template) * 6.0
    assert np.all(np.diff(layers) > [0.8, 1.7]) and np.all(np.diff(layers) < [1.3, 2.6])
    half_light = (
        6.0 / 2 / np.sqrt(2 ** (1 / 3) - 1) * np.sqrt(5 ** (1 / 3) - 1)
    )  # where a Moffat falls to a fifth
    assert layers[0] == pytest.approx(half_light, rel=0.05)
    # The sky noise of optimal extraction is that of an aperture of this size.
    y, x = np.mgrid[-80:81, -80:81]
    assert np.pi * (Optimal().sizes(template)[0] * 6.0) ** 2 == pytest.approx(
        1 / np.sum(profile.light(x, y) ** 2), rel=0.03
    )


def test_masked_pixels_are_left_out_of_weighted_sums():
    rng, profile = np.random.default_rng(7), Profile(5.0)
    clean, xy = grid_of_stars(rng, profile, np.full(4, 1e5), spacing=100)
    image, variance, mask = observed(rng, clean)
    spoilt, marked = image.copy(), mask.copy()
    for x, y in np.rint(xy).astype(int):
        spoilt[y + 2, x - 1], marked[y + 2, x - 1] = 5e4, MaskBit.COSMIC_RAY
    for photometer in (Optimal(), Psf()):
        clean_flux = measured(photometer, (image, variance, mask), xy, profile)
        left_out = measured(photometer, (spoilt, variance, marked), xy, profile)
        assert np.all(np.abs(left_out.flux - clean_flux.flux) < 3 * clean_flux.flux_err)
        assert np.all(left_out.flags & StarFlag.COSMIC_RAY)


@pytest.mark.parametrize("photometer", ALL, ids=lambda p: p.name)
def test_a_star_outside_the_image_or_nowhere_is_nan_and_others_are_measured(photometer):
    rng, profile = np.random.default_rng(8), Profile(4.0)
    clean, xy = grid_of_stars(rng, profile, np.full(4, 1e5), spacing=100)
    frame = observed(rng, clean)
    places = np.vstack([xy, [[-60.0, 20.0]], [[np.nan, np.nan]]])
    template = Template("lost", clean, np.vstack([xy, [[20.0, 20.0]], [[30.0, 30.0]]]), 4.0)
    m = measured(photometer, frame, places, profile, template)
    assert np.isfinite(m.flux[:4]).all() and np.isnan(m.flux[4:]).all() and np.isnan(m.flux_err[4:]).all()


@pytest.mark.parametrize("photometer", ALL, ids=lambda p: p.name)
def test_no_stars_make_no_fluxes(photometer):
    frame = observed(np.random.default_rng(9), np.zeros((90, 90)))
    template = Template("none", frame[0], np.empty((0, 2)), 4.0)
    sizes = np.array([1.0]) if photometer.name == "shape" else photometer.sizes(template)
    m = measure_stars(
        *frame,
        np.empty((0, 2)),
        fwhm=4.0,
        radii=np.resize(sizes, 3 if photometer.name == "shape" else len(sizes)) * 4,
        annulus=(16, 24),
        photometer=photometer,
        context=Context(None, template),
    )
    assert m.flux.shape[0] == 0 and m.flux.shape == m.flux_err.shape


@pytest.mark.parametrize("photometer", ALL, ids=lambda p: p.name)
def test_nothing_given_is_changed(photometer):
    rng, profile = np.random.default_rng(10), Profile(4.0)
    clean, xy = grid_of_stars(rng, profile, np.full(4, 1e5), spacing=90)
    given = [*observed(rng, clean), xy]
    before = [a.copy() for a in given]
    measured(photometer, given[:3], xy, profile)
    assert all(np.array_equal(a, b) for a, b in zip(given, before, strict=True))


def test_large_apertures_on_larger_squares_lose_nothing():
    rng, profile = np.random.default_rng(11), Profile(5.0, beta=3.0)
    fine, coarse = [], []
    for _ in range(6):
        clean, xy = grid_of_stars(rng, profile, np.full(9, 1e6), spacing=120)
        frame = (
            (clean + SKY).astype(np.float32),
            np.full(clean.shape, NOISE**2, np.float32),
            clean.astype(np.uint16) * 0,
        )
        grid = (1.0, 2.6, 3.5, 5.0)
        fine.append(measured(Aperture(grid, wide=np.inf), frame, xy, profile))
        coarse.append(measured(Aperture(grid), frame, xy, profile))
    ratio = np.array([b.flux / a.flux for a, b in zip(fine, coarse, strict=True)])
    assert ratio[..., 0] == pytest.approx(1, abs=1e-12)
    assert np.abs(ratio - 1).max() < 1e-3 and ratio.std(axis=(0, 1)).max() < 1e-4
    assert np.allclose([m.flux_err for m in fine], [m.flux_err for m in coarse], rtol=1e-3)


def test_masks_of_parts_of_pixels_come_near_exact_circles():
    rng, profile = np.random.default_rng(12), Profile(5.0)
    clean, xy = grid_of_stars(rng, profile, np.full(9, 1e6), spacing=100)
    frame = observed(rng, clean)
    exact = measured(Aperture((0.8, 1.5)), frame, xy, profile).flux
    off = [np.std(measured(Mask((0.8, 1.5), n), frame, xy, profile).flux / exact - 1) for n in (1, 3, 9)]
    assert off[0] > 2 * off[1] > 3 * off[2] and off[2] < 1e-3


@dataclass(frozen=True)
class Square(Photometer):
    """The light of 5 x 5 pixels."""

    name: ClassVar[str] = "square"
    half: int = 2

    def sizes(self, template):
        return np.array([(2 * self.half + 1) / np.sqrt(np.pi) / template.fwhm])

    def measure(self, scene):
        cells = [
            (slice(y - self.half, y + self.half + 1), slice(x - self.half, x + self.half + 1))
            for x, y in np.rint(scene.xy).astype(int)
        ]
        sums, variances = (
            np.array([[plane[cell].sum()] for cell in cells]) for plane in (scene.image, scene.variance)
        )
        return scene.above_sky(sums, variances, np.array([(2 * self.half + 1) ** 2]))


def test_a_photometer_of_somebody_is_a_small_class():
    rng, profile = np.random.default_rng(13), Profile(4.0)
    clean, xy = grid_of_stars(rng, profile, np.full(4, 1e5), spacing=90)
    m = measured(Square(), observed(rng, clean), xy, profile)
    inside = [clean[y - 2 : y + 3, x - 2 : x + 3].sum() for x, y in np.rint(xy).astype(int)]
    assert np.all(np.abs(m.flux[:, 0] - inside) < 4 * m.flux_err[:, 0])


@pytest.mark.parametrize("photometer", [*ALL, Square()], ids=lambda p: p.name)
def test_a_photometer_travels_and_is_told_from_another(photometer):
    again = pickle.loads(pickle.dumps(photometer))
    assert again == photometer and again.digest == photometer.digest
    others = [p for p in (*ALL, Square(3), Aperture()) if p != photometer]
    assert photometer.digest not in [p.digest for p in others]


def test_a_crowd_is_fitted_in_groups_that_can_be_solved(rng):
    xy = rng.uniform(0, 200, (300, 2))
    groups = _groups(xy, 30.0)
    assert sorted(np.concatenate(groups)) == list(range(300))
    assert max(map(len, groups)) <= MOST_TOGETHER
    pair = np.array([[10.0, 10], [14, 10], [90, 90]])
    assert [list(group) for group in _groups(pair, 8.0)] == [[0, 1], [2]]
