"""The same calibrated frames through our photometry and through photutils with the true positions."""

from pathlib import PurePath

import numpy as np
import pytest
from astropy.stats import SigmaClip
from photutils.aperture import ApertureStats, CircularAnnulus, CircularAperture, aperture_photometry
from small_night import small_night

from potpyri_like.instruments.opticam import Opticam
from potpyri_like.options import Options
from potpyri_like.photometry import nan_median, point_to_point, relative_flux
from potpyri_like.primitives.calibrate import Calibrate
from potpyri_like.primitives.filter_pixels import FilterPixels
from potpyri_like.primitives.stage import Setup
from potpyri_like.primitives.trim import Trim
from potpyri_like.run.pipeline import reduce_night

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("night")
    field = {
        "frames": 90,
        "hours": 3.0,
        "size": (384, 384),
        "seeing": (0.9, 1.3),
        "stars": 6,
        "comparisons": 14,
    }
    truth = small_night(folder, **field, depth=0.0, drift=4.0)
    x, y = truth.target_xy["C2"]
    plain = {"fit": "none", "animation": "no", "filter_": "none"}
    options = Options(target_xy=f"{x:.1f},{y:.1f}", aperture=1.5, jobs=2, **plain)
    return truth, reduce_night(Opticam(), folder, options=options).sets[0]


def places(truth, label, shape):
    """The stars in a frame."""
    row = next(row for row in truth.frames if PurePath(row["file"]).name == PurePath(label).name)
    centre, turn = (np.array(shape[::-1]) - 1) / 2, np.radians(row["rotation"])
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    xy = np.stack([truth.stars["x"], truth.stars["y"]], axis=1)
    return (xy - centre) @ matrix.T + centre + [row["dx"], row["dy"]]


def by_photutils(truth, result):
    """Fluxes of the true stars at their true places, shape (n_frames, n_stars), in our aperture and annulus."""
    series, setup = result.series, Setup(Opticam(), filter_mode="none", masters=result.masters)
    flux = []
    for info in result.observed.frames:
        frame = Calibrate()(FilterPixels()(Trim()(info, setup), setup), setup)
        xy = places(truth, info.label, frame.data.shape)
        circle = CircularAperture(xy, series.radii[result.aperture])
        ring = CircularAnnulus(xy, *series.annulus)
        sky = ApertureStats(np.asarray(frame.data), ring, sigma_clip=SigmaClip(3.0)).mean
        flux.append(aperture_photometry(np.asarray(frame.data), circle)["aperture_sum"] - sky * circle.area)
    return np.array(flux)


def test_our_scatter_is_no_larger_than_that_of_photutils_at_the_true_places(night):
    truth, result = night
    series, weight = result.series, result.stars.weight
    first = series.frames.index(PurePath(truth.frames["file"][0]).name)
    theirs = by_photutils(truth, result)
    shape = result.reference.image.shape
    away = np.hypot(
        *(series.xy[first][:, None] - places(truth, series.frames[first], shape)).T
    )  # truth, ours
    ours = np.flatnonzero(weight > 0.2 * weight.max())
    matched = away.argmin(axis=0)[ours]
    assert len(ours) >= 4
    flux = series.flux[:, ours, result.aperture]
    error = series.flux_err[:, ours, result.aperture]
    share = weight[ours] / weight[ours].sum()
    scatter = [
        [point_to_point(curve, series.time) for curve in relative_flux(measured, error, share)[0].T]
        for measured in (flux, theirs[:, matched])
    ]
    assert np.allclose(nan_median(flux), nan_median(theirs[:, matched]), rtol=0.01)
    assert np.mean(np.divide(*scatter)) < 1.02, scatter
