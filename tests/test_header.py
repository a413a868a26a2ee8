import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from headers import make_header

from potpyri_like.errors import HeaderError
from potpyri_like.store import read_header
from potpyri_like.store.header import RawHeader, as_number, broken_card


def test_a_card_is_found_in_the_first_hdu_that_has_it():
    header = make_header({"A": 1}, extensions=[{"A": 2, "B": 3}, {"B": 4, "C": 5}])
    assert [header[card] for card in "ABC"] == [1, 3, 5]


def test_the_cards_of_an_extension_come_first_then_the_primary_ones():
    header = make_header({"A": 1, "D": 7}, extensions=[{"A": 2}, {"B": 4}])
    assert (header.of(1)["A"], header.of(1)["D"]) == (2, 7)
    assert "A" in header.of(2)
    assert "B" not in header.of(1)
    assert header.of(0) is header


def test_text_comes_without_blanks_around_it():
    assert make_header({"UT": " 2023-11-22 03:02:49.000  "})["UT"] == "2023-11-22 03:02:49.000"


@pytest.mark.parametrize("value", ["", "    ", None, fits.card.Undefined()])
def test_a_card_without_a_value_is_missing(value):
    header = make_header({"OBJECT": value})
    assert "OBJECT" not in header
    assert header.get("OBJECT", "none") == "none"
    with pytest.raises(KeyError, match="OBJECT"):
        header["OBJECT"]


def test_a_blank_card_leaves_it_to_the_next_hdu():
    assert make_header({"OBJECT": "  "}, extensions=[{"OBJECT": "M51"}])["OBJECT"] == "M51"


def test_a_card_that_cannot_be_parsed_is_missing():
    broken = fits.Header.fromstring("GAIN    = 1.2.3.4 / no number" + " " * 51 + "EXPTIME = 5.0".ljust(80))
    header = RawHeader(make_header().path, (broken,))
    assert "GAIN" not in header
    assert header["EXPTIME"] == 5.0


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2019-11-19T19:41:48.288 / UTC", "2019-11-19T19:41:48.288"),
        ("2019-11-19", "2019-11-19"),
        ("2019-11-19T19:41:48.288Z", "2019-11-19T19:41:48.288Z"),
        ("19.11.2019 / no date of ours", None),
        ("2019-11-1944", None),
        ("19:41:48", None),
    ],
)
def test_a_date_without_quotes_is_read_and_nothing_else_is(written, value):
    header = RawHeader(make_header().path, (fits.Header.fromstring(f"DATE-OBS= {written}".ljust(80)),))
    assert header.get("DATE-OBS") == value


def test_zero_and_false_are_values():
    header = make_header({"EXPTIME": 0.0, "FLAG": False})
    assert header["EXPTIME"] == 0
    assert header["FLAG"] is False


def test_it_is_a_mapping_of_all_cards():
    header = make_header({"A": 1}, extensions=[{"A": 2, "B": 3}])
    assert len(header) == len(list(header)) == len(set(header))
    assert {"A", "B"} <= set(header)


def test_tables_are_no_images(tmp_path):
    path = tmp_path / "a.fits"
    table = fits.BinTableHDU(Table({"slit": [1, 2]}))
    image = fits.ImageHDU(np.arange(6, dtype=np.int16).reshape(2, 3))
    fits.HDUList([fits.PrimaryHDU(), table, image]).writeto(path)
    header = read_header(path)
    assert header.images == (2,)
    assert header.image_shape == (2, 3)


def test_a_compressed_image_is_an_image(tmp_path):
    path = tmp_path / "a.fits.fz"
    fits.HDUList(
        [fits.PrimaryHDU(), fits.CompImageHDU(np.arange(600, dtype=np.int16).reshape(20, 30))]
    ).writeto(path)
    header = read_header(path)
    assert header.images == (1,)
    assert header.image_shape == (20, 30)


def test_a_cube_has_three_axes():
    assert make_header(shape=(5, 20, 30)).image_shape == (5, 20, 30)


@pytest.mark.parametrize("hdus", [(fits.Header({"NAXIS": 0}),), (fits.Header({"NAXIS": 1, "NAXIS1": 2048}),)])
def test_a_file_without_an_image_is_rejected_by_its_name(hdus):
    header = RawHeader(make_header(inside="spectrum.fits").path, hdus)
    with pytest.raises(HeaderError, match=r"spectrum\.fits: no image in it"):
        assert header.image_shape


@pytest.mark.parametrize(
    ("xtension", "images"), [(5, ()), (True, ()), ("BINTABLE", ()), ("", (0,)), ("IMAGE   ", (0,))]
)
def test_an_xtension_of_any_type_is_judged(xtension, images):
    assert make_header({"XTENSION": xtension}).images == images


def with_text(path, text):
    """A frame whose FILTER says that, in these bytes."""
    fits.PrimaryHDU(np.zeros((4, 4)), fits.Header({"FILTER": "x" * 20, "OBJECT": "M 1"})).writeto(path)
    content = path.read_bytes()
    at = content.index(b"FILTER  ")
    card = b"FILTER  = '" + text + b"'"
    path.write_bytes(content[:at] + card.ljust(80) + content[at + 80 :])
    return path


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Hα".encode(), "Hα"),
        ("Hβ  ".encode(), "Hβ"),
        ("[S ii]".encode(), "[S ii]"),
        ("étoile".encode("latin-1"), "étoile"),
        ("d''été".encode(), "d'été"),
        (b"plain", "plain"),
    ],
)
def test_text_beyond_ascii_is_read_as_it_was_written(tmp_path, written, read):
    header = read_header(with_text(tmp_path / "a.fits", written))
    assert header["FILTER"] == read and header.of(0)["FILTER"] == read and header["OBJECT"] == "M 1"


def test_text_beyond_ascii_belongs_to_its_own_hdu(tmp_path):
    one, two = (
        with_text(tmp_path / f"{n}.fits", f"H{letter}".encode()) for n, letter in ((1, "α"), (2, "β"))
    )
    image = fits.ImageHDU(np.zeros((4, 4)), fits.Header({"FILTER": "y" * 20})).header.tostring().encode()
    at = image.index(b"FILTER  ")
    image = image[:at] + "FILTER  = 'Hγ'".encode().ljust(80) + image[at + 80 :]
    (tmp_path / "both.fits").write_bytes(one.read_bytes() + image + bytes(2880))
    header = read_header(tmp_path / "both.fits")
    assert (header["FILTER"], header.of(1)["FILTER"]) == ("Hα", "Hγ")
    assert read_header(two)["FILTER"] == "Hβ"


@pytest.mark.parametrize(
    ("says", "number"),
    [("60,0", 60.0), ("60,25", 60.25), (" 0,125 ", 0.125), ("-1,5", -1.5), ("60.5", 60.5), (7, 7.0)],
)
def test_a_decimal_comma_is_understood(says, number):
    assert as_number(says) == number


@pytest.mark.parametrize("says", ["60,000", "1,234", "6,0,0", "60, 0", "sixty", ""])
def test_a_comma_that_may_part_thousands_is_not_guessed(says):
    with pytest.raises(ValueError, match="could not convert"):
        as_number(says)


def test_a_card_that_cannot_be_parsed_is_quoted():
    broken = fits.Header.fromstring(
        "EXPTIME = 60,000 / s".ljust(80) + "GAIN    =                  1.0".ljust(80)
    )
    header = RawHeader(make_header().path, (broken,))
    assert (
        "60,000" in broken_card(header, "EXPTIME")
        and broken_card(header, "GAIN") == broken_card(header, "X") == ""
    )


# -- numbers as observers write them -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "number"),
    [
        ("60,0", 60.0),
        ("3,2E-05", 3.2e-5),
        ("3,200E-05", 3.2e-5),
        ("-1,5e+2", -150.0),
        ("0,125", 0.125),
        ("6.0D+01", 60.0),
        ("1D2", 100.0),
        (" 60.0 ", 60.0),
        (60, 60.0),
    ],
)
def test_a_number_is_read_however_it_is_written(says, number):
    assert as_number(says) == pytest.approx(number)


@pytest.mark.parametrize("says", ["60,000", "1,234", "D2", "60,0,0", "3E", "", "sixty"])
def test_what_may_be_two_numbers_or_is_none_is_none(says):
    with pytest.raises(ValueError, match="could not convert"):
        as_number(says)
