"""The Python interface gives the numbers of the command, and single steps those of a run."""

import json
import warnings
from dataclasses import replace
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, VarianceUncertainty
from astropy.table import QTable, Table
from astropy.timeseries import TimeSeries
from small_night import run as command

import potpyri_like as pl
from potpyri_like import interface
from potpyri_like.errors import DeclarationError, FrameError, UnknownInstrument, UsageError
from potpyri_like.frame import MaskBit
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.testing import NightPlan

PLAN = NightPlan(frames=18, size=(256, 256), binning=(2, 2), hours=1.0, bands=("g", "r"), drift=6.0)
OPTIONS = {"jobs": 1, "fit": "none", "animation": "no"}


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interface") / "night"
    truth = pl.simulate("OPTICAM", folder, PLAN)
    camera, (x, y) = next(iter(truth.target_xy.items()))
    target = f"{camera}:{x:.1f},{y:.1f}"
    return SimpleNamespace(
        folder=folder, target=target, run=pl.reduce(folder, "opticam", target_xy=target, **OPTIONS)
    )


def test_all_that_is_promised_is_there_and_nothing_else():
    assert all(callable(getattr(pl, name)) for name in pl.__all__ if name != "__version__")
    assert set(pl.__all__) <= set(dir(pl)) and set(pl.__all__) - {"__version__"} == set(interface.__all__)
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        _ = pl.nothing_of_ours


def test_an_instrument_is_found_by_name_by_class_and_by_itself():
    known = pl.instrument("Opticam")
    assert (
        known.name == "OPTICAM" and pl.instrument(Opticam).name == "OPTICAM" and pl.instrument(known) is known
    )
    with pytest.raises(UnknownInstrument, match="OPTICAM"):
        pl.instrument("OPTICAN")


@pytest.mark.slow
def test_a_scan_writes_nothing_and_lists_all_frames(tmp_path):
    folder = tmp_path / "night"
    pl.simulate("OPTICAM", folder, NightPlan(frames=2, size=(64, 64), bands=("g",), darks=2, flats=2))
    before = sorted(path.name for path in folder.iterdir())
    found = pl.scan(str(folder), "OPTICAM").table()
    assert len(found) == sum(path.suffix == ".fits" for path in folder.iterdir())
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.slow
def test_the_light_curve_is_that_of_the_command_to_the_last_digit(night, tmp_path):
    words = ["OPTICAM", night.folder, "--out", tmp_path / "out", "--target-xy", night.target, "--jobs", 1]
    command(*words, "--fit", "none", "--animation", "no")
    for band in "gr":
        theirs = Table.read(tmp_path / "out" / "WASP-0" / band / "lightcurve.ecsv")
        ours = night.run[band].light_curve
        assert ours.colnames == theirs.colnames
        for name in ours.colnames:
            one, other = (np.asarray(getattr(table[name], "value", table[name])) for table in (ours, theirs))
            assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f"), name


@pytest.mark.slow
def test_a_run_shows_its_observations_its_lines_and_its_choices(night):
    run = night.run
    assert (len(run), run.exit_status) == (2, 0) and [one.names[2] for one in run] == ["g", "r"]
    assert list(run.table()["measured"]) == [18, 18]
    assert "aperture" in run.explain("aperture") and "reference" not in run.explain("aperture")
    assert repr(run).splitlines()[0].startswith("WASP-0  g  C1  18 frames")
    assert "<table" in run._repr_html_() and "<script" not in run._repr_html_()
    told = json.loads((run.folder / "run.json").read_text())["options"]
    assert told["target_xy"] == {"value": night.target, "from": "reduce()"}


@pytest.mark.slow
def test_observations_are_found_by_any_of_their_names(night):
    run = night.run
    assert run["WASP-0", "g"].name == run["C1"].name == "WASP-0, C1 g"
    with pytest.raises(KeyError, match=r"no observations.*WASP-0, C2 r"):
        _ = run["z"]
    with pytest.raises(KeyError, match="2 observations"):
        _ = run["wasp-0"]


@pytest.mark.slow
def test_tables_have_units_and_times(night):
    curve, series, stars = (getattr(night.run["g"], name) for name in ("light_curve", "time_series", "stars"))
    assert isinstance(curve, QTable) and curve["bjd_tdb"].unit == u.d
    assert isinstance(series, TimeSeries) and series.time.scale == "tdb"
    assert np.array_equal(series.time.jd, curve["bjd_tdb"].value) and len(stars) > 5


@pytest.mark.slow
def test_single_steps_by_hand_give_the_pixels_and_the_flux_of_the_run(night):
    one = night.run["g"]
    curve, result = one.light_curve, one.result
    frame = result.observed.frames[5]
    masters = one.masters
    raw = pl.read(night.folder / frame.path.name, "OPTICAM")
    assert raw.unit == u.electron and raw.meta["band"] == "g" and raw.meta["exposure"] == frame.exposure
    (dark,) = (ccd for name, ccd in masters.items() if name.startswith("dark"))
    by_hand = pl.calibrate(pl.filter3x3(raw, mode="selective", dark=dark), dark=dark, flat=masters["flat"])
    of_run = one.frame(frame.path.name)
    assert np.array_equal(by_hand.data, of_run.data) and np.array_equal(by_hand.flags, of_run.flags)
    assert np.array_equal(by_hand.uncertainty.array, of_run.uncertainty.array)
    stars = pl.detect(of_run)
    found = pl.match(pl.detect(one.frame(result.reference.info.path.name)), stars)
    assert len(found.pairs) >= 10 and found.rms < 1
    at = list(curve["frame"]).index(frame.path.name)
    place = [[curve["x"][at].value, curve["y"][at].value]]
    measured = pl.measure(
        of_run, place, radii=result.series.radii, fwhm=curve["fwhm"][at].value, annulus=result.series.annulus
    )
    wanted = result.series.flux[at, result.light_curve.star]
    wide = result.series.radii > curve["fwhm"][at].value  # narrower ones feel where exactly the star is
    assert wide.sum() > 5 and np.allclose(measured["flux"][0].value[wide], wanted[wide], rtol=5e-3)


def test_the_filter_and_the_calibration_take_anybodys_ccddata():
    rng = np.random.default_rng(3)
    data = rng.normal(100, 3, (40, 40))
    data[5, 7], mask = np.nan, np.zeros(data.shape, bool)
    mask[9, 9] = True
    frame = CCDData(
        data, unit="electron", mask=mask, uncertainty=VarianceUncertainty(np.full(data.shape, 9.0))
    )
    flat = CCDData(np.full(data.shape, 2.0), unit="")
    done = pl.calibrate(pl.filter3x3(frame), flat=flat)
    assert done.mask[5, 7] and done.mask[9, 9] and done.mask.sum() == 2
    assert np.isfinite(done.data).all() and np.median(done.data) == pytest.approx(50, abs=1)
    assert done.flags[9, 9] & MaskBit.BAD and np.isnan(data[5, 7])  # what was given is as it was
    assert (done.uncertainty.array[~done.mask] > 0).all()
    with pytest.raises(DeclarationError, match="3 dimensions"):
        pl.detect(CCDData(np.zeros((2, 3, 4)), unit="electron"))


@pytest.mark.slow
def test_errors_name_what_was_wrong(night, tmp_path):
    with pytest.raises(UsageError, match=r"reduce\(\).*did you mean aperture"):
        pl.reduce(night.folder, "OPTICAM", aperture_=3)
    with pytest.raises(FrameError, match="no frame of WASP-0, C1 g"):
        night.run["g"].frame("other.fits")
    (tmp_path / "a.fits").write_text("no image")
    with pytest.raises(FrameError, match=r"a\.fits"):
        pl.read(tmp_path / "a.fits", "OPTICAM")


@pytest.mark.slow
def test_what_a_night_may_not_say_is_warned_of(night):
    (night.folder / "reduce.toml").write_text('scheduler = "tcp://127.0.0.1:1"\n')
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            pl.reduce(night.folder, "OPTICAM", target_xy=night.target, **OPTIONS)
    finally:
        (night.folder / "reduce.toml").unlink()
    assert any("scheduler" in str(one.message) and "is ignored" in str(one.message) for one in said)


@pytest.mark.slow
def test_options_as_an_object_and_by_name_are_the_same_and_a_name_wins(night, tmp_path):
    options = pl.Options(target_xy=night.run.options.target_xy, **OPTIONS)
    run = pl.reduce(night.folder, "OPTICAM", out=tmp_path, options=options, animation="no")
    assert run.options == replace(night.run.options, animation="no")
    assert run.report.options["jobs"][1] == "reduce()"


@pytest.mark.slow
def test_a_run_is_verified_and_explained_from_python(night):
    checks = list(pl.verify(str(night.folder), seed=1))
    assert checks and not any(check.wrong for check in checks)
    assert "\n".join(pl.explain(night.folder, "aperture")) == night.run.explain("aperture")
    with pytest.raises(UsageError, match=r"'apperture': unknown topic; try .*aperture"):
        pl.explain(night.folder, "apperture")
