import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from plain import GAIN, Plain, cards, noise, plain_with, write

from potpyri_like.errors import DeclarationError
from potpyri_like.frame import FrameKind
from potpyri_like.imaging.mosaics import COLOURS
from potpyri_like.instruments.colours import colour_wcs, pixel_of_file
from potpyri_like.night import scan
from potpyri_like.primitives.stage import Setup
from potpyri_like.primitives.trim import Trim

COLOUR_CARDS = [{"COLORTYP": "RGB"}, {"BAYERPAT": "RGGB"}, {"CTYPE3": "RGB"}, {"COLORSPC": "sRGB"}]


def cubes(folder, n=6, step=70.0, planes=3, exposure=60.0, **more):
    for i in range(n):
        cube = np.stack([noise(seed=10 * i + plane) for plane in range(planes)])
        write(folder / f"light_{i}.fits", cube, cards(exposure=exposure, seconds=step * i, **more))
    return folder


def by_band(folder, instrument=Plain):
    """How many frames of how many times each band has."""
    sets = scan(folder, instrument()).sets()
    return {s.band: (len(s.frames), len({frame.mid_time.isot for frame in s.frames})) for s in sets}


# -- three planes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", COLOUR_CARDS, ids=str)
def test_planes_that_a_card_calls_colours_are_bands_of_one_time(tmp_path, more):
    cubes(tmp_path, step=500.0, **more)
    assert by_band(tmp_path) == {"R": (6, 6), "G": (6, 6), "B": (6, 6)}


def test_planes_that_would_outlast_the_next_file_are_colours(tmp_path):
    cubes(tmp_path)
    assert by_band(tmp_path) == {"R": (6, 6), "G": (6, 6), "B": (6, 6)}
    (info, *_) = scan(tmp_path, Plain()).frames
    assert any(note.startswith("colour: its planes are red, green and blue") for note in info.notes)


@pytest.mark.parametrize(
    "given",
    [
        {"step": 180.0},  # one after the other
        {"step": 200.0, "exposure": 50.0},
        {"planes": 4},
        {"planes": 2},
        {"KCT": 60.5, "step": 182.0, "COLORTYP": "RGB"},  # a kinetic series of a camera in colour
        {"exposure": 0.1, "step": 0.0},  # a clock that stands still is no colour
    ],
    ids=str,
)
@pytest.mark.slow
def test_planes_that_follow_each_other_in_time_are_not_colours(tmp_path, given):
    cubes(tmp_path, **given)
    assert set(by_band(tmp_path)) == {"r"}
    assert not any(info.colour for info in scan(tmp_path, Plain()).frames)


def test_colours_behind_two_filters_keep_the_filter_in_their_names(tmp_path):
    cubes(tmp_path / "a", n=3, COLORTYP="RGB")
    for i, path in enumerate(sorted((tmp_path / "a").iterdir())):
        cube = np.stack([noise(seed=100 * i + plane) for plane in range(3)])
        write(tmp_path / "b" / path.name, cube, cards(seconds=1000 + 70 * i, COLORTYP="RGB", FILTER="Ha"))
    assert set(by_band(tmp_path)) == {"r R", "r G", "r B", "Ha R", "Ha G", "Ha B"}


def test_each_colour_has_its_own_calibrations_and_plain_ones_serve_all(tmp_path):
    cubes(tmp_path, n=3, COLORTYP="RGB")
    for i in range(2):
        flat = np.stack([noise(seed=500 + 10 * i + plane, level=20000) for plane in range(3)])
        write(tmp_path / f"flat_{i}.fits", flat, cards("flat", 5.0, COLORTYP="RGB"))
        write(tmp_path / f"bias_{i}.fits", noise(seed=700 + i, level=300), cards("bias", 0.0))
    for observed in scan(tmp_path, Plain()).sets():
        assert [flat.colour for flat in observed.flats] == [observed.band] * 2
        assert len(observed.biases) == 2


def test_a_plain_flat_of_the_filter_serves_its_colours_and_one_of_another_does_not(tmp_path):
    cubes(tmp_path, n=3, COLORTYP="RGB")
    write(tmp_path / "flat_r.fits", noise(seed=1, level=20000), cards("flat", 5.0))
    write(tmp_path / "flat_g.fits", noise(seed=2, level=20000), cards("flat", 5.0, FILTER="g"))
    for observed in scan(tmp_path, Plain()).sets():
        assert [flat.inside for flat in observed.flats] == ["flat_r.fits"]


def test_colours_may_be_rejected_or_be_times_as_the_camera_declares(tmp_path):
    cubes(tmp_path, COLORTYP="RGB")
    rejected = scan(tmp_path, plain_with(colour="reject")()).rejected
    assert len(rejected) == 18
    words = "light_0.fits[0]: its planes are red, green and blue of a single exposure (COLORTYP = RGB)"
    assert rejected[0].reason.startswith(words)
    infos = scan(tmp_path, plain_with(colour="times")()).frames
    assert len(infos) == 18 and not any(info.colour for info in infos)


def test_colours_that_only_their_times_tell_are_rejected_as_well(tmp_path):
    cubes(tmp_path / "a")
    rejected = scan(tmp_path / "a", plain_with(colour="reject")()).rejected
    assert len(rejected) == 18
    assert rejected[0].reason.startswith("light_0.fits[0]: one colour plane of a single exposure")
    cubes(tmp_path / "b", step=180.0)
    assert not scan(tmp_path / "b", plain_with(colour="reject")()).rejected


def test_colours_pixel_by_pixel_are_rejected_by_name(tmp_path):
    cube = np.stack([noise(seed=plane) for plane in range(3)], axis=2)
    write(tmp_path / "light.fits", cube, cards(COLORTYP="RGB"))
    (row,) = scan(tmp_path, Plain()).rejected
    assert row.reason.startswith("light.fits: NAXIS1 = 3") and "three planes" in row.reason


# -- mosaics -------------------------------------------------------------------------------------------------


def mosaic(seed=1, shape=(40, 60), light=(100, 200, 200, 400)):
    rows, columns = np.indices(shape)
    return (
        np.random.default_rng(seed).poisson(np.array(light)[2 * (rows % 2) + columns % 2]).astype(np.uint16)
    )


def mosaics(folder, n=4, kind="light", **more):
    for i in range(n):
        write(folder / f"{kind}_{i}.fits", mosaic(seed=i), cards(kind, seconds=70 * i, **more))
    return folder


def test_a_mosaic_that_nobody_declared_is_one_band_and_said_once(tmp_path):
    scanned = scan(mosaics(tmp_path, BAYERPAT="RGGB"), Plain())
    assert by_band(tmp_path) == {"r": (4, 4)}
    notes = {note for info in scanned.frames for note in info.notes}
    (note,) = notes
    assert note.startswith("file: a mosaic of colours (RGGB)") and "bayer='RGGB'" in note
    assert {info.mosaic for info in scanned.frames} == {"RGGB"}


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("light", {}),
        ("light", {"BAYERPAT": "NONE"}),
        ("light", {"BAYERPAT": "RGGB", "XBINNING": 2}),
        ("bias", {"BAYERPAT": "RGGB"}),
    ],
)
def test_what_is_no_mosaic_or_no_image_of_the_sky_has_no_such_note(tmp_path, kind, more):
    scanned = scan(mosaics(tmp_path, kind=kind, **more), Plain())
    assert not any("mosaic" in note for info in scanned.frames for note in info.notes)


def test_a_declared_mosaic_is_split_into_bands_of_half_the_size(tmp_path):
    instrument = plain_with(bayer="RGGB")()
    scanned = scan(mosaics(tmp_path, BAYERPAT="RGGB"), instrument)
    assert [s.band for s in scanned.sets()] == ["B", "G", "R"]
    assert {info.binning for info in scanned.frames} == {(2, 2)}
    assert [row.file for row in scanned.rows][:3] == [f"light_0.fits[{plane}]" for plane in range(3)]
    for info, light in zip(scanned.frames, (100, 400, 400), strict=False):
        frame = Trim()(info, Setup(instrument))
        assert frame.data.shape == (20, 30)
        assert frame.data.mean() == pytest.approx(GAIN * light, rel=5 / np.sqrt(600 * light))
    raw = mosaic(seed=0).astype(float) * GAIN
    red, green, blue = (Trim()(info, Setup(instrument)).data for info in scanned.frames[:3])
    np.testing.assert_allclose(red, raw[::2, ::2], rtol=1e-6)
    np.testing.assert_allclose(green, raw[::2, 1::2] + raw[1::2, ::2], rtol=1e-6)
    np.testing.assert_allclose(blue, raw[1::2, 1::2], rtol=1e-6)


def test_the_calibrations_of_a_declared_mosaic_are_split_as_its_lights_are(tmp_path):
    for kind, number in (("light", 3), ("bias", 2), ("flat", 2)):
        mosaics(tmp_path, number, kind)
    for observed in scan(tmp_path, plain_with(bayer="GBRG")()).sets():
        for frames in (observed.biases, observed.flats):
            assert [info.colour for info in frames] == [observed.band] * 2


def test_a_header_with_another_mosaic_than_the_declared_one_is_said(tmp_path):
    scanned = scan(mosaics(tmp_path, BAYERPAT="GRBG"), plain_with(bayer="RGGB")())
    assert all(
        "file: its header says that the mosaic is GRBG, and camera main declares RGGB" in info.notes
        for info in scanned.frames
    )


def test_a_binned_frame_of_a_declared_mosaic_is_one_band(tmp_path):
    assert by_band(mosaics(tmp_path, XBINNING=2), plain_with(bayer="RGGB")) == {"r": (4, 4)}


def test_the_coordinates_of_a_colour_are_those_of_the_whole_mosaic(tmp_path):
    instrument = plain_with(bayer="RGGB")()
    solved = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 153.5, "CRVAL2": 16.0, "CRPIX1": 30.5}
    solved |= {"CRPIX2": 20.5, "CDELT1": -2e-4, "CDELT2": 2e-4}
    scanned = scan(mosaics(tmp_path, 1, **solved), instrument)
    whole = WCS(fits.Header(solved))
    for info, (x, y) in zip(scanned.frames, ((0, 0), (0.5, 0.5), (1, 1)), strict=True):
        assert info.colour == COLOURS[info.plane]
        wcs = Trim()(info, Setup(instrument)).wcs
        here = wcs.pixel_to_world_values(7, 5)
        np.testing.assert_allclose(here, whole.pixel_to_world_values(14 + x, 10 + y), atol=1e-9)
        np.testing.assert_allclose(pixel_of_file(info, np.array([14.5, 10.5])), [7, 5])


def test_the_coordinates_of_a_plain_frame_are_left_alone(tmp_path):
    (info,) = scan(mosaics(tmp_path, 1), Plain()).frames
    wcs = WCS(naxis=2)
    assert colour_wcs(wcs, info, None) is wcs and colour_wcs(None, info, None) is None
    np.testing.assert_array_equal(pixel_of_file(info, np.array([14.0, 10.0])), [14, 10])
    assert info.kind is FrameKind.SCIENCE


@pytest.mark.parametrize("more", [{"bayer": "RGB"}, {"bayer": "rggb"}, {"colour": "keep"}])
def test_a_declaration_that_names_no_mosaic_is_an_error(more):
    with pytest.raises(DeclarationError, match="Camera 'main'"):
        plain_with(**more)
