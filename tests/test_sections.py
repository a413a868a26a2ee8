"""FITS sections and the slices they mean, against ccdproc."""

import ccdproc
import numpy as np
import pytest
from astropy.nddata import CCDData

from potpyri_like.errors import HeaderError
from potpyri_like.imaging import Section, parse_mirrored, parse_section, says_nothing


@pytest.mark.parametrize("text", ["[1:1,1:1]", "[3:10,2:4]", "[1:12,1:9]", "[12:12,9:9]"])
def test_a_section_takes_the_pixels_that_ccdproc_takes(text):
    image = np.arange(9 * 12).reshape(9, 12)
    section = parse_section(text)
    wanted = ccdproc.trim_image(CCDData(image, unit="adu"), fits_section=text).data
    np.testing.assert_array_equal(image[section.slices], wanted)
    assert section.shape == wanted.shape
    assert section.fits() == text


def test_x_comes_first_and_counts_from_1_with_both_ends():
    assert parse_section("[1055:3024,217:3911]") == Section(x0=1054, x1=3024, y0=216, y1=3911)


def test_blanks_do_not_matter():
    assert parse_section(" [ 1 : 20 , 3:4 ]  ") == parse_section("[1:20,3:4]")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[:,:]",
        "[1:5]",
        "1:5,2:3",
        "[1:5,2:3",
        "[1:5,2:3,1:1]",
        "[1.5:3,1:2]",
        "[a:b,c:d]",
        "[-1:5,1:2]",
        "[*,*]",
    ],
)
def test_text_that_is_no_section_is_named_in_the_error(text):
    with pytest.raises(HeaderError) as caught:
        parse_section(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["[5:1,1:2]", "[1:5,3:2]", "[0:5,1:2]", "[1:5,0:2]"])
def test_a_section_that_runs_backwards_or_starts_at_0_is_rejected(text):
    with pytest.raises(HeaderError, match="before pixel 1") as caught:
        parse_section(text)
    assert repr(text) in str(caught.value)


def test_binning_keeps_the_binned_pixels_wholly_inside():
    pixel_x, pixel_y = np.arange(101), np.arange(50)
    for text, bx, by in [
        ("[1:100,1:50]", 2, 2),
        ("[2:99,4:47]", 2, 3),
        ("[33:64,9:40]", 4, 4),
        ("[1:7,1:9]", 1, 1),
    ]:
        section = parse_section(text)
        binned = section.binned(bx, by)
        wholly_x = [
            n
            for n in range(101 // bx)
            if set(pixel_x[n * bx : (n + 1) * bx]) <= set(range(section.x0, section.x1))
        ]
        wholly_y = [
            n
            for n in range(50 // by)
            if set(pixel_y[n * by : (n + 1) * by]) <= set(range(section.y0, section.y1))
        ]
        assert (binned.x0, binned.x1) == (wholly_x[0], wholly_x[-1] + 1)
        assert (binned.y0, binned.y1) == (wholly_y[0], wholly_y[-1] + 1)


def test_a_section_smaller_than_a_binned_pixel_is_rejected():
    with pytest.raises(HeaderError, match="no pixels"):
        parse_section("[2:3,1:4]").binned(4, 4)


def test_a_section_knows_whether_an_image_holds_it():
    section = parse_section("[1:20,1:10]")
    assert section.inside((10, 20)) and section.inside((11, 30))
    assert not section.inside((9, 20)) and not section.inside((10, 19))


@pytest.mark.parametrize(
    ("text", "section", "mirrored"),
    [
        ("[1:2048,1:2048]", Section(0, 2048, 0, 2048), (False, False)),
        ("[4096:2049,1:2048]", Section(2048, 4096, 0, 2048), (True, False)),
        ("[4096:2049, 4096:2050]", Section(2048, 4096, 2049, 4096), (True, True)),
        ("[7:7,9:8]", Section(6, 7, 7, 9), (False, True)),
    ],
)
def test_a_section_may_run_backwards_where_an_image_is_mirrored(text, section, mirrored):
    assert parse_mirrored(text) == (section, *mirrored)


@pytest.mark.parametrize("text", ["[0:5,1:2]", "[5:0,1:2]", "1:5,1:2", "[1:5]", ""])
def test_what_is_no_section_is_none_backwards_either(text):
    with pytest.raises(HeaderError, match="the section"):
        parse_mirrored(text)


@pytest.mark.parametrize(
    "text", ["", " ", "N/A", "n/a", "NA", "UNKNOWN", "Unknown ", "none", "[0:0,0:0]", "[:,:]"]
)
def test_blanks_words_and_zeros_say_that_there_is_no_section(text):
    assert says_nothing(text)


@pytest.mark.parametrize("text", ["[1:10,1:10]", "[0:10,0:10]", "nowhere", "10", "[10:1,0:0]"])
def test_a_section_and_what_cannot_be_read_say_something(text):
    assert not says_nothing(text)
