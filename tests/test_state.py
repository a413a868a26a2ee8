"""What headers say of a detector's temperature, gain and offset, and which calibrations fit it."""

import astropy.units as u
import pytest
from headers import make_header
from test_night import TOY, by_file, write
from toy import Toy

from potpyri_like.errors import DeclarationError
from potpyri_like.frame import FrameKind
from potpyri_like.instruments import Calibration, Camera, HeaderKeywords, Keyword
from potpyri_like.instruments.state import state_of
from potpyri_like.night import scan


@pytest.mark.parametrize(
    ("cards", "state"),
    [
        ({"CCD-TEMP": -10.02, "GAIN": 100, "OFFSET": 30}, (-10.02, "100", "30")),
        ({"SET-TEMP": -10.0, "GAIN": "100.0"}, (-10.0, "100", "")),
        ({"CCD-TEMP": -9.5, "SET-TEMP": -10.0, "ISOSPEED": 800}, (-9.5, "800", "")),
        ({"CCD-TEMP": "cold", "GAIN": "High"}, (None, "high", "")),
        ({"CCD-TEMP": -999.0}, (None, "", "")),
        ({}, (None, "", "")),
    ],
)
def test_common_cards_are_read_where_none_are_declared(cards, state):
    assert state_of(TOY, make_header(cards)) == state


class Declared(Toy):
    name = "DECLARED"
    keywords = HeaderKeywords(
        **{**Toy.keywords.items(), "temperature": Keyword("DETTEMP", u.K), "gain_setting": Keyword("HGAIN")}
    )


class GainCard(Toy):
    name = "GAINCARD"
    cameras = (
        Camera(
            name="main",
            pixel_scale=0.62 * u.arcsec / u.pix,
            gain=Keyword("GAIN", u.electron / u.adu),
            read_noise=6 * u.electron,
            saturation=60000 * u.adu,
        ),
    )


def test_declared_cards_come_first_and_a_unit_is_obeyed():
    found = state_of(Declared(), make_header({"DETTEMP": 263.15, "CCD-TEMP": 5.0, "HGAIN": 2, "GAIN": 100}))
    assert found == (pytest.approx(-10.0), "2", "")


def test_a_card_that_holds_electrons_per_count_is_no_setting():
    assert state_of(GainCard(), make_header({"GAIN": 1.31})).gain_setting == ""


def test_a_tolerance_is_a_difference_of_temperature():
    with pytest.raises(DeclarationError, match="give a difference of temperature"):
        Calibration(temperature_tolerance=2)
    with pytest.raises(DeclarationError, match="unit"):
        HeaderKeywords(exposure=Keyword("EXPTIME", u.s), temperature=Keyword("T", u.m))


def night_of(folder, **kinds):
    """A night of frames with these cards, by the names of their files."""
    for name, cards in kinds.items():
        write(folder / f"{name}.fits", IMAGETYP=name.rstrip("0123456789"), **cards)
    return scan(folder, TOY)


COLD, WARM = {"CCD_TEMP": -10.0}, {"CCD_TEMP": 5.0}


def test_darks_of_another_temperature_are_not_mixed_and_that_is_said(tmp_path):
    night = night_of(
        tmp_path, light1=COLD, light2={"CCD_TEMP": -10.4}, dark1={"CCD_TEMP": -9.0}, dark2=WARM, dark3={}
    )
    (observed,) = night.sets()
    assert [info.label for info in observed.darks] == ["dark1.fits", "dark3.fits"]
    assert observed.unfit == {"dark": "at +5 degrees Celsius, the science frames at -10"}
    assert "degrees Celsius" in by_file(night)["dark2.fits"].reason
    assert not by_file(night)["dark1.fits"].reason


def test_flats_and_biases_of_another_temperature_serve(tmp_path):
    (observed,) = night_of(tmp_path, light1=COLD, flat1=WARM, bias1=WARM).sets()
    assert len(observed.flats) == len(observed.biases) == 1 and not observed.unfit


def test_calibrations_of_another_gain_or_offset_are_not_mixed(tmp_path):
    own = {"GAIN": 100, "OFFSET": 30}
    night = night_of(
        tmp_path,
        light1=own,
        bias1=own,
        bias2={"GAIN": 200, "OFFSET": 30},
        dark1={"GAIN": 100, "OFFSET": 50},
        flat1={},
    )
    (observed,) = night.sets()
    assert [len(some) for some in (observed.biases, observed.darks, observed.flats)] == [1, 0, 1]
    assert observed.unfit == {
        "bias": "with gain 200, the science frames with gain 100",
        "dark": "with offset 50, the science frames with offset 30",
    }
    assert "gain and offset" in by_file(night)["bias2.fits"].reason


def test_science_frames_of_two_gains_are_two_observations(tmp_path):
    night = night_of(tmp_path, light1={"GAIN": 100}, light2={"GAIN": 200}, light3={"GAIN": "100"})
    sets = night.sets()
    assert sorted(len(observed.frames) for observed in sets) == [1, 2]
    assert len({observed.folder for observed in sets}) == 2


def test_a_science_frame_without_the_card_belongs_to_the_others_of_one_gain_and_to_none_of_two(tmp_path):
    (one,) = night_of(tmp_path / "one", light1={}, light2={"GAIN": 100}, bias1={"GAIN": 200}).sets()
    assert len(one.frames) == 2 and not one.biases
    two = night_of(tmp_path / "two", light1={}, light2={"GAIN": 100}, light3={"GAIN": 200}).sets()
    assert [len(observed.frames) for observed in two] == [1, 1, 1]


def test_flats_of_other_bands_are_named(tmp_path):
    (observed,) = night_of(tmp_path, light1={}, flat1={"FILTER": "V"}, flat2={"FILTER": "g"}).sets()
    assert not observed.flats
    assert observed.unfit == {"flat": "in V and g, the science frames in R"}
    assert not night_of(tmp_path / "none", light1={}).sets()[0].unfit
    assert FrameKind.FLAT.value in observed.unfit
