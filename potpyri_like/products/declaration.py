"""An instrument's declaration in words: cards, rules, cameras and constants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import astropy.units as u

from potpyri_like.instruments import Camera, Compound, Instrument, Keyword

__all__ = ["instrument_page"]


def instrument_page(instrument: Instrument, origin: str) -> list[str]:
    """The lines that `reduce instruments NAME` prints."""
    return [
        f"{instrument.name}: {(type(instrument).__doc__ or '').strip().partition(chr(10))[0]}",
        f"from {origin}",
        "",
        "Header cards",
        *(f"  {quantity:<9} {card_words(card)}" for quantity, card in instrument.keywords.items().items()),
        "",
        "Kinds of frames: the first rule that applies decides",
        *(f"  {rule}" for rule in instrument.rules),
        "",
        "Cameras",
        *(line for camera in instrument.cameras for line in camera_lines(camera)),
        "",
        "Constants",
        *constant_lines(instrument),
    ]


def card_words(card: Keyword | Compound) -> str:
    """Which card holds a quantity, in what unit."""
    if isinstance(card, Compound):
        words = " and ".join(card.cards)
    else:
        words = " or ".join(card.cards) + (f" [{card.unit}]" if card.unit is not None else "")
    return words + (", may be absent" if card.optional else "")


def camera_lines(camera: Camera) -> Iterator[str]:
    """One camera: what it is known by, and its constants."""
    known_by = ", ".join((*camera.ids, *(f"band {band}" for band in camera.bands)))
    yield f"  {camera.name}" + (f": known by {known_by}" if known_by else "")
    shown = {
        "pixel scale": camera.pixel_scale,
        "size": f"{camera.size[0]} x {camera.size[1]} pixels" if camera.size else None,
        "gain": camera.gain,
        "read noise": camera.read_noise,
        "saturation": camera.saturation,
        "data section": camera.data_section,
        "overscan section": camera.overscan_section,
        "pedestal": camera.pedestal,
        "amplifiers": len(camera.amplifiers) or None,
    }
    for what, value in shown.items():
        if value is not None:
            yield f"    {what:<17}{in_words(value)}"


def constant_lines(instrument: Instrument) -> Iterator[str]:
    """Site, telescope, calibration, filter and recipe."""
    lon, lat, height = instrument.site.to_geodetic()
    plan, pixel_filter = instrument.calibration, instrument.pixel_filter
    wanted = [kind for kind in ("bias", "dark", "flat") if getattr(plan, kind)]
    yield f"  {'site':<17}{lat.deg:+.5f} deg N, {lon.deg:+.5f} deg E, {height.to_value(u.m):.0f} m"
    if instrument.telescope_diameter is not None:
        yield f"  {'telescope':<17}{instrument.telescope_diameter:g}"
    yield f"  {'calibration':<17}{', '.join(wanted) or 'nothing'} expected; masters by {plan.combine}"
    least = pixel_filter.minimum_exposure
    yield f"  {'3x3 filter':<17}{pixel_filter.mode}" + (
        f", from exposures of {least:g} on" if least is not None else ""
    )
    yield f"  {'recipe':<17}{instrument.recipe}"


def in_words(value: Any) -> str:
    """A constant, or the card that holds it."""
    if isinstance(value, Keyword):
        return f"from the card {card_words(value)}"
    return f"{value:g}" if isinstance(value, u.Quantity) else str(value)
