"""Frames matched to their reference, on simulated skies whose transform is known."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import erf

from potpyri_like.astrometry import Transform
from potpyri_like.errors import RegistrationError
from potpyri_like.frame import Frame, MaskBit
from potpyri_like.imaging import Pixels, median3x3
from potpyri_like.plugins import load_plugins
from potpyri_like.primitives import register
from potpyri_like.primitives.fields import REGISTRATION
from potpyri_like.primitives.register import DetectStars, Register, detected_stars, expected_stars
from potpyri_like.primitives.stage import Setup
from potpyri_like.results import Reference

SKY, READ_NOISE, SIZE = 200.0, 5.0, 640
INFO = SimpleNamespace(label="simulated.fits")


@dataclass(frozen=True)
class Sky:
    """Stars around a camera, in the reference's pixels; some lie outside."""

    xy: np.ndarray
    flux: np.ndarray


@dataclass(frozen=True)
class Weather:
    """What a frame suffers."""

    fwhm: float
    transform: Transform = field(default_factory=Transform.identity)
    clear: float = 1.0  # of the light
    trail: tuple[float, float] = (0.0, 0.0)  # pixel
    hot: float = 0.0  # of the pixels
    full: float = np.inf  # saturation, electron
    slope: float = 0.0  # of the sky, over the frame


def turned(degrees, shift=(0.0, 0.0), size=SIZE):
    """About the middle of the image, then shifted."""
    angle, middle = np.radians(degrees), np.full(2, (size - 1) / 2)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Transform(matrix, middle - matrix @ middle + np.array(shift))


def stars_of(rng, count, *, fwhm, around=0.5, faintest=40.0):
    """Stars with numbers as of a real field, the faintest so many times the noise within one FWHM."""
    noise = np.sqrt(np.pi * fwhm**2 * (SKY + READ_NOISE**2))
    wide = (-around * SIZE, (1 + around) * SIZE)
    inside = rng.uniform(0.05 * SIZE, 0.95 * SIZE, (count, 2))
    beyond = rng.uniform(*wide, (int(count * (1 + 2 * around) ** 2), 2))
    beyond = beyond[((beyond < 0) | (beyond > SIZE)).any(axis=1)]
    xy = np.vstack([inside, beyond])
    return Sky(xy, faintest * noise * rng.uniform(0.02, 1, len(xy)) ** -0.9)


def add_star(image, x, y, flux, fwhm):
    half = int(4 * fwhm) + 2
    column, row = round(x), round(y)
    low_x, high_x = max(column - half, 0), min(column + half + 1, image.shape[1])
    low_y, high_y = max(row - half, 0), min(row + half + 1, image.shape[0])
    if low_x < high_x and low_y < high_y:
        root = fwhm / np.sqrt(4 * np.log(2))
        across, along = (
            np.diff(erf((np.arange(a, b + 1) - 0.5 - c) / root)) / 2
            for a, b, c in ((low_y, high_y, y), (low_x, high_x, x))
        )
        image[low_y:high_y, low_x:high_x] += flux * np.outer(across, along)


def exposed(rng, sky, weather):
    """The frame that the camera takes."""
    clean = np.full((SIZE, SIZE), SKY) + weather.slope * np.linspace(0, 1, SIZE)
    steps = np.linspace(-0.5, 0.5, 1 + int(2 * np.hypot(*weather.trail)))[:, None] * weather.trail
    for (x, y), flux in zip(weather.transform(sky.xy), sky.flux * weather.clear, strict=True):
        for dx, dy in steps:
            add_star(clean, x + dx, y + dy, flux / len(steps), weather.fwhm)
    image = rng.poisson(clean) + rng.normal(0, READ_NOISE, clean.shape)
    hot = rng.integers(0, SIZE, (2, int(weather.hot * SIZE**2)))
    image[hot[0], hot[1]] += 10 ** rng.uniform(2, 4, hot.shape[1])
    mask = np.where(image > weather.full, MaskBit.SATURATED, 0).astype(np.uint16)
    data = np.minimum(image, weather.full).astype(np.float32)
    return Frame(Pixels(data, np.abs(data) + np.float32(25), mask), INFO)


def reference_of(rng, sky, fwhm):
    """The set's reference: the stars that a good frame shows."""
    frame = exposed(rng, sky, Weather(fwhm))
    found = DetectStars(stars=150)(frame, Setup(load_plugins()["OPTICAM"])).results["stars"]
    return Reference(INFO, frame.data, found.xy, found.flux, fwhm, fwhm, "")


def registered(frame, reference):
    """What `Register` finds out about a frame whose hot pixels were left."""
    return Register()(frame, Setup(load_plugins()["OPTICAM"], reference=reference, filter_mode="none"))[
        REGISTRATION
    ]


def detected(frame, reference):
    """The transform from a full detection."""
    setup = Setup(load_plugins()["OPTICAM"], reference=reference)
    return detected_stars(DetectStars()(frame, setup), reference)[0].transform


def scene(seed, fwhm, weather, *, count=40):
    """A reference and another frame of the same field."""
    rng = np.random.default_rng(seed)
    sky = stars_of(rng, count, fwhm=fwhm)
    return reference_of(rng, sky, fwhm), exposed(rng, sky, weather)


def error_of(transform, truth):
    """Largest distance between the places of the field's corners and middle, pixels."""
    edge = SIZE - 1.0
    corners = np.array([(0, 0), (edge, 0), (0, edge), (edge, edge), (edge / 2, edge / 2)])
    return float(np.hypot(*(transform(corners) - truth(corners)).T).max())


SCENES = {
    "nothing": {},
    "a drift of hundreds of pixels": {"transform": turned(0.05, (230.4, -171.7))},
    "a meridian flip": {"transform": turned(180.03, (31.3, -12.2))},
    "a turn": {"transform": turned(3, (10, 5))},
    "clouds of two magnitudes": {"clear": 0.16},
    "hot pixels": {"hot": 0.005, "transform": turned(0, (17, -23))},
    "saturation": {"full": 3000.0},
    "moonlight": {"slope": 300.0},
    "seeing twice as bad": {"wide": 2.0},
    "seeing better than the reference's": {"wide": 0.8},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "fwhm", [3.0, *(pytest.param(width, marks=pytest.mark.slow) for width in (1.8, 8.0, 14.0))]
)
@pytest.mark.parametrize("name", SCENES)
def test_the_stars_are_where_they_must_be_as_exactly_as_a_full_detection_tells(name, fwhm):
    errors, others = [], []
    for seed in range(2):
        weather = Weather(**{"fwhm": fwhm * SCENES[name].get("wide", 1.0), **without_wide(SCENES[name])})
        reference, frame = scene(seed, fwhm, weather)
        match, width = expected_stars(frame, reference, clean=False)
        errors.append(error_of(match.transform, weather.transform))
        others.append(error_of(detected(frame, reference), weather.transform))
        assert len(match.pairs) >= 10
        if weather.fwhm > 1.5:  # narrower ones are wider than the truth on any pixels
            assert width == pytest.approx(weather.fwhm, rel=0.1 if weather.fwhm > 2 else 0.25)
    assert np.mean(errors) < 1.15 * np.mean(others) + max(0.03, 0.003 * fwhm)
    assert np.max(errors) < max(0.2, 0.05 * weather.fwhm)


def without_wide(settings):
    return {name: value for name, value in settings.items() if name != "wide"}


@pytest.mark.parametrize("fwhm", [1.5, 20.0])
def test_the_narrowest_and_the_widest_stars_are_matched(fwhm):
    weather = Weather(fwhm, turned(0.1, (40, 25)))
    reference, frame = scene(1, fwhm, weather)
    found = registered(frame, reference)
    assert error_of(found.transform, weather.transform) < max(0.1, 0.03 * fwhm)
    assert found.matched >= 15


@pytest.mark.parametrize("fwhm", [3.0, 8.0])
@pytest.mark.parametrize("seed", range(2))
def test_five_stars_are_enough(fwhm, seed):
    weather = Weather(fwhm, turned(0, (11.2, -8.4)))
    reference, frame = scene(100 + seed, fwhm, weather, count=5)
    found = registered(frame, reference)
    assert found.matched == 5
    assert error_of(found.transform, weather.transform) < 0.1 * fwhm


@pytest.mark.slow
@pytest.mark.parametrize(("fwhm", "trail"), [(3.0, (9.0, 5.0)), (8.0, (14.0, -9.0))])
def test_trailed_stars_are_matched_by_their_middles(fwhm, trail):
    weather = Weather(fwhm, turned(0, (7, 3)), trail=trail)
    reference, frame = scene(3, fwhm, weather)
    assert error_of(registered(frame, reference).transform, weather.transform) < 0.6


def test_a_bright_star_that_enters_does_no_harm():
    rng, fwhm = np.random.default_rng(4), 6.0
    sky = stars_of(rng, 40, fwhm=fwhm)
    reference = reference_of(rng, sky, fwhm)
    brighter = Sky(np.vstack([sky.xy, [[400.3, 222.2]]]), np.append(sky.flux, 30 * sky.flux.max()))
    weather = Weather(fwhm, turned(0, (12, 9)))
    match, width = expected_stars(exposed(rng, brighter, weather), reference)
    assert error_of(match.transform, weather.transform) < 0.15
    assert width == pytest.approx(fwhm, rel=0.05)


def test_masked_pixels_do_no_harm():
    weather = Weather(6.0, turned(0, (12, 9)))
    reference, frame = scene(5, 6.0, weather)
    data, mask = frame.data.copy(), frame.mask.copy()
    data[:, 300:306], mask[:, 300:306] = np.float32(SKY), MaskBit.BAD
    data[400:460, 100:180], mask[400:460, 100:180] = 0, MaskBit.BAD
    masked = Frame(Pixels(data, frame.variance, mask), INFO)
    match, _ = expected_stars(masked, reference)
    assert error_of(match.transform, weather.transform) < 0.2


def test_the_stars_are_detected_where_they_are_not_found_otherwise(monkeypatch):
    reference, frame = scene(6, 3.0, Weather(3.0))
    monkeypatch.setattr(register, "brightest", lambda look, **_: (np.empty((0, 2)), np.empty(0)))
    with pytest.raises(RegistrationError):
        expected_stars(frame, reference)
    found = registered(frame, reference)
    assert found.matched >= 30


def test_a_frame_of_the_field_needs_no_detection(monkeypatch):
    reference, frame = scene(6, 3.0, Weather(3.0))
    monkeypatch.delattr(register, "detect_stars")
    assert registered(frame, reference).matched >= 30


@pytest.mark.slow
@pytest.mark.parametrize("count", [5, 40])
def test_another_field_is_rejected(count):
    for seed in range(4):
        reference, _ = scene(seed, 3.0, Weather(3.0), count=count)
        _, frame = scene(50 + seed, 3.0, Weather(3.0), count=count)
        with pytest.raises(RegistrationError):
            registered(frame, reference)


@pytest.mark.parametrize("level", [SKY, 0.0, np.nan])
def test_a_frame_without_stars_is_rejected(level):
    reference, frame = scene(7, 3.0, Weather(3.0))
    noise = np.random.default_rng(7).normal(0, 5, frame.data.shape) if level == SKY else 0
    data = (level + noise) * np.ones(frame.data.shape, np.float32)
    empty = Frame(Pixels(data.astype(np.float32), frame.variance, frame.mask), INFO)
    with pytest.raises(RegistrationError):
        registered(empty, reference)


def test_what_is_found_depends_on_nothing_but_the_frame_and_its_reference():
    reference, frame = scene(8, 6.0, Weather(6.0, turned(0, (5, 5))))
    _, other = scene(8, 6.0, Weather(12.0, turned(180)))
    before = frame.data.copy()
    first = registered(frame, reference)
    registered(other, reference)
    again = registered(frame, reference)
    assert np.array_equal(first.transform.matrix, again.transform.matrix)
    assert np.array_equal(first.transform.offset, again.transform.offset)
    assert (first.fwhm, first.rms) == (again.fwhm, again.rms)
    assert np.array_equal(frame.data, before)


def test_pixels_that_cannot_be_written_are_taken_as_they_are():
    reference, frame = scene(9, 6.0, Weather(6.0))
    planes = np.broadcast_to(np.float32(225), (SIZE, SIZE)), np.broadcast_to(np.uint16(0), (SIZE, SIZE))
    constant = Frame(Pixels(frame.data, *planes), INFO)
    assert registered(constant, reference).fwhm == registered(frame, reference).fwhm


def test_the_note_of_the_median_filter_states_noise_and_not_variance():
    (note,) = register.filter_notes("median", 6.0)
    more = float(note.partition("adds ")[2].partition("%")[0]) / 100
    rng = np.random.default_rng(3)
    image = rng.normal(0, 1, (900, 900))
    boxes = [part.reshape(45, 20, 45, 20).sum(axis=(1, 3)).std() for part in (image, median3x3(image))]
    assert 1 + more == pytest.approx(boxes[1] / boxes[0], abs=0.05)
    assert register.filter_notes("none", 6.0) == []
