from itertools import combinations
from pathlib import Path

import astropy.units as u
import pytest

from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.night import band_slug
from potpyri_like.night.names import bare_reason, set_folders
from potpyri_like.primitives.master_maker import _master_name

ALIKE = ["r", "r'", "R", "r.", "r*", ".r", "r..", "R'"]


@pytest.fixture
def folders_of(info_of):
    def folders(*bands):
        made = {("wasp-0", "main", band): info_of(band) for band in bands}
        return {band: set_folders(made)["wasp-0", "main", band] for band in bands}

    return folders


@pytest.fixture
def info_of():
    def info(band, kind=FrameKind.SCIENCE):
        return FrameInfo(Path("a.fits"), kind, "main", band, "WASP-0", (1, 1), 60 * u.s, None, (40, 50))

    return info


@pytest.mark.parametrize(
    ("band", "name"),
    [
        ("r", "r"),
        ("R", "R"),
        ("r'", "r_prime"),
        ("Sloan r'", "Sloan_r_prime"),
        ("r.", "r_dot"),
        ("r*", "r_star"),
        ("UV/IR", "UV_over_IR"),
        ("../../x", "dot_over_dot_over_x"),
        ("Hα", "Hα"),
        ("g+r", "g+r"),
        ("F606W", "F606W"),
        ("", "clear"),
        (" ", "clear"),
    ],
)
def test_a_band_has_a_name_from_itself_alone(band, name):
    assert band_slug(band) == name


@pytest.mark.parametrize(("one", "other"), list(combinations(ALIKE, 2)))
def test_two_bands_have_folders_that_differ_in_any_letter_case(folders_of, one, other):
    found = folders_of(one, other)
    assert found[one].casefold() != found[other].casefold()


@pytest.mark.parametrize("others", [(), ("g",), ("R",), ("r", "g'", "R'")])
def test_the_name_of_a_primed_band_is_the_same_whatever_else_the_night_holds(folders_of, others):
    assert folders_of("i'", *others)["i'"] == "WASP-0/i_prime"


def test_letters_of_another_case_are_told_in_words(folders_of):
    assert folders_of("r", "R") == {"r": "WASP-0/r_small", "R": "WASP-0/R_capital"}
    assert folders_of("r", "i") == {"r": "WASP-0/r", "i": "WASP-0/i"}


@pytest.mark.parametrize(
    ("band", "name"),
    [("r'", "master_flat_main_r_prime_1x1"), ("../../x", "master_flat_main_dot_over_dot_over_x_1x1")],
)
def test_a_master_has_a_name_that_leads_nowhere(info_of, band, name):
    assert _master_name("flat", 0.0, info_of(band, FrameKind.FLAT)) == f"cals/{name}.fits"


@pytest.mark.parametrize(
    ("file", "reason", "bare"),
    [
        ("a/b.fits", "a/b.fits: truncated", "truncated"),
        ("a/b.fits", "b.fits: truncated", "truncated"),
        ("b.fits[3]", "b.fits: truncated", "truncated"),
        ("b.fits", "bb.fits: truncated", "bb.fits: truncated"),
        ("b.fits", "the same frame as b.fits: it", "the same frame as b.fits: it"),
        ("b.fits", "", ""),
    ],
)
def test_a_reason_beside_the_name_of_its_frame_does_not_repeat_it(file, reason, bare):
    assert bare_reason(file, reason) == bare
