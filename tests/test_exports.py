"""The formats of others: what is written can be read by their readers, and says what was measured."""

import csv
import io
import re
from dataclasses import fields, replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from fake_report import CLOUDY, LOST, hollow, make_set

from potpyri_like.encoding import fingerprint
from potpyri_like.errors import ProductError
from potpyri_like.frame import FrameFlag, StarFlag
from potpyri_like.lightcurves.transit_fit import BandFit, Estimate, TransitFit
from potpyri_like.products.exports.aavso_exoplanet import aavso_exoplanet
from potpyri_like.products.exports.aavso_extended import aavso_extended, aavso_filter
from potpyri_like.products.exports.archi import archi_text
from potpyri_like.products.exports.csv import light_curve_csv
from potpyri_like.products.exports.fits import light_curve_fits

HOSTILE = "#TOI-1;,|\"'\n\r\x07 \u661f\udce9=a: b\t"
OPTIONS = {"filter": "median", "jobs": 2, "target_xy": None, "odd\u2605": "a;b\n#c"}
TIME = "bjd_tdb"
EXTENDED = "NAME,DATE,MAG,MERR,FILT,TRANS,MTYPE,CNAME,CMAG,KNAME,KMAG,AMASS,GROUP,CHART,NOTES"
# The limits of the AAVSO Extended File Format 1.2, in characters
LIMITS = {
    "NAME": 30,
    "DATE": 16,
    "MAG": 8,
    "MERR": 6,
    "CNAME": 20,
    "CMAG": 8,
    "KNAME": 20,
    "KMAG": 8,
    "AMASS": 7,
}


@pytest.fixture(scope="module")
def result():
    return make_set()


@pytest.fixture(scope="module")
def hostile():
    """The same measurements under names that no format likes."""
    one = make_set(n_frames=14)
    frames = (HOSTILE, *one.series.frames[1:])
    return replace(
        one,
        observed=replace(one.observed, target=HOSTILE, camera=HOSTILE, band=HOSTILE),
        series=replace(one.series, frames=frames),
        light_curve=replace(one.light_curve, target=HOSTILE, camera=HOSTILE, band=HOSTILE, frames=frames),
    )


def filled(cls, **known):
    """A dataclass of which only some fields matter."""
    return cls(**{field.name: None for field in fields(cls)} | known)


def band_fit(name, depth, chosen):
    k = Estimate(depth**0.5, 1e-3, 9e-4)
    return filled(BandFit, name=name, depth=Estimate(depth, 1e-4, 2e-4), k=k, chosen=chosen)


@pytest.fixture
def fit():
    return filled(
        TransitFit,
        tc=Estimate(2460729.88, 1.5e-4, 1.2e-4),
        t14=Estimate(0.1, 2e-3, 2e-3),
        b=Estimate(0.3, np.nan, np.nan),
        bands=(
            band_fit("r", 0.02, ("constant",)),
            band_fit("g", 0.015, ("constant", "airmass", "time2", "x")),
        ),
        detected=True,
    )


def from_text(text):
    return np.genfromtxt(io.StringIO(text), delimiter=";")


def parameters(text):
    """The lines #NAME=value of an AAVSO report, whose names are in capitals."""
    found = re.findall(r"^#([A-Z_]+)=(.*)$", text, re.MULTILINE)
    assert len(dict(found)) == len(found)
    return dict(found)


def rows(text, header):
    """The data of an AAVSO report, by the names in its last comment."""
    lines = text.splitlines()
    (names,) = [line[1:].split(",") for line in lines if line.startswith(f"#{header},")]
    data = [line.split(",") for line in lines if not line.startswith("#")]
    assert all(len(row) == len(names) for row in data)
    assert all(line.isascii() and line.strip() for line in lines)
    return {name: [row[i] for row in data] for i, name in enumerate(names)}


def floats(values):
    return np.array([np.nan if value == "na" else float(value) for value in values])


# -- archi ---------------------------------------------------------------------------------------------------


def test_archi_text_comes_back_to_the_last_bit(result):
    table, series = from_text(archi_text(result)), result.series
    np.testing.assert_array_equal(table[:, 0], series.bjd_tdb - 2400000.5)
    np.testing.assert_array_equal(table[:, 0] + 2400000.5, series.bjd_tdb)
    np.testing.assert_array_equal(table[:, 1], series.rotation)
    order = [2, 0, 1, *range(3, 12)]
    np.testing.assert_array_equal(table[:, 2::2], series.flux[:, order, result.aperture])
    np.testing.assert_array_equal(table[:, 3::2], series.flux_err[:, order, result.aperture])
    assert np.isnan(table[LOST, 1:]).all()


def test_archi_columns_are_named_in_the_last_comment_and_the_target_is_first(result):
    last = [line for line in archi_text(result).splitlines() if line.startswith("#")][-1]
    assert last.startswith("# MJD_TIME;ROLL_ANGLE;FLUX_2;FLUX_ERR_2;FLUX_0;FLUX_ERR_0;FLUX_1;")
    assert last.count(";") == 2 * 12 + 1


def test_archi_header_tells_time_aperture_comparisons_and_settings(result):
    text = archi_text(result, options=OPTIONS)
    for words in (
        "BJD_TDB of mid-exposure",
        "aperture: 12.0000 px",
        "the target, star 2",
        "0 (0.2667)",
        "filter: median",
    ):
        assert words in text
    assert "JD_UTC of mid-exposure" in archi_text(make_set(n_frames=2, barycentric=False))


def test_archi_text_without_a_light_curve_has_all_stars(result):
    text = archi_text(replace(result, light_curve=None))
    np.testing.assert_array_equal(from_text(text)[:, 2::2], result.series.flux[:, :, result.aperture])


def test_archi_text_of_hostile_names_is_read_all_the_same(hostile):
    text = archi_text(hostile, options={HOSTILE: HOSTILE})
    assert text.isascii()
    assert from_text(text).shape == (14, 26)


# -- FITS and CSV --------------------------------------------------------------------------------------------


def as_bytes(hdus):
    file = io.BytesIO()
    hdus.writeto(file)
    return file.getvalue()


def test_fits_obeys_the_standard_and_has_every_column_in_double_precision(result):
    content = as_bytes(light_curve_fits(result, options=OPTIONS))
    with fits.open(io.BytesIO(content)) as hdus:
        hdus.verify("exception")
        data, curve = hdus["LIGHTCURVE"].data, result.light_curve
        for name in ("flux", "flux_err", "x", "y", "fwhm", "sky", "airmass", "comparison", "flags"):
            np.testing.assert_array_equal(data[name], getattr(curve, name))
        np.testing.assert_array_equal(data[TIME], curve.time)
        assert data[TIME].dtype.itemsize == 8
        assert tuple(data["frame"]) == curve.frames
        np.testing.assert_array_equal(hdus["STARS"].data["weight"], result.stars.weight)


def test_fits_header_tells_method_aperture_and_time(result):
    header = light_curve_fits(result, options={"photometer": "optimal"})[0].header
    assert (header["METHOD"], header["APERTURE"], header["STAR"], header["NCOMP"]) == ("optimal", 12.0, 2, 5)
    assert (header["TIMESYS"], header["TIMECOL"]) == ("TDB", "bjd_tdb")
    assert light_curve_fits(make_set(barycentric=False))[0].header["TIMESYS"] == "UTC"


def test_fits_holds_the_configuration(result):
    content = as_bytes(light_curve_fits(result, options=OPTIONS))
    table = Table.read(io.BytesIO(content), hdu="CONFIG")
    assert dict(zip(map(str, table["name"]), map(str, table["value"]), strict=True)) == {
        "filter": "median",
        "jobs": "2",
        "target_xy": "None",
        "odd\\u2605": "a;b #c",
    }


def test_fits_is_the_same_twice(result):
    one, two = (as_bytes(light_curve_fits(result, options=OPTIONS)) for _ in range(2))
    assert one == two


def test_fits_of_hostile_names_and_unknown_numbers_obeys_the_standard(hostile):
    curve = replace(hostile.light_curve, radius=np.nan, annulus=(np.nan, np.nan), noise={"rms": np.nan})
    content = as_bytes(
        light_curve_fits(replace(hostile, light_curve=curve, series=None), options={HOSTILE: 1})
    )
    with fits.open(io.BytesIO(content)) as hdus:
        hdus.verify("exception")
        assert "APERTURE" not in hdus[0].header
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "LIGHTCURVE", "CONFIG"]


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_csv_comes_back_to_the_last_bit(result):
    table, curve = read_csv(light_curve_csv(result)), result.light_curve
    columns = {TIME: curve.time} | {
        k: getattr(curve, k) for k in ("flux", "flux_err", "x", "airmass", "flags")
    }
    for name, values in columns.items():
        np.testing.assert_array_equal([float(row[name]) for row in table], values)
    assert tuple(row["frame"] for row in table) == curve.frames
    assert table[LOST]["flux"] == "nan"


def test_csv_has_lines_as_rfc_4180_wants_them(result):
    text = light_curve_csv(result)
    assert text.count("\r\n") == text.count("\n") == 41
    assert text.endswith("\r\n")


def test_csv_of_hostile_names_keeps_its_columns(hostile):
    table = read_csv(light_curve_csv(hostile))
    assert len(table) == 14
    assert "\u661f" in table[0]["frame"]
    assert table[0]["frame"].startswith("#TOI-1;,|\"'")
    assert None not in table[0]
    light_curve_csv(hostile).encode()


# -- AAVSO ---------------------------------------------------------------------------------------------------


def test_exoplanet_report_has_the_parameters_that_the_aavso_requires(result, fit):
    header = parameters(aavso_exoplanet(result, fit, observer="abc", priors={"Period": 3.25}))
    wanted = {
        "TYPE": "EXOPLANET",
        "OBSCODE": "ABC",
        "DELIM": ",",
        "DATE_TYPE": "BJD_TDB",
        "OBSTYPE": "CCD",
        "STAR_NAME": "WASP-0",
        "EXOPLANET_NAME": "WASP-0 b",
        "BINNING": "2x2",
        "EXPOSURE_TIME": "30",
        "FILTER": "SG",
        "DETREND_PARAMETERS": "AIRMASS,X",
        "MEASUREMENT_TYPE": "Rnflux",
        "PRIORS": "Period=3.25",
        "RESULTS": "Tc=2460729.880000 +/- 0.000150,Rp/R*=0.12247 +/- 0.00100,Depth=0.015000 +/- 0.000200,"
        "Duration=0.10000 +/- 0.00200,b=0.300",
    }
    assert header.items() >= wanted.items()
    assert next(iter(header)) == "TYPE"


def test_exoplanet_rows_are_the_fluxes_as_measured(result):
    curve = result.light_curve
    table = rows(aavso_exoplanet(result, detrend=("airmass", "fwhm")), "DATE")
    good = np.isfinite(curve.flux) & (np.arange(40) != CLOUDY)
    np.testing.assert_allclose(floats(table["DATE"]), curve.time[good], rtol=0, atol=6e-9)
    np.testing.assert_allclose(floats(table["DIFF"]), curve.flux[good], atol=6e-9)
    np.testing.assert_allclose(floats(table["ERR"]), curve.flux_err[good], atol=6e-7)
    np.testing.assert_allclose(floats(table["DETREND_1"]), curve.airmass[good], atol=6e-7)
    np.testing.assert_allclose(floats(table["DETREND_2"]), curve.fwhm[good], atol=6e-7)
    assert len(table["DATE"]) == 38


def test_exoplanet_report_without_a_fit_has_no_results(result):
    text = aavso_exoplanet(result)
    assert parameters(text)["RESULTS"] == ""
    assert "hot pixel in the aperture, replaced" in parameters(text)["NOTES"]
    assert "cloud" not in parameters(text)["NOTES"]


def test_exoplanet_report_takes_the_curve_that_it_is_told(result, fit):
    header = parameters(aavso_exoplanet(result, fit, curve_name="r"))
    assert "Depth=0.020000" in header["RESULTS"]
    assert header["DETREND_PARAMETERS"] == ""
    header = parameters(aavso_exoplanet(result, fit, curve_name="none such"))
    assert "Depth" not in header["RESULTS"]
    assert header["DETREND_PARAMETERS"] == "AIRMASS"


def test_a_transit_that_was_not_found_has_no_numbers(result, fit):
    header = parameters(aavso_exoplanet(result, replace(fit, detected=False)))
    assert header["RESULTS"] == "no significant transit"


def test_time_and_counts_to_detrend_with_have_no_more_than_six_digits_before_the_point(result):
    table = rows(aavso_exoplanet(result, detrend=("time", "comparison")), "DATE")
    curve = result.light_curve
    good = np.isfinite(curve.flux) & (np.arange(40) != CLOUDY)
    np.testing.assert_allclose(floats(table["DETREND_1"]) + 2460729, curve.time[good], rtol=0, atol=6e-7)
    share = floats(table["DETREND_2"])
    np.testing.assert_allclose(share / share[0], (curve.comparison / curve.comparison[0])[good], atol=3e-6)


def test_no_more_than_four_columns_and_none_without_numbers_are_there_to_detrend_with(result):
    curve = replace(result.light_curve, airmass=np.full(40, np.nan))
    wanted = ("airmass", "unheard of", "x", "x", "y", "fwhm", "sky", "time")
    text = aavso_exoplanet(replace(result, light_curve=curve), detrend=wanted)
    assert parameters(text)["DETREND_PARAMETERS"] == "X,Y,FWHM,SKY"
    assert list(rows(text, "DATE")) == ["DATE", "DIFF", "ERR", *(f"DETREND_{n}" for n in (1, 2, 3, 4))]


@pytest.mark.parametrize(
    ("target", "star", "planet"),
    [
        ("WASP-12 b", "WASP-12", "WASP-12 b"),
        ("WASP-12b", "WASP-12", "WASP-12b"),
        ("TOI-7149.01", "TOI-7149", "TOI-7149.01"),
        ("HD 189733 c", "HD 189733", "HD 189733 c"),
        ("TOI-7149", "TOI-7149", "TOI-7149 b"),
        ("SS Cyg", "SS Cyg", "SS Cyg b"),
    ],
)
def test_star_and_planet_are_named_after_the_target(result, target, star, planet):
    text = aavso_exoplanet(replace(result, light_curve=replace(result.light_curve, target=target)))
    header = parameters(text)
    assert (header["STAR_NAME"], header["EXOPLANET_NAME"]) == (star, planet)
    assert ("correct EXOPLANET_NAME" in text) == (planet == target + " b")


def test_names_that_are_given_are_taken(result):
    header = parameters(aavso_exoplanet(result, star="Kepler-1", planet="Kepler-1 c", filter_code="CBB"))
    assert (header["STAR_NAME"], header["EXOPLANET_NAME"], header["FILTER"]) == (
        "Kepler-1",
        "Kepler-1 c",
        "CBB",
    )


@pytest.mark.parametrize("export", [aavso_exoplanet, aavso_extended])
@pytest.mark.parametrize("observer", ["", "?!"])
def test_without_an_observers_code_there_is_a_place_for_it_and_a_request(result, export, observer):
    text = export(result, observer=observer)
    assert parameters(text)["OBSCODE"] == "NONE"
    assert "Put your AAVSO observer code" in text
    assert "Put your" not in export(result, observer="XYZ")


def test_long_priors_end_between_two_of_them(result):
    priors = {f"u{i}": "0.123456 +/- 0.1" for i in range(40)}
    told = parameters(aavso_exoplanet(result, priors=priors))["PRIORS"]
    assert 220 < len(told) <= 250
    assert re.fullmatch(r"(u\d+=0\.123456 \+/- 0\.1(,|$))+", told)


def test_extended_report_has_the_parameters_and_columns_that_the_aavso_requires(result):
    text = aavso_extended(result, observer="XYZ")
    header = parameters(text)
    assert list(header) == ["TYPE", "OBSCODE", "SOFTWARE", "DELIM", "DATE", "OBSTYPE"]
    assert (header["TYPE"], header["DATE"], header["DELIM"]) == ("EXTENDED", "JD", ",")
    table = rows(text, "NAME")
    assert ",".join(table) == EXTENDED
    constant = {
        "FILT": "SG",
        "TRANS": "NO",
        "MTYPE": "DIF",
        "CNAME": "ENSEMBLE",
        "CMAG": "na",
        "KNAME": "star 0",
    }
    assert all(set(table[name]) == {value} for name, value in constant.items())


def test_extended_magnitudes_are_those_of_the_stars_in_the_sky(result):
    """The simulated stars' own fluxes give the magnitudes before the transit, within the noise."""
    table, sky = rows(aavso_extended(result), "NAME"), result.reference.flux
    ensemble = sum(sky[star] for star in result.light_curve.comparisons)
    before = slice(0, CLOUDY)
    target, error = floats(table["MAG"])[before], floats(table["MERR"])[before]
    assert abs(target.mean() + 2.5 * np.log10(sky[2] / ensemble)) < 4 * error.mean() / np.sqrt(CLOUDY)
    check = floats(table["KMAG"])[before]
    assert abs(check.mean() + 2.5 * np.log10(sky[0] / ensemble)) < 4 * error.mean() / np.sqrt(CLOUDY)
    scatter = target.std(ddof=1)
    assert 0.3 < scatter / error.mean() < 2


def test_a_transit_is_deep_in_magnitudes(result):
    mag = floats(rows(aavso_extended(result), "NAME")["MAG"])
    assert abs(np.median(mag[17:23]) - np.median(np.r_[mag[:6], mag[-6:]]) - 2.5 * 0.015 / np.log(10)) < 0.003


def test_extended_times_are_jd_utc(result):
    table = rows(aavso_extended(result), "NAME")
    good = np.isfinite(result.light_curve.flux) & (np.arange(40) != CLOUDY)
    np.testing.assert_allclose(floats(table["DATE"]), result.series.jd_utc[good], rtol=0, atol=6e-9)


def test_points_without_light_are_left_out_and_flags_told(result):
    flux = result.light_curve.flux.copy()
    flux[[3, 4]] = [-0.1, 0]
    text = aavso_extended(replace(result, light_curve=replace(result.light_curve, flux=flux)))
    table = rows(text, "NAME")
    assert len(table["MAG"]) == 40 - 4
    assert "cloud" not in table["NOTES"]
    assert table["NOTES"].count("na") == 35


BAD_POINTS = (FrameFlag.TIME_DOUBTFUL, FrameFlag.TRAILED, StarFlag.SATURATED << 8, StarFlag.FILLED << 8)


@pytest.mark.parametrize("flag", BAD_POINTS)
def test_a_point_known_to_be_bad_or_of_a_doubtful_time_is_not_submitted(result, flag):
    before = len(rows(aavso_extended(result), "NAME")["DATE"])
    flags = result.light_curve.flags.copy()
    flags[20] |= int(flag)
    flags[21] |= StarFlag.BAD_PIXEL << 8  # which is told, and submitted
    curve = replace(result.light_curve, flags=flags)
    table = rows(aavso_extended(replace(result, light_curve=curve)), "NAME")
    assert len(table["DATE"]) == before - 1
    assert f"{result.series.jd_utc[20]:.8f}" not in table["DATE"]
    assert "bad pixel in the aperture filled" in table["NOTES"]
    times = rows(aavso_exoplanet(replace(result, light_curve=curve)), "DATE")["DATE"]
    assert len(times) == before - 1


@pytest.mark.parametrize("export", [aavso_exoplanet, aavso_extended])
def test_hostile_names_do_not_break_a_report(hostile, export):
    text = export(hostile, notes=HOSTILE, obstype=HOSTILE, observer=HOSTILE)
    assert len(rows(text, "DATE" if export is aavso_exoplanet else "NAME")["DATE"]) == 12
    parameters(text)


def test_fields_of_an_extended_report_have_room(hostile):
    curve, series = hostile.light_curve, hostile.series
    error, flux = curve.flux_err.copy(), curve.flux.copy()
    error[:3], flux[1] = [1e-9, 1e3, np.nan], 1e-12
    airmass = np.where(np.isfinite(series.airmass), 38.7654321, np.nan)
    odd = replace(
        hostile,
        light_curve=replace(curve, target=HOSTILE * 5, flux=flux, flux_err=error),
        series=replace(series, airmass=airmass),
    )
    table = rows(aavso_extended(odd, chart="X" * 99), "NAME")
    for name, most in LIMITS.items():
        assert max(map(len, table[name])) <= most, name
    assert table["MERR"][0] == "0.0001"
    assert table["MERR"][2] == "na"
    assert set(table["FILT"]) == {"O"}
    assert "filter #TOI-1" in table["NOTES"][4]


@pytest.mark.parametrize(
    ("count", "name", "check"), [(0, "na", "na"), (1, "star 0", "na"), (2, "ENSEMBLE", "star 0")]
)
def test_few_comparison_stars_are_no_ensemble(count, name, check):
    one = make_set(n_frames=5)
    stars = dict(list(one.light_curve.comparisons.items())[:count])
    rms = one.stars.rms.copy()
    rms[[0] if count == 1 else []] = np.nan  # there are no others to measure it against
    changed = replace(
        one, light_curve=replace(one.light_curve, comparisons=stars), stars=replace(one.stars, rms=rms)
    )
    table = rows(aavso_extended(changed), "NAME")
    assert (set(table["CNAME"]), set(table["KNAME"])) == ({name}, {check})


@pytest.mark.parametrize(
    ("band", "code"),
    [
        *zip("ugriz", ("SU", "SG", "SR", "SI", "SZ"), strict=True),
        *((band, band) for band in "UBVRI"),
        ("g'", "SG"),
        ("rp", "SR"),
        ("i_sdss", "SI"),
        ("SDSS z'", "SZ"),
        ("Rc", "R"),
        ("Johnson V", "V"),
        ("zs", "ZS"),
        ("clear", "CV"),
        ("", "CV"),
        ("CR", "CR"),
        ("H-alpha", "O"),
        ("VR", "O"),
        ("\u2605", "O"),
    ],
)
def test_filters_have_the_names_of_the_aavso(band, code):
    assert aavso_filter(band) == code


# -- all -----------------------------------------------------------------------------------------------------

ALL = (archi_text, light_curve_fits, light_curve_csv, aavso_exoplanet, aavso_extended)


@pytest.mark.parametrize("export", ALL)
def test_a_set_without_measurements_is_told(result, export):
    with pytest.raises(ProductError, match=r"WASP-0, C1 g: no (light curve was made|star was measured)"):
        export(hollow(result))


@pytest.mark.parametrize("export", [aavso_exoplanet, aavso_extended])
def test_a_report_of_nothing_is_told(result, export):
    nothing = replace(result.light_curve, flux=np.full(40, np.nan))
    with pytest.raises(ProductError, match="WASP-0: its light curve has no point"):
        export(replace(result, light_curve=nothing))


@pytest.mark.parametrize("export", ALL)
def test_one_frame_is_exported(export):
    assert export(make_set(n_frames=1))


@pytest.mark.parametrize("export", ALL)
def test_the_result_is_left_alone(export):
    result = make_set(n_frames=13)
    parts = (result.series, result.light_curve, result.stars)
    before = fingerprint(*parts)
    export(result)
    assert fingerprint(*parts) == before
