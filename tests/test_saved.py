"""Calibrated frames that are saved, and read again instead of being calibrated again."""

import gzip
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import fields, replace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from small_night import OF_THE_RUN, digests, run, run_json, small_night

from potpyri_like.encoding import encode
from potpyri_like.errors import ProductError
from potpyri_like.frame import Frame, FrameInfo, FrameKind
from potpyri_like.imaging import Pixels
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.night import scan
from potpyri_like.options import Options
from potpyri_like.primitives import saved
from potpyri_like.primitives.saved import (
    SAVABLE,
    SavedImage,
    error_plane,
    image_hdus,
    names_of,
    pixels_in,
    variance_plane,
)
from potpyri_like.primitives.stage import Setup
from potpyri_like.primitives.trim import Trim
from potpyri_like.run import output
from potpyri_like.run.journal import sealed
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.run.verify import verify_night
from potpyri_like.run.workers import Pool
from potpyri_like.store import Output, read_header, sha256

pytestmark = pytest.mark.slow  # whole nights

CALIBRATION = {"Trim", "FilterPixels", "Calibrate"}
FRAMES = "WASP-0/r/frames"
N = 6


def bits(plane):
    return plane.view(f"u{plane.dtype.itemsize}")


# -- planes and names ----------------------------------------------------------------------------------------


def test_a_variance_comes_back_from_its_error_bit_for_bit():
    rng = np.random.default_rng(3)
    variance = np.abs(10 ** rng.uniform(-37, 37, 100_000)).astype(np.float32)
    variance[:5] = 0, np.inf, 1, np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal
    error = error_plane(variance)
    assert (bits(variance_plane(error)) == bits(variance)).all()
    assert (variance_plane(error.astype(np.float32)) != variance).mean() > 0.1, "float32 would not do"
    assert error[2] == 1 and np.allclose(error[5:], np.sqrt(variance[5:], dtype=float), rtol=1e-8)


def info_of(path, **changes):
    known = FrameInfo(
        path, FrameKind.SCIENCE, "C1", "g", "WASP-0", (1, 1), 30 * u.s, None, (40, 50), inside=path.name
    )
    return replace(known, **changes)


@pytest.fixture
def frame(tmp_path):
    """A frame with all kinds of pixels, and its raw file."""
    header = fits.Header({"OBJECT": "WASP-0", "FILTER": "g", "NEXTEND": 0})
    header["HISTORY"] = "taken in a storm"
    raw = np.arange(2000, dtype=np.uint16).reshape(40, 50)
    fits.PrimaryHDU(raw, header).writeto(tmp_path / "a.fits")
    rng = np.random.default_rng(1)
    data = rng.normal(100, 30, (40, 50)).astype(np.float32)
    mask = rng.integers(0, 256, data.shape).astype(np.uint16)
    pixels = Pixels(data, (data**2 + 1).astype(np.float32), mask)
    stages = ("trimmed", "calibrated with a dark")
    return Frame(pixels, info_of(tmp_path / "a.fits"), covariance=1.2345678901234567, stages=stages)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_planes_come_back_bit_for_bit_and_in_their_types(frame, tmp_path, kind):
    raw = read_header(frame.info.path)
    bits_of_mask = frame.mask.astype(kind) << (8 if kind is np.uint16 else 0)
    frame = replace(frame, pixels=Pixels(frame.data, frame.variance, bits_of_mask))
    hdus = image_hdus(frame, raw)
    hdus.writeto(tmp_path / "b.fits.fz")
    pixels = pixels_in((tmp_path / "b.fits.fz").read_bytes())
    assert pixels.data.dtype == pixels.variance.dtype == np.float32 and pixels.mask.dtype == kind
    assert (bits(pixels.data) == bits(frame.data)).all()
    assert (bits(pixels.variance) == bits(frame.variance)).all()
    assert (pixels.mask == bits_of_mask).all()


def test_the_planes_are_packed_as_astropy_packs_them(frame, tmp_path):
    image_hdus(frame, read_header(frame.info.path)).writeto(tmp_path / "b.fits.fz")
    plain = {"compression_type": "GZIP_2", "quantize_level": 0.0, "tile_shape": frame.data.shape}
    theirs = fits.CompImageHDU(frame.data, name="SCI", **plain)
    fits.HDUList([fits.PrimaryHDU(), theirs]).writeto(tmp_path / "c.fits.fz")
    ours, theirs = (
        fits.open(tmp_path / name, disable_image_compression=True) for name in ("b.fits.fz", "c.fits.fz")
    )
    with ours, theirs:
        cards = [card for card in theirs[1].header if card not in ("PCOUNT", "TFORM1", "ZNAME1", "ZVAL1")]
        assert {card: ours[1].header[card] for card in cards} == {
            card: theirs[1].header[card] for card in cards
        }
        packed = (bytes(hdus[1].data["COMPRESSED_DATA"][0]) for hdus in (ours, theirs))
        assert len({gzip.decompress(content) for content in packed}) == 1


def test_the_raw_header_is_kept_and_what_was_done_is_told(frame):
    hdus = image_hdus(frame, read_header(frame.info.path))
    assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "MASK", "ERR"]
    raw, header = hdus[0].header, hdus["SCI"].header
    assert (raw["OBJECT"], raw["FILTER"], list(raw["HISTORY"])) == ("WASP-0", "g", ["taken in a storm"])
    assert "NEXTEND" not in raw and "BZERO" not in raw
    assert list(header["HISTORY"]) == ["trimmed", "calibrated with a dark"]
    assert (header["BUNIT"], header["EXPTIME"], header["RAWFILE"]) == ("electron", 30.0, "a.fits")


def test_a_card_that_is_no_fits_does_not_keep_a_frame_from_being_saved(frame, tmp_path):
    content = bytearray(frame.info.path.read_bytes())
    place = content.index(b"FILTER  = 'g       '")
    content[place : place + 20] = b"FILTER  = 'g        "
    frame.info.path.write_bytes(content)
    image_hdus(frame, read_header(frame.info.path)).writeto(tmp_path / "b.fits.fz")
    assert fits.getheader(tmp_path / "b.fits.fz")["OBJECT"] == "WASP-0"


def test_a_frame_is_written_with_the_same_bytes_at_any_time(frame, tmp_path, monkeypatch):
    image = SavedImage("Calibrate", "frames/a.fits.fz", Output(tmp_path))
    image.written(frame)
    first = sha256(tmp_path / image.name)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1000)
    image.written(frame)
    assert sha256(tmp_path / image.name) == first
    with fits.open(tmp_path / image.name, checksum=True) as hdus:  # a wrong one is a warning, and so an error
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "MASK", "ERR"]


def test_what_cannot_be_remembered_exactly_is_told_apart(frame, tmp_path):
    found = frame.after("x", plain=1.5, level=np.float32(2), pair=(1, "a"), more={"a": 1.0}, other=object())
    names = frozenset(found.results) - {"plain"}
    image = SavedImage("Calibrate", "a.fits.fz", Output(tmp_path), gives=names).written(found)
    assert image.results == {"pair": (1, "a"), "more": {"a": 1.0}}
    assert set(image.lost) == {"level", "other"}, "a NumPy number would come back as one of Python's"


def test_a_file_is_read_only_as_it_was_written(frame, tmp_path):
    image = SavedImage("Calibrate", "frames/a.fits.fz", Output(tmp_path)).written(frame)
    path = tmp_path / image.name
    again = replace(image, digest=sha256(path))
    back = again.read(frame.info, Opticam())
    assert (back.data == frame.data).all()
    assert all(
        getattr(back, item.name) == getattr(frame, item.name)
        for item in fields(Frame)
        if item.name != "pixels"
    )
    content = bytearray(path.read_bytes())
    content[-3000] ^= 1
    path.write_bytes(content)
    assert again.read(frame.info, Opticam()) is None
    path.unlink()
    assert again.read(frame.info, Opticam()) is None


def test_a_wcs_comes_back_to_the_last_bit(tmp_path):
    small_night(tmp_path / "night", frames=1)
    (path,) = (tmp_path / "night").rglob("*_r_0001.fits")
    third = 1e-4 / 3  # with more digits than a header that is written by wcslib has
    tan = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 153.1 + third, "CRVAL2": 16 + third}
    tan |= {"CRPIX1": 100.0, "CRPIX2": 90.0, "CD1_1": -third, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": third}
    with fits.open(path, mode="update") as hdus:
        hdus[0].header.update(tan)
    (observed,) = scan(tmp_path / "night", Opticam()).sets()
    frame = Trim()(observed.frames[0], Setup(Opticam()))
    image = SavedImage("Trim", "a.fits.fz", Output(tmp_path / "red")).written(frame)
    again = replace(image, digest=sha256(tmp_path / "red" / image.name)).read(frame.info, Opticam())
    x, y = np.linspace(0, 255, 40), np.linspace(255, 0, 40)
    wanted = frame.wcs.pixel_to_world_values(x, y)
    assert np.array_equal(again.wcs.pixel_to_world_values(x, y), wanted)
    shown = WCS(fits.getheader(tmp_path / "red" / image.name, "SCI")).pixel_to_world_values(x, y)
    assert np.allclose(shown, wanted, rtol=0, atol=1e-9) and not np.array_equal(shown, wanted)


def test_each_frame_has_a_name_of_its_own(tmp_path):
    def names(*labels, **more):
        infos = [info_of(tmp_path / "x.fits", inside=label, **more) for label in labels]
        return list(names_of(infos, "WASP-0/g/frames").values())

    assert names("C1/a.fits.gz", "b.fit") == [f"WASP-0/g/frames/{name}.fits.fz" for name in "ab"]
    assert names("cube.fits", plane=3) == ["WASP-0/g/frames/cube_0003.fits.fz"]
    assert names("ré su\\mé.fits") == ["WASP-0/g/frames/r__su_m_.fits.fz"]
    assert len(names("x" * 250 + ".fits", plane=7)[0].rpartition("/")[2]) < 255
    twice = names("one/a.fits", "two/A.fits", "b.fits")
    assert len({name.casefold() for name in twice}) == 3 and twice[2].endswith("/b.fits.fz")
    assert all(name.rpartition("/")[2].casefold().startswith("a_") for name in twice[:2])


# -- runs ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def without_figures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "draw", lambda pictures, runner: {})
        yield


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A night of six frames, not reduced, and the target's place."""
    folder = tmp_path_factory.mktemp("saved") / "night"
    truth = small_night(folder, frames=N)
    ((camera, (x, y)),) = truth.target_xy.items()
    return folder, f"{camera}:{x:.1f},{y:.1f}"


def reduced(folder, place, *, executor=None, **options):
    """How often each stage ran."""
    chosen = Options(target_xy=place, jobs=1, **options)
    report = reduce_night(Opticam(), folder, options=chosen, executor=executor)
    assert report.exit_status == 0, report.all_problems
    return report.timing.times


@pytest.fixture(scope="module")
def calibrated(raw, tmp_path_factory):
    """A copy of the night that was reduced until it was calibrated; not to be written to."""
    folder = tmp_path_factory.mktemp("calibrated") / "night"
    shutil.copytree(raw[0], folder)
    times = reduced(folder, raw[1], until="calibrate")
    assert times["save image"] == N and "Measure" not in times
    return folder


@pytest.fixture
def night(calibrated, tmp_path):
    """Another copy, to be written to."""
    shutil.copytree(calibrated, tmp_path / "night")
    return tmp_path / "night"


@pytest.fixture(scope="module")
def whole(raw, tmp_path_factory):
    """The products of a run that saves nothing."""
    folder = tmp_path_factory.mktemp("whole") / "night"
    shutil.copytree(raw[0], folder)
    reduced(folder, raw[1])
    assert not (folder / "red" / FRAMES).exists()
    return digests(folder / "red", without=(*OF_THE_RUN, ".journal"))


def products(folder):
    return digests(folder / "red", without=(*OF_THE_RUN, ".journal", FRAMES))


def files(folder):
    return sorted((folder / "red" / FRAMES).glob("*.fits.fz"))


def test_what_was_calibrated_is_not_calibrated_again_and_all_products_are_the_same(raw, night, whole):
    before = [sha256(path) for path in files(night)]
    assert len(before) == N
    times = reduced(night, raw[1])
    assert not CALIBRATION & set(times) and times["Measure"] == N
    assert products(night) == whole
    assert [sha256(path) for path in files(night)] == before
    listed = {item["file"]: item for item in run_json(night / "red")["products"]}
    name = f"{FRAMES}/{files(night)[2].name}"
    assert listed[name]["sha256"] == before[2]
    sources = [file for file in listed[name]["inputs"] if not file.startswith("cals/")]
    assert sources == [files(night)[2].name.removesuffix(".fz")]


def test_what_was_measured_in_a_frame_that_was_read_again_is_kept(raw, night):
    with closing(sqlite3.connect(night / "red" / ".journal" / "journal.sqlite")) as db:
        db.execute("DELETE FROM outcomes")  # as of frames at which no run has looked for a reference
        db.commit()
    times = reduced(night, raw[1])
    assert times["Measure"] == N and not CALIBRATION & set(times)
    assert "Measure" not in reduced(night, raw[1], aperture=2.0)


@pytest.mark.slow
def test_in_processes_too(raw, tmp_path, whole):
    shutil.copytree(raw[0], tmp_path / "night")
    pool = Pool(2)
    try:
        first = reduced(tmp_path / "night", raw[1], executor=pool, until="Calibrate")
        assert first["save image"] == N
        times = reduced(tmp_path / "night", raw[1], executor=pool)
    finally:
        pool.shutdown(cancel_futures=True)
    assert not CALIBRATION & set(times) and products(tmp_path / "night") == whole


@pytest.mark.slow
def test_on_a_cluster_too(raw, tmp_path, whole):
    pytest.importorskip("distributed")
    from potpyri_like.run.workers import Cluster

    shutil.copytree(raw[0], tmp_path / "night")
    cluster = Cluster("local", 2)
    try:
        assert reduced(tmp_path / "night", raw[1], executor=cluster, until="Calibrate")["save image"] == N
        times = reduced(tmp_path / "night", raw[1], executor=cluster)
    finally:
        cluster.shutdown(cancel_futures=True)
    assert not CALIBRATION & set(times) and products(tmp_path / "night") == whole


def test_a_second_run_until_there_reads_no_frame_and_a_new_frame_is_the_only_one_to_be_calibrated(raw, night):
    assert not CALIBRATION & set(reduced(night, raw[1], until="calibrate", stars=149))
    last = files(night)[-1]
    last.unlink()
    times = reduced(night, raw[1], until="calibrate", stars=148)
    assert times["save image"] == 1 and times["Calibrate"] <= 2 and last.exists()  # it may be the reference


@pytest.mark.slow
@pytest.mark.parametrize("how", ["tampered with", "gone", "a link"])
def test_a_saved_frame_that_is_not_as_it_was_written_is_calibrated_anew(raw, night, whole, tmp_path, how):
    path = files(night)[3]
    content = path.read_bytes()
    path.unlink()
    if how == "tampered with":
        path.write_bytes(content[:-3000] + bytes(3000))
    elif how == "a link":
        (tmp_path / "elsewhere").write_bytes(content)
        path.symlink_to(tmp_path / "elsewhere")
    again = reduced(night, raw[1])
    assert 1 <= again["Calibrate"] <= 3, "to be measured, to be shown, to be stacked"
    assert again["Measure"] == N and products(night) == whole
    times = reduced(night, raw[1], save="frames")
    assert times["save image"] == 1 and not path.is_symlink() and path.read_bytes() == content


def test_what_is_remembered_of_a_file_and_is_not_as_we_leave_it_is_not_believed(raw, night):
    with closing(sqlite3.connect(night / "red" / ".journal" / "journal.sqlite")) as db:
        forged = sealed(encode({"results": [], "did": 3}))
        db.execute("UPDATE products SET memo = ? WHERE name LIKE '%/frames/%'", (forged,))
        db.commit()
    times = reduced(night, raw[1], until="calibrate", stars=149)
    assert times["save image"] == N


@pytest.mark.slow
def test_frames_of_a_night_that_is_known_are_saved_where_they_are_asked_for(raw, calibrated, tmp_path):
    shutil.copytree(raw[0], tmp_path / "night")
    assert reduced(tmp_path / "night", raw[1])["Measure"] == N
    times = reduced(tmp_path / "night", raw[1], save="frames")
    assert times["save image"] == N and "Measure" not in times
    assert [p.read_bytes() for p in files(tmp_path / "night")] == [p.read_bytes() for p in files(calibrated)]


@pytest.mark.slow
def test_frames_calibrated_otherwise_are_not_taken_and_go(raw, night):
    times = reduced(night, raw[1], filter_="none")
    assert times["Calibrate"] >= N and "read saved image" not in times
    assert not files(night), "what the run does not give any more is removed"


@pytest.mark.slow
@pytest.mark.parametrize("every", [False, True])
def test_saved_frames_are_verified_by_calibrating_them_again(raw, night, every):
    checks = list(verify_night(Opticam(), night, every=every, seed=2))
    assert not [check for check in checks if check.wrong]
    assert {check.what: check.count for check in checks}["frames recomputed"] == N
    path = files(night)[0]
    path.write_bytes(path.read_bytes() + bytes(2880))
    wrong = [name for check in verify_night(Opticam(), night, every=every, seed=2) for name in check.wrong]
    assert wrong == [f"{FRAMES}/{path.name}: changed"]


@pytest.mark.slow
@pytest.mark.parametrize("every", [False, True])
def test_a_saved_frame_that_comes_out_otherwise_is_found(raw, night, every, monkeypatch):
    reduced(night, raw[1])
    real = saved.image_hdus

    def otherwise(frame, header):
        hdus = real(frame, header)
        hdus["SCI"].header["HISTORY"] = "otherwise"
        return hdus

    monkeypatch.setattr(saved, "image_hdus", otherwise)
    checks = list(verify_night(Opticam(), night, every=every, seed=2))
    wrong = {check.what: list(check.wrong) for check in checks if check.wrong}
    assert wrong == {"products recreated": [f"{FRAMES}/{path.name}" for path in files(night)]}


def test_a_frame_that_cannot_be_written_ends_the_run_with_one_sentence(raw, tmp_path, monkeypatch):
    shutil.copytree(raw[0], tmp_path / "night")
    write = Output.write

    def full(self, name, fill):
        if "/frames/" in name:
            raise ProductError(f"{self.root / name}: it cannot be written (No space left on device)")
        return write(self, name, fill)

    monkeypatch.setattr(Output, "write", full)
    done = run("OPTICAM", tmp_path / "night", "--until", "calibrate", "--jobs", 1, "--target-xy", raw[1])
    assert done.status == 1 and done.err.splitlines()[-1].endswith("(No space left on device)")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--save", "pictures"), "--save pictures: give frames"),
        (
            ("--save", "frames", "--until", "Trim"),
            "--save frames: no stage of this run makes them; the stages are",
        ),
        (("--save", "-1"), "--save -1: give what to save, as in frames"),
    ],
)
def test_what_cannot_be_saved_is_told_before_anything_is_done(raw, tmp_path, words, said):
    done = run("OPTICAM", raw[0], "--out", tmp_path / "out", *words)
    assert done.status == 2 and said in done.err and not (tmp_path / "out").exists()


def test_the_last_lines_say_where_the_frames_are(raw, night):
    done = run("OPTICAM", night, "--until", "calibrate", "--jobs", 1, "--target-xy", raw[1])
    assert done.status == 0 and f"{N} saved images: {night / 'red' / FRAMES}\n" in done.out
    done = run("OPTICAM", night, "--filter", "none", "--jobs", 1, "--target-xy", raw[1], "--until", "Trim")
    assert "saved images" not in done.out


def test_the_help_names_all_that_can_be_saved():
    told = " ".join(run("OPTICAM", "--help").out.split())
    text = told[told.index("--save WHAT,...") :]
    assert all(kind in text[: text.index(" --stars")] for kind in SAVABLE)
