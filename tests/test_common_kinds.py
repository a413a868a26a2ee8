"""What the words of observatories and programs mean, whatever their spelling; Toy is an instrument of one small CCD."""

import astropy.units as u
import pytest
from headers import make_header
from toy import Toy

from potpyri_like.errors import DeclarationError, HeaderError
from potpyri_like.frame import FrameKind
from potpyri_like.instruments import COMMON_KINDS, Above, Always, HeaderKeywords, InPath, Keyword, Rule
from potpyri_like.testing import check_instrument

SCIENCE, BIAS, DARK, FLAT, OTHER = FrameKind
CARDS = {"EXPTIME": 30.0, "DATE-OBS": "2025-02-23T03:02:49.000", "FILTER": "R", "OBJECT": "WASP-0"}


class Common(Toy):
    """It leaves the words to the common table."""

    keywords = HeaderKeywords(
        exposure=Keyword("EXPTIME", u.s),
        band=Keyword("FILTER", optional=True),
        target=Keyword("OBJECT", optional=True),
    )
    kinds = COMMON_KINDS


class Own(Common):
    """Its card is called otherwise, and it has a word of its own."""

    keywords = HeaderKeywords(kind=Keyword("KIND"), exposure=Keyword("EXPTIME", u.s))
    kinds = {**COMMON_KINDS, "nightsky": SCIENCE}


class WithRules(Common):
    """Files without any such card are known by their folders, and the rest is science."""

    kinds = (COMMON_KINDS, Rule(FLAT, InPath("(^|/)flats?/")), Rule(SCIENCE, Always()))


def described(cards, instrument=Common, inside="frame.fits"):
    (info,) = instrument().describe(make_header(CARDS | cards, inside=inside))
    return info


# As read in public headers, or in the documentation and the code of the programs
SPELLINGS = {
    SCIENCE: (
        "LIGHT",
        "Light",
        "Light   ",
        "Light Frame",
        "light-frame",
        "LIGHT_FRAME",
        "OBJECT",
        "Object",
        "science",
        "Science Frame",
        "EXPOSE",
        "STANDARD",
        "EXPERIMENTAL",
        "target",
        "SNAPSHOT",
    ),
    BIAS: ("BIAS", "Bias", "Bias Frame", "bias_frame", "zero", "ZERO", "Offset", "biases", "Bias Frames"),
    DARK: ("DARK", "Dark Frame", "darks", "DarkFlat", "Dark Flat", "dark-flat", "FlatDark", "DARKFORFLAT"),
    FLAT: (
        "FLAT",
        "Flat",
        "Flat Frame",
        "Flat Field",
        "FlatField",
        "flat-field",
        "SKYFLAT",
        "sky flat",
        "Sky_Flat",
        "TWILIGHT",
        "twilight flat",
        "DOMEFLAT",
        "Dome Flat",
        "Flatlamp",
        "FLAT,SKY",
    ),
    OTHER: (
        "Master Dark",
        "masterflat",
        "MasterBias",
        "MASTER LIGHT",
        "Master Frame",
        "MasterDarkFlat",
        "superbias",
        "dark_master",
        "Tricolor Image",
        "focus",
        "FOCUS FRAME",
        "test",
        "Pointing",
        "ACQUISITION",
        "ARC",
        "comp",
        "BPM",
        "other",
    ),
}


@pytest.mark.parametrize("kind", SPELLINGS)
def test_each_spelling_is_of_its_kind(kind):
    assert {word: described({"IMAGETYP": word}).kind for word in SPELLINGS[kind]} == dict.fromkeys(
        SPELLINGS[kind], kind
    )


@pytest.mark.parametrize("word", ["Unknown", "NONE", "", "DARKNESS", "Flattened", "superb", "17"])
def test_a_word_that_nobody_writes_is_not_guessed(word):
    with pytest.raises(HeaderError, match=r"frame\.fits: no rule of TOY says what kind of frame this is"):
        described({"IMAGETYP": word})


@pytest.mark.parametrize(
    ("cards", "kind", "decided"),
    [
        ({"FRAME": "Light"}, SCIENCE, "FRAME is 'light'"),  # INDI before IMAGETYP
        ({"FRAME": "Dark", "IMAGETYP": "Dark Frame"}, DARK, "IMAGETYP is 'dark'"),
        ({"FRAME": 17, "OBSTYPE": "SKYFLAT"}, FLAT, "OBSTYPE is 'skyflat'"),  # a number elsewhere
        ({"IMAGETYP": "Unknown", "FRAME": "Flat"}, FLAT, "FRAME is 'flat'"),
        ({"OBSTYPE": "EXPOSE"}, SCIENCE, "OBSTYPE is 'expose'"),
        ({"FRAMETYP": "Bias"}, BIAS, "FRAMETYP is 'bias'"),
        ({"PICTTYPE": 3}, DARK, "PICTTYPE is 'dark'"),
        ({"DATA-TYP": "DOMEFLAT"}, FLAT, "DATA-TYP is 'domeflat'"),
        (
            {"CALFRAME": "MasterFlat"},
            OTHER,
            "a master frame, combined by another program: CALFRAME is 'master'",
        ),
        ({"INTEGRAT": "Integration"}, OTHER, "a product of another program: INTEGRAT is 'integration'"),
    ],
)
def test_the_first_card_that_says_a_known_word_decides(cards, kind, decided):
    info = described(cards)
    assert (info.kind, info.decided_by) == (kind, decided)


def test_a_number_is_a_kind_in_the_card_that_numbers_them_only():
    with pytest.raises(HeaderError, match="IMAGETYP: 3"):
        described({"IMAGETYP": 3})
    with pytest.raises(HeaderError, match="PICTTYPE: 0"):
        described({"PICTTYPE": 0})


def test_a_frame_without_any_such_card_is_rejected_and_the_cards_are_named():
    with pytest.raises(HeaderError, match=r"\(no IMAGETYP, FRAME, .* or DATA-TYP card\).*night\.ecsv"):
        described({})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Bias", BIAS),
        ("dark 60s", DARK),
        ("Sky Flat R", FLAT),
        ("flat_003", FLAT),
        ("Flat Field", FLAT),
        ("DARK12", DARK),
    ],
)
def test_a_calibration_frame_may_be_known_by_its_object_alone(name, kind):
    assert described({"OBJECT": name}).kind is kind
    assert described({"OBJECT": name, "IMAGETYP": "Light Frame"}).kind is SCIENCE


@pytest.mark.parametrize(
    "name", ["Target", "Object", "Standard", "test", "focus", "Dark Cloud 1", "Zeroth", "M 51"]
)
def test_no_other_frame_is_known_by_its_object(name):
    with pytest.raises(HeaderError, match="says what kind of frame this is"):
        described({"OBJECT": name})
    assert described({"OBJECT": name}, WithRules).kind is SCIENCE


def test_a_calibration_frame_of_several_exposures_is_no_raw_one():
    info = described({"IMAGETYP": "Dark Frame", "SNAPSHOT": 20})
    assert info.kind is OTHER
    assert info.decided_by.startswith("several exposures, combined by another program")
    assert described({"IMAGETYP": "Dark Frame", "SNAPSHOT": 1}).kind is DARK  # MaxIm DL's raw frames say so


def test_the_time_of_a_science_frame_of_several_exposures_is_a_doubt():
    notes = described({"IMAGETYP": "Light", "STACKCNT": 187}).notes
    assert [note for note in notes if note.startswith("time: 187 exposures are combined in it (STACKCNT)")]
    assert not described({"IMAGETYP": "Light", "STACKCNT": 1}).notes


def test_a_declared_card_is_asked_first_and_words_may_be_added():
    assert described({"KIND": "Dark Frame", "IMAGETYP": "Light"}, Own).kind is DARK
    assert described({"KIND": "Night Sky"}, Own).kind is SCIENCE
    assert described({"IMAGETYP": "Flat"}, Own).kind is FLAT


def test_the_table_stands_among_rules():
    assert described({"IMAGETYP": "zero"}, WithRules).kind is BIAS
    assert described({}, WithRules, "flats/a.fits").kind is FLAT
    assert described({}, WithRules).kind is SCIENCE
    assert described({"IMAGETYP": "Focus"}, WithRules).kind is OTHER


def test_a_table_with_an_asterisk_is_explained():
    with pytest.raises(DeclarationError, match=r"\(COMMON_KINDS, Rule\(\.\.\.\)\), without an asterisk"):

        class Starred(Common):
            kinds = (*COMMON_KINDS, Rule(SCIENCE, Above("EXPTIME", 0)))


def test_a_table_of_few_words_needs_its_card():
    with pytest.raises(DeclarationError, match=r"keywords needs kind=Keyword\('IMAGETYP'\)"):

        class Cardless(Common):
            kinds = {"light": SCIENCE}


@pytest.mark.parametrize("instrument", [Common, Own, WithRules])
def test_it_keeps_the_contract(instrument):
    assert [r.message for r in check_instrument(instrument, night=False) if not r.passed] == []


# -- a table of one's own ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["Light", "light frame", "LIGHT-FRAME", " light_ "])
def test_spelling_does_not_matter_to_a_table_of_ones_own(word):
    assert described({"IMAGETYP": word, "RA": 1, "DEC": 2}, Toy).kind is SCIENCE


def test_a_word_as_it_stands_in_the_table_comes_before_another_spelling():
    class Exact(Toy):
        kinds = {"dark": DARK, "dark frame": OTHER, "light": SCIENCE, "1": BIAS}

    kinds = {
        word: described({"IMAGETYP": word}, Exact).kind
        for word in ("Dark", "Dark Frame", "dark-frame", "1.0")
    }
    assert kinds == {"Dark": DARK, "Dark Frame": OTHER, "dark-frame": DARK, "1.0": BIAS}


def test_all_cards_of_the_keyword_are_asked():
    class Two(Toy):
        keywords = HeaderKeywords(kind=Keyword("IMAGETYP", also=("FRAME",)), exposure=Keyword("EXPTIME", u.s))

    assert described({"FRAME": "Flat"}, Two).kind is FLAT


def test_focus_and_test_frames_need_no_rule_and_masters_do():
    info = described({"IMAGETYP": "Focus"}, Toy)
    assert (info.kind, info.decided_by) == (
        OTHER,
        "a frame for setting up the telescope, not for science: IMAGETYP is 'focus'",
    )
    with pytest.raises(
        HeaderError, match="with kinds=COMMON_KINDS in the declaration of TOY it is to be excluded"
    ):
        described({"IMAGETYP": "Master Dark"}, Toy)


def test_a_word_that_others_know_is_told_to_the_author():
    with pytest.raises(
        HeaderError, match="with kinds=COMMON_KINDS in the declaration of TOY it is a bias frame"
    ):
        described({"IMAGETYP": "zero"}, Toy)
    with pytest.raises(HeaderError) as told:
        described({"IMAGETYP": "exotic"}, Toy)
    assert "COMMON_KINDS" not in str(told.value)
