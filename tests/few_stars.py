"""Nights of a small camera, written without the package: a few stars, a dip, and what a test wants otherwise."""

from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.io import fits
from astropy.time import Time, TimeDelta

from potpyri_like.instruments import Calibration, Camera, FrameKind, HeaderKeywords, Instrument, Keyword

SIZE, GAIN, READ_NOISE, BIAS = 128, 1.3, 6.0, 300.0
TARGET = (60.0, 66.0)
STARS = np.array(
    [TARGET, (25, 30), (95, 28), (30, 92), (98, 90), (62, 22), (64, 104), (22, 60), (104, 58)], float
)
FLUX = np.array([1.5e5, 3e5, 2e5, 2.5e5, 1.8e5, 1.2e5, 2.2e5, 1.6e5, 2.8e5])
GRAIN = 1 - 0.1 * (np.hypot(*(np.mgrid[:SIZE, :SIZE][::-1] - np.array(TARGET)[:, None, None])) < 12)
CLEAN = np.ones((SIZE, SIZE))


class Small(Instrument):
    """A small camera of an amateur."""

    name = "SMALL"
    keywords = HeaderKeywords(
        kind=Keyword("IMAGETYP"),
        exposure=Keyword("EXPTIME", u.s),
        band=Keyword("FILTER", optional=True),
        target=Keyword("OBJECT", optional=True),
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
            pixel_scale=0.6 * u.arcsec / u.pix,
            gain=GAIN * u.electron / u.adu,
            read_noise=READ_NOISE * u.electron,
            saturation=60000 * u.adu,
        ),
    )
    calibration = Calibration(bias=False, dark=False, flat=False)
    site = EarthLocation.from_geodetic(lon=-3.4 * u.deg, lat=37.1 * u.deg, height=2900 * u.m)

    def mid_time(self, header, exposure):
        return Time(header["DATE-OBS"], scale="utc") + exposure / 2


def expose(electrons, rng):
    """Counts of 16 bits, with photon and read noise."""
    noisy = rng.poisson(electrons) + rng.normal(0, READ_NOISE, electrons.shape)
    return np.clip(np.round(noisy / GAIN + BIAS), 0, 65535).astype(np.uint16)


def sky(target=1.0, shift=0.0, fwhm=4.0):
    """Electrons of the field in 60 s."""
    yy, xx = np.mgrid[:SIZE, :SIZE]
    sigma = fwhm / 2.3548
    image = np.full((SIZE, SIZE), 200.0)
    for number, (x, y) in enumerate(STARS + shift):
        light = FLUX[number] * (target if number == 0 else 1)
        image += light * np.exp(-0.5 * ((xx - x) ** 2 + (yy - y) ** 2) / sigma**2) / (2 * np.pi * sigma**2)
    return image


def save(path, data, **cards):
    path.parent.mkdir(parents=True, exist_ok=True)
    names = {"kind": "IMAGETYP", "exposure": "EXPTIME", "start": "DATE-OBS"}
    header = fits.Header({names.get(k, k): v for k, v in cards.items() if v is not None})
    fits.PrimaryHDU(data, header).writeto(path)


def dip(i, n):
    return 0.95 if abs(i - (n - 1) / 2) < 0.2 * n else 1.0


def lights(folder, start, n=10, *, through=CLEAN, seed=1, first=0):
    """Frames of one run from a moment on, through dust or whatever lies before the detector."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        begun = (Time(start) + TimeDelta(i * 70 * u.s)).isot
        cards = {"kind": "light", "exposure": 60.0, "start": begun, "OBJECT": "WASP-0", "FILTER": "r"}
        save(folder / f"light_{first + i:03d}.fits", expose(sky(dip(i, n), 0.1 * i) * through, rng), **cards)


def calibrations(folder, start, *, through=CLEAN, seed=2, kinds=("bias", "flat"), step=20.0):
    """Three biases and flats from a moment on (None: without a time)."""
    rng = np.random.default_rng(seed)
    levels = {"bias": (0.0, 0.0), "dark": (60.0, 90.0), "flat": (5.0, 30000.0)}
    for kind in kinds:
        exposure, level = levels[kind]
        for i in range(3):
            when = None if start is None else (Time(start) + TimeDelta(i * step * u.s)).isot
            light = level * (through if kind == "flat" else CLEAN)
            band = "r" if kind == "flat" else None
            cards = {"kind": kind, "exposure": exposure, "start": when, "FILTER": band}
            save(Path(folder) / f"{kind}_{i}.fits", expose(light, rng), **cards)
