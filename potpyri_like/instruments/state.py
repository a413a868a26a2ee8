"""What a detector was set to: temperature, gain or ISO, offset."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import astropy.units as u

from potpyri_like.errors import HeaderError
from potpyri_like.instruments.keywords import Compound, Keyword, Value
from potpyri_like.store.header import RawHeader, as_number

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument

__all__ = ["DetectorState", "state_of"]

# What MaxIm DL, NINA, SharpCap, Ekos, ASICAP and APT write; the measured temperature comes before the wanted one
_COMMON = {
    "temperature": Keyword("CCD-TEMP", u.deg_C, also=("CCDTEMP", "SET-TEMP"), optional=True),
    "gain_setting": Keyword("GAIN", also=("ISOSPEED", "ISO"), optional=True),
    "offset": Keyword("OFFSET", also=("BLKLEVEL",), optional=True),
}
_COLDEST, _WARMEST = -273.15, 100.0  # degrees Celsius


class DetectorState(NamedTuple):
    """See `FrameInfo`."""

    temperature: float | None
    gain_setting: str
    offset: str


def state_of(instrument: Instrument, header: RawHeader) -> DetectorState:
    """What the header says of the detector: nothing where its cards are absent, or hold what cannot be."""
    temperature = _value(instrument, "temperature", header)
    degrees = (
        float(temperature.to_value(u.deg_C, u.temperature()))
        if isinstance(temperature, u.Quantity) and temperature.isscalar
        else math.nan
    )
    return DetectorState(
        degrees if _COLDEST <= degrees <= _WARMEST else None,
        _setting(_value(instrument, "gain_setting", header)),
        _setting(_value(instrument, "offset", header)),
    )


def _value(instrument: Instrument, quantity: str, header: RawHeader) -> Value:
    """The declared card's value, or that of a common card that the declaration uses for nothing else."""
    keyword = getattr(instrument.keywords, quantity) or _COMMON[quantity]
    if keyword is _COMMON[quantity] and set(keyword.cards) & _declared_cards(instrument):
        return None
    try:
        return keyword.read(header)
    except HeaderError:
        return None


def _declared_cards(instrument: Instrument) -> set[str]:
    """The cards that keywords, gains and read noises of a declaration name."""
    named: list[object] = [*instrument.keywords.items().values()]
    for camera in instrument.cameras:
        named += [
            getattr(part, name) for part in (camera, *camera.amplifiers) for name in ("gain", "read_noise")
        ]
    return {card for one in named if isinstance(one, Keyword | Compound) for card in one.cards}


def _setting(value: Value) -> str:
    """A setting as text, the same for 100, 100.0 and "100"."""
    if value is None:
        return ""
    try:
        return f"{as_number(value):g}" if not isinstance(value, u.Quantity) else f"{value.value:g}"
    except (TypeError, ValueError):
        return str(value).strip().casefold()
