"""A night of raw files for any instrument, its declarations read backwards, and the truth about its sky."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TypeAlias

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time, TimeDelta

from potpyri_like.astrometry import Transform, airmass, bjd_tdb
from potpyri_like.errors import UsageError
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.instruments import Camera, Instrument, Layout, camera_named, site_of
from potpyri_like.instruments.cameras import camera_of_date, dated_constants, parts_of
from potpyri_like.instruments.dates import Dated, periods
from potpyri_like.lightcurves.limb_darkening import limb_darkening
from potpyri_like.night import slug
from potpyri_like.photometry import scintillation
from potpyri_like.store import Output
from potpyri_like.store.header import CardValue
from potpyri_like.testing import sky
from potpyri_like.testing.cards import raw_header
from potpyri_like.testing.detector import (
    Electronics,
    dark_rates,
    electronics,
    flat_field,
    photon_noise,
    read_out,
)

__all__ = [
    "NightPlan",
    "Truth",
    "a_frame",
    "arcsec_per_pixel",
    "evening_for",
    "simulate_night",
    "usual_band",
]

_BAD = ("truncated", "zeros", "no exposure", "shape")
_FIELD, _WEATHER, _CHIP, _FRAME = range(4)  # what a stream of random numbers is for
_EVENING = "2025-02-22"

_Metadata: TypeAlias = CardValue | list["_Metadata"] | dict[str, "_Metadata"] | None  # of a table


@dataclass(frozen=True, kw_only=True)
class NightPlan:
    """What a simulated night is like: by default with a transit, drift, a meridian flip and changing seeing.

    Attributes
    ----------
    seed : int
        The same seed gives the same bytes.
    frames : int
        Science frames of each camera; a camera with several `bands` takes them in turn.
    exposure, cadence : float, s
        The cadence is from start to start; None: the frames are spread over `hours`.
    hours : float
    start : str or None
        UTC of the first exposure, to the millisecond; None: the run has its middle at local midnight of the
        night of 2025-02-22.
    target : str
    radec : SkyCoord or None
        None: it crosses the meridian in the middle of the run, 15 degrees from the zenith.
    cameras : tuple of str
        (): all, where each camera declares its bands (they share one beam), else the first.
    bands : tuple of str
        (): one for each camera, the last that it declares.
    binning : (int, int)
        Columns, rows.
    size : (int, int) or None
        Columns, rows of the image in the file, where the declaration leaves it open; None: the camera's, but
        no more than 1024 x 1024.
    depth : float or mapping of str to float
        Of the transit, the light lost at its middle; a mapping gives it by band.
    middle : float
        Mid-transit, as a fraction of the night.
    t14 : float or None, hours
        None: 0.45 of the night.
    impact : float
        How far from the middle of the star the planet passes, radii of the star.
    darkening : float
        How far the star's limb darkening is from that of the Sun, at random; both coefficients.
    seeing : (float, float), arcsec
        FWHM in the middle of the night and at its ends.
    profile : str
        "moffat" (beta = 3) or "gauss".
    drift, jitter : float, pixel of the first camera's files
        How far the field moves in the course of the night; scatter from frame to frame.
    rotation : float, degrees
        By which the field turns in the course of the night.
    flip : float or None
        The fraction of the night at which the telescope crosses the meridian and sees the field upside down.
    cloud : float
        Part of the light that a passing cloud takes, a quarter into the night.
    transparency : float
        Amplitude of its slow change.
    extinction : float, mag/airmass
    scintillation : bool
        Where the telescope's diameter is declared.
    sky : float, electron/s/arcsec^2
    stars, comparisons : int
        Faint stars in the first camera's field; stars nearly as bright as the target.
    target_flux : float or None, electron/s
        Above the atmosphere; None: its peak comes to 35 % of saturation at best.
    biases, darks, flats : int or None
        Flats: of each band. None: 7, 5 and 25, of those that the instrument's calibration asks for.
    dark_exposures : tuple of float, s
        (): that of the science frames.
    flat_exposure : float, s
    vignetting, response : float
        Light missing in the corners; scatter of the sensitivity from pixel to pixel.
    dust : int
        Rings of dust on each filter.
    hot, hot_rate : float
        Fraction of hot pixels; their mean rate, electron/s.
    bias_level, bias_structure : float, adu
        Where the camera declares no pedestal; scatter of the bias by row and by column.
    wander : float, adu
        Scatter of the bias level from frame to frame, where there is an overscan to tell.
    folders : bool
        One folder for each camera.
    bad : tuple of str
        Extra frames of the first camera: "truncated", "zeros" (every pixel 0), "no exposure" (its card is
        missing), "shape" (rows are missing).
    """

    seed: int = 3
    frames: int = 60
    exposure: float = 30.0
    cadence: float | None = None
    hours: float = 3.0
    start: str | None = None
    target: str = "WASP-0"
    radec: SkyCoord | None = None
    cameras: tuple[str, ...] = ()
    bands: tuple[str, ...] = ()
    binning: tuple[int, int] = (1, 1)
    size: tuple[int, int] | None = None
    depth: float | Mapping[str, float] = 0.015
    middle: float = 0.5
    t14: float | None = None
    impact: float = 0.3
    darkening: float = 0.07
    seeing: tuple[float, float] = (1.6, 2.6)
    profile: str = "moffat"
    drift: float = 30.0
    jitter: float = 0.5
    rotation: float = 0.2
    flip: float | None = 0.6
    cloud: float = 0.0
    transparency: float = 0.02
    extinction: float = 0.15
    scintillation: bool = True
    sky: float = 60.0
    stars: int = 80
    comparisons: int = 8
    target_flux: float | None = None
    biases: int | None = None
    darks: int | None = None
    flats: int | None = None
    dark_exposures: tuple[float, ...] = ()
    flat_exposure: float = 3.0
    vignetting: float = 0.25
    response: float = 0.008
    dust: int = 3
    hot: float = 0.002
    hot_rate: float = 10.0
    bias_level: float = 1000.0
    bias_structure: float = 0.5
    wander: float = 1.0
    folders: bool = False
    bad: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.frames < 1 or self.exposure < 0:
            raise UsageError(f"a night of {self.frames} frames of {self.exposure} s cannot be simulated")
        if self.profile not in sky.PROFILES:
            raise UsageError(f"profile = {self.profile!r}; it is one of {', '.join(sky.PROFILES)}")
        for kind in self.bad:
            if kind not in _BAD:
                raise UsageError(f"bad = {kind!r}; it is one of {', '.join(_BAD)}")

    @property
    def step(self) -> float:
        """The cadence in s, in whole milliseconds."""
        spread = max(self.exposure + 1, self.hours * 3600 / max(self.frames - 1, 1))
        return round(self.cadence or spread, 3)

    @property
    def days(self) -> float:
        """From the first exposure to the last."""
        return max(self.step * (self.frames - 1), self.exposure, 1.0) / 86400

    @property
    def fraction(self) -> np.ndarray:
        """Of the night, at each frame."""
        return np.arange(self.frames) / max(self.frames - 1, 1)

    def depth_in(self, band: str) -> float:
        """Of the transit."""
        return float(self.depth.get(band, 0.0) if isinstance(self.depth, Mapping) else self.depth)

    def record(self) -> _Metadata:
        """The plan as it goes into a table's metadata."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: _plain(value) for name, value in values.items()}


@dataclass(frozen=True)
class Truth:
    """What is true of a simulated night.

    Attributes
    ----------
    folder : Path
    plan : NightPlan
    frames : Table
        One row for each good science frame, as in truth.ecsv.
    stars : Table
        One row for each star, camera and band: x, y (0-based pixel of the trimmed image) in the camera's
        first frame; flux above the atmosphere, electron/s; the target is star 0.
    target_xy : mapping of str to (float, float)
        In each camera's first frame.
    radec : SkyCoord
    depth : mapping of str to float
        By band.
    tc, tc_utc : float
        Mid-transit: BJD_TDB, and JD_UTC at the observatory.
    t14, t12 : float, hours
    bad : mapping of str to str
        The hostile frames, by what was asked for.
    """

    folder: Path
    plan: NightPlan
    frames: Table
    stars: Table
    target_xy: Mapping[str, tuple[float, float]]
    radec: SkyCoord
    depth: Mapping[str, float]
    tc: float
    tc_utc: float
    t14: float
    t12: float
    bad: Mapping[str, str]


@dataclass(frozen=True)
class _Detector:
    """A camera as it is tonight.

    Attributes
    ----------
    camera : Camera
    index : int
        Among the instrument's cameras.
    bands : tuple of str
    size : (int, int)
        What `Instrument.blank` is asked for.
    layout : Layout
    amplifiers : mapping of int to Electronics
        By HDU.
    dark : ndarray, electron/s
    flats : mapping of str to ndarray
        By band.
    scale : (float, float), arcsec/pixel of the file, along x and y
    to_pixels : Transform
        From arcsec about the field's centre.
    """

    camera: Camera
    index: int
    bands: tuple[str, ...]
    size: tuple[int, int]
    layout: Layout
    amplifiers: Mapping[int, Electronics]
    dark: np.ndarray
    flats: Mapping[str, np.ndarray]
    scale: tuple[float, float]
    to_pixels: Transform

    @property
    def half_size(self) -> np.ndarray:
        """Half of its field, arcsec along x and y."""
        return np.array(self.layout.shape[::-1]) * self.scale / 2

    @property
    def full_well(self) -> float:
        """Of its least amplifier, electron above the bias."""
        room = [float(np.min(e.limit - e.bias)) for e in self.amplifiers.values()]
        return min(room) * min(readout.gain for readout in self.layout.readouts)


@dataclass(frozen=True)
class _Scene:
    """The sky of the night: arrays have one entry for each exposure.

    Attributes
    ----------
    plan : NightPlan
    start : Time
        Of the exposures.
    radec : SkyCoord
    site : EarthLocation
    field : StarField
    motions : tuple of Transform
        Of the field in arcsec, since the first frame.
    seeing : ndarray, arcsec
    brightness : ndarray, electron/s/arcsec^2
        Of the sky.
    transparency : ndarray
        Part of the light that comes through.
    twinkle : ndarray, shape (n_frames, n_stars)
        What scintillation makes of each star's light.
    transits : mapping of str to Transit
        By band, in BJD_TDB.
    """

    plan: NightPlan
    start: Time
    radec: SkyCoord
    site: EarthLocation
    field: sky.StarField
    motions: tuple[Transform, ...]
    seeing: np.ndarray
    brightness: np.ndarray
    transparency: np.ndarray
    twinkle: np.ndarray
    transits: Mapping[str, sky.Transit]

    @cached_property
    def mid_time(self) -> Time:
        return self.start + TimeDelta(self.plan.exposure / 2 * u.s)

    @cached_property
    def bjd(self) -> np.ndarray:
        return bjd_tdb(self.mid_time, self.radec, self.site)

    @cached_property
    def airmass(self) -> np.ndarray:
        return airmass(self.mid_time, self.radec, self.site)

    def target_factor(self, band: str) -> np.ndarray:
        """The transit in each exposure."""
        return self.transits[band].mean_flux(self.bjd, self.plan.exposure / 86400)


def simulate_night(instrument: Instrument, folder: Path, plan: NightPlan | None = None) -> Truth:
    """Write a night of raw files, truth.ecsv and stars.ecsv.

    Parameters
    ----------
    instrument : Instrument
    folder : Path
        Made if it is not there.
    plan : NightPlan, optional

    Raises
    ------
    UsageError
        The instrument has no such camera or band.
    ProductError
        The folder cannot be written to.
    """
    plan = plan or NightPlan()
    chosen = tuple(_chosen_cameras(instrument, plan))
    camera = chosen[0][0]
    site = site_of(instrument, camera.name)
    start = _first_exposure(site, evening_for(camera), plan)
    detectors = tuple(_make_detector(instrument, camera, bands, plan, start) for camera, bands in chosen)
    scene = _make_scene(instrument, site, start, detectors, plan)
    output = Output(Path(folder))
    output.make()
    for detector in detectors:
        _write_calibrations(output, instrument, detector, scene)
        _write_science(output, instrument, detector, scene)
    bad = _write_bad(output, instrument, detectors[0], scene)
    truth = _tell_truth(output.root, detectors, scene, bad)
    output.write_table("truth.ecsv", truth.frames)
    output.write_table("stars.ecsv", truth.stars)
    return truth


# -- what is simulated -------------------------------------------------------------------------------------


def _chosen_cameras(instrument: Instrument, plan: NightPlan) -> Iterator[tuple[Camera, tuple[str, ...]]]:
    """The cameras of the night, and the bands that each observes in."""
    cameras = tuple(camera_named(instrument, name) for name in plan.cameras) or _simultaneous(instrument)
    found = False
    for camera in cameras:
        own = tuple(band for band in plan.bands if band in camera.bands or not camera.bands)
        if own or not plan.bands:
            found = True
            yield camera, own or (usual_band(instrument, camera),)
    if not found:
        names = ", ".join(camera.name for camera in cameras)
        raise UsageError(f"{instrument.name}: no camera of {names} has {', '.join(plan.bands)}")


def _simultaneous(instrument: Instrument) -> tuple[Camera, ...]:
    """Cameras with bands of their own share one beam; others are one another's alternatives."""
    return (
        instrument.cameras if all(camera.bands for camera in instrument.cameras) else instrument.cameras[:1]
    )


def usual_band(instrument: Instrument, camera: Camera) -> str:
    """The last band that the camera or the instrument declares."""
    if camera.bands:
        return camera.bands[-1]
    if instrument.keywords.band is None:
        return ""
    return next(reversed(tuple(instrument.band_names.values())), "R")


def _image_size(camera: Camera, plan: NightPlan) -> tuple[int, int]:
    """Columns and rows that a file's image shall have."""
    if plan.size is not None:
        return plan.size
    columns, rows = camera.size or (1024, 1024)
    return min(columns // plan.binning[0], 1024), min(rows // plan.binning[1], 1024)


def _make_detector(
    instrument: Instrument, camera: Camera, bands: tuple[str, ...], plan: NightPlan, start: Time
) -> _Detector:
    """A camera with the flats, hot pixels and bias that it has tonight."""
    size, index = _image_size(camera, plan), instrument.cameras.index(camera)
    info = a_frame(
        FrameKind.SCIENCE, camera, band=bands[0], target=plan.target, binning=plan.binning, start=start
    )
    header = raw_header(instrument, info, size=size)
    layout = instrument.layout(header)
    camera = camera_of_date(instrument, header, camera)
    pixels = plan.binning[0] * plan.binning[1]
    current = camera.simulated.dark_current.to_value(u.electron / u.s)
    scale = arcsec_per_pixel(camera) * np.array(plan.binning)
    return _Detector(
        camera=camera,
        index=index,
        bands=bands,
        size=size,
        layout=layout,
        amplifiers=electronics(
            _stream(plan, _CHIP, index, 0),
            {hdu: _image_shape(header.hdus[hdu]) for hdu in header.images},
            layout,
            level=plan.bias_level if camera.pedestal is None else instrument.pedestal(header)[0],
            structure=plan.bias_structure,
        ),
        dark=dark_rates(
            _stream(plan, _CHIP, index, 1),
            layout.shape,
            dark_current=current * pixels,
            hot_fraction=plan.hot,
            hot_rate=plan.hot_rate,
        ),
        flats={band: _make_flat(plan, index, band, layout.shape) for band in bands},
        scale=(float(scale[0]), float(scale[1])),
        to_pixels=_field_to_pixels(camera, layout.shape, plan.binning),
    )


def _make_flat(plan: NightPlan, camera: int, band: str, shape: tuple[int, int]) -> np.ndarray:
    """Pixels answer alike in all bands; the dust is on the filter."""
    return flat_field(
        _stream(plan, _CHIP, camera, 2),
        _stream(plan, _CHIP, camera, 3, zlib.crc32(band.encode())),
        shape,
        response=plan.response,
        vignetting=plan.vignetting,
        rings=plan.dust,
    )


def _field_to_pixels(camera: Camera, shape: tuple[int, int], binning: tuple[int, int]) -> Transform:
    """From arcsec about the field's centre, oriented as in the first camera, to pixels of the trimmed image.

    Mirrored first, where the camera is `flipped`; then turned, scaled and shifted by its `centre`.
    """
    placed = camera.simulated
    mirror = np.diag([-1.0 if placed.flipped else 1.0, 1.0])
    turn = sky.rotation_matrix(placed.rotation.to_value(u.rad)) @ mirror
    scale = arcsec_per_pixel(camera) * np.array(binning)
    middle = (np.array(shape[::-1]) - 1) / 2
    return Transform(turn / scale[:, None], middle + np.array(placed.centre) / binning)


def arcsec_per_pixel(camera: Camera) -> float:
    """The unbinned pixel scale of a camera as it is tonight."""
    return float(u.Quantity(camera.pixel_scale).to_value(u.arcsec / u.pix))


def _make_scene(
    instrument: Instrument,
    site: EarthLocation,
    begin: Time,
    detectors: tuple[_Detector, ...],
    plan: NightPlan,
) -> _Scene:
    """The sky over the site, from the first exposure on."""
    start = begin + TimeDelta(np.round(np.arange(plan.frames) * plan.step, 3) * u.s)
    radec = plan.radec or _transiting(start[0] + TimeDelta(plan.days / 2 * u.day), site)
    field = _make_field(detectors, plan)
    weather = [_stream(plan, _WEATHER, k) for k in range(plan.frames)]
    jitter = plan.jitter * np.array([rng.standard_normal(2) for rng in weather])
    flicker = np.array([rng.standard_normal() for rng in weather])
    unit = float(np.mean(detectors[0].scale))
    height = airmass(start, radec, site)
    phase = _stream(plan, _WEATHER).uniform(size=3)
    middle = float(bjd_tdb(_mid_transit(start, plan), radec, site))
    return _Scene(
        plan=plan,
        start=start,
        radec=radec,
        site=site,
        field=field,
        motions=tuple(_move(plan, k, unit, jitter[k], 2 * np.pi * phase[0]) for k in range(plan.frames)),
        seeing=sky.v_shaped(plan.fraction, best=plan.seeing[0], worst=plan.seeing[1]) * (1 + 0.02 * flicker),
        brightness=plan.sky * sky.smooth_change(plan.fraction, amplitude=0.15, phase=phase[1]),
        transparency=sky.extinction(height, coefficient=plan.extinction)
        * sky.smooth_change(plan.fraction, amplitude=plan.transparency, phase=phase[2])
        * sky.cloud_passage(plan.fraction, loss=plan.cloud),
        twinkle=_make_twinkle(instrument, height, site, field, plan, weather),
        transits={band: _make_transit(plan, band, middle) for band in field.flux},
    )


def _mid_transit(start: Time, plan: NightPlan) -> Time:
    """At the observatory."""
    return start[0] + TimeDelta(plan.middle * plan.days * u.day)


def _make_transit(plan: NightPlan, band: str, middle: float) -> sky.Transit:
    """The transit in one band, around that moment."""
    t14 = 0.45 * plan.days if plan.t14 is None else plan.t14 / 24
    (u1, _), (u2, _) = limb_darkening(band)
    of_band = zlib.crc32(band.encode())
    away = plan.darkening * np.random.default_rng([plan.seed, _WEATHER, of_band]).uniform(-1, 1, 2)
    return sky.Transit(plan.depth_in(band), middle, t14, plan.impact, u1 + away[0], u2 + away[1])


def evening_for(camera: Camera) -> str:
    """The date on which nights and frames of a camera are made: one of which all its constants are declared."""
    changed = [periods(getattr(part, name)) for part in parts_of(camera) for name in dated_constants(part)]
    for date in (_EVENING, *(_begin_of(period) for values in changed for period in values)):
        mjd = Time(date, scale="utc").mjd
        if all(any(p.first <= mjd and mjd + 2 < p.end for p in values) for values in changed):
            return date
    return _EVENING


def _begin_of(period: Dated) -> str:
    """Its first whole day; of what always held until a date, a day shortly before."""
    mjd = period.first + 1 if np.isfinite(period.first) else period.end - 3
    return str(Time(np.floor(mjd), format="mjd", scale="utc").strftime("%Y-%m-%d"))


def _first_exposure(site: EarthLocation, evening: str, plan: NightPlan) -> Time:
    """As planned, or half a run before local midnight."""
    if plan.start is not None:
        return Time(plan.start, scale="utc", precision=3)
    midnight = 1 - site.lon.wrap_at(180 * u.deg).deg / 360
    seconds = np.rint((midnight - plan.days / 2) * 86400)
    return Time(evening, scale="utc", precision=3) + TimeDelta(seconds * u.s)


def _transiting(time: Time, site: EarthLocation) -> SkyCoord:
    """A place on the meridian, 15 degrees from the zenith on the side of the equator, in whole minutes.

    The mean sidereal time of Meeus, Astronomical Algorithms (12.4), with UTC for UT1: good to 15 arcsec.
    """
    sidereal = (280.46061837 + 360.98564736629 * (time.utc.jd - 2451545.0) + site.lon.deg) % 360
    dec = site.lat.deg - np.copysign(15, site.lat.deg)
    return SkyCoord(ra=np.rint(sidereal * 4) / 4 % 360 * u.deg, dec=np.rint(dec * 60) / 60 * u.deg)


def _make_field(detectors: tuple[_Detector, ...], plan: NightPlan) -> sky.StarField:
    """Stars over all cameras' fields, wherever they drift, and the target near the middle."""
    first = detectors[0]
    reach = [d.half_size + np.abs(d.camera.simulated.centre) * d.scale / plan.binning for d in detectors]
    half = 1.15 * np.max(reach, axis=0) + plan.drift * np.max(first.scale)
    core = 0.7 * np.min([d.half_size for d in detectors], axis=0)
    return sky.star_field(
        _stream(plan, _FIELD),
        bands=tuple(dict.fromkeys(band for d in detectors for band in d.bands)),
        half_size=(float(half[0]), float(half[1])),
        core=(float(core[0]), float(core[1])),
        faint=round(plan.stars * float(np.prod(half) / np.prod(first.half_size))),
        comparisons=plan.comparisons,
        target_flux=plan.target_flux or min(_fitting_flux(d, plan) for d in detectors),
        target_xy=(0.12 * float(core.min()), -0.08 * float(core.min())),
        separation=4 * max(plan.seeing),
    )


def _fitting_flux(detector: _Detector, plan: NightPlan) -> float:
    """The star whose peak comes to 35 % of saturation in the best seeing, electron/s."""
    peak = sky.peak_fraction(_widths(detector, min(plan.seeing)), profile=plan.profile)
    return 0.35 * detector.full_well / (peak * max(plan.exposure, 0.001))


def _make_twinkle(
    instrument: Instrument,
    height: np.ndarray,
    site: EarthLocation,
    field: sky.StarField,
    plan: NightPlan,
    weather: list[np.random.Generator],
) -> np.ndarray:
    """Scintillation of each star in each frame, the same in all cameras; all 1 where it is not asked for."""
    draws = np.array([rng.standard_normal(len(field.xy)) for rng in weather])
    if instrument.telescope_diameter is None or not plan.scintillation or plan.exposure == 0:
        return np.ones_like(draws)
    diameter, altitude = instrument.telescope_diameter.to_value(u.m), site.height.to_value(u.m)
    return 1 + scintillation(plan.exposure, height, diameter=diameter, altitude=altitude)[:, None] * draws


def _move(plan: NightPlan, k: int, unit: float, jitter: np.ndarray, direction: float) -> Transform:
    """Where the field is in frame k, arcsec; a pixel of the first camera's files has `unit` arcsec."""
    return sky.field_motion(
        plan.fraction[k],
        drift=plan.drift * unit,
        direction=direction,
        rotation=plan.rotation,
        flip=plan.flip,
        flip_offset=(6 * unit, -9 * unit),
        jitter=(jitter[0] * unit, jitter[1] * unit),
    )


# -- frames ------------------------------------------------------------------------------------------------


def _write_science(output: Output, instrument: Instrument, detector: _Detector, scene: _Scene) -> None:
    """All science frames of one camera."""
    for k in range(scene.plan.frames):
        info = _science_frame(detector, scene, k)
        images = _science_images(detector, scene, k)
        _write_raw(output, instrument, detector, info, images)


def _science_frame(detector: _Detector, scene: _Scene, k: int) -> FrameInfo:
    """The k-th science frame; k may go on beyond the last."""
    plan, band = scene.plan, detector.bands[k % len(detector.bands)]
    return a_frame(
        FrameKind.SCIENCE,
        detector.camera,
        path=_file_name(scene, detector, band, k + 1),
        band=band,
        target=plan.target,
        exposure=plan.exposure,
        start=scene.start[0] + TimeDelta(round(k * plan.step, 3) * u.s),
        binning=plan.binning,
        pointing=scene.radec,
    )


def _science_images(detector: _Detector, scene: _Scene, k: int) -> dict[int, np.ndarray]:
    """The pixels of the k-th science frame, by HDU."""
    plan, band = scene.plan, detector.bands[k % len(detector.bands)]
    light = _sky_light(detector, scene, k) * detector.flats[band]
    return _exposed(detector, plan, light, plan.exposure, _stream(plan, _FRAME, detector.index, 0, k))


def _sky_light(detector: _Detector, scene: _Scene, k: int) -> np.ndarray:
    """Electrons that stars and sky leave in each pixel in frame k, before the flat and without noise."""
    plan, band = scene.plan, detector.bands[k % len(detector.bands)]
    flux = scene.field.flux[band] * scene.twinkle[k] * scene.transparency[k] * plan.exposure
    flux[0] *= scene.target_factor(band)[k]
    xy = scene.motions[k].then(detector.to_pixels)(scene.field.xy)
    image = sky.star_image(
        detector.layout.shape, xy, flux, fwhm=_widths(detector, scene.seeing[k]), profile=plan.profile
    )
    return image + np.float32(_sky_level(detector, scene, k))


def _sky_level(detector: _Detector, scene: _Scene, k: int) -> float:
    """Of the sky in frame k, electron/pixel."""
    return float(scene.brightness[k] * scene.plan.exposure * detector.scale[0] * detector.scale[1])


def _widths(detector: _Detector, seeing: float) -> tuple[float, float]:
    """FWHM along x and y, in pixels of the file, before the integration over pixels."""
    return float(seeing / detector.scale[0]), float(seeing / detector.scale[1])


def _exposed(
    detector: _Detector, plan: NightPlan, light: np.ndarray | float, exposure: float, rng: np.random.Generator
) -> dict[int, np.ndarray]:
    """Light and dark current of one exposure, with photon noise, read out."""
    electrons = photon_noise(rng, light + detector.dark * np.float32(exposure))
    wander = plan.wander * rng.standard_normal() if detector.layout.has_overscan else 0.0
    return read_out(rng, electrons, detector.layout, detector.amplifiers, wander=wander)


def _write_calibrations(output: Output, instrument: Instrument, detector: _Detector, scene: _Scene) -> None:
    """Biases and darks in the afternoon, flats in the twilight, one every minute."""
    plan = scene.plan
    shots = list(_calibration_shots(instrument, detector, plan))
    for number, (kind, band, exposure) in enumerate(shots, start=1):
        rng = _stream(plan, _FRAME, detector.index, 1, number)
        light: np.ndarray | float = 0.0
        if kind is FrameKind.FLAT:
            light = np.float32(rng.uniform(0.5, 0.75) * detector.full_well) * detector.flats[band]
        ahead = 3600 + sum(max(60, np.ceil(exposure) + 1) for *_, exposure in shots[number - 1 :])
        info = a_frame(
            kind,
            detector.camera,
            path=_file_name(scene, detector, f"{kind}_{band}" if band else str(kind), number),
            band=band,
            exposure=exposure,
            start=scene.start[0] - TimeDelta(ahead * u.s),
            binning=plan.binning,
            pointing=scene.radec,
        )
        _write_raw(output, instrument, detector, info, _exposed(detector, plan, light, exposure, rng))


def _calibration_shots(
    instrument: Instrument, detector: _Detector, plan: NightPlan
) -> Iterator[tuple[FrameKind, str, float]]:
    """Kind, band and exposure of each calibration frame of one camera."""
    asked, known = instrument.calibration, {rule.kind for rule in instrument.rules}
    for kind, planned, usual, wanted, bands, exposures in (
        (FrameKind.BIAS, plan.biases, 7, asked.bias, ("",), (0.0,)),
        (FrameKind.DARK, plan.darks, 5, asked.dark, ("",), plan.dark_exposures or (plan.exposure,)),
        (FrameKind.FLAT, plan.flats, 25, asked.flat, detector.bands, (plan.flat_exposure,)),
    ):
        count = planned if planned is not None else usual * (wanted and kind in known)
        for band in bands:
            for exposure in exposures:
                yield from [(kind, band, exposure)] * count


def _write_bad(output: Output, instrument: Instrument, detector: _Detector, scene: _Scene) -> dict[str, str]:
    """The hostile frames, after the good ones; their names, by what is wrong with them."""
    names = {}
    for k, kind in enumerate(scene.plan.bad, start=scene.plan.frames):
        info = _science_frame(detector, scene, k)
        hdus = _raw_file(instrument, detector, info, _spoilt(_science_images(detector, scene, 0), kind))
        if kind == "no exposure":
            for hdu, card in product(hdus, instrument.keywords.exposure.cards):
                hdu.header.remove(card, ignore_missing=True)
        content = _as_bytes(hdus)
        keep = len(content) * 6 // 10 if kind == "truncated" else len(content)
        names[kind] = (
            output.write_bytes(info.path.as_posix(), content[:keep]).relative_to(output.root).as_posix()
        )
    return names


def _spoilt(images: Mapping[int, np.ndarray], kind: str) -> dict[int, np.ndarray]:
    """Pixels that are all 0, or without their last rows, where that is asked for."""
    if kind == "zeros":
        return {hdu: np.zeros_like(image) for hdu, image in images.items()}
    if kind == "shape":
        return {hdu: image[: len(image) - max(1, len(image) // 8)] for hdu, image in images.items()}
    return dict(images)


def _as_bytes(hdus: fits.HDUList) -> bytes:
    """The file, in memory."""
    file = io.BytesIO()
    hdus.writeto(file)
    return file.getvalue()


def _write_raw(
    output: Output,
    instrument: Instrument,
    detector: _Detector,
    info: FrameInfo,
    images: Mapping[int, np.ndarray],
) -> None:
    """One raw file, without the checksums of our products: an instrument's own files have none."""
    hdus = _raw_file(instrument, detector, info, images)
    output.write(info.path.as_posix(), hdus.writeto)


def _raw_file(
    instrument: Instrument, detector: _Detector, info: FrameInfo, images: Mapping[int, np.ndarray]
) -> fits.HDUList:
    """Headers and pixels of one raw file."""
    headers = raw_header(instrument, info, size=detector.size).hdus
    extensions = [fits.ImageHDU(images.get(hdu), header) for hdu, header in enumerate(headers) if hdu]
    return fits.HDUList([fits.PrimaryHDU(images.get(0), headers[0]), *extensions])


def _image_shape(header: fits.Header) -> tuple[int, int]:
    """Rows, columns."""
    return int(header["NAXIS2"]), int(header["NAXIS1"])


def a_frame(
    kind: FrameKind,
    camera: Camera,
    *,
    path: Path = Path("frame.fits"),
    band: str = "",
    target: str = "",
    exposure: float = 1.0,
    start: Time | None = None,
    binning: tuple[int, int] = (1, 1),
    pointing: SkyCoord | None = None,
) -> FrameInfo:
    """The description of a frame to be made; exposure in s."""
    begin = Time(evening_for(camera), scale="utc") if start is None else start
    return FrameInfo(
        path=path,
        kind=kind,
        camera=camera.name,
        band=band,
        target=target,
        binning=binning,
        exposure=exposure * u.s,
        mid_time=begin + TimeDelta(exposure / 2 * u.s),
        shape=(0, 0),
        pointing=pointing,
    )


def _file_name(scene: _Scene, detector: _Detector, what: str, number: int) -> Path:
    """Date of the evening, camera, what it is, and the number, which simultaneous frames share."""
    evening = scene.start[0] + TimeDelta((scene.site.lon.wrap_at(180 * u.deg).deg / 360 - 0.5) * u.day)
    camera = slug(detector.camera.name)
    parts = (evening.strftime("%y%m%d"), camera, slug(what) if what else "", f"{number:04d}")
    name = "_".join(part for part in parts if part) + ".fits"
    return Path(camera, name) if scene.plan.folders else Path(name)


def _stream(plan: NightPlan, *key: int) -> np.random.Generator:
    """Random numbers for one purpose, whatever else is simulated."""
    return np.random.default_rng(np.random.SeedSequence(plan.seed, spawn_key=key))


# -- the truth ---------------------------------------------------------------------------------------------


def _tell_truth(
    folder: Path, detectors: tuple[_Detector, ...], scene: _Scene, bad: Mapping[str, str]
) -> Truth:
    """The tables and numbers that a reduction is to find again."""
    a_transit = next(iter(scene.transits.values()))
    places = {d.camera.name: _pixels_in(d, scene, 0) for d in detectors}
    target_xy = {name: (float(xy[0, 0]), float(xy[0, 1])) for name, xy in places.items()}
    depth = {band: transit.depth for band, transit in scene.transits.items()}
    frames = Table(rows=[_truth_row(d, scene, k) for d in detectors for k in range(scene.plan.frames)])
    stars = Table(rows=[row for d in detectors for row in _star_rows(d, scene, places[d.camera.name])])
    for name, unit in {
        "mid_time": "",
        "jd_utc": "d",
        "bjd_tdb": "d",
        "fwhm_pix": "pix",
        "sky": "electron / pix",
    }.items():
        frames[name].unit = unit or None
    truth = Truth(
        folder=folder,
        plan=scene.plan,
        frames=frames,
        stars=stars,
        target_xy=target_xy,
        radec=scene.radec,
        depth=depth,
        tc=a_transit.centre,
        tc_utc=float(_mid_transit(scene.start, scene.plan).jd),
        t14=a_transit.t14 * 24,
        t12=a_transit.t12 * 24,
        bad=bad,
    )
    frames.meta.update(_truth_meta(truth))
    return truth


def _truth_meta(truth: Truth) -> dict[str, _Metadata]:
    """What truth.ecsv says of the whole night."""
    return {
        "seed": truth.plan.seed,
        "target_xy": {camera: list(xy) for camera, xy in truth.target_xy.items()},
        "radec": truth.radec.to_string("hmsdms", precision=3),
        "depth": dict(truth.depth),
        "tc_bjd_tdb": truth.tc,
        "tc_jd_utc": truth.tc_utc,
        "t14_hours": truth.t14,
        "t12_hours": truth.t12,
        "bad": dict(truth.bad),
        "plan": truth.plan.record(),
    }


def _pixels_in(detector: _Detector, scene: _Scene, k: int) -> np.ndarray:
    """Where the stars are in frame k of a camera."""
    return scene.motions[k].then(detector.to_pixels)(scene.field.xy)


def _truth_row(detector: _Detector, scene: _Scene, k: int) -> dict[str, CardValue]:
    """One row of truth.ecsv: dx, dy is where the first frame's centre went."""
    band = detector.bands[k % len(detector.bands)]
    first, now = (scene.motions[i].then(detector.to_pixels) for i in (0, k))
    moved = first.inverse().then(now)
    centre = (np.array([detector.layout.shape[::-1]]) - 1) / 2
    dx, dy = (moved(centre) - centre)[0]
    plan = scene.plan
    return {
        "file": _science_frame(detector, scene, k).path.as_posix(),
        "camera": detector.camera.name,
        "band": band,
        "mid_time": Time(scene.mid_time[k], precision=6).isot,
        "jd_utc": float(scene.mid_time[k].jd),
        "bjd_tdb": float(scene.bjd[k]),
        "airmass": float(scene.airmass[k]),
        "fwhm_pix": float(np.sqrt(np.prod(_widths(detector, scene.seeing[k])))),
        "dx": float(dx),
        "dy": float(dy),
        "rotation": moved.rotation,
        "flipped": bool(plan.flip is not None and plan.fraction[k] >= plan.flip),
        "target_factor": float(scene.target_factor(band)[k]),
        "sky": _sky_level(detector, scene, k),
        "transparency": float(scene.transparency[k]),
    }


def _star_rows(detector: _Detector, scene: _Scene, xy: np.ndarray) -> Iterator[dict[str, CardValue]]:
    """The stars inside a camera's first frame."""
    rows, columns = detector.layout.shape
    for band in detector.bands:
        for star, (x, y) in enumerate(xy):
            if 0 <= x < columns and 0 <= y < rows:
                flux = float(scene.field.flux[band][star])
                yield {
                    "star": star,
                    "camera": detector.camera.name,
                    "band": band,
                    "x": float(x),
                    "y": float(y),
                    "flux": flux,
                }


def _plain(value: object) -> _Metadata:
    """A value as a table's metadata can hold it."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, SkyCoord):
        return value.to_string("hmsdms", precision=3)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return value if value is None or isinstance(value, CardValue) else str(value)
