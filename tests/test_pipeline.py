"""Nights reduced end to end, compared with what is true of them."""

import hashlib
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from potpyri_like.astrometry import match_stars
from potpyri_like.errors import NightError, UsageError
from potpyri_like.frame import FrameFlag
from potpyri_like.options import Options
from potpyri_like.plugins import load_plugins
from potpyri_like.primitives import gather_series
from potpyri_like.products import read_light_curve, read_measurements
from potpyri_like.run.observations import parse_radec
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.testing import NightPlan, simulate_night

pytestmark = pytest.mark.slow


def instrument(name):
    return load_plugins()[name]


def checksums(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.fit*"))}


def fitted_depth(curve, truth):
    """The transit's depth over the true one, its error, and the scatter that is left over the stated errors."""
    rows = {Path(row["file"]).name: row for row in truth.frames}
    shape = np.array([1 - rows[name]["target_factor"] for name in curve.frames])
    design = np.column_stack([np.ones_like(shape), -shape]) / curve.flux_err[:, None]
    solution, *_ = np.linalg.lstsq(design, curve.flux / curve.flux_err, rcond=None)
    error = np.sqrt(np.linalg.inv(design.T @ design)[1, 1])
    left = curve.flux - (solution[0] - solution[1] * shape)
    return solution[1] / solution[0], error, np.std(left, ddof=2) / np.sqrt(np.mean(curve.flux_err**2))


def curves_of(report, out):
    return {
        result.observed.band: read_light_curve(out / result.products["lightcurve.ecsv"])
        for result in report.sets
        if "lightcurve.ecsv" in result.products
    }


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Three cameras, a transit, drift and a flip: a small night, simulated once and reduced once."""
    folder = tmp_path_factory.mktemp("night")
    plan = NightPlan(
        seed=5,
        frames=24,
        binning=(2, 2),
        size=(256, 256),
        stars=30,
        comparisons=6,
        drift=12,
        darks=3,
        flats=5,
    )
    truth = simulate_night(instrument("OPTICAM"), folder, plan)
    before = checksums(folder)
    x, y = truth.target_xy["C1"]
    options = Options(target_xy=f"C1:{x:.1f},{y:.1f}", jobs=1)
    report = reduce_night(instrument("OPTICAM"), folder, out=folder / "red", options=options)
    return truth, report, folder, before


def test_all_is_well_with_a_good_night(night):
    _, report, folder, _ = night
    assert report.exit_status == 0
    assert [result.observed.band for result in report.sets] == ["g", "r", "z"]
    status = Table.read(folder / "red" / "night.ecsv", format="ascii.ecsv")
    assert set(status["status"][status["kind"] == "science"]) == {"measured"}


def test_the_target_of_one_camera_is_found_in_the_others(night):
    truth, report, folder, _ = night
    for result in report.sets:
        curve = read_light_curve(folder / "red" / result.products["lightcurve.ecsv"])
        x, y = truth.target_xy[curve.camera]
        assert np.hypot(curve.x[0] - x, curve.y[0] - y) < 0.5


def test_mid_times_are_those_of_the_truth_to_a_millisecond(night):
    truth, report, folder, _ = night
    rows = {Path(row["file"]).name: row for row in truth.frames}
    for curve in curves_of(report, folder / "red").values():
        true = np.array([rows[name]["bjd_tdb"] for name in curve.frames])
        assert np.abs(curve.time - true).max() * 86400 < 0.25  # the header's pointing is good to an arcminute
        assert np.abs(np.diff(curve.time) - np.diff(true)).max() * 86400 < 1e-3


def test_the_drift_and_the_flip_of_the_field_are_measured(night):
    truth, report, _, _ = night
    series = report.sets[0].series
    rows = {Path(row["file"]).name: row for row in truth.frames}
    flipped = np.array([bool(rows[name]["flipped"]) for name in series.frames])
    turned = np.abs((series.rotation - series.rotation[0] + 180) % 360 - 180)
    assert (turned[flipped] > 179).all()
    assert (turned[~flipped] < 1).all()


def test_raw_files_are_what_they_were(night):
    _, _, folder, before = night
    assert {path: sha for path, sha in checksums(folder).items() if "red" not in path.parts} == before


def test_every_product_named_in_the_report_is_there(night):
    _, report, folder, _ = night
    for result in report.sets:
        assert {"lightcurve.ecsv", "measurements.fits", "stars.ecsv", "stack.fits", "lightcurve.png"} <= set(
            result.products
        )
        assert all((folder / "red" / name).is_file() for name in result.products.values())
    assert not (folder / "red" / ".work").exists()


def test_run_json_tells_versions_inputs_and_choices(night):
    _, _, folder, before = night
    run = json.loads((folder / "red" / "run.json").read_text())
    assert run["exit_status"] == 0
    shas = {row["file"]: row["sha256"] for row in run["inputs"]}
    assert shas == {path.relative_to(folder).as_posix(): sha for path, sha in before.items()}
    decided = {choice["what"] for choice in run["sets"][0]["choices"]}
    assert {"3x3 filter", "reference", "aperture", "comparisons", "target"} <= decided


def test_a_calibration_is_opened_for_its_header_and_once_for_its_pixels(tmp_path, opens):
    plan = NightPlan(frames=2, size=(96, 96), cameras=("C1",), stars=12, darks=3, flats=3, flip=None)
    simulate_night(instrument("OPTICAM"), tmp_path / "night", plan)
    opens[:] = opens[:1]
    reduce_night(instrument("OPTICAM"), tmp_path / "night", options=Options(jobs=1))
    opened = Counter(Path(os.fsdecode(path)).name for path, *_ in opens if isinstance(path, str | Path))
    counts = {
        name: n for name, n in opened.items() if name.endswith(".fits") and ("dark" in name or "flat" in name)
    }
    raw = {name: n for name, n in counts.items() if not name.startswith("master")}
    assert len(raw) == 6 and set(raw.values()) == {2}


def test_workers_give_the_same_numbers_as_one_process(night, tmp_path):
    truth, _, folder, _ = night
    x, y = truth.target_xy["C1"]
    options = Options(target_xy=f"C1:{x:.1f},{y:.1f}", jobs=2)
    again = reduce_night(instrument("OPTICAM"), folder, out=tmp_path, options=options)
    for result in again.sets:
        name = result.products["lightcurve.ecsv"]
        assert (tmp_path / name).read_bytes() == (folder / "red" / name).read_bytes()


def test_told_nothing_the_star_with_the_transit_is_found(night, tmp_path):
    truth, _, folder, _ = night
    report = reduce_night(instrument("OPTICAM"), folder, out=tmp_path, options=Options(jobs=1))
    for result in report.sets:
        x, y = truth.target_xy[result.observed.camera]
        curve = result.light_curve
        assert np.hypot(curve.x[0] - x, curve.y[0] - y) < 1
        assert "no target given" in curve.reasons["target"]


def test_a_frame_of_another_field_is_flagged_and_the_run_goes_on(tmp_path):
    plan = NightPlan(
        seed=2, frames=17, cameras=("C1",), binning=(2, 2), size=(256, 256), stars=25, darks=2, flats=3
    )
    simulate_night(instrument("OPTICAM"), tmp_path / "night", plan)
    other = tmp_path / "other"
    simulate_night(instrument("OPTICAM"), other, NightPlan(**{**vars(plan), "seed": 77}))
    stranger = sorted((tmp_path / "night").glob("*_g_0007*"))[0]
    stranger.write_bytes((other / stranger.name).read_bytes())
    report = reduce_night(instrument("OPTICAM"), tmp_path / "night", options=Options(jobs=1))
    series = report.sets[0].series
    wrong = series.frames.index(stranger.name)
    assert [i for i, flag in enumerate(series.flags) if flag & FrameFlag.UNMATCHED] == [wrong]
    assert np.isnan(series.flux[wrong]).all()
    assert report.exit_status == 0  # one frame of seventeen; 16 tell which star varies
    status, reason = report.status[stranger.name]
    assert status == "flagged"
    assert "match" in reason


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(NightError, match="there is no such folder"):
        reduce_night(instrument("OPTICAM"), tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "ra", "dec"),
    [
        ("08:18:29.9 +25:19:59", 124.6246, 25.3331),
        ("124.6246 25.3331", 124.6246, 25.3331),
        ("8h18m29.9s +25d19m59s", 124.6246, 25.3331),
    ],
)
def test_coordinates_are_read_as_people_write_them(text, ra, dec):
    found = parse_radec(text)
    assert found.ra.deg == pytest.approx(ra, abs=1e-4)
    assert found.dec.deg == pytest.approx(dec, abs=1e-4)


def test_coordinates_that_are_none_say_how_to_write_them():
    with pytest.raises(UsageError, match="HH:MM:SS"):
        parse_radec("somewhere north")


# -- real frames ---------------------------------------------------------------------------------------------------


def test_three_real_opticam_frames_are_measured_and_matched(real_data, tmp_path):
    report = reduce_night(instrument("OPTICAM"), real_data / "opticam", out=tmp_path)
    assert report.exit_status == 3  # no darks, no flats, no coordinates
    assert [(r.observed.camera, r.observed.band) for r in report.sets] == [
        ("C1", "g"),
        ("C2", "r"),
        ("C3", "z"),
    ]
    for result, scale in zip(report.sets, (0.2794, 0.2812, 0.3322), strict=True):
        assert result.pixel_scale == pytest.approx(scale)
        assert result.observed.frames[0].mid_time.isot == "2023-11-22T03:02:51.500"
        assert np.isfinite(result.series.flux[0]).all(axis=1).sum() >= 25
    # Scale ratios of star matches, reference/opticam.md 2.1: C1/C2 0.938, C1/C3 0.837.
    for result, ratio in zip(report.sets[1:], (0.938, 0.837), strict=True):
        assert len(result.same_as) >= 25
        choice = next(c for c in result.choices if c.what.startswith("stars matched"))
        assert float(choice.why.split("scale ")[1].split(",")[0]) == pytest.approx(ratio, abs=0.003)


@pytest.mark.slow
def test_constant_stars_of_a_real_night_are_constant(real_data, tmp_path):
    before = checksums(real_data / "hall42")
    report = reduce_night(instrument("HALL42"), real_data / "hall42", out=tmp_path)
    (result,) = report.sets
    assert report.exit_status == 0
    assert (result.series.matched > 0).sum() == 20
    assert len(result.masters.bias.inputs) == 7
    assert len(result.masters.flat.inputs) == 7
    assert "20190326.0100.fits" not in result.masters.flat.inputs  # the V flat
    stars = result.stars
    usable = np.array(["saturated" not in why for why in stars.why]) & np.isfinite(stars.rms)
    ten_best = np.sort(stars.rms[usable])[:10] * 2500 / np.log(10)
    assert ten_best[-1] < 2.5
    assert checksums(real_data / "hall42") == before


# -- the figures that the software is judged by ----------------------------------------------------------------------


@pytest.mark.slow
def test_a_full_night_gives_back_depth_errors_and_times(tmp_path):
    truth = simulate_night(instrument("OPTICAM"), tmp_path, NightPlan(seed=3, frames=120))
    x, y = truth.target_xy["C1"]
    report = reduce_night(instrument("OPTICAM"), tmp_path, options=Options(target_xy=f"C1:{x:.1f},{y:.1f}"))
    assert report.exit_status == 0
    for curve in curves_of(report, tmp_path / "red").values():
        depth, error, scatter = fitted_depth(curve, truth)
        assert abs(depth - 1) < 2 * error
        assert 0.85 < scatter < 1.15


@pytest.mark.slow
def test_fluxes_agree_across_twelve_amplifiers(tmp_path):
    plan = NightPlan(
        seed=8,
        cameras=("GMOS-N Ham",),
        bands=("r",),
        binning=(2, 2),
        size=(3072, 700),
        frames=5,
        exposure=60,
        hours=0.2,
        depth=0.0,
        stars=200,
        comparisons=60,
        seeing=(0.8, 0.9),
        drift=6,
        flip=None,
        rotation=0.02,
        extinction=0.0,
        transparency=0.0,
    )
    truth = simulate_night(instrument("GMOS"), tmp_path, plan)
    report = reduce_night(instrument("GMOS"), tmp_path)
    assert report.exit_status == 0
    (result,) = report.sets
    measured = read_measurements(tmp_path / "red" / result.products["measurements.fits"])
    assert len(set(amplifiers(result))) == 12
    ratio, amplifier = flux_ratios(measured, truth, result)
    assert set(amplifier) == set(range(12))
    by_amplifier = np.array([np.median(ratio[amplifier == k]) for k in range(12)])
    assert np.abs(by_amplifier / np.median(ratio) - 1).max() < 0.01


def amplifiers(result):
    """Twelve amplifiers of 256 binned columns, three chips with gaps of 33."""
    x = result.series.reference_xy[:, 0]
    return np.floor((x - 33 * np.floor(x / (1024 + 33))) / 256).astype(int)


def flux_ratios(measured, truth, result):
    """Measured over true flux of bright, isolated stars, and the amplifier of each."""
    true = truth.stars
    xy = np.column_stack([true["x"], true["y"]])
    found = np.column_stack([measured.stars["x"], measured.stars["y"]])
    flux = np.nan_to_num(measured.flux[:, result.aperture]).mean(axis=1)
    pairs = match_stars(xy, found, source_flux=np.array(true["flux"]), target_flux=flux).pairs
    other = np.sort(np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1)), axis=1)[:, 1]
    whole = np.isfinite(measured.flux[:, result.aperture]).all(axis=1)
    star, here = pairs.T
    good = whole[here] & (other[star] > 25) & (flux[here] > 0.03 * flux.max())
    return flux[here[good]] / np.array(true["flux"])[star[good]], amplifiers(result)[here[good]]


# -- a hard night, and a whole one ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hard_night(tmp_path_factory):
    """A night of three bands with a cloud, a gap of 40 minutes and two values in a hundred missing."""
    folder = tmp_path_factory.mktemp("hard")
    plan = NightPlan(
        seed=7,
        frames=90,
        hours=4.0,
        binning=(2, 2),
        size=(320, 320),
        stars=20,
        drift=10,
        cloud=0.7,
        depth=0.02,
        middle=0.55,
    )
    truth = simulate_night(instrument("OPTICAM"), folder, plan)
    start = truth.frames["jd_utc"].min()
    late = (truth.frames["jd_utc"] > start + 3.25 / 24) & (
        truth.frames["jd_utc"] < start + 3.25 / 24 + 40 / 1440
    )
    for file in truth.frames["file"][late]:
        (folder / file).unlink()
    x, y = truth.target_xy["C1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather_series, "series_of", with_holes(gather_series.series_of))
        options = Options(target_xy=f"C1:{x:.1f},{y:.1f}", radec=truth.radec.to_string("hmsdms"), jobs=2)
        report = reduce_night(instrument("OPTICAM"), folder, options=options)
    return truth, report, folder / "red"


def with_holes(series_of):
    """The series as it is made, with two values in a hundred missing."""

    def made(*arguments):
        series = series_of(*arguments)
        holes = np.random.default_rng(1).random(series.sky.shape) < 0.02
        lost = {name: getattr(series, name).copy() for name in ("flux", "flux_err", "sky", "peak", "xy")}
        for values in lost.values():
            values[holes] = np.nan
        return replace(series, **lost)

    return made


def test_a_night_with_holes_a_gap_and_a_cloud_has_all_its_products_and_its_flags(hard_night):
    truth, report, out = hard_night
    assert report.exit_status == 0
    for result in report.sets:
        curve = read_light_curve(out / result.products["lightcurve.ecsv"])
        rows = {Path(row["file"]).name: row for row in truth.frames}
        dim = np.array([rows[Path(name).name]["transparency"] for name in curve.frames])
        cloudy = (curve.flags & FrameFlag.CLOUD) > 0
        assert cloudy[dim < 0.45 * np.median(dim)].all() and not cloudy[dim > 0.8 * np.median(dim)].any()
        assert 0.015 < np.isnan(result.series.sky).mean() < 0.06
        for name in ("transit.ecsv", "noise_budget.ecsv", "time_averaging.png", "noise.png", "field.gif"):
            assert any(path.name == name for path in out.rglob("*")), name
        for name in (
            "archi.txt",
            "lightcurve.csv",
            "lightcurve.fits",
            "aavso_extended.txt",
            "aavso_exoplanet.txt",
        ):
            assert (out / result.observed.folder / "export" / name).stat().st_size > 500


def test_the_transit_of_a_hard_night_comes_back(hard_night):
    truth, report, _ = hard_night
    fit = report.sets[0].transit
    assert fit.detected and fit.coverage == "full"
    assert abs(fit.tc.value - truth.tc) < 4 * (fit.tc.minus + fit.tc.plus) / 2
    for band in fit.bands:
        error = (band.depth.minus + band.depth.plus) / 2
        assert abs(band.depth.value - truth.depth[band.name]) < 4 * error and error < 0.005
