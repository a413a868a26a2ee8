"""Raw frames of four amplifiers as LCO's Sinistro cameras write them, and a plugin that describes them.

The sky is drawn here, and nothing of what reads it is used.
"""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.io import fits
from astropy.time import Time

from potpyri_like.instruments import Calibration, Camera, FrameKind, HeaderKeywords, Instrument, Keyword


class Sinistro(Instrument):
    """A camera of four amplifiers, one in each corner, each with an image of its own."""

    name = "SINISTRO"
    keywords = HeaderKeywords(
        kind=Keyword("OBSTYPE"),
        exposure=Keyword("EXPTIME", u.s),
        band=Keyword("FILTER", optional=True),
        target=Keyword("OBJECT", optional=True),
        binning=Keyword("CCDSUM"),
    )
    kinds = {"EXPOSE": FrameKind.SCIENCE, "BIAS": FrameKind.BIAS, "SKYFLAT": FrameKind.FLAT}
    cameras = (
        Camera(
            name="fa15",
            pixel_scale=0.389 * u.arcsec / u.pix,
            gain=Keyword("GAIN", u.electron / u.adu),
            read_noise=Keyword("RDNOISE", u.electron),
            saturation=Keyword("SATURATE", u.adu),
            data_section=Keyword("DATASEC"),
            overscan_section=Keyword("BIASSEC", optional=True),
            placed_by=Keyword("DETSEC"),
        ),
    )
    calibration = Calibration(dark=False)
    site = EarthLocation.from_geodetic(lon=-70.8 * u.deg, lat=-30.17 * u.deg, height=2201 * u.m)

    def mid_time(self, header, exposure):
        return Time(header["DATE-OBS"], scale="utc") + exposure / 2


HALF = 128
SIZE = 2 * HALF
STARTED = Time("2024-03-10T02:00:00", scale="utc")
SKY, SIGMA = 300.0, 1.7  # electron, pixels
MISSING = "N/A"


@dataclass(frozen=True)
class Amp:
    """An amplifier: gain, read noise [electron], level [adu]; where it begins, and which way it is read."""

    gain: float
    noise: float
    level: float
    detsec: str
    right: bool
    top: bool


AMPS = (
    Amp(1.4, 7.0, 1180.0, "[1:128,1:128]", right=False, top=False),
    Amp(2.1, 9.0, 2420.0, "[256:129,1:128]", right=True, top=False),
    Amp(1.0, 8.0, 640.0, "[256:129,256:129]", right=True, top=True),
    Amp(3.2, 6.0, 1730.0, "[1:128,256:129]", right=False, top=True),
)
# The target first; the second and the third lie across borders of amplifiers.
STARS = np.array(
    [
        (60, 70),
        (127.7, 60.2),
        (190.3, 127.4),
        (200, 200),
        (50, 190),
        (95, 30),
        (225, 40),
        (30, 120),
        (160, 230),
    ]
)
FLUX = np.array([60e3, 90e3, 80e3, 70e3, 50e3, 40e3, 55e3, 45e3, 65e3])


def light(flux=FLUX, shift=(0.0, 0.0)):
    """Electrons of a sky with stars."""
    y, x = np.mgrid[:SIZE, :SIZE]
    image = np.full((SIZE, SIZE), SKY)
    for (x0, y0), total in zip(STARS + shift, flux, strict=True):
        image += total / (2 * np.pi * SIGMA**2) * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * SIGMA**2))
    return image


def response():
    """What the detector makes of even light."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    flat = 1 - 0.2 * (x**2 + y**2) + 0.01 * np.random.default_rng(77).standard_normal((SIZE, SIZE))
    return flat / flat.mean()


def raw_image(amp, electrons, rng):
    """The image of one amplifier: its data, of the upper ones from the second row on, and its overscan."""
    rows, columns = (
        slice(HALF, None) if amp.top else slice(HALF),
        slice(HALF, None) if amp.right else slice(HALF),
    )
    part = electrons[rows, columns][:: -1 if amp.top else 1, :: -1 if amp.right else 1]
    raw = (
        amp.level
        + 3 * rng.standard_normal()
        + np.linspace(0, 8, HALF + 1)[:, None]
        + np.zeros((HALF + 1, 160))
    )
    raw[amp.top : HALF + amp.top, :HALF] += part / amp.gain
    raw += amp.noise / amp.gain * rng.standard_normal(raw.shape)
    return np.clip(np.round(raw), 0, 65535).astype(np.uint16)


def amplifier_hdu(amp, number, electrons, rng):
    first = 1 + amp.top
    cards = {
        "EXTNAME": "SCI",
        "EXTVER": number + 1,
        "GAIN": amp.gain,
        "RDNOISE": amp.noise,
        "SATURATE": 60000.0 - 1000 * number,
        "DATASEC": f"[1:{HALF},{first}:{HALF - 1 + first}]",
        "BIASSEC": f"[131:160,1:{HALF}]",
        "DETSEC": amp.detsec,
    }
    return fits.ImageHDU(raw_image(amp, electrons, rng), fits.Header(cards))


def write(path, kind, electrons, *, exposure=60.0, seconds=0.0, seed=0, change=None, packed=False, **primary):
    """A raw file: a primary header without pixels, NAXIS1 = NAXIS2 = 0, and an image of each amplifier.

    `change` gets the list of the amplifiers' HDUs before it is written.
    """
    rng = np.random.default_rng([seed, len(path.name)])
    hdus = [amplifier_hdu(amp, number, electrons, rng) for number, amp in enumerate(AMPS)]
    if change is not None:
        change(hdus)
    head = fits.Header(
        [("SIMPLE", True), ("BITPIX", 16), ("NAXIS", 2), ("NAXIS1", 0), ("NAXIS2", 0), ("EXTEND", True)]
    )
    head.update({"OBSTYPE": kind, "EXPTIME": exposure, "FILTER": "rp", "OBJECT": "WASP-0", "CCDSUM": "1 1"})
    head.update({"DATE-OBS": (STARTED + seconds * u.s).isot, "INSTRUME": "fa15", "ORIGIN": "LCOGT"} | primary)
    if packed:
        hdus = [fits.CompImageHDU(hdu.data, hdu.header) for hdu in hdus]
        fits.HDUList([fits.PrimaryHDU(header=head), *hdus]).writeto(path)
        return path
    scratch = path.with_suffix(".rest")
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(scratch)
    rest = scratch.read_bytes()[len(fits.PrimaryHDU().header.tostring()) :]
    scratch.unlink()
    path.write_bytes(head.tostring().encode() + rest)
    return path


def calibrations(folder, *, biases=5, flats=5, change=None):
    flat = response()
    for i in range(biases):
        write(folder / f"bias_{i}.fits", "BIAS", np.zeros((SIZE, SIZE)), exposure=0.0, seed=i, change=change)
    for i in range(flats):
        rng = np.random.default_rng(1000 + i)
        image = rng.poisson(20000 * flat).astype(float)
        write(folder / f"flat_{i}.fits", "SKYFLAT", image, exposure=5.0, seconds=100 + i, seed=100 + i)


def science(folder, *, frames=8, changes=None, dip=None, **more):
    """Frames of the stars, each moved a little; `changes` by the number of the frame."""
    flat = response()
    for i in range(frames):
        now = FLUX * (1 if dip is None else np.where(np.arange(len(FLUX)) == 0, dip[i], 1.0))
        rng = np.random.default_rng(2000 + i)
        image = rng.poisson(light(now, (0.4 * np.sin(i), 0.3 * np.cos(i))) * flat).astype(float)
        change = (changes or {}).get(i)
        write(
            folder / f"light_{i}.fits",
            "EXPOSE",
            image,
            seconds=600 + 90 * i,
            seed=200 + i,
            change=change,
            **more,
        )
