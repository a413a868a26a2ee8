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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path
from typing import Any, ClassVar

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.time import Time, TimeDelta

from potpyri_like.errors import HeaderError, ReductionError
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.header import RawHeader
from potpyri_like.imaging import Section
from potpyri_like.instruments import Amplifier, Camera, Instrument, Keyword, Readout
from potpyri_like.store import read_header
from potpyri_like.testing.simulate import NightPlan, Truth, raw_header, simulate_night, usual_band

__all__ = ["CheckResult", "InstrumentContract", "check_instrument"]

# What a plugin's own code may raise: an instrument that fails so is reported, check by check.
FAILURES = (
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
SIZE = (256, 192)
MILLISECOND = 1e-3
STARTS = ("2025-02-23T03:02:49.123", "2024-12-31T23:59:59.500", "2025-02-28T23:59:59.999")
EXPOSURES = (0.0, 0.033, 1.0, 30.5, 1200.0)
PLAUSIBLE = {
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
        FITS files, or headers as text, and their mid-times, UTC.
    night : bool
        Reduce a synthetic night, too, which takes some seconds.

    Returns
    -------
    list of CheckResult
        In the order of `CHECKS`.
    """
    subject = made(instrument)
    checks: dict[str, Callable[[Instrument], None]] = dict(CHECKS)
    for path, time in (real_headers or {}).items():
        checks[f"the time of the real header {Path(path).name}"] = a_real_time(path, time)
    if night:
        checks["a synthetic night is reduced to its truth"] = check_synthetic_night
    return [outcome(name, check, subject) for name, check in checks.items()]


def outcome(name: str, check: Callable[[Instrument], None], instrument: Instrument) -> CheckResult:
    """A check's result, whatever it raises."""
    try:
        check(instrument)
    except (AssertionError, ReductionError) as error:
        return CheckResult(name, False, str(error))
    except FAILURES as error:
        return CheckResult(name, False, f"{type(error).__name__}: {error}")
    return CheckResult(name, True)


def a_real_time(path: str | Path, time: str) -> Callable[[Instrument], None]:
    """The check of one real header."""
    return lambda instrument: check_real_time(instrument, path, time)


class InstrumentContract:
    """The checks as tests: subclass it, name the instrument, and pytest does the rest.

    Attributes
    ----------
    instrument : Instrument or its class
    real_headers : mapping of path to str
        Real raw files, or their headers as text, and the mid-times (UTC) that they have.
    """

    instrument: ClassVar[Instrument | type[Instrument]]
    real_headers: ClassVar[Mapping[str | Path, str]] = {}

    def test_declared_cards_are_written_and_read_back(self) -> None:
        check_cards(made(self.instrument))

    def test_a_missing_card_is_named(self) -> None:
        check_missing_cards(made(self.instrument))

    def test_constants_are_plausible(self) -> None:
        check_constants(made(self.instrument))

    def test_sections_lie_inside_the_detector(self) -> None:
        check_sections(made(self.instrument))

    def test_the_layout_covers_the_image_once(self) -> None:
        check_layout(made(self.instrument))

    def test_mid_time_is_start_plus_half_the_exposure(self) -> None:
        check_mid_time(made(self.instrument))

    def test_real_headers_give_their_times(self) -> None:
        for path, time in self.real_headers.items():
            check_real_time(made(self.instrument), path, time)

    def test_a_synthetic_night_is_reduced_to_its_truth(self) -> None:
        check_synthetic_night(made(self.instrument))


# -- the checks ---------------------------------------------------------------------------------------------


def check_cards(instrument: Instrument) -> None:
    """Cards written for a frame of each kind, camera, band and binning describe that frame."""
    require(
        any(rule.kind is FrameKind.SCIENCE for rule in instrument.rules),
        f"no rule of {instrument.name} makes a frame a science frame",
    )
    for wanted in frames_of(instrument):
        found = instrument.describe(raw_header(instrument, wanted, size=SIZE))
        what = f"a {wanted.kind} frame of camera {wanted.camera}" + (f" in {wanted.band}" * bool(wanted.band))
        require(len(found) == 1, f"{what} is described as {len(found)} frames")
        for attribute in ("kind", "camera", "band", "target", "binning"):
            ours, theirs = getattr(wanted, attribute), getattr(found[0], attribute)
            require(ours == theirs, f"{what}: {attribute} {ours!r} is read back as {theirs!r}")
        require(
            bool(np.isclose(found[0].exposure.to_value(u.s), wanted.exposure.to_value(u.s), rtol=1e-6)),
            f"{what}: an exposure of {wanted.exposure} is read back as {found[0].exposure}",
        )


def check_missing_cards(instrument: Instrument) -> None:
    """Without its exposure or its time a science frame is refused by name; other cards are named or not needed."""
    for info in frames_of(instrument, kinds=(FrameKind.SCIENCE,)):
        header = raw_header(instrument, info, size=SIZE)
        start = info.mid_time - info.exposure / 2
        needed = {
            "exposure": instrument.keywords.exposure.cards,
            "time": tuple(instrument.time_cards(start, info.exposure)),
        }
        for what, cards in needed.items():
            error = refusal(instrument, without(header, cards))
            require(error is not None, f"without {' and '.join(cards)} a science frame is not refused, as its {what} asks")
            require_named(error, header, cards)
        for cards in optional_cards(instrument, info):
            require_named(refusal(instrument, without(header, cards)), header, cards)


def check_constants(instrument: Instrument) -> None:
    """Gains, read noises, scales, the site and the telescope are those of a telescope on the Earth."""
    for camera in instrument.cameras:
        for part, (name, (least, most, unit)) in product((camera, *camera.amplifiers), PLAUSIBLE.items()):
            value = getattr(part, name, None)
            if isinstance(value, u.Quantity):
                plausible = least <= value.to_value(unit) <= most and value.to_value(unit) > 0
                require(plausible, f"camera {camera.name}: {name} = {value}; plausible is {least:g} to {most:g} {unit}")
    height = instrument.site.height.to_value(u.m)
    require(-500 < height < 9000, f"the site is {height:.0f} m above the sea")
    diameter = instrument.telescope_diameter
    require(
        diameter is None or 0.01 < diameter.to_value(u.m) < 50, f"telescope_diameter = {diameter} is no telescope's"
    )


def check_sections(instrument: Instrument) -> None:
    """Data and overscan lie inside their images and share no pixel with each other or with another amplifier."""
    for header, readouts in layouts_of(instrument):
        for readout in readouts:
            own = header.hdus[readout.hdu]
            shape = int(own["NAXIS2"]), int(own["NAXIS1"])
            for name, section in named_sections(readout):
                inside = section.inside(shape)
                require(inside, f"{name} {section.fits()} leaves an image of {shape[1]} x {shape[0]} pixels")
        sections = [(r.hdu, name, s) for r in readouts for name, s in named_sections(r)]
        for (hdu, name, one), (other_hdu, other_name, other) in combinations(sections, 2):
            apart = hdu != other_hdu or not overlap(one, other)
            require(apart, f"{name} {one.fits()} and {other_name} {other.fits()} overlap")


def check_layout(instrument: Instrument) -> None:
    """Each pixel of the assembled image comes from one amplifier, but for gaps of less than 5 % of it."""
    for header, readouts in layouts_of(instrument):
        layout = instrument.layout(header)
        covered = np.zeros(layout.shape, int)
        for readout in readouts:
            rows, columns = readout.data.shape
            inside = 0 <= readout.y0 <= layout.shape[0] - rows and 0 <= readout.x0 <= layout.shape[1] - columns
            require(inside, f"the amplifier of HDU {readout.hdu} leaves the image of {layout.shape} rows, columns")
            covered[readout.y0 : readout.y0 + rows, readout.x0 : readout.x0 + columns] += 1
        require(covered.max() == 1, f"{np.sum(covered > 1)} pixels of the image come from two amplifiers")
        gaps = float(np.mean(covered == 0))
        require(gaps < 0.05, f"{100 * gaps:.0f} % of the image of {layout.shape} rows, columns come from no amplifier")


def check_mid_time(instrument: Instrument) -> None:
    """`mid_time` undoes `time_cards`, to a millisecond, on either side of midnight."""
    info = next(frames_of(instrument, kinds=(FrameKind.SCIENCE,)))
    for text, seconds in product(STARTS, EXPOSURES):
        start, exposure = Time(text, scale="utc", precision=3), seconds * u.s
        middle = start + TimeDelta(exposure / 2)
        frame = replace(info, exposure=exposure, mid_time=middle)
        found = instrument.mid_time(raw_header(instrument, frame, size=SIZE), exposure)
        off = (found - middle).to_value(u.s)
        require(
            abs(off) <= MILLISECOND,
            f"an exposure of {seconds} s that began at {text} has its middle at {middle.isot};"
            f" mid_time reads {found.utc.isot} from the cards of time_cards, {off:+.3f} s off",
        )


def check_real_time(instrument: Instrument, path: str | Path, time: str) -> None:
    """The mid-time that `describe` reads from a real header."""
    header = real_header(Path(path))
    found = instrument.describe(header)[0].mid_time
    require(found is not None, f"{header.path.name}: no mid-time is read from it; it is {time}")
    off = (found - Time(time, scale="utc")).to_value(u.s)  # type: ignore[operator]
    require(abs(off) <= MILLISECOND, f"{header.path.name}: its mid-time is {time}; {off:+.3f} s off that is read")


def check_synthetic_night(instrument: Instrument) -> None:
    """A small night, with all that the instrument does to the light, gives back the light."""
    with tempfile.TemporaryDirectory() as folder:
        truth = simulate_night(instrument, Path(folder, "night"), small_night(instrument))
        check = check_light_curves if instrument.recipe == "timeseries" else check_fluxes
        check(truth, reduced(instrument, truth, Path(folder, "red")))


# -- the synthetic night ------------------------------------------------------------------------------------


def small_night(instrument: Instrument) -> NightPlan:
    """Twenty small frames: stars of 4 pixels, a deep transit, a drift, a meridian flip."""
    camera = instrument.cameras[0]
    fwhm = 4 * camera.pixel_scale.to_value(u.arcsec / u.pix)
    return NightPlan(
        frames=20,
        size=(360, 360),
        depth=0.03,
        seeing=(fwhm, 1.25 * fwhm),
        profile="gauss",
        drift=8,
        sky=20 / (fwhm / 4) ** 2,
        stars=25,
        biases=None,
        vignetting=0.1,
        dust=1,
    )


def reduced(instrument: Instrument, truth: Truth, out: Path) -> Any:
    """The report of the night's reduction."""
    from potpyri_like.options import Options
    from potpyri_like.pipeline import reduce_night

    camera, (x, y) = next(iter(truth.target_xy.items()))
    options = Options(
        target_xy=f"{camera}:{x:.2f},{y:.2f}",
        radec=truth.radec.to_string("decimal", precision=6),
        jobs=1,
    )
    report = reduce_night(instrument, truth.folder, out=out, options=options)
    problems = [f"{p.what}: {p.why}" for p in (*report.problems, *(q for s in report.sets for q in s.problems))]
    require(not problems, f"the synthetic night was not reduced without problems: {'; '.join(problems[:3])}")
    return report
