"""When the light of a star arrived, and how high the star stood: offline, whatever the date.

Only what is installed with astropy is used: its built-in ephemeris (the Earth within 14 km, so 45
microseconds of light time) and the Earth orientation of the `astropy-iers-data` package. Beyond the ends of
that table its end values or a mean stand in: a second of UT1 is 2 microseconds of BJD and 0.004 degrees of
altitude. None of astropy's settings is changed for the caller.

A masked time (a `Time` holds no NaN) gives NaN.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_sun, solar_system_ephemeris
from astropy.coordinates.erfa_astrom import ErfaAstromInterpolator, erfa_astrom
from astropy.time import Time, TimeDelta
from astropy.utils import iers
from astropy.utils.exceptions import AstropyWarning
from erfa import ErfaWarning

from potpyri_like.errors import FrameError

__all__ = [
    "SCALES",
    "airmass",
    "altitude",
    "bjd_tdb",
    "evening_of",
    "jd_utc",
    "local_days",
    "night_of",
    "sun_altitude",
    "utc_days",
    "utc_of",
]

_GPS_BEHIND = 19.0  # s; of TAI, since 1980
# Names of time scales, FITS standard 4.0, table 30 among them, and what astropy calls them
SCALES = {
    "TAI": "tai",
    "IAT": "tai",
    "GPS": "tai",
    "TT": "tt",
    "TDT": "tt",
    "ET": "tt",
    "TDB": "tdb",
    "TCG": "tcg",
    "TCB": "tcb",
    "UT1": "ut1",
}


def bjd_tdb(mid_time: Time, target: SkyCoord, site: EarthLocation) -> np.ndarray:
    """Barycentric Julian date in the TDB scale, in days.

    As Eastman, Siverd & Gaudi (2010) define it, without the Shapiro delay (below 0.1 milliseconds); float64
    days resolve 40 microseconds.

    Parameters
    ----------
    mid_time : Time, any shape
        Middle of the exposure at the observatory, in UTC (any scale that astropy can convert will do).
    target : SkyCoord
        One, or one for each time; at the epoch of the observation.
    site : EarthLocation

    Returns
    -------
    ndarray, of the shape of `mid_time`
        NaN where the time is masked.
    """

    def barycentric(time: Time) -> np.ndarray:
        light_time = time.light_travel_time(target, "barycentric", location=site, ephemeris="builtin")
        return (time.tdb + light_time).jd

    return _at_good_times(barycentric, mid_time, site)


def utc_days(time: Time) -> float:
    """One time as a Julian date in UTC, to 40 microseconds; quicker than `Time.jd` where each is by itself."""
    utc = time if time.scale == "utc" else time.utc
    return float(utc.jd1) + float(utc.jd2)


def jd_utc(mid_time: Time) -> np.ndarray:
    """Julian date in the UTC scale, in days; NaN where the time is masked."""
    return _at_good_times(lambda time: time.utc.jd, mid_time, None)


def utc_of(reading: Time, scale: str) -> Time:
    """The UTC of what a clock of another scale reads.

    Parameters
    ----------
    reading : Time
        The reading, as if it were UTC.
    scale : str
        One of `SCALES`: "TAI", "GPS", "TT", "TDB", "UT1", ... Where the installed tables do not reach, UT1 is UTC.
    """
    with _astropy_offline():
        clock = Time(reading.jd1, reading.jd2, format="jd", scale=SCALES[scale])
        behind = _GPS_BEHIND if scale == "GPS" else 0.0
        try:
            found = Time((clock + TimeDelta(behind * u.s)).utc, copy=True)
        except iers.IERSRangeError:
            return reading
    found.format = reading.format
    return found


def altitude(mid_time: Time, target: SkyCoord, site: EarthLocation) -> np.ndarray:
    """True altitude, without refraction, in degrees: shape of `mid_time`, NaN where the time is masked."""

    def look_up(time: Time) -> np.ndarray:
        # The Earth every five minutes and interpolation between: an error far below a milliarcsecond.
        with erfa_astrom.set(ErfaAstromInterpolator(5 * u.min)):
            return target.transform_to(AltAz(obstime=time, location=site)).alt.deg

    return _at_good_times(look_up, mid_time, site)


def airmass(mid_time: Time, target: SkyCoord, site: EarthLocation) -> np.ndarray:
    """Airmass from the true altitude (Young 1994, Applied Optics 33, 1108).

    1 at the zenith, 31.7 at the horizon; shape of `mid_time`; NaN below the horizon and where the time is
    masked.
    """
    height = altitude(mid_time, target, site)
    sine = np.sin(np.radians(np.where(height >= 0, height, np.nan)))
    above = 1.002432 * sine**2 + 0.148386 * sine + 0.0096467
    below = sine**3 + 0.149864 * sine**2 + 0.0102963 * sine + 0.000303978
    return above / below


def sun_altitude(time: Time, site: EarthLocation) -> np.ndarray:
    """True altitude of the Sun's centre, in degrees: shape of `time`, NaN where the time is masked."""

    def look_up(time: Time) -> np.ndarray:
        return get_sun(time).transform_to(AltAz(obstime=time, location=site)).alt.deg

    return _at_good_times(look_up, time, site)


def night_of(time: Time, site: EarthLocation) -> str:
    """The night's name, "YYYY-MM-DD": the local date of its evening.

    A night lasts from one noon of local mean solar time to the next; time zones and header dates do not
    matter. Of an array, the night of the first time that is not masked; without one, `FrameError`.
    """
    days = np.ravel(local_days(time, site))
    days = days[np.isfinite(days)]
    if not days.size:
        raise FrameError(
            "no time to name the night by: every time is masked; give at least one that is known"
        )
    return evening_of(days[0])


def local_days(time: Time, site: EarthLocation) -> np.ndarray:
    """Local mean solar time as a Julian date: from one whole day to the next it is a night, noon to noon."""
    return jd_utc(time) + site.lon.wrap_at(180 * u.deg).deg / 360


def evening_of(day: float) -> str:
    """The date, "YYYY-MM-DD", of the evening of a night that is given by a local day."""
    # A Julian day begins at noon of longitude 0, so a whole one is the very night; JD 2400000 is 1858-11-16.
    return str(np.datetime64("1858-11-16") + np.timedelta64(int(np.floor(day)) - 2400000, "D"))


def _at_good_times(
    function: Callable[[Time], np.ndarray], time: Time, site: EarthLocation | None
) -> np.ndarray:
    """What the function gives for the times, and NaN where they are masked."""
    with _astropy_offline():
        # astropy's coordinates cannot do with masked times, and make those they are given read-only.
        values = (
            function(Time(time.unmasked, location=site, copy=True)) if time.size else np.empty(time.shape)
        )
    return np.where(time.mask, np.nan, values)


@cache
def _earth_orientation() -> iers.IERS:
    return iers.IERS_A.read(iers.IERS_A_FILE)


@contextmanager
def _astropy_offline() -> Iterator[None]:
    """Installed tables only, beyond their end too, without a word; all is as before afterwards."""
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", ErfaWarning)
        warnings.simplefilter("ignore", AstropyWarning)
        stack.enter_context(iers.conf.set_temp("auto_download", False))
        stack.enter_context(iers.conf.set_temp("iers_degraded_accuracy", "ignore"))
        stack.enter_context(iers.earth_orientation_table.set(_earth_orientation()))
        stack.enter_context(solar_system_ephemeris.set("builtin"))
        yield
