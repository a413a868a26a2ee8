"""Celestial coordinates of raw frames: what astropy's own reading of the same cards says, or nothing and a reason."""

import warnings
from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from headers import make_header
from toy import Toy

from potpyri_like.imaging import Section
from potpyri_like.instruments import Readout, wcs_of, wcs_trouble
from potpyri_like.instruments.celestial import celestial_wcs

TAN = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 153.5,
    "CRVAL2": 16.05,
    "CRPIX1": 128.5,
    "CRPIX2": 100.0,
    "CD1_1": -2e-4,
    "CD1_2": 1e-5,
    "CD2_1": 3e-5,
    "CD2_2": 2e-4,
}
TERMS = ("A_3_0", "A_1_2", "A_2_0", "A_1_1", "B_0_3", "B_2_1", "B_0_2")
SIP = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 3, "B_ORDER": 3}
SIP |= dict(zip(TERMS, 1e-6 * np.arange(2, 9), strict=True))
SCAMP = {
    f"PV{axis}_{m}": v for axis in (1, 2) for m, v in ((0, 1e-3), (1, 1.01), (2, 1e-3), (4, 0.2), (7, 0.5))
}
POLYNOMIAL = "3. 2. 2. 0. -0.03 0.03 -0.03 0.03 1e-4 3e-2 2e-2 1e-2 "
TNX = {"CTYPE1": "RA---TNX", "CTYPE2": "DEC--TNX", "WAT0_001": "system=image"}
for axis, name, of in ((1, "ra", "lng"), (2, "dec", "lat")):
    text = f'wtype=tnx axtype={name} {of}cor = "{POLYNOMIAL}"'
    TNX |= {f"WAT{axis}_001": text[:68], f"WAT{axis}_002": text[68:]}
PLACES = np.array([[20.0, 30.0], [200.0, 40.0], [128.0, 128.0], [60.0, 230.0]])
WHOLE = Readout(hdu=0, data=Section(0, 256, 0, 256), overscan=None, gain=1.0, read_noise=1.0, saturation=1e5)


def sky_by_astropy(cards, places):
    """Where astropy's WCS of these cards puts pixels of the file, counted from 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return WCS(fits.Header(cards), naxis=2).pixel_to_world(*np.transpose(places)).icrs


def found(cards, readout=WHOLE, **how):
    return celestial_wcs(make_header(cards, shape=(256, 256), **how), readout)


@pytest.mark.parametrize(
    "cards",
    [
        {},
        {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 16.05, "CRVAL2": 153.5},
        {"LONPOLE": 90.0},
        {"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "LATPOLE": 40.0, "LONPOLE": 30.0},
        SIP,
        {k: v for k, v in SIP.items() if not k.startswith("CTYPE")},  # the suffix was forgotten
        SCAMP,
        SCAMP | {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV"},
        {"PV1_3": 90.0},  # LONPOLE by another name
        TNX,
        {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"},
        {"RADESYS": "FK4", "EQUINOX": 1950.0},
        {"EPOCH": 1950.0},
        {
            "CUNIT1": "arcsec",
            "CUNIT2": "arcsec",
            "CRVAL1": 153.5 * 3600,
            "CRVAL2": 57780.0,
            "CD1_1": -0.7,
            "CD2_2": 0.7,
        },
        {"CTYPE1": "RA---ZPN", "CTYPE2": "DEC--ZPN", "PV2_1": 1.0, "PV2_3": 20.0},
        {
            "CD1_1": None,
            "CD1_2": None,
            "CD2_1": None,
            "CD2_2": None,
            "CDELT1": -2e-4,
            "CDELT2": 2e-4,
            "CROTA2": 30.0,
        },
    ],
)
def test_coordinates_are_those_of_astropy(cards):
    cards = {card: value for card, value in (TAN | cards).items() if value is not None}
    wcs, why = found(cards)
    assert why == ""
    assert wcs.pixel_to_world(*PLACES.T).icrs.separation(sky_by_astropy(cards, PLACES)).arcsec.max() < 1e-4
    back = np.transpose(wcs.world_to_pixel(sky_by_astropy(cards, PLACES)))
    assert np.abs(back - PLACES).max() < 0.01


@pytest.mark.parametrize("unit", ["degrees", "Degree", "DEG", "deg."])
def test_units_may_be_spelled_out_and_numbers_be_text(unit):
    text = {card: str(value) for card, value in TAN.items()} | {"CUNIT1": unit, "CUNIT2": unit}
    wcs, why = found(text)
    assert (
        why == ""
        and wcs.pixel_to_world(*PLACES.T).separation(sky_by_astropy(TAN, PLACES)).arcsec.max() < 1e-4
    )


@pytest.mark.parametrize("flip", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("cards", [{}, SIP, SCAMP, TNX, {"LONPOLE": 90.0}])
def test_trimming_and_flips_carry_the_coordinates_along_with_the_distortion(cards, flip):
    """A pixel of the trimmed, mirrored image looks where the same pixel of the file does."""
    data = Section(10, 240, 21, 251)
    readout = replace(WHOLE, data=data, flip_x=flip[0], flip_y=flip[1], x0=3, y0=4)
    wcs, why = found(TAN | cards, readout)
    assert why == ""
    rows, columns = data.shape
    x, y = PLACES[:, 0] - data.x0, PLACES[:, 1] - data.y0
    here = (columns - 1 - x if flip[0] else x) + 3, (rows - 1 - y if flip[1] else y) + 4
    assert wcs.pixel_to_world(*here).separation(sky_by_astropy(TAN | cards, PLACES)).arcsec.max() < 1e-3


def test_a_distortion_is_no_small_matter():
    """The distortions of these tests are far above their tolerances."""
    for cards in (SIP, SCAMP, TNX):
        assert sky_by_astropy(TAN | cards, PLACES).separation(sky_by_astropy(TAN, PLACES)).arcsec.max() > 2


@pytest.mark.parametrize(
    ("cards", "why"),
    [
        ({"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"}, "XYZ"),
        ({"CTYPE1": "RA---TNX", "CTYPE2": "DEC--TNX"}, "WAT1_001"),
        ({"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}, "A_ORDER"),
        ({"CPDIS1": "LOOKUP", "CPDIS2": "LOOKUP"}, "CPDIS1"),
        ({"CRVAL1": "unknown"}, "CRVAL1 = 'unknown'"),
        ({"CD1_1": 0.0, "CD1_2": 0.0}, "singular"),
        ({"CUNIT1": "furlong", "CUNIT2": "furlong"}, "CUNIT1"),
        ({"CTYPE2": "LINEAR"}, "celestial"),
        ({"RADESYS": "GAPPT"}, "celestial frame"),
        ({"CD1_1": None, "CD1_2": None, "CD2_1": None, "CD2_2": None}, "scale"),
        ({"A_ORDER": 2, "A_2_0": 1e-5}, "B_ORDER"),
        ({"CD1_1": 1e-4, "CD1_2": 1e-4, "CD2_1": 1e-4, "CD2_2": 1e-4}, "CD1_1 = 0.0001, CD1_2"),
        ({"CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": None}, "no CD2_2 card, which is 0"),
        ({"CD1_1": "NaN"}, "CD1_1 = 'NaN' is not a number"),
        ({"CRVAL1": "inf"}, "CRVAL1 = 'inf' is not a number"),
        ({"LONPOLE": "nan"}, "LONPOLE = 'nan' is not a number"),
        ({"CRVAL1": None}, "no CRVAL1 card"),
        ({"CRPIX2": None}, "no CRPIX2 card"),
        ({"CRVAL2": 95.0}, "CRVAL2 = 95.0 is no declination"),
        ({"CTYPE1": "DEC--TAN", "CTYPE2": "DEC--TAN"}, "CTYPE1 = 'DEC--TAN', CTYPE2 = 'DEC--TAN'"),
        ({"CTYPE2": "DEC--ZEA"}, "two different projections"),
        ({"CD1_1": 10.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 10.0}, "arcsec per pixel cannot be"),
        ({"CD1_1": 1e-9, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1e-9}, "arcsec per pixel cannot be"),
    ],
)
def test_what_cannot_be_used_whole_is_not_used_and_says_why(cards, why):
    cards = {card: value for card, value in (TAN | cards).items() if value is not None}
    wcs, said = found(cards)
    assert wcs is None and why in said
    assert "nan pixels" not in said and "\n" not in said


@pytest.mark.parametrize(
    "cards", [{}, {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, {"CTYPE1": "DEC 1950", "CTYPE2": "RA 1950"}]
)
def test_a_header_without_coordinates_has_none_and_no_reason(cards):
    assert found(cards) == (None, "")


def test_the_coordinates_are_those_of_the_images_own_hdu():
    own = {"XTENSION": "IMAGE", "NAXIS": 2, "NAXIS1": 256, "NAXIS2": 256}
    readout = replace(WHOLE, hdu=1)
    elsewhere = TAN | {"CRVAL1": 10.0}
    wcs, _ = found(elsewhere | {"RADESYS": "ICRS"}, readout, extensions=[own | TAN])
    assert (
        wcs.pixel_to_world(127.5, 99.0).separation(SkyCoord(153.5 * u.deg, 16.05 * u.deg)) < 0.01 * u.arcsec
    )
    wcs, _ = found(TAN, readout, extensions=[own])  # only the primary header has any
    assert (
        wcs.pixel_to_world(127.5, 99.0).separation(SkyCoord(153.5 * u.deg, 16.05 * u.deg)) < 0.01 * u.arcsec
    )


def test_an_instrument_tells_why_it_has_no_coordinates():
    header = make_header(
        {"EXPTIME": 60.0} | TAN | {"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"}, shape=(256, 288)
    )
    toy = Toy()
    assert wcs_of(toy, header, toy.layout(header)) is None and "XYZ" in wcs_trouble(
        toy, header, toy.layout(header)
    )
    plain = make_header({"EXPTIME": 60.0} | TAN, shape=(256, 288))
    assert (
        wcs_of(toy, plain, toy.layout(plain)) is not None and wcs_trouble(toy, plain, toy.layout(plain)) == ""
    )


@pytest.mark.parametrize("cards", [SIP, SCAMP, TNX])
def test_a_product_carries_the_distortion(cards, tmp_path):
    wcs, _ = found(TAN | cards)
    header = fits.Header()
    header.update(wcs.to_header(relax=True))
    fits.PrimaryHDU(np.zeros((256, 256)), header).writeto(tmp_path / "stack.fits")
    back = WCS(fits.getheader(tmp_path / "stack.fits"))
    assert back.pixel_to_world(*PLACES.T).separation(sky_by_astropy(TAN | cards, PLACES)).arcsec.max() < 1e-3
