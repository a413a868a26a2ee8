"""Times from what observers' clocks and programs write; the physics of time scales is astropy's, in the test."""

import contextlib

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation
from astropy.io import fits
from astropy.time import Time
from headers import make_header, text_headers
from toy import Toy

from potpyri_like.errors import HeaderError
from potpyri_like.instruments import FrameKind, HeaderKeywords, Keyword
from potpyri_like.instruments.clock import read_stamp
from potpyri_like.instruments.exposure import open_shutter
from potpyri_like.instruments.gmos import Gmos

START = Time("2024-03-10T22:00:00", scale="utc", precision=6)
MIDDLE = START + 30 * u.s
LIGHT = {"IMAGETYP": "light", "EXPTIME": 60.0, "FILTER": "r", "OBJECT": "WASP-0"}


class Plain(Toy):
    """Reads DATE-OBS as everybody does."""

    keywords = HeaderKeywords(
        kind=Keyword("IMAGETYP"),
        exposure=Keyword("EXPTIME", u.s, also=("EXPOSURE",)),
        band=Keyword("FILTER", optional=True),
        target=Keyword("OBJECT", optional=True),
    )

    def mid_time(self, header, exposure):
        return Time(header["DATE-OBS"], scale="utc") + exposure / 2


class Split(Plain):
    """Date and time in two cards."""

    def mid_time(self, header, exposure):
        return Time(f"{header['DATE-OBS']}T{header['TIME-OBS']}", scale="utc") + exposure / 2


class Minded(Plain):
    """Reads TIMESYS and zones itself."""

    def mid_time(self, header, exposure):
        text, hours = header["DATE-OBS"], 0.0
        if text[-6] in "+-":
            text, hours = text[:-6], float(text[-6] + "1") * float(text[-5:-3])
        scale = str(header.get("TIMESYS", "utc")).lower()
        return Time(text, scale=scale) - hours * u.h + exposure / 2


class Atomic(Plain):
    """Its clock is TAI, whatever its cards say."""

    def mid_time(self, header, exposure):
        return Time(header["DATE-OBS"], scale="tai") + exposure / 2


class AtTheEnd(Plain):
    """DATE-OBS is the end."""

    def mid_time(self, header, exposure):
        return Time(header["DATE-OBS"], scale="utc") - exposure / 2


def described(cards, instrument=Plain, comments=None):
    header = make_header(LIGHT | cards, shape=(256, 288))
    for card, comment in (comments or {}).items():
        header.hdus[0].comments[card] = comment
    (info,) = instrument().describe(header)
    return info


def off(info, truth=MIDDLE):
    return abs((info.mid_time - truth).to_value(u.s))


def doubts(info):
    return [note for note in info.notes if note.startswith("time:")]


def conversions(info):
    return [note for note in info.notes if note.startswith(("clock:", "exposure:"))]


def after(seconds, digits=23):
    return (START + seconds * u.s).isot[:digits]


class TestScales:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("TAI", START.tai.isot),
            ("GPS", (START.tai - 19 * u.s).isot),
            ("TT", START.tt.isot),
            ("TDT", START.tt.isot),
            ("TDB", START.tdb.isot),
            ("tai", START.tai.isot),
            ("TT(TAI)", START.tt.isot),
        ],
    )
    @pytest.mark.parametrize("instrument", [Plain, Split])
    def test_another_time_scale_is_converted_and_noted(self, name, text, instrument):
        date, clock = text.split("T")
        cards = {"DATE-OBS": text} if instrument is Plain else {"DATE-OBS": date, "TIME-OBS": clock}
        info = described(cards | {"TIMESYS": name}, instrument)
        assert off(info) < 1e-3 and info.mid_time.scale == "utc"
        assert not doubts(info) and f"TIMESYS = {name!r}" in conversions(info)[0]

    def test_earth_rotation_time_is_within_a_second_of_utc(self):
        """UT1 - UTC was -7.6 ms (IERS Bulletin B 435, 2024 March 10: -8 ms to a few ms)."""
        assert off(described({"DATE-OBS": START.isot, "TIMESYS": "UT1"})) < 0.05

    @pytest.mark.filterwarnings("ignore::erfa.ErfaWarning")
    def test_earth_rotation_time_beyond_the_tables_is_taken_as_utc(self):
        info = described({"DATE-OBS": "2149-03-10T22:00:00", "TIMESYS": "UT1"})
        assert off(info, Time("2149-03-10T22:00:30", scale="utc")) < 0.9

    @pytest.mark.parametrize("name", ["UTC", "UT", "GMT", "UTC(NTP)", "utc", "", "UNKNOWN"])
    def test_utc_by_any_name_stays(self, name):
        info = described({"DATE-OBS": START.isot, "TIMESYS": name})
        assert off(info) < 1e-3 and not doubts(info) and not conversions(info)

    def test_a_scale_that_nobody_knows_is_a_doubt(self):
        info = described({"DATE-OBS": START.isot, "TIMESYS": "PST"})
        assert "TIMESYS = 'PST'" in doubts(info)[0]

    @pytest.mark.parametrize("instrument", [Minded, Atomic])
    def test_an_instrument_that_converts_is_not_converted_again(self, instrument):
        info = described({"DATE-OBS": START.tai.isot, "TIMESYS": "TAI"}, instrument)
        assert off(info) < 1e-3 and not info.notes

    def test_an_instrument_may_declare_its_scale(self):
        utc = type("Declared", (Plain,), {"time_scale": "utc"})
        info = described({"DATE-OBS": START.isot, "TIMESYS": "TAI"}, utc)
        assert off(info) < 1e-3 and not info.notes


class TestZones:
    @pytest.mark.parametrize(
        ("text", "hours"),
        [
            ("2024-03-10T14:00:00-08:00", -8),
            ("2024-03-11T03:30:00.000+05:30", 5.5),
            ("2024-03-11 00:00:00 +0200", 2),
            ("2024-03-10T22:00:00.000Z", 0),
            ("2024-03-10 22:00:00 UTC", 0),
            ("2024-03-10T10:00:00 PM", 0),
            ("2024-03-10 10:00:00 p.m.", 0),
            ("2024/03/10 22:00:00", 0),
            ("3/13/2024 10:00:00 PM", 0),
        ],
    )
    def test_zones_and_half_days_are_brought_to_utc(self, text, hours):
        truth = MIDDLE + (3 * u.d if text.startswith("3/") else 0 * u.d)
        info = described({"DATE-OBS": text})
        assert off(info, truth) < 1e-3 and not doubts(info)
        assert not hours or repr(text) in conversions(info)[0]

    @pytest.mark.parametrize(
        ("date", "clock"),
        [
            ("2024-03-10", "10:00:00 PM"),
            ("2024-03-10", "14:00:00-08:00"),
            ("2024-03-11", "00:00:00+02:00"),  # the day before in Greenwich
            ("13/03/2024", "22:00:00"),
            ("2024-03-10", "22:00:00"),
        ],
    )
    @pytest.mark.parametrize("instrument", [Plain, Split])
    def test_a_date_and_a_time_in_two_cards_are_put_together(self, date, clock, instrument):
        info = described({"DATE-OBS": date, "TIME-OBS": clock}, instrument)
        assert off(info, MIDDLE + (3 * u.d if "/" in date else 0 * u.d)) < 1e-3 and not doubts(info)

    def test_midnight_and_noon_in_halves_of_the_day(self):
        assert read_stamp("2024-03-10 12:30:00 AM").seconds == 1800
        assert read_stamp("2024-03-10 12:30:00 PM").seconds == 45000
        assert read_stamp("13:30:00 PM") is None and read_stamp("03/04/2024") is None

    def test_a_zone_that_the_instrument_reads_is_not_applied_twice(self):
        info = described({"DATE-OBS": "2024-03-10T14:00:00-08:00"}, Minded)
        assert off(info) < 1e-3 and not info.notes

    @pytest.mark.parametrize(
        ("cards", "note"),
        [
            ({"MJD-OBS": START.mjd}, "MJD-OBS"),
            ({"TIMEZONE": -7}, "TIMEZONE = -7"),
            ({"TIMEZONE": 7}, "TIMEZONE = 7"),  # its sign is that of the site's longitude
            ({"TIMESYS": "UTC-7"}, "TIMESYS = 'UTC-7'"),
        ],
    )
    def test_local_time_is_converted_where_a_card_tells_the_zone(self, cards, note):
        west = type("West", (Plain,), {"site": EarthLocation.from_geodetic(-111 * u.deg, 35 * u.deg)})
        cards = {"DATE-OBS": "2024-03-10T15:00:00"} | cards
        info = described(cards, west, {"DATE-OBS": "local time"})
        assert off(info) < 1e-3 and note in conversions(info)[0] and not doubts(info)

    def test_local_time_without_a_zone_is_a_doubt(self):
        assert (
            "local time"
            in doubts(described({"DATE-OBS": START.isot}, comments={"DATE-OBS": "local time"}))[0]
        )

    @pytest.mark.parametrize(
        "cards",
        [
            {"DATE-LOC": "2024-03-10T15:00:00"},
            {"LOCALTIM": "3/10/2024 03:00:00.000 PM DST"},
            {"LT": "15:00:00"},
            {"LST": "+16 00 00.00"},
            {"ST": "13:07:24.7"},
            {"TIMEZONE": 8},
            {"DATE": "2024-03-11"},
            {"JD": 0.0, "UTMIDDLE": "00:00:00.0000"},
            {"JD-HELIO": START.jd + 0.005},
            {"UT": "22:00:00", "TIME-OBS": "22:00:00"},
        ],
    )
    def test_cards_of_local_and_sidereal_time_and_placeholders_are_no_doubt(self, cards):
        info = described({"DATE-OBS": START.isot} | cards)
        assert off(info) < 1e-3 and not info.notes


class TestMeaning:
    @pytest.mark.parametrize(
        "cards",
        [
            {"DATE-OBS": after(60), "DATE-BEG": after(0), "DATE-END": after(60)},
            {"DATE-OBS": after(60), "DATE-BEG": after(0)},
            {"DATE-OBS": after(60), "DATE-END": after(60)},
            {"DATE-OBS": after(60), "DATE-AVG": after(30)},
            {"DATE-OBS": after(30), "DATE-AVG": after(30)},
            {"DATE-OBS": after(30), "DATE-BEG": after(0), "DATE-END": after(60)},
        ],
    )
    def test_date_obs_is_the_moment_that_the_other_dates_say(self, cards):
        info = described(cards)
        assert off(info) < 1e-3 and not doubts(info)
        assert all(f"{card} = {text!r}" in conversions(info)[0] for card, text in cards.items())

    @pytest.mark.parametrize(
        "cards",
        [
            {"DATE-BEG": after(0), "DATE-AVG": after(30), "DATE-END": after(60)},
            {"DATE-AVG": after(30.012)},  # N.I.N.A.
            {"DATE-END": after(64)},  # with the readout
            {"DATE-BEG": after(0, 19), "DATE-END": after(62)},
        ],
    )
    def test_dates_that_agree_are_not_mentioned(self, cards):
        info = described({"DATE-OBS": after(0)} | cards)
        assert off(info) < 1e-3 and not info.notes

    def test_an_instrument_that_knows_its_end_is_left_alone(self):
        info = described({"DATE-OBS": after(60), "DATE-BEG": after(0), "DATE-END": after(60)}, AtTheEnd)
        assert off(info) < 1e-3 and not info.notes

    @pytest.mark.parametrize(
        ("comment", "at"),
        [("end of exposure (UT)", 60), ("System Clock-Frame Grabbed", 60), ("mid-exposure, UT", 30)],
    )
    def test_the_comment_says_which_moment_it_is(self, comment, at):
        info = described({"DATE-OBS": after(at)}, comments={"DATE-OBS": comment})
        assert off(info) < 1e-3 and "comment" in conversions(info)[0]

    @pytest.mark.parametrize(
        "comment", ["UTC start date of observation", "start to end of exposure", "Image created time", ""]
    )
    def test_other_comments_change_nothing(self, comment):
        info = described({"DATE-OBS": after(0)}, comments={"DATE-OBS": comment})
        assert off(info) < 1e-3 and not info.notes

    def test_dates_that_fit_no_moment_are_a_doubt_with_both_cards(self):
        info = described({"DATE-OBS": after(0), "DATE-BEG": after(-600)})
        (doubt,) = doubts(info)
        assert "DATE-OBS = " in doubt and "DATE-BEG = " in doubt

    def test_the_middle_of_a_stack_is_its_average(self):
        cards = {"EXPTIME": 280.0, "DATE-OBS": after(0), "DATE-END": after(701), "DATE-AVG": after(350.5)}
        info = described(cards)
        assert off(info, START + 350.5 * u.s) < 1e-3 and not doubts(info)


class TestDoubts:
    @pytest.mark.parametrize(
        "cards",
        [
            {"MJD-OBS": START.mjd + 1 / 24},
            {"JD": START.jd - 1 / 24},
            {"JD_UTC": START.jd + 1.0},
            {"MJD-AVG": START.mjd + 300 / 86400},
        ],
    )
    def test_a_day_card_in_conflict_is_a_doubt_that_quotes_both(self, cards):
        (doubt,) = doubts(described({"DATE-OBS": START.isot} | cards))
        assert "DATE-OBS = " in doubt and next(iter(cards)) in doubt

    @pytest.mark.parametrize(
        "cards",
        [
            {"MJD-OBS": START.mjd - 2.4 / 86400},  # LCO
            {"MJD-OBS": START.mjd + 89 / 86400},  # Gemini
            {"JD": (START + 60 * u.s).jd},  # APT: the end
            {"MJD-OBS": float(np.float32(START.mjd))},  # five minutes coarse
            {"JD": 2460380.5},  # in single precision, a quarter of a day coarse
            {"JD": 2460380},  # the day's number
            {"MJD-OBS": "unknown", "JD": -1.0, "MJD": 99999999.0},
        ],
    )
    def test_day_cards_as_real_programs_write_them_are_none(self, cards):
        assert not described({"DATE-OBS": START.isot} | cards).notes

    def test_a_date_that_no_card_gives_a_time_is_a_doubt(self):
        assert "DATE-OBS = '2024-03-10' has no time" in doubts(described({"DATE-OBS": "2024-03-10"}))[0]

    def test_a_clock_that_was_never_set_is_a_doubt(self):
        assert "1970-01-01T00:12:00" in doubts(described({"DATE-OBS": "1970-01-01T00:12:00"}))[0]

    def test_nothing_is_said_of_a_plain_frame(self):
        info = described({"DATE-OBS": START.isot})
        assert off(info) < 1e-3 and not info.notes

    @pytest.mark.parametrize(
        ("says", "why"),
        [
            ("2024-03-10T24:01:00", "there is no hour 24"),
            ("2024-13-10T22:01:00", "there is no month 13"),
            ("2024-02-30T22:01:00", "there is no such day"),
            ("2024-03-10T22:75:00", "there is no minute 75"),
            ("0000-00-00T00:00:00", "there is no month 0"),
            ("03/04/2024 22:01:00", "it is unclear which number is the month"),
            ("yesterday", "it cannot be read as a date"),
            (20240310.5, "a number, and no date"),
        ],
    )
    def test_a_date_that_is_none_is_one_sentence_with_card_and_value(self, says, why):
        with pytest.raises(HeaderError) as error:
            described({"DATE-OBS": says})
        assert f"no valid time in the header (DATE-OBS = {says!r}: {why}" in str(error.value)
        assert len(str(error.value)) < 200 and "format" not in str(error.value)

    def test_an_empty_card_is_called_empty_and_an_absent_one_absent(self):
        for cards, words in (({"DATE-OBS": ""}, "(DATE-OBS is empty)"), ({}, "(no 'DATE-OBS' card)")):
            with pytest.raises(HeaderError, match="no valid time") as error:
                described(cards)
            assert words in str(error.value)

    @pytest.mark.parametrize(
        ("says", "utc", "is_said"),
        [
            ("2024-03-10T22:01", "2024-03-10T22:01:00", False),
            ("2024-03-10T22:01:60", "2024-03-10T22:02:00", False),
            ("2024-03-10T24:00:00", "2024-03-11T00:00:00", True),
            ("2024-03-10T22:01:00,5", "2024-03-10T22:01:00.5", True),
            ("31/12/2023 22:01:00", "2023-12-31T22:01:00", True),
        ],
    )
    def test_a_date_with_one_meaning_is_read(self, says, utc, is_said):
        info = described({"DATE-OBS": says})
        assert abs((info.mid_time - Time(utc, scale="utc") - info.exposure / 2).to_value(u.s)) < 1e-3
        assert bool(info.notes) is is_said and not doubts(info)

    def test_a_frame_without_a_time_is_left_out_as_before(self):
        with pytest.raises(HeaderError, match="no valid time in the header"):
            described({"DATE-OBS": "yesterday"})

    def test_planes_of_a_cube_follow_the_first_in_another_scale(self):
        header = make_header(
            LIGHT | {"DATE-OBS": START.tai.isot, "TIMESYS": "TAI", "MJD-OBS": START.tai.mjd},
            shape=(5, 256, 288),
        )
        infos = Plain().describe(header)
        for plane, info in enumerate(infos):
            assert off(info, MIDDLE + plane * 60 * u.s) < 1e-3 and not doubts(info)


class TestExposure:
    KEYWORD = Keyword("EXPTIME", u.s, also=("EXPOSURE",))

    @pytest.mark.parametrize("comment", ["exposure time in ms", "[ms] Duration", "Exposure (milliseconds)"])
    def test_the_comment_says_milliseconds(self, comment):
        info = described({"EXPTIME": 60000, "DATE-OBS": START.isot}, comments={"EXPTIME": comment})
        assert info.exposure.to_value(u.s) == 60 and off(info) < 1e-3
        assert "EXPTIME = 60000" in conversions(info)[0] and not doubts(info)

    @pytest.mark.parametrize(
        "comment", ["[s] Exposure", "Exposure in seconds, millisecond resolution", "", "total exposure time"]
    )
    def test_seconds_stay(self, comment):
        info = described({"DATE-OBS": START.isot}, comments={"EXPTIME": comment})
        assert info.exposure.to_value(u.s) == 60 and not info.notes

    def test_a_thousand_times_the_other_card_is_milliseconds(self):
        info = described({"EXPTIME": 60000.0, "EXPOSURE": 60.0, "DATE-OBS": START.isot})
        assert (
            info.exposure.to_value(u.s) == 60 and off(info) < 1e-3 and conversions(info) and not doubts(info)
        )
        assert not described({"EXPTIME": 60.0, "EXPOSURE": 60000.0, "DATE-OBS": START.isot}).notes

    def test_two_exposures_that_contradict_are_a_doubt_that_quotes_both(self):
        (doubt,) = doubts(described({"EXPTIME": 1.0, "EXPOSURE": 60.0, "DATE-OBS": START.isot}))
        assert "EXPTIME = 1" in doubt and "EXPOSURE = 60" in doubt

    @pytest.mark.parametrize(
        "cards",
        [
            {"EXPTIME": 59.999, "EXPOSURE": 60.0},
            {"EXPTIME": 1.0021, "EXPOSURE": 1.0},  # asked and measured, as at Gemini
            {"EXPTIME": 280.0, "EXPOSURE": 8.0, "STACKCNT": 35},
            {"EXPTIME": 60.0, "EXPOSURE": 0.0},
        ],
    )
    def test_two_exposures_that_agree_or_are_explained_are_not_mentioned(self, cards):
        assert open_shutter(make_header(cards), self.KEYWORD).note == ""

    def test_a_declaration_in_another_unit_is_obeyed(self):
        assert open_shutter(make_header({"EXPTIME": 60000.0}), Keyword("EXPTIME", u.ms)).seconds is None


class Anybody(Plain):
    """Reads the headers of many programs."""

    keywords = HeaderKeywords(
        kind=Keyword("IMAGETYP", optional=True), exposure=Keyword("EXPTIME", u.s, also=("EXPOSURE", "EXP"))
    )


STRUCTURE = ("", "COMMENT", "HISTORY", "SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "END")


def of_program(path):
    """What a header says, taken for that of a science frame."""
    header = make_header(shape=(64, 64))
    for line in path.read_text(encoding="latin-1").splitlines():
        card = fits.Card.fromstring(line)
        with contextlib.suppress(fits.VerifyError):
            if card.keyword not in STRUCTURE:
                header.hdus[0].append(card)
    (info,) = Anybody().describe(header, kind=FrameKind.SCIENCE)
    return info


STACKS = {
    "seestar_s50_stack",
    "siril_stack",
}  # of 187 and 60 exposures, with the date and the exposure of one


def test_headers_of_real_programs_raise_no_doubt_but_those_of_stacks_that_tell_no_middle(real_data):
    """Times of 39 rebuilt headers: local dates, days of the start, middle and end, stacks."""
    seen = 0
    for path in sorted((real_data / "headers" / "dialects").glob("*.txt")):
        try:
            info = of_program(path)
        except HeaderError:  # no date or no exposure in it
            continue
        seen += 1
        assert bool(doubts(info)) == (path.stem in STACKS), path.name
    assert seen > 20


@pytest.mark.parametrize("name", ["N20030107S0163", "N20150216S0142"])
def test_gmos_says_ut1_and_means_utc(real_data, name):
    (info,) = Gmos().describe(text_headers(real_data / "gmos_headers" / f"{name}.fits.header"))
    assert not doubts(info) and not conversions(info)
