import subprocess
import sys
from dataclasses import replace

import astropy.units as u
import pytest
from astropy.io import fits
from astropy.time import Time
from toy import Toy

from potpyri_like.errors import DeclarationError
from potpyri_like.instruments import (
    Always,
    Amplifier,
    Calibration,
    Compound,
    Dated,
    FrameKind,
    HeaderKeywords,
    Keyword,
    Rule,
)
from potpyri_like.instruments.gmos import Gmos
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.testing import InstrumentContract, check_instrument

pytestmark = pytest.mark.slow

MAIN = Toy.cameras[0]


class QuickContract(InstrumentContract):
    """The contract, its synthetic night left to the full run."""

    @pytest.mark.slow
    def test_a_synthetic_night_is_reduced_to_its_truth(self):
        super().test_a_synthetic_night_is_reduced_to_its_truth()


class TestToy(QuickContract):
    instrument = Toy


class TestOpticam(QuickContract):
    instrument = Opticam


class TestGmos(QuickContract):
    instrument = Gmos


class LateClock(Toy):
    """It writes the end of the exposure, and reads it as the beginning."""

    def time_cards(self, start, exposure):
        return {"DATE-OBS": (start + exposure).isot}


class RedForBlue(Toy):
    """It misreads its filters."""

    def band_of(self, header, camera):
        return super().band_of(header, camera).lower()


class DarkForBias(Toy):
    """Two kinds of frames have one word on their card."""

    kinds = {"light": Toy.kinds["light"], "bias": Toy.kinds["bias"], "BIAS": Toy.kinds["dark"]}


class NamelessClock(Toy):
    """It rejects a frame without a time, and does not say which card it misses."""

    def mid_time(self, header, exposure):
        if "DATE-OBS" not in header:
            raise ValueError("no idea")
        return super().mid_time(header, exposure)


class BoldGuess(Toy):
    """It invents a time where there is none."""

    def mid_time(self, header, exposure):
        header = header if "DATE-OBS" in header else {"DATE-OBS": "2000-01-01T00:00:00"}
        return super().mid_time(header, exposure)


class Strong(Toy):
    """A gain upside down."""

    cameras = (replace(MAIN, gain=5000 * u.electron / u.adu),)


class StrongOnce(Toy):
    """A gain that was upside down, years ago."""

    cameras = (
        replace(
            MAIN,
            gain=(
                Dated(5000 * u.electron / u.adu, until="2001-01-01"),
                Dated(1.3 * u.electron / u.adu, since="2001-01-01"),
            ),
        ),
    )


class Greedy(Toy):
    """Its overscan begins inside the data."""

    cameras = (replace(MAIN, overscan_section="[250:288,1:256]"),)


def two_amplifiers(x0):
    """Two halves of 128 columns, the second placed at `x0`."""
    section = {"data_section": "[1:128,1:256]", "overscan_section": "[129:160,1:256]"}
    amplifiers = (Amplifier(hdu=1, x0=0, y0=0, **section), Amplifier(hdu=2, x0=x0, y0=0, **section))
    return (replace(MAIN, data_section=None, overscan_section=None, amplifiers=amplifiers),)


class Halves(Toy):
    """Two amplifiers side by side."""

    cameras = two_amplifiers(128)


class Overlapping(Toy):
    """Two amplifiers that overlap by 8 columns."""

    cameras = two_amplifiers(120)


class Torn(Toy):
    """Two amplifiers with a hole of a quarter of the image between them."""

    cameras = two_amplifiers(220)


def failures(instrument):
    """The messages of the checks that fail, by name."""
    results = check_instrument(instrument, night=False)
    return {result.name: result.message for result in results if not result.passed}


SECONDS = Keyword("EXPTIME", u.s)


class Least(Toy):
    """What the documentation demands, and no more: no card for target, filter, binning or coordinates."""

    keywords = HeaderKeywords(kind=Keyword("IMAGETYP"), exposure=SECONDS)


class TwoCards(Least):
    """Its binning is in two cards."""

    keywords = HeaderKeywords(
        kind=Keyword("IMAGETYP"),
        exposure=SECONDS,
        binning=Compound(("XBINNING", "YBINNING"), lambda x, y: (x, y), lambda binning: binning.split("x")),
    )


@pytest.mark.parametrize("instrument", [Toy, Halves, Least, TwoCards])
def test_a_sound_instrument_passes_every_check(instrument):
    assert [r.message for r in check_instrument(instrument, night=False)] == [""] * 6


@pytest.mark.parametrize(
    ("instrument", "check", "words"),
    [
        (LateClock, "mid-exposure time is start plus half the exposure", "+0.033 s off"),
        (RedForBlue, "declared cards are written and read back", "band 'R' is read back as 'r'"),
        (DarkForBias, "declared cards are written and read back", "kind"),
        (NamelessClock, "a missing card is named", "without DATE-OBS"),
        (BoldGuess, "a missing card is named", "is not rejected"),
        (Strong, "constants are plausible", "gain = 5000"),
        (StrongOnce, "constants are plausible", "gain = 5000"),
        (Greedy, "sections lie inside the detector", "[250:288,1:256] overlap"),
        (Overlapping, "the layout covers the image once", "2048 pixels of the image come from two"),
        (Torn, "the layout covers the image once", "26 % of the image"),
    ],
)
def test_an_unsound_instrument_fails_just_the_check_that_is_about_it(instrument, check, words):
    failed = failures(instrument)
    assert list(failed) == [check]
    assert words in failed[check]


def test_a_check_that_the_plugins_own_code_breaks_is_reported_with_the_error():
    class Broken(Toy):
        def layout(self, header):
            raise KeyError("SECTION")

    assert failures(Broken())["the layout covers the image once"] == "KeyError: 'SECTION'"


def test_a_constant_may_come_from_the_header():
    class Metered(Toy):
        cameras = (replace(MAIN, gain=Keyword("EGAIN", u.electron / u.adu)),)

    assert all(result.passed for result in check_instrument(Metered, night=False))


@pytest.mark.slow
def test_a_night_told_by_a_wrong_clock_is_not_reduced_to_its_truth():
    result = check_instrument(LateClock)[-1]
    assert result.name == "a synthetic night is reduced to its true values"
    assert "a time is 30.000 s off" in result.message


def test_a_real_headers_time_is_checked_to_the_millisecond(tmp_path):
    cards = {"IMAGETYP": "light", "EXPTIME": 5.0, "DATE-OBS": "2025-02-23T03:02:49.000", "FILTER": "R"}
    path = tmp_path / "real.fits"
    fits.PrimaryHDU([[1, 2], [3, 4]], fits.Header(cards.items())).writeto(path)
    right, wrong = (
        check_instrument(Toy, night=False, real_headers={path: f"2025-02-23T03:02:51.{ms}"})[-1]
        for ms in ("500", "503")
    )
    assert right.passed
    assert not wrong.passed
    assert "real.fits" in wrong.message
    assert "-0.003 s off" in wrong.message


def test_a_real_header_may_be_a_text(real_data):
    # UTSTART = 19:35:57.4, EXPTIME = 19.9992 s in that header
    times = {real_data / "gmos_headers" / "N20150220S0320.fits.header": "2015-02-20T19:36:07.3996"}
    result = check_instrument(Gmos, night=False, real_headers=times)[-1]
    assert result.passed, result.message


def test_a_real_frame_of_opticam_has_its_mid_time(real_data):
    # UT = 03:02:49.000 and 5 s of exposure
    frames = {real_data / "opticam" / f"get_last_c{n}.fit": "2023-11-22T03:02:51.500" for n in (1, 2, 3)}
    assert [
        result.message for result in check_instrument(Opticam, night=False, real_headers=frames)[-3:]
    ] == [""] * 3


def test_the_suite_can_be_imported_without_pytest():
    code = "import sys, potpyri_like.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- what is said of a declaration's faults ----------------------------------------------------------------------


class TimeInTwoCards(Least):
    """It reads a card that nothing writes."""

    def mid_time(self, header, exposure):
        return Time(f"{header['DATE-OBS']}T{header['UT']}", scale="utc") + exposure / 2


class TimeOfTheMiddle(Least):
    """Its card holds the middle of the exposure."""

    def mid_time(self, header, exposure):
        return Time(header["DATE-OBS"], scale="utc")


@pytest.mark.parametrize("instrument", [TimeInTwoCards, TimeOfTheMiddle])
def test_time_cards_are_named_where_they_are_the_remedy(instrument):
    message = failures(instrument)["mid-exposure time is start plus half the exposure"]
    assert "time_cards is not defined" in message
    assert "define time_cards(start, exposure)" in message
    assert "no 'UT' card" in message or instrument is TimeOfTheMiddle


def test_time_cards_that_are_defined_are_no_remedy():
    assert "not defined" not in failures(LateClock)["mid-exposure time is start plus half the exposure"]


def test_a_card_that_cannot_hold_its_value_is_named():
    class Astropy(Least):
        def time_cards(self, start, exposure):
            return {"DATE-OBS": start}

    assert (
        "the card DATE-OBS cannot hold <Time object"
        in failures(Astropy)["declared cards are written and read back"]
    )


def binned(split, combine=lambda x, y: f"{x}x{y}"):
    """The least instrument, with a binning in two cards."""
    binning = Compound(("XBINNING", "YBINNING"), combine, split)
    return type("Binned", (Least,), {"keywords": replace(Least.keywords, binning=binning)})


def test_a_binning_that_is_not_split_into_its_cards_names_them():
    assert failures(binned(lambda binning: binning))["declared cards are written and read back"] == (
        "Compound('XBINNING', 'YBINNING'): split gives 3 values for '1x1', '1', 'x', '1'; expected 2, one for each"
        " card, as in lambda binning: binning.split('x')"
    )
    message = failures(binned(lambda binning: binning + 1))["declared cards are written and read back"]
    assert message.startswith("Compound('XBINNING', 'YBINNING'): split fails for '1x1': TypeError")
    with pytest.raises(DeclarationError, match=r"expected 2, one for each card$"):
        Compound(("FILTER1", "FILTER2"), max, lambda band: (band,)).write("R")


def test_a_binning_that_is_none_names_its_cards():
    message = failures(binned(lambda binning: binning.split("x"), lambda x, y: x))
    assert not message  # "2" is both
    message = failures(binned(lambda binning: binning.split("x"), lambda x, y: "fast"))
    assert "frame.fits: a binning of 'fast' is not understood (XBINNING and YBINNING)" in str(message)


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (
            {"light": FrameKind.SCIENCE, "bias": FrameKind.BIAS, "flat": FrameKind.FLAT},
            "Calibration(dark=False)",
        ),
        ((Rule(FrameKind.SCIENCE, Always()),), "Calibration(bias=False, dark=False, flat=False)"),
    ],
)
def test_calibrations_that_no_frame_can_be_name_their_remedy(kinds, words):
    instrument = type("Lacking", (Least,), {"kinds": kinds})
    result = check_instrument(instrument)[-1]
    assert (result.name, result.passed) == ("a synthetic night is reduced to its true values", False)
    assert f"declare calibration = {words}, or their kinds" in result.message


def test_a_level_that_nothing_tells_names_the_pedestal():
    class Level(Toy):
        cameras = (replace(MAIN, overscan_section=None, data_section=None),)
        calibration = Calibration(bias=False, dark=False, flat=False)

    message = check_instrument(Level)[-1].message
    assert "are a pedestal, not light" in message
    assert "declare the level, as in Camera(pedestal=1000 * u.adu" in message
    assert "Calibration(bias=True)" in message


def test_the_least_that_is_demanded_is_reduced_to_its_truth():
    assert check_instrument(Least)[-1].message == ""
