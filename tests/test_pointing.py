"""Where the telescope looked, from what observers' programs write: the sky is astropy's, read from the same text."""

from dataclasses import replace

import astropy.units as u
import pytest
from astropy.coordinates import FK4, FK5, ICRS, SkyCoord
from headers import make_header
from toy import Toy

from potpyri_like.instruments import Keyword
from potpyri_like.instruments.pointing import angle, frame_of_cards

LIGHT = {
    "IMAGETYP": "light",
    "EXPTIME": 60.0,
    "FILTER": "r",
    "OBJECT": "WASP-0",
    "DATE-OBS": "2024-03-10T22:00:00",
}
STAR = SkyCoord("10h14m00s +16d03m00s")


def toy(**keywords):
    """Toy, with other keywords."""
    return type("Other", (Toy,), {"keywords": replace(Toy.keywords, **keywords)})()


def info_of(cards, instrument=None):
    (info,) = (instrument or Toy()).describe(make_header(LIGHT | cards, shape=(256, 288)))
    return info


def coordinate_notes(info):
    return [note for note in info.notes if note.startswith("coordinates:")]


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        (153.5, 16.05),
        ("153.5", "16.05"),
        ("153,5", "16,05"),
        ("10:14:00", "+16:03:00"),
        ("10 14 00.00", "16 03 00"),
        ("10h14m", "16d03m"),
        ("10h14m00.0s", "+16d03m00s"),
        ("10:14", "16:03"),
        ("153d30m00s", "16d03'"),
    ],
)
def test_a_number_is_degrees_and_sexagesimal_text_is_hours(ra, dec):
    info = info_of({"RA": ra, "DEC": dec})
    assert info.pointing.separation(STAR) < 0.1 * u.arcsec
    assert not coordinate_notes(info)


@pytest.mark.parametrize("ra", ["153:30:00", "153 30 00"])
def test_sexagesimal_hours_above_24_are_degrees_with_a_note(ra):
    info = info_of({"RA": ra, "DEC": "16:03:00"})
    assert info.pointing.separation(STAR) < 0.1 * u.arcsec
    assert "above 24" in coordinate_notes(info)[0]


@pytest.mark.parametrize("unit", [u.deg, u.hourangle])
def test_the_declaration_says_what_a_number_is(unit):
    info = info_of({"RA": 10.23333333, "DEC": 16.05}, toy(ra=Keyword("RA", unit), dec=Keyword("DEC", u.deg)))
    here = SkyCoord(10.23333333 * unit, 16.05 * u.deg)
    assert info.pointing.separation(here) < 0.1 * u.arcsec and not coordinate_notes(info)


def test_text_in_hours_is_read_where_degrees_are_declared():
    info = info_of(
        {"RA": "10:14:00", "DEC": "16:03:00"}, toy(ra=Keyword("RA", u.deg), dec=Keyword("DEC", u.deg))
    )
    assert info.pointing.separation(STAR) < 0.1 * u.arcsec


def test_a_number_above_24_is_no_number_of_hours():
    info = info_of({"RA": 153.5, "DEC": 16.05}, toy(ra=Keyword("RA", u.hourangle), dec=Keyword("DEC", u.deg)))
    assert info.pointing.separation(STAR) < 0.1 * u.arcsec
    assert "RA = 153.5" in coordinate_notes(info)[0]


@pytest.mark.parametrize("comment", ["[h] Observe object RA coordinate (J2000)", "RA in hours"])
def test_a_comment_says_hours_where_the_declaration_says_nothing(comment):
    header = make_header(LIGHT | {"RA": 10.23333333, "DEC": 16.05}, shape=(256, 288))
    header.hdus[0].comments["RA"] = comment
    (info,) = Toy().describe(header)
    assert info.pointing.separation(STAR) < 0.1 * u.arcsec


@pytest.mark.parametrize(
    "witness",
    [
        {"OBJCTRA": "10 14 00", "OBJCTDEC": "+16 03 00"},
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 153.4, "CRVAL2": 16.1},
        {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 16.1, "CRVAL2": "153.4"},
    ],
)
@pytest.mark.parametrize("unit", [None, u.deg])
def test_another_card_tells_hours_that_were_declared_as_degrees(witness, unit):
    instrument = toy(ra=Keyword("RA", unit), dec=Keyword("DEC", unit))
    info = info_of({"RA": 10.2333333, "DEC": 16.05} | witness, instrument)
    assert info.pointing.separation(STAR) < 0.1 * u.arcsec
    assert "RA = 10.2333333" in coordinate_notes(info)[0]
    twin = info_of({"RA": 153.5, "DEC": 16.05} | witness, instrument)
    assert twin.pointing.separation(STAR) < 0.1 * u.arcsec and not coordinate_notes(twin)


@pytest.mark.parametrize(
    "cards",
    [
        {"OBJCTRA": "12 14 00", "OBJCTDEC": "+16 03 00"},
        {"OBJCTRA": "10 14 00", "OBJCTDEC": "-16 03 00"},  # the sign of the declination was lost
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 200.0, "CRVAL2": 16.0},
    ],
)
def test_cards_that_contradict_each_other_in_every_reading_are_no_pointing(cards):
    info = info_of({"RA": 153.5, "DEC": 16.05} | cards)
    assert info.pointing is None
    assert "contradict" in coordinate_notes(info)[0] and "RA = 153.5" in coordinate_notes(info)[0]


@pytest.mark.parametrize(
    "cards",
    [
        {"OBJCTRA": "00 00 00", "OBJCTDEC": "+00 00 00"},
        {"OBJCTRA": "10 15 30", "OBJCTDEC": "+15 40 00"},  # a mount half a degree off its object
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 0.0, "CRVAL2": 0.0},
        {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR", "CRVAL1": 12.0, "CRVAL2": 7.0},
        {"OBJCTRA": "unknown", "OBJCTDEC": ""},
    ],
)
def test_placeholders_and_a_mount_that_is_a_little_off_contradict_nothing(cards):
    info = info_of({"RA": 153.5, "DEC": 16.05} | cards)
    assert info.pointing.separation(STAR) < 0.1 * u.arcsec and not coordinate_notes(info)


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        (0.0, 0.0),
        ("00:00:00", "00:00:00"),
        (400.0, 16.0),
        ("10:75:00", 16.0),
        ("10:14:00", 96.0),
        ("east", 1),
    ],
)
def test_what_cannot_be_and_two_zeros_are_no_pointing_with_a_note(ra, dec):
    info = info_of({"RA": ra, "DEC": dec})
    assert info.pointing is None
    (note,) = coordinate_notes(info)
    assert repr(ra) in note


def test_a_declination_just_below_the_equator_keeps_its_sign():
    assert info_of({"RA": "10:14:00", "DEC": "-00:30:00"}).pointing.dec.deg == pytest.approx(-0.5)
    assert angle("-00 00 36") == (pytest.approx(-0.01), None)


@pytest.mark.parametrize(
    ("cards", "frame"),
    [
        ({}, ICRS()),
        ({"EQUINOX": 2000.0}, FK5(equinox="J2000")),
        ({"EQUINOX": "2025.2"}, FK5(equinox="J2025.2")),
        ({"EPOCH": 1950.0}, FK4(equinox="B1950")),
        ({"RADECSYS": "FK4"}, FK4(equinox="B1950")),
        ({"RADESYS": "FK5", "EQUINOX": 1975.0}, FK5(equinox="J1975")),
        ({"RADESYS": "ICRS", "EQUINOX": "2000.0"}, ICRS()),
        ({"EPOCH": 2003.0094}, ICRS()),  # the date, as at Gemini
        ({"EQUINOX": 0.0}, ICRS()),
        ({"EQUINOX": 9.87654321e107}, ICRS()),
    ],
)
def test_the_frame_is_that_of_radesys_and_equinox(cards, frame):
    assert frame_of_cards(make_header(cards)).is_equivalent_frame(frame)
    here = SkyCoord("10h14m00s", "+16d03m00s", frame=frame).icrs
    assert info_of({"RA": "10:14:00", "DEC": "+16:03:00"} | cards).pointing.separation(here) < 0.05 * u.arcsec
