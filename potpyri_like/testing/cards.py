"""The headers of simulated frames: an instrument's declarations read backwards."""

from __future__ import annotations

from itertools import product

import astropy.units as u
from astropy.coordinates import FK5, SkyCoord
from astropy.io import fits
from astropy.time import Time

from potpyri_like.errors import DeclarationError
from potpyri_like.frame import FrameInfo
from potpyri_like.imaging import parse_section
from potpyri_like.instruments import Amplifier, Camera, Instrument, Keyword, camera_named
from potpyri_like.instruments.dates import values_of
from potpyri_like.instruments.former import once_a_method
from potpyri_like.instruments.keywords import Value
from potpyri_like.store.header import CardValue, RawHeader

__all__ = ["blank_headers", "cards_of", "raw_header"]


def raw_header(instrument: Instrument, info: FrameInfo, *, size: tuple[int, int]) -> RawHeader:
    """The headers that the instrument gives to such a frame.

    Parameters
    ----------
    instrument : Instrument
    info : FrameInfo
    size : (int, int)
        Columns, rows of the image, where the declaration leaves them open.
    """
    camera = camera_named(instrument, info.camera)
    blank = blank_headers(instrument, camera, size=size, binning=info.binning)
    headers = tuple(_with_axes(header) for header in blank)
    for card, value in cards_of(instrument, info).items():
        _write(headers[0], card, value)
    return RawHeader(info.path, headers, info.path.as_posix())


def _write(header: fits.Header, card: str, value: CardValue) -> None:
    """Put a card into a header.

    Raises
    ------
    DeclarationError
        No card can hold the value.
    """
    try:
        header[card] = value
    except ValueError as error:
        raise DeclarationError(
            f"the card {card} cannot hold {value!r}: give text, a number or a bool, as in start.utc.isot"
        ) from error


def _with_axes(header: fits.Header) -> fits.Header:
    """A header that says how many axes its image has."""
    cards = [card for card in header.cards if card.keyword not in ("SIMPLE", "XTENSION", "BITPIX", "NAXIS")]
    return fits.Header([("BITPIX", 16), ("NAXIS", 2 if "NAXIS1" in header else 0), *cards])


# -- what is in the frame -------------------------------------------------------------------------------------


@once_a_method("cards")
def cards_of(instrument: Instrument, info: FrameInfo) -> dict[str, CardValue]:
    """The primary cards that a frame so described has: `Instrument.describe` read backwards."""
    rule = next((rule for rule in instrument.rules if rule.kind is info.kind), None)
    of_kind = rule.when.example() if rule else {}
    values, declared = _values(instrument, info), instrument.keywords.items()
    cards = declared["target"].write(values.pop("target")) if "target" in declared else {}
    cards |= of_kind  # of the target's name a rule may know the kind
    for quantity, value in values.items():
        if quantity in declared:
            cards |= declared[quantity].write(value)
    if info.mid_time is not None:
        cards |= instrument.time_cards(info.mid_time - info.exposure / 2, info.exposure)
    return cards


@once_a_method("values")
def _values(instrument: Instrument, info: FrameInfo) -> dict[str, Value]:
    """The quantities of a frame so described, as its cards say them."""
    camera, names = camera_named(instrument, info.camera), instrument.band_names
    values: dict[str, Value] = {
        "exposure": info.exposure,
        "band": next((raw for raw, ours in names.items() if ours == info.band), info.band),
        "target": info.target or str(info.kind),
        "camera": camera.ids[0] if camera.ids else camera.name,
        "binning": f"{info.binning[0]}x{info.binning[1]}",
    }
    return values if info.pointing is None else values | _pointing_values(instrument, info.pointing)


@once_a_method("pointing_values")
def _pointing_values(instrument: Instrument, pointing: SkyCoord) -> dict[str, Value]:
    """What the `ra`, `dec` and `equinox` cards of a frame say that looked there."""
    equinox, keywords = instrument.simulated.equinox, instrument.keywords
    if equinox is not None:
        pointing = pointing.transform_to(FK5(equinox=Time(equinox.to_value(u.yr), format="jyear")))
    values: dict[str, Value] = {
        "ra": pointing.ra.to_string(u.hour, sep=":", precision=3, pad=True),
        "dec": pointing.dec.to_string(u.deg, sep=":", precision=2, pad=True, alwayssign=True),
    }
    for axis, value in (("ra", pointing.ra), ("dec", pointing.dec)):
        keyword = getattr(keywords, axis)
        if isinstance(keyword, Keyword) and keyword.unit is not None:
            values[axis] = value
    if keywords.equinox is not None:
        values["equinox"] = 2000 * u.yr if equinox is None else equinox
    return values


# -- where its pixels are -------------------------------------------------------------------------------------


@once_a_method("blank")
def blank_headers(
    instrument: Instrument, camera: Camera, *, size: tuple[int, int], binning: tuple[int, int]
) -> list[fits.Header]:
    """The headers of a raw file without pixels: one for each HDU, with NAXIS1 and NAXIS2 for an image.

    Parameters
    ----------
    instrument : Instrument
    camera : Camera
    size : (int, int)
        Columns, rows of the image; where the declaration fixes them, that is used.
    binning : (int, int)
        Columns, rows.
    """
    if instrument.simulated.headers is not None:
        return instrument.simulated.headers(camera, size, binning)
    if camera.placed_by is not None:
        return _quadrants(camera, camera.placed_by, size, binning)
    amplifiers = camera.amplifiers or (camera,)
    headers = [fits.Header() for _ in range(1 + max(getattr(a, "hdu", 0) for a in amplifiers))]
    for amplifier in amplifiers:
        _blank_amplifier(headers[getattr(amplifier, "hdu", 0)], camera, amplifier, size, binning)
    return headers


def _quadrants(
    camera: Camera, placed_by: Keyword, size: tuple[int, int], binning: tuple[int, int]
) -> list[fits.Header]:
    """Four amplifiers, one in each corner of the detector, whose images all begin at their corners."""
    columns, rows = (length // 2 for length in size)
    right, top = (2 * half * factor for half, factor in zip((columns, rows), binning, strict=True))
    ranges = [f"1:{right // 2}", f"{right}:{right // 2 + 1}"], [f"1:{top // 2}", f"{top}:{top // 2 + 1}"]
    headers = [fits.Header()]
    for x, y in product(*ranges):
        header = fits.Header()
        header[placed_by.card] = f"[{x},{y}]"
        _blank_amplifier(header, camera, camera, (columns, rows), binning)
        headers.append(header)
    return headers


def _blank_amplifier(
    header: fits.Header,
    camera: Camera,
    declared: Camera | Amplifier,
    size: tuple[int, int],
    binning: tuple[int, int],
) -> None:
    """Fill in NAXIS1, NAXIS2 and the cards that an amplifier's declaration names."""
    data_section = declared.data_section or camera.data_section
    overscan_section = declared.overscan_section or camera.overscan_section
    left, low, (columns, rows) = header.get("NAXIS1", 0), header.get("NAXIS2", 0), size
    if isinstance(data_section, str):  # several amplifiers may share an image
        texts = [text for text in (data_section, overscan_section) if isinstance(text, str)]
        sections = [parse_section(text).binned(*binning) for text in texts]
        columns, rows = max(left, *(s.x1 for s in sections)), max(low, *(s.y1 for s in sections))
    elif isinstance(data_section, Keyword):
        header[data_section.card] = f"[{left + 1}:{left + columns},1:{rows}]"
        columns += left
        if isinstance(overscan_section, Keyword):
            header[overscan_section.card] = f"[{columns + 1}:{columns + 32},1:{rows}]"
            columns += 32
    header["NAXIS1"], header["NAXIS2"] = columns, rows
    for quantity, typical in (("gain", 1.5), ("read_noise", 5.0), ("saturation", 60000.0)):
        own = getattr(declared, quantity, None)
        for value in values_of(getattr(camera, quantity) if own is None else own):
            if isinstance(value, Keyword):
                header[value.card] = typical
