"""Whose frames a night looks like that the instrument which was asked for does not understand."""

from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from toy import Toy

from potpyri_like.errors import NotUnderstood
from potpyri_like.instruments import COMMON_KINDS, Always, FrameKind, HeaderKeywords, Keyword, Rule
from potpyri_like.instruments.gmos import Gmos
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.night import scan
from potpyri_like.night.likeness import resembling
from potpyri_like.run import report

TOY = {
    "IMAGETYP": "light",
    "EXPTIME": 30.0,
    "FILTER": "R",
    "OBJECT": "WASP-0",
    "DATE-OBS": "2025-02-23T03:02:49",
}
OPTICAM = {
    "IMGTYPE": "object",
    "EXPOSURE": 5.0,
    "FILTER": "g",
    "OBJECT": "WASP-0",
    "UT": "2025-02-23 03:02:49.000 ",
    "SERIALN": "VSC-05535",
}


class Plain(Toy):
    """As Toy, without sections, for frames of any size."""

    name = "PLAIN"
    keywords = HeaderKeywords(kind=Keyword("IMAGETYP"), exposure=Keyword("EXPTIME", u.s))
    kinds = COMMON_KINDS
    cameras = (
        type(Toy.cameras[0])(**{**vars(Toy.cameras[0]), "data_section": None, "overscan_section": None}),
    )


class Credulous(Plain):
    """It takes whatever has an exposure for science."""

    name = "CREDULOUS"
    keywords = HeaderKeywords(exposure=Keyword("EXPTIME", u.s, also=("EXPOSURE",)))
    kinds = (Rule(FrameKind.SCIENCE, Always()),)

    def mid_time(self, header, exposure):
        return Toy.mid_time(self, {"DATE-OBS": "2025-02-23T03:02:49"}, exposure)


class Broken(Plain):
    """A plugin whose code fails."""

    name = "BROKEN"

    def describe(self, header, **asked):
        raise AttributeError("of its own")


OTHERS = (Plain(), Credulous(), Broken(), Gmos(), Opticam())


def night_of(folder, *cards, instrument=None):
    for number, some in enumerate(cards):
        fits.PrimaryHDU(np.zeros((32, 32), np.int16), fits.Header(some)).writeto(folder / f"{number}.fits")
    return scan(folder, instrument or Gmos())


def test_frames_that_name_their_camera_are_those_of_its_instrument(tmp_path):
    assert resembling(night_of(tmp_path, OPTICAM, OPTICAM | {"IMGTYPE": "dark"}), OTHERS) == ("OPTICAM",)


def test_frames_whose_kind_a_declaration_knows_may_be_its_own(tmp_path):
    assert resembling(night_of(tmp_path, TOY, TOY | {"IMAGETYP": "Flat Field"}), OTHERS) == ("PLAIN",)


def test_an_instrument_that_a_header_names_comes_alone(tmp_path):
    class Named(Plain):
        name = "ALTA"

    night = night_of(tmp_path, TOY | {"INSTRUME": "Alta U9000"})
    assert resembling(night, (*OTHERS, Named())) == ("ALTA",)


@pytest.mark.parametrize(
    "cards",
    [
        {"EXPOSURE": 60.0, "FILTER": "r", "OBJECT": "M1", "DATE-OBS": "2025-02-23T03:02:49"},  # of no kind
        {"IMAGETYP": "focus", "EXPTIME": 3.0, "DATE-OBS": "2025-02-23T03:02:49"},
        {"IMAGETYP": "light"},
        {"IMAGETYP": "light", "EXPTIME": 30.0},  # no time
    ],
)
def test_frames_that_nobody_knows_are_nobodys(tmp_path, cards):
    assert resembling(night_of(tmp_path, cards), OTHERS) == ()


def test_one_frame_of_many_is_not_enough(tmp_path):
    night = night_of(tmp_path, TOY, *[{"EXPOSURE": n} for n in (1.0, 2.0, 3.0)])
    assert resembling(night, OTHERS) == ()


def installed_are(monkeypatch, *instruments):
    found = {one.name: SimpleNamespace(item=one) for one in instruments}
    monkeypatch.setattr(report, "installed", lambda: SimpleNamespace(instruments=found))


def test_a_night_that_is_not_understood_says_whose_it_may_be(tmp_path, monkeypatch):
    installed_are(monkeypatch, *OTHERS)
    folder = tmp_path / "first night"
    folder.mkdir()
    with pytest.raises(NotUnderstood) as told:
        report.check_understood(night_of(folder, OPTICAM))
    first = str(told.value).splitlines()[0]
    assert first.endswith(f"nothing was written; these look like OPTICAM's: try reduce OPTICAM '{folder}'")


def test_a_night_that_nobody_understands_suggests_nothing(tmp_path, monkeypatch):
    installed_are(monkeypatch, *OTHERS)
    with pytest.raises(NotUnderstood) as told:
        report.check_understood(night_of(tmp_path, {"CAMERA": "unknown"}))
    assert "look like" not in str(told.value)
    (tmp_path / "known").mkdir()
    report.check_understood(night_of(tmp_path / "known", OPTICAM, instrument=Opticam()))


def test_a_focus_frame_among_frames_of_another_instrument_does_not_make_them_understood(
    tmp_path, monkeypatch
):
    installed_are(monkeypatch, *OTHERS)
    focus = {"IMAGETYP": "focus", "EXPTIME": 1.0, "DATE-OBS": "2015-02-20T19:35:57"}
    night = night_of(tmp_path, OPTICAM, OPTICAM | {"IMGTYPE": "dark"}, focus, instrument=Plain())
    assert [row.info is not None for row in night.rows] == [False, False, True]
    with pytest.raises(NotUnderstood, match="these look like OPTICAM's"):
        report.check_understood(night)


def test_a_night_of_spectra_alone_is_understood(tmp_path, monkeypatch):
    installed_are(monkeypatch, *OTHERS)
    arc = {"IMAGETYP": "arc", "EXPTIME": 1.0, "DATE-OBS": "2015-02-20T19:35:57"}
    report.check_understood(night_of(tmp_path, arc, arc, {}, instrument=Plain()))
