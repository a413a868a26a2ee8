"""OPTICAM: three simultaneous cameras at the 2.1 m of OAN-SPM (Castro et al. 2019, RMxAA 55, 363)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time, TimeDelta

from potpyri_like.astrometry import local_days
from potpyri_like.errors import HeaderError
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.hookspecs import hookimpl
from potpyri_like.instruments.base import Instrument
from potpyri_like.instruments.calibration import Calibration
from potpyri_like.instruments.cameras import Amplifier, Camera
from potpyri_like.instruments.keywords import HeaderKeywords, Keyword, check_binning
from potpyri_like.instruments.pixel_filter import PixelFilter
from potpyri_like.instruments.rules import Always, Below, Has, InPath, Is, Matches, Rule, numeric
from potpyri_like.instruments.simulated import Simulated, SimulatedCamera
from potpyri_like.store.header import CardValue, RawHeader

__all__ = ["DATE_DOUBTFUL", "DATE_SETTLED", "Opticam"]

_SCIENCE, _BIAS, _DARK, _FLAT, _OTHER = FrameKind
_A_DAY = TimeDelta(1 * u.day)
DATE_DOUBTFUL = "time: the header gives a time without a date, and DATE-OBS may be that of the evening"
DATE_SETTLED = "time: the header gives no date with it; it was settled by the other frames of the night"
_FILTERED = "it was median filtered before (PROFE); it is not filtered again"

# Dates before 2000 come from clocks that were never set.
_FULL_DATE = re.compile(r"(20\d\d-\d\d-\d\d)[T ]+(\d\d:\d\d:\d\d(?:\.\d{1,9})?)")
_DATE_ONLY = re.compile(r"20\d\d-\d\d-\d\d")
_TIME_ONLY = re.compile(r"^(?!00:00:00\.?0*$)\d\d:\d\d:\d\d(?:\.\d{1,9})?")
_SEXAGESIMAL = re.compile(r"[+-]?\d{1,3}[: ]\d\d?[: ]\d")
# What the camera's software and opticam_pipe call a file: date, camera, filter, number, kind.
_FILE_NAME = re.compile(r"(?:^|/)\d{6}(?:C[123])?([ugriz])\d{9}[a-z]\.", re.IGNORECASE)
_SLOAN = re.compile(r"(?:SDSS[ _-]?)?([ugriz])['p]?", re.IGNORECASE)
# A calibration's OBJECT: the word alone, or with filters, cameras, numbers or exposures behind it.
_ALONE = r"([ _-]+([a-z]p?'?|c?[\d.]+s?)|\d+)*$"


def _zyla(
    name: str,
    serial: str,
    bands: tuple[str, ...],
    scale: float,
    *,
    rotation: float = 0.0,
    centre: tuple[float, float] = (0.0, 0.0),
) -> Camera:
    """One of the three Andor Zyla 4.2 PLUS; they differ in scale, bands and placement (rotation in degrees)."""
    return Camera(
        name=name,
        ids=(serial,),
        bands=bands,
        folder=rf"(^|[/_-]|(^|/)\d{{6}})(opticam)?{name}([/_.-]|\d|[ugriz]\d|$)",
        size=(2048, 2048),
        pixel_scale=scale * u.arcsec / u.pix,
        gain=0.45 * u.electron / u.adu,  # maker, 16-bit mode; photon transfer on frames allows 0.3 to 0.7
        read_noise=1.3 * u.electron,  # an unbinned pixel; maker 1.1, phoptic 1.3, with a tail (sCMOS)
        saturation=65000 * u.adu,  # the converter's end; the header's SATLEVEL is exceeded by real stars
        pedestal=100 * u.adu,  # maker's offset; the minima of real frames lie at 68 to 91
        pedestal_error=20 * u.adu,
        binned_after_reading=True,  # a binned value is a sum: its noise on real frames says so
        simulated=SimulatedCamera(
            rotation=rotation * u.deg,
            centre=centre,
            dark_current=0.0986 * u.electron / u.s,  # the header's DARKCURR, a data-sheet number
        ),
    )


class Opticam(Instrument):
    """Three simultaneous sCMOS cameras (u g | r | i z) at the 2.1 m telescope of OAN San Pedro Martir."""

    name = "OPTICAM"
    keywords = HeaderKeywords(
        exposure=Keyword("EXPOSURE", u.s),
        kind=Keyword("IMGTYPE", optional=True),
        band=Keyword("FILTER"),
        target=Keyword("OBJECT", optional=True),
        camera=Keyword("SERIALN", optional=True),
        binning=Keyword("BINNING", optional=True),
        ra=Keyword("RA", optional=True),
        dec=Keyword("DEC", optional=True),
        equinox=Keyword("EQUINOX", u.yr, optional=True),
    )
    kinds = (
        Rule(
            _OTHER,
            Matches("HISTORY", "3x3 median filter applied by PROFE") & InPath("(^|/)corrected_3x3/"),
            why="PROFE's filtered copy of a frame",
        ),
        Rule(_FLAT, Matches("IMGTYPE", r"^(sky|dome|twi\w*)?[ _-]*flats?$", like="flat")),
        Rule(_DARK, Matches("IMGTYPE", r"^darks?$", like="dark")),
        Rule(_BIAS, Matches("IMGTYPE", r"^(bias(es)?|zeros?)$", like="bias")),
        Rule(_FLAT, Matches("OBJECT", r"^(sky|dome|twi\w*)?[ _-]*flats?([ _-]?fields?)?" + _ALONE)),
        Rule(_DARK, Matches("OBJECT", r"^darks?" + _ALONE)),
        Rule(_BIAS, Matches("OBJECT", r"^(bias(es)?|zeros?)" + _ALONE)),
        Rule(_BIAS, Below("EXPOSURE", 0.0) & ~Has("OBJECT")),
        Rule(_SCIENCE, Is("IMGTYPE", "object")),
        Rule(_OTHER, Is("IMGTYPE", "other", "focus", "test"), why="neither science nor calibration"),
        Rule(_SCIENCE, Has("OBJECT")),
        Rule(_FLAT, InPath(r"(^|[/_.-])(sky|dome)?flats?([/_.-]|\d|$)")),
        Rule(_DARK, InPath(r"(^|[/_.-])darks?([/_.-]|\d|$)")),
        Rule(_BIAS, InPath(r"(^|[/_.-])(bias(es)?|zeros?)([/_.-]|\d|$)")),
        Rule(_SCIENCE, Always()),
    )
    # Scales: tabulated; star matches put C2 5 to 6 % higher against the others. Rotations and centres: star
    # matches of three simultaneous frames, 2023-11-22.
    cameras = (
        _zyla("C1", "VSC-05535", ("u", "g"), 0.1397),
        _zyla("C2", "VSC-05530", ("r",), 0.1406, rotation=-0.20, centre=(51.2, 63.4)),
        _zyla("C3", "VSC-05522", ("i", "z"), 0.1661, rotation=-0.33, centre=(-6.0, 78.6)),
    )
    calibration = Calibration(bias=False)
    # The published reduction filters 10 s and longer: warm pixels outshine the noise (Paez et al. 2026).
    # The published filter is for stars of 10 pixels and more, unbinned; at 7 pixels it makes bright stars 1.4 times as
    # noisy as single-pixel replacement does, since its loss goes with the star's place within its pixel.
    pixel_filter = PixelFilter("median", minimum_exposure=10 * u.s, binned="selective")
    site = EarthLocation.from_geodetic(lon=-115.463611 * u.deg, lat=31.044167 * u.deg, height=2790 * u.m)
    telescope_diameter = 2.1 * u.m
    simulated = Simulated(equinox=2024.8 * u.yr)  # coordinates are of date

    def mid_time(self, header: RawHeader, exposure: u.Quantity) -> Time:
        """The start, from GPSTIME, else UT, else DATE-OBS, plus half of the exposure."""
        return self.start_time(header) + TimeDelta(exposure / 2)

    def start_time(self, header: RawHeader) -> Time:
        """The start of the exposure, UTC."""
        full = _date_and_time(header, "GPSTIME") or _date_and_time(header, "UT")
        start = full or _time_and_date(header) or _date_and_time(header, "DATE-OBS")
        if start is None:
            raise HeaderError(
                ", ".join(f"{card} = {header.get(card)!r}" for card in ("GPSTIME", "UT", "DATE-OBS"))
            )
        return start

    def time_cards(self, start: Time, exposure: u.Quantity) -> dict[str, CardValue]:
        date, time = start.utc.isot.split("T")
        return {"UT": f"{date} {time} ", "DATE-OBS": date, "UTMIDDLE": "00:00:00.0000", "JD": 0.0}

    def settle(self, infos: tuple[FrameInfo, ...]) -> tuple[FrameInfo, ...]:
        """Put times without a date into the one night that all frames can belong to, if there is just one."""
        timed = [info for info in infos if info.mid_time is not None]
        if not any(DATE_DOUBTFUL in info.notes for info in timed):
            return infos
        nights = set.intersection(*(_possible_nights(info, self.site) for info in timed))
        if len(nights) != 1:
            return infos
        settled = tuple(_moved_to(min(nights), info, self.site) for info in infos)
        return settled if _in_order(infos, settled) else infos

    def band_of(self, header: RawHeader, camera: Camera | None) -> str:
        """u, g, r, i or z, also for the primed names; from the file's name where there is no FILTER."""
        says = super().band_of(header, None)
        if not says and (named := _FILE_NAME.search(header.inside)):
            return named[1].lower()
        if primed := _SLOAN.fullmatch(says):
            return primed[1].lower()
        return says or super().band_of(header, camera)

    def binning_of(self, header: RawHeader) -> tuple[int, int]:
        """BINNING, else CCDXBIN and CCDYBIN; where both are there they agree."""
        columns, rows = numeric(header.get("CCDXBIN")), numeric(header.get("CCDYBIN"))
        if columns is None or rows is None:
            return super().binning_of(header)
        cards = check_binning(header, f"{columns:g}x{rows:g}", [int(columns), int(rows)])
        if "BINNING" in header and super().binning_of(header) != cards:
            raise HeaderError(
                f"{header.path.name}: BINNING says {header['BINNING']}, CCDXBIN and CCDYBIN say"
                f" {cards[0]}x{cards[1]}; the frame is rejected"
            )
        return cards

    def pointing_of(self, header: RawHeader) -> SkyCoord | None:
        """RA and DEC of date, to a few arcminutes; the placeholders 0 and 31 are no coordinates."""
        return super().pointing_of(header) if _has_position(header) else None

    def clock_of(self, header: RawHeader) -> str:
        """GPS; the camera's clock running free after a GPS start; the PC's, in whole seconds; a simulator's."""
        if _is_simulated(header):
            return "simulated"
        since_start = numeric(header.get("CAM_TIME")) or 0.0
        if "GPSTIME" in header or ("INITTIME" in header and not since_start):
            return "GPS"
        if "INITTIME" in header:
            return "GPS + free run"
        return "PC" if str(header.get("UT", "")).endswith(".000") and not since_start else ""

    def remarks(self, header: RawHeader, camera: Camera) -> Iterator[str]:
        yield from _time_remarks(header)
        if not _has_position(header):
            yield "RA and DEC are absent or placeholders"
        yield from _band_remarks(self.band_of(header, None), camera, header)
        if "3x3 median filter applied by PROFE" in str(header.get("HISTORY", "")):
            yield _FILTERED
        columns, wanted = header.image_shape[-1], 2048 // self.binning_of(header)[0]
        if columns < wanted:
            yield f"a window of {columns} of {wanted} columns; its position on the detector is not in the header"

    def amplifiers_in(self, header: RawHeader, camera: Camera) -> tuple[Amplifier, ...]:
        """One; a simulator states its true gain, in GAIN."""
        if not _is_simulated(header) or "GAIN" not in header:
            return ()
        return (Amplifier(hdu=header.image, x0=0, y0=0, gain=Keyword("GAIN", u.electron / u.adu)),)

    def readout_of(self, header: RawHeader) -> str:
        """The readout rate; 000 MHz is a card that was not filled."""
        mode = str(header.get("CCDMODE", ""))
        return "" if mode.startswith("000") else mode

    def pedestal(self, header: RawHeader, camera: Camera | None = None) -> tuple[float, float]:
        """None in the images of a simulator."""
        return (0.0, 0.0) if _is_simulated(header) else super().pedestal(header, camera)

    def is_filtered(self, info: FrameInfo) -> bool:
        return _FILTERED in info.notes


def _has_position(header: RawHeader) -> bool:
    """Whether RA and DEC are more than placeholders: sexagesimal, and not at 0 hours sharp."""
    ra, dec = (str(header.get(card, "")) for card in ("RA", "DEC"))
    return bool(_SEXAGESIMAL.match(ra) and _SEXAGESIMAL.match(dec) and re.search("[1-9]", ra))


def _date_and_time(header: RawHeader, card: str) -> Time | None:
    """The time in a card that has both; a T, blanks, and more behind it do not matter."""
    found = _FULL_DATE.search(str(header.get(card, "")))
    return _instant(found[1], found[2]) if found else None


def _time_and_date(header: RawHeader) -> Time | None:
    """The time in UT with the date in DATE-OBS, which may be that of the evening."""
    time, date = (
        pattern.match(str(header.get(card, "")))
        for pattern, card in ((_TIME_ONLY, "UT"), (_DATE_ONLY, "DATE-OBS"))
    )
    return _instant(date[0], time[0]) if time and date else None


def _instant(date: str, time: str) -> Time | None:
    """The time, UTC; None where there is no such day or hour."""
    try:
        return Time(f"{date}T{time}", scale="utc", format="isot")
    except ValueError:
        return None


def _date_is_doubtful(header: RawHeader) -> bool:
    """Whether UT is a time only, and no time in DATE-OBS bears out the date."""
    guess, stated = _time_and_date(header), _date_and_time(header, "DATE-OBS")
    if guess is None:
        return False
    return stated is None or abs((stated - guess).to_value(u.min)) > 1


def _time_remarks(header: RawHeader) -> Iterator[str]:
    """What is doubtful about the time; UT is GPS at the start plus the camera's clock, to the last digit."""
    now, start = _date_and_time(header, "UT"), _date_and_time(header, "INITTIME")
    if _date_and_time(header, "GPSTIME") is None and _date_is_doubtful(header):
        yield DATE_DOUBTFUL
    elapsed = numeric(header.get("CAM_TIME"))
    if now is not None and start is not None and elapsed is not None:
        off = (now - start).to_value(u.ms) - elapsed
        if abs(off) > 1.5:
            yield f"time: UT differs from INITTIME + CAM_TIME by {off:.1f} ms"
    if (numeric(header.get("EXPCOAD")) or 1) > 1:
        yield f"time: {header['EXPCOAD']} exposures were added; no card says whether EXPOSURE is their sum"


def _band_remarks(band: str, camera: Camera, header: RawHeader) -> Iterator[str]:
    """A band or a serial number that is not the camera's, or a band that no card tells."""
    if band and "FILTER" not in header:
        yield f"no FILTER card; {band} according to the file's name"
    elif band and band not in camera.bands:
        yield f"the filter {band} is not one of camera {camera.name}"
    if "SERIALN" in header and header["SERIALN"] not in camera.ids:
        yield f"the serial number {header['SERIALN']} is not that of camera {camera.name}"


def _possible_nights(info: FrameInfo, site: EarthLocation) -> set[int]:
    """The nights to which the frame can belong."""
    night = _night_number(info, site)
    return {night, night + 1} if DATE_DOUBTFUL in info.notes else {night}


def _night_number(info: FrameInfo, site: EarthLocation) -> int:
    """The night by its whole local day."""
    assert info.mid_time is not None
    return int(np.floor(local_days(info.mid_time, site)))


def _moved_to(night: int, info: FrameInfo, site: EarthLocation) -> FrameInfo:
    """A frame of doubtful date, in that night."""
    if DATE_DOUBTFUL not in info.notes or info.mid_time is None:
        return info
    notes = tuple(DATE_SETTLED if note == DATE_DOUBTFUL else note for note in info.notes)
    late = _night_number(info, site) < night
    return replace(info, mid_time=info.mid_time + _A_DAY if late else info.mid_time, notes=notes)


def _in_order(before: tuple[FrameInfo, ...], after: tuple[FrameInfo, ...]) -> bool:
    """Whether no camera's doubtful dates run backwards, now that its frames have their times."""
    dates: dict[str, list[tuple[float, int]]] = {}
    for was, now in zip(before, after, strict=True):
        if DATE_DOUBTFUL in was.notes and was.mid_time is not None and now.mid_time is not None:
            half = np.nan_to_num(was.exposure.to_value(u.d)) / 2  # a flat's exposure may be unknown
            dates.setdefault(was.camera, []).append((now.mid_time.mjd, int(was.mid_time.mjd - half)))
    return all(early <= late for pairs in dates.values() for (_, early), (_, late) in pairwise(sorted(pairs)))


def _is_simulated(header: RawHeader) -> bool:
    """Whether the opticam package made it: real pixels are integers, of a camera with a serial number."""
    return header.hdus[header.image].get("BITPIX", 16) < 0 and "SERIALN" not in header


@hookimpl
def register_instruments() -> list[type[Instrument]]:
    return [Opticam]
