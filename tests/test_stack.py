"""The stack of a set, opened for its pixels: scale, sky, places, noise."""

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from fake_report import make_set

from potpyri_like.astrometry import Transform
from potpyri_like.frame import Frame, FrameFlag, MaskBit
from potpyri_like.imaging import (
    Combined,
    Pixels,
    scale_to_typical,
    sharpest_frames,
    stacked_pixels,
    without_sky,
)
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.photometry.psf import Profile
from potpyri_like.primitives.fields import CALIBRATED
from potpyri_like.primitives.stack import Stack
from potpyri_like.primitives.stage import FrameOutcome, Setup, Work
from potpyri_like.registration import Registration
from potpyri_like.stages import FrameStage
from potpyri_like.store import Output

SHAPE, SKY, FWHM, FRAMES = (120, 140), 250.0, 4.0, 9
PLACES = np.array([[40.0, 30.0], [100.0, 50.0], [60.0, 90.0]])
LIGHT = np.array([3e5, 1.5e5, 8e4])
CLEAR = np.array([1.0, 0.95, 0.9, 0.55, 0.6, 0.9, 1.0, 0.85, 0.9])  # transparency; the median is 0.9
BAD = (90, 60)  # row, column: in the third star


# -- numerics ------------------------------------------------------------------------------------------------


def test_a_frame_through_cloud_is_raised_and_the_clearest_lowered(rng):
    clear = np.array([1.0, 1.0, 1.0, 0.5, 1.25])
    flux = clear[:, None] * np.geomspace(1e3, 1e6, 20)
    scales = [scale_to_typical(flux, frame) for frame in range(5)]
    assert scales == pytest.approx([1, 1, 1, 2, 0.8])
    scaled = flux * np.array(scales)[:, None]
    assert scaled == pytest.approx(np.broadcast_to(scaled[0], scaled.shape))


def test_one_variable_star_and_one_never_measured_do_not_change_the_scale():
    flux = np.ones((5, 7)) * [1, 1, 1, 1, 1, 1, np.nan]
    flux[2, 0] = 30
    assert [scale_to_typical(flux, frame) for frame in range(5)] == [1] * 5
    assert scale_to_typical(np.full((2, 3), np.nan), 0) == 1
    assert scale_to_typical(np.array([[1.0, 2.0], [-1.0, np.nan]]), 1) == 1


def test_the_sky_is_subtracted_and_a_bad_pixel_has_no_value(rng):
    data = rng.normal(SKY, 5, SHAPE).astype(np.float32)
    mask = np.zeros(SHAPE, np.uint16)
    mask[5, 6], mask[7, 8] = MaskBit.BAD, MaskBit.SATURATED
    data[5, 6] = 1e6
    above = without_sky(Pixels(data, np.ones(SHAPE, np.float32), mask))
    assert np.nanmean(above) == pytest.approx(0, abs=0.5)
    assert np.flatnonzero(np.isnan(above)).tolist() == [5 * SHAPE[1] + 6]


def test_the_sharpest_frames_are_clear_ones_in_order_of_time():
    fwhm = np.array([5.0, 3.0, np.nan, 4.0, 2.0, 6.0])
    measured = np.array([1, 1, 1, 1, 1, 0], bool)
    clear = np.array([1, 1, 1, 1, 0, 1], bool)
    assert sharpest_frames(fwhm, measured=measured, clear=clear, count=2).tolist() == [1, 3]
    assert sharpest_frames(fwhm, measured=measured, clear=clear, count=None).tolist() == [0, 1, 3]
    assert sharpest_frames(fwhm, measured=measured, clear=~measured, count=2).tolist() == [1, 4]


def test_where_no_frame_had_a_value_the_stack_is_bad():
    value, variance = np.array([[1.0, np.nan, 3.0]]), np.array([[4.0, 4.0, np.nan]])
    pixels = stacked_pixels(Combined(value, variance, np.array([[2, 0, 1]])))
    assert pixels.data.tolist() == [[1, 0, 3]] and pixels.variance.tolist() == [[4, 0, 0]]
    assert pixels.mask.tolist() == [[0, MaskBit.BAD, 0]]


# -- the stage -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expose(FrameStage):
    """Frames of a sky that is known, instead of those of a camera, calibrated."""

    gives = (CALIBRATED,)

    def __call__(self, info, setup):
        number = int(info.label.partition("f")[2])
        rng = np.random.default_rng(number)
        y, x = np.indices(SHAPE)
        sky = np.full(SHAPE, SKY + 40 * number)
        for (x0, y0), light in zip(PLACES + shift_of(number), LIGHT * CLEAR[number], strict=True):
            sky += light * gaussian(x - x0, y - y0)
        data = rng.poisson(sky).astype(np.float32)
        mask = np.zeros(SHAPE, np.uint16)
        mask[BAD], data[BAD] = MaskBit.BAD, 6e4
        return Frame(Pixels(data, np.maximum(data, 1), mask), info)


def gaussian(dx, dy):
    sigma = FWHM / np.sqrt(8 * np.log(2))
    return np.exp(-(dx**2 + dy**2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)


def shift_of(number):
    """Whole pixels, so that no interpolation spreads the light."""
    return np.array([number % 3 - 1, 2 * (number % 2)], float)


class Tools:
    """What the pipeline lends, as far as this stage borrows it."""

    def __init__(self, folder):
        self.output = Output(folder)
        self.output.make()

    def run_frames(self, infos, stages, setup, *, what):
        outcomes = []
        for info in infos:
            frame = info
            for stage in stages:
                frame = stage(frame, setup)
            outcomes.append(FrameOutcome(info, frame.results))
        return outcomes

    def raw(self, infos):
        return tuple("" for _ in infos)

    def recall(self, product, key):
        return None

    def keep(self, product, key, memo):
        key + ""


def registered(shift):
    return Registration(Transform(np.eye(2), shift), len(LIGHT), 0.1, FWHM, Profile(FWHM))


def work_on_stars(*, fwhm=None, flags=0):
    """A set whose series tells the transparency of every frame."""
    result = make_set(n_frames=FRAMES)
    names = tuple(f"f{i}" for i in range(FRAMES))
    flux = np.repeat((CLEAR[:, None] * LIGHT)[:, :, None], len(result.series.radii), axis=2)
    series = replace(
        result.series,
        frames=names,
        fwhm=np.full(FRAMES, FWHM) if fwhm is None else fwhm,
        flags=np.zeros(FRAMES, int) + flags,
        flux=flux,
    )
    reference = replace(result.reference, image=np.zeros(SHAPE, np.float32), wcs=None)
    setup = Setup(Opticam(), reference=reference)
    outcomes = tuple(
        FrameOutcome(SimpleNamespace(label=name), {"registration": registered(shift_of(i))})
        for i, name in enumerate(names)
    )
    return Work(
        result.observed,
        setup,
        replace(result, reference=reference, series=series, products={}, choices=()),
        outcomes=outcomes,
    )


def stacked(folder, **what):
    best = what.pop("best", None)
    work = Stack((Expose(),), best=best)(work_on_stars(**what), Tools(folder))
    with fits.open(Path(folder) / work.result.products["stack.fits"]) as hdus:
        return {hdu.name: hdu.data for hdu in hdus[1:]}, hdus["SCI"].header


def test_the_stars_of_a_stack_stand_where_the_reference_has_them_with_their_typical_light(tmp_path):
    planes, header = stacked(tmp_path / "red")
    y, x = np.indices(SHAPE)
    for (x0, y0), light in zip(PLACES, LIGHT, strict=True):
        near = np.hypot(x - x0, y - y0) < 10
        expected = light * np.median(CLEAR)
        assert planes["SCI"][near].sum() == pytest.approx(expected, rel=0.01)
        centre = [(planes["SCI"] * c)[near].sum() / planes["SCI"][near].sum() for c in (x, y)]
        assert centre == pytest.approx([x0, y0], abs=0.05)
    assert header["NCOMBINE"] == FRAMES and header["BUNIT"] == "ct"


def test_every_frame_of_a_stack_is_at_the_same_scale(tmp_path):
    planes, _ = stacked(tmp_path / "red")
    x, y = PLACES[0].astype(int)
    peak = LIGHT[0] * np.median(CLEAR) * gaussian(0, 0)
    # frames scaled the wrong way differ by up to 0.9 / 0.55 squared, and are clipped or widen the error
    photons = np.sqrt(
        np.mean((peak * CLEAR / np.median(CLEAR) + SKY + 160) * (np.median(CLEAR) / CLEAR) ** 2)
    )
    assert planes["ERR"][y, x] == pytest.approx(photons / np.sqrt(FRAMES), rel=0.6)
    assert planes["SCI"][y, x] == pytest.approx(peak, rel=0.02)


def test_the_sky_of_a_stack_is_zero_and_its_error_that_of_its_scatter(tmp_path):
    planes, _ = stacked(tmp_path / "red")
    y, x = np.indices(SHAPE)
    empty = (np.hypot(x[..., None] - PLACES[:, 0], y[..., None] - PLACES[:, 1]) > 14).all(axis=2)
    empty &= (x > 4) & (x < SHAPE[1] - 5) & (y > 4) & (y < SHAPE[0] - 5)
    assert planes["SCI"][empty].mean() == pytest.approx(0, abs=1)
    pull = planes["SCI"][empty] / planes["ERR"][empty]
    robust = 1.4826 * np.median(np.abs(pull - np.median(pull)))
    assert robust == pytest.approx(1, abs=0.2)  # the error is that of nine values


def test_a_bad_pixel_of_the_camera_is_covered_by_the_frames_that_moved(tmp_path):
    planes, _ = stacked(tmp_path / "red")
    expected = LIGHT[2] * np.median(CLEAR) * gaussian(BAD[1] - PLACES[2, 0], BAD[0] - PLACES[2, 1])
    assert planes["SCI"][BAD] == pytest.approx(expected, rel=0.1)
    assert planes["MASK"][BAD] == 0
    assert (planes["MASK"][0, 0], planes["ERR"][0, 0] >= 0) == (0, True)


def test_the_sharpest_frames_without_a_flag_are_taken(tmp_path):
    fwhm = np.array([3.0, 5, 4, 3.5, 6, 7, 8, 9, 10])
    flags = np.where(np.arange(FRAMES) == 0, int(FrameFlag.CLOUD), 0)
    _, header = stacked(tmp_path / "red", fwhm=fwhm, flags=flags, best=3)
    assert list(header["HISTORY"]) == ["f1", "f2", "f3"] and header["NCOMBINE"] == 3
