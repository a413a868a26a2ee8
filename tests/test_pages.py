"""What the pages show is what comes: every command and every block of code in README and docs is run.

The tutorials are notebooks, which run when the documentation is built (`make docs`). Here are the other pages:
blocks of `console` with prompts, whose output is compared where it is shown, blocks of `python`, and of `toml`.
"""

import doctest
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from potpyri_like.options import Options
from potpyri_like.plugins import load_plugins
from potpyri_like.testing import NightPlan, simulate_night

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if "_build" not in page.parts]

# Commands that are not run here, each with its reason.
EXCLUDED = {
    r"make \w+": "`.ci/run` runs make test, lint and docs; the others are made of the same steps",
    r"python3 -m venv ~/potpyri( && .*)?": "the environment: `make dist` installs the wheel in a fresh one",
    r"(~/potpyri/bin/)?pip install .*": "the environment: needs a package index",
    r"source ~/potpyri/bin/activate": "the environment",
    r"python benchmarks/.*": "takes minutes to hours; printed for readers who want to repeat a figure",
}

# Places and addresses on the pages, and what stands for them in the sandbox.
PLACES = {
    "/path/to/night": "night",
    "/archive/20250222": "night",
    "/archive/2025*": "night",
    "/data/tonight": "night",
    "/tmp/night": "new-night",
    "NIGHT": "night",
    "~/potpyri/bin/reduce": "reduce",
    "tcp://10.0.0.1:8786": "local",  # a cluster of this computer
    "--serve 8000": "--serve 0 --idle 0.01",  # any port, and an end
}

# Blocks of Python that test_docs.py runs, with what it knows of their pages.
IN_TEST_DOCS = {"README.md", "instrument.md", "python.md"}

NUMBER = re.compile(r"\d+(\.\d+)?")
CHECKER = doctest.OutputChecker()
LENIENT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A block of code on a page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[tuple[str, str]]:
        """What is typed, and the output that is shown below it."""
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]
        pairs = [re.match(r"((?:.*\\\n)*.*)\n?", part) for part in parts]
        return [
            (re.sub(r"\s+#.*", "", pair[1]), part[pair.end() :])
            for pair, part in zip(pairs, parts, strict=True)
        ]


def blocks(language, pages=PAGES):
    """The blocks of a language on all pages."""
    found = []
    for page in pages:
        text = page.read_text("utf-8")
        for match in re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            found.append(Block(page, text[: match.start()].count("\n") + 1, language, match[1]))
    return found


def is_excluded(command):
    return any(re.fullmatch(pattern, command) for pattern in EXCLUDED)


CONSOLE = blocks("console")
RUN = [block for block in CONSOLE if not all(is_excluded(command) for command, _ in block.commands)]


def same(shown, came):
    """Whether an output is the one on the page: `...` stands for anything, and a number for any number.

    Numbers differ a little between processors and versions of the packages below.
    """
    shown, came = (NUMBER.sub("0", text) for text in (shown, came))
    return CHECKER.check_output(shown, came, LENIENT)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    """A folder with a small night that has been reduced, as the pages take for granted."""
    folder = tmp_path_factory.mktemp("pages")
    truth = simulate_night(
        load_plugins()["OPTICAM"],
        folder / "night",
        NightPlan(frames=12, size=(384, 384), bands=("g",), drift=8, depth=0.0),
    )
    x, y = truth.target_xy["C1"]
    (folder / "night" / "reduce.toml").write_text(f'target-xy = "C1:{x:.1f},{y:.1f}"\nanimation = "no"\n')
    (folder / "nights.txt").write_text("OPTICAM night\n")
    run(folder, "reduce OPTICAM night")
    return folder


def run(folder, command):
    """The output of a command in a folder; it has to end well."""
    for there, here in PLACES.items():
        command = command.replace(there, here)
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        **dict.fromkeys(("XDG_CONFIG_HOME", "POTPYRI_LIKE_CACHE"), str(folder / "nobody")),
    }
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    return done.stdout


def as_shown(output):
    """An output with the places that the page names."""
    return re.sub(r"(?m)(?<![\w/-])new-night(?=[/ \n;])", "/tmp/night", output)


@pytest.mark.slow
@pytest.mark.parametrize("block", RUN, ids=lambda block: block.name)
def test_commands_on_a_page_give_what_the_page_shows(block, sandbox):
    for command, shown in block.commands:
        if is_excluded(command):
            continue
        came = as_shown(run(sandbox, command))
        assert not shown or same(shown, came), f"$ {command}\nshown:\n{shown}\ncame:\n{came}"


def test_a_wrong_output_is_noticed():
    assert same("raw files: 42, all unchanged\n", "raw files: 7, all unchanged\n")
    assert same("page: ...\n", "page: night/red/report.html\n")
    assert not same("raw files: 42, all unchanged\n", "raw files: 42, 1 changed\n")
    assert not same("one line\n", "one line\nand another\n")


def test_everything_typed_on_a_page_is_ours_or_excluded_with_a_reason():
    typed = {command for block in CONSOLE for command, _ in block.commands}
    unknown = {command for command in typed if not is_excluded(command)}
    assert all(re.match(r"(~/potpyri/bin/)?reduce ", command) for command in unknown)
    assert all(any(re.fullmatch(pattern, command) for command in typed) for pattern in EXCLUDED)
    assert not [block.name for block in CONSOLE if not block.text.startswith("$ ")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["extend.md", "products.md"])
def test_the_python_on_a_page_runs_from_top_to_bottom(name, sandbox, monkeypatch):
    monkeypatch.chdir(sandbox / "night")
    names = {}
    for block in blocks("python", [ROOT / "docs" / name]):
        exec(compile(block.text, block.name, "exec"), names)
    assert names


@pytest.mark.slow
def test_the_recipe_on_the_page_makes_its_table(sandbox):
    (block,) = blocks("python", [ROOT / "docs" / "extend.md"])
    (sandbox / "mine.py").write_text(block.text)
    run(sandbox, "reduce OPTICAM night --recipe mine.py --out levels")
    (table,) = (sandbox / "levels").rglob("level.ecsv")
    assert len(re.findall(r"^250222_", table.read_text(), re.MULTILINE)) == 12


def test_all_python_on_the_pages_is_run_by_a_test():
    pages = {block.page.name for block in blocks("python")}
    assert pages == IN_TEST_DOCS | {"extend.md", "products.md"}
    tests = (ROOT / "tests" / "test_docs.py").read_text("utf-8")
    assert all(
        f'"{name}", "python")' in tests or f'"{name}",\n' in tests for name in IN_TEST_DOCS - {"README.md"}
    )


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.name)
def test_every_block_of_options_is_valid(block):
    assert Options().merged(tomllib.loads(block.text), where=block.name) != Options()


def test_the_tutorials_hold_no_code_that_is_not_run():
    pages = [page for page in PAGES if page.parent.name == "tutorials"]
    assert len(pages) >= 7
    others = [block.name for block in blocks(r"(?!\{)\w+", pages) if block.language != "console"]
    idle = [block.name for block in CONSOLE if block.page in pages and block in RUN]
    assert not idle and len(others) == len([block for block in CONSOLE if block.page in pages])


def test_the_drawing_of_the_house_has_every_room_and_no_arrow_upwards():
    script = ROOT / "docs" / "drawing.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    package = ROOT / "potpyri_like"
    rooms = {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"}
    rooms |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(re.findall(r"<text [^>]*>(\w+)</text>", done.stdout)) == rooms
    assert 'class="implied"' in done.stdout and 'class="up"' not in done.stdout
