import os
import signal
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
from plain import STARTED, Plain, cards, noise, write

from potpyri_like.night import scan

MANY = 20_000


class Uneven(Plain):
    """A camera whose planes are not evenly spaced."""

    name = "UNEVEN"

    def plane_time(self, header, exposure, plane):
        return self.mid_time(header, exposure) + plane**2 * exposure


def cube(path, planes, *, exposure=1.0, side=96, **more):
    """Planes of zeros, that take no place on the disk."""
    header = cards(exposure=exposure, seconds=1800.0, **more)
    head = write(path, np.zeros((2, side, side), np.uint8), header).read_bytes()[:2880]
    path.write_bytes(head.replace(b"NAXIS3  =                    2", f"NAXIS3  = {planes:>20d}".encode()))
    os.truncate(path, 2880 + -(-side * side * planes // 2880) * 2880)
    return path


def seconds(infos):
    return np.array([(info.mid_time - STARTED).sec for info in infos]) - 1800


@pytest.mark.parametrize("planes", [2, 11, 12, 13, 200])
@pytest.mark.parametrize("kct", [None, 1.5])
def test_each_plane_has_the_time_of_its_own(tmp_path, planes, kct):
    cube(tmp_path / "a.fits", planes, side=4, **({} if kct is None else {"KCT": kct}))
    infos = scan(tmp_path, Plain()).frames
    np.testing.assert_allclose(seconds(infos), 0.5 + np.arange(planes) * (kct or 1.0), atol=1e-6)


@pytest.mark.parametrize("planes", [5, 60])
def test_planes_that_are_not_evenly_spaced_have_the_times_that_their_camera_gives(tmp_path, planes):
    cube(tmp_path / "a.fits", planes, side=4)
    infos = scan(tmp_path, Uneven()).frames
    np.testing.assert_allclose(seconds(infos), 0.5 + np.arange(planes) ** 2, atol=1e-6)


def honest(folder, number=8):
    for i in range(number):
        write(folder / f"light_{i}.fits", noise(seed=i), cards(seconds=70 * i))


def test_one_cube_of_another_size_does_not_outvote_the_files_of_a_night(tmp_path):
    honest(tmp_path)
    cube(tmp_path / "cube.fits", 40)
    scanned = scan(tmp_path, Plain())
    assert len(scanned.frames) == 8 and len(scanned.rejected) == 40
    assert "96 x 96 pixels, whereas 8 others" in scanned.rejected[0].reason


def test_one_frame_of_another_size_does_not_outvote_a_cube(tmp_path):
    honest(tmp_path, 1)
    cube(tmp_path / "cube.fits", 40)
    assert len(scan(tmp_path, Plain()).frames) == 40


@pytest.mark.slow
def test_a_cube_of_twenty_thousand_planes_is_described_in_seconds_and_bounded_memory(tmp_path):
    honest(tmp_path)
    cube(tmp_path / "cube.fits", MANY)
    scan(tmp_path, Plain())
    tracemalloc.start()
    begun = time.process_time()
    scanned = scan(tmp_path, Plain())
    used, peak = time.process_time() - begun, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(scanned.rows) == MANY + 8 and len(scanned.frames) == 8
    assert used < 60 and peak < 2**28, (used, peak)  # 5 s without the tracing of memory


@pytest.mark.slow
def test_ctrl_c_ends_the_description_of_many_planes_at_once(tmp_path):
    for i in range(10):
        cube(tmp_path / f"cube_{i}.fits", MANY)
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from plain import Plain\nfrom pathlib import Path\nfrom potpyri_like.night import scan\n"
        "print('begun', flush=True)\nscan(Path(sys.argv[1]), Plain())"
    )
    words = [sys.executable, "-c", code, str(tmp_path), os.path.dirname(__file__)]  # noqa: PTH120
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "begun\n"
        time.sleep(2)
        begun = time.monotonic()
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=60)
    assert running.returncode and "KeyboardInterrupt" in told and time.monotonic() - begun < 5
