import gzip
import time
from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Angle, SkyCoord
from astropy.io import fits
from astropy.time import Time
from headers import make_header

from potpyri_like.errors import HeaderError
from potpyri_like.frame import FrameKind
from potpyri_like.instruments import camera_named, image_hdus, pixel_scale
from potpyri_like.instruments.opticam import DATE_DOUBTFUL, DATE_SETTLED, Opticam
from potpyri_like.night import scan
from potpyri_like.store import read_header
from potpyri_like.testing.cards import raw_header
from potpyri_like.testing.simulate import a_frame

OPTICAM = Opticam()
# A frame of 2023-11-22, as the camera's software writes it (the cards that matter).
RAW = {
    "EXPOSURE": 5.0,
    "GAIN": 1.0,
    "EXPCOAD": 1,
    "SERIALN": "VSC-05535",
    "CCDMODE": "000 MHz ",
    "CCDXBIN": 2,
    "CCDYBIN": 2,
    "BINNING": "2x2     ",
    "SATLEVEL": 32302,
    "INSTRUME": "OPTICAM ",
    "OBJECT": "        ",
    "IMGTYPE": "object  ",
    "FILTER": "g       ",
    "ST": "00:00:00.0000",
    "INITTIME": "        ",
    "CAM_TIME": "0.000000",
    "UT": "2023-11-22 03:02:49.000 ",
    "UTMIDDLE": "00:00:00.0000",
    "RA": "0       ",
    "DEC": "31      ",
    "HA": "0       ",
    "AIRMASS": 1.16699,
    "EQUINOX": 2023.9,
    "JD": 0.0,
    "DATE-OBS": "2023-11-22",
}
# The series of 2024-11-03 (local) on V709 Cas: GPS at its start, then the camera's clock.
GPS = RAW | {
    "EXPOSURE": 3.0,
    "OBJECT": "v709_cas",
    "CCDMODE": "270 MHz ",
    "INITTIME": "2024-11-04 03:46:42.700",
    "CAM_TIME": "7971988.953600",
    "UT": "2024-11-04 05:59:34.688 ",
    "RA": "0:30:14.76",
    "DEC": "+59:27:15.89",
    "HA": "-01:29:52.28",
    "EQUINOX": 2024.8,
    "DATE-OBS": "2024-11-03",
}
# What the opticam package's generator writes, and nothing more.
SYNTHETIC = {
    "FILTER": "r",
    "BINNING": "4x4",
    "GAIN": 1.0,
    "EXPOSURE": 1.0,
    "DARKCURR": 0.0,
    "RA": 0.0,
    "DEC": 0.0,
    "UT": "2024-01-01 00:00:07",
}


def described(cards, **options):
    (info,) = OPTICAM.describe(make_header(cards, shape=options.pop("shape", (1024, 1024)), **options))
    return info


def without(cards, *names):
    return {name: value for name, value in cards.items() if name not in names}


def start_of(info):
    return (info.mid_time - info.exposure / 2).isot


def flagged(info):
    return [note for note in info.notes if note.startswith("time:")]


class TestTime:
    """The dialects of the time cards."""

    @pytest.mark.parametrize(
        ("cards", "start"),
        [
            ({"DATE-OBS": "2021-11-05T04:05:06.789"}, "2021-11-05T04:05:06.789"),
            ({"GPSTIME": "2022-05-01 04:05:06.789123+0000"}, "2022-05-01T04:05:06.789"),
            ({"GPSTIME": "2022-05-01 04:05:06.789123456789 GPS"}, "2022-05-01T04:05:06.789"),
            (
                {"GPSTIME": "2022-05-01 04:05:06.789", "UT": "2022-05-01 04:05:09.000"},
                "2022-05-01T04:05:06.789",
            ),
            ({"UT": "2022-12-01 04:05:06.789"}, "2022-12-01T04:05:06.789"),
            ({"UT": "2022-12-01T04:05:06.789"}, "2022-12-01T04:05:06.789"),
            ({"UT": "2022-12-01 04:05:06.789 ", "DATE-OBS": "2022-11-30"}, "2022-12-01T04:05:06.789"),
            ({"UT": "2024-01-01 00:00:00"}, "2024-01-01T00:00:00.000"),
            ({"UT": "04:05:06.789 ", "DATE-OBS": "2023-02-01"}, "2023-02-01T04:05:06.789"),
        ],
    )
    def test_the_start_is_read_in_every_dialect(self, cards, start):
        assert start_of(described(without(RAW, "UT", "DATE-OBS") | cards)) == start

    @pytest.mark.parametrize(
        "cards",
        [
            {"GPSTIME": "0000-00-00 00:00:00.000"},
            {"GPSTIME": "1980-01-06 00:00:12.000"},
            {"GPSTIME": "no fix"},
            {"GPSTIME": "        "},
        ],
    )
    def test_a_gps_without_a_fix_leaves_the_time_to_ut(self, cards):
        assert start_of(described(RAW | cards)) == "2023-11-22T03:02:49.000"

    def test_a_time_of_zero_without_a_date_is_a_card_that_was_not_filled(self):
        cards = RAW | {"UT": "00:00:00.0000", "DATE-OBS": "2021-11-05T04:05:06.789"}
        assert start_of(described(cards)) == "2021-11-05T04:05:06.789"

    def test_a_time_only_goes_before_the_time_in_date_obs(self):
        info = described(RAW | {"UT": "04:05:06.789", "DATE-OBS": "2023-01-31T20:05:06"})
        assert start_of(info) == "2023-01-31T04:05:06.789"
        assert flagged(info)  # DATE-OBS is local: the date is a day behind

    def test_a_date_that_agrees_with_the_time_in_date_obs_is_not_doubtful(self):
        info = described(RAW | {"UT": "04:05:06.789", "DATE-OBS": "2023-02-01T04:05:06"})
        assert start_of(info) == "2023-02-01T04:05:06.789"
        assert not flagged(info)

    def test_a_gps_time_makes_no_date_doubtful(self):
        gps = {"GPSTIME": "2022-05-01 04:05:06.789", "UT": "04:05:06", "DATE-OBS": "2022-04-30"}
        assert not flagged(described(RAW | gps))

    @pytest.mark.parametrize("card", ["UTMIDDLE", "JD", "TSTART", "ST"])
    def test_cards_that_are_not_believed_make_no_time(self, card):
        believable = {"UTMIDDLE": "2023-11-22T03:02:51.500", "JD": 2460270.6, "TSTART": 2460270.6}
        cards = without(RAW, "UT", "DATE-OBS") | {card: believable.get(card, "12:00:00")}
        with pytest.raises(HeaderError, match=r"frame\.fits: no valid time .* UT = None"):
            described(cards)

    def test_a_date_alone_is_no_time(self):
        with pytest.raises(HeaderError, match="DATE-OBS = '2023-11-22'"):
            described(without(RAW, "UT"))

    def test_a_date_that_does_not_exist_is_rejected(self):
        with pytest.raises(HeaderError, match="no valid time"):
            described(RAW | {"UT": "2023-02-30 03:02:49.000"})

    def test_a_calibration_frame_may_lack_a_time(self):
        info = described(without(RAW, "UT", "DATE-OBS") | {"IMGTYPE": "dark"})
        assert info.kind is FrameKind.DARK
        assert info.mid_time is None

    def test_the_julian_date_of_the_v709_cas_frame(self):
        info = described(GPS)
        expected = Time(2460618.7497070, format="jd", scale="utc") + 1.5 * u.s
        # 0.1 us in the last digit of that date is 9 ms; the card itself tells it to the ms
        assert abs(info.mid_time - expected) < 10 * u.ms
        assert info.mid_time.isot == "2024-11-04T05:59:36.188"
        assert info.mid_time.scale == "utc"

    def test_the_mid_time_of_a_millisecond_exposure_is_not_rounded(self):
        info = described(GPS | {"EXPOSURE": 0.001})
        assert (info.mid_time - Time("2024-11-04T05:59:34.688", scale="utc")).to_value(u.us) == pytest.approx(
            500
        )

    def test_time_cards_are_read_back(self):
        start = Time("2025-02-28T23:59:59.999", scale="utc", precision=3)
        cards = without(RAW, "UT", "DATE-OBS") | OPTICAM.time_cards(start, 30 * u.s)
        middle = OPTICAM.mid_time(make_header(cards), 30 * u.s)
        assert abs((middle - start).to_value(u.s) - 15) < 1e-6


class TestClock:
    def test_ut_is_checked_against_the_gps_start_and_the_camera_clock(self):
        assert not flagged(described(GPS))
        (note,) = flagged(described(GPS | {"UT": "2024-11-04 05:59:35.688"}))
        assert "by 999.0 ms" in note  # the card is cut at the millisecond: 34.68895 s is written 34.688

    def test_a_clock_that_cannot_be_read_is_not_checked(self):
        assert not flagged(described(GPS | {"CAM_TIME": "n/a"}))

    @pytest.mark.parametrize(
        ("cards", "clock"),
        [
            (RAW, "PC"),
            (GPS, "GPS + free run"),
            (GPS | {"CAM_TIME": "0.000000"}, "GPS"),
            (RAW | {"GPSTIME": "2022-05-01 04:05:06.789"}, "GPS"),
            (RAW | {"UT": "2023-11-22 03:02:49.123"}, ""),
            (RAW | {"CAM_TIME": "5000.0"}, ""),
            (SYNTHETIC, ""),
        ],
    )
    def test_what_set_the_time_is_told(self, cards, clock):
        assert described(cards).clock == clock

    def test_added_exposures_flag_the_time(self):
        assert "3 exposures" in flagged(described(RAW | {"EXPCOAD": 3}))[0]


class TestEvening:
    """Dialect D: a time only, and a date that may be that of the evening."""

    def settle(self, *stamps, camera="C1", **cards):
        serial = {"C1": "VSC-05535", "C2": "VSC-05530", "C3": "VSC-05522"}[camera]
        infos = tuple(
            described(
                RAW | {"SERIALN": serial, "DATE-OBS": date, "UT": time} | cards, inside=f"{camera}_{i}.fit"
            )
            for i, (date, time) in enumerate(stamps)
        )
        return OPTICAM.settle(infos)

    def days(self, infos):
        return [info.mid_time.isot[:10] for info in infos]

    @pytest.mark.slow
    def test_a_date_that_flips_at_local_midnight_is_settled(self):
        """The PC keeps local time: until 08:00 UT its date is a day behind."""
        night = [("2023-02-01", "03:00:00.5"), ("2023-02-01", "07:59:00.5"), ("2023-02-02", "08:01:00.5")]
        settled = self.settle(*night)
        assert self.days(settled) == ["2023-02-02"] * 3
        assert [start_of(info)[11:] for info in settled] == [f"{time}00" for _, time in night]
        assert all(flagged(info) for info in settled)

    @pytest.mark.slow
    def test_an_evening_date_that_is_kept_all_night_is_settled_by_frames_from_before_utc_midnight(self):
        flats = [("2023-02-01", "23:30:00.5"), ("2023-02-01", "23:59:59.5")]
        night = [("2023-02-01", "00:00:10.5"), ("2023-02-01", "05:00:00.5"), ("2023-02-01", "12:00:00.5")]
        settled = self.settle(*flats, *night)
        assert [start_of(info)[:10] for info in settled] == ["2023-02-01"] * 2 + ["2023-02-02"] * 3
        starts = [info.mid_time.mjd for info in settled]
        assert starts == sorted(starts)

    def test_a_date_in_utc_is_left_as_it_is_when_frames_from_before_utc_midnight_tell(self):
        night = [("2023-02-01", "23:30:00.5"), ("2023-02-02", "05:00:00.5"), ("2023-02-02", "12:00:00.5")]
        assert self.days(self.settle(*night)) == ["2023-02-01", "2023-02-02", "2023-02-02"]

    def test_a_single_frame_keeps_its_date_and_is_flagged(self):
        (info,) = self.settle(("2023-02-01", "05:00:00.5"))
        assert self.days([info]) == ["2023-02-01"]
        assert "may be that of the evening" in flagged(info)[0]

    def test_a_constant_date_that_nothing_decides_is_kept_and_flagged(self):
        infos = self.settle(*(("2023-02-01", f"{hour:02}:00:00.5") for hour in range(2, 13)))
        assert set(self.days(infos)) == {"2023-02-01"}
        assert all("may be that of the evening" in flagged(info)[0] for info in infos)

    def test_two_nights_with_right_dates_are_not_folded_into_one(self):
        two = [(date, f"{hour:02}:00:00.5") for date in ("2023-02-01", "2023-02-02") for hour in range(2, 12)]
        infos = self.settle(*two)
        assert self.days(infos) == [date for date, _ in two]
        assert all("may be that of the evening" in flagged(info)[0] for info in infos)

    def test_three_nights_contradict_each_other_and_keep_their_dates(self):
        three = [(f"2023-02-0{day}", "05:00:00.5") for day in (1, 2, 3)]
        assert self.days(self.settle(*three)) == [date for date, _ in three]

    def test_cameras_whose_pcs_pass_midnight_a_moment_apart_are_settled_together(self):
        one = self.settle(("2023-02-01", "05:00:00.5"), ("2023-02-02", "08:00:05.5"), camera="C1")
        two = self.settle(("2023-02-01", "05:00:00.5"), ("2023-02-01", "08:00:07.5"), camera="C2")
        both = OPTICAM.settle(tuple(described_again(info) for info in (*one, *two)))
        assert set(self.days(both)) == {"2023-02-02"}

    def test_a_dated_frame_settles_the_others(self):
        evening = described(RAW | {"DATE-OBS": "2023-02-01", "UT": "05:00:00.5"}, inside="a.fit")
        dated = described(RAW | {"DATE-OBS": "2023-02-01", "UT": "2023-02-02 06:00:00.5"}, inside="b.fit")
        settled = OPTICAM.settle((evening, dated))
        assert self.days(settled) == ["2023-02-02", "2023-02-02"]
        assert settled[1] is dated

    def test_frames_without_a_time_do_not_disturb(self):
        dark = described(without(RAW, "UT", "DATE-OBS") | {"IMGTYPE": "dark"}, inside="d.fit")
        night = self.settle(("2023-02-01", "05:00:00.5"), ("2023-02-02", "09:00:00.5"))
        assert OPTICAM.settle(()) == ()
        assert self.days(OPTICAM.settle((dark, *night))[1:]) == ["2023-02-02", "2023-02-02"]

    def test_settling_leaves_its_argument_alone(self):
        infos = tuple(
            described(RAW | {"DATE-OBS": date, "UT": time})
            for date, time in (("2023-02-01", "05:00:00.5"), ("2023-02-02", "09:00:00.5"))
        )
        OPTICAM.settle(infos)
        assert self.days(infos) == ["2023-02-01", "2023-02-02"]

    @pytest.mark.slow
    def test_three_thousand_frames_are_settled_in_seconds(self):
        evening = described(RAW | {"DATE-OBS": "2023-02-01", "UT": "05:00:00.5"})
        morning = described(RAW | {"DATE-OBS": "2023-02-02", "UT": "09:00:00.5"})
        began = time.process_time()
        settled = OPTICAM.settle((evening,) * 1500 + (morning,) * 1500)
        assert time.process_time() - began < 5
        assert set(self.days(settled)) == {"2023-02-02"}

    def test_a_night_on_disk_is_settled_when_it_is_scanned(self, tmp_path):
        for name, date, ut in (("a", "2023-02-01", "05:00:00.5"), ("b", "2023-02-02", "09:00:00.5")):
            write(tmp_path / f"{name}.fit", RAW | {"DATE-OBS": date, "UT": ut})
        write(tmp_path / "c.fit", RAW | {"DATE-OBS": "garbage", "UT": "garbage"})
        night = scan(tmp_path, OPTICAM)
        assert [row.status for row in night.rows] == ["use", "use", "rejected"]
        assert self.days(night.frames) == ["2023-02-02", "2023-02-02"]


def described_again(info):
    """The same frame as its header told it, before it was settled."""
    notes = tuple(DATE_DOUBTFUL if note == DATE_SETTLED else note for note in info.notes)
    if info.camera == "C1":
        early = info.mid_time.isot[11:13] < "08"
        return replace(info, notes=notes, mid_time=info.mid_time - (1 if early else 0) * u.day)
    return replace(info, notes=notes)


def write(path, cards, *, pixels=None):
    hdu = fits.PrimaryHDU(np.arange(64, dtype=np.uint16).reshape(8, 8) if pixels is None else pixels)
    hdu.header.update(cards)
    hdu.writeto(path)


class TestCamera:
    @pytest.mark.parametrize(
        ("serial", "band", "camera"),
        [
            ("VSC-05535", "g", "C1"),
            ("VSC-05530", "r", "C2"),
            ("VSC-05522", "z", "C3"),
            ("vsc-05522", "i", "C3"),
        ],
    )
    def test_it_is_known_by_its_serial_number(self, serial, band, camera):
        info = described(RAW | {"SERIALN": serial, "FILTER": band})
        assert (info.camera, info.band) == (camera, band)

    @pytest.mark.parametrize(
        ("raw", "band", "camera"),
        [
            ("u", "u", "C1"),
            ("g ", "g", "C1"),
            ("g'", "g", "C1"),
            ("gp", "g", "C1"),
            ("G'", "g", "C1"),
            ("rp", "r", "C2"),
            ("i'", "i", "C3"),
            ("zp", "z", "C3"),
            ("SDSS i", "i", "C3"),
        ],
    )
    def test_without_a_serial_number_it_is_known_by_the_band_plain_or_primed(self, raw, band, camera):
        info = described(without(RAW, "SERIALN") | {"FILTER": raw})
        assert (info.camera, info.band) == (camera, band)

    @pytest.mark.parametrize(
        ("inside", "camera"),
        [
            ("images/opticamc1/run7/x.fit", "C1"),
            ("231122/run/run_c2/x.fit", "C2"),
            ("C3_0001.fits", "C3"),
            ("C30001.fits", "C3"),
            ("night/c2.0001.FIT", "C2"),
            ("night/c2-0001.fit", "C2"),
            ("C1/x.fit", "C1"),
            ("231122C1g200143431o.fit", "C1"),
            ("night/231122C3z200143431o.fit.gz", "C3"),
        ],
    )
    def test_without_both_it_is_known_by_the_folder_or_the_name(self, inside, camera):
        assert described(without(RAW, "SERIALN", "FILTER"), inside=inside).camera == camera

    def test_without_a_filter_the_band_is_in_the_name_that_the_software_gave(self):
        info = described(without(RAW, "SERIALN", "FILTER"), inside="night/231122i200143431o.fit")
        assert (info.camera, info.band) == ("C3", "i")
        assert "no FILTER card; i according to the file's name" in info.notes

    def test_the_only_band_of_a_camera_needs_no_filter_card(self):
        assert described(without(RAW, "FILTER") | {"SERIALN": "VSC-05530"}).band == "r"

    def test_an_unknown_serial_number_leaves_it_to_the_band_and_is_told(self):
        info = described(RAW | {"SERIALN": "VSC-99999", "FILTER": "r"})
        assert info.camera == "C2"
        assert any("VSC-99999" in note for note in info.notes)

    def test_a_filter_of_another_camera_is_told(self):
        info = described(RAW | {"FILTER": "r"})
        assert info.camera == "C1"
        assert any("filter r" in note and "C1" in note for note in info.notes)

    @pytest.mark.parametrize("inside", ["x.fit", "C1_C2/x.fit", "3C273/x.fit", "sc1/x.fit"])
    def test_a_frame_that_does_not_tell_is_rejected_with_what_was_looked_at(self, inside):
        with pytest.raises(HeaderError, match=r"x\.fit: .* C1, C2, C3 .*FILTER: absent; SERIALN: absent"):
            described(without(RAW, "SERIALN", "FILTER"), inside=inside)

    def test_what_the_observer_says_goes_before_all(self):
        header = make_header(without(RAW, "SERIALN", "FILTER"))
        (info,) = OPTICAM.describe(header, camera="c3", band="z", target="WASP-12")
        assert (info.camera, info.band, info.target) == ("C3", "z", "WASP-12")

    def test_a_camera_that_the_observer_invents_is_named_with_the_file(self):
        with pytest.raises(HeaderError, match=r"frame\.fits: OPTICAM has no camera 'C9'"):
            OPTICAM.describe(make_header(RAW), camera="C9")

    def test_scale_follows_camera_and_binning(self):
        for serial, scale in (("VSC-05535", 0.1397), ("VSC-05530", 0.1406), ("VSC-05522", 0.1661)):
            info = described(RAW | {"SERIALN": serial})
            assert pixel_scale(OPTICAM, info) == pytest.approx(2 * scale)


class TestKind:
    @pytest.mark.parametrize(
        ("imgtype", "name", "inside", "kind"),
        [
            ("object", "", "x.fit", "science"),
            ("object", "WASP-12", "x.fit", "science"),
            ("OBJECT ", "", "flats/x.fit", "science"),
            ("flat", "", "x.fit", "flat"),
            ("Flats", "WASP-12", "x.fit", "flat"),
            ("sky flat", "", "x.fit", "flat"),
            ("darks", "", "x.fit", "dark"),
            ("bias", "", "x.fit", "bias"),
            ("object", "flat", "x.fit", "flat"),
            ("object", "sky_flat_g'", "x.fit", "flat"),
            ("object", "Flat 3", "x.fit", "flat"),
            ("object", "DARK_30s", "x.fit", "dark"),
            ("object", "dark10", "x.fit", "dark"),
            ("object", "bias_C1", "x.fit", "bias"),
            ("object", "dark nebula B68", "x.fit", "science"),
            ("object", "Darks_Star", "x.fit", "science"),
            ("object", "flatiron", "x.fit", "science"),
            ("other", "", "x.fit", "other"),
            ("focus", "WASP-12", "x.fit", "other"),
            (None, "WASP-12", "flats/x.fit", "science"),
            (None, "", "flats/x.fit", "flat"),
            (None, "", "g-band_flat_0.fits.gz", "flat"),
            (None, "", "sky_flats_2/x.fit", "flat"),
            (None, "", "darks/5s/x.fit", "dark"),
            (None, "", "Bias/x.fit", "bias"),
            (None, "", "flatiron/x.fit", "science"),
            (None, "", "darkstar_1.fit", "science"),
            (None, "", "x.fit", "science"),
        ],
    )
    def test_imgtype_then_object_then_folder_decide(self, imgtype, name, inside, kind):
        cards = RAW | {"OBJECT": name} | ({"IMGTYPE": imgtype} if imgtype else {})
        assert described(cards if imgtype else without(cards, "IMGTYPE"), inside=inside).kind == kind

    @pytest.mark.parametrize("cards", [RAW, without(RAW, "IMGTYPE", "OBJECT")])
    def test_an_exposure_of_zero_is_a_bias(self, cards):
        assert described(cards | {"EXPOSURE": 0.0}).kind is FrameKind.BIAS

    def test_the_rule_that_decided_is_told(self):
        assert described(RAW).decided_by == "IMGTYPE is 'object'"
        assert described(without(RAW, "IMGTYPE"), inside="darks/x.fit").decided_by.startswith(
            "the path matches"
        )
        assert described(RAW | {"IMGTYPE": "other"}).decided_by.startswith(
            "neither science nor calibration: "
        )

    def test_a_blank_object_leaves_the_target_unnamed(self):
        assert described(RAW).target == ""
        assert described(GPS).target == "v709_cas"

    def test_calibrations_have_no_target_and_but_for_flats_no_band(self):
        assert described(RAW | {"IMGTYPE": "flat", "OBJECT": "sky"}).target == ""
        assert described(RAW | {"IMGTYPE": "flat"}).band == "g"
        assert described(RAW | {"IMGTYPE": "dark"}).band == ""

    def test_a_science_frame_needs_an_exposure_and_a_flat_does_not(self):
        with pytest.raises(HeaderError, match=r"frame\.fits: no EXPOSURE card, which OPTICAM frames need"):
            described(without(RAW, "EXPOSURE"))
        assert np.isnan(described(without(RAW, "EXPOSURE") | {"IMGTYPE": "flat"}).exposure)

    @pytest.mark.parametrize("exposure", [-1.0, "nan", "inf", "long"])
    def test_an_exposure_that_cannot_be_is_rejected_with_its_card(self, exposure):
        with pytest.raises(HeaderError, match=r"frame\.fits: .*EXPOSURE"):
            described(RAW | {"EXPOSURE": exposure})


class TestProfe:
    HISTORY = "3x3 median filter applied by PROFE at 2025-03-01T12:00:00 UT"

    def header(self, text, inside):
        header = make_header(GPS, inside=inside, shape=(1024, 1024))
        header.hdus[0].add_history("PROFE added JD to mid of obs and UTMIDDLE")
        header.hdus[0].add_history(text)
        return header

    def test_a_filtered_frame_is_known_and_not_filtered_again(self):
        (info,) = OPTICAM.describe(self.header(self.HISTORY, "x.fit"))
        assert info.kind is FrameKind.SCIENCE
        assert OPTICAM.is_filtered(info)
        assert not OPTICAM.is_filtered(described(GPS))

    def test_a_raw_frame_with_a_filtered_copy_is_raw(self):
        (info,) = OPTICAM.describe(
            self.header("PROFE: raw image, 3x3 median copy exists at x", "T/raw/d/x.fit")
        )
        assert not OPTICAM.is_filtered(info)

    def test_the_copy_beside_its_raw_frame_is_left_out(self):
        (info,) = OPTICAM.describe(self.header(self.HISTORY, "T/corrected_3x3/2025-02-23/x.fit"))
        assert info.kind is FrameKind.OTHER
        assert "filtered copy" in info.decided_by


class TestPointing:
    @pytest.mark.parametrize(
        ("ra", "dec"),
        [
            ("0       ", "31      "),
            ("31", "0"),
            (0.0, 0.0),
            (0, 31),
            ("0:00:00.00", "+31:00:00.0"),
            ("00:00:00", "00:00:00"),
            ("", ""),
            ("unknown", "unknown"),
            ("0:30:14.76", "31"),
        ],
    )
    def test_placeholders_are_no_coordinates(self, ra, dec):
        info = described(GPS | {"RA": ra, "DEC": dec})
        assert info.pointing is None
        assert "RA and DEC are absent or placeholders" in info.notes

    def test_coordinates_of_date_are_brought_to_icrs(self):
        """V709 Cas; read as J2000, the header is 14.8 arcmin off, with its equinox 1.7."""
        star = SkyCoord("00 28 48.84 +59 17 22.0", unit=(u.hourangle, u.deg))
        assert described(GPS).pointing.separation(star) < 2 * u.arcmin
        assert described(without(GPS, "EQUINOX")).pointing.separation(star) > 14 * u.arcmin

    @pytest.mark.parametrize("equinox", [0.0, 99.9, -1.0])
    def test_an_equinox_that_cannot_be_makes_the_coordinates_unbelievable(self, equinox):
        assert described(GPS | {"EQUINOX": equinox}).pointing is None

    def test_coordinates_that_cannot_be_are_none(self):
        assert described(GPS | {"DEC": "+97:00:00.0"}).pointing is None
        assert described(GPS | {"RA": "0:75:14.76"}).pointing is None


class TestBinning:
    @pytest.mark.parametrize(
        ("cards", "binning"),
        [
            ({}, (2, 2)),
            ({"BINNING": "1 1", "CCDXBIN": 1, "CCDYBIN": 1}, (1, 1)),
            ({"BINNING": "4x2", "CCDXBIN": 4, "CCDYBIN": 2}, (4, 2)),
            ({"BINNING": ""}, (2, 2)),
        ],
    )
    def test_it_is_read_from_either_card(self, cards, binning):
        assert described(RAW | cards).binning == binning

    def test_without_the_second_card_the_first_is_taken(self):
        assert described(without(RAW, "CCDXBIN", "CCDYBIN") | {"BINNING": "4x4"}).binning == (4, 4)

    @pytest.mark.parametrize("cards", [{"BINNING": "1x1"}, {"CCDYBIN": 4}])
    def test_cards_that_disagree_are_rejected(self, cards):
        with pytest.raises(HeaderError, match=r"frame\.fits: BINNING says .* CCDXBIN and CCDYBIN say"):
            described(RAW | cards)

    @pytest.mark.parametrize("binning", ["0x0", "fast", "2x2x2"])
    def test_what_is_no_binning_is_rejected(self, binning):
        with pytest.raises(HeaderError, match=rf"frame\.fits: a binning of '{binning}'"):
            described(without(RAW, "CCDXBIN", "CCDYBIN") | {"BINNING": binning})

    def test_read_noise_grows_with_the_pixels_that_are_added(self):
        for binning, noise in (("1x1", 1.3), ("2x2", 2.6), ("4x4", 5.2)):
            header = make_header(without(RAW, "CCDXBIN", "CCDYBIN") | {"BINNING": binning})
            assert OPTICAM.layout(header).readouts[0].read_noise == pytest.approx(noise)

    def test_a_window_is_told_and_a_full_frame_of_odd_binning_is_none(self):
        odd = without(RAW, "CCDXBIN", "CCDYBIN") | {"BINNING": "3x3"}
        assert not any("window" in note for note in described(odd, shape=(682, 682)).notes)
        assert any("window of 600 of 1024" in note for note in described(RAW, shape=(1024, 600)).notes)


class TestReadout:
    def test_frames_of_another_readout_rate_do_not_calibrate_each_other(self):
        assert described(GPS).readout == "270 MHz"
        assert described(RAW).readout == ""  # 000 MHz: not filled

    def test_the_header_s_gain_and_saturation_are_not_believed(self):
        readout = OPTICAM.layout(make_header(RAW, shape=(1024, 1024))).readouts[0]
        assert (readout.gain, readout.saturation) == (0.45, 65000)
        assert OPTICAM.pedestal(make_header(RAW)) == (100, 20)

    def test_a_frame_known_by_its_folder_is_laid_out_without_it(self):
        header = make_header(without(RAW, "SERIALN", "FILTER"), inside="x.fit")
        with pytest.raises(HeaderError):
            OPTICAM.layout(header)
        camera = camera_named(OPTICAM, "C2")
        assert OPTICAM.layout(header, camera).shape == (64, 64)
        assert image_hdus(OPTICAM, header, camera) == (0,)
        assert OPTICAM.pedestal(header, camera) == (100, 20)


class TestSynthetic:
    """Files of the opticam package's generator."""

    def described(self, tmp_path, name, cards):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(path, "wb") as file:
            hdu = fits.PrimaryHDU(np.arange(256.0).reshape(16, 16))
            hdu.header.update(cards)
            hdu.writeto(file)
        header = read_header(path, inside=name)
        return header, OPTICAM.describe(header)[0]

    def test_an_observation_is_read(self, tmp_path):
        header, info = self.described(tmp_path, "240101r200000007o.fits.gz", SYNTHETIC)
        assert (info.kind, info.camera, info.band, info.binning) == ("science", "C2", "r", (4, 4))
        assert info.mid_time.isot == "2024-01-01T00:00:07.500"
        assert info.pointing is None
        assert OPTICAM.layout(header).readouts[0].gain == 1.0
        assert OPTICAM.pedestal(header) == (0, 0)

    @pytest.mark.parametrize("name", ["flats/240101g1.fits.gz", "g-band_flat_0.fits.gz"])
    def test_a_flat_is_known_by_folder_or_name_and_has_no_exposure(self, tmp_path, name):
        cards = without(SYNTHETIC, "EXPOSURE", "RA", "DEC", "DARKCURR") | {"FILTER": "g"}
        _, info = self.described(tmp_path, name, cards)
        assert (info.kind, info.camera, info.band) == ("flat", "C1", "g")
        assert np.isnan(info.exposure)
        assert info.mid_time.isot == "2024-01-01T00:00:07.000"

    def test_a_float_image_of_the_camera_keeps_the_camera_s_gain_and_pedestal(self):
        header = make_header(RAW, bitpix=-32, shape=(1024, 1024))
        assert OPTICAM.layout(header).readouts[0].gain == 0.45
        assert OPTICAM.pedestal(header) == (100, 20)


def test_a_cube_is_taken_apart_into_frames_with_their_own_times():
    infos = OPTICAM.describe(make_header(GPS | {"EXPOSURE": 0.1}, shape=(4, 1024, 1024)))
    assert [info.plane for info in infos] == [0, 1, 2, 3]
    steps = [(info.mid_time - infos[0].mid_time).to_value(u.s) for info in infos]
    assert steps == pytest.approx([0, 0.1, 0.2, 0.3], abs=1e-6)
    assert infos[0].mid_time.isot == "2024-11-04T05:59:34.738"


def test_a_headerless_cube_is_rejected_with_the_reason():
    with pytest.raises(HeaderError, match=r"mycube\.fits: no EXPOSURE card"):
        OPTICAM.describe(make_header(inside="mycube.fits", shape=(10, 64, 64)))


def test_a_header_that_nobody_thought_of_rejects_the_frame_and_not_the_night(tmp_path):
    write(tmp_path / "a.fit", RAW | {"EXPCOAD": "three", "CAM_TIME": "?", "CCDXBIN": "two"})
    write(tmp_path / "b.fit", RAW | {"EQUINOX": "of date", "RA": "0:30:14.76", "DEC": "59:27:15.89"})
    night = scan(tmp_path, OPTICAM)
    assert all(row.status in ("use", "rejected", "leave out") for row in night.rows)
    assert night.rows[0].info.binning == (2, 2)


class TestRealFrames:
    @pytest.mark.parametrize(
        ("name", "camera", "band", "scale"),
        [
            ("get_last_c1.fit", "C1", "g", 0.1397),
            ("get_last_c2.fit", "C2", "r", 0.1406),
            ("get_last_c3.fit", "C3", "z", 0.1661),
        ],
    )
    def test_a_frame_of_2023_11_22(self, real_data, name, camera, band, scale):
        header = read_header(real_data / "opticam" / name)
        (info,) = OPTICAM.describe(header)
        assert (info.kind, info.camera, info.band, info.binning) == ("science", camera, band, (2, 2))
        assert info.mid_time.isot == "2023-11-22T03:02:51.500"
        assert (info.clock, info.target, info.pointing) == ("PC", "", None)
        assert info.exposure == 5 * u.s
        assert info.shape == (1024, 1024)
        assert pixel_scale(OPTICAM, info) == pytest.approx(2 * scale)
        assert not flagged(info)
        assert OPTICAM.layout(header).readouts[0].read_noise == pytest.approx(2.6)

    def test_the_three_are_simultaneous(self, real_data):
        night = scan(real_data / "opticam", OPTICAM)
        assert [frame.camera for frame in night.frames] == ["C1", "C2", "C3"]
        assert len({frame.mid_time.isot for frame in night.frames}) == 1


def test_a_simulated_header_states_the_pointing_of_date_and_it_is_read_back():
    pointing = SkyCoord(153.5 * u.deg, 16.05 * u.deg)
    info = a_frame(FrameKind.SCIENCE, camera_named(OPTICAM, "C1"), band="g", target="X", pointing=pointing)
    header = raw_header(OPTICAM, info, size=(64, 64))
    (found,) = OPTICAM.describe(header)
    assert found.pointing.separation(pointing) < 0.05 * u.arcsec
    assert header["EQUINOX"] == pytest.approx(2024.8)
    # 24.8 years of precession: about 46 arcsec cos(declination) a year in right ascension
    assert Angle(header["RA"], u.hourangle) - pointing.ra > 15 * u.arcmin
