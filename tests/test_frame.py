"""What each flag excludes from: one table, and nobody else's; and a frame in the hands of astropy's packages."""

import re
from pathlib import Path
from types import SimpleNamespace

import astropy.units as u
import ccdproc
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty, VarianceUncertainty
from astropy.wcs import WCS
from photutils.aperture import CircularAperture, aperture_photometry

import potpyri_like
from potpyri_like.errors import DeclarationError
from potpyri_like.frame import (
    EXCLUDED_FROM,
    STAR_FLAG_SHIFT,
    UNUSABLE,
    Frame,
    FrameFlag,
    MaskBit,
    Pixels,
    Purpose,
    StarFlag,
    bits_excluded,
    excluded,
)

FAULTS = (FrameFlag.UNMATCHED, FrameFlag.FEW_STARS, FrameFlag.CLOUD, FrameFlag.POOR_SEEING, FrameFlag.TRAILED)
STAR_FAULTS = (StarFlag.SATURATED, StarFlag.COSMIC_RAY, StarFlag.FILLED)
HARMLESS = (StarFlag.BAD_PIXEL, StarFlag.EDGE, StarFlag.HOT_PIXEL, StarFlag.NO_CENTROID)


@pytest.mark.parametrize("purpose", Purpose)
def test_what_is_known_to_be_bad_is_excluded_from_everything(purpose):
    for flag in FAULTS:
        assert excluded(np.array([flag]), purpose).all()
    for flag in STAR_FAULTS:
        assert excluded(np.array([int(flag) << STAR_FLAG_SHIFT]), purpose).all()


@pytest.mark.parametrize("purpose", Purpose)
def test_a_replaced_pixel_a_cut_annulus_and_a_position_carried_over_are_excluded_from_nothing(purpose):
    flags = [int(flag) << STAR_FLAG_SHIFT for flag in HARMLESS]
    assert not excluded(np.array([0, *flags]), purpose).any()


def test_a_doubtful_clock_is_excluded_from_times_alone():
    clock = np.array([FrameFlag.TIME_DOUBTFUL])
    assert not excluded(clock, Purpose.CHOICES | Purpose.FIT).any()
    assert excluded(clock, Purpose.TIMES).all()


def test_purposes_add_up_and_bits_do_not_collide():
    assert bits_excluded(Purpose.FIT | Purpose.TIMES) == bits_excluded(Purpose.FIT) | FrameFlag.TIME_DOUBTFUL
    assert all(bit & (bit - 1) == 0 for bit in EXCLUDED_FROM)
    bits = [*map(int, FrameFlag), *(int(flag) << STAR_FLAG_SHIFT for flag in StarFlag)]
    assert len(set(bits)) == len(bits)


def test_no_other_room_keeps_a_set_of_bits_of_its_own():
    """Sums of flags, as in CLOUD | UNMATCHED, stand in the table alone."""
    root = Path(potpyri_like.__file__).parent
    joined = re.compile(r"(FrameFlag|StarFlag)\.\w+\s*\|\s*(FrameFlag|StarFlag)\.")
    found = [path for path in root.rglob("*.py") if joined.search(path.read_text())]
    assert found == []


# -- a frame as a CCDData ----------------------------------------------------------------------------------------

SKY, READ_NOISE, SHAPE = 100.0, 5.0, (60, 70)
INFO = SimpleNamespace(label="simulated.fits")
BAD_AT = (31, 40)


def frame_of(rng, *, bad=(), value=60000.0, wcs=None):
    """A flat sky with bad pixels of some value."""
    data = (rng.poisson(SKY, SHAPE) + rng.normal(0, READ_NOISE, SHAPE)).astype(np.float32)
    mask = np.zeros(SHAPE, np.uint16)
    for place in bad:
        data[place], mask[place] = value, MaskBit.BAD
    variance = np.full(SHAPE, SKY + READ_NOISE**2, np.float32)
    return Frame(Pixels(data, variance, mask), INFO, wcs)


def test_bits_of_a_mask_are_single_and_fit_into_sixteen():
    assert all(bit & (bit - 1) == 0 for bit in MaskBit)
    assert np.uint16(sum(MaskBit)) == sum(MaskBit)


def test_a_frame_is_a_ccddata_with_mask_unit_variance_and_wcs(rng):
    wcs = WCS(naxis=2)
    wcs.wcs.crval, wcs.wcs.ctype = (10, 20), ("RA---TAN", "DEC--TAN")
    frame = frame_of(rng, bad=[BAD_AT], wcs=wcs)
    frame.mask[2, 3] = MaskBit.SATURATED | MaskBit.HOT  # of a star, and replaced: values that count
    ccd = frame.ccd
    assert isinstance(ccd, CCDData) and ccd.unit == u.electron and ccd.wcs is wcs
    assert ccd.mask.dtype == bool and np.argwhere(ccd.mask).tolist() == [list(BAD_AT)]
    assert isinstance(ccd.uncertainty, VarianceUncertainty)
    assert np.array_equal(ccd.uncertainty.array, frame.variance) and np.array_equal(ccd.data, frame.data)
    assert ccd.flags.dtype == np.uint16 and ccd.flags[2, 3] == MaskBit.SATURATED | MaskBit.HOT


@pytest.mark.parametrize("bit", MaskBit)
def test_a_pixel_is_masked_where_its_value_is_not_that_of_the_sky(rng, bit):
    frame = frame_of(rng)
    assert frame.ccd.mask is None
    frame.mask[BAD_AT] = bit
    unusable = {MaskBit.BAD, MaskBit.COSMIC_RAY, MaskBit.TRAIL, MaskBit.NO_DATA, MaskBit.LOW_FLAT}
    assert (frame.ccd.mask is not None) == bool(UNUSABLE & bit) == (bit in unusable)


def test_ccdproc_leaves_a_bad_pixel_out_of_a_mean(rng):
    frames = [frame_of(rng, bad=[BAD_AT] * (n == 1)) for n in range(4)]
    mean = ccdproc.combine([frame.ccd for frame in frames], method="average")
    assert mean.data[BAD_AT] == pytest.approx(np.mean([frames[n].data[BAD_AT] for n in (0, 2, 3)]))
    assert mean.data[5, 6] == pytest.approx(np.mean([frame.data[5, 6] for frame in frames]))
    assert not mean.mask.any()


def test_what_ccdproc_subtracts_adds_its_variance_and_its_mask(rng):
    frame, dark = frame_of(rng, bad=[BAD_AT]), frame_of(rng, bad=[(7, 8)])
    left = ccdproc.subtract_dark(frame.ccd, dark.ccd, dark_exposure=30 * u.s, data_exposure=30 * u.s)
    assert np.argwhere(left.mask).tolist() == [[7, 8], list(BAD_AT)]
    np.testing.assert_allclose(left.uncertainty.array, 2 * (SKY + READ_NOISE**2), rtol=1e-6)
    np.testing.assert_array_equal(left.data, frame.data - dark.data)


def test_photutils_leaves_a_bad_pixel_out_of_an_aperture_and_knows_the_error(rng):
    circle = CircularAperture([(40.2, 30.7), (20.0, 20.0)], 6.0)
    frame = frame_of(rng, bad=[BAD_AT])
    ccd = frame.ccd
    ccd.uncertainty = ccd.uncertainty.represent_as(StdDevUncertainty)  # the only kind that photutils looks at
    found = aperture_photometry(ccd, circle)
    weights = [cut.to_image(SHAPE) for cut in circle.to_mask(method="exact")]
    good = ~frame.unusable
    for row, weight in zip(found, weights, strict=True):
        assert row["aperture_sum"].to_value("electron") == pytest.approx((weight * frame.data)[good].sum())
        error = np.sqrt((weight * good).sum() * (SKY + READ_NOISE**2))
        assert row["aperture_sum_err"].to_value("electron") == pytest.approx(error, rel=1e-6)
    assert found["aperture_sum"][0].value < 1.5 * circle.area * SKY  # nothing of the 60000


def test_a_stage_may_hand_on_what_ccdproc_gives(rng):
    frame = frame_of(rng, bad=[BAD_AT])
    frame.mask[2, 3] = MaskBit.SATURATED
    frame.data[10, 11] += 20000
    clean = ccdproc.cosmicray_lacosmic(frame.ccd, sigclip=8, gain_apply=False, readnoise=READ_NOISE)
    after = frame.after("cosmic rays", ccd=clean, hits=1)
    assert np.argwhere(after.unusable).tolist() == [[10, 11], list(BAD_AT)]
    assert after.mask[2, 3] == MaskBit.SATURATED and after.mask[10, 11] == MaskBit.BAD
    assert abs(after.data[10, 11] - SKY) < 6 * np.sqrt(SKY + READ_NOISE**2)
    assert (after.stages, after.results, after.wcs) == (("cosmic rays",), {"hits": 1}, None)
    np.testing.assert_array_equal(after.variance, frame.variance)
    assert frame.mask[10, 11] == 0 and frame.data[10, 11] > 20000


def test_an_uncertainty_of_any_kind_comes_back_as_a_variance(rng):
    frame = frame_of(rng)
    given = CCDData(frame.data, unit="electron", uncertainty=StdDevUncertainty(np.full(SHAPE, 3.0)))
    after = frame.after("told its errors", ccd=given)
    assert after.variance.dtype == np.float32 and np.all(after.variance == 9)
    kept = frame.after("without", ccd=CCDData(frame.data, unit="electron"))
    assert kept.variance is frame.variance and kept.mask is frame.mask


@pytest.mark.parametrize(("data", "unit"), [(np.ones(SHAPE), "adu"), (np.ones((3, 4)), "electron")])
def test_a_ccddata_of_another_unit_or_shape_is_rejected(rng, data, unit):
    with pytest.raises(DeclarationError, match="expected electron and \\(60, 70\\)"):
        frame_of(rng).after("odd", ccd=CCDData(data, unit=unit))
