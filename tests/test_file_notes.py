import numpy as np
import pytest
from astropy.io import fits
from plain import Plain, cards, noise, plain_with

from potpyri_like.errors import DeclarationError
from potpyri_like.instruments import Amplifier
from potpyri_like.night import scan
from potpyri_like.options import Options
from potpyri_like.run.report import report_of

SMALL, LARGE = (10, 12), (40, 48)


def mosaic(path, *images, seconds=0.0):
    """A file of some images, each a shape and a name; the cards are in the primary header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    units = [fits.ImageHDU(noise(shape, seed=i), name=name) for i, (shape, name) in enumerate(images)]
    fits.HDUList([fits.PrimaryHDU(header=cards(seconds=seconds)), *units]).writeto(path)
    return path


def described(folder, instrument=Plain):
    (row,) = scan(folder, instrument()).rows
    assert row.info is not None, row.reason
    return row.info


@pytest.mark.parametrize(
    "images",
    [
        [(LARGE, "")],
        [(LARGE, "SCI"), (LARGE, "BPM"), (LARGE, "ERR")],
        [(LARGE, "WEIGHT"), (LARGE, "SCI"), (SMALL, "PREVIEW")],
        [((80, 96), "DQ"), (LARGE, "")],
    ],
    ids=str,
)
def test_an_image_beside_planes_that_are_named_for_something_else_needs_no_word(tmp_path, images):
    mosaic(tmp_path / "a.fits", *images)
    info = described(tmp_path)
    assert info.shape == LARGE and info.notes == ()


def test_a_preview_is_not_the_image_and_is_noted(tmp_path):
    mosaic(tmp_path / "a.fits", (SMALL, ""), (LARGE, ""))
    info = described(tmp_path)
    assert info.shape == LARGE
    assert info.notes == ("image: HDU 2 (48 x 40 pixels) is used; HDU 1 (12 x 10 pixels) is a preview of it",)


@pytest.mark.parametrize(
    ("images", "used", "others"),
    [
        (
            [(LARGE, "SCI"), (LARGE, "SCI")],
            "HDU 1 (SCI, 48 x 40 pixels) is used",
            "HDU 2 (SCI, 48 x 40 pixels) not",
        ),
        ([((20, 20), ""), ((20, 24), "")], "HDU 2 (24 x 20 pixels) is used", "HDU 1 (20 x 20 pixels) not"),
        (
            [((9, 30), "ROI1"), (LARGE, "ROI2")],
            "HDU 2 (ROI2, 48 x 40 pixels) is used",
            "HDU 1 (ROI1, 30 x 9 pixels) not",
        ),
    ],
)
def test_two_images_or_windows_in_one_file_are_said(tmp_path, images, used, others):
    mosaic(tmp_path / "a.fits", *images)
    (note,) = described(tmp_path).notes
    assert note.startswith("file: 2 images: ") and used in note and others in note


def test_what_is_said_of_many_files_is_one_line_with_their_number(tmp_path):
    for i in range(5):
        mosaic(tmp_path / f"a_{i}.fits", (LARGE, "SCI"), (LARGE, "SCI"), seconds=100 * i)
    said = report_of(scan(tmp_path, Plain()), [], Options()).problems
    (problem,) = [problem for problem in said if "images" in problem.why]
    assert problem.what == "a_0.fits and 4 more" and str(problem.grade) == "note"


@pytest.mark.parametrize("image", [1, "window", "WINDOW"])
def test_the_image_that_a_camera_declares_is_used_without_a_word(tmp_path, image):
    mosaic(tmp_path / "a.fits", (SMALL, "WINDOW"), (LARGE, "SCI"))
    info = described(tmp_path, plain_with(image=image))
    assert info.shape == SMALL and info.notes == ()


def test_a_declared_image_that_is_not_there_is_named_with_those_that_are(tmp_path):
    mosaic(tmp_path / "a.fits", (LARGE, "SCI"))
    (row,) = scan(tmp_path, plain_with(image="RAW")()).rows
    assert (
        row.reason.startswith("a.fits: no image in HDU RAW") and "HDU 1 (SCI, 48 x 40 pixels)" in row.reason
    )


def test_images_that_are_amplifiers_need_no_word(tmp_path):
    mosaic(tmp_path / "a.fits", (LARGE, ""), (LARGE, ""))
    two = (Amplifier(hdu=1, x0=0, y0=0), Amplifier(hdu=2, x0=48, y0=0))
    assert described(tmp_path, plain_with(amplifiers=two)).notes == ()


@pytest.mark.parametrize("image", [1.5, True, ("SCI",)])
def test_an_image_that_is_no_hdu_is_an_error(image):
    with pytest.raises(DeclarationError, match="give the number or the EXTNAME of an HDU"):
        plain_with(image=image)


def test_a_file_whose_only_image_has_no_pixels_is_rejected(tmp_path):
    header = fits.Header([("SIMPLE", True), ("BITPIX", 16), ("NAXIS", 2), ("NAXIS1", 0), ("NAXIS2", 0)])
    header.update(cards())
    (tmp_path / "a.fits").write_bytes(header.tostring().encode())
    (row,) = scan(tmp_path, Plain()).rows
    assert row.reason == "a.fits: an image without pixels, (0, 0); the file is rejected"
    assert np.prod((0, 0)) == 0
