"""A recipe in a file of the user's, which is not packaged: run, kept, verified, and never taken from a night."""

import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from astropy.table import Table
from small_night import run, run_json, small_night

import potpyri_like
from potpyri_like.errors import PluginError, UsageError
from potpyri_like.instruments import camera_named
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.options import Options, without_authority
from potpyri_like.primitives import Setup
from potpyri_like.recipe_file import CodeFile, file_digest
from potpyri_like.run import arrivals, output, recipe
from potpyri_like.run.jobs import Job
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.run.recipe import recipe_of
from potpyri_like.run.workers import Pool

MINE = dedent(
    '''
    """The level of the sky in each frame."""

    from dataclasses import dataclass

    import numpy as np
    from astropy.table import Table

    from potpyri_like.hookspecs import hookimpl
    from potpyri_like.primitives import timeseries
    from potpyri_like.primitives.fields import CALIBRATED
    from potpyri_like.stages import Field, FrameStage, Product, Recipe

    LEVEL = Field("level", float, "level of the sky, electron", per="frame")


    @dataclass(frozen=True)
    class Level(FrameStage):
        """Measure it."""

        reads = (CALIBRATED,)
        gives = (LEVEL,)
        part: float = 50.0

        def __call__(self, frame, setup):
            return frame.after("level measured", level=float(np.percentile(frame.data, self.part)))


    usual = timeseries().until("Calibrate")
    skylevel = Recipe("skylevel", (*usual.stages, Level()), about="The level of the sky.")


    @hookimpl
    def register_products():
        def table(shown):
            frames, values = zip(*shown[LEVEL])
            return Table({"frame": frames, "level": np.array(values)})

        return [Product("level.ecsv", "the level of the sky", (LEVEL,), table)]
    '''
)
N = 6


@pytest.fixture(scope="module", autouse=True)
def without_figures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "draw", lambda pictures, runner: {})
        yield


@pytest.fixture(autouse=True)
def own_modules():
    """What tests import is forgotten after them."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("_recipe_of_a_file_"):
            del sys.modules[name]
    recipe._with_file.cache_clear()


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "night"
    small_night(folder, frames=N, depth=0.0)
    return folder


@pytest.fixture
def night(raw, tmp_path):
    shutil.copytree(raw, tmp_path / "night")
    return tmp_path / "night"


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def times(night, mine, *, executor=None, **options):
    report = reduce_night(
        Opticam(), night, options=Options(recipe=str(mine), jobs=1, **options), executor=executor
    )
    assert report.exit_status == 0, report.all_problems
    return report.timing.times


def levels(night):
    table = Table.read(night / "red" / "WASP-0" / "r" / "level.ecsv")
    assert len(table) == N
    return list(table["level"])


# -- what is in the file -------------------------------------------------------------------------------------


def test_a_file_needs_a_recipe_object_and_no_hook(mine):
    recipe = recipe_of(Opticam(), Options(recipe=str(mine)))
    assert recipe.name == "skylevel" and recipe.stages[-1].name == "Level"


def test_a_file_may_use_the_hook_of_plugins(mine):
    mine.write_text(MINE + "\n\n@hookimpl\ndef register_recipes():\n    return [skylevel]\n")
    assert recipe_of(Opticam(), Options(recipe=str(mine))).name == "skylevel"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\n\nx.y\n", r"AttributeError: .*no attribute 'y' \(mine.py, line 3\)"),
        ("def f(:\n", r"SyntaxError: .*\(mine.py, line 1\)"),
        ("import sys\nsys.exit('no')\n", r"SystemExit: no \(mine.py, line 2\)"),
        ("x = 1\n", r"PluginError: no recipe in it: define a Recipe with a new name$"),
        (
            MINE.replace("gives = (LEVEL,)", "gives = ()\n    reads = (LEVEL,)"),
            r"DeclarationError: recipe skylevel: Level reads level, which no stage gives.* \(mine.py, line 31\)",
        ),
        (
            MINE + "\n\n@hookimpl\ndef register_recipes():\n    return [1 / 0]\n",
            r"ZeroDivisionError: division by zero \(mine.py, line 44\)",
        ),
        (
            MINE.replace('"skylevel"', '"imaging"'),
            r"no recipe in it: define a Recipe with a new name \(timeseries, imaging is installed\)",
        ),
        (
            MINE.replace('"skylevel"', '"imaging"')
            + "\n\n@hookimpl\ndef register_recipes():\n    return [skylevel]\n",
            "the name imaging is claimed by .*mine.py of a file and potpyri",
        ),
        (MINE + "potpyri_like_interface = 7\n", "written for version 7 of the plugin interface"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(mine, source, said):
    mine.write_text(source)
    with pytest.raises(PluginError, match=rf"^--recipe {mine}: .*{said}"):
        recipe_of(Opticam(), Options(recipe=str(mine)))


def test_a_file_with_two_recipes_or_none_at_all_is_a_wrong_command(mine, night):
    mine.write_text(MINE + '\nother = Recipe("other", usual.stages)\n')
    with pytest.raises(UsageError, match=r"contains 2 recipes \(other, skylevel\); exactly one is needed"):
        recipe_of(Opticam(), Options(recipe=str(mine)))
    done = run("OPTICAM", night, "--recipe", night / "none.py")
    assert done.status == 2 and "none.py: the file cannot be read (No such file or directory)" in done.err
    assert done.err.count("\n") == 1


def test_a_file_that_failed_is_read_again_once_it_is_mended(mine):
    mine.write_text("1 / 0\n")
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        recipe_of(Opticam(), Options(recipe=str(mine)))
    mine.write_text(MINE)
    assert recipe_of(Opticam(), Options(recipe=str(mine))).name == "skylevel"


# -- runs ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_runs_is_kept_and_its_file_is_what_its_stages_depend_on(night, mine):
    assert times(night, mine)["Level"] == N
    first = levels(night)
    told = run_json(night / "red")
    assert told["options"]["recipe"]["sha256"] == CodeFile.read(str(mine)).sha256
    assert told["recipe"] == "skylevel"
    assert str(mine) not in (night / "red" / "report.html").read_text()
    assert "Level" not in times(night, mine, stars=149)
    mine.write_text(MINE.replace("50.0", "90.0"))
    assert times(night, mine)["Level"] == N and all(b > a for a, b in zip(first, levels(night), strict=True))
    mine.write_text(MINE.replace("50.0", "90.0").replace("self.part)", "self.part / 2)"))
    again = times(night, mine)
    assert again["Level"] == N, "nobody raises the version of a stage in a file"
    assert "DetectStars" not in again and levels(night) < first


@pytest.mark.slow
def test_its_stages_run_in_processes_and_on_a_cluster(night, mine, tmp_path):
    times(night, mine)
    here = levels(night)
    executors = [Pool(2)]
    try:
        from potpyri_like.run.workers import Cluster

        pytest.importorskip("distributed")
        executors.append(Cluster("local", 2))
        for number, executor in enumerate(executors):
            mine.write_text(f"{MINE}# {number}\n")
            assert times(night, mine, executor=executor)["Level"] == N
            assert levels(night) == here
            mine.write_text(MINE.replace("level=float(", "level=frame.nothing or float("))
            report = reduce_night(Opticam(), night, options=Options(recipe=str(mine)), executor=executor)
            (why,) = {o.why.split(": ", 1)[1] for o in report.all_problems if o.stage == "Level"}
            assert why == "AttributeError: 'Frame' object has no attribute 'nothing' (mine.py, line 26)"
    finally:
        for executor in executors:
            executor.shutdown(cancel_futures=True)


@pytest.mark.slow
def test_another_process_has_the_classes_before_the_stages_that_need_them(mine, tmp_path):
    stages = recipe_of(Opticam(), Options(recipe=str(mine))).stages
    job = Job.of([stage for stage in stages if stage.per == "frame"], Setup(Opticam()))
    (tmp_path / "job").write_bytes(pickle.dumps(job))
    mine.unlink()  # what a worker of a cluster does not see
    code = "import pickle, sys; job = pickle.load(open(sys.argv[1], 'rb')); print(job.stages[-1], job.key)"
    said = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "job"],
        env={"PYTHONPATH": str(Path(potpyri_like.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said == f"Level(part=50.0) {job.key}\n"


def test_a_worker_that_cannot_import_it_says_so_in_one_sentence():
    content = pickle.dumps(CodeFile("mine.py", b"import sys\nraise ImportError('no module named x')\n"))
    with pytest.raises(
        PluginError, match=r"^mine.py: a worker cannot import it: ImportError: no .*line 2\)$"
    ):
        pickle.loads(content)


def test_a_stage_of_a_package_has_no_file():
    assert file_digest(Opticam) == "" and "file" not in recipe_of(Opticam(), Options()).stages[0].made_by


@pytest.mark.slow
def test_a_stage_that_reads_what_a_saved_frame_has_not_gets_it(night, mine):
    """What an image was counted in is not kept with the calibrated frame, which therefore is calibrated again."""
    mine.write_text(MINE)
    assert times(night, mine, until="Calibrate")["save image"] == N
    assert "Calibrate" not in times(night, mine)
    mine.write_text(
        MINE.replace("reads = (CALIBRATED,)", "reads = (CALIBRATED, COUNTS)")
        .replace("import CALIBRATED", "import CALIBRATED, COUNTS")
        .replace("np.percentile(frame.data, self.part)", "frame[COUNTS].gain")
    )
    assert times(night, mine)["Calibrate"] >= N
    declared = camera_named(Opticam(), "C2").gain.to_value("electron / adu")
    assert levels(night) == pytest.approx([declared] * N)


@pytest.mark.slow
def test_the_file_in_the_documentation_runs(night, tmp_path):
    text = (Path(__file__).parents[1] / "docs" / "extend.md").read_text("utf-8")
    (code,) = re.findall(r'```python\n("""mine\.py.*?)```', text, re.DOTALL)
    path = tmp_path / "mine.py"
    path.write_text(code)
    assert times(night, path)["MeasureLevel"] == N and min(levels(night)) > 0


# -- authority -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_night_cannot_name_a_file_and_one_sentence_says_so(night, mine, tmp_path):
    mine.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n" + MINE)
    (night / "reduce.toml").write_text(f"recipe = {str(mine)!r}\nfit = 'none'\n")
    done = run("OPTICAM", night, "--jobs", 1, "--until", "Trim")
    assert "is ignored: a night may not set what runs code" in done.err
    assert f"give --recipe {mine}" in done.err and done.status == 0
    assert not (tmp_path / "ran").exists()


def test_the_name_of_a_recipe_is_for_a_night_to_give():
    assert without_authority({"recipe": "imaging"}, "reduce.toml") == ({"recipe": "imaging"}, [])


@pytest.mark.slow
def test_what_looks_at_a_run_again_needs_the_file_again_and_tells_whether_it_is_the_same(night, mine):
    assert run("OPTICAM", night, "--recipe", mine, "--jobs", 1).status == 0
    for command in (("verify", night), ("inject", night)):
        done = run(*command)
        assert done.status == 2 and done.err.count("\n") == 1
        assert f"the run used --recipe {mine}, a file of your own" in done.err
    done = run("verify", night, "--recipe", mine, "--all")
    assert done.status == 0, done.out + done.err
    assert "NOT" not in done.out and "products recreated" in done.out
    assert f"{mine} is the recipe of that run" in run("explain", night, "--recipe", mine).out
    assert f"--recipe {mine} compares it" in run("explain", night).out

    mine.write_text(MINE + "# changed\n")
    assert (
        f"nothing recomputed: {mine} changed; --all recomputes anyway"
        in run("verify", night, "--recipe", mine).out
    )
    assert f"{mine} differs from the recipe of that run" in run("explain", night, "--recipe", mine).out
    done = run("inject", night, "--recipe", mine)
    assert done.status == 2 and "it has another SHA-256; give that recipe" in done.err


@pytest.mark.slow
def test_a_night_is_watched_with_it(night, mine, monkeypatch):
    monkeypatch.setattr(arrivals, "QUIET", 0.2)
    done = run("watch", "OPTICAM", night, "--recipe", mine, "--jobs", 1, "--idle", 0.01)
    assert done.status == 0 and levels(night)


def test_the_help_tells_of_files():
    for command in (("OPTICAM",), ("verify",), ("inject",), ("explain",), ("watch",)):
        assert "--recipe" in run(*command, "--help").out and ".py" in run(*command, "--help").out
