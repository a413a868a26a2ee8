"""Whose frames a night may hold that the instrument which was asked for does not understand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from potpyri_like.errors import FrameError, ReductionError
from potpyri_like.frame import FrameKind
from potpyri_like.instruments import Instrument
from potpyri_like.instruments.clock import FAULTS
from potpyri_like.night.night import Night
from potpyri_like.store import read_header
from potpyri_like.store.header import RawHeader

__all__ = ["resembling"]

_LOOKED_AT, _PART = 12, 0.5  # files, from all over the night; of them
_NAMING = ("INSTRUME", "DETECTOR", "CAMERA", "TELESCOP")  # cards that name an instrument or its camera


def resembling(night: Night, others: Iterable[Instrument]) -> tuple[str, ...]:
    """The instruments whose rules understand most files of a night, those whose names are in the headers first.

    An instrument that no header names counts where the card that it declares for the kind of frame decides, and where
    none is named.

    Parameters
    ----------
    night : Night
    others : iterable of Instrument
    """
    headers = tuple(_some_headers(night))
    named, known = [], []
    for instrument in others:
        understood = [header for header in headers if _understands(instrument, header)]
        if not understood or len(understood) < _PART * len(headers):
            continue
        if all(_is_named(instrument, header) for header in understood):
            named.append(instrument.name)
        elif all(_has_kind(instrument, header) for header in understood):
            known.append(instrument.name)
    return tuple(named or known)


def _some_headers(night: Night) -> Iterator[RawHeader]:
    """The headers of some files of the night that can be read."""
    files = list(dict.fromkeys(row.file.rpartition("[")[0] or row.file for row in night.rows))
    for file in files[:: max(1, len(files) // _LOOKED_AT)]:
        try:
            yield read_header(night.root / file, inside=file)
        except (FrameError, OSError):
            continue


def _understands(instrument: Instrument, header: RawHeader) -> bool:
    """Whether an instrument can use a file."""
    try:
        infos = instrument.describe(header)
        instrument.layout(header)
    except (ReductionError, *FAULTS):
        return False
    return all(info.kind is not FrameKind.OTHER for info in infos)


def _is_named(instrument: Instrument, header: RawHeader) -> bool:
    """Whether a header names the instrument, or a camera of it by what the declaration knows it by."""
    said = [_plain(header.get(card, "")) for card in _NAMING]
    camera = instrument.keywords.camera
    own = [_plain(header.get(card, "")) for card in (camera.cards if camera else ())]
    ids = [_plain(text) for each in instrument.cameras for text in each.ids]
    names = [_plain(instrument.name), *ids]
    return any(text in ids for text in own if text) or any(
        text.startswith(name) for text in said for name in names if name
    )


def _has_kind(instrument: Instrument, header: RawHeader) -> bool:
    """Whether a header has the card that the instrument declares for the kind of a frame."""
    keyword = instrument.keywords.kind
    return keyword is not None and any(card in header for card in keyword.cards)


def _plain(text: object) -> str:
    """A name without blanks and signs, in small letters."""
    return "".join(sign for sign in str(text).lower() if sign.isalnum())
