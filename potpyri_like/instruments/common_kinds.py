"""The words by which observatories and camera programs say what kind of frame a file holds, as one table.

Each row states where its words were seen; none was made up. Spellings do not matter: see `folded`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from potpyri_like.frame import FrameKind

__all__ = [
    "COMBINED",
    "COMMON_CARDS",
    "COMMON_KINDS",
    "COUNTS",
    "NUMBERED",
    "folded",
    "is_aside",
    "is_common",
    "why_excluded",
]

_SCIENCE, _BIAS, _DARK, _FLAT, _OTHER = FrameKind

COMMON_CARDS = (
    "IMAGETYP",  # most programs, IRAF
    "FRAME",  # INDI, CCDciel; a number elsewhere
    "FRAMETYP",  # SharpCap
    "OBSTYPE",  # LCO, Gemini, ING
    "CALFRAME",  # Astro Pixel Processor
    "INTEGRAT",  # the same, of what it added up
    "PICTTYPE",  # TheSkyX, CCDSoft: a number
    "IMAGTYPE",
    "DATA-TYP",  # Subaru
)
"""The cards that hold such a word, in the order in which they are asked."""

NUMBERED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"PICTTYPE": {"1": "LIGHT", "2": "BIAS", "3": "DARK", "4": "FLAT"}}  # TheSkyX; 0 is not known
)
"""Cards that hold a number instead, and the words for it."""

COUNTS = ("STACKCNT", "NCOMBINE", "SNAPSHOT")
"""Cards with the number of exposures that another program added up: Siril, Seestar; IRAF; MaxIm DL, APT."""

COMBINED = "several exposures, combined by another program"
_MASTER = "a master frame, combined by another program"
_PRODUCT = "a product of another program"
_ASIDE = "a frame for setting up the telescope, not for science"
_NOT_IMAGING = "a spectrum, or a lamp exposure for one"
_NEEDLESS = "not needed here"
_COLOUR = "a colour image"


@dataclass(frozen=True)
class _Row:
    """Words of one kind, already folded; why frames of that kind are left out; and who writes them."""

    kind: FrameKind
    words: str
    seen: str
    why: str = ""


_ROWS = (
    _Row(
        _SCIENCE,
        "LIGHT",
        "N.I.N.A., SGP, MaxIm DL, APT, TheSkyX, CCDSoft, INDI, INDIGO, CCDciel, ASIAIR, Seestar",
    ),
    _Row(_SCIENCE, "OBJECT", "IRAF's ccdtypes; Gemini; the Lowell 42-inch"),
    _Row(_SCIENCE, "SCIENCE", "lumidex's list of spellings"),
    _Row(_SCIENCE, "EXPOSE STANDARD EXPERIMENTAL", "LCO, OBSTYPE"),
    _Row(_SCIENCE, "TARGET", "TASS"),
    _Row(_SCIENCE, "SNAPSHOT", "N.I.N.A., within sequences"),
    _Row(_BIAS, "BIAS", "most programs"),
    _Row(_BIAS, "ZERO", "IRAF's ccdtypes"),
    _Row(_BIAS, "OFFSET", "French usage"),
    _Row(_DARK, "DARK", "most programs"),
    _Row(_DARK, "DARKFLAT FLATDARK DARKFORFLAT", "INDIGO; N.I.N.A. before 2; PixInsight; astrofiler"),
    _Row(_FLAT, "FLAT", "most programs; 'Flat Field' in SBIG's standard and MaxIm DL, 'Flat Frame' in INDI"),
    _Row(_FLAT, "SKYFLAT", "LCO; the Lowell 42-inch"),
    _Row(_FLAT, "TWILIGHT TWILIGHTFLAT TWIFLAT DUSKFLAT DAWNFLAT FLATSKY FLATTWILIGHT", "usage"),
    _Row(_FLAT, "FLATLAMP LAMPFLAT", "KPF; LCO"),
    _Row(_FLAT, "DOMEFLAT FLATDOME PANELFLAT", "usage"),
    _Row(_OTHER, "MASTER", "usage", _MASTER),
    _Row(_OTHER, "INTEGRATION", "Astro Pixel Processor, INTEGRAT", _PRODUCT),
    _Row(_OTHER, "TRICOLOR", "MaxIm DL, 'Tricolor Image'", _COLOUR),
    _Row(_OTHER, "FOCUS TEST POINTING", "IRAF's ccdtypes; usage", _ASIDE),
    _Row(_OTHER, "ACQ ACQUISITION ACQUIRE GUIDE TRAILED", "LCO, OBSTYPE; usage", _ASIDE),
    _Row(_OTHER, "ARC COMP COMPARISON LAMP SPECTRUM", "IRAF's ccdtypes; LCO", _NOT_IMAGING),
    _Row(_OTHER, "BPM READNOISE FRINGE ILLUM", "LCO; IRAF's ccdtypes", _NEEDLESS),
    _Row(_OTHER, "OTHER", "IRAF's ccdtypes", "neither science nor calibration"),
)
_SIGNS = re.compile(r"[\s_.,\-'\"]+")
_NOUN = re.compile(r"(.+?)(FRAME|IMAGE|FIELD)S?")
_PLURAL = re.compile(r"(?<!BIA)(?<!FOCU)S$")
# "Master Dark" (PixInsight), "MasterFlat" (Astro Pixel Processor), "superbias" (usage)
_COMBINED = re.compile(
    r"MASTER.*|.+MASTER|(SUPER|STACKED)(BIAS|ZERO|OFFSET|LIGHT|OBJECT|SCIENCE|.*DARK|.*FLAT)"
)


def folded(text: object) -> str:
    """A kind's word in one spelling: capitals, without blanks and signs, a plural, or "frame", "image", "field".

    Of whatever was combined, it is MASTER.
    """
    word = _SIGNS.sub("", str(text)).upper()
    if noun := _NOUN.fullmatch(word):
        word = noun[1]
    word = "BIAS" if word == "BIASES" else _PLURAL.sub("", word)
    return "MASTER" if _COMBINED.fullmatch(word) else word


COMMON_KINDS: Mapping[str, FrameKind] = MappingProxyType(
    {word: row.kind for row in _ROWS for word in row.words.split()}
)
"""What the words of observatories and programs mean, for `kinds` of an instrument, alone or with words of its own."""

_WHY = {word: row.why for row in _ROWS for word in row.words.split() if row.why}


def is_common(kinds: Mapping[str, FrameKind]) -> bool:
    """Whether a table of kinds holds all the common words."""
    return kinds is COMMON_KINDS or COMMON_KINDS.keys() <= kinds.keys()


def why_excluded(text: object) -> str:
    """Why a frame with that word is neither science nor a raw calibration; "" where it may be."""
    return _WHY.get(folded(text), "")


def is_aside(text: object) -> bool:
    """Whether the word is that of frames for focus, tests, pointing or acquisition."""
    return why_excluded(text) == _ASIDE
