from dataclasses import replace

import pytest
from headers import make_header

from potpyri_like.errors import DeclarationError
from potpyri_like.frame import FrameKind
from potpyri_like.instruments import Above, Always, Below, Has, InPath, Is, Matches, Rule

HEADER = make_header(
    {"IMAGETYP": "Object ", "OBJECT": "WASP-12 b", "EXPTIME": 30.0, "MASK": 0, "TEXT": "12.5", "BLANK": " "},
    inside="2025-02-23/Flats/g/x_001.fits",
)
YES, NO = Is("IMAGETYP", "object"), Is("IMAGETYP", "flat")


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Is("IMAGETYP", "OBJECT"), True),
        (Is("IMAGETYP", "flat", "object"), True),
        (Is("IMAGETYP", "obj"), False),
        (Is("MASK", 0), True),
        (Is("MASK", "0"), True),
        (Is("MASK", 0.0), True),
        (Is("TEXT", 12.5), True),
        (Is("EXPTIME", 30), True),
        (Is("EXPTIME", 3), False),
        (Is("NOWHERE", "x"), False),
        (Is("NOWHERE", "x", absent=True), True),
        (Is("BLANK", "", absent=True), True),
        (Matches("OBJECT", "wasp"), True),
        (Matches("OBJECT", "^b"), False),
        (Matches("OBJECT", r"\bB$"), True),
        (Matches("NOWHERE", "."), False),
        (Matches("NOWHERE", ".", absent=True), True),
        (Below("EXPTIME", 30), True),
        (Below("EXPTIME", 29.9), False),
        (Above("EXPTIME", 30), False),
        (Above("EXPTIME", 29.9), True),
        (Above("TEXT", 12), True),
        (Below("OBJECT", 1e9), False),
        (Above("OBJECT", -1e9), False),
        (Below("NOWHERE", 1e9), False),
        (Has("OBJECT"), True),
        (Has("BLANK"), False),
        (Has("NOWHERE"), False),
        (InPath(r"(^|/)flats?/"), True),
        (InPath(r"^x_"), False),
        (InPath(r"x_\d+"), True),
        (Always(), True),
        (YES & YES, True),
        (YES & NO, False),
        (YES | NO, True),
        (NO | NO, False),
        (~NO, True),
        (~YES, False),
        (~(YES & NO), True),
        (YES & ~(NO | Has("NOWHERE")), True),
    ],
)
def test_a_condition_holds_or_not(condition, holds):
    assert condition(HEADER) is holds


def test_not_of_an_absent_card_holds():
    assert (~Is("NOWHERE", "x"))(HEADER)
    assert not (~Is("NOWHERE", "x", absent=True))(HEADER)


def test_without_a_night_the_path_is_the_file_s_name():
    assert not InPath("Flats")(replace(HEADER, inside="x.fits"))
    assert InPath("^x_")(replace(HEADER, inside="", path=HEADER.path.with_name("x_1.fits")))


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Is("IMAGETYP", "Flat"), "IMAGETYP is 'flat'"),
        (Is("MASK", 0, 1, absent=True), "MASK is '0' or '1' or absent"),
        (Matches("OBJECT", "^flat"), "OBJECT matches /^flat/"),
        (Matches("OBJECT", "x", absent=True), "OBJECT matches /x/ or is absent"),
        (Below("EXPTIME", 0), "EXPTIME is at most 0"),
        (Above("EXPTIME", 1.5), "EXPTIME is above 1.5"),
        (Has("OBJECT"), "OBJECT is given"),
        (InPath("flat"), "the path matches /flat/"),
        (Always(), "nothing says otherwise"),
        ((YES | NO) & ~Has("A"), "(IMAGETYP is 'object' or IMAGETYP is 'flat') and not (A is given)"),
        (Rule(FrameKind.OTHER, Has("A"), why="a spectrum"), "other: A is given (a spectrum)"),
    ],
)
def test_it_says_itself_in_words(condition, words):
    assert str(condition) == words


@pytest.mark.parametrize(
    "condition",
    [
        Is("IMAGETYP", "flat"),
        Is("IMAGETYP", "flat") & Is("LAMP", "on", "1"),
        Matches("OBJECT", "^sky ?flats?$", like="sky flat"),
        Below("EXPTIME", 0.0),
        Above("EXPTIME", 5.0) & Is("IMAGETYP", "dark"),
        Is("IMAGETYP", "flat") | Is("OBJECT", "flat"),
        Is("IMAGETYP", "flat") & ~Is("MASK", "slit"),
    ],
)
def test_its_example_makes_it_true(condition):
    assert condition(make_header(condition.example()))


@pytest.mark.parametrize(
    ("make", "culprit"),
    [
        (
            lambda: Matches("OBJECT", "(flat"),
            r"Matches\('OBJECT'\): pattern = '\(flat' is not a regular expression",
        ),
        (lambda: InPath("[a-"), r"InPath: pattern = '\[a-'"),
        (lambda: Is("IMAGETYP"), r"Is\('IMAGETYP'\): give at least one value"),
        (lambda: Rule("scienze", Always()), "Rule: kind = 'scienze'; it is one of FrameKind.SCIENCE"),
        (lambda: Rule(FrameKind.FLAT, "IMAGETYP"), "Rule: when = 'IMAGETYP'; give a condition"),
    ],
)
def test_a_mistake_is_named_where_it_was_made(make, culprit):
    with pytest.raises(DeclarationError, match=culprit):
        make()
