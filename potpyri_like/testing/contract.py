"""What every instrument has to keep, as checks that run under pytest and without it.

::

    from potpyri_like.testing import InstrumentContract

    class TestToy(InstrumentContract):
        instrument = Toy
        real_headers = {"toy_0001.fits": "2025-02-23T03:02:51.500"}
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time, TimeDelta

from potpyri_like.errors import HeaderError, ReductionError
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.imaging import Section
from potpyri_like.instruments import Camera, Instrument, Keyword, Readout, camera_named
from potpyri_like.instruments.cameras import camera_at, parts_of
from potpyri_like.instruments.dates import values_of
from potpyri_like.store import is_raw_name, read_header
from potpyri_like.store.header import RawHeader
from potpyri_like.testing.cards import raw_header
from potpyri_like.testing.simulate import (
    NightPlan,
    Truth,
    a_frame,
    arcsec_per_pixel,
    evening_for,
    simulate_night,
    usual_band,
)
from potpyri_like.testing.sky import rotation_matrix

if TYPE_CHECKING:
    from potpyri_like.results import Reference, RunReport, SetResult

__all__ = ["CheckResult", "InstrumentContract", "check_instrument"]

# What a plugin's own code may raise: an instrument that fails so is reported, check by check.
_FAILURES = (
    AssertionError,
    ReductionError,
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    OSError,
    TypeError,
    ValueError,
)
_SIZE = (256, 192)
_MILLISECOND = 1e-3
_STARTS = ("2025-02-23T03:02:49.123", "2024-12-31T23:59:59.500", "2025-02-28T23:59:59.999")
_EXPOSURES = (0.0, 0.033, 1.0, 30.5, 1200.0)
_PLAUSIBLE = {
    "gain": (0.01, 1000.0, u.electron / u.adu),
    "read_noise": (0.0, 200.0, u.electron),
    "saturation": (200.0, 4.3e9, u.adu),
    "pixel_scale": (0.001, 100.0, u.arcsec / u.pix),
}


@dataclass(frozen=True)
class CheckResult:
    """One check of one instrument: its name, whether it passed, and a sentence where it did not."""

    name: str
    passed: bool
    message: str = ""


def check_instrument(
    instrument: Instrument | type[Instrument],
    *,
    real_headers: Mapping[str | Path, str] | None = None,
    night: bool = True,
) -> list[CheckResult]:
    """Run all checks on an instrument.

    Parameters
    ----------
    instrument : Instrument or its class
    real_headers : mapping of path to str, optional
        FITS files, or headers as text, and their mid-exposure times, UTC.
    night : bool
        Reduce a synthetic night, too, which takes some seconds.

    Returns
    -------
    list of CheckResult
        In the order in which they were run.
    """
    subject = _made(instrument)
    checks: dict[str, Callable[[Instrument], None]] = dict(_CHECKS)
    for path, time in (real_headers or {}).items():
        checks[f"the time of the real header {Path(path).name}"] = _a_real_time(path, time)
    if night:
        checks["a synthetic night is reduced to its true values"] = _check_synthetic_night
    return [_outcome(name, check, subject) for name, check in checks.items()]


def _outcome(name: str, check: Callable[[Instrument], None], instrument: Instrument) -> CheckResult:
    """A check's result, whatever it raises."""
    try:
        check(instrument)
    except (AssertionError, ReductionError) as error:
        return CheckResult(name, False, str(error))
    except _FAILURES as error:
        return CheckResult(name, False, f"{type(error).__name__}: {error}")
    return CheckResult(name, True)


def _a_real_time(path: str | Path, time: str) -> Callable[[Instrument], None]:
    """The check of one real header."""
    return lambda instrument: _check_real_time(instrument, path, time)


class InstrumentContract:
    """The checks as tests: subclass it, name the instrument, and pytest does the rest.

    Attributes
    ----------
    instrument : Instrument or its class
    real_headers : mapping of path to str
        Real raw files, or their headers as text, and the mid-exposure times (UTC) that they have.
    """

    instrument: ClassVar[Instrument | type[Instrument]]
    real_headers: ClassVar[Mapping[str | Path, str]] = {}

    def test_declared_cards_are_written_and_read_back(self) -> None:
        _check_cards(_made(self.instrument))

    def test_a_missing_card_is_named(self) -> None:
        _check_missing_cards(_made(self.instrument))

    def test_constants_are_plausible(self) -> None:
        _check_constants(_made(self.instrument))

    def test_sections_lie_inside_the_detector(self) -> None:
        _check_sections(_made(self.instrument))

    def test_the_layout_covers_the_image_once(self) -> None:
        _check_layout(_made(self.instrument))

    def test_mid_time_is_start_plus_half_the_exposure(self) -> None:
        _check_mid_time(_made(self.instrument))

    def test_real_headers_give_their_times(self) -> None:
        for path, time in self.real_headers.items():
            _check_real_time(_made(self.instrument), path, time)

    def test_a_synthetic_night_is_reduced_to_its_truth(self) -> None:
        _check_synthetic_night(_made(self.instrument))


# -- the checks ---------------------------------------------------------------------------------------------


def _check_cards(instrument: Instrument) -> None:
    """Cards written for a frame of each kind, camera, band and binning describe that frame."""
    _require(
        any(rule.kind is FrameKind.SCIENCE for rule in instrument.rules),
        f"no rule of {instrument.name} makes a frame a science frame",
    )
    for wanted in _frames_of(instrument):
        found = instrument.describe(raw_header(instrument, wanted, size=_SIZE))
        what = f"a {wanted.kind} frame of camera {wanted.camera}" + (f" in {wanted.band}" * bool(wanted.band))
        _require(len(found) == 1, f"{what} is described as {len(found)} frames")
        for attribute in ("kind", "camera", "band", "target", "binning"):
            ours, theirs = getattr(wanted, attribute), getattr(found[0], attribute)
            _require(ours == theirs, f"{what}: {attribute} {ours!r} is read back as {theirs!r}")
        _require(
            bool(np.isclose(found[0].exposure.to_value(u.s), wanted.exposure.to_value(u.s), rtol=1e-6)),
            f"{what}: an exposure of {wanted.exposure} is read back as {found[0].exposure}",
        )


def _check_missing_cards(instrument: Instrument) -> None:
    """Without exposure or time a science frame is rejected; a rejection names the file and the missing card."""
    for info in _frames_of(instrument, kinds=(FrameKind.SCIENCE,)):
        header = raw_header(instrument, info, size=_SIZE)
        start = info.mid_time - info.exposure / 2
        needed = {
            "exposure": instrument.keywords.exposure.cards,
            "time": tuple(instrument.time_cards(start, info.exposure)),
        }
        for what, cards in needed.items():
            error = _rejection(instrument, _without(header, cards))
            _require(
                error is not None,
                f"without {' and '.join(cards)} a science frame is not rejected, although {what} is required",
            )
            _require_named(error, header, cards)
        for cards in _optional_cards(instrument, info):
            _require_named(_rejection(instrument, _without(header, cards)), header, cards)


def _check_constants(instrument: Instrument) -> None:
    """Gains, read noises, scales, the site and the telescope are those of a telescope on the Earth."""
    for camera in instrument.cameras:
        for part, (name, (least, most, unit)) in product(parts_of(camera), _PLAUSIBLE.items()):
            for value in values_of(getattr(part, name, None)):
                if isinstance(value, u.Quantity):
                    plausible = least <= value.to_value(unit) <= most and value.to_value(unit) > 0
                    said = f"camera {camera.name}: {name} = {value}"
                    _require(plausible, f"{said}; plausible is {least:g} to {most:g} {unit}")
    height = instrument.site.height.to_value(u.m)
    _require(-500 < height < 9000, f"the site is {height:.0f} m above the sea")
    diameter = instrument.telescope_diameter
    _require(
        diameter is None or 0.01 < diameter.to_value(u.m) < 50,
        f"telescope_diameter = {diameter} is implausible",
    )


def _check_sections(instrument: Instrument) -> None:
    """Data and overscan lie inside their images and share no pixel with each other or another amplifier."""
    for header, readouts in _layouts_of(instrument):
        for readout in readouts:
            own = header.hdus[readout.hdu]
            shape = int(own["NAXIS2"]), int(own["NAXIS1"])
            for name, section in _named_sections(readout):
                inside = section.inside(shape)
                _require(inside, f"{name} {section.fits()} leaves an image of {shape[1]} x {shape[0]} pixels")
        sections = [(r.hdu, name, s) for r in readouts for name, s in _named_sections(r)]
        for (hdu, name, one), (other_hdu, other_name, other) in combinations(sections, 2):
            apart = hdu != other_hdu or not _overlap(one, other)
            _require(apart, f"{name} {one.fits()} and {other_name} {other.fits()} overlap")


def _check_layout(instrument: Instrument) -> None:
    """Each pixel of the assembled image comes from one amplifier, but for gaps of less than 5 % of it."""
    for header, readouts in _layouts_of(instrument):
        layout = instrument.layout(header)
        covered = np.zeros(layout.shape, int)
        for readout in readouts:
            rows, columns = readout.data.shape
            inside = (
                0 <= readout.y0 <= layout.shape[0] - rows and 0 <= readout.x0 <= layout.shape[1] - columns
            )
            _require(
                inside, f"the amplifier of HDU {readout.hdu} leaves the image of {layout.shape} rows, columns"
            )
            covered[readout.y0 : readout.y0 + rows, readout.x0 : readout.x0 + columns] += 1
        _require(covered.max() == 1, f"{np.sum(covered > 1)} pixels of the image come from two amplifiers")
        gaps = float(np.mean(covered == 0))
        _require(
            gaps < 0.05,
            f"{100 * gaps:.0f} % of the image of {layout.shape} rows, columns come from no amplifier",
        )


def _check_mid_time(instrument: Instrument) -> None:
    """`mid_time` undoes `time_cards`, to a millisecond, on either side of midnight."""
    info = next(_frames_of(instrument, kinds=(FrameKind.SCIENCE,)))
    for text, seconds in product(_STARTS, _EXPOSURES):
        start, exposure = Time(text, scale="utc", precision=3), seconds * u.s
        middle = start + TimeDelta(exposure / 2)
        frame = replace(info, exposure=exposure, mid_time=middle)
        found = instrument.mid_time(raw_header(instrument, frame, size=_SIZE), exposure)
        off = (found - middle).to_value(u.s)
        _require(
            abs(off) <= _MILLISECOND,
            f"an exposure of {seconds} s that began at {text} has its middle at {middle.isot};"
            f" mid_time reads {found.utc.isot} from the cards of time_cards, {off:+.3f} s off",
        )


def _check_real_time(instrument: Instrument, path: str | Path, time: str) -> None:
    """The mid-exposure time that `describe` reads from a real header."""
    header = _real_header(Path(path))
    found = instrument.describe(header)[0].mid_time
    _require(found is not None, f"{header.path.name}: no mid-exposure time read; expected {time}")
    off = (found - Time(time, scale="utc")).to_value(u.s)  # type: ignore[operator]
    _require(
        abs(off) <= _MILLISECOND,
        f"{header.path.name}: the mid-exposure time read is {off:+.3f} s off the expected {time}",
    )


def _check_synthetic_night(instrument: Instrument) -> None:
    """A small night, with all that the instrument does to the light, gives back the light."""
    with tempfile.TemporaryDirectory() as folder:
        truth = simulate_night(instrument, Path(folder, "night"), _small_night(instrument))
        out = Path(folder, "red")
        report = _reduced(instrument, truth, out)
        check = _check_light_curve if report.recipe == "timeseries" else _check_fluxes
        for result in report.sets:
            check(truth, result, out / result.observed.folder)


# -- the synthetic night ------------------------------------------------------------------------------------


def _small_night(instrument: Instrument) -> NightPlan:
    """A few small frames: a deep transit, a drift, a meridian flip; stars of 4 pixels, of 7 for the median of nine.

    What that takes from sharper stars goes with their place within a pixel, and is no fault of the declaration.
    """
    camera = instrument.cameras[0]
    pixels = 7 if instrument.pixel_filter.mode == "median" else 4
    tonight = Time(evening_for(camera), scale="utc")
    fwhm = pixels * arcsec_per_pixel(camera_at(camera, tonight, frame="a simulated night"))
    return NightPlan(
        frames=20 if instrument.recipe == "timeseries" else 6,
        size=(360, 360),
        depth=0.03,
        seeing=(fwhm, 1.25 * fwhm),
        profile="gauss",
        drift=8,
        sky=20 / (fwhm / 4) ** 2,
        stars=25,
        vignetting=0.1,
        dust=1,
    )


def _reduced(instrument: Instrument, truth: Truth, out: Path) -> RunReport:
    """The report of the night's reduction."""
    from potpyri_like.options import Options
    from potpyri_like.run.pipeline import reduce_night

    camera, (x, y) = next(iter(truth.target_xy.items()))
    options = Options(
        target_xy=f"{camera}:{x:.2f},{y:.2f}",
        radec=truth.radec.to_string("decimal", precision=6),
        jobs=1,
    )
    report = reduce_night(instrument, truth.folder, out=out, options=options)
    problems = [f"{p.what}: {p.why}" for p in report.all_problems]
    _require(not problems, f"the synthetic night was not reduced without problems: {'; '.join(problems[:3])}")
    return report


def _check_light_curve(truth: Truth, result: SetResult, folder: Path) -> None:
    """The transit has the depth and the times of the truth, and the scatter is what the errors say."""
    from potpyri_like.products.tables.light_curve import read_light_curve

    curve = read_light_curve(folder / "lightcurve.ecsv")
    rows = _truth_of(truth, result.observed.camera, curve.frames)
    where = f"{result.observed.name}: "
    good = np.isfinite(curve.flux) & np.isfinite(curve.flux_err)
    _require(good.mean() >= 0.9, f"{where}only {good.sum()} of {good.size} frames were measured")
    _require(curve.time_name == "bjd_tdb", f"{where}its times are {curve.time_name}, not bjd_tdb")
    off = 86400 * np.max(np.abs(curve.time - rows["bjd_tdb"]))
    _require(off < 2 * _MILLISECOND, f"{where}a time is {off:.3f} s off")
    depth = truth.depth[result.observed.band]
    found, error, scatter = _fitted_depth(
        curve.flux[good], curve.flux_err[good], (1 - np.asarray(rows["target_factor"])[good]) / depth
    )
    told = f"the depth is {found:.5f} +- {error:.5f}, true value {depth:.5f}"
    _require(abs(found - depth) < 4 * error and error < depth / 5, where + told)
    _require(0.5 < scatter < 2, f"{where}the scatter is {scatter:.1f} times the error bars")


def _fitted_depth(flux: np.ndarray, error: np.ndarray, shape: np.ndarray) -> tuple[float, float, float]:
    """Depth, its error, and the scatter in units of the errors, of flux = level (1 - depth shape)."""
    design = np.stack([np.ones_like(flux), -shape], axis=1) / error[:, None]
    solution, *_ = np.linalg.lstsq(design, flux / error, rcond=None)
    covariance = np.linalg.inv(design.T @ design)
    scatter = np.sqrt(np.sum((flux / error - design @ solution) ** 2) / max(flux.size - 2, 1))
    depth_error = np.sqrt(covariance[1, 1]) / solution[0] * max(1.0, scatter)
    return float(solution[1] / solution[0]), float(depth_error), float(scatter)


def _check_fluxes(truth: Truth, result: SetResult, folder: Path) -> None:
    """The stars' fluxes are those of the truth, over the whole image."""
    from potpyri_like.products.tables.measurements import read_measurements

    found = read_measurements(folder / "measurements.fits")
    where, camera, reference = f"{result.observed.name}: ", result.observed.camera, result.reference
    if reference is None:
        raise AssertionError(f"{where}no frame could serve as the reference")
    rows = _truth_of(truth, camera, [str(name) for name in found.frames["file"]])
    stars = truth.stars[(truth.stars["camera"] == camera) & (truth.stars["band"] == result.observed.band)]
    stars = stars[stars["flux"] > 0.1 * np.max(stars["flux"])]
    wanted = _moved_to(truth, camera, reference, np.stack([stars["x"], stars["y"]], axis=1))
    distance = np.hypot(*(wanted[:, None] - np.stack([found.stars["x"], found.stars["y"]], axis=1)).T)
    nearest = np.argmin(distance, axis=0)
    near = distance.min(axis=0) < 2
    _require(near.sum() >= 5, f"{where}only {near.sum()} of {len(stars)} bright stars were found")
    light = truth.plan.exposure * np.asarray(rows["transparency"]) * np.asarray(stars["flux"])[near, None]
    changing = np.where(np.asarray(stars["star"])[near, None] == 0, np.asarray(rows["target_factor"]), 1.0)
    wide = int(np.searchsorted(found.apertures["radius_fwhm"], 2.0).clip(max=len(found.apertures) - 1))
    ratio = np.nanmedian(found.flux[nearest[near], wide] / (light * changing), axis=1)
    _require(
        bool(np.all(np.abs(ratio - 1) < 0.02)),
        f"{where}the stars' fluxes are {ratio.min():.3f} to {ratio.max():.3f} of the truth",
    )


def _truth_of(truth: Truth, camera: str, frames: Iterable[str]) -> Table:
    """The rows of the truth for these frames of a camera, in their order."""
    rows = {Path(row["file"]).name: i for i, row in enumerate(truth.frames) if row["camera"] == camera}
    return truth.frames[[rows[Path(name).name] for name in frames]]


def _moved_to(truth: Truth, camera: str, reference: Reference, xy: np.ndarray) -> np.ndarray:
    """Positions of the first frame, in the frame that the others were registered to."""
    row = _truth_of(truth, camera, [reference.info.path.name])[0]
    centre = (np.array(reference.image.shape[::-1]) - 1) / 2
    turn = rotation_matrix(np.radians(row["rotation"]))
    return (xy - centre) @ turn.T + centre + [row["dx"], row["dy"]]


# -- frames and headers to check with -----------------------------------------------------------------------


def _frames_of(instrument: Instrument, *, kinds: tuple[FrameKind, ...] | None = None) -> Iterator[FrameInfo]:
    """A frame of each kind that the rules know, camera, band and binning."""
    known = dict.fromkeys(rule.kind for rule in instrument.rules if rule.kind is not FrameKind.OTHER)
    for kind, camera, binning in product(kinds or known, instrument.cameras, _binnings(instrument)):
        lit = kind in (FrameKind.SCIENCE, FrameKind.FLAT)
        for band in _bands_of(instrument, camera) if lit else ("",):
            yield a_frame(
                kind,
                camera,
                band=band,
                target="WASP-0" if kind is FrameKind.SCIENCE else "",
                exposure=0.0 if kind is FrameKind.BIAS else 10.25,
                binning=binning,
                pointing=SkyCoord(153.5 * u.deg, 16.05 * u.deg),
            )


def _bands_of(instrument: Instrument, camera: Camera) -> tuple[str, ...]:
    return camera.bands or (usual_band(instrument, camera),)


def _binnings(instrument: Instrument) -> tuple[tuple[int, int], ...]:
    return ((1, 1), (2, 2)) if instrument.keywords.binning is not None else ((1, 1),)


def _layouts_of(instrument: Instrument) -> Iterator[tuple[RawHeader, tuple[Readout, ...]]]:
    """The header of a science frame of each camera and binning, and its amplifiers."""
    for info in _frames_of(instrument, kinds=(FrameKind.SCIENCE,)):
        header = raw_header(instrument, info, size=_SIZE)
        yield header, instrument.layout(header).readouts


def _named_sections(readout: Readout) -> Iterator[tuple[str, Section]]:
    yield f"the data section of HDU {readout.hdu}", readout.data
    if readout.overscan is not None:
        yield f"the overscan section of HDU {readout.hdu}", readout.overscan


def _overlap(one: Section, other: Section) -> bool:
    """Whether two sections share a pixel."""
    across = max(one.x0, other.x0) < min(one.x1, other.x1)
    return across and max(one.y0, other.y0) < min(one.y1, other.y1)


def _optional_cards(instrument: Instrument, info: FrameInfo) -> Iterator[tuple[str, ...]]:
    """The cards of each declared quantity but the exposure, and of each constant taken from the header."""
    for quantity, keyword in instrument.keywords.items().items():
        if quantity != "exposure":
            yield keyword.cards
    constants = ("gain", "read_noise", "saturation", "data_section", "overscan_section")
    for part, name in product(parts_of(camera_named(instrument, info.camera)), constants):
        for value in values_of(getattr(part, name, None)):
            if isinstance(value, Keyword):
                yield value.cards


def _without(header: RawHeader, cards: tuple[str, ...]) -> RawHeader:
    """A header that lacks these cards in every HDU."""
    hdus = tuple(hdu.copy() for hdu in header.hdus)
    for hdu, card in product(hdus, cards):
        hdu.remove(card, ignore_missing=True)
    return replace(header, hdus=hdus)


def _rejection(instrument: Instrument, header: RawHeader) -> HeaderError | None:
    """The error with which a header is rejected; None where it is accepted."""
    try:
        instrument.describe(header)
        instrument.layout(header)
    except HeaderError as error:
        return error
    return None


def _require_named(error: HeaderError | None, header: RawHeader, cards: tuple[str, ...]) -> None:
    """Where a frame is rejected for a missing card, the message has the file's name and the card's."""
    if error is not None:
        named = header.path.name in str(error) and any(card in str(error) for card in cards)
        _require(
            named,
            f"without {' and '.join(cards)} a frame is rejected without naming file and card: {error}",
        )


def _real_header(path: Path) -> RawHeader:
    """The header of a FITS file, or of a text with one card per line and HDUs parted by ``--- HDU n ---``."""
    if is_raw_name(path.name):
        return read_header(path)
    text = path.read_text(encoding="ascii", errors="replace")
    parts = re.split(r"^--- HDU \d+ ---\s*$", text, flags=re.MULTILINE)
    return RawHeader(path, tuple(_text_header(part) for part in parts[1:] or parts), path.name)


def _text_header(text: str) -> fits.Header:
    """The cards among the lines of a text."""
    cards = [
        line for line in text.splitlines() if re.match(r"[A-Z0-9_-]{1,8} *=|COMMENT|HISTORY|CONTINUE", line)
    ]
    return fits.Header.fromstring("\n".join(cards), sep="\n")


def _made(instrument: Instrument | type[Instrument]) -> Instrument:
    return instrument() if isinstance(instrument, type) else instrument


def _require(condition: bool, sentence: str) -> None:
    """Raise an AssertionError with that sentence unless the condition holds."""
    if not condition:
        raise AssertionError(sentence)


_CHECKS: Mapping[str, Callable[[Instrument], None]] = {
    "declared cards are written and read back": _check_cards,
    "a missing card is named": _check_missing_cards,
    "constants are plausible": _check_constants,
    "sections lie inside the detector": _check_sections,
    "the layout covers the image once": _check_layout,
    "mid-exposure time is start plus half the exposure": _check_mid_time,
}
