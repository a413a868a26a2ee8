import ast
import importlib
import re
import shlex
import tomllib
from dataclasses import fields
from pathlib import Path

import click
import numpy as np
import pytest
from fake_report import make_report, make_set

from potpyri_like.commands import shared
from potpyri_like.commands.console import STOPPED
from potpyri_like.commands.group import cli
from potpyri_like.commands.reduce import instrument_command
from potpyri_like.frame import FrameKind, MaskBit
from potpyri_like.instruments import Instrument
from potpyri_like.options import Options, public_name
from potpyri_like.plugins import load_plugins
from potpyri_like.products import light_curve_table, ranking_table
from potpyri_like.products.tables.measurements import aperture_table, frame_table
from potpyri_like.products.tables.stars import star_table
from potpyri_like.products.words import FLAG_MEANINGS
from potpyri_like.run.recipe import options_type
from potpyri_like.testing import check_instrument

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
EXAMPLE = ROOT / "examples" / "potpyri-like-hall42" / "potpyri_like_hall42.py"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [page for page in PAGES if "_build" not in page.parts]
COMING_FROM = [page for page in PAGES if page.parent.name == "coming-from" and page.stem != "index"]
OTHERS_OPTIONS = {"--dedent"}


def read(path):
    return path.read_text("utf-8")


def blocks(path, language):
    """The code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", read(path), re.MULTILINE | re.DOTALL)


def section(page, title):
    """The text under a heading, up to the next one of its rank."""
    return re.split(r"^## ", read(ROOT / "docs" / page).partition(f"## {title}\n")[2], flags=re.MULTILINE)[0]


def first_cells(text):
    """What is set as code in the first column of the tables of a text."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def ours(page):
    """The text of a page about another system without the first column of its tables, which is theirs."""
    lines = read(page).splitlines()
    return "\n".join(line.partition("|")[2].partition("|")[2] if line[:1] == "|" else line for line in lines)


def spans(text):
    """What is set as code within a text, not in blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def options_of(command):
    """The options of a command and of those below it."""
    context = click.Context(
        command, help_option_names=["-h", "--help"]
    )  # click keeps the first that it is asked for
    found = {
        name for option in command.get_params(context) for name in (*option.opts, *option.secondary_opts)
    }
    if isinstance(command, click.Group):
        names = {name: command.get_command(context, name) for name in command.list_commands(context)}
        found |= {option for below in names.values() if below for option in options_of(below)}
    return found


# -- README ----------------------------------------------------------------------------------------------


def test_the_readme_begins_with_the_two_commands():
    assert re.match(r"# potpyri_like\n\n```console\n\$ make demo .*\n\$ make test .*\n```\n", read(README))


def test_every_make_command_in_the_texts_is_a_target():
    targets = set(re.findall(r"^([a-z]+):", read(ROOT / "Makefile"), re.MULTILINE))
    named = {
        name
        for page in (README, CONTRIBUTING, *PAGES)
        for name in re.findall(r"(?:\$ |`)make ([a-z]+)\b", read(page))
    }
    assert {"demo", "test", "quick", "dist"} <= named <= targets


def test_ci_runs_the_command_of_the_readme():
    assert re.search(r"^make test\b", read(ROOT / ".ci" / "run"), re.MULTILINE)


def test_the_instrument_in_the_readme_is_complete_and_sound():
    (code,) = blocks(README, "python")
    imports = """
import astropy.units as u
from astropy.coordinates import EarthLocation
from astropy.time import Time
from potpyri_like.instruments import Camera, FrameKind, HeaderKeywords, Instrument, Keyword
"""
    names = {}
    exec(imports + code, names)
    failed = [result for result in check_instrument(names["Toy"], night=False) if not result.passed]
    assert not failed


def test_links_between_the_texts_lead_somewhere():
    for page in (README, CONTRIBUTING, ROOT / "CHANGELOG.md", *PAGES):
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)\)", read(page))
        roles = [f"{name}.md" for name in re.findall(r"\{doc\}`([^`<]+)`", read(page))]
        assert not [link for link in (*links, *roles) if not (page.parent / link).exists()], page.name


def requirements(*extras):
    """The names of the packages that the software, or some of its extras, ask for."""
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    lists = [project["optional-dependencies"][extra] for extra in extras] or [project["dependencies"]]
    return [re.split(r"[<>=~!\[ ]", name)[0] for one in lists for name in one]


def items(name):
    """The entries of a conda environment, pip's included."""
    return re.findall(r"^\s*- (.+?)(?:  #.*)?$", read(ROOT / name), re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "what"), [("environment.yml", "."), ("environment-dev.yml", "-e .[dev]")], ids=["users", "dev"]
)
def test_conda_states_python_and_leaves_the_packages_to_pyproject(name, what):
    assert "python >=3.11,<3.14" in items(name) and items(name)[-1] == what
    assert not set(requirements() + requirements("test", "lint", "docs", "dist")) & set(items(name))


def test_every_requirement_is_imported_in_the_package_or_says_what_it_waits_for():
    text = read(ROOT / "pyproject.toml")
    code = "\n".join(read(path) for path in (ROOT / "potpyri_like").rglob("*.py"))
    other = {
        "pillow": "from PIL import",
        "astropy-iers-data": "from astropy.utils import iers",
        "pyvo": 'import_module("pyvo.',
    }
    for name in requirements():
        (reason,) = re.findall(rf'^    "{name}[<>=\d.]*",  # (.+)$', text, re.MULTILINE)
        usual = rf"^\s*(import|from) {name}\b"
        used = other[name] in code if name in other else re.search(usual, code, re.MULTILINE)
        assert reason.startswith("waits for") != bool(used), name


def test_the_citation_is_of_this_version_and_licence():
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    stated = dict(re.findall(r"^([a-z-]+): (\S.*)$", read(ROOT / "CITATION.cff"), re.MULTILINE))
    assert [stated["version"], stated["license"]] == [project["version"], project["license"]]
    assert stated["title"] == "potpyri_like" and stated["cff-version"] == "1.2.0"


def test_the_hooks_of_git_are_local():
    assert set(re.findall(r"repo: (\S+)", read(ROOT / ".pre-commit-config.yaml"))) == {"local"}


def test_the_public_workflow_runs_make_targets_on_both_systems_and_four_pythons():
    text = read(ROOT / ".github" / "workflows" / "tests.yml")
    targets = set(re.findall(r"^([a-z]+):", read(ROOT / "Makefile"), re.MULTILINE))
    (named,) = re.findall(r"target: \[(.+)\]", text)
    assert {"test", *named.split(", ")} <= targets
    commands = re.findall(r"run: (.+)", text)
    assert commands and all(command.startswith("make ") for command in commands)
    assert all(word in text for word in ("ubuntu", "macos", '"3.11"', '"3.12"', '"3.13"', '"3.14"'))


# -- commands and options --------------------------------------------------------------------------------


def test_every_option_in_the_texts_exists():
    known = options_of(cli) | {"--help", "--version"} | OTHERS_OPTIONS
    for page in (README, *PAGES):
        text = ours(page) if page in COMING_FROM else read(page)
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
        assert named <= known, page.name


def test_the_table_of_options_is_made_from_the_command():
    assert ".. options-table::" in section("reduce.md", "Options")
    command = instrument_command(load_plugins(), "opticam")
    of_command = {option.name for option in command.params if isinstance(option, click.Option)}
    on_the_line_only = {"out", "config", "redo", "timings", "verbose"}
    assert {item.name for item in fields(options_type())} | on_the_line_only == of_command


def test_the_example_of_reduce_toml_is_valid():
    (text,) = blocks(ROOT / "docs" / "reduce.md", "toml")
    options = Options().merged(tomllib.loads(text), where="the documentation")
    changed = [public_name(f) for f in fields(Options) if getattr(options, f.name) != f.default]
    assert sorted(changed) == ["filter", "radec", "stars", "target_xy"]


def test_exit_statuses_are_those_of_the_command():
    told = [int(n) for n in re.findall(r"^\| (\d+) \|", section("reduce.md", "Exit status"), re.MULTILINE)]
    known = [
        shared.ALL_IS_WELL,
        shared.NOTHING_REDUCED,
        shared.WRONG_COMMAND,
        shared.SOMETHING_MISSING,
        shared.DOUBTFUL,
    ]
    assert told == [*known, STOPPED]


def test_the_columns_that_may_be_edited_are_those_of_the_night():
    editable = first_cells(section("reduce.md", "Correct what the headers say"))
    assert set(editable) <= set(make_report().night.table().colnames)
    for kind in FrameKind:
        assert f"`{kind}`" in section("reduce.md", "Correct what the headers say")


# -- coming from another system --------------------------------------------------------------------------


def command_of(words):
    """The command that words name; `INSTRUMENT` stands for any."""
    context = click.Context(cli, obj=None)
    return cli.get_command(context, "OPTICAM" if words[0] == "INSTRUMENT" else words[0])


@pytest.mark.parametrize("page", COMING_FROM, ids=lambda page: page.stem)
def test_a_page_for_users_of_another_system_names_only_what_there_is(page):
    text = ours(page)
    everything = options_of(cli)
    commands = [shlex.split(span)[1:] for span in spans(text) if span.startswith("reduce ")]
    assert commands
    for words in commands:
        command = command_of(words)
        assert command is not None, words
        assert {word for word in words if word.startswith("--")} <= options_of(command), words
    options = [span.split()[0] for span in spans(text) if span.startswith("--")]
    assert options and set(options) <= everything
    for span in spans(text):
        if span.startswith("potpyri_like."):
            module, _, name = span.rpartition(".")
            assert name in importlib.import_module(module).__all__, span
        if span.startswith("pl."):
            assert span.removeprefix("pl.") in importlib.import_module("potpyri_like").__all__, span


@pytest.mark.parametrize("page", COMING_FROM, ids=lambda page: page.stem)
def test_a_page_for_users_of_another_system_names_only_files_that_are_written(page):
    own = {"night.ecsv", "run.json", "report.html", "reduce.toml", "times.csv", "stack.fits"}
    written = own | {Path(product.item.name).name for product in load_plugins().products.values()}
    named = {
        Path(span).name for span in spans(ours(page)) if re.fullmatch(r"(?!pl\.)[\w/]+\.[a-z]{3,5}", span)
    }
    assert named and named <= written


def test_every_page_for_users_of_another_system_is_in_the_index():
    listed = re.findall(r"^[a-z_]+$", read(ROOT / "docs" / "coming-from" / "index.md"), re.MULTILINE)
    assert sorted(listed) == sorted(page.stem for page in COMING_FROM)


# -- methods ---------------------------------------------------------------------------------------------

YEAR = r"(1[89]\d\d|20\d\d)"


def cited(text):
    """First authors and years: "Lang et al. 2010", "Young (1994)", "Peterson et al. (1998, 2004)"."""
    authors = r"([A-Z][\w-]+)(?:(?:, [A-Z][\w-]+)* (?:& [A-Z][\w-]+|and [A-Z][\w-]+|et al\.?)|\b)"
    found = re.findall(rf"{authors}[ ,]*\(?((?:{YEAR}(?:, )?)+)", text)
    return {(author, year) for author, years, *_ in found for year in re.findall(YEAR, years)}


def references():
    lines = re.findall(rf"^- (.+?) {YEAR}[,.]", read(ROOT / "docs" / "methods.md"), re.MULTILINE)
    return {(re.match(r"[\w-]+", authors)[0], year) for authors, year in lines}


def test_every_method_has_its_reference_and_every_reference_its_method():
    text = read(ROOT / "docs" / "methods.md").partition("## References")[0]
    assert {("Astropy" if author == "Collaboration" else author, year) for author, year in cited(text)} == (
        references()
    )


def test_what_the_numerics_cite_is_in_the_list_of_methods():
    rooms = ("imaging", "photometry", "astrometry", "lightcurves")
    code = "\n".join(read(path) for room in rooms for path in (ROOT / "potpyri_like" / room).rglob("*.py"))
    assert len(cited(code)) > 20
    assert not cited(code) - references()


def test_the_methods_are_where_the_page_says():
    named = re.findall(
        r"`((?:imaging|photometry|astrometry|lightcurves)/\w+\.py)`", read(ROOT / "docs" / "methods.md")
    )
    assert len(named) > 20
    assert not [name for name in named if not (ROOT / "potpyri_like" / name).is_file()]


# -- products --------------------------------------------------------------------------------------------


def test_every_column_of_the_night_is_described():
    assert first_cells(section("products.md", "`night.ecsv`")) == make_report().night.table().colnames


@pytest.mark.parametrize("barycentric", [True, False])
def test_every_column_of_a_light_curve_is_described(barycentric):
    table = light_curve_table(make_set(barycentric=barycentric).light_curve)
    told = first_cells(section("products.md", "`lightcurve.ecsv`"))
    assert [name for name in told if name in table.colnames] == table.colnames
    assert set(told) - set(table.colnames) == {"jd_utc_mid" if barycentric else "bjd_tdb"}


def test_every_column_of_the_stars_is_described():
    assert first_cells(section("products.md", "`stars.ecsv`")) == ranking_table(make_set()).colnames


def test_every_column_of_the_measurements_is_described():
    text = section("products.md", "`measurements.fits`")
    result = make_set()
    for table in (star_table(result), frame_table(result.series), aperture_table(result.series)):
        for name in table.colnames:
            assert f"`{name}`" in text


def test_every_flag_is_described():
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", section("products.md", "`lightcurve.ecsv`"), re.MULTILINE)
    assert {int(bit): words for bit, words in rows} == FLAG_MEANINGS


def test_every_bit_of_a_mask_is_described():
    rows = re.findall(r"^\| (\d+) \|", section("products.md", "Images"), re.MULTILINE)
    assert [int(bit) for bit in rows] == [int(bit) for bit in MaskBit]


# -- write an instrument ---------------------------------------------------------------------------------


def test_the_code_about_instruments_runs_as_it_stands():
    names = {}
    for code in blocks(ROOT / "docs" / "instrument.md", "python"):
        exec(code, names)
    assert len(names["cameras"]) == 2 and len(names["kinds"]) == 5


def test_the_example_declares_an_instrument_in_twenty_five_lines_at_most():
    (cls,) = [node for node in ast.parse(read(EXAMPLE)).body if isinstance(node, ast.ClassDef)]
    declared = [node for node in cls.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    assert sum(node.end_lineno - node.lineno + 1 for node in declared) <= 25


def test_the_page_shows_every_line_of_the_example():
    text = read(ROOT / "docs" / "instrument.md")
    marks = re.findall(r":(?:start-at|end-before): (.+)", text)
    assert all(mark.strip('"') in read(EXAMPLE) for mark in marks)
    assert text.count("potpyri_like_hall42.py\n:language: python\n") == 6


def test_the_methods_that_an_author_is_told_of_exist():
    named = set(
        re.findall(
            r"`([a-z]+_of|remarks|settle|layout|mid_time|time_cards)`", read(ROOT / "docs" / "instrument.md")
        )
    )
    assert len(named) > 10
    assert not [name for name in named if not hasattr(Instrument, name)]


# -- the house -------------------------------------------------------------------------------------------


def test_the_house_has_the_floors_that_the_linter_checks():
    contract = tomllib.loads(read(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"][0]
    names = [name for layer in contract["layers"] for name in layer.split(" | ")]
    (drawing, *_) = blocks(ROOT / "docs" / "house.md", "text")
    floors = re.findall(
        "|".join(rf"(?<=^){n}\b|(?<=\| ){n}\b|(?<=, ){n}\b" for n in names), drawing, re.MULTILINE
    )
    assert floors == names


def test_the_house_names_files_that_there_are():
    whole = read(ROOT / "docs" / "house.md")
    named = [span for span in spans(whole) if re.fullmatch(r"[\w.-]+(/[\w.-]*)+", span)]
    assert len(named) > 60
    assert not [name for name in named if not (ROOT / name).exists()]
    text = section("house.md", "Where to put what")
    for word in ("instrument", "stage", "recipe", "product", "option", "photometer", "test"):
        assert re.search(rf"^An? \*\*{word}\*\*$", text, re.MULTILINE), word


def test_what_the_house_places_in_a_file_is_there():
    whole = read(ROOT / "docs" / "house.md")
    placed = re.findall(r"`([\w.]+)`(?:\s+and\s+`([\w.]+)`)?\s+(?:in|of)\s+`([\w/-]+\.py)`", whole)
    assert len(placed) > 10
    absent = [
        (name, file)
        for *names, file in placed
        for name in filter(None, names)
        if not re.search(rf"\b{name.rpartition('.')[2]}\b", read(ROOT / file))
    ]
    assert not absent


def test_every_public_package_has_its_page():
    pages = "".join(read(page) for page in PAGES if page.parent.name == "reference")
    public = (
        "imaging",
        "photometry",
        "lightcurves",
        "astrometry",
        "testing",
        "primitives",
        "night",
        "plugins",
        "stages",
        "store",
        "errors",
    )
    assert not [name for name in public if f".. automodule:: potpyri_like.{name}\n" not in pages]


def test_everything_for_a_declaration_is_described():
    import potpyri_like.instruments as instruments

    text = read(ROOT / "docs" / "reference" / "instruments.md")
    assert not [name for name in instruments.__all__ if not re.search(rf"[.: ~]{name}\b", text)]


@pytest.mark.slow
def test_the_python_page_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in blocks(ROOT / "docs" / "python.md", "python"):
        exec(compile(code, "python.md", "exec"), names)
    assert len(names["curve"]) == 18 and names["series"].time.scale == "tdb"
    assert np.array_equal(names["by_hand"].data, names["image"].data)
    assert len(names["fluxes"]) == 10 and names["match"].rms < 1
