import json
import math
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass, fields, replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import FK5, SkyCoord
from astropy.time import Time
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from potpyri_like.astrometry import Transform
from potpyri_like.encoding import LENGTH, decode, encode, fingerprint
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.imaging import Pixels
from potpyri_like.photometry import Measurement, Stars
from potpyri_like.results import Master

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DTYPES = ("<f4", ">f4", "<f8", ">f8", "<i2", ">i2", "<u2", "<i8", "|u1", "|b1")

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.builds(Path, st.just("a/ö.fits")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(
            st.text(max_size=3) | st.integers() | st.tuples(st.integers(), st.text(max_size=2)),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)
some_array = st.sampled_from(DTYPES).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)


def frame_info(**changes):
    info = FrameInfo(
        path=Path("/night/C1/a.fits"),
        kind=FrameKind.SCIENCE,
        camera="C1",
        band="g'",
        target="WASP-0 \udce9\n",
        binning=(2, 1),
        exposure=30.0 * u.s,
        mid_time=Time("2025-02-22T03:04:05.678901", scale="utc"),
        shape=(1024, 1023),
        pointing=SkyCoord(123.4567890123, -25.98765432109, unit="deg"),
        notes=("time: guessed",),
    )
    return replace(info, **changes)


def measurement(n_stars=3, n_apertures=4):
    shapes = {"xy": (n_stars, 2), "flux": (n_stars, n_apertures), "flux_err": (n_stars, n_apertures)}
    rng = np.random.default_rng(1)
    values = {f.name: rng.normal(size=shapes.get(f.name, (n_stars,))) for f in fields(Measurement)}
    return Measurement(**{**values, "flags": np.arange(n_stars, dtype=np.uint8)})


def stars():
    values = {f.name: np.linspace(0, 1, 5) for f in fields(Stars)}
    return Stars(**{**values, "saturated": np.array([True, False, True, True, False])})


def same(a, b):
    """Whether two values are the same in type and in every bit that counts."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return type(b) is float and (
            np.float64(a).tobytes() == np.float64(b).tobytes() or (math.isnan(a) and math.isnan(b))
        )
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


def there_and_back(value):
    return decode(encode(value))


# -- there and back ------------------------------------------------------------------------------------------


@QUICK
@given(plain)
def test_plain_values_come_back_exactly(value):
    assert same(value, there_and_back(value))


@QUICK
@given(st.lists(some_array, max_size=4))
def test_arrays_of_numbers_come_back_with_type_shape_and_every_bit(values):
    assert same(values, there_and_back(values))


@QUICK
@given(some_array)
def test_what_comes_back_is_its_own_to_change(value):
    content = encode(value)
    back = decode(content)
    back[...] = 1
    assert back.flags.writeable and back.flags.owndata
    assert same(value, decode(content))


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1 / 3, 2**63, -(10**40), True, "", "\x00\ud800"]
)
def test_numbers_and_text_at_the_edge_come_back(value):
    assert same(value, there_and_back(value))


def test_arrays_in_any_order_of_bytes_and_memory_become_equal_values():
    image = np.arange(24, dtype=">f4").reshape(4, 6)
    for view in (
        image,
        image.T,
        image[::-2, 1::2],
        np.asfortranarray(image),
        np.broadcast_to(image[0], (3, 6)),
    ):
        np.testing.assert_array_equal(there_and_back(view), view)


def test_arrays_are_left_alone():
    image = np.arange(6.0).reshape(2, 3)
    before = image.copy()
    there_and_back({"image": image})
    assert same(image, before)


def test_scalars_of_numpy_become_those_of_python():
    assert same([1.5, 3, True], there_and_back([np.float32(1.5), np.int16(3), np.True_]))


def test_a_frame_info_comes_back_equal():
    info = frame_info()
    back = there_and_back(info)
    assert back.pointing.ra.deg == info.pointing.ra.deg and back.pointing.dec.deg == info.pointing.dec.deg
    assert back.pointing.frame.name == "icrs" and type(back.kind) is FrameKind
    assert replace(back, pointing=None) == replace(info, pointing=None)
    assert back.mid_time.isot == info.mid_time.isot and back.label == info.label


@pytest.mark.parametrize("scale", ["utc", "tdb", "tai"])
def test_times_come_back_with_their_scale_to_the_last_bit(scale):
    rng = np.random.default_rng(3)
    for jd2 in rng.uniform(-0.5, 0.5, 50):
        time = Time(2460000.0, jd2, format="jd", scale=scale)
        back = there_and_back(time)
        assert (back.jd1, back.jd2, back.scale) == (time.jd1, time.jd2, scale)


@pytest.mark.parametrize(
    "value",
    [
        30 * u.s,
        1.25 * u.electron / u.adu,
        0.28 * u.arcsec / u.pix,
        np.arange(3.0) * u.mag,
        u.Quantity(3, u.pix, dtype=int),
        math.nan * u.one,
    ],
)
def test_quantities_come_back_with_their_unit(value):
    back = there_and_back(value)
    assert back.unit == value.unit and back.dtype == value.dtype
    np.testing.assert_array_equal(back.value, value.value)


def test_coordinates_come_back_as_those_of_the_icrs():
    other = SkyCoord(10.0, 20.0, unit="deg", frame=FK5(equinox="J1975"))
    assert there_and_back(other).separation(other) < 1e-9 * u.arcsec


@pytest.mark.parametrize("value", [measurement(), measurement(0), stars(), Transform(np.eye(2), np.zeros(2))])
def test_results_of_frame_stages_come_back(value):
    back = there_and_back(value)
    assert type(back) is type(value)
    assert all(same(getattr(value, f.name), getattr(back, f.name)) for f in fields(value))


@QUICK
@given(plain, some_array)
def test_equal_values_give_equal_bytes(value, array):
    copy = decode(encode([value, array]))
    assert encode([value, array]) == encode(copy)


# -- what it rejects -----------------------------------------------------------------------------------------


@dataclass
class FrameInfoOfAnother:
    path: str = ""


Impostor = dataclass(type("FrameInfo", (), {"__annotations__": {"path": str}, "path": ""}))


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        b"bytes",
        1j,
        print,
        FrameInfo,
        np.array([object()]),
        np.array(["text"]),
        np.array([1j]),
        np.zeros(2, dtype=[("a", "f4")]),
        np.array(["2025-01-01"], dtype="datetime64[D]"),
        np.ma.MaskedArray([1.0, 2.0], [False, True]),
        Time(["2025-01-01", "2025-01-02"]),
        FrameInfoOfAnother(),
        Impostor(),
        WCS(naxis=2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_types_are_rejected_wherever_they_are(value):
    for inside in (value, [1, {"a": (value,)}]):
        with pytest.raises(TypeError, match="cannot be stored"):
            encode(inside)


def rejected_or_read(content):
    """Decode, and let pass nothing but a ValueError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return decode(content)
        except ValueError:
            return None


@QUICK
@given(st.binary(max_size=200))
def test_garbage_is_a_value_error(content):
    rejected_or_read(content)
    rejected_or_read(len(content).to_bytes(LENGTH, "big") + content)


KEYS = st.sampled_from(
    ["array", "time", "icrs", "quantity", "path", "kind", "is", "of", "tuple", "dict", "eval"]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(
        [
            "<f8",
            "|O",
            "O",
            "a3",
            "(1,",
            "i4,i4",
            "FrameInfo",
            "Stars",
            "utc",
            "m",
            "m/(",
            "1e999 m",
            "science",
        ]
    )
)


@settings(QUICK, max_examples=150)
@given(
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=2),
        max_leaves=8,
    ),
    st.binary(max_size=40),
)
def test_nonsense_in_our_own_form_is_a_value_error(value, tail):
    text = json.dumps(value).encode()
    rejected_or_read(len(text).to_bytes(LENGTH, "big") + text + tail)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 9000 + "1" + "}" * 9000, "1" * 9000], ids=["lists", "dicts", "number"]
)
def test_what_is_nested_or_long_beyond_measure_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"corrupt stored value|4300 digits"):
        decode(len(text).to_bytes(LENGTH, "big") + text.encode())


def test_truncated_bytes_are_a_value_error():
    content = encode([frame_info(), measurement(), {"a": np.arange(5)}])
    for length in range(0, len(content), 7):
        with pytest.raises(ValueError):
            decode(content[:length])


def test_spoilt_bytes_are_a_value_error_or_another_value_of_ours(rng):
    content = encode([frame_info(), stars()])
    for place in rng.integers(0, len(content), 300):
        spoilt = bytearray(content)
        spoilt[place] ^= 1 << int(rng.integers(8))
        rejected_or_read(bytes(spoilt))


@pytest.mark.parametrize("dtype", ["O", "|O", "object", "U4", "M8[s]", "V8", "c16"])
def test_no_array_but_of_numbers_comes_out(dtype):
    text = f'{{"array":["{dtype}",[1],0]}}'.encode()
    with pytest.raises(ValueError, match="corrupt stored value"):
        decode(len(text).to_bytes(LENGTH, "big") + text + bytes(16))


@pytest.mark.parametrize("name", ["Popen", "subprocess.Popen", "eval", "Path", "dict", "Time"])
def test_no_class_but_ours_is_made_and_nothing_is_executed(name):
    text = f'{{"is":"{name}","of":{{"args":"true"}}}}'.encode()
    with pytest.raises(ValueError, match="corrupt stored value"):
        decode(len(text).to_bytes(LENGTH, "big") + text)


# -- fingerprints --------------------------------------------------------------------------------------------


def master(**changes):
    pixels = Pixels(np.ones((3, 4), np.float32), np.zeros((3, 4), np.float32), np.zeros((3, 4), np.uint16))
    return replace(Master("dark", pixels, 30.0, "exact", ("a.fits",)), **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"path": Path("/night/C1/b.fits")},
        {"kind": FrameKind.FLAT},
        {"camera": "C2"},
        {"band": ""},
        {"target": "WASP-1"},
        {"binning": (1, 2)},
        {"exposure": np.nextafter(30.0, 31) * u.s},
        {"exposure": 30.0 * u.min},
        {"mid_time": Time("2025-02-22T03:04:05.678902", scale="utc")},
        {"mid_time": Time("2025-02-22T03:04:05.678901", scale="tai")},
        {"mid_time": None},
        {"shape": (1024, 1024)},
        {"plane": 0},
        {"pointing": SkyCoord(123.4567890123, -25.98765432108, unit="deg")},
        {"readout": "fast"},
        {"clock": "GPS"},
        {"notes": ()},
    ],
    ids=str,
)
def test_a_fingerprint_tells_every_field_of_a_frame(changes):
    assert fingerprint(frame_info()) == fingerprint(frame_info())
    assert fingerprint(frame_info()) != fingerprint(frame_info(**changes))


@QUICK
@given(some_array, st.data())
def test_a_fingerprint_tells_every_element_of_an_array(array, data):
    other = array.copy()
    if array.size:
        place = data.draw(st.integers(0, array.size - 1))
        raw = other.reshape(-1).view(np.uint8)
        raw[place * array.itemsize] ^= 1
        assert fingerprint(other) != fingerprint(array)
    assert fingerprint(array.copy()) == fingerprint(array)
    assert fingerprint(array.reshape(1, *array.shape)) != fingerprint(array)


def test_a_fingerprint_tells_types_and_shapes_of_the_same_bytes():
    zeros = [
        np.zeros(shape, dtype) for shape in [(4,), (2, 2), (4, 1)] for dtype in ("f4", "i4", "u4", ">i4")
    ]
    assert len({fingerprint(array) for array in zeros}) == len(zeros)
    parts = [np.zeros(2), np.zeros(3)], [np.zeros(3), np.zeros(2)], [np.zeros(5)]
    assert len({fingerprint(*p) for p in parts}) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "flat"},
        {"exposure": 60.0},
        {"rung": "scaled from 60 s"},
        {"inputs": ("b.fits",)},
        {
            "pixels": Pixels(
                np.ones((3, 4), np.float32), np.zeros((3, 4), np.float32), np.ones((3, 4), np.uint16)
            )
        },
    ],
    ids=list,
)
def test_a_fingerprint_tells_a_master_by_its_fields_or_by_its_file(changes):
    assert fingerprint(master()) != fingerprint(master(**changes))
    assert fingerprint(master(digest="ab")) != fingerprint(master(digest="cd"))


def test_different_values_have_different_fingerprints():
    values = [
        None,
        False,
        0,
        0.0,
        -0.0,
        "",
        "0",
        [],
        {},
        [[]],
        [0],
        ["a", 1],
        {"a": 1},
        math.nan,
        Path("a"),
        "a",
        1 * u.s,
        1 * u.m,
    ]
    assert len({fingerprint(value) for value in values}) == len(values)
    assert fingerprint(1, 2) != fingerprint([1, 2]) != fingerprint(1)


def test_the_order_of_a_mapping_does_not_matter_and_that_of_a_list_does():
    values = {"a": np.arange(2), "b": np.arange(3), 10.0: (1,), 9.0: (2,)}
    assert fingerprint(values) == fingerprint(dict(reversed(values.items())))
    assert fingerprint(values) != fingerprint({**values, "a": np.arange(3), "b": np.arange(2)})
    assert fingerprint([1, 2]) != fingerprint([2, 1])


def test_a_fingerprint_tells_the_coordinates_of_an_image():
    one, other = WCS(naxis=2), WCS(naxis=2)
    other.wcs.crval = [0, 1e-9]
    assert fingerprint(one) == fingerprint(one.deepcopy()) != fingerprint(other)


@pytest.mark.slow
def test_a_fingerprint_is_that_of_another_process():
    code = "from test_encoding import *; print(fingerprint(frame_info(), stars(), {'b': {1: 2.5}, 'a': master()}))"
    own = fingerprint(frame_info(), stars(), {"a": master(), "b": {1: 2.5}})
    folder = Path(__file__).parent
    env = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": f"{folder.parent}{os.pathsep}{folder}"}
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == own
