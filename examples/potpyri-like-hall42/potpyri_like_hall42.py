"""The Lowell 42-inch Hall telescope for potpyri_like."""

import astropy.units as u
from astropy.coordinates import EarthLocation
from astropy.time import Time

from potpyri_like.hookspecs import hookimpl
from potpyri_like.instruments import Calibration, Camera, FrameKind, HeaderKeywords, Instrument, Keyword


class Hall42(Instrument):
    """NASA42, an e2v CCD on the 42-inch Hall telescope, Lowell Observatory."""

    name = "HALL42"
    keywords = HeaderKeywords(
        kind=Keyword("IMAGETYP"),
        exposure=Keyword("EXPTIME", u.s),
        band=Keyword("FILTNAME"),
        target=Keyword("OBJECT"),
        binning=Keyword("CCDSUM"),
        ra=Keyword("RA"),
        dec=Keyword("DEC"),
    )
    kinds = {"OBJECT": FrameKind.SCIENCE, "BIAS": FrameKind.BIAS, "SKYFLAT": FrameKind.FLAT}
    cameras = (
        Camera(
            name="NASA42",
            pixel_scale=0.327 * u.arcsec / u.pix,  # PIXSCAL
            gain=Keyword("AGAIN_01", u.electron / u.adu),
            read_noise=Keyword("ARDNS_01", u.electron),
            saturation=65535 * u.adu,  # 16 bits, far below the full well of 3 x 3 pixels
            data_section=Keyword("TRIMSEC"),
            overscan_section=Keyword("BIASSEC"),
        ),
    )
    calibration = Calibration(dark=False)  # at -100 C, under 1 electron in 300 s
    site = EarthLocation.from_geodetic(lon=-111.5355 * u.deg, lat=35.09675 * u.deg, height=2206 * u.m)
    telescope_diameter = 1.07 * u.m

    def mid_time(self, header, exposure):
        return Time(f"{header['DATE-OBS']}T{header['UTCSTART']}", scale="utc") + exposure / 2

    def time_cards(self, start, exposure):
        date, time = start.isot.split("T")
        return {"DATE-OBS": date, "UTCSTART": time}


@hookimpl
def register_instruments():
    return [Hall42]
