from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from sinistro import AMPS, FLUX, HALF, SIZE, SKY, STARS, Sinistro, calibrations, light, science, write

import potpyri_like as pl
from potpyri_like.errors import DeclarationError, PixelError
from potpyri_like.frame import FrameInfo, FrameKind, MaskBit
from potpyri_like.instruments import Amplifier
from potpyri_like.night import scan
from potpyri_like.night.amplifiers import holds, mode_in_words
from potpyri_like.primitives.stage import Setup
from potpyri_like.primitives.trim import Trim
from potpyri_like.store import read_header

OPTIONS = {"target_xy": "60,70", "jobs": 1, "fit": "none", "animation": "no", "radec": "10:00:00 -20:00:00"}
TARGET = 0


def corner(amp):
    """The rows and columns of an amplifier in the image."""
    return (
        slice(HALF, None) if amp.top else slice(HALF),
        slice(HALF, None) if amp.right else slice(HALF),
    )


def reduced(folder, **options):
    """The only set of a night, and all that was said."""
    run = pl.reduce(folder, Sinistro, **OPTIONS | options)
    (result,) = run.report.sets
    return result, [f"{problem.what}: {problem.why}" for problem in run.report.all_problems]


def flux_of(result, star):
    """Electrons of one of the drawn stars in each frame, in an aperture that holds it all, and their error."""
    (k,) = np.flatnonzero(np.hypot(*(result.series.reference_xy - STARS[star]).T) < 2)
    at = int(np.argmin(np.abs(result.series.radii - 7.5)))
    return result.series.flux[:, k, at], result.series.flux_err[:, k, at]


def trimmed(path, setup=None):
    (info,) = Sinistro().describe(read_header(path))
    return Trim()(info, setup or Setup(Sinistro()))


# -- a night of four amplifiers ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sinistro")
    calibrations(folder)
    science(folder, dip=[1, 1, 1, 0.95, 0.95, 1, 1, 1])
    return folder, *reduced(folder)


@pytest.mark.slow
def test_stars_have_their_electrons_in_all_amplifiers_and_across_their_borders(night):
    _, result, _ = night
    whole = 0.9999  # of a star within 7.5 pixels
    for star in range(1, len(FLUX)):
        flux, error = flux_of(result, star)
        mean = float(np.mean(flux) / FLUX[star] / whole)
        assert mean == pytest.approx(1, abs=0.003 + 4 * np.median(error) / FLUX[star] / np.sqrt(len(flux))), (
            star
        )
        assert np.std(flux) < 2.5 * np.median(error)


@pytest.mark.slow
def test_the_sky_has_no_step_between_amplifiers(night):
    _, result, _ = night
    sky = np.nanmedian(result.series.sky, axis=0)
    assert np.abs(sky - SKY).max() < 2.0  # electron; each annulus is known to 0.5
    dip = result.light_curve.flux
    error = np.median(result.light_curve.flux_err) * np.sqrt(1 / 2 + 1 / (len(dip) - 2))
    assert np.mean(dip[3:5]) / np.mean(np.delete(dip, [3, 4])) == pytest.approx(0.95, abs=3 * error)


@pytest.mark.slow
def test_nothing_is_said_of_a_night_that_lacks_nothing(night):
    _, result, said = night
    assert not [line for line in said if "amplifier" in line or "BIASSEC" in line or "times" not in line]
    assert not [note for info in result.observed.frames for note in info.notes if "amplifier" in note]


@pytest.mark.slow
def test_the_contract_holds_for_the_plugin():
    assert all(outcome.passed for outcome in pl.check(Sinistro))


@pytest.mark.parametrize("packed", [False, True])
def test_a_frame_is_the_sky_in_electrons(tmp_path, packed):
    path = write(tmp_path / ("a.fits.fz" if packed else "a.fits"), "EXPOSE", light(), packed=packed)
    assert read_header(path).image == 1
    frame = trimmed(path)
    away = frame.data - light()
    for amp in AMPS:
        part = away[corner(amp)]
        assert part.std() == pytest.approx(np.hypot(amp.noise, amp.gain / np.sqrt(12)), rel=0.03)
        assert (
            abs(part.mean()) < 5 * amp.noise / np.sqrt(30 * HALF) + 0.1
        )  # that of the overscan is the larger
        assert frame.variance[corner(amp)].mean() == pytest.approx(part.var(), rel=0.06)
    assert not frame.mask.any()


def test_each_pixel_comes_to_lie_where_it_is_on_the_detector(tmp_path):
    code = np.arange(SIZE * SIZE, dtype=float).reshape(SIZE, SIZE) % 19997
    frame = trimmed(write(tmp_path / "a.fits", "EXPOSE", 3 * code))
    np.testing.assert_allclose(
        frame.data, 3 * code, atol=60
    )  # read noise of 9 electrons, and the level's slope


def test_each_amplifier_has_its_own_saturation_gain_and_read_noise(tmp_path):
    header = read_header(write(tmp_path / "a.fits", "EXPOSE", light()))
    readouts = Sinistro().layout(header).readouts
    assert [r.saturation for r in readouts] == [60000, 59000, 58000, 57000]
    assert [(r.gain, r.read_noise) for r in readouts] == [(amp.gain, amp.noise) for amp in AMPS]
    assert [(r.flip_x, r.flip_y) for r in readouts] == [(amp.right, amp.top) for amp in AMPS]


# -- what headers lack ---------------------------------------------------------------------------------------


def described(path):
    (info,) = Sinistro().describe(read_header(path))
    return info


def saying(card, text, *numbers):
    """A change of a card in some amplifiers' headers; None takes it away."""

    def change(hdus):
        for number in numbers:
            if text is None:
                del hdus[number].header[card]
            else:
                hdus[number].header[card] = text

    return change


@pytest.mark.parametrize("says", [0.0, "N/A", "Unknown", -1])
def test_an_unknown_saturation_is_the_largest_number_of_the_file(tmp_path, says):
    path = write(tmp_path / "a.fits", "EXPOSE", light(), change=saying("SATURATE", says, 1))
    assert Sinistro().layout(read_header(path)).readouts[1].saturation == 65535
    (note,) = described(path).notes
    assert note.startswith(f"saturation: SATURATE = {says} in HDU 2 is no limit: 65535 adu")
    assert not trimmed(path).mask.any()
    assert not described(write(tmp_path / "b.fits", "EXPOSE", light())).notes


@pytest.mark.slow
@pytest.mark.parametrize("says", [None, "N/A"])
def test_an_amplifier_without_overscan_has_the_level_of_the_bias_frames(tmp_path, says):
    calibrations(tmp_path, flats=0)
    write(tmp_path / "light_0.fits", "EXPOSE", light(), change=saying("BIASSEC", says, 1, 2), seed=5)
    write(tmp_path / "light_1.fits", "EXPOSE", light(), seconds=90)
    (without, whole) = scan(tmp_path, Sinistro()).sets()[0].frames
    assert without.notes == (
        "file: no BIASSEC in HDU 2, 3, as its other amplifiers have: the level there is taken from the bias frames",
    )
    assert not whole.notes
    with pytest.raises(
        PixelError,
        match=r"light_0.fits: no BIASSEC in HDU 2, .* there are no bias frames to give the level there",
    ):
        Trim()(without, Setup(Sinistro()))
    result = pl.reduce(tmp_path, Sinistro, **OPTIONS, until="masters").report.sets[0]
    masters = result.masters
    levels = [level.adu for level in masters.bias.levels]
    np.testing.assert_allclose(levels, [amp.level + 4 for amp in AMPS], atol=6)  # each wanders by 3
    frame = Trim()(without, Setup(Sinistro(), masters=masters))
    for amp in AMPS:
        wander = 0 if amp in (AMPS[0], AMPS[3]) else 5 * 3.3 * amp.gain
        assert abs(np.median(frame.data[corner(amp)] - light()[corner(amp)])) < 1.0 + wander
    lost = frame.variance[corner(AMPS[1])].mean() - AMPS[1].noise ** 2
    assert lost == pytest.approx(
        (AMPS[1].gain * masters.bias.levels[1].error) ** 2 + AMPS[1].gain ** 2 / 12, rel=0.05
    )


@pytest.mark.parametrize("says", [None, "N/A", "UNKNOWN", "Unknown", "none", "[0:0,0:0]", ""])
def test_words_and_zeros_are_no_overscan(tmp_path, says):
    path = write(tmp_path / "a.fits", "EXPOSE", light(), change=saying("BIASSEC", says, 1, 2))
    readouts = Sinistro().layout(read_header(path)).readouts
    assert [readout.overscan is None for readout in readouts] == [False, True, True, False]


@pytest.mark.slow
@pytest.mark.parametrize("of", ["bias", "light"])
def test_overscans_that_only_some_kinds_of_frames_have_leave_no_level(tmp_path, of):
    """The level is in the master where bias frames have no overscan, and it gives it where science frames have none."""
    change = saying("BIASSEC", "N/A", 0, 1, 2, 3)
    calibrations(tmp_path, change=change if of == "bias" else None)
    science(tmp_path, frames=3, changes=dict.fromkeys(range(3), change) if of == "light" else None)
    result, said = reduced(tmp_path)
    sky = np.nanmedian(result.series.sky, axis=0)
    assert np.abs(sky - SKY).max() < 5 * 3 * 3.2  # the level wanders by 3 adu, the gain is 3.2 at most
    assert not [line for line in said if "pedestal" in line or "bias" in line]
    for star in range(1, 5):
        flux, error = flux_of(result, star)
        assert abs(np.mean(flux) / FLUX[star] - 1) < 0.003 + 4 * np.median(error) / FLUX[star] / np.sqrt(3)


@pytest.mark.slow
def test_a_bias_frame_whose_overscan_is_missing_is_rejected_by_name(tmp_path):
    calibrations(tmp_path, flats=0, biases=4)
    write(
        tmp_path / "bias_9.fits",
        "BIAS",
        np.zeros((SIZE, SIZE)),
        exposure=0.0,
        seed=9,
        change=saying("BIASSEC", "N/A", 1),
    )
    write(tmp_path / "light_0.fits", "EXPOSE", light())
    run = pl.reduce(tmp_path, Sinistro, **OPTIONS, until="masters")
    assert run.report.sets[0].masters.bias.inputs == tuple(f"bias_{i}.fits" for i in range(4))
    (why,) = [problem.why for problem in run.report.all_problems if problem.what == "bias_9.fits"]
    assert why.startswith("bias_9.fits: it has no overscan although the other bias frames have one")


# -- where amplifiers lie ------------------------------------------------------------------------------------


def test_a_row_that_was_not_read_is_masked(tmp_path):
    """Old frames: the upper amplifiers lack the row in the middle, and their sections say so."""

    def change(hdus):
        for number in (2, 3):
            hdus[number].header["DATASEC"] = f"[1:{HALF},2:{HALF}]"
        hdus[2].header["DETSEC"] = "[256:129,256:130]"
        hdus[3].header["DETSEC"] = "[1:128,256:130]"

    frame = trimmed(write(tmp_path / "a.fits", "EXPOSE", light(), change=change))
    assert np.flatnonzero((frame.mask == MaskBit.BAD).all(axis=1)).tolist() == [HALF]
    assert not np.delete(frame.mask, HALF, axis=0).any()
    assert abs(np.median(frame.data[HALF + 1 :] - light()[HALF + 1 :])) < 1


def binned_hdu(detsec):
    """The image of an amplifier, 2 x 2 binned, with that DETSEC."""
    raw = np.zeros((HALF, HALF), np.uint16)
    cards = {
        "GAIN": 1.0,
        "RDNOISE": 5.0,
        "SATURATE": 60000,
        "DATASEC": f"[1:{HALF},1:{HALF}]",
        "DETSEC": detsec,
    }
    return fits.ImageHDU(raw, fits.Header(cards))


@pytest.mark.parametrize(
    ("detsecs", "place"),
    [
        (("[1:256,1:256]", "[512:257,1:256]"), 128),  # unbinned
        (("[1:128,1:128]", "[256:129,1:128]"), 128),  # as the frame is
        (("[1:256,1:256]", "[514:259,1:256]"), 129),  # two columns between them
        (("[1:257,1:257]", "[514:258,1:257]"), 129),  # an odd row and column are not read
    ],
)
def test_binned_sections_are_of_the_detector_or_of_the_file(tmp_path, detsecs, place):
    primary = {"OBSTYPE": "EXPOSE", "EXPTIME": 60.0, "CCDSUM": "2 2", "DATE-OBS": "2024-03-10T02:00:00"}
    hdus = [fits.PrimaryHDU(header=fits.Header(primary)), *map(binned_hdu, detsecs)]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    layout = Sinistro().layout(read_header(tmp_path / "a.fits"))
    assert [readout.x0 for readout in layout.readouts] == [0, place]
    assert layout.shape == (HALF, place + HALF)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (saying("DETSEC", None, 2), "a.fits: no DETSEC card in HDU 3; the frame is rejected"),
        (saying("DETSEC", "UNKNOWN", 2), "a.fits: no DETSEC card in HDU 3; the frame is rejected"),
        (saying("DETSEC", "1:128", 0), "a.fits: DETSEC in HDU 1: the section '1:128' is not of the form"),
        (
            saying("DETSEC", "[1:128,1:128]", 1),
            "a.fits: DETSEC = [1:128,1:128] of HDU 1 and DETSEC = [1:128,1:128] of HDU 2 are of the same pixels",
        ),
        (
            saying("DETSEC", "[1:100,1:128]", 0),
            "a.fits: DETSEC = [1:100,1:128] in HDU 1 is smaller than the data section of 128 x 128 pixels",
        ),
    ],
)
def test_a_place_that_cannot_be_is_said_when_the_night_is_scanned(tmp_path, change, sentence):
    write(tmp_path / "a.fits", "EXPOSE", light(), change=change)
    (row,) = scan(tmp_path, Sinistro()).rows
    assert row.status == "rejected"
    assert row.reason.startswith(sentence)


def test_amplifiers_are_declared_in_one_way():
    camera = replace(Sinistro.cameras[0], amplifiers=(Amplifier(hdu=1, x0=0, y0=0),))
    with pytest.raises(DeclarationError, match="amplifiers and placed_by of camera fa15"):
        type("Twice", (Sinistro,), {"name": "TWICE", "cameras": (camera,)})
    with pytest.raises(DeclarationError, match=r"placed_by = 'DETSEC'; give Keyword\('DETSEC'\)"):
        replace(Sinistro.cameras[0], placed_by="DETSEC")


# -- a lost amplifier ----------------------------------------------------------------------------------------


def without(*numbers):
    def change(hdus):
        for number in sorted(numbers, reverse=True):
            hdus.pop(number)

    return change


def test_a_frame_that_lacks_an_amplifier_is_one_of_its_observation(tmp_path):
    for i in range(3):
        change = without(2) if i == 1 else None
        write(tmp_path / f"light_{i}.fits", "EXPOSE", light(), seconds=90 * i, seed=i, change=change)
    (observed,) = scan(tmp_path, Sinistro()).sets()
    assert [len(info.notes) for info in observed.frames] == [0, 1, 0]
    assert observed.frames[1].notes == (
        "file: only 3 of 4 amplifiers are in it: columns 129:256, rows 129:256 of the image are missing and masked; the"
        " rest is measured",
    )
    frame = Trim()(observed.frames[1], Setup(Sinistro()))
    assert frame.data.shape == (SIZE, SIZE)
    assert (frame.mask[HALF:, HALF:] == MaskBit.BAD).all()
    frame.mask[HALF:, HALF:] = 0
    assert not frame.mask.any()
    assert abs(np.median((frame.data - light())[:HALF])) < 1


def test_where_the_amplifiers_at_an_edge_are_lost_the_rest_keeps_its_place(tmp_path):
    for i in range(3):
        change = without(0, 3) if i == 1 else None
        write(tmp_path / f"light_{i}.fits", "EXPOSE", light(), seconds=90 * i, seed=i, change=change)
    (observed,) = scan(tmp_path, Sinistro()).sets()
    frame = Trim()(observed.frames[1], Setup(Sinistro()))
    assert (frame.mask[:, :HALF] == MaskBit.BAD).all() and not frame.mask[:, HALF:].any()
    assert abs(np.median((frame.data - light())[:, HALF:])) < 1


@pytest.mark.slow
def test_the_target_is_measured_in_what_is_left_of_a_frame(tmp_path):
    """Frame 3 lacks an amplifier of comparison stars, frame 4 that of the target."""
    calibrations(tmp_path)
    dip = [1, 1, 1, 0.95, 0.95, 0.95, 1, 1]
    science(tmp_path, dip=dip, changes={3: without(2), 4: without(0)})
    result, said = reduced(tmp_path)
    flux, error = flux_of(result, TARGET)
    kept = np.delete(np.arange(8), 4)
    assert (np.abs(flux / FLUX[TARGET] - dip)[kept] < 0.004 + 4 * error[kept] / FLUX[TARGET]).all()
    curve = result.light_curve
    at = {frame: number for number, frame in enumerate(result.series.frames)}
    normal = curve.flux / np.nanmedian(curve.flux[[0, 1, 2, 6, 7]])
    assert normal[at["light_3.fits"]] == pytest.approx(0.95, abs=0.012)
    lost = at["light_4.fits"]
    assert not np.isfinite(curve.flux[lost]) or curve.flags[lost] & (256 << 8)
    assert len([line for line in said if "amplifiers are in it" in line]) >= 1


def test_a_frame_of_fewer_amplifiers_is_a_mode_where_all_are_so(tmp_path):
    calibrations(tmp_path, biases=1, flats=0)
    for i in range(2):
        write(tmp_path / f"light_{i}.fits", "EXPOSE", light(), seconds=90 * i, seed=i, change=without(0, 3))
    (observed,) = scan(tmp_path, Sinistro()).sets()
    assert not any(info.notes for info in observed.frames)
    assert observed.frames[0].window == (HALF, 0, HALF, SIZE)
    assert observed.biases[0].cut == (HALF, 0, HALF, SIZE)


def test_a_calibration_frame_that_lacks_an_amplifier_serves_nothing_and_says_so(tmp_path):
    write(tmp_path / "light_0.fits", "EXPOSE", light())
    write(tmp_path / "bias_0.fits", "BIAS", np.zeros((SIZE, SIZE)), exposure=0.0, change=without(1))
    night = scan(tmp_path, Sinistro())
    (row,) = [row for row in night.rows if row.file == "bias_0.fits"]
    assert not night.sets()[0].biases
    assert row.reason == (
        "fits no science frame: it holds columns 1:256, rows 1:256 of fa15, the science frames columns 1:256, rows"
        " 1:256, and an amplifier is missing in it"
    )


# -- regions -------------------------------------------------------------------------------------------------


def central(hdus):
    """The central half of the rows alone."""
    for amp, hdu in zip(AMPS, hdus, strict=True):
        hdu.data = hdu.data[HALF // 2 + amp.top : HALF + amp.top]
        hdu.header["DATASEC"] = f"[1:{HALF},1:{HALF // 2}]"
        hdu.header["BIASSEC"] = f"[131:160,1:{HALF // 2}]"
        columns = amp.detsec.partition(",")[0]
        hdu.header["DETSEC"] = f"{columns},192:129]" if amp.top else f"{columns},65:128]"


@pytest.mark.slow
def test_calibrations_of_the_whole_detector_serve_a_region_as_its_own_do(tmp_path):
    changes = dict.fromkeys(range(6), central)
    curves = []
    for name, change in (("whole", None), ("own", central)):
        folder = tmp_path / name
        folder.mkdir()
        calibrations(folder, change=change)
        flats = sorted(folder.glob("flat_*"))
        if change is not None:
            for path in flats:
                crop(path)
        science(folder, frames=6, changes=changes)
        result, said = reduced(folder, target_xy="60.4,5.9")
        assert not [line for line in said if "not bias-subtracted" in line or "not flat-fielded" in line]
        curves.append(result)
    one, other = curves
    np.testing.assert_allclose(one.series.reference_xy, other.series.reference_xy, atol=0.02)
    ratio = one.series.flux / other.series.flux
    assert np.nanmax(np.abs(ratio[:, :, 14] - 1)) < 0.002  # the polynomial through the overscan differs


def crop(path):
    """A file of the whole detector as one of the central rows."""
    with fits.open(path, lazy_load_hdus=False) as hdus:
        amplifiers = [fits.ImageHDU(hdu.data.copy(), hdu.header.copy()) for hdu in hdus[1:]]
        primary = fits.PrimaryHDU(header=hdus[0].header)
    central(amplifiers)
    fits.HDUList([primary, *amplifiers]).writeto(path, overwrite=True)


def test_observations_that_differ_in_their_region_are_told_apart(tmp_path):
    for i in range(2):
        write(tmp_path / f"a_{i}.fits", "EXPOSE", light(), seconds=90 * i, seed=i)
        write(tmp_path / f"b_{i}.fits", "EXPOSE", light(), seconds=300 + 90 * i, seed=i, change=central)
    sets = scan(tmp_path, Sinistro()).sets()
    assert sorted(observed.name for observed in sets) == [
        "WASP-0, fa15 rp (columns 1:256, rows 1:256)",
        "WASP-0, fa15 rp (columns 1:256, rows 65:192)",
    ]
    assert len({observed.folder for observed in sets}) == 2


def test_an_amplifier_does_not_serve_the_pixels_of_another():
    """Of one quadrant mirrored otherwise, or of two read through one."""
    two = info_of(((0, 0, 10, 10, 0), (10, 0, 10, 10, 1)))
    assert holds(two, two)
    assert holds(info_of(((0, 0, 10, 10, 0), (10, 0, 10, 10, 1))), info_of(((0, 5, 10, 2, 0),)))
    assert not holds(info_of(((0, 0, 10, 10, 0), (10, 0, 10, 10, 0))), two)
    assert not holds(info_of(((0, 0, 20, 10, 0),)), info_of(((0, 0, 10, 10, 0), (10, 0, 10, 10, 0))))
    assert holds(info_of(((0, 0, 20, 10, 0),)), info_of(((0, 0, 20, 3, 0), (0, 5, 20, 3, 0))))


def info_of(tiles):
    kind, exposure = FrameKind.BIAS, 0 * u.s
    return FrameInfo(Path("a.fits"), kind, "fa15", "", "", (1, 1), exposure, None, (10, 10), tiles=tiles)


@pytest.mark.parametrize("says", ["N/A", "UNKNOWN", "[0:0,0:0]"])
def test_an_image_without_its_data_section_is_not_taken_whole(tmp_path, says):
    write(tmp_path / "a.fits", "EXPOSE", light(), change=saying("DATASEC", says, 1))
    (row,) = scan(tmp_path, Sinistro()).rows
    assert row.reason == "a.fits: DATASEC says of HDU 2 that it has no data section; the frame is rejected"


def test_the_images_of_a_camera_that_declares_no_amplifiers_are_counted(tmp_path):
    camera = replace(Sinistro.cameras[0], placed_by=None)
    plain = type("Single", (Sinistro,), {"name": "SINGLE", "cameras": (camera,)})
    (info,) = plain().describe(read_header(write(tmp_path / "a.fits", "EXPOSE", light())))
    assert info.notes[0].startswith("file: 4 images: HDU 1 (SCI, 160 x 129 pixels) is used")
    assert "`placed_by` to put them together" in info.notes[0]


def test_a_master_tells_which_part_of_the_detector_it_is_of():
    """So that one of another region of the same size is not borrowed."""
    whole = replace(info_of(((0, 0, 10, 10, 0),)), window=(0, 0, 10, 10), readout="slow")
    assert mode_in_words(whole) == "slow, columns 1:10, rows 1:10"
    assert mode_in_words(replace(whole, cut=(0, 4, 10, 2))) == "slow, columns 1:10, rows 5:6"
    region = replace(whole, kind=FrameKind.SCIENCE, window=(0, 4, 10, 2))
    assert mode_in_words(region) == "slow, columns 1:10, rows 5:6"
    assert mode_in_words(replace(region, cut=(0, -1, 10, 4))) == mode_in_words(
        region
    )  # it lacks an amplifier
    plain = replace(whole, tiles=(), window=None)
    assert mode_in_words(plain) == mode_in_words(replace(plain, window=(0, 0, 10, 10))) == "slow"
    assert mode_in_words(replace(plain, cut=(2, 4, 3, 3))) == "slow, columns 3:5, rows 5:7"
