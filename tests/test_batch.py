import re
import shutil
from pathlib import Path

import pytest
from small_night import OF_THE_RUN, digests, run, run_json, small_night

from potpyri_like.commands import batch
from potpyri_like.encoding import encode
from potpyri_like.errors import NightError, ProductError, UnknownInstrument, UsageError
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.interface import runs
from potpyri_like.night import scan
from potpyri_like.options import Options
from potpyri_like.plugins import Plugins, load_plugins
from potpyri_like.primitives import Setup
from potpyri_like.primitives.filter_pixels import FilterPixels
from potpyri_like.primitives.trim import Trim
from potpyri_like.run import output as drawing
from potpyri_like.run import workers
from potpyri_like.run.batch import Entry, instrument_of, nights_in, output_folders, run_batch
from potpyri_like.run.jobs import Job
from potpyri_like.run.memory import Standing
from potpyri_like.run.progress import Silent
from potpyri_like.run.runner import Runner, run_frame
from potpyri_like.store import Output
from potpyri_like.testing import NightPlan, simulate_night

pytestmark = pytest.mark.slow  # whole nights

TINY = {"cameras": ("C1",), "frames": 8, "size": (160, 160), "darks": 2, "flats": 2}


@pytest.fixture(scope="module", autouse=True)
def without_figures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "draw", lambda pictures, runner: {})
        yield


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Two nights of one name, each with its own target in its own reduce.toml; not to be written to."""
    folder = tmp_path_factory.mktemp("archive")
    for seed, month in enumerate(("2025-01", "2025-02")):
        truth = small_night(folder / month / "night", seed=seed, **TINY)
        x, y = truth.target_xy["C1"]
        (truth.folder / "reduce.toml").write_text(f"target-xy = [{x:.1f}, {y:.1f}]\n")
    return folder


@pytest.fixture
def nights(archive):
    return [archive / month / "night" for month in ("2025-01", "2025-02")]


@pytest.fixture(scope="module")
def reduced(archive, tmp_path_factory):
    """Both nights, reduced in one batch, and what the command said."""
    out = tmp_path_factory.mktemp("products")
    ran = run("batch", *sorted(archive.glob("*/night")), "--out", out, "--jobs", 1)
    return out, ran


def listed(folder, text):
    (folder / "lists").mkdir()
    (folder / "lists/nights.txt").write_text(text, encoding="utf-8")
    return str(folder / "lists/nights.txt")


# -- which nights --------------------------------------------------------------------------------------------


def test_nights_are_folders_or_named_in_files_one_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/observer")
    text = """\ufeff# February, the good ones
first
   OPTICAM ../second   # clouds at the end
"third night"  # it has a blank
GMOS 'fourth night'

/archive/fifth#2
~/sixth
"""
    home = tmp_path / "lists"
    assert list(nights_in([listed(tmp_path, text), "folder"])) == [
        Entry(home / "first"),
        Entry(home / "../second", "OPTICAM"),
        Entry(home / "third night"),
        Entry(home / "fourth night", "GMOS"),
        Entry(Path("/archive/fifth#2")),
        Entry(Path("/home/observer/sixth")),
        Entry(Path("folder")),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "first\nmy second night\n",
            "line 2: give NIGHT or INSTRUMENT NIGHT; a name with blanks needs quotes",
        ),
        ("# Jo's\nJo's night\n", "line 2: unbalanced quotation mark: Jo's night"),
        ("# none yet\n\n", "nights.txt: no night in it"),
        ("OPTICM first\n", "no instrument 'OPTICM'; did you mean OPTICAM?"),
    ],
)
def test_a_list_that_cannot_be_understood_is_exit_2_and_says_where(tmp_path, text, told):
    ran = run("batch", listed(tmp_path, text))
    assert ran.status == 2 and told in ran.err and not ran.out and "Traceback" not in ran.err


def test_a_raw_file_is_no_list_of_nights(nights):
    raw = next(nights[0].glob("*.fits"))
    ran = run("batch", raw)
    assert (ran.status, ran.err) == (2, f"reduce: {raw}: neither a folder nor a list of nights\n")


@pytest.mark.parametrize(
    "words", ["--aperture nan", "--stars 0", "--radec 400", "--instrument OPTICM", "--jobs 0"]
)
def test_a_wrong_option_ends_a_batch_before_its_first_night(tmp_path, monkeypatch, words):
    monkeypatch.setattr(runs, "run_batch", lambda *_, **__: pytest.fail("it began"))
    ran = run("batch", tmp_path, *words.split())
    assert ran.status == 2 and not ran.out and "Traceback" not in ran.err


# -- which instrument ----------------------------------------------------------------------------------------


def test_a_named_instrument_is_taken_without_a_look(tmp_path):
    assert instrument_of(Entry(tmp_path / "gone", "opticam"), load_plugins()).name == "OPTICAM"


@pytest.mark.parametrize("name", sorted(load_plugins().instruments))
def test_the_headers_tell_the_instrument(tmp_path, name):
    registry = load_plugins()
    plan = NightPlan(frames=1, size=(64, 64), biases=1, darks=1, flats=1, stars=1, comparisons=0, flip=None)
    simulate_night(registry[name], tmp_path, plan)
    assert instrument_of(Entry(tmp_path), registry).name == name


def test_an_earlier_run_tells_the_instrument(nights, reduced, tmp_path):
    out, _ = reduced
    shutil.copytree(out / "2025-01_night", tmp_path / "red")
    (tmp_path / "raw.fits").write_bytes(b"nobody understands it")
    assert instrument_of(Entry(tmp_path), load_plugins()).name == "OPTICAM"


def test_an_instrument_that_cannot_be_known_is_asked_for(nights, tmp_path):
    registry = load_plugins()
    twins = Plugins({**registry.instruments, "TWIN": registry.instruments["OPTICAM"]})
    with pytest.raises(
        UnknownInstrument, match="OPTICAM and TWIN understand its headers; name the instrument"
    ):
        instrument_of(Entry(nights[0]), twins)
    (tmp_path / "raw.fits").write_bytes(b"nobody understands it")
    with pytest.raises(UnknownInstrument, match=r"none of .*OPTICAM.* recognises its headers"):
        instrument_of(Entry(tmp_path), registry)


# -- what becomes of them ------------------------------------------------------------------------------------

ALL_IS_WELL = Standing(0, (), 8, 8)
SOMETHING = Standing(3, (), 7, 8)
DOUBTFUL = Standing(4, (), 8, 8)


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ([ALL_IS_WELL, ALL_IS_WELL], 0),
        ([ALL_IS_WELL, SOMETHING], 3),
        ([SOMETHING, SOMETHING], 3),
        ([ALL_IS_WELL, DOUBTFUL], 4),
        ([DOUBTFUL, SOMETHING, ALL_IS_WELL], 3),
        ([SOMETHING, NightError("it is day"), DOUBTFUL], 1),
        ([ALL_IS_WELL, NightError("it is day")], 1),
        ([NightError("it is day"), NightError("it is day")], 1),
        ([NightError("it is day"), UsageError("no such star")], 1),
        ([SOMETHING, UsageError("no such star")], 2),
        ([UsageError("no such star")], 2),
    ],
)
def test_the_exit_status_is_that_of_the_worst_night(tmp_path, monkeypatch, ends, status):
    left = iter(ends)

    def reduce_one(*_, **__):
        end = next(left)
        if isinstance(end, Exception):
            raise end
        return end

    monkeypatch.setattr(batch, "reduce_one", reduce_one)
    ran = run("batch", "--instrument", "OPTICAM", *(tmp_path / str(n) for n in range(len(ends))))
    assert ran.status == status
    lines = ran.out.splitlines()
    assert len(lines) == len(ends) + (status != 0)
    assert not status or lines[-1].startswith(f"exit status {status}: ")


@pytest.mark.parametrize(
    "error",
    [
        NightError("NIGHT: no science frames\n  a.fits: zeros"),
        ProductError("red: disk full"),
        OSError(5, "I/O error"),
    ],
)
def test_a_night_that_fails_leaves_the_others_alone(error):
    nights = [Entry(Path(name), "OPTICAM") for name in ("first", "NIGHT", "last")]

    def reduce(instrument, night, out):
        if night.name == "NIGHT":
            raise error
        return ALL_IS_WELL

    outcomes = list(run_batch(nights, load_plugins(), reduce))
    assert [outcome.status for outcome in outcomes] == [0, 1, 0]
    assert outcomes[1].word in ("no science frames", "red: disk full", "[Errno 5] I/O error")


def test_a_batch_ends_with_a_table_of_what_became_of_each_night(nights, reduced):
    _, ran = reduced
    assert ran.status == 0, ran.err
    lines = [re.split(r" {2,}", line) for line in ran.out.splitlines()]
    assert lines == [[str(night), "OPTICAM", "8 of 8 frames", "all is well"] for night in nights]


def test_each_night_is_announced_and_told_when_it_ends(nights, reduced):
    out, ran = reduced
    assert f"night 2 of 2: OPTICAM {nights[1]}\n" in ran.err
    assert f"page: {out / '2025-01_night/report.html'}\n" in ran.err


def test_a_second_batch_says_that_nothing_has_changed_and_does_nothing(nights, reduced, monkeypatch):
    out, _ = reduced
    before = digests(out, without=(".journal",))
    monkeypatch.setattr(runs, "reduce_night", lambda *_, **__: pytest.fail("it was done again"))
    ran = run("batch", *nights, "--out", out, "--jobs", 1)
    assert ran.status == 0
    assert [line.split("  ")[-1] for line in ran.out.splitlines()] == ["all is well, no change"] * 2
    assert digests(out, without=(".journal",)) == before


@pytest.mark.slow
def test_nights_in_a_batch_come_to_what_they_come_to_alone(nights, reduced, tmp_path):
    out, _ = reduced
    assert run("OPTICAM", nights[1], "--out", tmp_path / "alone", "--jobs", 1).status == 0
    without = (*OF_THE_RUN, ".journal")
    alone = digests(tmp_path / "alone", without=without)
    assert len(alone) > 4 and digests(out / "2025-02_night", without=without) == alone


def test_ctrl_c_ends_a_batch_with_the_table_so_far_and_one_sentence(nights, tmp_path, monkeypatch):
    def reduce_one(instrument, night, **_):
        if night == nights[1]:
            raise KeyboardInterrupt
        return ALL_IS_WELL

    monkeypatch.setattr(batch, "reduce_one", reduce_one)
    ran = run("batch", *nights, tmp_path / "third", "--instrument", "OPTICAM")
    assert ran.status == 130 and "Traceback" not in ran.err
    assert ran.out == f"{nights[0]}  OPTICAM  8 of 8 frames  all is well\n"
    assert ran.err.splitlines()[-1].startswith("stopped; what is done is kept")


# -- where products go ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nights", "folders"),
    [
        (["/a/first", "/b/second"], ["first", "second"]),
        (["/a/night", "/b/night", "/c/other"], ["a_night", "b_night", "other"]),
        (["/a/night", "/b/Night"], ["a_night", "b_Night"]),
        (["/x/a/night", "/y/a/night"], ["x_a_night", "y_a_night"]),
        (["/a/night", "/b/night", "/c/b_night"], ["a_night", "b_night", "c_b_night"]),
        (["/a/night", "/a/../a/night"], ["night", "night"]),
    ],
)
def test_no_two_nights_share_a_folder(nights, folders):
    found = output_folders([Entry(Path(night)) for night in nights], Path("out"))
    assert found == {Path(night): Path("out") / name for night, name in zip(nights, folders, strict=True)}
    assert set(output_folders([Entry(Path(night)) for night in nights], None).values()) == {None}


@pytest.mark.slow
def test_the_products_of_another_night_are_not_overwritten(nights, tmp_path):
    first = run("batch", nights[0], "--out", tmp_path, "--jobs", 1)
    assert first.status == 0 and (tmp_path / "night/run.json").is_file()
    before = digests(tmp_path)
    ran = run("batch", nights[1], "--out", tmp_path, "--jobs", 1)
    assert ran.status == 2 and digests(tmp_path) == before
    assert f"contains products of another night, {nights[0]}; choose another --out" in ran.out


@pytest.mark.slow
def test_a_night_that_was_moved_is_known_again_by_its_raw_files(nights, tmp_path):
    shutil.copytree(nights[0], tmp_path / "old/night")
    assert run("batch", tmp_path / "old/night", "--out", tmp_path / "out", "--jobs", 1).status == 0
    (tmp_path / "old").rename(tmp_path / "new")
    ran = run("batch", tmp_path / "new/night", "--out", tmp_path / "out", "--jobs", 1)
    assert ran.status == 0 and "already done, nothing to do" in ran.err


@pytest.mark.slow
def test_without_out_each_night_has_its_own_red(nights, tmp_path):
    copies = [shutil.copytree(night, tmp_path / night.parent.name) for night in nights]
    ran = run("batch", listed(tmp_path, "../2025-01\n../2025-02\n"), "--jobs", 1)
    assert ran.status == 0
    for copy in copies:
        assert run_json(copy / "red")["options"]["target_xy"]["from"] == "reduce.toml"


# -- one pool ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_all_nights_share_one_pool(nights, reduced, tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(workers, "Worker", lambda worker=workers.Worker: started.append(1) or worker())
    ran = run("batch", *nights, "--out", tmp_path, "--jobs", 2)
    assert ran.status == 0, ran.err
    assert 1 <= len(started) <= 2
    without = (".journal", "log/", "run.json")
    for name in ("2025-01_night", "2025-02_night"):
        assert digests(tmp_path / name, without=without) == digests(reduced[0] / name, without=without)


@pytest.mark.slow
def test_a_worker_does_not_take_an_earlier_runs_stages_for_those_of_the_next(nights, tmp_path):
    infos = scan(nights[0], Opticam()).sets()[0].frames[:3]
    pool = workers.Pool(1)
    try:
        for mode in ("median", "none"):
            setup = Setup(Opticam(), filter_mode=mode)
            with Runner(Output(tmp_path), Options(), Silent(), pool) as runner:
                theirs = runner.run_frames(infos, (Trim(), FilterPixels()), setup, what="")
            ours = [run_frame(info, Job.of((Trim(), FilterPixels()), setup)) for info in infos]
            assert [encode(outcome.results) for outcome in theirs] == [encode(o.results) for o in ours]
    finally:
        pool.shutdown()
