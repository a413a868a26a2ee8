"""Detection and seeing, on simulated skies of known stars."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.special import erf

from potpyri_like.errors import PixelError
from potpyri_like.photometry.detect import detect_stars, frame_fwhm

SKY, READ_NOISE = 200.0, 5.0


def gaussian(size, x, y, fwhm):
    root = fwhm / np.sqrt(4 * np.log(2))
    across, along = (np.diff(erf((np.arange(size + 1) - 0.5 - c) / root)) / 2 for c in (y, x))
    return np.outer(across, along)


def moffat(size, x, y, fwhm, *, beta=3.0, sub=7):
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    fine = np.arange(size * sub) / sub - 0.5 + 0.5 / sub
    r2 = (fine - x) ** 2 + (fine[:, None] - y) ** 2
    profile = (beta - 1) / (np.pi * alpha**2) * (1 + r2 / alpha**2) ** -beta
    return profile.reshape(size, sub, size, sub).mean(axis=(1, 3))


def noisy(clean, rng):
    return (rng.poisson(clean + SKY) + rng.normal(0, READ_NOISE, clean.shape)).astype(np.float32)


def field(psf, fwhm, rng, *, spacing=100, grid=5, signal=(20, 500)):
    """Stars on a loose grid, their fluxes in units of the noise within one FWHM: image, positions, fluxes."""
    noise = np.sqrt(np.pi * fwhm**2 * (SKY + READ_NOISE**2))
    clean, xy = np.zeros((grid * spacing, grid * spacing)), []
    flux = noise * np.geomspace(*signal, grid**2)
    for n in range(grid**2):
        row, column = divmod(n, grid)
        corner, place = spacing * np.array([column, row]), rng.uniform(0.4 * spacing, 0.6 * spacing, 2)
        tile = np.s_[corner[1] : corner[1] + spacing, corner[0] : corner[0] + spacing]
        clean[tile] += flux[n] * psf(spacing, *place, fwhm)
        xy.append(corner + place)
    return clean, np.array(xy), flux


def matched(stars, xy, reach):
    """For each true star the detection nearest to it, -1 without; and how many detections are false."""
    distance, true = cKDTree(xy).query(stars.xy, distance_upper_bound=reach)
    found = np.full(len(xy), -1)
    found[true[np.isfinite(distance)]] = np.flatnonzero(np.isfinite(distance))
    return found, np.count_nonzero(~np.isfinite(distance))


@pytest.mark.parametrize("psf", [gaussian, moffat])
@pytest.mark.parametrize("fwhm", [1.5, 2.5, 4.0, 6.0, 10.0, 20.0])
@pytest.mark.slow
def test_all_stars_and_nothing_else_are_found_at_any_seeing(psf, fwhm):
    rng = np.random.default_rng(1)
    clean, xy, _ = field(psf, fwhm, rng)
    stars = detect_stars(noisy(clean, rng))
    found, false = matched(stars, xy, max(1, 0.3 * fwhm))
    assert (found >= 0).all()
    assert false <= 1
    bright = found[-10:]
    assert np.median(np.hypot(*(stars.xy[bright] - xy[-10:]).T)) < max(0.1, 0.03 * fwhm)
    # 0.98 FWHM for a Gaussian and 1.09 for this Moffat profile, by its definition; pixels blur the narrowest.
    assert 0.9 * fwhm < np.median(stars.fwhm[bright]) < (1.2 if fwhm > 2 else 1.35) * fwhm


@pytest.mark.parametrize("fwhm", [2.5, 5.0, 12.0])
def test_hot_pixels_and_cosmic_rays_are_not_stars(fwhm):
    rng = np.random.default_rng(2)
    clean, xy, _ = field(gaussian, fwhm, rng)
    image = noisy(clean, rng)
    size = image.shape[0]
    hot = rng.integers(0, size, (2, size**2 // 200))  # 0.5 %
    image[hot[0], hot[1]] += 10 ** rng.uniform(2, 4, hot.shape[1])
    for _ in range(10):
        x, y, angle = *rng.uniform(20, size - 20, 2), rng.uniform(0, 2 * np.pi)
        step = np.arange(rng.integers(2, 10))
        image[(y + step * np.sin(angle)).astype(int), (x + step * np.cos(angle)).astype(int)] += 1500
    found, false = matched(detect_stars(image), xy, max(1.0, 0.4 * fwhm))
    assert np.count_nonzero(found >= 0) >= 24
    assert false <= 2


def test_the_flux_is_that_within_one_fwhm_and_orders_the_stars():
    rng = np.random.default_rng(3)
    clean, xy, flux = field(gaussian, 5.0, rng, signal=(100, 1000))
    stars = detect_stars(noisy(clean, rng))
    found, _ = matched(stars, xy, 2)
    # A circle of radius FWHM holds 1 - 2**-4 of a Gaussian.
    assert stars.flux[found] == pytest.approx((1 - 2.0**-4) * flux, rel=0.06)
    assert np.all(np.diff(stars.flux) <= 0)
    assert len(detect_stars(noisy(clean, rng), max_stars=7)) == 7


@pytest.mark.parametrize("shape", [(64, 64), (300, 500), (1100, 1030)])
def test_an_empty_sky_has_no_stars(shape):
    rng = np.random.default_rng(4)
    assert len(detect_stars(rng.normal(SKY, 5, shape))) <= 1
    assert len(detect_stars(np.full(shape, 7))) == 0
    assert len(detect_stars(np.full(shape, np.nan))) == 0


def test_about_as_many_false_detections_as_the_threshold_promises():
    rng = np.random.default_rng(5)
    counts = [len(detect_stars(rng.normal(0, 5, (700, 700)), threshold=5.0)) for _ in range(4)]
    assert sum(counts) <= 4  # 5 sigma of two million pixels: less than one


def test_saturated_stars_are_kept_and_flagged():
    rng = np.random.default_rng(6)
    clean, xy, _ = field(gaussian, 6.0, rng, signal=(20, 3000))
    image = np.minimum(noisy(clean, rng), 5000)
    full = image >= 5000
    for saturated in (5000, full):
        stars = detect_stars(image, saturated=saturated)
        found, _ = matched(stars, xy, 2)
        assert (found >= 0).all()
        x, y = np.rint(xy).astype(int).T
        assert np.array_equal(stars.saturated[found], full[y, x])
    assert 0 < full[y, x].sum() < 25


def test_masked_pixels_and_nan_are_ignored():
    rng = np.random.default_rng(7)
    clean, xy, _ = field(gaussian, 6.0, rng)
    image, mask = noisy(clean, rng), np.zeros(clean.shape, np.uint16)
    image[:, 300:304], mask[:, 300:304] = 6e4, 1
    image[200:300, 0:100] = np.nan
    mask[rng.integers(0, 500, 200), rng.integers(0, 500, 200)] = 1
    image[mask == 1] = 6e4
    stars = detect_stars(image, mask=mask)
    found, false = matched(stars, xy, 2)
    hidden = (xy[:, 0] < 100) & (xy[:, 1] > 200) & (xy[:, 1] < 300)
    assert np.array_equal(found >= 0, ~hidden)
    assert false == 0


def test_binning_can_be_given_and_positions_stay_those_of_the_image():
    rng = np.random.default_rng(8)
    clean, xy, _ = field(gaussian, 9.0, rng, signal=(100, 500))
    image = noisy(clean, rng)[:493, :487]
    for binning in (1, 2, 3, 5):
        stars = detect_stars(image, binning=binning)
        found, _ = matched(stars, xy, 2)
        assert np.abs(stars.xy[found] - xy).max() < 0.5
        assert np.abs((stars.xy[found] - xy).mean(axis=0)).max() < 0.1


def test_a_border_keeps_stars_near_the_edge_out():
    rng = np.random.default_rng(9)
    clean, _, _ = field(gaussian, 4.0, rng)
    image = noisy(clean, rng)
    everything, inner = detect_stars(image), detect_stars(image, border=100)
    kept = np.all((everything.xy >= 100) & (everything.xy <= 399), axis=1)
    assert np.array_equal(inner.xy, everything.xy[kept])
    assert 0 < len(inner) < len(everything)


def test_stars_can_be_taken_by_index_or_truth_value():
    rng = np.random.default_rng(10)
    stars = detect_stars(noisy(field(gaussian, 4.0, rng)[0], rng))
    assert stars.take([3, 1]).xy.tolist() == [stars.xy[3].tolist(), stars.xy[1].tolist()]
    assert len(stars.take(stars.flux > stars.flux[4])) == 4


def test_an_image_that_is_no_star_field_is_rejected_with_advice():
    image = np.random.default_rng(11).normal(0, 1, (1000, 1000))
    comb = np.arange(1000) % 25 < 11
    image[:, comb] += 1000
    image[:11] = 1000
    with pytest.raises(PixelError, match="raise the threshold"):
        detect_stars(image, binning=1, threshold=1)


@pytest.mark.parametrize(
    "make", [lambda a: a.astype(">f4"), lambda a: a.astype(np.float64), np.asfortranarray]
)
def test_any_byte_order_and_layout_gives_the_same_stars(make):
    rng = np.random.default_rng(12)
    image = noisy(field(gaussian, 4.0, rng)[0], rng)
    before = image.copy()
    assert np.array_equal(detect_stars(make(image)).xy, detect_stars(image).xy)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("psf", [gaussian, moffat])
@pytest.mark.parametrize("fwhm", [2.0, 3.0, 5.0, 9.0, 20.0])
@pytest.mark.slow
def test_the_seeing_is_right_within_three_percent(psf, fwhm):
    rng = np.random.default_rng(13)
    clean, xy, _ = field(psf, fwhm, rng, signal=(300, 1000))
    image = noisy(clean, rng)
    before = image.copy()
    measured = frame_fwhm(image, xy[:, 0], xy[:, 1], sky=np.full(len(xy), SKY))
    assert measured == pytest.approx(fwhm, rel=0.03)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("psf", [gaussian, moffat])
@pytest.mark.parametrize(("fwhm", "binning"), [(9.0, 2), (14.0, 3), (20.0, 5)])
@pytest.mark.slow
def test_the_seeing_is_as_right_from_squares_of_pixels(psf, fwhm, binning):
    rng = np.random.default_rng(16)
    clean, xy, _ = field(psf, fwhm, rng, signal=(300, 1000))
    measured = frame_fwhm(noisy(clean, rng), *xy.T, sky=np.full(len(xy), SKY), binning=binning)
    assert measured == pytest.approx(fwhm, rel=0.03)


def test_a_neighbour_in_some_profiles_does_not_widen_the_seeing():
    rng = np.random.default_rng(14)
    clean, xy, flux = field(gaussian, 5.0, rng, signal=(300, 1000))
    for n in range(0, 25, 5):
        clean += flux[n] * gaussian(500, *(xy[n] + [6.0, 3.0]), 5.0)
    assert frame_fwhm(noisy(clean, rng), *xy.T, sky=SKY) == pytest.approx(5, rel=0.03)


def test_the_seeing_is_unknown_without_stars():
    image = np.random.default_rng(15).normal(SKY, 5, (100, 100))
    assert np.isnan(frame_fwhm(image, [], [], sky=SKY))
    assert np.isnan(frame_fwhm(np.full((100, 100), SKY), [50], [50], sky=SKY))
