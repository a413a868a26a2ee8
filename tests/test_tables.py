"""Light curves and measurements: what is written can be read again, by us and by others."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import Table
from fake_report import CLOUDY, DEPTH, LOST, hollow, make_set, set_tables, with_transit, write_tables

from potpyri_like.errors import HeaderError
from potpyri_like.products import (
    light_curve_table,
    measurements,
    ranking_table,
    read_light_curve,
    read_measurements,
)
from potpyri_like.store import Output

HOSTILE = "TOI-1 <b>&\"'$\\frac{ \u03b1 \u661f # - {a: b}"


@pytest.fixture
def result():
    return make_set()


@pytest.fixture
def written(tmp_path, result):
    """A folder with the tables of a set."""
    write_tables(Output(tmp_path), set_tables(result))
    return tmp_path / result.observed.folder


def same(one, other):
    return np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True)


def assert_same_light_curve(back, curve):
    for name, value in vars(curve).items():
        found = getattr(back, name)
        assert same(found, value) if isinstance(value, np.ndarray) else found == value, name


def test_light_curve_comes_back_to_the_last_bit(written, result):
    assert_same_light_curve(read_light_curve(written / "lightcurve.ecsv"), result.light_curve)


def test_light_curve_with_a_hostile_name_comes_back(tmp_path):
    curve = replace(
        make_set(n_frames=3).light_curve, target=HOSTILE, frames=("a b.fit", 'c"d,.fit', "\u661f.fit")
    )
    Output(tmp_path).write_table("lightcurve.ecsv", light_curve_table(curve))
    assert_same_light_curve(read_light_curve(tmp_path / "lightcurve.ecsv"), curve)


def test_light_curve_without_airmass_or_errors_comes_back(tmp_path):
    curve = make_set(n_frames=4).light_curve
    curve = replace(curve, airmass=np.full(4, np.nan), flux_err=np.full(4, np.nan))
    Output(tmp_path).write_table("lightcurve.ecsv", light_curve_table(curve))
    assert_same_light_curve(read_light_curve(tmp_path / "lightcurve.ecsv"), curve)


def test_time_column_says_which_time_it_is(result):
    other = make_set(barycentric=False)
    assert light_curve_table(result.light_curve).colnames[0] == "bjd_tdb"
    table = light_curve_table(other.light_curve)
    assert table.colnames[0] == "jd_utc_mid"
    assert "bjd_tdb" not in table.colnames
    assert "not barycentric" in table["jd_utc_mid"].description


def test_light_curve_columns_have_units_and_descriptions(written):
    table = Table.read(written / "lightcurve.ecsv")
    units = {name: str(table[name].unit) for name in table.colnames if table[name].unit is not None}
    assert units == {
        "bjd_tdb": "d",
        "x": "pix",
        "y": "pix",
        "fwhm": "pix",
        "sky": "electron / pix",
        "comparison": "electron",
    }
    assert all(table[name].description for name in table.colnames)


def test_light_curve_metadata_are_plain_types(result):
    assert yaml.safe_load(yaml.safe_dump(light_curve_table(result.light_curve).meta))["star"] == 2


def test_light_curve_metadata_explain_every_flag_in_it(written):
    table = Table.read(written / "lightcurve.ecsv")
    used = np.bitwise_or.reduce(np.asarray(table["flags"]))
    assert used == 1 | 4 | 4 << 8
    assert all(bit in table.meta["flag_bits"] for bit in (1, 4, 1024))


def test_light_curve_table_leaves_the_light_curve_alone(result):
    before = result.light_curve.flux.copy()
    table = light_curve_table(result.light_curve)
    table["flux"][:] = 0
    assert same(result.light_curve.flux, before)


def test_measurements_come_back(written, result):
    back = read_measurements(written / "measurements.fits")
    series, stars = result.series, result.stars
    assert same(back.flux, series.flux.transpose(1, 2, 0).astype(np.float32))
    assert same(back.flux_err, series.flux_err.transpose(1, 2, 0).astype(np.float32))
    assert same(back.relflux, stars.relflux.T.astype(np.float32))
    assert same(back.relflux_err, stars.relflux_err.T.astype(np.float32))
    assert same(back.frames["bjd_tdb"], series.bjd_tdb)
    assert same(back.frames["jd_utc"], series.jd_utc)
    assert same(back.frames["flags"], series.flags)
    assert tuple(back.frames["reason"]) == series.reasons
    assert tuple(back.frames["file"]) == series.frames
    assert same(back.stars["weight"], stars.weight)
    assert tuple(back.stars["why"]) == stars.why
    assert same(back.apertures["radius"], series.radii)
    assert back.aperture == result.aperture
    assert back.flux.dtype.isnative
    assert back.frames["bjd_tdb"].dtype.isnative


def test_measurements_are_indexed_star_aperture_frame(written, result):
    with fits.open(written / "measurements.fits", memmap=False) as hdus:
        header, data = hdus["FLUX"].header, hdus["FLUX"].data
        assert [header[f"NAXIS{i}"] for i in (1, 2, 3)] == [40, 4, 12]
        assert "[star, aperture, frame]" in str(header["COMMENT"])
        assert data[5, 2, 9] == np.float32(result.series.flux[9, 5, 2])


def test_measurements_have_valid_checksums_and_obey_the_fits_standard(written):
    with fits.open(written / "measurements.fits", memmap=False, checksum=True) as hdus:
        hdus.verify("exception")
        names = [hdu.name for hdu in hdus]
    assert names == ["PRIMARY", "STARS", "FRAMES", "APERTURES", "FLUX", "FLUX_ERR", "RELFLUX", "RELFLUX_ERR"]


def test_measurements_name_aperture_and_time_scale(written):
    header = fits.getheader(written / "measurements.fits")
    assert (header["APERTURE"], header["APRADIUS"], header["TIMESYS"]) == (2, 12.0, "TDB")


def test_measurements_without_coordinates_have_no_bjd(tmp_path):
    Output(tmp_path).write_fits("m.fits", measurements(make_set(barycentric=False)))
    back = read_measurements(tmp_path / "m.fits")
    assert np.isnan(back.frames["bjd_tdb"]).all()
    assert np.isfinite(back.frames["jd_utc"]).all()
    assert (back.meta["TIMESYS"], back.meta["TIMECOL"]) == ("UTC", "jd_utc")


def test_measurements_without_light_curves_hold_the_counts(tmp_path, result):
    Output(tmp_path).write_fits("m.fits", measurements(replace(result, stars=None, light_curve=None)))
    back = read_measurements(tmp_path / "m.fits")
    assert back.relflux is None
    assert back.flux.shape == (12, 4, 40)


def test_measurements_of_hostile_names_are_ascii_and_lose_nothing(tmp_path, result):
    observed = replace(result.observed, target=HOSTILE + "\n\x07")
    series = replace(result.series, frames=("\u661f.fit", *result.series.frames[1:]))
    Output(tmp_path).write_fits("m.fits", measurements(replace(result, observed=observed, series=series)))
    back = read_measurements(tmp_path / "m.fits")
    assert back.frames["file"][0].encode().decode("unicode_escape") == "\u661f.fit"
    assert "TOI-1 <b>" in back.meta["OBJECT"]


def test_measurements_of_nothing_are_a_header_and_an_empty_table(tmp_path, result):
    hdus = measurements(hollow(result))
    assert [hdu.name for hdu in hdus] == ["PRIMARY", "STARS"]
    assert len(hdus["STARS"].data) == 0
    assert set_tables(hollow(result)) == {}


def test_lost_frame_is_nan_and_cloudy_frame_is_kept(written):
    back = read_measurements(written / "measurements.fits")
    assert np.isnan(back.flux[..., LOST]).all()
    assert np.isfinite(back.flux[..., CLOUDY]).all()


def test_stars_are_ranked_by_variability_over_noise(written, result):
    table = Table.read(written / "stars.ecsv")
    assert table["star"][0] == result.light_curve.star
    assert (np.diff(table["score"]) <= 0).all()
    assert sorted(table["star"]) == list(range(12))


def test_star_of_unknown_score_is_ranked_last(result):
    score = result.stars.score.copy()
    score[2] = np.nan
    table = ranking_table(replace(result, stars=replace(result.stars, score=score)))
    assert table["star"][-1] == 2


def test_one_frame_makes_tables(tmp_path):
    write_tables(Output(tmp_path), set_tables(make_set(n_frames=1)))
    assert len(list((tmp_path / "WASP-0" / "g").iterdir())) == 3


@pytest.mark.parametrize("read", [read_light_curve, read_measurements])
def test_what_is_no_product_of_ours_is_named(tmp_path, read):
    path = tmp_path / "other.ecsv"
    Table({"a": [1, 2]}).write(path, format="ascii.ecsv")
    with pytest.raises(HeaderError, match=r"other\.ecsv"):
        read(path)


# -- what light curves say -----------------------------------------------------------------------------------


@pytest.fixture
def fitted():
    """Two bands of one transit."""
    return with_transit([make_set(band=b, camera=c, seed=n) for b, c, n in (("g", "C1", 1), ("r", "C2", 2))])


def test_transit_is_written_once_for_its_target(tmp_path, fitted):
    tables = {name: table for result in fitted for name, table in set_tables(result).items()}
    assert [name for name in tables if name.endswith("transit.ecsv")] == ["WASP-0/transit.ecsv"]
    assert "WASP-0/transit.ecsv" in set_tables(fitted[0])
    assert "WASP-0/transit.ecsv" not in set_tables(fitted[1])
    assert list(set_tables(fitted[0], only=("lightcurve.ecsv",))) == ["WASP-0/g/lightcurve.ecsv"]


def test_parameters_of_a_transit_come_back(tmp_path, fitted):
    write_tables(Output(tmp_path), set_tables(fitted[0]))
    table = Table.read(tmp_path / "WASP-0/transit.ecsv")
    assert table.colnames == ["name", "band", "value", "minus", "plus", "unit"]
    rows = {(row["name"], str(row["band"]) if row["band"] else ""): row for row in table}
    fit = fitted[0].transit
    assert rows["tc", ""]["value"] == fit.tc.value and rows["tc", ""]["unit"] == "d"
    assert rows["b", ""]["minus"] == 0.2 and rows["b", ""]["plus"] == 0.1
    assert rows["depth", "r"]["value"] == DEPTH
    assert rows["beta", "g"]["value"] == 1.2 and np.isnan(rows["beta", "g"]["plus"])
    assert rows["baseline_airmass", "g"]["value"] == -0.001
    meta = table.meta
    assert (meta["coverage"], meta["significance"]) == ("full", 20.0)
    assert meta["chromaticity"] == {"chi2": 0.7, "dof": 1, "probability": 0.4}
    assert meta["baseline_columns"]["r"] == ["constant", "airmass"]
    assert meta["software"].startswith("potpyri_like")
    known = {key.removesuffix("*") for key in meta["meanings"]}
    assert all(any(name.startswith(key) for key in known) for name in table["name"])


def test_a_transit_with_hostile_names_is_written(tmp_path, fitted):
    fit = fitted[0].transit
    band = replace(fit.bands[0], name=HOSTILE, columns=(HOSTILE,), coefficients={HOSTILE: 1.0})
    odd = replace(fitted[0], transit=replace(fit, bands=(band,), why=HOSTILE), curve_name=HOSTILE)
    write_tables(Output(tmp_path), set_tables(odd))
    table = Table.read(tmp_path / "WASP-0/transit.ecsv")
    assert HOSTILE in table["band"] and table.meta["why"] == HOSTILE


def test_noise_budget_has_a_row_for_each_star_and_closes(tmp_path, fitted):
    write_tables(Output(tmp_path), set_tables(fitted[0]))
    table = Table.read(tmp_path / "WASP-0/g/noise_budget.ecsv")
    assert len(table) == 12 and same(table["flux"], fitted[0].stars.flux)
    widths = fitted[0].budget.width
    names = ["frame" if width == 0 else f"{width:g}min" for width in widths]
    assert table.meta["widths_minutes"] == widths.tolist() and len(names) > 1
    for name in names:
        assert np.allclose(
            table[f"ratio_{name}"] * table[f"measured_{name}"], table[f"predicted_{name}"], equal_nan=True
        )
    terms = {key: np.asarray(table[key]) ** 2 for key in table.colnames if key.startswith("noise_")}
    flat = terms.pop("noise_flat")  # of which only a part is left between frames
    left = np.asarray(table["predicted_frame"]) ** 2 - sum(terms.values())
    assert (left >= -1e-9 * flat - 1e-12).all() and (left <= 1.05 * flat + 1e-12).all()
    assert {"noise_star", "noise_read_out", "noise_comparison_stars"} <= set(table.colnames)


def test_tables_leave_a_fit_alone(fitted):
    before = fitted[0].budget.predicted.copy()
    table = set_tables(fitted[0])["WASP-0/g/noise_budget.ecsv"]
    table["predicted_frame"][:] = 0
    assert same(fitted[0].budget.predicted, before)
