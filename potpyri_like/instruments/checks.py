"""What is wrong with a declaration, found when the class is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import astropy.units as u
from astropy.coordinates import EarthLocation

from potpyri_like.errors import DeclarationError
from potpyri_like.instruments.calibration import Calibration
from potpyri_like.instruments.cameras import Camera
from potpyri_like.instruments.dates import check_unit
from potpyri_like.instruments.keywords import HeaderKeywords
from potpyri_like.instruments.pixel_filter import PixelFilter
from potpyri_like.instruments.simulated import Simulated

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument

__all__ = ["check_declaration"]


def check_declaration(cls: type[Instrument]) -> None:
    """Raise a DeclarationError for what an instrument lacks or says wrongly."""
    for attribute, what in {
        "name": "the word on the command line",
        "keywords": "HeaderKeywords(exposure=Keyword('EXPTIME', u.s), ...)",
        "kinds": "{'light': FrameKind.SCIENCE, ...} or a tuple of Rule",
        "cameras": "(Camera(name='main', ...),)",
        "site": "EarthLocation.from_geodetic(...)",
    }.items():
        if getattr(cls, attribute, None) is None:
            raise DeclarationError(f"{cls.__name__}: {attribute} is not declared; give {what}")
    if getattr(cls.mid_time, "__isabstractmethod__", False):
        raise DeclarationError(f"{cls.__name__}: mid_time is not defined; no default would be honest")
    _check_types(cls)
    _check_cameras(cls)


def _check_types(cls: type[Instrument]) -> None:
    """What is declared is of the right sort."""
    for attribute, wanted in {
        "name": str,
        "keywords": HeaderKeywords,
        "kinds": (Mapping, list, tuple),
        "band_names": Mapping,
        "cameras": (list, tuple),
        "calibration": Calibration,
        "pixel_filter": PixelFilter,
        "simulated": Simulated,
        "site": EarthLocation,
    }.items():
        value = getattr(cls, attribute)
        if not isinstance(value, wanted):
            names = " or ".join(w.__name__ for w in (wanted if isinstance(wanted, tuple) else (wanted,)))
            comma = "; a tuple of one needs a comma, (x,)" if attribute in ("cameras", "kinds") else ""
            raise DeclarationError(f"{cls.__name__}: {attribute} = {value!r} is not of type {names}{comma}")
    if not re.fullmatch(r"[A-Z][A-Z0-9_-]*", cls.name):
        raise DeclarationError(
            f"{cls.__name__}: name = {cls.name!r}; give capital letters and digits, as in 'TOY'"
        )
    if not re.fullmatch(r"[A-Za-z][\w-]*", str(cls.recipe)):
        raise DeclarationError(f"{cls.__name__}: recipe = {cls.recipe!r}; give the name of a recipe")
    if cls.telescope_diameter is not None:
        check_unit(cls.__name__, "telescope_diameter", cls.telescope_diameter, u.m)


def _check_cameras(cls: type[Instrument]) -> None:
    """There are cameras, with different names, and a header or a path can tell them apart."""
    if not cls.cameras or not all(isinstance(camera, Camera) for camera in cls.cameras):
        raise DeclarationError(
            f"{cls.__name__}: cameras = {cls.cameras!r}; give a tuple of Camera, (Camera(...),)"
        )
    for camera in cls.cameras:
        if camera.placed_by is not None and camera.amplifiers:
            raise DeclarationError(
                f"{cls.__name__}: amplifiers and placed_by of camera {camera.name} both say where its amplifiers lie;"
                " give one of them"
            )
    names = [camera.name for camera in cls.cameras]
    if len({name.casefold() for name in names}) < len(names):
        raise DeclarationError(f"{cls.__name__}: two cameras have one name among {', '.join(names)}")
    alike = [camera.name for camera in cls.cameras if not camera.bands and not camera.folder]
    if len(names) > 1 and alike and cls.keywords.camera is None:
        raise DeclarationError(
            f"{cls.__name__}: nothing distinguishes camera {alike[0]} from the others; declare keywords' camera card,"
            " or its bands, or its folder"
        )
