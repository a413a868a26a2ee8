"""The extras against the software: found by its doors, run by it, kept, recomputed and verified like its own."""

import json

import numpy as np
import potpyri_like_extras as extras
import pytest
from astropy.table import Table

from potpyri_like.frame import Frame
from potpyri_like.imaging import Pixels
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.options import Options
from potpyri_like.photometry import Context, measure_stars
from potpyri_like.primitives.stage import Exposure, Setup
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.run.recipe import installed, options_type
from potpyri_like.run.verify import verify_night
from potpyri_like.testing import NightPlan, simulate_night

RNG = np.random.default_rng(4)


def frame_of(image, info=None):
    return Frame(Pixels(image, np.ones_like(image), np.zeros(image.shape, np.uint16)), info)


def test_it_brings_a_recipe_products_and_a_photometer_through_the_door():
    found = installed()
    assert found.recipe("SkyCheck").name == "skycheck"
    assert found.photometer("square") == extras.Square()
    assert {"unevenness.ecsv", "unevenness.png", "balance.ecsv"} <= set(found.products)
    assert not [one for one in found.failures if "extras" in one.plugin]


def test_its_option_stands_among_those_of_a_run():
    options = options_type()().merged({"box": 16}, where="command line")
    assert options.named()["box"] == 16 and isinstance(options, Options)


@pytest.mark.parametrize("step", [0.0, 10.0])
def test_the_unevenness_of_a_known_sky_is_found(step):
    levels = 100 + step * RNG.standard_normal((8, 8))
    image = np.kron(levels, np.ones((32, 32))).astype(np.float32)
    value = extras.MeasureUnevenness()(frame_of(image), Setup(Opticam())).results["unevenness"]
    expected = 1.4826 * np.median(np.abs(levels - np.median(levels)))
    assert value == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_the_cameras_of_an_exposure_are_compared():
    exposure = Exposure(Opticam(), (None, None), ({"unevenness": 2.0}, {"unevenness": 6.0}))
    assert extras.CompareCameras()(exposure) == {extras.BALANCE: 3.0}


def test_a_square_holds_the_light_of_a_star():
    y, x = np.mgrid[:64, :64]
    star = np.exp(-4 * np.log(2) * ((x - 29) ** 2 + (y - 31) ** 2) / 3.0**2)
    image = (50 + 9000 * star / star.sum()).astype(np.float32)
    measured = measure_stars(
        *(image, np.ones_like(image), np.zeros(image.shape, np.uint16), np.array([[29.0, 31.0]])),
        fwhm=3.0,
        radii=np.array([5.0]),
        annulus=(12.0, 18.0),
        recentre=1.0,
        photometer=extras.Square(),
        context=Context(),
    )
    assert measured.flux[0, 0] == pytest.approx(9000, rel=1e-3)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extras") / "night"
    truth = simulate_night(
        Opticam(), folder, NightPlan(frames=6, size=(256, 256), binning=(2, 2), hours=1.0, bands=("g", "r"))
    )
    camera, (x, y) = next(iter(truth.target_xy.items()))
    return folder, f"{camera}:{x:.1f},{y:.1f}"


def run(night, **more):
    folder, place = night
    values = {"recipe": "skycheck", "target_xy": place, "jobs": 1, "fit": "none", "animation": "no", **more}
    return reduce_night(Opticam(), folder, options=options_type()().merged(values, where="test"))


@pytest.mark.slow
def test_its_recipe_runs_is_kept_and_is_computed_again_alone(night, monkeypatch):
    first = run(night)
    assert "MeasureUnevenness" in first.timing.times
    red = night[0] / "red"
    table = Table.read(red / "WASP-0" / "g" / "unevenness.ecsv")
    assert len(table) == 6 and (table["unevenness"] > 0).all()
    assert (red / "WASP-0" / "g" / "unevenness.png").read_bytes().startswith(b"\x89PNG")
    assert (Table.read(red / "WASP-0" / "balance.ecsv")["balance"] >= 1).all()
    assert "unevenness.ecsv" in json.loads((red / "run.json").read_text())["sets"][0]["products"]

    done = run(night).timing.times
    assert not {"Register", "Measure", "MeasureUnevenness"} & set(done)  # nothing is done again
    monkeypatch.setattr(extras.MeasureUnevenness, "version", 2)
    again = run(night).timing.times
    assert again["MeasureUnevenness"] == 12 and "Register" not in again and "Measure" not in again


@pytest.mark.slow
def test_its_option_is_obeyed_and_what_it_made_is_verified(night):
    run(night)
    coarse = Table.read(night[0] / "red" / "WASP-0" / "g" / "unevenness.ecsv")["unevenness"]
    run(night, box=64)
    assert not np.array_equal(
        Table.read(night[0] / "red" / "WASP-0" / "g" / "unevenness.ecsv")["unevenness"], coarse
    )
    checks = list(verify_night(Opticam(), night[0], seed=1))
    assert checks and not [check for check in checks if check.wrong]
