"""GMOS North and South, imaging: three generations of detectors, each of three chips side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import astropy.units as u
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.io import fits
from astropy.time import Time, TimeDelta

from potpyri_like.errors import HeaderError
from potpyri_like.frame import FrameKind
from potpyri_like.hookspecs import hookimpl
from potpyri_like.imaging import parse_section
from potpyri_like.instruments.base import Instrument
from potpyri_like.instruments.calibration import Calibration
from potpyri_like.instruments.cameras import Amplifier, Camera
from potpyri_like.instruments.keywords import Compound, HeaderKeywords, Keyword, number
from potpyri_like.instruments.rules import Has, Is, Matches, Rule
from potpyri_like.instruments.simulated import Simulated
from potpyri_like.store.header import CardValue, RawHeader

__all__ = ["Gmos"]

_SCIENCE, _BIAS, _DARK, _FLAT, _OTHER = FrameKind
_NO_MASK = Is("MASKTYP", 0, absent=True)

_MAUNA_KEA = EarthLocation.from_geodetic(lon=-155.46904 * u.deg, lat=19.82383 * u.deg, height=4213 * u.m)
_CERRO_PACHON = EarthLocation.from_geodetic(lon=-70.73669 * u.deg, lat=-30.24074 * u.deg, height=2722 * u.m)
_CHIP = 2048  # unbinned columns of each chip, all generations
# Where a header lacks them: the Hamamatsu chips' typical values.
_USUAL = {"gain": 1.63 * u.electron / u.adu, "read_noise": 4.14 * u.electron}


@dataclass(frozen=True)
class _Generation:
    """What a generation of detectors fixes: each chip's amplifiers and rows, and the gap between chips."""

    amplifiers: int
    rows: int
    gap: int


# Gaps: Gemini's tile geometry. A gap is cut to whole binned pixels.
_EEV, _E2V = _Generation(1, 4608, 37), _Generation(2, 4608, 37)
_HAMAMATSU_N, _HAMAMATSU_S = _Generation(4, 4224, 67), _Generation(4, 4224, 61)
_GENERATIONS = {
    "GMOS-N EEV": _EEV,
    "GMOS-N e2v": _E2V,
    "GMOS-N Ham": _HAMAMATSU_N,
    "GMOS-S EEV": _EEV,
    "GMOS-S Ham": _HAMAMATSU_S,
}


def _detector(name: str, detectors: tuple[str, ...], scale: float, site: EarthLocation) -> Camera:
    """One generation of detectors in one of the two instruments; its amplifiers are in the files' headers."""
    return Camera(
        name=name,
        ids=tuple(f"{name[:6]} {dettype}" for dettype in detectors),
        pixel_scale=scale * u.arcsec / u.pix,
        gain=Keyword("GAIN", u.electron / u.adu),
        read_noise=Keyword("RDNOISE", u.electron),
        saturation=65535 * u.adu,
        data_section=Keyword("DATASEC"),
        overscan_section=Keyword("BIASSEC", optional=True),
        site=site,
    )


def _filters(first: str, second: str) -> str:
    """The band from both filter wheels: "i" of "open1-0" and "i_G0302"; "" when both are open."""
    names = [
        str(name).partition("_")[0] for name in (first, second) if not str(name).lower().startswith("open")
    ]
    return "+".join(names)


def _headers(camera: Camera, size: tuple[int, int], binning: tuple[int, int]) -> list[fits.Header]:
    """All chips in x, the middle rows of the detector in y, with gains that differ as real ones do."""
    generation = _GENERATIONS[camera.name]
    width, rows = _CHIP // generation.amplifiers, min(size[1], generation.rows // binning[1])
    low = (generation.rows - rows * binning[1]) // 2
    headers = [fits.Header()]
    for index in range(3 * generation.amplifiers):
        left, columns = index * width, width // binning[0]
        data, overscan = ((33, 1), (1, columns + 1))[index % 2]  # overscan left, right, left, ...
        header = fits.Header()
        header["NAXIS1"], header["NAXIS2"] = columns + 32, rows
        header["CCDSUM"] = f"{binning[0]} {binning[1]}"
        header["DETSEC"] = f"[{left + 1}:{left + width},{low + 1}:{low + rows * binning[1]}]"
        header["DATASEC"] = f"[{data}:{data + columns - 1},1:{rows}]"
        header["BIASSEC"] = f"[{overscan}:{overscan + 31},1:{rows}]"
        header["GAIN"], header["RDNOISE"] = (
            round(1.6 + 0.05 * index, 3),
            round(3.9 + 0.1 * (index % 4), 2),
        )
        headers.append(header)
    return headers


class Gmos(Instrument):
    """Gemini's GMOS North and South, imaging: EEV, e2v and Hamamatsu chips, any amplifiers and regions."""

    name = "GMOS"
    keywords = HeaderKeywords(
        exposure=Keyword("EXPTIME", u.s),
        kind=Keyword("OBSTYPE"),
        band=Compound(
            ("FILTER1", "FILTER2"), _filters, lambda band: ("open1-6", f"{band or 'open2-8'}_G0301")
        ),
        target=Keyword("OBJECT"),
        camera=Compound(
            ("INSTRUME", "DETTYPE"),
            lambda instrument, dettype: f"{instrument} {dettype}",
            lambda text: tuple(text.split(" ", 1)),
        ),
        binning=Keyword("CCDSUM"),
        ra=Keyword("RA", u.deg),
        dec=Keyword("DEC", u.deg),
    )
    kinds = (
        Rule(_OTHER, Is("RAWGEMQA", "FAIL"), why="failed the observatory's quality check"),
        Rule(_BIAS, Is("OBSTYPE", "BIAS")),
        Rule(_DARK, Is("OBSTYPE", "DARK")),
        Rule(_OTHER, Is("OBSTYPE", "ARC"), why="an arc lamp"),
        Rule(_OTHER, Has("GRATING") & ~Is("GRATING", "MIRROR"), why="a spectrum"),
        Rule(_FLAT, Is("OBSTYPE", "FLAT") & Is("GRATING", "MIRROR")),
        Rule(_OTHER, ~_NO_MASK, why="taken through a mask or the IFU"),
        Rule(_FLAT, Is("OBSTYPE", "OBJECT") & Matches("OBJECT", "^(twilight|sky ?flat)")),
        Rule(_OTHER, Is("OBSCLASS", "acq", "acqCal"), why="an acquisition"),
        Rule(_OTHER, Is("SHUTTER", "CLOSED"), why="the shutter was closed"),
        Rule(_SCIENCE, Is("OBSTYPE", "OBJECT") & Is("GRATING", "MIRROR")),
        Rule(_OTHER, Has("OBSTYPE"), why="neither image nor imaging calibration"),
    )
    cameras = (
        _detector("GMOS-N EEV", ("SDSU II CCD",), 0.0727, _MAUNA_KEA),
        _detector("GMOS-N e2v", ("SDSU II e2v DD CCD42-90",), 0.0728, _MAUNA_KEA),
        _detector("GMOS-N Ham", ("S10892-N", "S10892"), 0.0807, _MAUNA_KEA),
        _detector("GMOS-S EEV", ("SDSU II CCD",), 0.0730, _CERRO_PACHON),
        _detector("GMOS-S Ham", ("S10892", "S10892-N"), 0.0800, _CERRO_PACHON),
    )
    calibration = Calibration(dark=False, overscan_degree=3)
    site = _MAUNA_KEA
    telescope_diameter = 8.1 * u.m
    recipe = "imaging"
    simulated = Simulated(headers=_headers)
    time_scale = "utc"  # TIMESYS says UT1; Gemini's own software reads UTC, within 0.9 s

    def mid_time(self, header: RawHeader, exposure: u.Quantity) -> Time:
        """DATE-OBS and UTSTART, else TIME-OBS, plus half of the exposure."""
        time = header.get("UTSTART") or header["TIME-OBS"]
        return Time(f"{header['DATE-OBS']}T{time}", scale="utc") + TimeDelta(exposure / 2)

    def time_cards(self, start: Time, exposure: u.Quantity) -> dict[str, CardValue]:
        date, time = start.utc.isot.split("T")
        return {"DATE-OBS": date, "TIME-OBS": time, "UTSTART": time}

    def band_of(self, header: RawHeader, camera: Camera | None) -> str:
        """The filter; with the name of the slit mask, where there is one: its flats serve no open field."""
        band = super().band_of(header, camera)
        through = f"{band} through {header.get('MASKNAME', 'a mask')}"
        return band if _NO_MASK(header) else through

    def pointing_of(self, header: RawHeader) -> SkyCoord | None:
        """RA and DEC, unless they are azimuth and elevation, as at the zenith."""
        return None if str(header.get("FRAME", "")).startswith("AZEL") else super().pointing_of(header)

    def remarks(self, header: RawHeader, camera: Camera) -> Iterator[str]:
        """The constants that had to be assumed."""
        for name, value in _USUAL.items():
            card = getattr(camera, name).card
            if lacking := [hdu for hdu in header.images if card not in header.of(hdu)]:
                yield f"no {card} in HDU {', '.join(map(str, lacking))}: {value.value} assumed"

    def amplifiers_in(self, header: RawHeader, camera: Camera) -> tuple[Amplifier, ...]:
        """One for each image, where DETSEC says, the chips set apart by the gap of their generation."""
        binning = self.binning_of(header)
        corners = [_corner(header, hdu, camera, binning) for hdu in header.images]
        left, low = (min((corner[axis] for corner in corners), default=0) for axis in (0, 1))
        return tuple(
            Amplifier(hdu=hdu, x0=x - left, y0=y - low, **_assumed(header.of(hdu), camera))
            for hdu, (x, y) in zip(header.images, corners, strict=True)
        )

    def readout_of(self, header: RawHeader) -> str:
        """Amplifiers, regions, gain, and whether charge was shuffled."""
        own = [header.of(hdu) for hdu in header.images]
        regions = {parse_section(str(one["DETSEC"])) for one in own if "DETSEC" in one}
        rows = sorted({(region.y0 + 1, region.y1) for region in regions})
        words = [f"{len(own)} amplifiers", *(f"rows {low}:{high}" for low, high in rows)]
        if regions:
            words.append(f"columns {min(r.x0 for r in regions) + 1}:{max(r.x1 for r in regions)}")
        words += [f"gain {number(one, 'GAIN'):.2f}" for one in own[:1] if "GAIN" in one]
        return ", ".join(words) + ", shuffled" * ("NODPIX" in header)


def _corner(header: RawHeader, hdu: int, camera: Camera, binning: tuple[int, int]) -> tuple[int, int]:
    """Where an amplifier's first pixel lies on the focal plane: x and y, unbinned, cut to whole binned pixels."""
    own = header.of(hdu)
    if "DETSEC" not in own:
        raise HeaderError(f"{header.path.name}: no DETSEC card in HDU {hdu}; the frame is rejected")
    detector = parse_section(str(own["DETSEC"]))
    gap = detector.x0 // _CHIP * (_GENERATIONS[camera.name].gap // binning[0])
    return (detector.x0 // binning[0] + gap) * binning[0], detector.y0 // binning[1] * binning[1]


def _assumed(own: RawHeader, camera: Camera) -> dict[str, u.Quantity]:
    """The constants that an amplifier's header lacks."""
    return {name: value for name, value in _USUAL.items() if getattr(camera, name).card not in own}


@hookimpl
def register_instruments() -> list[type[Instrument]]:
    return [Gmos]
