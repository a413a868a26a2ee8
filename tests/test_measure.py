"""Photometry at known positions, against simulated skies and photutils."""

import numpy as np
import pytest
import sep
from photutils.aperture import CircularAperture, aperture_photometry
from scipy.special import erf

from potpyri_like.frame import MaskBit, StarFlag
from potpyri_like.photometry.centroids import refine_positions
from potpyri_like.photometry.cutouts import native_float32
from potpyri_like.photometry.measure import (
    annulus_sky,
    aperture_flags,
    disks,
    measure_stars,
    sky_between_stars,
)

SKY, READ_NOISE = 200.0, 5.0


def gaussian(shape, x, y, fwhm):
    """A Gaussian star of flux 1, integrated over each pixel."""
    root = fwhm / np.sqrt(4 * np.log(2))
    edges = [(np.arange(n + 1) - 0.5 - c) / root for n, c in zip(shape, (y, x), strict=True)]
    across, along = (np.diff(erf(e)) / 2 for e in edges)
    return np.outer(across, along)


def moffat(shape, x, y, fwhm, *, beta=3.0, sub=5):
    """A Moffat star of flux 1, integrated over each pixel by 5 x 5 points."""
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    fine_y, fine_x = (np.arange(n * sub) / sub - 0.5 + 0.5 / sub for n in shape)
    r2 = (fine_x - x) ** 2 + (fine_y[:, None] - y) ** 2
    profile = (beta - 1) / (np.pi * alpha**2) * (1 + r2 / alpha**2) ** -beta
    return profile.reshape(shape[0], sub, shape[1], sub).mean(axis=(1, 3))


def star_field(psf, fwhm, rng, *, flux=(3.3, 5), grid=4, spacing=90):
    """Stars on a grid with random sub-pixel places, without sky or noise: image and positions."""
    side = grid * spacing
    image, xy = np.zeros((side, side)), []
    for n in range(grid**2):
        row, column = divmod(n, grid)
        corner = np.array([column, row]) * spacing
        place = rng.uniform(spacing / 2 - 1, spacing / 2 + 1, 2)
        star = psf((spacing, spacing), *place, fwhm)
        image[corner[1] : corner[1] + spacing, corner[0] : corner[0] + spacing] = (
            10 ** rng.uniform(*flux) * star
        )
        xy.append(corner + place)
    return image, np.array(xy)


def observe(clean, rng):
    """The field on a sky of 200 electrons read with 5 electrons: image, its variance, an empty mask."""
    image = rng.poisson(clean + SKY) + rng.normal(0, READ_NOISE, clean.shape)
    variance = clean + SKY + READ_NOISE**2
    return image.astype(np.float32), variance.astype(np.float32), np.zeros(clean.shape, np.uint16)


def annulus_mean(image, xy, inner, outer):
    y, x = np.indices(image.shape)
    distances = (np.hypot(x - a, y - b) for a, b in np.rint(xy))
    return np.array([image[(d >= inner) & (d <= outer)].mean() for d in distances])


@pytest.mark.slow
@pytest.mark.parametrize(("psf", "fwhm"), [(gaussian, 3.0), (gaussian, 8.0), (moffat, 5.0)])
def test_fluxes_deviate_from_the_truth_by_their_errors(psf, fwhm):
    rng, radius, annulus = np.random.default_rng(1), 1.5 * fwhm, (20.0, 40.0)
    clean, xy = star_field(psf, fwhm, rng)
    inside = np.array(aperture_photometry(clean, CircularAperture(xy, radius))["aperture_sum"])
    truth = inside - annulus_mean(clean, xy, *annulus) * np.pi * radius**2
    pulls = []
    for _ in range(40):
        measured = measure_stars(*observe(clean, rng), xy, fwhm=fwhm, radii=[radius], annulus=annulus)
        pulls.append((measured.flux[:, 0] - truth) / measured.flux_err[:, 0])
    assert np.size(pulls) >= 600
    assert abs(np.mean(pulls)) < 0.15
    assert 0.9 < np.std(pulls) < 1.1


def test_the_sky_is_unbiased_and_its_variance_honest():
    rng = np.random.default_rng(3)
    sky = [
        annulus_sky(
            rng.normal(1000, 20, (300, 300)), [[75, 75], [75, 225], [225, 75], [225, 225]], inner=20, outer=60
        )
        for _ in range(40)
    ]
    level = np.concatenate([s.level for s in sky])
    assert abs(level.mean() - 1000) < 0.02 * 20
    assert np.concatenate([s.scatter for s in sky]).mean() == pytest.approx(20, rel=0.005)
    pulls = (level - 1000) / np.sqrt(np.concatenate([s.variance_of_level for s in sky]))
    assert 0.85 < pulls.std() < 1.15


@pytest.mark.parametrize("binning", [1, 2, 3])
@pytest.mark.slow
def test_the_sky_is_as_well_known_from_squares_of_pixels(binning):
    rng = np.random.default_rng(10)
    places = np.arange(75.3, 900, 150)
    xy = np.array(np.meshgrid(places, places)).reshape(2, -1).T
    skies = []
    for _ in range(12):
        image = rng.normal(1000, 20, (900, 900)).astype(np.float32)
        skies.append(
            sky_between_stars(image, xy, (30, 50), mask=np.zeros(image.shape, np.uint16), binning=binning)
        )
    level, scatter = (np.concatenate([getattr(s, name) for s in skies]) for name in ("level", "scatter"))
    area = np.pi * (50**2 - 30**2)
    assert np.std(level) == pytest.approx(20 / np.sqrt(area), rel=0.1)
    assert abs(level.mean() - 1000) < 0.01 * 20
    assert scatter.mean() == pytest.approx(20, rel=0.01)
    variance = np.concatenate([s.variance_of_level for s in skies])
    assert variance.mean() == pytest.approx(400 / area, rel=0.03)


def test_a_masked_pixel_hides_its_square():
    image, mask = np.full((120, 120), 10.0, np.float32), np.zeros((120, 120), np.uint16)
    image[::9, ::9], mask[::9, ::9] = 9000, MaskBit.HOT
    for binning in (1, 2, 3):
        sky = sky_between_stars(image, [[60.0, 60.0]], (20, 40), mask=mask, binning=binning)
        assert sky.level == pytest.approx([10], rel=1e-6)


@pytest.mark.parametrize("counts", [3, 10, 100])
def test_the_sky_of_few_counts_is_unbiased_where_a_median_is_not(counts):
    image = np.random.default_rng(4).poisson(counts, (900, 900))
    places = np.arange(75, 900, 150)
    xy = np.array(np.meshgrid(places, places)).reshape(2, -1).T
    level = annulus_sky(image, xy, inner=20, outer=70).level.mean()
    assert abs(level - counts) < 0.08  # 1/6 for the median of a Poisson distribution, up to rounding
    assert annulus_sky(image, xy, inner=20, outer=70).scatter.mean() == pytest.approx(
        np.sqrt(counts), rel=0.05
    )


def test_stars_in_the_annulus_hardly_move_the_sky():
    rng = np.random.default_rng(5)
    image = rng.normal(1000, 20, (300, 300))
    empty = annulus_sky(image, [[150, 150]], inner=30, outer=60)
    for x, y in ((150, 195), (110, 150), (180, 175)):
        image += 3e5 * gaussian(image.shape, x, y, 5.0)
    crowded = annulus_sky(image, [[150, 150]], inner=30, outer=60)
    assert abs(crowded.level - empty.level) < 0.1 * 20
    assert crowded.n < empty.n - 200


def test_masked_and_outside_pixels_are_left_out_of_the_sky():
    image, mask = np.full((80, 80), 10.0), np.zeros((80, 80), np.uint16)
    image[:, 45:], mask[:, 45:] = 9999, MaskBit.BAD
    sky = annulus_sky(image, [[40, 40], [0, 40], [200, 40]], inner=8, outer=15, mask=mask)
    assert sky.level[:2] == pytest.approx([10, 10])
    ring = [np.hypot(x, y) for x in range(-15, 16) for y in range(-15, 16)]
    assert sky.n[1] < sum(8 <= r <= 15 for r in ring) * 0.6
    assert np.isnan(sky.level[2])
    assert np.isnan(sky.variance_of_level[2])
    assert sky.n[2] == 0


@pytest.mark.parametrize("fwhm", [2.0, 6.0, 15.0])
def test_centroids_find_the_star_and_stay_when_they_cannot(fwhm):
    rng = np.random.default_rng(6)
    clean, xy = star_field(gaussian, fwhm, rng, flux=(5.5, 5.6), grid=3)
    image, _, _ = observe(clean, rng)
    found, ok = refine_positions(image, xy + rng.uniform(-1, 1, xy.shape), fwhm=fwhm, max_shift=3)
    assert ok.all()
    assert np.abs(found - xy).max() < 0.05
    start = xy + np.array([5.0, 0])
    found, ok = refine_positions(image, start, fwhm=fwhm, max_shift=2)
    assert not ok.any()
    assert np.array_equal(found, start)


def test_no_centroid_without_light_or_outside_the_image():
    start = np.array([[30.0, 30], [-50, 10], [np.nan, 5]])
    found, ok = refine_positions(np.full((60, 60), 7.0), start, fwhm=4, max_shift=2)
    assert not ok.any()
    assert np.array_equal(found, start, equal_nan=True)


@pytest.mark.parametrize("fwhm", [2.0, 5.0, 9.0])
def test_centroids_are_those_of_sep(fwhm):
    rng = np.random.default_rng(11)
    clean, xy = star_field(gaussian, fwhm, rng, flux=(4.5, 5.6))
    image = observe(clean, rng)[0] - np.float32(SKY)
    start = xy + rng.uniform(-0.7, 0.7, xy.shape)
    found, ok = refine_positions(image, start, fwhm=fwhm, max_shift=3)
    x, y, _ = sep.winpos(image, *start.T, np.full(len(xy), fwhm / 2.3548), subpix=1)
    assert ok.all()
    assert np.abs(found - np.column_stack([x, y])).max() < 0.02  # of the sky's median along the squares' rims


def test_a_centroid_does_not_depend_on_the_other_stars():
    rng = np.random.default_rng(12)
    clean, xy = star_field(gaussian, 4.0, rng)
    image, start = observe(clean, rng)[0], xy + 0.6
    together, _ = refine_positions(image, start, fwhm=4, max_shift=3)
    alone = [refine_positions(image, [place], fwhm=4, max_shift=3)[0][0] for place in start]
    assert np.array_equal(together, alone)


def test_a_masked_hot_pixel_does_not_draw_the_centroid():
    image, mask = 1e4 * gaussian((60, 60), 30.3, 29.8, 6.0), np.zeros((60, 60), np.uint16)
    image[34, 33], mask[34, 33] = 5000, MaskBit.HOT
    drawn, _ = refine_positions(image, [[30, 30]], fwhm=6, max_shift=3)
    kept, ok = refine_positions(image, [[30, 30]], fwhm=6, max_shift=3, mask=mask)
    assert ok.all()
    assert np.hypot(*(kept - [30.3, 29.8])[0]) < 0.1 < np.hypot(*(drawn - [30.3, 29.8])[0])


@pytest.mark.parametrize(
    ("bit", "flag"),
    [
        (MaskBit.SATURATED, StarFlag.SATURATED),
        (MaskBit.BAD, StarFlag.BAD_PIXEL),
        (MaskBit.HOT, StarFlag.HOT_PIXEL),
        (MaskBit.COSMIC_RAY, StarFlag.COSMIC_RAY),
        (MaskBit.NEIGHBOUR, 0),
    ],
)
def test_a_masked_pixel_flags_the_aperture_that_holds_it(bit, flag):
    mask = np.zeros((50, 50), np.uint16)
    mask[20, 26] = bit
    flags = aperture_flags(mask, [[20, 20], [19, 20], [26, 20], [20, 44]], 5.6)
    assert flags.tolist() == [flag, 0, flag, StarFlag.EDGE]


def test_several_bits_make_several_flags_and_the_edge_another():
    mask = np.zeros((50, 50), np.uint16)
    mask[2, 2] = MaskBit.HOT | MaskBit.SATURATED
    expected = StarFlag.HOT_PIXEL | StarFlag.SATURATED | StarFlag.EDGE
    assert aperture_flags(mask, [[2, 2], [-20, 3]], 4).tolist() == [expected, StarFlag.EDGE]


def test_a_star_outside_or_at_the_edge_is_flagged_and_never_silently_cut():
    frame = np.full((100, 100), 50.0), np.full((100, 100), 50.0), np.zeros((100, 100), np.uint16)
    xy = [[50, 50], [-40, 50], [15, 50], [3, 50]]
    measured = measure_stars(*frame, xy, fwhm=4, radii=[4, 6], annulus=(10, 20))
    assert measured.flags.tolist() == [0, StarFlag.EDGE, StarFlag.EDGE, StarFlag.EDGE]
    assert np.isfinite(measured.flux).tolist() == [[True] * 2, [False] * 2, [True] * 2, [False] * 2]
    assert measured.flux[0] == pytest.approx([0, 0], abs=1e-2)
    assert np.isnan(measured.peak[1])


def test_a_star_that_is_not_there_keeps_its_position_and_says_so():
    frame = np.full((90, 90), 50.0), np.full((90, 90), 50.0), np.zeros((90, 90), np.uint16)
    measured = measure_stars(*frame, [[45.25, 40]], fwhm=4, radii=[4], annulus=(10, 20), recentre=2)
    assert measured.flags.tolist() == [StarFlag.NO_CENTROID]
    assert measured.xy.tolist() == [[45.25, 40]]


def test_positions_follow_the_stars_only_when_asked():
    rng = np.random.default_rng(7)
    clean, xy = star_field(gaussian, 5.0, rng, flux=(5, 5.1), grid=2)
    frame, moved = observe(clean, rng), xy + 0.8
    kept = measure_stars(*frame, moved, fwhm=5, radii=[8], annulus=(20, 40))
    followed = measure_stars(*frame, moved, fwhm=5, radii=[8], annulus=(20, 40), recentre=2)
    assert np.array_equal(kept.xy, moved)
    assert followed.xy == pytest.approx(xy, abs=0.05)
    assert np.all(followed.peak == kept.peak)


def test_no_stars_make_an_empty_measurement():
    frame = np.full((90, 90), 50.0), np.full((90, 90), 50.0), np.zeros((90, 90), np.uint16)
    measured = measure_stars(*frame, np.empty((0, 2)), fwhm=4, radii=[4, 5], annulus=(10, 20), recentre=1)
    assert measured.flux.shape == (0, 2)
    assert measured.flags.shape == (0,)


@pytest.mark.parametrize(
    "make", [lambda a: a.astype(">f4"), np.asfortranarray, lambda a: np.repeat(a, 2, 1)[:, ::2]]
)
def test_any_byte_order_and_layout_gives_the_same_numbers(make):
    rng = np.random.default_rng(8)
    clean, xy = star_field(gaussian, 4.0, rng, grid=2)
    image, variance, mask = observe(clean, rng)
    settings = {"fwhm": 4, "radii": [5], "annulus": (15, 30), "recentre": 2}
    plain = measure_stars(image, variance, mask, xy, **settings)
    other = measure_stars(
        make(image), make(variance), make(mask.astype(np.float32)).astype(np.uint16), xy, **settings
    )
    assert np.array_equal(plain.flux, other.flux)
    assert native_float32(image) is image


def test_nothing_given_is_changed():
    rng = np.random.default_rng(9)
    clean, xy = star_field(gaussian, 4.0, rng, grid=2)
    given = [*observe(clean, rng), xy]
    given[0][5, 5] = np.nan
    before = [a.copy() for a in given]
    measure_stars(*given, fwhm=4, radii=[5], annulus=(15, 30), recentre=2)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(given, before, strict=True))


def test_the_sky_of_a_star_leaves_its_neighbours_out(rng):
    size, fwhm = 240, 8.0
    y, x = np.mgrid[:size, :size]
    xy = np.array([[120.0, 120.0], [165.0, 120.0], [120.0, 78.0], [83.0, 137.0]])
    core = fwhm / (2 * np.sqrt(2 ** (1 / 3) - 1))
    image = rng.normal(100.0, 10.0, (size, size))
    for x0, y0 in xy[1:]:
        image += 2e6 / (np.pi * core**2) * 2 * (1 + ((x - x0) ** 2 + (y - y0) ** 2) / core**2) ** -3
    mask = np.zeros((size, size), np.uint16)
    whole = sky_between_stars(image, xy[:1], (32.0, 48.0), mask=mask)
    between = sky_between_stars(image, xy[:1], (32.0, 48.0), mask=mask | disks(mask.shape, xy[1:], 25))
    reached = sky_between_stars(image, xy, (32.0, 48.0), mask=mask, reach=[0.0, 25.0, 25.0, 25.0])
    assert reached.level[0] == between.level[0]
    assert whole.level[0] - 100 > 1.8 * (reached.level[0] - 100)


def test_where_stars_cover_the_annulus_it_is_used_all_the_same(rng):
    image = rng.normal(50.0, 5.0, (120, 120))
    mask = np.zeros(image.shape, np.uint16)
    xy = [[60.0, 60.0], [60.0, 61.0]]
    covered = sky_between_stars(image, xy, (10.0, 20.0), mask=mask, reach=[40.0, 40.0])
    assert np.isfinite(covered.level).all()
    assert (covered.n > 0.2 * np.pi * (20**2 - 10**2)).all()
    assert np.allclose(covered.level, 50, atol=4 * 5 / np.sqrt(covered.n.min()))


def test_planes_of_one_value_and_read_only_ones_are_taken_as_they_are():
    rng = np.random.default_rng(13)
    clean, xy = star_field(gaussian, 5.0, rng, grid=2)
    image, variance, mask = observe(clean, rng)
    variance[:], settings = 225, {"fwhm": 5, "radii": [5, 8], "annulus": (15, 30), "recentre": 2}
    full = measure_stars(image, variance, mask, xy, reach=[9.0] * 4, **settings)
    image.flags.writeable = False
    planes = np.broadcast_to(np.float32(225), image.shape), np.broadcast_to(np.uint16(0), image.shape)
    constant = measure_stars(image, *planes, xy, reach=[9.0] * 4, **settings)
    assert np.array_equal(full.flux, constant.flux)
    assert constant.flux_err == pytest.approx(full.flux_err, rel=1e-9)


@pytest.mark.parametrize("psf", [gaussian, moffat])
@pytest.mark.parametrize("binning", [2, 3])
@pytest.mark.slow
def test_well_sampled_stars_measure_the_same_on_squares_of_pixels(psf, binning):
    rng, fwhm = np.random.default_rng(14), 5.0 * binning
    clean, xy = star_field(psf, fwhm, rng, flux=(4.5, 6), grid=3, spacing=int(14 * fwhm))
    settings = {"fwhm": fwhm, "radii": fwhm * np.array([0.7, 1.2, 2.5]), "annulus": (4 * fwhm, 6 * fwhm)}
    fine, coarse = [], []
    for _ in range(8):
        frame, start = observe(clean, rng), xy + rng.uniform(-1, 1, xy.shape)
        fine.append(measure_stars(*frame, start, recentre=3, **settings))
        squares = {"binning": binning, "sky_binning": 2 * binning}
        coarse.append(measure_stars(*frame, start, recentre=3, **squares, **settings))
    ratio = np.array([b.flux / a.flux for a, b in zip(fine, coarse, strict=True)])
    error = np.array([a.flux_err / a.flux for a in fine])
    lost = ratio.mean(axis=(0, 1))  # squares blur the light a little, of all stars alike
    assert np.all((lost > 0.98) & (lost < 1.003))
    assert np.sqrt(np.mean(((ratio - lost) / error) ** 2)) < 0.5
    assert np.array([b.xy - a.xy for a, b in zip(fine, coarse, strict=True)]).std() < 0.05 * binning
    for name in ("sky", "sky_scatter"):
        assert getattr(coarse[0], name) == pytest.approx(getattr(fine[0], name), rel=0.1)
    assert coarse[0].flux_err == pytest.approx(fine[0].flux_err, rel=0.03)
    assert np.array_equal(coarse[0].flags, fine[0].flags)


def test_disks_hold_the_pixels_whose_centres_are_within_the_radius():
    y, x = np.mgrid[:30, :40]
    covered = disks((30, 40), [[10.3, 12.0], [39.0, 1.0], [np.nan, 3.0]], [4.5, 6.0, 9.0])
    expected = (np.hypot(x - 10.3, y - 12) <= 4.5) | (np.hypot(x - 39, y - 1) <= 6)
    assert (covered == expected).all()
