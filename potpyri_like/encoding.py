"""Values as bytes and back, exactly, without running anybody's code; and fingerprints of values.

What a run found out is kept in its journal in this form. Unlike a pickle, it can be read from a folder that
somebody else sent: nothing but the types named here comes out.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeAlias

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.time import Time
from astropy.wcs import WCS

from potpyri_like.astrometry import Transform
from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.imaging import Snapshot
from potpyri_like.photometry import Measurement, Stars
from potpyri_like.photometry.psf import Profile
from potpyri_like.registration import Place, Probe, Registration

__all__ = ["LENGTH", "Kept", "decode", "encode", "fingerprint"]

_KEPT = (FrameInfo, Measurement, Place, Probe, Profile, Registration, Snapshot, Stars, Transform)
_CLASSES: dict[str, type] = {cls.__name__: cls for cls in _KEPT}
Kept: TypeAlias = Any  # whatever `encode` takes: what it is, the reader has to know or to check
LENGTH = 8  # bytes that tell how long the text is
_KINDS = "biuf"  # dtypes of arrays
_DTYPE = re.compile(r"[<>|][biuf]\d{1,2}")
_NOT_OURS = (KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError, MemoryError)


def encode(value: object) -> bytes:
    """A value as bytes: equal values give equal bytes.

    Numbers, text, None, lists, tuples, dicts, arrays of numbers, times, quantities, ICRS coordinates, paths, and the
    results of frame stages. NumPy's scalars become Python's.

    Raises
    ------
    TypeError
        Something in it is of another type.
    """
    arrays: list[bytes] = []
    text = json.dumps(_simple(value, arrays), separators=(",", ":")).encode()
    return b"".join([len(text).to_bytes(LENGTH, "big"), text, *arrays])


def decode(content: bytes) -> Kept:
    """The value that `encode` made bytes of.

    Raises
    ------
    ValueError
        They are none that it makes.
    """
    try:
        end = LENGTH + int.from_bytes(content[:LENGTH], "big")
        return _restored(json.loads(content[LENGTH:end]), memoryview(content)[end:])
    except _NOT_OURS as error:
        raise ValueError(f"corrupt stored value ({error})") from error


def fingerprint(*values: object) -> str:
    """The SHA-256 of some values; of a dataclass, its name and its fields; of what has a `digest`, that."""
    arrays: list[bytes] = []
    digest = hashlib.sha256(json.dumps([_described(value, arrays) for value in values]).encode())
    for array in arrays:
        digest.update(array)
    return digest.hexdigest()


def _simple(value: object, arrays: list[bytes]) -> object:
    """A value in the types of JSON; arrays are put aside."""
    match value:
        case FrameKind():
            return {"kind": value.value}
        case None | bool() | int() | float() | str():
            return value
        case np.generic():
            return _simple(value.item(), arrays)
        case list():
            return [_simple(item, arrays) for item in value]
        case tuple():
            return {"tuple": [_simple(item, arrays) for item in value]}
        case Mapping():
            return {"dict": [[_simple(k, arrays), _simple(v, arrays)] for k, v in value.items()]}
        case u.Quantity():
            return {"quantity": [_simple(value.value, arrays), value.unit.to_string()]}
        case np.ndarray() if value.dtype.kind in _KINDS and not isinstance(value, np.ma.MaskedArray):
            start = sum(map(len, arrays))
            arrays.append(np.ascontiguousarray(value).tobytes())
            return {"array": [value.dtype.str, list(value.shape), start]}
        case Time() if value.isscalar:
            return {"time": [float(value.jd1), float(value.jd2), value.scale]}
        case SkyCoord() if value.isscalar:
            return {"icrs": [float(value.icrs.ra.deg), float(value.icrs.dec.deg)]}
        case Path():
            return {"path": str(value)}
    if is_dataclass(value) and type(value) is _CLASSES.get(type(value).__name__):
        return {
            "is": type(value).__name__,
            "of": {f.name: _simple(getattr(value, f.name), arrays) for f in fields(value)},
        }
    raise TypeError(f"a {type(value).__name__} cannot be stored")


def _restored(value: object, arrays: memoryview) -> Kept:
    """What `_simple` made simple."""
    match value:
        case list():
            return [_restored(item, arrays) for item in value]
        case {"kind": kind}:
            return FrameKind(kind)
        case {"tuple": items}:
            return tuple(_restored(item, arrays) for item in items)
        case {"dict": items}:
            return {_restored(key, arrays): _restored(item, arrays) for key, item in items}
        case {"quantity": [int() | float() | {"array": _} as number, str() as unit]}:
            return u.Quantity(_restored(number, arrays), unit, dtype=None)
        case {"array": [str() as dtype, list() as shape, int() as start]}:
            return _array_from(arrays, dtype, tuple(shape), start)
        case {"time": [float() as jd1, float() as jd2, scale]} if scale in Time.SCALES:
            return Time(jd1, jd2, format="jd", scale=scale)
        case {"icrs": [float() as ra, float() as dec]}:
            return SkyCoord(ra, dec, unit="deg")
        case {"path": text}:
            return Path(text)
        case {"is": name, "of": of}:
            return _CLASSES[name](**{key: _restored(item, arrays) for key, item in of.items()})
        case dict():
            raise ValueError(f"corrupt stored value: {sorted(value)}")
    return value


def _array_from(content: memoryview, dtype: str, shape: tuple[int, ...], start: int) -> np.ndarray:
    """One array, of its own memory."""
    if not _DTYPE.fullmatch(dtype) or min(shape, default=0) < 0:
        raise ValueError(f"corrupt stored value: an array of {dtype}, {shape}")
    return np.frombuffer(content, dtype, math.prod(shape), start).reshape(shape).copy()


def _described(value: object, arrays: list[bytes]) -> object:
    """What tells a value from another, in the types of JSON."""
    digest = getattr(value, "digest", "")
    if isinstance(digest, str) and digest:
        return [type(value).__name__, digest]
    match value:
        case WCS():
            return value.to_header(relax=True).tostring()
        case list() | tuple():
            return [_described(item, arrays) for item in value]
        case Mapping():
            items = sorted(value.items(), key=lambda item: json.dumps(_described(item[0], [])))
            return {"dict": [[_described(k, arrays), _described(v, arrays)] for k, v in items]}
    if is_dataclass(value) and not isinstance(value, type):
        return [
            type(value).__name__,
            {f.name: _described(getattr(value, f.name), arrays) for f in fields(value)},
        ]
    return _simple(value, arrays)
