"""GMOS North and South, imaging: three generations of detectors, each of three chips side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import astropy.units as u
import numpy as np
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
from potpyri_like.instruments.clock import read_stamp
from potpyri_like.instruments.exposure import RELATIVE_SLACK, positive
from potpyri_like.instruments.file_notes import ON_SCREEN, SOME_MISSING
from potpyri_like.instruments.keywords import Compound, HeaderKeywords, Keyword
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
_HIGH_GAIN = 3.4  # electron/adu; the detectors have 1.5 to 2.5 in one mode and 4.4 to 5.5 in the other
_SHUTTER = 5.0  # s, by which UTEND may be late
_DAY = 86400.0  # s


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
        placed_by=Keyword("DETSEC"),
        site=site,
    )


def _filters(first: str, second: str) -> str:
    """The band from both filter wheels: "i" of "open1-0" and "i_G0302"; "" when both are open."""
    names = [
        str(name).partition("_")[0] for name in (first, second) if not str(name).lower().startswith("open")
    ]
    return "+".join(names)


def _gain_mode(gain: CardValue) -> str:
    """Which of the two gains the detectors were set to, by that of any amplifier."""
    return "low" if float(gain) < _HIGH_GAIN else "high"


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
        gain_setting=Compound(
            ("GAIN",), _gain_mode, lambda mode: (1.6 if mode == "low" else 4.7,), optional=True
        ),
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
        Rule(_OTHER, Is("OBSCLASS", "dayCal"), why="a daytime calibration, not an image of the sky"),
        Rule(_OTHER, Has("GCALLAMP") & ~Is("GCALLAMP", "off", "none"), why="the light of a calibration lamp"),
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
        """DATE-OBS and UTSTART, else TIME-OBS, plus half of the exposure, or of the time to UTEND if longer."""
        time = header.get("UTSTART") or header.get("TIME-OBS")
        if time is None:
            raise HeaderError("no UTSTART and no TIME-OBS card")
        start = Time(f"{header['DATE-OBS']}T{time}", scale="utc")
        longer = _longer(header, exposure)
        return start + TimeDelta((exposure if longer is None else longer) / 2)

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
        """The constants that had to be assumed, a time longer than the exposure, missing amplifiers."""
        if Is("OBSTYPE", "OBJECT")(header):
            yield from _doubts(header)
        yield from _missing_amplifiers(header)
        for name, value in _USUAL.items():
            card = getattr(camera, name).card
            if lacking := [hdu for hdu in header.images if card not in header.of(hdu)]:
                seen = ON_SCREEN if Is("OBSTYPE", "OBJECT")(header) else ""
                yield f"{seen}no {card} in HDU {', '.join(map(str, lacking))}: {value:g} assumed"

    def amplifiers_in(self, header: RawHeader, camera: Camera) -> tuple[Amplifier, ...]:
        """One for each image, where DETSEC says, the chips set apart by the gap of their generation."""
        wide = self.binning_of(header)[0]
        gap = _GENERATIONS[camera.name].gap // wide * wide
        return tuple(
            replace(one, x0=one.x0 + one.x0 // _CHIP * gap, **_assumed(header.of(one.hdu), camera))
            for one in super().amplifiers_in(header, camera)
        )

    def readout_of(self, header: RawHeader) -> str:
        """How many amplifiers read a chip, and whether charge was shuffled."""
        number = positive(header.get("NAMPS")) or _amplifiers_a_chip(header)
        return f"{number:g} amplifier{'s' * (number > 1)} a chip" + ", shuffled" * ("NODPIX" in header)


def _amplifiers_a_chip(header: RawHeader) -> int:
    """How many amplifiers read a chip, by the columns of the widest of them."""
    texts = [str(header.of(hdu).get("DETSEC", "")) for hdu in header.images]
    widest = max((parse_section(text).shape[1] for text in texts if text), default=_CHIP)
    return max(1, _CHIP // widest)


def _longer(header: RawHeader, exposure: u.Quantity) -> u.Quantity | None:
    """The time from UTSTART to UTEND where it is longer than the exposure, as of nod and shuffle; else None."""
    stamps = [read_stamp(header.get(card, "")) for card in ("UTSTART", "UTEND")]
    start, end = (None if stamp is None else stamp.seconds for stamp in stamps)
    if start is None or end is None:
        return None
    span, seconds = (end - start) % _DAY, exposure.to_value(u.s)
    return span * u.s if _SHUTTER + (1 + RELATIVE_SLACK) * seconds < span < _DAY / 2 else None


def _doubts(header: RawHeader) -> Iterator[str]:
    """That an exposure was not one span of time."""
    seconds = positive(header.get("EXPTIME"))
    longer = None if seconds is None else _longer(header, seconds * u.s)
    if longer is not None:
        why = (
            "nod and shuffle"
            if "NODPIX" in header
            else "the shutter was closed in between, as in nod and shuffle"
        )
        yield (
            f"time: UTSTART = {header['UTSTART']!r} and UTEND = {header['UTEND']!r} are {longer.value:.1f} s apart,"
            f" for an exposure of {seconds:.1f} s ({why}); the middle between them is taken"
        )


def _missing_amplifiers(header: RawHeader) -> Iterator[str]:
    """That a file has fewer images than its primary header announces."""
    numbers = [positive(header.get(card)) for card in ("NCCDS", "NAMPS", "DETNROI")]
    if None not in numbers[:2] and (wanted := int(np.prod([n or 1 for n in numbers]))) > len(header.images):
        yield (
            f"{ON_SCREEN}{len(header.images)} images, whereas NCCDS, NAMPS and DETNROI announce {wanted}:"
            f" {SOME_MISSING}"
        )


def _assumed(own: RawHeader, camera: Camera) -> dict[str, u.Quantity]:
    """The constants that an amplifier's header lacks."""
    return {name: value for name, value in _USUAL.items() if getattr(camera, name).card not in own}


@hookimpl
def register_instruments() -> list[type[Instrument]]:
    return [Gmos]
