"""A night, with its reduce.toml, links and run.json, may come from somebody else: it decides nothing but itself."""

import ast
import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from small_night import run, small_night

import potpyri_like
from potpyri_like.errors import NightError, UsageError
from potpyri_like.interface import runs
from potpyri_like.lightcurves import names_code
from potpyri_like.options import Options, config_path, without_authority
from potpyri_like.run.record import last_run
from potpyri_like.store import raw_sha256

pytestmark = pytest.mark.slow  # whole nights

PACKAGE = Path(potpyri_like.__file__).parent
HOSTILE = Path(__file__).resolve().parents[2] / "shared" / "cases" / "trust" / "hostile.py"
TINY = {"cameras": ("C1",), "frames": 8, "size": (160, 160), "darks": 2, "flats": 2}
OF_THE_USER = {"scheduler": "tcp://10.0.0.1:8786", "metric": "this:c", "online": True}


@pytest.fixture
def asked(monkeypatch):
    """What the command asks of the pipeline, which does nothing."""
    calls = []

    def nothing(instrument, folder, **more):
        calls.append(more)
        raise NightError("nothing was done")

    monkeypatch.setattr(runs, "reduce_night", nothing)
    return calls


@pytest.fixture
def night(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "night").mkdir()
    return tmp_path / "night"


def toml(**options):
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in options.items())


def configure(**options):
    config_path().parent.mkdir(parents=True, exist_ok=True)
    config_path().write_text(toml(**options))


# -- who says what -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), OF_THE_USER.items())
def test_what_runs_code_or_leaves_the_computer_is_not_taken_from_the_night(night, asked, name, value):
    (night / "reduce.toml").write_text(toml(**{name: value, "stars": 20}))
    ran = run("OPTICAM", "night")
    assert asked[0]["options"] == Options(stars=20)
    (sentence,) = (line for line in ran.err.splitlines() if "is ignored" in line)
    assert (
        f"reduce.toml: {name} = " in sentence and f"--{name}" in sentence and str(config_path()) in sentence
    )
    assert name not in asked[0]["origins"]


@pytest.mark.parametrize(
    "given", [{"metric": "std"}, {"metric": "binned:10"}, {"photometer": "optimal"}, {"jobs": 2}, {}]
)
def test_what_a_night_may_say_is_taken_without_a_word(night, asked, given):
    (night / "reduce.toml").write_text(toml(**given))
    ran = run("OPTICAM", "night")
    assert asked[0]["options"] == Options(**given) and "is ignored" not in ran.err


@pytest.mark.parametrize(("name", "value"), OF_THE_USER.items())
def test_the_command_line_and_the_configuration_and_a_file_that_was_named_may_say_it(
    night, asked, name, value
):
    words = [f"--{name}"] if value is True else [f"--{name}", value]
    run("OPTICAM", "night", *words)
    Path("mine.toml").write_text(toml(**{name: value}))
    run("OPTICAM", "night", "--config", "mine.toml")
    configure(**{name: value})
    ran = run("OPTICAM", "night")
    assert [more["options"] for more in asked] == [Options(**{name: value})] * 3
    assert [more["origins"][name] for more in asked] == ["command line", "mine.toml", "configuration"]
    assert "is ignored" not in ran.err


@pytest.mark.parametrize(
    "place", ["night/mine.toml", "night/../night/mine.toml", "night/deep/mine.toml", "link.toml"]
)
def test_a_file_that_was_named_and_lies_in_the_night_may_not(night, asked, place):
    (night / "deep").mkdir()
    for name in ("mine.toml", "deep/mine.toml"):
        (night / name).write_text(toml(scheduler="tcp://10.0.0.1:1"))
    Path("link.toml").symlink_to(night / "mine.toml")
    run("OPTICAM", "night", "--config", place)
    assert asked[0]["options"] == Options() or place == "link.toml"
    assert asked[0]["options"].scheduler is None


def test_the_command_line_is_above_the_night_and_the_night_above_the_configuration(night, asked):
    configure(stars=10, aperture=1.0, observer="ABC", filter="none")
    (night / "reduce.toml").write_text(toml(stars=20, aperture=2.0))
    run("OPTICAM", "night", "--aperture", "3")
    options = asked[0]["options"]
    assert (options.stars, options.aperture, options.observer, options.filter_) == (20, 3.0, "ABC", "none")
    assert asked[0]["origins"]["observer"] == "configuration"


def test_an_option_of_the_configuration_that_cannot_be_is_named_with_its_file(night, asked):
    configure(stras=10)
    ran = run("OPTICAM", "night")
    assert ran.status == 2 and str(config_path()) in ran.err and "did you mean stars?" in ran.err


def test_a_relative_folder_of_configurations_counts_as_none(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", "config")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config_path() == tmp_path / ".config" / "potpyri-like" / "config.toml"


@pytest.mark.parametrize("text", ["this:c", "os:system", " this:c", "a.b:c", ":", "binned :5", ["a:b"]])
def test_a_function_of_somebodys_own_is_known_in_any_spelling(text):
    assert names_code(text) and without_authority({"metric": text}, "x")[0] == {}


@pytest.mark.parametrize("text", ["p2p", "std", "binned", "binned:10", "cdpp:60", "binned:os:system", 3])
def test_a_figure_of_ours_is_none(text):
    assert not names_code(text)


@pytest.mark.parametrize("name", ["reduce.toml", "times.csv"])
def test_a_file_of_the_night_that_is_a_link_out_of_it_is_rejected_and_not_shown(night, asked, tmp_path, name):
    (tmp_path / "precious.txt").write_text("secret line\n")
    (night / name).symlink_to(tmp_path / "precious.txt")
    ran = run("OPTICAM", "night")
    assert ran.status == 2 and not asked and "secret" not in ran.err + ran.out
    assert name in ran.err and "link out of the night" in ran.err and ran.err.count("\n") == 1


# -- what a run.json may say ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reduced(tmp_path_factory):
    """A night and its products; not to be changed."""
    truth = small_night(tmp_path_factory.mktemp("trust") / "night", **TINY)
    x, y = truth.target_xy["C1"]
    ran = run("OPTICAM", truth.folder, "--target-xy", f"{x:.1f},{y:.1f}", "--jobs", 1, "--animation", "no")
    assert ran.status == 0, ran.err
    return truth.folder


@pytest.fixture
def sent(reduced, tmp_path):
    """A copy of it, to be tampered with."""
    return shutil.copytree(reduced, tmp_path / "night")


@contextlib.contextmanager
def listening():
    """A port of this computer, and who called."""
    callers = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    connection, caller = server.accept()
                    callers.append(caller)
                    connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}", callers
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def say_in_record(night, **options):
    path = night / "red" / "run.json"
    run_json = json.loads(path.read_text())
    for name, value in options.items():
        run_json["options"][name]["value"] = value
    path.write_text(json.dumps(run_json))
    return path


def test_no_connection_is_made_because_a_night_says_so(sent):
    with listening() as (address, callers):
        (sent / "reduce.toml").write_text(toml(scheduler=address, online=True))
        say_in_record(sent, scheduler=address, online=True)
        for words in (
            ["OPTICAM", sent, "--jobs", 1],
            ["verify", sent],
            ["inject", sent, "--depths", "0.01"],
            ["batch", sent],
        ):
            ran = run(*words)
            assert "Traceback" not in ran.err
        assert not callers
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as caller:
            caller.recv(1)  # until it was taken in
    assert callers  # it would have been seen


def test_no_module_is_imported_because_a_record_says_so(sent, tmp_path, monkeypatch):
    (tmp_path / "evil_metric.py").write_text("import pathlib\npathlib.Path('imported').touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    say_in_record(sent, metric="evil_metric:f")
    for verb in ("verify", "inject"):
        ran = run(verb, sent)
        assert ran.status == 2 and "add --metric evil_metric:f" in ran.err and "Traceback" not in ran.err
    ran = run("explain", sent)
    assert ran.status == 0 and "--metric evil_metric:f" in ran.out
    assert not (tmp_path / "imported").exists() and "evil_metric" not in sys.modules


def test_a_metric_of_ones_own_is_recorded_with_its_source_and_named_again(sent, tmp_path, monkeypatch):
    own = tmp_path / "own_noise.py"
    own.write_text("import numpy as np\ndef f(flux, time):\n    return np.nanstd(np.diff(flux))\n")
    monkeypatch.syspath_prepend(tmp_path)
    first = last_run(sent)
    assert not first.metric and "own" not in run("explain", sent).out.splitlines()[-1]
    xy = ["--target-xy", first.options.target_xy]
    assert run("OPTICAM", sent, *xy, "--jobs", 1, "--animation", "no", "--metric", "own_noise:f").status == 0
    again = last_run(sent)
    assert (again.metric, len(again.metric_sha256)) == ("own_noise:f", 64) and again.options.metric is None
    assert again.with_own(Options(metric="own_noise:f")).metric == "own_noise:f"
    with pytest.raises(UsageError, match="add --metric own_noise:f"):
        again.with_own(Options(metric="other:f"))
    assert "is unchanged" in run("explain", sent, "--metric", "own_noise:f").out
    assert run("verify", sent, "--metric", "own_noise:f").status == 0
    own.write_text(own.read_text() + "# another\n")
    assert "another SHA-256" in run("explain", sent, "--metric", "own_noise:f").out


@pytest.mark.parametrize(
    "name", ["../outside/a.fits", "sub/../../outside/a.fits", "link/a.fits", "link.fits"]
)
def test_a_raw_file_outside_of_the_night_is_not_read_because_a_record_names_it(tmp_path, name):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.fits").write_text("secret")
    (tmp_path / "night" / "sub").mkdir(parents=True)
    (tmp_path / "night" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "night" / "link.fits").symlink_to(tmp_path / "outside" / "a.fits")
    with pytest.raises(OSError):
        raw_sha256(tmp_path / "night", name)


def test_an_absolute_name_is_none_of_a_raw_file(tmp_path):
    (tmp_path / "a.fits").write_text("secret")
    with pytest.raises(OSError):
        raw_sha256(tmp_path, str(tmp_path / "a.fits"))


# -- links in the night --------------------------------------------------------------------------------------


def test_products_that_are_links_out_of_the_folder_are_made_again_and_what_is_outside_stays(sent, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    before = {}
    red = sent / "red"
    target = next(path.name for path in red.iterdir() if (path / "g").is_dir() or (path / "u").is_dir())
    for number, name in enumerate(["night.ecsv", "run.json", "report.html", "log", "cals", target]):
        place = red / name
        if place.is_dir():
            shutil.rmtree(place)
            (outside / f"{number}").mkdir()
        else:
            place.unlink()
            (outside / f"{number}").write_text("file\nmine\n")
        place.symlink_to(outside / f"{number}")
    before = {path: path.read_text() if path.is_file() else "" for path in sorted(outside.rglob("*"))}
    ran = run("OPTICAM", sent, "--jobs", 1, "--animation", "no")
    assert ran.status in (0, 3) and "Traceback" not in ran.err
    assert {path: path.read_text() if path.is_file() else "" for path in sorted(outside.rglob("*"))} == before
    assert not [path for path in red.rglob("*") if path.is_symlink()]
    assert ran.err.count("a folder was made in its place") == 3 and ran.err.count("followed; ignored") == 1


def test_an_output_folder_that_is_a_link_is_rejected_by_every_command(sent, tmp_path):
    (sent / "red").rename(tmp_path / "elsewhere")
    (sent / "red").symlink_to(tmp_path / "elsewhere")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "elsewhere").rglob("*")}
    for words in (
        ["OPTICAM", sent],
        ["verify", sent],
        ["explain", sent],
        ["inject", sent],
        ["watch", "OPTICAM", sent],
    ):
        ran = run(*words)
        assert ran.status == 1 and "--out DIR" in ran.err and "Traceback" not in ran.err, words
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "elsewhere").rglob("*")} == before
    assert run("explain", sent, "--out", tmp_path / "elsewhere").status == 0


# -- nobody else opens files -----------------------------------------------------------------------------------

OPENING = {
    *(
        "open",
        "unlink",
        "rename",
        "replace",
        "rmdir",
        "mkdir",
        "makedirs",
        "remove",
        "touch",
        "rmtree",
        "copyfile",
        "copy",
    ),
    *(
        "copytree",
        "move",
        "read_bytes",
        "read_text",
        "write_bytes",
        "write_text",
        "symlink_to",
        "hardlink_to",
        "chmod",
    ),
    *(
        "TemporaryFile",
        "NamedTemporaryFile",
        "TemporaryDirectory",
        "mkdtemp",
        "mkstemp",
        "getdata",
        "getheader",
    ),
    *("truncate", "savefig", "tofile", "fromfile", "memmap", "loadtxt", "genfromtxt", "savetxt"),
}
MODULES = {"os", "shutil", "tempfile", "fits", "Path", "io", "sqlite3"}
METHODS = OPENING - {
    "replace",
    "remove",
    "copy",
    "open",
    "truncate",
}  # of str, list, dict, and of our own classes
THE_DOOR = ("store/folders.py", "store/raw.py", "store/output.py", "run/journal.py")
ALLOWED = {
    "store/library.py": {"fits.open"},  # bytes in memory, which came through the door
    "identity.py": {"path.read_bytes"},  # the source of this software and of plugins
    "primitives/saved.py": {"fits.open"},  # bytes in memory, which came through the door
    "products/page/night.py": {
        "resources.files('potpyri_like.products.page').joinpath(_TEMPLATE).read_text"
    },  # our own template
    "products/tables/measurements.py": {"fits.open"},  # a table that the user names
    "recipe_file.py": {"Path(path).expanduser().read_bytes"},  # the user names it
    "testing/contract.py": {
        "path.read_text",
        "tempfile.TemporaryDirectory",
    },  # a plugin under test, and its night
}


def opening(path):
    """The calls in a file that open, change or remove files."""
    for call in (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)):
        words = ast.unparse(call.func)
        base, _, name = words.rpartition(".")
        if (
            words == "open"
            or (base and name in METHODS)
            or (name in OPENING | {"connect"} and base in MODULES)
        ):
            yield words


def test_files_are_opened_written_and_removed_in_one_place_only():
    found = {
        inside: others
        for path in PACKAGE.rglob("*.py")
        if (inside := path.relative_to(PACKAGE).as_posix()) not in THE_DOOR
        and (others := set(opening(path)) - ALLOWED.get(inside, set()))
    }
    through = (
        "output.write_bytes",
        "output.write_text",
        "output.read_bytes",
        "self.output.read_bytes",
        "Output(folder).read_bytes",
    )
    found = {
        name: {words for words in others if not is_ours(words, through)} for name, others in found.items()
    }
    assert not {name: others for name, others in found.items() if others}


def is_ours(words, through):
    """Whether a call is one of `Output`, or of the reader of files that the user names."""
    return words.endswith(through) or words in ("read_text", "cache.read_bytes")


# -- nights that somebody else sent ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not HOSTILE.is_file(), reason="no shared cases beside the checkout")
@pytest.mark.skipif(
    importlib.util.find_spec("potpyri_like_amat") is None,
    reason="the plugin of the shared cases is not installed",
)
@pytest.mark.parametrize("case", ["B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9"])
def test_a_hostile_night_touches_nothing_outside(case, tmp_path):
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}

    def hostile(*words):
        done = subprocess.run(
            [sys.executable, HOSTILE, *words], capture_output=True, text=True, env=env, check=True
        )
        return done.stdout

    words = hostile(case, str(tmp_path / "case")).split("reduce ", 1)[1]
    before = hostile("--state", str(tmp_path / "case"))
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m potpyri_like {words}"],
        capture_output=True, text=True, env=env, timeout=300, check=False,
    )  # fmt: skip
    assert hostile("--state", str(tmp_path / "case")) == before
    assert done.returncode == 0 and "Traceback" not in done.stderr and "Zen of Python" not in done.stdout
