"""An instrument's declaration in words: cards, rules, cameras and constants."""

from __future__ import annotations

from collections.abc import Iterator

import astropy.units as u
from astropy.coordinates import EarthLocation
from astropy.time import Time

from potpyri_like.instruments import Camera, Compound, Instrument, Keyword
from potpyri_like.instruments.dates import Constant, periods

__all__ = ["instrument_page"]


def instrument_page(instrument: Instrument, origin: str) -> list[str]:
    """The lines that `reduce instruments NAME` prints."""
    return [
        f"{instrument.name}: {_first_line(type(instrument))}",
        f"from {origin}",
        "",
        "Header cards",
        *(f"  {quantity:<9} {_card_words(card)}" for quantity, card in instrument.keywords.items().items()),
        f"  {'mid-time':<9} {_time_words(instrument)}",
        *(f"  {raw:<9} is the filter name for {ours}" for raw, ours in instrument.band_names.items()),
        "",
        "Kinds of frames: the first rule that applies decides",
        *(f"  {rule}" for rule in instrument.rules),
        "",
        "Cameras",
        *(line for camera in instrument.cameras for line in _camera_lines(camera)),
        "",
        "Constants",
        *_constant_lines(instrument),
    ]


def _card_words(card: Keyword | Compound) -> str:
    """Which card holds a quantity, in what unit."""
    if isinstance(card, Compound):
        words = " and ".join(card.cards)
    else:
        words = " or ".join(card.cards) + (f" [{card.unit}]" if card.unit is not None else "")
    return words + (", may be absent" if card.optional else "")


def _first_line(described: object) -> str:
    """The first line of a docstring."""
    return (described.__doc__ or "").strip().partition("\n")[0]


def _time_words(instrument: Instrument) -> str:
    """Where the time comes from: as the method says, else the cards that it reads back."""
    if said := _first_line(type(instrument).mid_time):
        return said
    cards = instrument.time_cards(Time("2000-01-01T00:00:00", scale="utc"), 1 * u.s)
    return f"from {' and '.join(cards)}"


def _camera_lines(camera: Camera) -> Iterator[str]:
    """One camera: what it is known by, and its constants."""
    known_by = ", ".join((*camera.ids, *(f"band {band}" for band in camera.bands)))
    yield f"  {camera.name}" + (f": identified by {known_by}" if known_by else "")
    shown = {
        "pixel scale": camera.pixel_scale,
        "size": f"{camera.size[0]} x {camera.size[1]} pixels" if camera.size else None,
        "gain": camera.gain,
        "read noise": camera.read_noise,
        "saturation": camera.saturation,
        "data section": camera.data_section,
        "overscan section": camera.overscan_section,
        "pedestal": camera.pedestal,
        "its uncertainty": camera.pedestal_error,
        "amplifiers": len(camera.amplifiers) or None,
        "placed by": camera.placed_by,
        "site": camera.site,
    }
    for what, value in shown.items():
        if value is not None:
            yield f"    {what:<17}{_in_words(value)}"


def _constant_lines(instrument: Instrument) -> Iterator[str]:
    """Site, telescope, calibration, filter and recipe."""
    plan, pixel_filter = instrument.calibration, instrument.pixel_filter
    wanted = [kind for kind in ("bias", "dark", "flat") if getattr(plan, kind)]
    yield f"  {'site':<17}{_in_words(instrument.site)}"
    if instrument.telescope_diameter is not None:
        yield f"  {'telescope':<17}{instrument.telescope_diameter:g}"
    yield f"  {'calibration':<17}{', '.join(wanted) or 'nothing'} expected; masters by {plan.combine}"
    least = pixel_filter.minimum_exposure
    yield (
        f"  {'3x3 filter':<17}{pixel_filter.mode}"
        + (f", for exposures of {least:g} and longer" if least is not None else "")
        + (f"; {pixel_filter.binned} for binned frames" if pixel_filter.binned else "")
    )
    yield f"  {'recipe':<17}{instrument.recipe}"


def _in_words(value: Constant | EarthLocation | str | int) -> str:
    """A constant, its values by date, a place, or the card that holds a constant."""
    if changed := periods(value):
        return "; ".join(f"{_in_words(period.value)} {period.dates}" for period in changed)
    if isinstance(value, Keyword):
        return f"from the card {_card_words(value)}"
    if isinstance(value, EarthLocation):
        lon, lat, height = value.to_geodetic()
        return f"{lat.deg:+.5f} deg N, {lon.deg:+.5f} deg E, {height.to_value(u.m):.0f} m"
    return f"{value:g}" if isinstance(value, u.Quantity) else str(value)
