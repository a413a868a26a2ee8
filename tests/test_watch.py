import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from small_night import digests, run, run_json, small_night

from potpyri_like.errors import NightError, UsageError
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.night import scanning
from potpyri_like.options import Options
from potpyri_like.run import arrivals as arriving
from potpyri_like.run import jobs, memory, pipeline, runner, watch
from potpyri_like.run.arrivals import Arrivals
from potpyri_like.run.journal import Busy, Journal
from potpyri_like.run.live import Live, served
from potpyri_like.run.memory import standing
from potpyri_like.run.output import output_of
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.run.watch import watch_night
from potpyri_like.store import Output

TINY = {"cameras": ("C1", "C2"), "frames": 6, "size": (160, 160), "darks": 2, "flats": 2}
OF_THE_RUN = ("log/", "run.json", ".journal")
REFRESH = re.compile(r"<meta[^>]*http-equiv=.?refresh", re.IGNORECASE)


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    """A night of two cameras as it will have been, with its options."""
    truth = small_night(tmp_path_factory.mktemp("sky") / "night", **TINY)
    x, y = truth.target_xy["C1"]
    return truth.folder, Options(target_xy=f"C1:{x:.1f},{y:.1f}", jobs=1)


@pytest.fixture
def empty(tmp_path):
    (tmp_path / "night").mkdir()
    return tmp_path / "night"


@pytest.fixture
def hasty(monkeypatch):
    """A watch that looks often, and finds quiet what is still for 1.5 seconds."""
    monkeypatch.setattr(arriving, "POLL", 0.05)
    monkeypatch.setattr(arriving, "QUIET", 1.5)
    monkeypatch.setattr(arriving, "CADENCES", 0.0)


def science(folder, camera="C1"):
    return sorted(path for path in folder.glob(f"*_{camera}_?_*.fits"))


def calibrations(folder):
    return sorted(path for path in folder.glob("*.fits") if "dark" in path.name or "flat" in path.name)


def raw_file(path, value=1):
    fits.writeto(path, np.full((64, 64), value, "uint16"), overwrite=True)
    return path.read_bytes()


# -- files as they come --------------------------------------------------------------------------------------


@pytest.fixture
def arrivals(empty):
    return Arrivals(empty, empty / "red")


def test_a_file_counts_when_it_is_the_same_in_two_looks(empty, arrivals):
    path = empty / "a.fits"
    raw_file(path)
    assert arrivals.look() == () and list(arrivals.coming) == [path]
    assert arrivals.look() == (path,) and list(arrivals.whole) == [path] and not arrivals.coming
    assert arrivals.look() == ()


@pytest.mark.parametrize("length", [0, 100, 2880, 2881, 8000, 11000])
def test_a_file_that_is_shorter_than_its_header_says_is_waited_for(empty, arrivals, length):
    path = empty / "a.fits"
    content = raw_file(path)
    path.write_bytes(content[:length])
    for _ in range(4):
        assert arrivals.look() == ()
    assert list(arrivals.coming) == [path]
    path.write_bytes(content)
    assert [arrivals.look(), arrivals.look()] == [(), (path,)]


def test_a_file_that_never_becomes_whole_is_taken_as_it_is_after_a_while(empty, arrivals):
    (empty / "a.fits").write_bytes(b"no FITS file")
    arrivals.look()
    assert arrivals.look() == ()
    arrivals.patience = 0.0
    assert arrivals.look() == (empty / "a.fits",)


def test_a_file_that_is_renamed_into_place_counts_like_another(empty, arrivals):
    raw_file(empty / "a.fits.part")
    assert arrivals.look() == () and not arrivals.coming  # no raw file by its name
    (empty / "a.fits.part").rename(empty / "a.fits")
    assert [arrivals.look(), arrivals.look()] == [(), (empty / "a.fits",)]


def test_a_file_that_is_replaced_counts_no_more_until_it_is_whole_again(empty, arrivals):
    path = empty / "a.fits"
    raw_file(path)
    arrivals.look(), arrivals.look()
    content = raw_file(path, 2)
    path.write_bytes(content[:4000])
    assert arrivals.look() == () and not arrivals.whole
    path.write_bytes(content)
    assert [arrivals.look(), arrivals.look()] == [(), (path,)]


def test_a_file_that_goes_is_told(empty, arrivals):
    path = empty / "a.fits"
    raw_file(path)
    arrivals.look(), arrivals.look()
    path.unlink()
    assert arrivals.look() == (path,) and not arrivals.whole


def test_products_and_other_files_are_no_arrivals(empty, arrivals):
    (empty / "red/cals").mkdir(parents=True)
    raw_file(empty / "red/cals/master_dark.fits")
    raw_file(empty / ".hidden.fits")
    (empty / "notes.txt").write_text("clear")
    assert arrivals.look() == () and not arrivals.coming


def test_a_night_is_quiet_when_nothing_came_for_four_intervals(empty, arrivals, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(arriving.time, "monotonic", lambda: now[0])
    assert not arrivals.are_quiet()  # nothing has come at all
    for n in range(5):
        raw_file(empty / f"{n}.fits")
        arrivals.look()
        arrivals.look()
        now[0] += 30.0
    now[0] += 89.0
    assert not arrivals.are_quiet()
    now[0] += 2.0
    assert arrivals.are_quiet()
    (empty / "next.fits").write_bytes(b"")
    arrivals.look()
    assert not arrivals.are_quiet()  # one is on its way


def test_looking_takes_a_small_part_of_the_time(empty, arrivals, monkeypatch):
    listed = arriving.list_files
    monkeypatch.setattr(arriving, "list_files", lambda *what: time.sleep(0.2) or listed(*what))
    raw_file(empty / "a.fits")
    arrivals.look()
    assert arrivals.pause >= 2.0


# -- the server ----------------------------------------------------------------------------------------------


@pytest.fixture
def products(tmp_path):
    red = tmp_path / "night/red"
    for name, text in {
        "report.html": "the page",
        "WASP-0/g/lightcurve.png": "a figure",
        "report.txt": "no page",
        ".journal/journal.sqlite": "secret",
        "../raw.fits": "secret",
    }.items():
        (red / name).parent.mkdir(parents=True, exist_ok=True)
        (red / name).write_text(text)
    return red


def asked(address, path, method="GET"):
    """Status, headers and content of what a browser gets."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()


def test_the_page_is_served_and_loads_itself_again(products):
    with served(Output(products), 0) as address:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/report\.html", address)
        for path in ("/report.html", "/", "/report.html?again"):
            status, headers, content = asked(address, path)
            assert (status, content) == (200, "the page")
            assert headers["Refresh"] == "5" and headers["Cache-Control"] == "no-store"
        status, headers, content = asked(address, "/WASP-0/g/lightcurve.png")
        assert (status, content) == (200, "a figure") and "Refresh" not in headers
        assert asked(address, "/report.html", "HEAD")[0] == 200
    with pytest.raises(OSError):
        asked(address, "/")


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "/.journal/journal.sqlite",
        "/%2ejournal/journal.sqlite",
        "/%2Ejournal%2Fjournal.sqlite",
        "/WASP-0/../.journal/journal.sqlite",
        "/../raw.fits",
        "/%2e%2e/raw.fits",
        "/..%2fraw.fits",
        "//etc/passwd",
        "/WASP-0",
        "/WASP-0/",
        "/WASP-0%2f",
        "/.journal/",
        "/gone.html",
        "/report.html/",
        "/%00",
    ],
)
def test_the_server_gives_nothing_hidden_nothing_from_elsewhere_and_no_listings(products, path):
    with served(Output(products), 0) as address:
        status, _, content = asked(address, path)
    assert status == 404 and "secret" not in content and "lightcurve" not in content


def test_the_server_follows_no_link_and_gives_no_logs(products, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_text("a secret")
    (products / "precious.txt").symlink_to(outside / "precious.txt")
    (products / "album").symlink_to(outside)
    (products / "log").mkdir()
    (products / "log" / "reduce.log").write_text("a secret")
    os.mkfifo(products / "pipe.txt")
    with served(Output(products), 0) as address:
        for path in (
            "/precious.txt",
            "/album/precious.txt",
            "/album",
            "/log/reduce.log",
            "/pipe.txt",
            "/album/../precious.txt",
        ):
            status, _, content = asked(address, path)
            assert status == 404 and "secret" not in content, path
        assert asked(address, "/WASP-0/g/lightcurve.png")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_the_server_only_gives(products, method):
    with served(Output(products), 0) as address:
        assert asked(address, "/report.html", method)[0] == 501
    assert (products / "report.html").read_text() == "the page"


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="there is no list of sockets")
def test_the_server_is_seen_by_this_computer_only(products):
    with served(Output(products), 0) as address:
        port = f"{urlsplit(address).port:04X}"
        sockets = [
            line.split()[1]
            for table in ("/proc/net/tcp", "/proc/net/tcp6")
            if Path(table).exists()
            for line in Path(table).read_text().splitlines()[1:]
            if line.split()[1].endswith(f":{port}") and line.split()[3] == "0A"
        ]
    assert sockets == [f"0100007F:{port}"]  # 127.0.0.1


def test_a_port_that_is_taken_is_one_sentence(products):
    with served(Output(products), 0) as address:
        port = urlsplit(address).port
        ran = run("watch", "OPTICAM", products.parent, "--serve", port)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.splitlines() == [f"reduce: --serve {port}: Address already in use; give another port"]


# -- what cannot be watched ----------------------------------------------------------------------------------


def test_what_is_no_night_is_one_sentence_and_leaves_nothing(tmp_path, products):
    (products / "night.ecsv").write_text("")
    (products / "log").mkdir()
    (tmp_path / "file").write_text("")
    for folder, told in {
        tmp_path / "gone": "there is no such folder",
        tmp_path / "file": "it is a file, whereas a folder is expected",
        products: "contains products of an earlier run; give the folder of the raw frames",
    }.items():
        ran = run("watch", "OPTICAM", folder, "--idle", 1)
        assert (ran.status, ran.err) == (1, f"reduce: {folder}: {told}\n")
    ran = run("watch", "OPTICAM", tmp_path, "--out", tmp_path)
    assert ran.status == 2 and "that is the night itself" in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "night"]


def test_a_night_without_a_frame_ends_when_idle_and_leaves_nothing(empty, hasty):
    ran = run("watch", "OPTICAM", empty, "--idle", 0.005)
    assert ran.status == 1 and ran.err.splitlines()[-1] == f"reduce: {empty}: no frame arrived"
    assert re.match(r"\d\d:\d\d:\d\d UT  watching .*; press Ctrl-C to stop$", ran.err.splitlines()[0])
    assert not list(empty.iterdir())


@pytest.mark.slow
def test_while_another_run_is_at_work_there_is_no_watch(sky, empty, hasty):
    folder, options = sky
    shutil.copy(science(folder)[0], empty)
    output = output_of(empty, None)
    output.make()
    with Journal(output.root), pytest.raises(Busy):
        watch_night(Opticam(), empty, options=options, idle=1)


# -- a night -------------------------------------------------------------------------------------------------


class Camera(threading.Thread):
    """Does one thing after the other, while a night is watched."""

    def __init__(self, *steps):
        super().__init__(daemon=True)
        self.steps, self.error = steps, None

    def run(self):
        try:
            for step in self.steps:
                step()
        except BaseException as error:
            self.error = error
            raise


def put(path, folder):
    return lambda: shutil.copy(path, folder)


def pause(seconds):
    return lambda: time.sleep(seconds)


def written_slowly(path, folder, *, pieces=4, between=0.15):
    """The header first, then the pixels in pieces."""

    def write():
        content = path.read_bytes()
        ends = [2880 + n * (len(content) - 2880) // pieces for n in range(pieces + 1)]
        with (folder / path.name).open("wb") as file:
            for start, end in zip([0, *ends], ends, strict=False):
                file.write(content[start:end])
                file.flush()
                time.sleep(between)

    return write


def renamed(path, folder):
    def move():
        shutil.copy(path, folder / "new.part")
        (folder / "new.part").rename(folder / path.name)

    return move


def until(condition, seconds=60.0):
    """Wait for something to become true."""

    def wait():
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.05)

    return wait


def watched(folder, options, camera, *, idle=4.0, **more):
    """What the watch of a night came to, and what it said."""
    said = []
    camera.start()
    done = watch_night(Opticam(), folder, options=options, idle=idle, say=said.append, **more)
    camera.join(1)
    assert camera.error is None and not camera.is_alive()
    return done, said


def reduced_elsewhere(folder, options, where):
    """The products of the same raw files, reduced at once in another folder."""
    where.mkdir()
    for path in folder.glob("*.fits"):
        shutil.copy2(path, where)
    report = reduce_night(Opticam(), where, options=options)
    return report, digests(where / "red", without=OF_THE_RUN)


def curve_of(folder, name="WASP-0/g/lightcurve.ecsv"):
    return Table.read(folder / "red" / name, format="ascii.ecsv")


@pytest.mark.slow
def test_however_frames_come_the_final_state_is_that_of_a_run(sky, empty, hasty, tmp_path):
    folder, options = sky
    one, two = science(folder, "C1"), science(folder, "C2")
    early, late = calibrations(folder)[:4], calibrations(folder)[4:]
    seen = []

    def look():
        page = (empty / "red/report.html").read_text()
        seen.append((bool(REFRESH.search(page)), len(curve_of(empty))))

    camera = Camera(
        *(put(path, empty) for path in early),
        *(put(path, empty) for path in (*one[:2], two[0])),
        written_slowly(one[2], empty),
        renamed(two[1], empty),
        lambda: shutil.copy(one[5], empty / one[3].name),  # another frame under its name ...
        until((empty / "red/report.html").exists),
        until((empty / "red/WASP-0/g/lightcurve.ecsv").exists),
        look,
        put(one[3], empty),  # ... replaced
        *(written_slowly(path, empty, between=0.03) for path in (*two[2:], *one[4:])),
        *(put(path, empty) for path in late),
    )
    done, said = watched(empty, options, camera)
    assert seen[0][0] and 1 <= seen[0][1] < 6  # while it is live
    report, products = reduced_elsewhere(empty, options, tmp_path / "b")
    mine = digests(empty / "red", without=OF_THE_RUN)
    page = (empty / "red/report.html").read_text()
    assert not REFRESH.search(page)
    mine.pop("report.html"), products.pop("report.html")  # it has the name of the folder
    assert (
        mine == products and {"night.ecsv", "WASP-0/g/stack.fits", "WASP-0/r/lightcurve.png"} <= mine.keys()
    )
    assert done.exit_status == report.exit_status and done.measured == 12
    assert said[-1] == "all products are final"
    assert any(text.startswith("WASP-0: C1 g 6, C2 r 6; up to date ") for text in said)
    assert standing(Opticam(), empty, out=None, options=options) is not None


@pytest.mark.slow
def test_the_light_curve_and_the_page_follow_a_frame_within_seconds(sky, empty, hasty):
    folder, options = sky
    frames = science(folder)
    for path in frames[:4]:
        shutil.copy(path, empty)
    delays = []
    curve, page = (empty / "red" / name for name in ("WASP-0/g/lightcurve.ecsv", "report.html"))

    def one_more(n):
        def step():
            shutil.copy(frames[n - 1], empty)
            begun = time.time()
            until(lambda: len(curve_of(empty)) == n and page.stat().st_mtime > begun, 20)()
            delays.append(time.time() - begun)

        return step

    camera = Camera(until(lambda: curve.exists() and page.exists()), one_more(5), one_more(6))
    watched(empty, options, camera)
    assert max(delays) < 10  # 5 are wanted, of an idle machine; this one is not


@pytest.mark.slow
def test_a_frame_that_comes_during_the_final_state_is_taken_in(sky, empty, hasty, monkeypatch):
    folder, options = sky
    frames = science(folder)
    for path in frames[:5]:
        shutil.copy(path, empty)
    came = []

    class Late(runner.Silent):
        def say(self, what):
            if any("finalising" in text for text in said) and not came:
                came.append(shutil.copy(frames[5], empty))

    said = []
    done = watch_night(Opticam(), empty, options=options, idle=4, say=said.append, progress=Late())
    assert "new frames: continuing" in said and said[-1] == "all products are final"
    assert done.measured == 6 and len(curve_of(empty)) == 6


@pytest.mark.slow
def test_a_frame_that_comes_while_products_are_written_is_not_taken_for_reduced(sky, empty, monkeypatch):
    folder, options = sky
    frames = science(folder)
    for path in frames[:5]:
        shutil.copy(path, empty)
    record = pipeline.record

    def late(*what, **more):
        shutil.copy(frames[5], empty)
        record(*what, **more)

    monkeypatch.setattr(pipeline, "record", late)
    reduce_night(Opticam(), empty, options=options)
    assert standing(Opticam(), empty, out=None, options=options) is None


@pytest.mark.slow
def test_a_night_that_is_finished_stands_and_is_not_followed_again(sky, empty, hasty, monkeypatch):
    folder, options = sky
    for path in science(folder):
        shutil.copy(path, empty)
    report = reduce_night(Opticam(), empty, options=options)
    before = digests(empty / "red", without=(".journal",))
    monkeypatch.setattr(watch, "Live", lambda *_: pytest.fail("it follows"))
    done, said = watched(empty, options, Camera(), idle=1.0)
    assert done.exit_status == report.exit_status and done.is_old
    assert said[-1] == "no change since the last run; its products are up to date"
    assert digests(empty / "red", without=(".journal",)) == before


@pytest.mark.slow
def test_calibrations_alone_or_an_option_that_does_not_fit_yet_do_not_end_a_watch(sky, empty, hasty):
    folder, options = sky
    frames, said = science(folder), []
    options = Options(**{**vars(options), "target_frame": frames[5].name})
    for path in calibrations(folder):
        shutil.copy(path, empty)
    camera = Camera(
        until(lambda: any("no science frames" in text for text in said)),
        pause(2.5),  # quiet: nothing can come to a final state
        *(put(path, empty) for path in frames[:5]),
        until(lambda: any("target-frame" in text for text in said)),
        put(frames[5], empty),
    )
    camera.start()
    done = watch_night(Opticam(), empty, options=options, idle=5, say=said.append)
    assert camera.error is None and done.measured == 6
    assert said[-1] == "all products are final"


@pytest.mark.slow
def test_a_watch_that_comes_to_nothing_ends_with_the_reason(sky, empty, hasty):
    folder, options = sky
    for path in calibrations(folder):
        shutil.copy(path, empty)
    with pytest.raises(NightError, match="no science frames; there are"):
        watch_night(Opticam(), empty, options=options, idle=2)
    with pytest.raises(UsageError, match="no such target"):
        shutil.copy(science(folder)[0], empty)
        watch_night(Opticam(), empty, options=Options(target="HD 1", jobs=1), idle=2)


# -- what an update costs ------------------------------------------------------------------------------------


@pytest.fixture
def live(sky, empty):
    _, options = sky
    output = output_of(empty, None)
    output.make()
    arrivals = Arrivals(empty, output.root)
    with Journal(output.root) as journal:
        yield Live(Opticam(), empty, output, options, journal, None, arrivals)


def take_in(live, paths):
    for path in paths:
        shutil.copy(path, live.folder)
    live.arrivals.look(), live.arrivals.look()
    return live.update()


@pytest.mark.slow
def test_an_update_works_on_new_frames_only(sky, live, monkeypatch):
    folder, _ = sky
    one, two = science(folder, "C1"), science(folder, "C2")
    assert take_in(live, [*calibrations(folder), *one[:4], *two[:4]]) == "WASP-0: C1 g 4, C2 r 4"
    calls = []

    def counted(module, name):
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *what, **more: calls.append(name) or function(*what, **more))

    counted(runner, "run_frame")
    counted(scanning, "read_header")
    counted(jobs.Job, "task")
    counted(memory, "fingerprint")
    assert take_in(live, [one[4], two[4]]) == "WASP-0: C1 g 5, C2 r 5"
    assert calls.count("run_frame") == 2  # registered and measured
    assert calls.count("read_header") == 2
    assert (
        calls.count("task") <= 14 * 2 and calls.count("fingerprint") == 2
    )  # nothing of the others is made anew
    calls.clear()
    assert take_in(live, []) == "WASP-0: C1 g 5, C2 r 5"
    assert calls.count("run_frame") == calls.count("read_header") == calls.count("fingerprint") == 0


@pytest.mark.slow
def test_a_frame_replaced_by_another_with_the_same_header_is_measured_again(sky, live):
    folder, _ = sky
    frames = science(folder)
    take_in(live, frames[:5])
    before = curve_of(live.folder)
    path = live.folder / frames[2].name
    with fits.open(path, mode="update") as hdus:
        hdus[0].data[:] = (hdus[0].data.astype(float) * 0.7 + 40).astype("uint16")
    take_in(live, [])
    after = curve_of(live.folder)
    assert after["sky"][2] != before["sky"][2] and after["sky"][1] == before["sky"][1]


# -- the command ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_ends_a_watch_within_two_seconds_and_a_run_goes_on_from_there(sky, empty):
    folder, options = sky
    for path in [*calibrations(folder), *science(folder), *science(folder, "C2")]:
        shutil.copy(path, empty)
    command = [sys.executable, "-m", "potpyri_like", "watch", "OPTICAM", str(empty)]
    command += ["--target-xy", options.target_xy, "--jobs", "2", "--serve", "0"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "page: " in line:
            address = line.split("page: ")[1].strip()
        if "WASP-0: C1 g 6, C2 r 6" in line:
            break
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert answer.headers["Refresh"] == "5" and REFRESH.search(answer.read().decode())
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, rest = process.communicate(timeout=30)
    assert time.monotonic() - begun < 2 + 2  # the machine may have other work
    assert process.returncode == 130
    assert rest.splitlines()[-1].startswith("stopped; what is done is kept") and "Traceback" not in rest
    ran = run("OPTICAM", empty, "--target-xy", options.target_xy, "--jobs", 1)
    assert ran.status == 0, ran.err
    assert "WASP-0, C1 g: 6 of 6 already done, nothing to do" in ran.err
    told = run_json(empty / "red")
    assert json.dumps(told) and told["exit_status"] == 0
