import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from small_night import digests, run, run_json, small_night

from potpyri_like.errors import NightError
from potpyri_like.interface import runs
from potpyri_like.options import Options, public_name
from potpyri_like.plugins import Failure, Plugins, load_plugins
from potpyri_like.run import output
from potpyri_like.run.recipe import options_type

FLAGS = ["--" + public_name(item).replace("_", "-") for item in fields(Options)]


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A night of one camera, not to be written to."""
    folder = tmp_path_factory.mktemp("cli") / "night"
    return small_night(folder, frames=24)


@pytest.fixture
def without_figures(monkeypatch):
    monkeypatch.setattr(output, "draw", lambda pictures, runner: {})


@pytest.fixture
def asked(monkeypatch):
    """What the command asks of the pipeline, which does nothing."""
    calls = []

    def nothing(instrument, folder, **more):
        calls.append((instrument, folder, more))
        raise NightError("nothing was done")

    monkeypatch.setattr(runs, "reduce_night", nothing)
    return calls


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder, of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def one_sentence(ran):
    """The error on the screen: one line, no traceback."""
    assert not ran.out and ran.err.count("\n") == 1 and "Traceback" not in ran.err
    return ran.err.strip()


# -- help ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "-h",
        "OPTICAM --help",
        "gmos -h",
        "simulate --help",
        "batch --help",
        "verify --help",
        "watch --help",
        "instruments --help",
        "instruments check -h",
    ],
)
def test_every_help_fits_80_columns_and_is_complete(here, words):
    ran = run(*words.split())
    assert ran.status == 0 and not ran.err
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "..." not in re.sub(r"(\S,|NIGHT)\.\.\.", "", ran.out)  # nothing is cut off
    assert "None" not in ran.out


def test_the_help_lists_instruments_and_tools(here):
    out = run("--help").out
    instruments, tools = out.split("Instruments:")[1].split("Tools:")
    assert "OPTICAM" in instruments and "GMOS" in instruments
    assert all(name in tools for name in ("instruments", "simulate", "batch", "verify", "watch"))
    assert run().out.split() == out.split() or "Usage:" in run().err


def test_the_help_of_an_instrument_lists_every_option_with_its_meaning(here):
    out = run("opticam", "--help").out
    for flag in [*FLAGS, "--out", "--config", "--verbose"]:
        assert re.search(rf"^  (-\w, )?{flag} ", out, re.MULTILINE) or f", {flag} " in out, flag
    assert "[default: 150]" in " ".join(out.split())


def test_the_version_is_that_of_the_distribution(here):
    assert run("--version").out == f"reduce, version {metadata.version('potpyri-like')}\n"


# -- wrong commands ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("OPTICM night", r"no instrument 'OPTICM'.*did you mean OPTICAM\?"),
        ("night OPTICAM", r"no instrument 'night'.*The instrument comes first: reduce INSTRUMENT NIGHT"),
        ("OPTICAM", r"Missing argument 'NIGHT'"),
        ("OPTICAM night more", r"unexpected extra argument"),
        ("OPTICAM night --apertur 2", r"No such option.*--apertur"),
        ("OPTICAM night --aperture wide", r"'wide' is not a valid float"),
        ("OPTICAM night --aperture nan", r"--aperture nan: give a number above 0"),
        ("OPTICAM night --aperture 0", r"--aperture 0.0: give a number above 0"),
        ("OPTICAM night --stars 2.5", r"'2.5' is not a valid integer"),
        ("OPTICAM night --jobs 0", r"--jobs 0: give a whole number above 0"),
        ("OPTICAM night --filter mean", r"'mean' is not one of 'median', 'selective', 'none'"),
        ("OPTICAM night --recipe cake", r"no recipe 'cake'\. Installed: imaging, .*timeseries"),
        ("OPTICAM night --target-xy 5", r"--target-xy 5: give X,Y or CAMERA:X,Y"),
        ("OPTICAM night --radec 400", r"--radec 400: give 'HH:MM:SS.S \+DD:MM:SS'"),
        ("OPTICAM night --radec '10 95'", r"--radec '10 95': give"),
        ("OPTICAM night --comparisons a,b", r"--comparisons a,b: give star numbers"),
        ("OPTICAM night --config none.toml", r"none\.toml: it cannot be read \(No such file or directory\)"),
        ("instruments OPTICM", r"did you mean OPTICAM\?"),
        ("instruments check", r"Missing argument 'NAME'"),
        ("instruments check OPTICM", r"did you mean OPTICAM\?"),
        ("simulate OPTICM new", r"did you mean OPTICAM\?"),
        ("simulate OPTICAM", r"Missing argument 'DIR'"),
        ("simulate OPTICAM new --frames 0", r"0 is not in the range x>=1"),
        ("simulate OPTICAM new --depth nan", r"nan is not a finite number"),
        ("simulate OPTICAM new --hours inf", r"inf is not a finite number"),
        ("simulate OPTICAM new --bands x", r"no camera of C1, C2, C3 has x"),
        (
            "simulate OPTICAM night",
            r"the folder already contains frames \(a\.fits, \.\.\.\); give an empty folder",
        ),
        ("simulate OPTICAM new --bad luck", r"'luck' is not one of"),
    ],
)
def test_a_wrong_command_is_exit_2_with_a_reason_and_leaves_no_file(here, words, told):
    (here / "night").mkdir()
    (here / "night/a.fits").write_bytes(b"raw")
    before = digests(here)
    ran = run(*shlex.split(words))
    assert ran.status == 2
    assert re.search(told, " ".join(ran.err.split())), ran.err
    assert "Traceback" not in ran.err and not ran.out
    assert digests(here) == before and sorted(path.name for path in here.iterdir()) == ["night"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("apertur = 2", r"there is no option 'apertur'; did you mean aperture\?"),
        ("stars = 'many'", r"stars = 'many': give a whole number above 0"),
        ("out = 'elsewhere'", r"out is an option of the command line only"),
        ("stars = ", r"not valid TOML"),
        ("radec = '10 95'", r"--radec '10 95': give"),
    ],
)
def test_a_wrong_option_in_the_nights_reduce_toml_is_exit_2_and_names_the_file(here, content, told):
    (here / "night").mkdir()
    (here / "night/reduce.toml").write_text(content)
    ran = run("OPTICAM", "night")
    assert ran.status == 2 and re.search(told, one_sentence(ran))
    assert "reduce.toml" in ran.err or "--radec" in ran.err
    assert sorted(path.name for path in (here / "night").iterdir()) == ["reduce.toml"]


@pytest.mark.parametrize("out", [[], ["--out", "products"]])
def test_a_night_that_is_not_there_or_empty_is_exit_1_with_one_sentence_and_no_file(here, out):
    (here / "empty").mkdir()
    (here / "file.fits").write_bytes(b"")
    for name, told in {
        "gone": "reduce: gone: there is no such folder",
        "empty": "reduce: empty: no .fit, .fits or .fts file in it or its subfolders",
        "file.fits": "reduce: file.fits: it is a file, whereas a folder is expected",
    }.items():
        ran = run("OPTICAM", name, *out)
        assert ran.status == 1 and one_sentence(ran) == told
    assert sorted(path.name for path in here.rglob("*")) == ["empty", "file.fits"]


def test_a_night_without_science_frames_is_exit_1_and_says_what_there_is(here):
    truth = small_night(here / "night", frames=1, biases=2)
    (truth.folder / truth.frames["file"][0]).unlink()
    (here / "night/spoilt.fits").write_bytes(b"")
    ran = run("OPTICAM", "night")
    assert ran.status == 1 and not ran.out and "Traceback" not in ran.err
    first, *rejected = ran.err.strip().splitlines()
    assert first.startswith("reduce: night: no science frames; there are ")
    assert all(words in first for words in ("2 bias", "2 dark", "3 flat"))
    assert [line.strip().split(":")[0] for line in rejected] == ["spoilt.fits"]


@pytest.mark.slow
def test_an_output_folder_that_cannot_be_written_is_exit_1_with_one_sentence(here, night):
    (here / "file").write_text("in the way")
    for out in ("file", "file/below", "/proc/nowhere"):
        ran = run("OPTICAM", night.folder, "--out", out)
        assert ran.status == 1
        assert re.fullmatch(
            rf"reduce: {out}: nothing can be written there \(.+\); choose .* --out DIR", one_sentence(ran)
        )
    assert sorted(path.name for path in here.iterdir()) == ["file"]


@pytest.mark.slow
def test_products_are_not_written_among_the_raw_files(here, night):
    before = digests(night.folder)
    ran = run("OPTICAM", night.folder, "--out", night.folder)
    assert ran.status == 2 and "that is the night itself" in one_sentence(ran)
    assert digests(night.folder) == before


# -- options -------------------------------------------------------------------------------------------------


def test_an_instrument_is_known_in_any_letter_case(here, asked):
    for name in ("OPTICAM", "opticam", "OptiCam"):
        assert run(name, "night").status == 1
    assert [instrument.name for instrument, *_ in asked] == ["OPTICAM"] * 3


def test_the_command_line_is_above_reduce_toml_and_that_above_the_default(here, asked):
    (here / "night").mkdir()
    (here / "night/reduce.toml").write_text("stars = 20\naperture = 1.5\ntarget-xy = [5, 6]\n")
    run("OPTICAM", "night", "--aperture", "2", "--filter", "NONE")
    ((_, folder, more),) = asked
    assert folder == Path("night") and more["out"] is None
    assert more["options"] == options_type()(stars=20, aperture=2.0, target_xy="5,6", filter_="none")
    wanted = {
        "stars": "reduce.toml",
        "aperture": "command line",
        "target_xy": "reduce.toml",
        "filter": "command line",
    }
    assert more["origins"] == wanted


def test_another_file_of_options_stands_in_for_that_of_the_night(here, asked):
    (here / "night").mkdir()
    (here / "night/reduce.toml").write_text("stars = 20\n")
    (here / "mine.toml").write_text("jobs = 3\n")
    run("OPTICAM", "night", "--config", "mine.toml", "--out", "products")
    ((_, _, more),) = asked
    assert more["options"] == options_type()(jobs=3) and more["origins"] == {"jobs": "mine.toml"}
    assert more["out"] == Path("products")


def test_every_option_of_the_command_line_reaches_the_pipeline(here, asked):
    values = {
        "target_xy": "C1:5,6",
        "target_frame": "a.fits",
        "forced": True,
        "target": "WASP",
        "radec": "10 -20",
        "comparisons": "C1:3,5",
        "aperture": 2.5,
        "photometer": "optimal",
        "centroid": "frozen",
        "radii": "fwhm",
        "metric": "std",
        "fit": "none",
        "planet": "WASP-12 b",
        "ephemeris": "2459000.5,1.09",
        "out_of_transit": "2459000.1:2459000.2",
        "filter": "selective",
        "recipe": "imaging",
        "until": "Calibrate",
        "skip": "Animate",
        "save": "frames",
        "stars": 7,
        "observer": "ABC",
        "animation": "no",
        "masters": "cals",
        "pedestal": "auto",
        "annulus": "3,5",
        "no_flat": True,
        "reject": "fwhm > 6",
        "no_dark": True,
        "jobs": 2,
        "scheduler": "tcp://10.0.0.1:8786",
        "online": True,
    }
    assert sorted(values) == sorted(Options().named())
    words = {name: "" if value is True else f"={value}" for name, value in values.items()}
    run("OPTICAM", "night", *(f"--{name.replace('_', '-')}{value}" for name, value in words.items()))
    ((_, _, more),) = asked
    assert {name: more["options"].named()[name] for name in values} == values
    assert more["origins"] == dict.fromkeys(values, "command line")


# -- the tools -----------------------------------------------------------------------------------------------


def test_the_instruments_are_listed_with_origin_and_description():
    ran = run("instruments")
    assert ran.status == 0 and not ran.err
    version = metadata.version("potpyri-like")
    lines = [line for line in ran.out.splitlines() if line.startswith(("OPTICAM ", "GMOS "))]
    assert len(lines) == 2 and all(re.search(rf"  potpyri-like {version}  +\S.*\.$", line) for line in lines)


def test_a_plugin_that_failed_is_named_with_its_cause_and_exit_3(monkeypatch):
    known = load_plugins().instruments
    lost = Failure("their_module", "their-plugin 2.0", "ImportError: no gears", ("toy",))
    monkeypatch.setattr(runs, "loaded", lambda commands: Plugins(known, failures=(lost,)))
    ran = run("instruments")
    assert ran.status == 3 and "OPTICAM" in ran.out
    assert ran.err == "their_module of their-plugin 2.0 could not be loaded: ImportError: no gears\n"
    ran = run("toy", "night")
    assert ran.status == 1 and "their-plugin 2.0" in one_sentence(ran) and "no gears" in ran.err


@pytest.mark.parametrize("name", ["OPTICAM", "opticam"])
def test_an_instrument_is_shown_with_cards_cameras_and_constants(name):
    ran = run("instruments", name)
    assert ran.status == 0
    for words in ("EXPOSURE [s]", "C3", "0.1661 arcsec / pix", "0.45 electron / adu", "2790 m", "median"):
        assert words in ran.out


@pytest.mark.slow
def test_an_instrument_is_checked():
    ran = run("instruments", "check", "opticam", "--quick")
    assert ran.status == 0 and not ran.err
    assert {line.split()[0] for line in ran.out.splitlines()} == {"ok"}


@pytest.mark.slow
def test_a_night_is_simulated_and_the_next_command_told(here):
    words = ["simulate", "opticam", "new", "--frames", 2, "--size", 64, "--stars", 3, "--seed", 7]
    words += ["--bands", "r", "--no-flip", "--bad", "zeros"]
    ran = run(*words)
    assert ran.status == 0 and not ran.err
    first, command = ran.out.splitlines()
    assert first == "2 science frames in new; true values: new/truth.ecsv"
    assert re.fullmatch(r"reduce OPTICAM new --target-xy C2:[\d.]+,[\d.]+", command)
    assert len(Table.read("new/truth.ecsv", format="ascii.ecsv")) == 2
    run(*("again" if word == "new" else word for word in words))
    assert digests(here / "new") == digests(here / "again")
    assert run(*words).status == 2


# -- end to end ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(night, tmp_path_factory):
    """The night reduced without any option."""
    out = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "draw", lambda pictures, runner: {})
        ran = run("OPTICAM", night.folder, "--out", out, "--jobs", 1)
    assert ran.status == 0, ran.err + ran.out
    return out


def measured(out, name="WASP-0/r/measurements.fits"):
    return fits.open(out / name, memmap=False)


def choices(out):
    (one,) = run_json(out)["sets"]
    return {choice["what"]: choice for choice in one["choices"]}


@pytest.mark.slow
def test_a_plain_run_is_exit_0_and_says_where_the_products_are(plain):
    (log,) = (plain / "log").iterdir()
    text = log.read_text()
    assert "reduce OPTICAM" in text and "finished with exit status 0" in text
    assert (plain / "report.html").stat().st_size > 1000
    assert set(Table.read(plain / "night.ecsv", format="ascii.ecsv")["status"]) == {"use", "measured"}
    with measured(plain) as hdus:
        assert len(hdus["FRAMES"].data) == 24


@pytest.mark.slow
def test_timings_tell_where_the_time_went(night, plain, tmp_path, without_figures):
    words = ("OPTICAM", night.folder, "--jobs", 1, "--timings", "--animation", "no", "--out", tmp_path)
    ran = run(*words)
    assert ran.status == 0, ran.err + ran.out
    lines = ran.out.splitlines()
    told = {line.split()[0]: line.split()[1:] for line in lines}
    assert told["stage"] == ["frames", "ms/frame", "s", "share"]
    assert told["Register"][0] == "24" and float(told["Register"][1]) > 0
    shares = [float(cells[-1][:-1]) for cells in told.values() if cells and cells[-1].endswith("%")]
    assert sum(shares) == pytest.approx(100, abs=len(shares))
    assert {"MakeMasters", "ChooseReference", "CompareStars", "Stack"} <= told.keys()
    megabytes = sum(path.stat().st_size for path in night.folder.glob("*.fits")) / 1e6
    read = float(re.search(r"^read: (\d+) MB, \d+ MB/s", ran.out, re.MULTILINE)[1])
    assert read >= round(megabytes)  # each file at least once
    frames, seconds, rate = re.search(
        r"^(\d+) frames in ([\d.]+) s: ([\d.]+) frames/s$", ran.out, re.MULTILINE
    ).groups()
    assert float(rate) == pytest.approx(int(frames) / float(seconds), rel=0.2)
    timings = run_json(tmp_path)["timings"]
    assert timings["per_frame"]["Register"]["frames"] == 24 and timings["frames"] == int(frames)
    again = run(*words)
    assert again.out.splitlines()[-1] == "nothing was computed: all results are up to date"
    assert "no change since the last run" in again.err


@pytest.mark.slow
def test_every_option_of_a_run_does_what_it_says(night, plain, tmp_path, without_figures):
    last = night.frames[-1]
    (x, y), shift = night.target_xy["C2"], np.array([last["dx"], last["dy"]])
    there = np.array([x, y]) + shift
    assert np.hypot(*shift) > 4
    words = ["--target-xy", f"C2:{there[0]:.1f},{there[1]:.1f}", "--target-frame", last["file"]]
    words += [
        "--comparisons",
        "1,2,3,4",
        "--aperture",
        "2",
        "--filter",
        "none",
        "--stars",
        "8",
        "--jobs",
        "1",
    ]
    words += ["--radec", "124.5 25.5", "--out", tmp_path, "--verbose"]
    ran = run("OPTICAM", night.folder, *words)
    assert ran.status == 0, ran.err + ran.out
    assert "INFO potpyri_like" in ran.err  # --verbose
    curve = Table.read(tmp_path / "WASP-0/r/lightcurve.ecsv", format="ascii.ecsv")
    with measured(tmp_path) as hdus:
        stars = hdus["STARS"].data
        assert len(stars) == 8
        used = set(stars["star"][stars["weight"] > 0])
        assert used and used <= {1, 2, 3, 4}
    with measured(plain) as hdus:
        assert len(hdus["STARS"].data) > 8
    first = curve[list(curve["frame"]).index(night.frames["file"][0])]
    assert np.hypot(first["x"] - x, first["y"] - y) < 0.5  # the pixel was given in the last frame
    assert abs(curve.meta["aperture"]["fwhm"] - 2) < 0.15
    assert "--radec" in curve.meta["reasons"]["time"]
    assert choices(tmp_path)["3x3 filter"]["chosen"] == "none"
    assert choices(plain)["3x3 filter"]["chosen"] == "median"
    told = run_json(tmp_path)["options"]
    assert told["stars"] == {"value": 8, "from": "command line"} and told["recipe"]["from"] == "default"


@pytest.mark.slow
def test_the_imaging_recipe_makes_a_stack_and_no_light_curve(night, plain, tmp_path, without_figures):
    (tmp_path / "mine.toml").write_text("recipe = 'Imaging'\njobs = 1\n")
    ran = run("opticam", night.folder, "--config", tmp_path / "mine.toml", "--out", tmp_path / "out")
    assert ran.status == 0, ran.err + ran.out
    assert (tmp_path / "out/WASP-0/r/stack.fits").is_file()
    assert not (tmp_path / "out/WASP-0/r/lightcurve.ecsv").exists()
    assert list((plain / "WASP-0/r").glob("star_*.ecsv"))
    assert run_json(tmp_path / "out")["options"]["recipe"] == {"value": "imaging", "from": "mine.toml"}


@pytest.mark.slow
def test_the_number_of_workers_changes_no_number(night, plain, tmp_path, without_figures):
    ran = run("OPTICAM", night.folder, "--jobs", 2, "--out", tmp_path)
    assert ran.status == 0, ran.err + ran.out
    with measured(plain) as one, measured(tmp_path) as two:
        np.testing.assert_array_equal(one["FLUX"].data, two["FLUX"].data)
    one, two = (next((folder / "WASP-0/r").glob("star_*.ecsv")) for folder in (plain, tmp_path))
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.slow
def test_one_target_of_two_is_reduced_when_it_is_named(tmp_path, without_figures):
    truth = small_night(tmp_path / "night", frames=10)
    for file in truth.frames["file"][5:]:
        fits.setval(truth.folder / file, "OBJECT", value="TOI-1 b")
    ran = run("OPTICAM", truth.folder, "--target", "toi")
    assert [
        path.name for path in (truth.folder / "red").iterdir() if path.is_dir() and path.name[0].isupper()
    ] == ["TOI-1_b"]
    assert ran.status in (0, 3) and "WASP-0" not in ran.out.replace(str(tmp_path), "")
    ran = run("OPTICAM", truth.folder, "--target", "HD 1", "--out", tmp_path / "new")
    assert ran.status == 2
    assert one_sentence(ran) == "reduce: --target HD 1: no such target; there are TOI-1 b, WASP-0"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--target-xy C9:5,6", "C9"),
        ("--target-xy 5,6 --target-frame gone.fits", "gone.fits"),
        ("--comparisons 999", "999"),
    ],
)
def test_an_option_that_does_not_fit_the_night_is_exit_2(night, tmp_path, without_figures, words, told):
    ran = run("OPTICAM", night.folder, *words.split(), "--stars", 4, "--jobs", 1, "--out", tmp_path / "out")
    assert ran.status == 2
    message = ran.err.strip().splitlines()[-1]
    assert message.startswith("reduce: --")
    assert told in message and "Traceback" not in ran.err
    assert not list(tmp_path.glob("out/log/*"))


@pytest.mark.slow
def test_the_installed_script_and_the_module_are_the_same_program(tmp_path):
    script = Path(sys.executable).parent / "reduce"
    told = set()
    for command in ([str(script)], [sys.executable, "-m", "potpyri_like"]):
        done = subprocess.run(
            [*command, "OPTICAM", "gone"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        told.add((done.returncode, done.stdout, done.stderr))
    assert told == {(1, "", "reduce: gone: there is no such folder\n")}
    scripts = metadata.entry_points(group="console_scripts")
    assert {scripts[name].value for name in ("reduce", "potpyri-like")} == {"potpyri_like.cli:main"}
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_screen_takes_any_encoding(tmp_path):
    small_night(tmp_path / "night", frames=1, darks=0, flats=0, target="WASP-0")
    (tmp_path / "night/é\udcff.fits").write_bytes(b"")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "potpyri_like", "OPTICAM", str(tmp_path / "night")]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 3 and b"Traceback" not in done.stderr, done.stderr
    assert b"not a readable FITS file" in done.stdout
