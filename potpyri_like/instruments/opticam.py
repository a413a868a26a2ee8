"""OPTICAM: three simultaneous cameras on the 2.1 m telescope of OAN-SPM (Castro et al. 2019, RMxAA 55, 363)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import astropy.units as u
from astropy.coordinates import FK5, EarthLocation, SkyCoord
from astropy.time import Time, TimeDelta

from potpyri_like.errors import HeaderError
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.header import RawHeader
from potpyri_like.hookspecs import hookimpl
from potpyri_like.instruments.base import Calibration, Instrument, PixelFilter
from potpyri_like.instruments.cameras import Camera, Layout
from potpyri_like.instruments.keywords import HeaderKeywords, Keyword
from potpyri_like.instruments.rules import Always, Below, Has, InPath, Is, Matches, Rule

SCIENCE, BIAS, DARK, FLAT, OTHER = FrameKind
A_DAY = TimeDelta(1 * u.day)
DATE_DOUBTFUL = "time: the header gives a time without a date, and DATE-OBS may be that of the evening"
DATE_SETTLED = "time: the header gives no date with it; it was settled by the other frames of the night"
FILTERED = "it was median filtered before (PROFE); it is not filtered again"

FULL_DATE = re.compile(r"(\d{4}-\d\d-\d\d)[T ]+(\d\d:\d\d:\d\d(?:\.\d{1,9})?)")
TIME_ONLY = re.compile(r"(\d\d:\d\d:\d\d(?:\.\d{1,9})?)")
SEXAGESIMAL = re.compile(r"[+-]?\d{1,3}[: ]\d\d?[: ]\d")


def zyla(name: str, serial: str, bands: tuple[str, ...], scale: float, **placement: Any) -> Camera:
    """One of the three Andor Zyla 4.2 PLUS; they differ in scale, bands and placement."""
    return Camera(
        name=name,
        ids=(serial,),
        bands=bands,
        folder=rf"(^|[/_])(opticam)?{name}([/_.]|\d|$)",
        size=(2048, 2048),
        pixel_scale=scale * u.arcsec / u.pix,
        gain=0.45 * u.electron / u.adu,  # maker, 16-bit mode; photon transfer on frames allows 0.3 to 0.7
        read_noise=1.3 * u.electron,  # an unbinned pixel; maker 1.1, phoptic 1.3, with a tail (sCMOS)
        saturation=65000 * u.adu,  # the converter's end; the header's SATLEVEL is exceeded by real stars
        pedestal=100 * u.adu,  # maker's offset; the minima of real frames lie at 68 to 91
        pedestal_error=20 * u.adu,
        dark_current=0.0986 * u.electron / u.s,  # the header's DARKCURR, a data-sheet number
        binned_after_reading=True,  # a binned value is a sum: its noise on real frames says so
        **placement,
    )


class Opticam(Instrument):
    """OPTICAM, three simultaneous sCMOS cameras (u g | r | i z), 2.1 m telescope, OAN San Pedro Martir."""

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
        Rule(FLAT, Matches("IMGTYPE", r"^(sky|dome|twi\w*)?[ _-]*flats?$", like="flat")),
        Rule(DARK, Matches("IMGTYPE", r"^darks?$", like="dark")),
        Rule(BIAS, Matches("IMGTYPE", r"^(bias(es)?|zeros?)$", like="bias")),
        Rule(FLAT, Matches("OBJECT", r"^(sky|dome|twi\w*)?[ _-]*flats?([ _-]|$)")),
        Rule(DARK, Matches("OBJECT", r"^darks?([ _-]|$)")),
        Rule(BIAS, Matches("OBJECT", r"^(bias(es)?|zeros?)([ _-]|$)")),
        Rule(SCIENCE, Is("IMGTYPE", "object")),
        Rule(OTHER, Has("IMGTYPE") & Is("IMGTYPE", "other", "focus", "test"), why="neither science nor calibration"),
        Rule(SCIENCE, Has("OBJECT")),
        Rule(FLAT, InPath(r"(^|[/_.-])(sky|dome)?flats?([/_.-]|\d|$)")),
        Rule(DARK, InPath(r"(^|[/_.-])darks?([/_.-]|\d|$)")),
        Rule(BIAS, InPath(r"(^|[/_.-])(bias(es)?|zeros?)([/_.-]|\d|$)")),
        Rule(BIAS, Below("EXPOSURE", 0.0)),
        Rule(SCIENCE, Always()),
    )
    # Scales: tabulated; star matches put C2 5 to 6 % higher against the others. Rotations and centres: star
    # matches of three simultaneous frames, 2023-11-22.
    cameras = (
        zyla("C1", "VSC-05535", ("u", "g"), 0.1397),
        zyla("C2", "VSC-05530", ("r",), 0.1406, rotation=-0.20 * u.deg, centre=(51.2, 63.4)),
        zyla("C3", "VSC-05522", ("i", "z"), 0.1661, rotation=-0.33 * u.deg, centre=(-6.0, 78.6)),
    )
    calibration = Calibration(bias=False)
    # The published reduction filters 10 s and longer, where warm pixels outshine the noise (Paez et al. 2026).
    pixel_filter = PixelFilter("median", minimum_exposure=10 * u.s)
    site = EarthLocation.from_geodetic(lon=-115.463611 * u.deg, lat=31.044167 * u.deg, height=2790 * u.m)
    telescope_diameter = 2.1 * u.m

    def mid_time(self, header: RawHeader, exposure: u.Quantity) -> Time:
        """The start, from GPSTIME, else UT, else DATE-OBS, plus half of the exposure."""
        return self.start_time(header) + TimeDelta(exposure / 2)

    def start_time(self, header: RawHeader) -> Time:
        """The start of the exposure, UTC, from the first card that has a date and a time."""
        for card in ("GPSTIME", "UT", "DATE-OBS"):
            if found := FULL_DATE.search(str(header.get(card, ""))):
                return Time(f"{found[1]}T{found[2]}", scale="utc")
        time, date = TIME_ONLY.search(str(header.get("UT", ""))), str(header.get("DATE-OBS", ""))
        if time is None or not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
            raise HeaderError(f"GPSTIME, UT and DATE-OBS are {[header.get(c) for c in ('GPSTIME', 'UT', 'DATE-OBS')]}")
        return Time(f"{date}T{time[1]}", scale="utc")

    def time_cards(self, start: Time, exposure: u.Quantity) -> dict[str, Any]:
        date, time = start.utc.isot.split("T")
        return {"UT": f"{date} {time} ", "DATE-OBS": date, "UTMIDDLE": "00:00:00.0000", "JD": 0.0}

    def settle(self, infos: tuple[FrameInfo, ...]) -> tuple[FrameInfo, ...]:
        """Put times without a date into the one night that all frames can belong to, if there is just one."""
        doubtful = [info for info in infos if DATE_DOUBTFUL in info.notes and info.mid_time is not None]
        if not doubtful:
            return infos
        timed = [info for info in infos if info.mid_time is not None]
        nights = set.intersection(*(self.possible_nights(info) for info in timed))
        if len(nights) != 1:
            return infos
        return tuple(self.settled(info, next(iter(nights))) if info in doubtful else info for info in infos)

    def possible_nights(self, info: FrameInfo) -> set[int]:
        """The nights, as day numbers from local noon, to which the frame can belong."""
        assert info.mid_time is not None
        night = self.night_number(info.mid_time)
        return {night, night + 1} if DATE_DOUBTFUL in info.notes else {night}

    def night_number(self, time: Time) -> int:
        """Days since 1858-11-17 at local mean noon."""
        return int((time.mjd + self.site.lon.deg / 360 - 0.5) // 1)

    def settled(self, info: FrameInfo, night: int) -> FrameInfo:
        assert info.mid_time is not None
        late = self.night_number(info.mid_time) < night
        notes = tuple(DATE_SETTLED if note == DATE_DOUBTFUL else note for note in info.notes)
        return replace(info, mid_time=info.mid_time + A_DAY if late else info.mid_time, notes=notes)

    def band_of(self, header: RawHeader, camera: Camera | None) -> str:
        """u, g, r, i or z, also for the primed names."""
        return super().band_of(header, camera).rstrip("'p′").lower()

    def binning_of(self, header: RawHeader) -> tuple[int, int]:
        """BINNING, checked against CCDXBIN and CCDYBIN."""
        binning = super().binning_of(header)
        cards = header.get("CCDXBIN"), header.get("CCDYBIN")
        if None not in cards and (int(cards[0]), int(cards[1])) != binning:
            raise HeaderError(
                f"{header.path.name}: BINNING says {binning}, CCDXBIN and CCDYBIN say {cards}; the frame is left out"
            )
        return binning

    def pointing_of(self, header: RawHeader) -> SkyCoord | None:
        """RA and DEC of date, to a few arcminutes; the placeholders 0 and 31 are no coordinates."""
        texts = [str(header.get(card, "")) for card in ("RA", "DEC")]
        return super().pointing_of(header) if all(SEXAGESIMAL.match(text) for text in texts) else None

    def pointing_values(self, pointing: SkyCoord) -> dict[str, Any]:
        of_date = pointing.transform_to(FK5(equinox="J2024.8"))
        return super().pointing_values(of_date) | {"equinox": 2024.8 * u.yr}

    def clock_of(self, header: RawHeader) -> str:
        if "GPSTIME" in header or "INITTIME" in header:
            return "GPS"
        return "PC" if str(header.get("UT", "")).endswith(".000") else ""

    def layout(self, header: RawHeader) -> Layout:
        """A float image comes from a simulator, which states its true gain."""
        layout = super().layout(header)
        if not is_float(header) or "GAIN" not in header:
            return layout
        return replace(layout, readouts=tuple(replace(r, gain=float(header["GAIN"])) for r in layout.readouts))

    def pedestal(self, header: RawHeader) -> tuple[float, float]:
        return (0.0, 0.0) if is_float(header) else super().pedestal(header)

    def is_filtered(self, info: FrameInfo) -> bool:
        return FILTERED in info.notes

    def remarks(self, header: RawHeader) -> Iterator[str]:
        if not any(FULL_DATE.search(str(header.get(card, ""))) for card in ("GPSTIME", "UT", "DATE-OBS")):
            if TIME_ONLY.search(str(header.get("UT", ""))):
                yield DATE_DOUBTFUL
        if self.pointing_of(header) is None:
            yield "RA and DEC are absent or placeholders"
        yield from camera_remarks(self, header)
        yield from clock_remarks(header)
        if "3x3 median filter applied by PROFE" in str(header.hdus[0].get("HISTORY", "")):
            yield FILTERED
        columns = header.image_shape[-1] * self.binning_of(header)[0]
        if columns < self.cameras[0].size[0]:  # type: ignore[index]
            yield f"a window of {columns} of 2048 columns, whose place on the chip no card tells"


def camera_remarks(instrument: Opticam, header: RawHeader) -> Iterable[str]:
    """A filter that the camera of that serial number does not have."""
    camera, band = instrument.camera_of(header), instrument.band_of(header, None)
    if band and camera.bands and band not in camera.bands:
        yield f"camera {camera.name} by its serial number, though the filter {band} belongs to another"


def clock_remarks(header: RawHeader) -> Iterable[str]:
    """UT against the GPS time of the first frame plus the camera's own clock (they agree to the last digit)."""
    start, now = (FULL_DATE.search(str(header.get(card, ""))) for card in ("INITTIME", "UT"))
    if start is None or now is None or "CAM_TIME" not in header:
        return
    elapsed = TimeDelta(float(header["CAM_TIME"]) * u.ms)
    expected = Time(f"{start[1]}T{start[2]}", scale="utc") + elapsed
    off = (Time(f"{now[1]}T{now[2]}", scale="utc") - expected).to_value(u.ms)
    if abs(off) > 1.5:
        yield f"UT differs from INITTIME + CAM_TIME by {off:.1f} ms"


def is_float(header: RawHeader) -> bool:
    return header.hdus[header.images[0]].get("BITPIX", 16) < 0


@hookimpl
def register_instruments() -> list[type[Instrument]]:
    return [Opticam]
