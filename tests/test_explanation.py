"""Why the last run chose what it chose, in words."""

import json
import re
from dataclasses import replace

import pytest
from fake_report import make_report
from small_night import run, small_night

from potpyri_like.lightcurves import named_scale, parse_intervals
from potpyri_like.products import explanation
from potpyri_like.products.explanation import times_template
from potpyri_like.products.run_json import run_json
from potpyri_like.results import Candidate, Choice

pytestmark = pytest.mark.slow  # whole nights

LOSERS = 15
APERTURES = (
    *(Candidate(f"{1 + 0.1 * i:.2f} FWHM", f"{9 - 0.1 * i:.2f} mmag", "noisier") for i in range(LOSERS)),
    Candidate("2.50 FWHM", "1.91 mmag"),
)


@pytest.fixture
def record():
    """Two bands; in the first the aperture was chosen from sixteen."""
    report = make_report()
    first, second = report.sets
    reference, _ = first.choices
    aperture = Choice("aperture", "2.50 FWHM", "least noise from point to point", APERTURES)
    report = replace(report, sets=(replace(first, choices=(reference, aperture)), second))
    return json.loads(json.dumps(run_json(report)))


def test_every_set_tells_its_choices_and_their_reasons(record):
    lines = explanation(record)
    assert [line for line in lines if line and not line.startswith(" ")] == [
        "WASP-0, C1 g",
        "WASP-0, C2 r",
    ]
    assert lines[:3] == [
        "WASP-0, C1 g",
        "  reference: 231122g0000o.fit",
        "    it is the sharpest of the frames near the meridian",
    ]
    assert lines.index("") == lines.index("WASP-0, C2 r") - 1
    assert lines.count("  note: The 3x3 median takes 3.7 % of a star's light at this FWHM.") == 2


def test_a_dozen_of_those_that_lost_are_named(record):
    lines = explanation(record, what="aperture")
    assert "    chosen from 16; 15 candidates rejected:" in lines
    assert [line for line in lines if line.endswith("noisier")] == [
        f"      {1 + 0.1 * i:.2f} FWHM  {9 - 0.1 * i:.2f} mmag  noisier" for i in range(12)
    ]
    assert "      ... and 3 more (--all)" in lines
    assert not any("1.91 mmag" in line for line in lines)  # the one that was taken


def test_all_of_them_are_named_when_asked_for(record):
    lines = explanation(record, what="aperture", everything=True)
    assert sum(line.endswith("noisier") for line in lines) == LOSERS
    assert not any("more (--all)" in line for line in lines)


@pytest.mark.parametrize("word", ["C2", "c2 R", "r", "2 r"])
def test_a_band_or_a_camera_shows_all_choices_of_its_sets_and_no_others(record, word):
    lines = explanation(record, what=word)
    assert "WASP-0, C2 r" in lines
    assert any(line.startswith("  aperture: ") for line in lines)
    assert any(line.startswith("  note: ") for line in lines)
    assert "WASP-0, C1 g" not in lines


def test_the_name_of_a_target_shows_all_its_sets(record):
    assert explanation(record, what="wasp-0") == explanation(record)


def test_a_choice_shows_only_itself_in_every_set(record):
    lines = explanation(record, what="REFER")
    assert [line for line in lines if line.startswith("  ") and line[2] != " "] == [
        "  reference: 231122g0000o.fit",
        "  reference: 231122r0000o.fit",
    ]


def test_what_nobody_chose_gives_no_line(record):
    assert explanation(record, what="no such thing") == []
    assert explanation({}) == []


def test_the_record_is_not_changed(record):
    before = json.dumps(record)
    explanation(record, what="aperture", everything=True)
    assert json.dumps(record) == before


# -- reduce explain ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A small night with darks of another exposure besides, reduced once."""
    folder = tmp_path_factory.mktemp("explain")
    truth = small_night(folder, frames=6, size=(160, 160), stars=8, comparisons=6, dark_exposures=(5.0, 20.0))
    x, y = truth.target_xy["C2"]
    done = run("OPTICAM", folder, "--target-xy", f"{x:.1f},{y:.1f}", "--jobs", "1")
    assert done.status in (0, 3), done.err
    return folder


def test_explain_names_what_the_run_chose_and_what_lost(night):
    done = run("explain", night)
    assert done.status == 0
    chosen = [line.split(":")[0].strip() for line in done.out.splitlines() if line[:2] == "  " != line[2:4]]
    assert set(chosen) >= {
        "3x3 filter",
        "reference",
        "dark of 20 s",
        "flat",
        "aperture",
        "comparisons",
        "target",
    }
    assert done.out.startswith("WASP-0, C2 ")


def test_the_darks_of_another_exposure_are_those_that_lost(night):
    done = run("explain", night, "dark of 20 s", "--all")
    assert "  dark of 20 s: exact\n    2 frames\n    chosen from 4; 2 candidates rejected:" in done.out
    lost = [line for line in done.out.splitlines() if line.endswith("it is one of 5 s")]
    assert len(lost) == 2


def test_the_apertures_that_lost_say_by_how_much(night):
    done = run("explain", night, "aperture", "--all")
    lost = [line for line in done.out.splitlines() if line.startswith(" " * 6)]
    assert len(lost) > 3
    assert all(" FWHM  " in line for line in lost)
    why = ("noisier by", "by chance: its neighbours", "crosses the image edge")
    assert all(any(words in line for words in why) for line in lost)


def test_the_products_may_be_elsewhere(night, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (night / "red").rename(elsewhere)
    try:
        assert run("explain", night, "--out", elsewhere).status == 0
        missing = run("explain", night)
    finally:
        elsewhere.rename(night / "red")
    assert missing.status != 0
    assert "run.json" in missing.err


def test_a_word_that_fits_nothing_is_a_wrong_command(night):
    done = run("explain", night, "apperture")
    assert done.status == 2
    assert re.search(r"'apperture': unknown topic; try .*\baperture, ", done.err)
    assert not done.out


def test_without_a_run_there_is_nothing_to_explain(tmp_path):
    before = list(tmp_path.iterdir())
    for place in (tmp_path, tmp_path / "nowhere"):
        done = run("explain", place)
        assert done.status in (1, 2)
        assert str(place) in done.err
        assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == before


def test_where_no_candidate_was_taken_none_is_counted_as_taken():
    lost = [{"name": f"x{n}", "figures": "", "lost": "not justified"} for n in range(9)]
    choice = {"what": "baseline", "chosen": "constant", "why": "by the BIC", "candidates": lost}
    one = {"target": "a", "camera": "b", "band": "c", "choices": [choice]}
    lines = explanation({"sets": [one]})
    assert "    9 candidates, all rejected:" in lines and not any("out of" in line for line in lines)
    choice["candidates"] = [*lost, {"name": "y", "figures": "", "lost": ""}]
    assert "    chosen from 10; 9 candidates rejected:" in explanation({"sets": [one]})


def test_the_template_of_times_names_the_scale_and_the_transit():
    fit = {"time": "bjd_tdb", "tc": {"value": 2460380.43}, "t14": {"value": 0.02}}
    one = {"target": "a", "light_curve": {"time": "bjd_tdb"}, "transit": fit}
    lines = times_template({"sets": [one, one]})
    assert lines[0] == "# time: BJD_TDB" and lines[-1] == "init_time,final_time"
    assert "# a: the fitted transit lasts from 2460380.42000 to 2460380.44000" in lines
    text = "\n".join(lines)
    assert named_scale(text, path_name="times.csv") == "bjd_tdb"
    assert parse_intervals(text, path_name="times.csv") == []
    assert times_template({"sets": [{**one, "light_curve": {"time": "jd_utc_mid"}}]})[0] == "# time: JD_UTC"
