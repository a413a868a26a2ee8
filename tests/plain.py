"""A camera of which a file holds the image and no more, and its files."""

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.io import fits
from astropy.time import Time

from potpyri_like.instruments import Calibration, Camera, FrameKind, HeaderKeywords, Instrument, Keyword

GAIN = 1.3
STARTED = Time("2024-03-10T22:00:00", scale="utc")


def camera(**more):
    return Camera(
        name="main",
        pixel_scale=0.62 * u.arcsec / u.pix,
        gain=GAIN * u.electron / u.adu,
        read_noise=6 * u.electron,
        saturation=60000 * u.adu,
        **more,
    )


class Plain(Instrument):
    """A camera of which a file holds the image and no more."""

    name = "PLAIN"
    keywords = HeaderKeywords(
        kind=Keyword("IMAGETYP"),
        exposure=Keyword("EXPTIME", u.s),
        band=Keyword("FILTER", optional=True),
        target=Keyword("OBJECT", optional=True),
        binning=Keyword("XBINNING", optional=True),
    )
    kinds = {
        "light": FrameKind.SCIENCE,
        "bias": FrameKind.BIAS,
        "dark": FrameKind.DARK,
        "flat": FrameKind.FLAT,
    }
    cameras = (camera(),)
    calibration = Calibration(bias=False, dark=False, flat=False)
    site = EarthLocation.from_geodetic(lon=10 * u.deg, lat=45 * u.deg, height=500 * u.m)

    def mid_time(self, header, exposure):
        return Time(header["DATE-OBS"], scale="utc") + exposure / 2


def plain_with(**more):
    """The same with a camera that declares more."""
    return type("Changed", (Plain,), {"name": "CHANGED", "cameras": (camera(**more),)})


def cards(kind="light", exposure=60.0, seconds=0.0, **more):
    made = {"IMAGETYP": kind, "EXPTIME": exposure, "FILTER": "r", "OBJECT": "WASP-0"}
    return fits.Header(made | {"DATE-OBS": (STARTED + seconds * u.s).isot} | more)


def noise(shape=(40, 50), seed=1, level=1000):
    return np.random.default_rng(seed).poisson(level, shape).astype(np.uint16)


def write(path, image=None, header=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(noise() if image is None else image, cards() if header is None else header).writeto(
        path, **options
    )
    return path
