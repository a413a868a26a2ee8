"""Constants that changed: of each the value that held when a frame was taken."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from headers import make_header
from toy import Toy

from potpyri_like.errors import DeclarationError, HeaderError
from potpyri_like.frame import FrameKind
from potpyri_like.instruments import Amplifier, Dated, Keyword, pixel_scale
from potpyri_like.instruments.dates import periods, value_at, values_of
from potpyri_like.night import scan
from potpyri_like.products.declaration import instrument_page
from potpyri_like.testing import NightPlan, check_instrument, simulate_night
from potpyri_like.testing.cards import raw_header
from potpyri_like.testing.simulate import a_frame

MAIN = Toy.cameras[0]
GAIN = u.electron / u.adu
SCALE = u.arcsec / u.pix
CHANGED = (Dated(1.255 * GAIN, until="2020-07-29"), Dated(1.45 * GAIN, since="2020-07-29T18:00"))


class Changed(Toy):
    """Its amplifier was exchanged in an afternoon of 2020, its focal reducer in 2021."""

    name = "CHANGED"
    cameras = (
        replace(
            MAIN,
            gain=CHANGED,
            read_noise=(
                Dated(5 * u.electron, until="2020-01-01"),
                Dated(Keyword("RON", u.electron), since="2020-01-01", until="2021-01-01"),
                Dated(6 * u.electron, since="2021-01-01"),
            ),
            saturation=Dated(50000 * u.adu, since="2015-01-01"),
            pixel_scale=(Dated(0.62 * SCALE, until="2021-01-01"), Dated(0.5 * SCALE, since="2021-01-01")),
            pedestal=(Dated(300 * u.adu, until="2021-01-01"), Dated(400 * u.adu, since="2021-01-01")),
        ),
    )


def header_of(start, exposure=0.0, **cards):
    cards = {"IMAGETYP": "light", "EXPTIME": exposure or 2.0, "FILTER": "R", "DATE-OBS": start} | cards
    return make_header({card: value for card, value in cards.items() if value is not None}, shape=(256, 288))


@pytest.mark.parametrize(
    ("start", "gain", "noise", "scale", "pedestal"),
    [
        ("2016-03-01T02:00:00", 1.255, 5.0, 0.62, 300),
        ("2020-07-28T23:59:58", 1.255, 3.5, 0.62, 300),  # mid-exposure is a second before midnight
        ("2020-07-29T18:00:00", 1.45, 3.5, 0.62, 300),
        ("2023-03-01T02:00:00", 1.45, 6.0, 0.5, 400),
    ],
)
def test_a_frame_has_the_constants_of_its_mid_exposure(start, gain, noise, scale, pedestal):
    header = header_of(start, RON=3.5)
    readout = Changed().layout(header).readouts[0]
    assert (readout.gain, readout.read_noise, readout.saturation) == (gain, noise, 50000)
    (info,) = Changed().describe(header)
    assert pixel_scale(Changed(), info) == pytest.approx(scale)
    assert Changed().pedestal(header) == (pedestal, 0)


def test_a_constant_ends_before_the_moment_at_which_the_next_begins():
    both = (Dated(1 * GAIN, until="2020-07-29"), Dated(2 * GAIN, since="2020-07-29"))
    midnight = Time("2020-07-29T00:00:00", scale="utc")
    before = midnight - 1 * u.ms
    assert value_at(both, midnight, name="gain", frame="x").value == 2
    assert value_at(both, before, name="gain", frame="x").value == 1
    assert value_at(both, midnight.tai, name="gain", frame="x").value == 2, "dates are UTC, 37 s behind TAI"
    assert value_at(both, (midnight - 10 * u.s).tai, name="gain", frame="x").value == 1


@pytest.mark.parametrize("start", ["2014-12-31T20:00:00", "2020-07-29T12:00:00"])
def test_a_frame_of_a_date_without_a_constant_is_named_with_the_dates_that_are_declared(start):
    culprit = {"2014": r"saturation of camera 'main'.*\(since 2015-01-01\)"}.get(
        start[:4], r"gain of camera 'main'.*\(until 2020-07-29; since 2020-07-29T18:00\)"
    )
    header = header_of(start, RON=3.5)
    for refuse in (Changed().layout, Changed().describe):
        with pytest.raises(HeaderError, match=rf"frame\.fits: no {culprit}.*rejected"):
            refuse(header)


def test_a_calibration_without_a_time_is_named_where_a_constant_is_dated_and_only_there():
    header = header_of(None, IMAGETYP="bias")
    with pytest.raises(HeaderError, match=r"frame\.fits: no time in its header, and .* is declared by date"):
        Changed().describe(header)
    (info,) = Toy().describe(header)
    assert info.mid_time is None


def test_a_frame_that_is_left_out_needs_no_constants():
    class Choosy(Changed):
        kinds = {**Toy.kinds, "focus": FrameKind.OTHER}

    (info,) = Choosy().describe(header_of("2014-12-31T20:00:00", IMAGETYP="focus"))
    assert info.kind is FrameKind.OTHER


def test_an_amplifier_has_dated_constants_of_its_own():
    halves = (
        Amplifier(hdu=0, data_section="[1:128,1:256]", x0=0, y0=0),
        Amplifier(hdu=0, data_section="[129:256,1:256]", x0=128, y0=0, gain=CHANGED),
    )

    class Halves(Toy):
        cameras = (replace(MAIN, data_section=None, overscan_section=None, amplifiers=halves),)

    def gains(start):
        return [readout.gain for readout in Halves().layout(header_of(start)).readouts]

    assert gains("2016-03-01T02:00:00") == [1.3, 1.255]
    assert gains("2023-03-01T02:00:00") == [1.3, 1.45]
    with pytest.raises(HeaderError, match=r"no gain of camera 'main', amplifier of HDU 0"):
        Halves().layout(header_of("2020-07-29T12:00:00"))


@pytest.mark.parametrize(
    ("given", "culprit"),
    [
        ({"gain": (CHANGED[1], Dated(1 * GAIN, until="2020-07-30"))}, "two values of gain hold at once"),
        ({"gain": (Dated(1 * GAIN, since="2001-01-01"),) * 2}, "two values of gain hold at once"),
        ({"gain": (Dated(1 * u.electron, until="2020-07-29"),)}, "gain = 1.0 electron has the unit electron"),
        ({"gain": (1 * GAIN, 2 * GAIN)}, r"give one constant, or Dated\(\.\.\., since="),
        ({"gain": ()}, "give one constant"),
        ({"pixel_scale": Dated(Keyword("S", SCALE), since="2001-01-01")}, "pixel_scale = .* is a card"),
        ({"pedestal": Dated(3 * u.electron, since="2001-01-01")}, "pedestal = 3.0 electron"),
    ],
)
def test_what_contradicts_itself_is_an_error_of_the_declaration(given, culprit):
    with pytest.raises(DeclarationError, match=f"Camera 'main': .*{culprit}|Camera 'main': {culprit}"):
        replace(MAIN, **given)


@pytest.mark.parametrize(
    ("dates", "culprit"),
    [
        ({}, "give since or until"),
        ({"since": "29/07/2020"}, "'29/07/2020' is not a date"),
        ({"since": "2021-01-01", "until": "2020-01-01"}, "since 2021-01-01 is not before until 2020-01-01"),
        ({"since": "2021-01-01", "until": "2021-01-01"}, "is not before"),
    ],
)
def test_dates_that_cannot_be_are_named(dates, culprit):
    with pytest.raises(DeclarationError, match=culprit):
        Dated(1 * GAIN, **dates)


def test_a_plain_constant_holds_always_and_needs_no_time():
    assert value_at(1.3 * GAIN, None, name="gain", frame="x") == 1.3 * GAIN
    assert periods(1.3 * GAIN) == () and values_of(1.3 * GAIN) == (1.3 * GAIN,)
    assert [value.value for value in values_of(CHANGED)] == [1.255, 1.45]


def test_a_night_leaves_out_by_name_the_frames_of_a_date_without_a_constant(tmp_path):
    for number, day in enumerate(("2014-12-31", "2016-03-01"), start=1):
        header = fits.Header(header_of(f"{day}T20:00:00").hdus[0], copy=True)
        pixels = np.arange(256 * 288, dtype=np.uint16).reshape(256, 288) + number
        fits.PrimaryHDU(pixels, header).writeto(tmp_path / f"f{number}.fits")
    night = scan(tmp_path, Changed())
    told = {row.file: row.reason for row in night.rows}
    assert "f1.fits: no saturation of camera 'main' is declared for 2014-12-31" in told["f1.fits"]
    assert "saturation" not in told["f2.fits"]


def test_the_page_of_the_instrument_gives_the_dates():
    page = "\n".join(instrument_page(Changed(), "a test"))
    assert "1.255 electron / adu until 2020-07-29; 1.45 electron / adu since 2020-07-29T18:00" in page
    assert "from the card RON [electron] since 2020-01-01 until 2021-01-01" in page


class Retired(Toy):
    """It was taken down before the evening on which nights are simulated."""

    name = "RETIRED"
    cameras = (replace(MAIN, gain=(Dated(2.0 * GAIN, since="2011-05-01T12:00", until="2012-05-01"),)),)


@pytest.mark.slow
def test_frames_are_simulated_on_a_day_on_which_all_constants_are_declared():
    assert a_frame(FrameKind.SCIENCE, Retired.cameras[0]).mid_time.isot[:10] == "2011-05-02"
    assert a_frame(FrameKind.SCIENCE, MAIN).mid_time.isot[:10] == "2025-02-22"
    until = replace(MAIN, gain=Dated(2.0 * GAIN, until="2012-05-10"))
    assert a_frame(FrameKind.SCIENCE, until).mid_time.isot[:10] == "2012-05-07"
    tonight = replace(MAIN, gain=Dated(2.0 * GAIN, until="2025-02-23"))  # it ends before the night does
    assert a_frame(FrameKind.SCIENCE, tonight).mid_time.isot[:10] == "2025-02-20"
    assert not [r.message for r in check_instrument(Retired, night=False) if not r.passed]


def test_a_simulated_night_has_the_constants_of_its_own_date(tmp_path):
    """The same seeing, by a smaller scale, covers more pixels."""
    plan = NightPlan(frames=2, size=(64, 64), biases=0, darks=0, flats=1, stars=2)
    before, after = (
        simulate_night(Changed(), tmp_path / year, replace(plan, start=f"{year}-03-01T20:00:00"))
        for year in ("2016", "2023")
    )
    assert fits.getval(after.folder / after.frames["file"][0], "DATE-OBS").startswith("2023-03-01")
    ratio = np.asarray(after.frames["fwhm_pix"]) / np.asarray(before.frames["fwhm_pix"])
    np.testing.assert_allclose(ratio, 0.62 / 0.5, rtol=1e-9)
    seen = [scan(truth.folder, Changed()).rows for truth in (before, after)]
    assert not [row.reason for rows in seen for row in rows if row.status != "use"]


def test_a_card_that_holds_the_constant_for_a_time_is_written_into_simulated_frames():
    during = replace(MAIN, read_noise=(Dated(Keyword("RON", u.electron), since="2024-01-01"),))

    class Carded(Toy):
        cameras = (during,)

    info = a_frame(FrameKind.SCIENCE, during, band="R", target="X")
    assert Carded().layout(raw_header(Carded(), info, size=(10, 10))).readouts[0].read_noise == 5
