"""Times and altitudes against published values, a measurement table and spherical trigonometry."""

import csv

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord, solar_system_ephemeris
from astropy.time import Time
from astropy.utils import iers

from potpyri_like.astrometry.time import airmass, altitude, bjd_tdb, jd_utc, night_of, sun_altitude
from potpyri_like.errors import FrameError

SPM = EarthLocation.from_geodetic(-115.463611 * u.deg, 31.044167 * u.deg, 2790 * u.m)
V709_CAS = SkyCoord("00 28 48.84 +59 17 22.0", unit=(u.hourangle, u.deg))
START = Time(2460618.7497070, format="jd", scale="utc")


def altitude_by_hand(jd, ra, dec, longitude, latitude):
    """Degrees, by mean sidereal time (Meeus, chapter 12) and the cosine rule, without precession."""
    sidereal = 280.46061837 + 360.98564736629 * (jd - 2451545.0) + longitude
    hour_angle, dec, latitude = np.radians([sidereal - ra, dec + 0 * jd, latitude + 0 * jd])
    sine = np.sin(latitude) * np.sin(dec) + np.cos(latitude) * np.cos(dec) * np.cos(hour_angle)
    return np.degrees(np.arcsin(sine))


def test_bjd_tdb_of_a_known_frame():
    assert bjd_tdb(START, V709_CAS, SPM) == pytest.approx(2460618.7541725, abs=1e-7)  # the last digit given


def test_bjd_tdb_agrees_with_an_astroimagej_table(real_data):
    with (real_data / "aij" / "WASP-135b_ip_20200423.xls").open(newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    names = ("JD_UTC", "BJD_TDB", "RAOBJ2K", "DECOBJ2K")
    jd, bjd, ra, dec = (np.array([float(row[name]) for row in rows]) for name in names)
    # Each row has its own coordinates; the site, which the table does not tell, is worth 21 ms.
    ours = bjd_tdb(Time(jd, format="jd", scale="utc"), SkyCoord(ra * u.hourangle, dec * u.deg), SPM)
    assert len(rows) > 50
    assert np.max(np.abs(ours - bjd)) < 0.2 / 86400


def test_the_light_time_is_at_most_that_of_the_orbit_and_turns_with_the_season():
    times = Time(2460000.5 + np.arange(0, 366, 5.0), format="jd", scale="utc")
    on_ecliptic = SkyCoord(0 * u.deg, 0 * u.deg)
    shift = (bjd_tdb(times, on_ecliptic, SPM) - times.tdb.jd) * 86400
    assert 480 < shift.max() < 512  # 499 s within the excentricity and the Sun's own motion
    assert -512 < shift.min() < -480


def test_tdb_is_69_seconds_ahead_of_utc_at_the_pole_of_the_ecliptic():
    # Light comes in at right angles to the orbit, so that only the time scale (37 + 32.184 s) and the Sun's
    # distance from the barycentre are left.
    pole = SkyCoord(0 * u.deg, 90 * u.deg, frame="barycentrictrueecliptic").icrs
    assert (bjd_tdb(START, pole, SPM) - jd_utc(START)) * 86400 == pytest.approx(69.18, abs=0.5)


def test_airmass_of_a_known_frame():
    # 1.148 was worked out with the pointing of the telescope, 1.7 arcmin off the star.
    assert airmass(START, V709_CAS, SPM) == pytest.approx(1.148, abs=2e-3)


def test_altitude_follows_spherical_trigonometry():
    times = Time(2451545.0 + np.linspace(0, 1, 50), format="jd", scale="utc")
    by_hand = altitude_by_hand(times.jd, V709_CAS.ra.deg, V709_CAS.dec.deg, -115.463611, 31.044167)
    assert np.max(np.abs(altitude(times, V709_CAS, SPM) - by_hand)) < 0.015


def test_airmass_at_the_zenith_and_at_sixty_degrees_from_it():
    times = Time(2451545.0 + np.linspace(0, 1, 500), format="jd", scale="utc")
    overhead = SkyCoord(10 * u.deg, 31.044167 * u.deg)
    height = altitude(times, overhead, SPM)
    mass = airmass(times, overhead, SPM)
    assert np.nanmin(mass) == pytest.approx(1, abs=1e-4)
    secant = 1 / np.sin(np.radians(height))
    high = height > 30
    assert mass[high] == pytest.approx(secant[high], rel=5e-3)  # the curve of the Earth
    assert np.isnan(mass[height < 0]).all()
    assert np.isfinite(mass[height > 0]).all()
    assert np.nanmax(mass) < 32


@pytest.mark.parametrize(
    ("date", "noon"), [("2024-06-20", 90 - 31.044 + 23.436), ("2024-12-21", 90 - 31.044 - 23.437)]
)
def test_the_sun_at_the_solstices(date, noon):
    heights = sun_altitude(Time(date) + np.linspace(0, 1, 289) * u.day, SPM)
    assert heights.max() == pytest.approx(noon, abs=0.02)
    # At midnight its depth is 90 - latitude - declination.
    assert heights.min() == pytest.approx(noon - 2 * (90 - 31.044), abs=0.02)


def test_a_night_is_named_by_its_evening():
    assert night_of(Time("2023-11-22T03:02:49", scale="utc"), SPM) == "2023-11-21"
    assert night_of(Time("2023-11-22T13:00:00", scale="utc"), SPM) == "2023-11-21"  # morning twilight
    assert night_of(Time("2024-11-04T05:59:34", scale="utc"), SPM) == "2024-11-03"


def test_nights_change_at_local_solar_noon():
    # 115.463611 degrees west are 7 h 41 m 51.3 s.
    assert night_of(Time("2023-11-22T19:41:50", scale="utc"), SPM) == "2023-11-21"
    assert night_of(Time("2023-11-22T19:41:53", scale="utc"), SPM) == "2023-11-22"


@pytest.mark.parametrize(
    ("longitude", "utc", "night"),
    [
        (149.07, "2024-01-01T14:00:00", "2024-01-01"),  # Siding Spring, midnight
        (149.07, "2024-01-01T18:30:00", "2024-01-01"),
        (244.536389, "2023-11-22T03:02:49", "2023-11-21"),  # longitudes counted eastwards to 360
        (-155.47, "2024-03-01T05:00:00", "2024-02-29"),  # Mauna Kea, evening of a leap day
    ],
)
def test_nights_around_the_world(longitude, utc, night):
    assert (
        night_of(Time(utc, scale="utc"), EarthLocation.from_geodetic(longitude * u.deg, 0 * u.deg)) == night
    )


def test_masked_times_give_nan_and_leave_the_others_alone():
    times = START + np.arange(3) * u.hour
    clean = bjd_tdb(times, V709_CAS, SPM)
    times[1] = np.ma.masked
    for function in (bjd_tdb, airmass, altitude):
        values = function(times, V709_CAS, SPM)
        assert np.isnan(values).tolist() == [False, True, False]
    assert bjd_tdb(times, V709_CAS, SPM)[[0, 2]] == pytest.approx(clean[[0, 2]], abs=0)
    assert np.isnan(sun_altitude(times, SPM)).tolist() == [False, True, False]
    assert np.isnan(jd_utc(times)).tolist() == [False, True, False]
    assert night_of(times, SPM) == "2024-11-03"


def test_junk_behind_a_mask_does_no_harm():
    days = np.ma.array([2460618.7497070, np.nan, -1e9, 0.0], mask=[False, True, True, True])
    times = Time(days, format="jd", scale="utc")
    assert bjd_tdb(times, V709_CAS, SPM)[0] == pytest.approx(2460618.7541725, abs=1e-7)
    assert np.isnan(airmass(times, V709_CAS, SPM)).tolist() == [False, True, True, True]


def test_a_night_without_any_time_is_an_error():
    times = START + np.arange(2) * u.hour
    times[:] = np.ma.masked
    with pytest.raises(FrameError, match="all times are masked"):
        night_of(times, SPM)


def test_shapes_are_those_of_the_times():
    assert bjd_tdb(START, V709_CAS, SPM).shape == ()
    assert airmass(START + np.zeros((2, 3)) * u.day, V709_CAS, SPM).shape == (2, 3)
    assert bjd_tdb(Time([], format="jd", scale="utc"), V709_CAS, SPM).shape == (0,)


@pytest.mark.slow
def test_thousands_of_times_are_as_good_as_one():
    times = START + np.linspace(0, 0.3, 3000) * u.day
    for function, tolerance in ((bjd_tdb, 1e-9), (altitude, 1e-6)):
        together = function(times, V709_CAS, SPM)
        for i in (0, 777, 2999):
            assert together[i] == pytest.approx(float(function(times[i], V709_CAS, SPM)), abs=tolerance)


@pytest.mark.filterwarnings("ignore:ERFA function:erfa.ErfaWarning")  # from making the time
@pytest.mark.parametrize("date", ["1950-01-01", "2060-01-01"])
def test_dates_beyond_the_tables_are_done_as_well_as_can_be(date):
    time = Time(date, scale="utc")
    assert abs(bjd_tdb(time, V709_CAS, SPM) - time.jd) < 600 / 86400
    by_hand = altitude_by_hand(time.jd, V709_CAS.ra.deg, V709_CAS.dec.deg, -115.463611, 31.044167)
    assert altitude(time, V709_CAS, SPM) == pytest.approx(by_hand, abs=1)  # 60 years of precession


def test_astropy_is_left_as_it_was():
    table, ephemeris = iers.earth_orientation_table.get, solar_system_ephemeris.get()
    cached = iers.IERS_Auto.iers_table
    with iers.conf.set_temp("auto_download", True), iers.conf.set_temp("iers_degraded_accuracy", "error"):
        bjd_tdb(START, V709_CAS, SPM)
        airmass(START, V709_CAS, SPM)
        assert iers.conf.auto_download is True
        assert iers.conf.iers_degraded_accuracy == "error"
    assert iers.earth_orientation_table.get == table
    assert iers.IERS_Auto.iers_table is cached
    assert solar_system_ephemeris.get() == ephemeris
    assert START.location is None
