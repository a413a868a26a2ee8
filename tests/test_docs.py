import ast
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import click
import pytest
from fake_report import make_report, make_set

from potpyri_like import cli
from potpyri_like.console import STOPPED
from potpyri_like.frame import FrameKind, MaskBit
from potpyri_like.instruments import Instrument
from potpyri_like.options import Options, public_name
from potpyri_like.pipeline import options_type
from potpyri_like.plugins import load_plugins
from potpyri_like.products import light_curve_table, ranking_table
from potpyri_like.products.tables import aperture_table, frame_table, star_table
from potpyri_like.products.words import FLAG_MEANINGS
from potpyri_like.testing import check_instrument

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
EXAMPLE = ROOT / "examples" / "potpyri-like-hall42" / "potpyri_like_hall42.py"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [page for page in PAGES if "_build" not in page.parts]
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
        name for page in (README, *PAGES) for name in re.findall(r"(?:\$ |`)make ([a-z]+)\b", read(page))
    }
    assert {"demo", "test"} <= named <= targets


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
    for page in (README, ROOT / "CHANGELOG.md", *PAGES):
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)\)", read(page))
        roles = [f"{name}.md" for name in re.findall(r"\{doc\}`([^`<]+)`", read(page))]
        assert not [link for link in (*links, *roles) if not (page.parent / link).exists()], page.name


def test_conda_states_no_version_of_what_pyproject_states():
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    stated = [re.split(r"[<>=~!\[ ]", name)[0] for name in project["dependencies"]]
    text = read(ROOT / "environment.yml")
    assert "-e .[test]" in text
    assert not [name for name in stated if re.search(rf"^\s*- {name}\b", text, re.MULTILINE)]


# -- commands and options --------------------------------------------------------------------------------


def test_every_option_in_the_texts_exists():
    known = options_of(cli.cli) | {"--help", "--version"} | OTHERS_OPTIONS
    for page in (README, *PAGES):
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", read(page)))
        assert named <= known, page.name


def test_the_table_of_options_is_made_from_the_command():
    assert ".. options-table::" in section("reduce.md", "Options")
    command = cli.instrument_command(load_plugins(), "opticam")
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
    known = [cli.ALL_IS_WELL, cli.NOTHING_REDUCED, cli.WRONG_COMMAND, cli.SOMETHING_MISSING, cli.DOUBTFUL]
    assert told == [*known, STOPPED]


def test_the_columns_that_may_be_edited_are_those_of_the_night():
    editable = first_cells(section("reduce.md", "Correct what the headers say"))
    assert set(editable) <= set(make_report().night.table().colnames)
    for kind in FrameKind:
        assert f"`{kind}`" in section("reduce.md", "Correct what the headers say")


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
