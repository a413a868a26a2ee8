from dataclasses import replace

import numpy as np
import pytest
from plain import GAIN, Plain, cards, noise, plain_with, write

from potpyri_like.errors import DeclarationError, PixelError
from potpyri_like.frame import FrameKind
from potpyri_like.instruments import Keyword
from potpyri_like.night import scan
from potpyri_like.options import Options
from potpyri_like.primitives.stage import Setup
from potpyri_like.primitives.trim import Trim
from potpyri_like.run.report import report_of

X, Y, COLUMNS, ROWS = 12, 7, 30, 20
SIZE = (40, 60)  # of the detector, rows and columns


def detector(seed=0, level=300):
    """A frame of the whole detector in which each pixel is known by its value."""
    return (np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 50000 + level + seed).astype(np.uint16)


def night(folder, place, *, binned=1, **of_calibrations):
    part = np.s_[Y : Y + ROWS, X : X + COLUMNS]
    more = {"XBINNING": binned} if binned > 1 else {}
    for i in range(3):
        write(folder / f"light_{i}.fits", detector(i)[part], cards(seconds=70 * i, **place, **more))
    for i in range(2):
        for kind in ("bias", "flat"):
            begun = 1000.0 + 100 * i
            header = cards(kind, 0.0 if kind == "bias" else 5.0, begun, **of_calibrations, **more)
            write(folder / f"{kind}_{i}.fits", detector(10 * i), header)
    return folder


PLACES = {
    "XORGSUBF": {"XORGSUBF": X, "YORGSUBF": Y},
    "DETSEC": {"DETSEC": f"[{X + 1}:{X + COLUMNS},{Y + 1}:{Y + ROWS}]"},
    "CCDSEC": {"CCDSEC": f"[{X + 1}:{X + COLUMNS}, {Y + 1}:{Y + ROWS}]"},
}


@pytest.mark.parametrize("place", PLACES)
def test_calibrations_of_the_whole_detector_serve_a_window_cut_to_it(tmp_path, place):
    (observed,) = scan(night(tmp_path, PLACES[place]), Plain()).sets()
    for frames in (observed.biases, observed.flats):
        assert [info.cut for info in frames] == [(X, Y, COLUMNS, ROWS)] * 2
        frame = Trim()(frames[0], Setup(Plain()))
        np.testing.assert_allclose(frame.data, GAIN * detector()[Y : Y + ROWS, X : X + COLUMNS], rtol=1e-6)
    light = Trim()(observed.frames[0], Setup(Plain()))
    np.testing.assert_allclose(light.data, GAIN * detector()[Y : Y + ROWS, X : X + COLUMNS], rtol=1e-6)


def test_the_place_of_a_binned_window_is_in_its_own_pixels(tmp_path):
    section = {"DETSEC": f"[{2 * X + 1}:{2 * (X + COLUMNS)},{2 * Y + 1}:{2 * (Y + ROWS)}]"}
    (observed,) = scan(night(tmp_path, section, binned=2), Plain()).sets()
    assert observed.biases[0].cut == (X, Y, COLUMNS, ROWS)


def test_a_calibration_of_a_larger_window_is_cut_by_the_difference_of_their_places(tmp_path):
    (observed,) = scan(night(tmp_path, PLACES["XORGSUBF"], XORGSUBF=10, YORGSUBF=5), Plain()).sets()
    assert observed.biases[0].cut == (2, 2, COLUMNS, ROWS)


def test_a_declared_card_tells_the_place(tmp_path):
    section = {"ROISEC": f"[{X + 1}:{X + COLUMNS},{Y + 1}:{Y + ROWS}]"}
    assert not scan(night(tmp_path, section), Plain()).sets()[0].biases
    (observed,) = scan(tmp_path, plain_with(window=Keyword("ROISEC"))()).sets()
    assert observed.biases[0].cut == (X, Y, COLUMNS, ROWS)


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"XORGSUBF": 40, "YORGSUBF": Y},  # leaves the calibrations
        {"XORGSUBF": -1, "YORGSUBF": Y},
        {"XORGSUBF": 3.5, "YORGSUBF": Y},
        {"XORGSUBF": "n/a", "YORGSUBF": Y},
        {"DETSEC": "[1:60,1:40]"},  # of another size
        {"DETSEC": "[0:0,0:0]"},
        {"DETSEC": "nothing"},
    ],
    ids=str,
)
@pytest.mark.slow
def test_a_window_of_no_known_place_goes_without(tmp_path, place):
    (observed,) = scan(night(tmp_path, place), Plain()).sets()
    assert observed.biases == observed.flats == ()


def test_a_window_without_a_place_is_said_once_and_one_with_a_place_is_not(tmp_path):
    for place, number in (({}, 1), (PLACES["DETSEC"], 0)):
        scanned = scan(night(tmp_path / str(number), place), Plain())
        assert len(scanned.without_place) == 4 * number
        said = [problem for problem in _problems(scanned) if "window" in problem.why]
        assert len(said) == number
        assert all(
            problem.why.startswith("4 calibration frames: each fits no science frame: ") for problem in said
        )


def _problems(scanned):
    return report_of(scanned, [], Options()).problems


def test_calibrations_of_the_window_itself_come_first(tmp_path):
    night(tmp_path, PLACES["XORGSUBF"])
    own = detector(5)[Y : Y + ROWS, X : X + COLUMNS]
    write(tmp_path / "own.fits", own, cards("bias", 0.0, 500.0, **PLACES["XORGSUBF"]))
    (observed,) = scan(tmp_path, Plain()).sets()
    assert [(info.inside, info.cut) for info in observed.biases] == [("own.fits", None)]
    assert [info.cut for info in observed.flats] == [(X, Y, COLUMNS, ROWS)] * 2


def test_a_window_of_the_same_size_elsewhere_does_not_serve(tmp_path):
    night(tmp_path, PLACES["XORGSUBF"])
    for path in tmp_path.glob("[bf]*"):
        path.unlink()
    write(tmp_path / "other.fits", noise((ROWS, COLUMNS)), cards("bias", 0.0, XORGSUBF=X + 1, YORGSUBF=Y))
    assert scan(tmp_path, Plain()).sets()[0].biases == ()


def test_two_windows_of_one_size_are_two_observations(tmp_path):
    night(tmp_path, PLACES["XORGSUBF"])
    for i in range(3):
        header = cards(seconds=300 + 70 * i, XORGSUBF=1, YORGSUBF=2)
        write(tmp_path / f"other_{i}.fits", detector(i)[2 : 2 + ROWS, 1 : 1 + COLUMNS], header)
    sets = scan(tmp_path, Plain()).sets()
    assert {observed.biases[0].cut[:2] for observed in sets} == {(X, Y), (1, 2)}
    assert {observed.folder for observed in sets} == {f"WASP-0/r_main_1x1_at_{at}" for at in ("12_7", "1_2")}


def test_whole_frames_are_not_cut(tmp_path):
    for i, kind in enumerate(("light", "light", "bias", "flat")):
        write(tmp_path / f"{kind}_{i}.fits", detector(i), cards(kind, XORGSUBF=0, YORGSUBF=0, seconds=70 * i))
    (observed,) = scan(tmp_path, Plain()).sets()
    assert observed.biases[0].cut is None and observed.flats[0].cut is None
    assert observed.biases[0].kind is FrameKind.BIAS


def test_a_frame_that_does_not_hold_its_window_any_more_is_rejected(tmp_path):
    (observed,) = scan(night(tmp_path, PLACES["XORGSUBF"]), Plain()).sets()
    info = replace(observed.biases[0], cut=(50, 0, COLUMNS, ROWS))
    with pytest.raises(PixelError, match=r"60 x 40 pixels do not hold the window of 30 x 20 at 50, 0"):
        Trim()(info, Setup(Plain()))


def test_a_window_that_is_no_card_is_an_error():
    with pytest.raises(DeclarationError, match=r"give Keyword\('DETSEC'\)"):
        plain_with(window="DETSEC")
