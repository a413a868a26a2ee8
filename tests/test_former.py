"""Plugins that were written when each question to an instrument was a method of its own."""

import inspect
from dataclasses import replace

import astropy.units as u
import pytest
from astropy.coordinates import SkyCoord
from headers import make_header
from toy import Toy

from potpyri_like.frame import FrameKind
from potpyri_like.instruments import Instrument, pixel_scale, site_of, wcs_of, wcs_trouble
from potpyri_like.instruments.former import FormerMethods
from potpyri_like.instruments.simulated import SimulatedCamera
from potpyri_like.testing.cards import blank_headers, cards_of, raw_header
from potpyri_like.testing.simulate import a_frame

MAIN = Toy.cameras[0]
# The public methods of version 1 of the interface.
FORMER = [
    "mid_time",
    "time_cards",
    "plane_time",
    "describe",
    "frames_in",
    "notes_on",
    "planes_of",
    "settle",
    "kind_of",
    "kind_wanted",
    "exposure_of",
    "time_of",
    "camera_of",
    "camera_wanted",
    "camera_named",
    "site_of",
    "band_of",
    "target_of",
    "binning_of",
    "pointing_of",
    "direction_of",
    "equinox_of",
    "readout_of",
    "clock_of",
    "remarks",
    "read",
    "layout",
    "image_hdus",
    "pedestal",
    "is_filtered",
    "pixel_scale",
    "wcs",
    "wcs_trouble",
    "cards",
    "values",
    "pointing_values",
    "blank",
]
KEPT = [
    "mid_time",
    "time_cards",
    "plane_time",
    "describe",
    "settle",
    "camera_of",
    "band_of",
    "target_of",
    "binning_of",
    "pointing_of",
    "clock_of",
    "remarks",
    "layout",
    "readout_of",
    "pedestal",
    "is_filtered",
]


def header_of(**cards):
    cards = {"IMAGETYP": "light", "EXPTIME": 30.0, "FILTER": "R", "OBJECT": "X", "RA": "06:30:32.8"} | cards
    return make_header({"DATE-OBS": "2025-02-23T03:00:00", "DEC": "+29:40:20"} | cards, shape=(256, 288))


def test_every_method_that_there_was_is_there():
    assert not [name for name in FORMER if not callable(getattr(Instrument, name, None))]
    assert {name for name in vars(FormerMethods) if name[0] != "_"} == set(FORMER) - set(KEPT)


def test_the_contract_holds_nothing_else_than_its_questions():
    own = {name for name, member in vars(Instrument).items() if inspect.isfunction(member) and name[0] != "_"}
    assert own == {*KEPT, "amplifiers_in"}


def test_a_method_that_is_a_function_now_can_be_called():
    toy, header = Toy(), header_of()
    (info,) = toy.describe(header)
    layout = toy.layout(header)
    assert toy.read("exposure", header) == 30 * u.s
    assert toy.camera_named("MAIN") is MAIN
    assert toy.kind_of(header) == (FrameKind.SCIENCE, "IMAGETYP is 'light'")
    assert toy.exposure_of(header, FrameKind.SCIENCE) == 30 * u.s
    assert toy.time_of(header, 30 * u.s, FrameKind.SCIENCE).time == info.mid_time
    assert toy.pixel_scale(info) == pixel_scale(toy, info)
    assert toy.site_of("main") is site_of(toy, "main")
    assert toy.image_hdus(header) == (0,)
    assert (toy.wcs(header, layout), toy.wcs_trouble(header, layout)) == (None, "")
    assert toy.cards(info) == cards_of(toy, info)
    assert toy.blank(MAIN, size=(9, 9), binning=(1, 1)) == blank_headers(
        toy, MAIN, size=(9, 9), binning=(1, 1)
    )


class Doubled(Toy):
    """It asks the class below, as plugins do, and changes what that says."""

    name = "DOUBLED"

    def exposure_of(self, header, kind):
        return 2 * super().exposure_of(header, kind)

    def kind_of(self, header):
        kind, why = super().kind_of(header)
        return kind, f"{why}, and it doubled it"

    def equinox_of(self, header):
        return SkyCoord(0 * u.deg, 0 * u.deg, frame="fk5", equinox="J1950").frame.replicate_without_data()

    def notes_on(self, header, camera, kind, reading):
        yield from super().notes_on(header, camera, kind, reading)
        yield "as it were"

    def pixel_scale(self, info):
        return 2 * super().pixel_scale(info)

    def wcs(self, header, layout):
        return "its own"

    def wcs_trouble(self, header, layout):
        return f"none but {super().wcs_trouble(header, layout)!r}"

    def site_of(self, camera):
        return f"{camera} stands here"

    def pointing_values(self, pointing):
        return super().pointing_values(pointing) | {"ra": "12:00:00"}

    def blank(self, camera, *, size, binning):
        (header,) = super().blank(camera, size=size, binning=binning)
        header["MADE"] = f"{size[0]}x{binning[0]}"
        return [header]


def test_a_plugin_s_own_method_is_asked_instead_of_the_function():
    doubled, header = Doubled(), header_of()
    (info,) = doubled.describe(header)
    (plain,) = Toy().describe(header)
    assert info.exposure == 60 * u.s and plain.exposure == 30 * u.s
    assert (info.mid_time - plain.mid_time).to_value(u.s) == pytest.approx(15)
    assert info.decided_by == "IMAGETYP is 'light', and it doubled it"
    assert info.pointing.separation(plain.pointing) > 0.5 * u.deg
    assert info.notes == (*plain.notes, "as it were")
    assert pixel_scale(doubled, info) == 2 * pixel_scale(Toy(), info)
    assert wcs_of(doubled, header, doubled.layout(header)) == "its own"
    assert wcs_trouble(doubled, header, doubled.layout(header)) == "none but ''"
    assert site_of(doubled, "main") == "main stands here"


def test_simulated_files_are_those_of_a_plugin_s_own_methods():
    info = a_frame(FrameKind.SCIENCE, MAIN, band="R", target="X", pointing=SkyCoord(10 * u.deg, 20 * u.deg))
    (header,) = raw_header(Doubled(), info, size=(50, 40)).hdus
    assert (header["MADE"], header["RA"]) == ("50x1", "12:00:00")
    assert header["DEC"].startswith("+20:00:00")


def test_a_camera_may_still_state_what_only_simulated_nights_use():
    camera = replace(
        MAIN, rotation=3 * u.deg, centre=(5, 6), flipped=True, dark_current=0.1 * u.electron / u.s
    )
    wanted = SimulatedCamera(
        rotation=3 * u.deg, centre=(5, 6), flipped=True, dark_current=0.1 * u.electron / u.s
    )
    assert camera.simulated == wanted
    assert replace(camera, ids=("x",)).simulated == wanted
    assert MAIN.simulated == SimulatedCamera()


def test_modules_from_which_plugins_have_the_words_of_a_declaration_have_them():
    from potpyri_like.instruments import base, cameras

    for module, names in (
        (base, "Calibration Instrument PixelFilter"),
        (cameras, "Amplifier Camera Layout Readout"),
    ):
        assert not [name for name in names.split() if not hasattr(module, name)]
