"""Errors against truth: a simulated sky through the stages, with and without the 3x3 filter."""

from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest

from potpyri_like.astrometry import Transform
from potpyri_like.frame import Frame, Pixels
from potpyri_like.photometry import Aperture, Optimal, Profile, Psf
from potpyri_like.primitives import Calibrate, FilterPixels, Measure
from potpyri_like.primitives.fields import MEASUREMENT
from potpyri_like.primitives.stage import Setup
from potpyri_like.registration import Registration
from potpyri_like.results import Master, Masters, Reference

BIAS, DARK, SKY, READ_NOISE, FWHM, EXPOSURE = 900.0, 20.0, 200.0, 6.0, 8.0, 30.0
INFO = SimpleNamespace(label="simulated.fits", exposure=EXPOSURE * u.s, night="", mosaic="", colour="")
INSTRUMENT = SimpleNamespace(calibration=SimpleNamespace(flat_floor=0.2), is_filtered=lambda info: False)
PROFILE = Profile(FWHM, 0.1, 30.0, 3.5)
SPACING = 90


def plane(values, shape, variance=0.0):
    data = np.broadcast_to(np.asarray(values, np.float32), shape).copy()
    return Pixels(data, np.full(shape, variance, np.float32), np.zeros(shape, np.uint16))


class Sky:
    """Stars of some fluxes on a grid, at random places within their pixels, seen through a vignetted camera."""

    def __init__(self, rng, flux, *, level=SKY):
        side = int(np.ceil(np.sqrt(len(flux))))
        row, column = np.divmod(np.arange(len(flux)), side)
        self.shape = (side * SPACING, side * SPACING)
        self.xy = np.column_stack([column, row]) * SPACING + SPACING / 2 + rng.uniform(-1, 1, (len(flux), 2))
        self.flux, self.level, self.light = flux, level, np.zeros(self.shape)
        y, x = np.indices(self.shape)
        self.flat = 1 - 0.1 * np.hypot(x - x.mean(), y - y.mean()) / x.max()
        for (x0, y0), f in zip(self.xy, flux, strict=True):
            near = np.hypot(x - x0, y - y0) < SPACING / 2
            self.light[near] += f * PROFILE.through_pixels(1).light(x[near] - x0, y[near] - y0)

    @property
    def masters(self):
        return Masters(
            bias=Master("bias", plane(BIAS, self.shape), 0.0, "exact", ()),
            darks={EXPOSURE: Master("dark", plane(DARK, self.shape), EXPOSURE, "exact", ())},
            flat=Master("flat", plane(self.flat, self.shape), 1.0, "exact", ()),
        )

    def setup(self, mode):
        image = (self.light + self.level).astype(np.float32)
        reference = Reference(INFO, image, self.xy, self.flux, FWHM, FWHM, "")
        return Setup(INSTRUMENT, filter_mode=mode, masters=self.masters, reference=reference)

    def calibrated(self, setup, rng=None):
        """A calibrated frame, without noise where no generator is given."""
        light = (self.light + self.level) * self.flat + DARK
        seen = light if rng is None else rng.poisson(light) + rng.normal(0, READ_NOISE, self.shape)
        frame = Frame(plane(BIAS + seen, self.shape, READ_NOISE**2), INFO, results={"counts": None})
        return Calibrate()(FilterPixels()(frame, setup), setup)


def measured(frame, setup, photometer):
    known = Registration(Transform.identity(), 10, 0.1, FWHM, PROFILE)
    frame = frame.after("registered", registration=known)
    return Measure(photometer, "frozen")(frame, setup)[MEASUREMENT]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["none", "median"])
def test_fluxes_deviate_from_the_truth_by_their_errors(mode):
    """4000 pulls have a standard deviation known to 0.011; the filter takes some light, from the truth alike."""
    rng = np.random.default_rng(1)
    sky = Sky(rng, 10 ** rng.uniform(3.3, 3.8, 100))
    setup, photometers = sky.setup(mode), (Psf(), Aperture((1.25, 1.5)))
    clean = sky.calibrated(setup)
    truth = [measured(clean, setup, photometer).flux for photometer in photometers]
    np.testing.assert_allclose(truth[0][:, 0], sky.flux, rtol=1e-3 if mode == "none" else 0.03)
    pulls = []
    for _ in range(40):
        frame = sky.calibrated(setup, rng)
        found = [measured(frame, setup, photometer) for photometer in photometers]
        pulls.append(np.hstack([(m.flux - true) / m.flux_err for m, true in zip(found, truth, strict=True)]))
    scatter = np.array(pulls).std(axis=(0, 1))
    assert np.all((scatter > 0.95) & (scatter < 1.05)), scatter
    assert np.all(np.abs(np.mean(pulls, axis=(0, 1))) < (4 / np.sqrt(4000) if mode == "none" else 0.2))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["none", "median"])
def test_the_variance_of_a_pixel_is_that_which_it_shows_from_frame_to_frame(mode):
    """In the sky, in the wings and in the core of a star that does not outrun the noise from pixel to pixel."""
    rng, frames = np.random.default_rng(2), 300
    sky = Sky(rng, np.array([3000.0]))
    setup = sky.setup(mode)
    seen = [sky.calibrated(setup, rng).ccd for _ in range(frames)]
    shown = np.var([ccd.data for ccd in seen], axis=0, ddof=1)
    stated = np.mean([ccd.uncertainty.array for ccd in seen], axis=0)
    inner = np.zeros(sky.shape, bool)
    inner[2:-2, 2:-2] = True  # at the rim the filter repeats pixels
    for low, high in ((0, 1), (1, 10), (10, np.inf)):
        some = inner & (sky.light >= low) & (sky.light < high)
        assert some.sum() > 50
        assert shown[some].mean() == pytest.approx(stated[some].mean(), rel=0.05)


def test_a_filtered_pixel_has_a_sixth_of_the_variance_and_the_frame_says_how_its_sums_count():
    sky = Sky(np.random.default_rng(3), np.array([3000.0]))
    raw, filtered = (sky.calibrated(sky.setup(mode)) for mode in ("none", "median"))
    assert raw.covariance == 1
    assert np.median(filtered.variance / raw.variance) == pytest.approx(0.166, rel=0.01)
    sums = filtered.covariance * filtered.variance.sum(dtype=float), raw.variance.sum(dtype=float)
    assert sums[0] / sums[1] == pytest.approx(1.2, rel=0.01)


@pytest.mark.parametrize("level", [SKY, 5.0])
@pytest.mark.parametrize("photometer", [Psf(), Optimal()], ids=lambda p: p.name)
@pytest.mark.parametrize("mode", ["none", "median"])
def test_weights_are_those_of_the_least_error(mode, photometer, level):
    """No unbiased sum over pixels of known variance v and profile p is surer than 1 / sum(p^2 / v)."""
    sky = Sky(np.random.default_rng(4), np.array([3e3, 3e4, 1e5, 3e5]), level=level)
    setup = sky.setup(mode)
    frame = sky.calibrated(setup)
    y, x = np.indices(sky.shape)
    for xy, error in zip(sky.xy, measured(frame, setup, photometer).flux_err[:, 0], strict=True):
        used = np.hypot(x - xy[0], y - xy[1]) <= photometer.reach * FWHM
        profile = PROFILE.through_pixels(1).light(x - xy[0], y - xy[1])[used]
        least = np.sqrt(frame.covariance / np.sum(profile**2 / frame.variance[used]))
        assert error == pytest.approx(least, rel=0.01)
