"""The instrument of the design's example: one camera, one amplifier, an overscan strip."""

import astropy.units as u
from astropy.coordinates import EarthLocation
from astropy.time import Time, TimeDelta

from potpyri_like.instruments import Camera, FrameKind, HeaderKeywords, Instrument, Keyword


class Toy(Instrument):
    """A small CCD on a small telescope."""

    name = "TOY"
    keywords = HeaderKeywords(
        kind=Keyword("IMAGETYP"),
        exposure=Keyword("EXPTIME", u.s),
        band=Keyword("FILTER"),
        target=Keyword("OBJECT"),
        ra=Keyword("RA"),
        dec=Keyword("DEC"),
    )
    kinds = {
        "light": FrameKind.SCIENCE,
        "bias": FrameKind.BIAS,
        "dark": FrameKind.DARK,
        "flat": FrameKind.FLAT,
    }
    cameras = (
        Camera(
            name="main",
            pixel_scale=0.62 * u.arcsec / u.pix,
            gain=1.3 * u.electron / u.adu,
            read_noise=6 * u.electron,
            data_section="[1:256,1:256]",
            overscan_section="[257:288,1:256]",
            saturation=60000 * u.adu,
        ),
    )
    site = EarthLocation.from_geodetic(lon=10 * u.deg, lat=45 * u.deg, height=500 * u.m)
    telescope_diameter = 0.5 * u.m

    def mid_time(self, header, exposure):
        return Time(header["DATE-OBS"], scale="utc") + TimeDelta(exposure / 2)
