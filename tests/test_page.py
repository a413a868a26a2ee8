"""The page of the night, run.json and the last lines on the screen."""

import base64
import html
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time
from fake_report import ROOT, frame_info, hollow, make_report, make_set

from potpyri_like.frame import FrameKind
from potpyri_like.night import FrameRow, Night
from potpyri_like.products import closing_lines, night_page, page_images, run_json
from potpyri_like.products.summary import count_frames, missing, plain
from potpyri_like.results import Problem, RunReport, SetResult

pytestmark = pytest.mark.slow

VOID = {"meta", "img", "br", "link", "input", "hr"}
HOSTILE = '<script>alert(1)</script> & "x" \' {{ 7*7 }} \x00\x1b \udce9'


class Outline(HTMLParser):
    """Tags, attributes and text of a page; a tag closed out of turn is an error."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text, self.ids = [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def report():
    return make_report()


@pytest.fixture(scope="module")
def images(report):
    return {name: picture() for name, picture in page_images(report).items()}


@pytest.fixture(scope="module")
def page(report, images):
    return night_page(report, images)


@pytest.fixture(scope="module")
def outline(page):
    return Outline(page)


def text_of(page):
    return " ".join(" ".join(Outline(page).text).split())


def with_status(report, changes):
    return replace(report, status={**report.status, **changes})


# -- the page ------------------------------------------------------------------------------------------------


def test_page_is_one_file_that_asks_nobody_for_anything(page, outline):
    assert page.startswith("<!DOCTYPE html>")
    assert outline.all("script") == outline.all("link") == outline.all("iframe") == []
    assert all(img["src"].startswith("data:image/png;base64,") for img in outline.all("img"))
    assert "url(" not in page and "@import" not in page
    assert not any(a["href"].startswith(("http:", "https:", "//", "javascript:")) for a in outline.all("a"))


def test_page_shows_every_image_whole(outline, images):
    shown = {base64.b64decode(img["src"].partition(",")[2]) for img in outline.all("img")}
    assert shown == set(images.values())


def test_images_are_named_for_those_who_cannot_see_them(outline):
    assert len(outline.all("img")) == 13  # both bands; for each: curve, field, noise, comparisons, dark, flat
    assert all(len(img["alt"]) > 20 and int(img["width"]) > 0 for img in outline.all("img"))
    assert outline.all("html") == [{"lang": "en"}]
    assert all("scope" in th for th in outline.all("th"))


def test_anchors_lead_somewhere_and_are_unique(outline):
    assert len(set(outline.ids)) == len(outline.ids)
    inside = [a["href"][1:] for a in outline.all("a") if a["href"].startswith("#")]
    assert set(inside) <= set(outline.ids)
    assert len(inside) >= 6


def test_page_links_to_every_product(report, outline):
    links = {unquote(a["href"]) for a in outline.all("a")}
    products = {path for result in report.sets for path in result.products.values()}
    masters = {f"cals/master_{kind}_{camera}.fits" for kind in ("dark", "flat") for camera in ("C1", "C2")}
    assert products | masters | {"run.json", "night.ecsv"} <= links


def test_link_to_a_product_with_odd_characters_still_leads_there():
    result = replace(hollow(make_set(n_frames=1)), products={"curve": 'a b/#1?%"/lightcurve.ecsv'})
    report = replace(make_report(n_frames=1), sets=(result,))
    hrefs = [a["href"] for a in Outline(night_page(report, {})).all("a")]
    assert 'a b/#1?%"/lightcurve.ecsv' in [unquote(href) for href in hrefs]
    assert not any("?" in href or '"' in href for href in hrefs)


@pytest.mark.parametrize("refused", [3, 30])
def test_page_names_every_refused_and_flagged_frame_with_its_reason(refused):
    report = make_report(refused=refused)
    page = night_page(report, {})
    text = text_of(page)
    for row in report.night.refused:
        assert row.file in text and row.reason in text
    assert text.count("the comparison stars lost 60 % of their light") == 2
    assert text.count("2 stars found where 5 are needed") == 2
    section = page[page.index('id="remarks"') :]
    assert section[section.index("<details") :].startswith("<details open>") == (refused == 3)


def test_page_says_what_came_out(report, outline):
    text = " ".join(" ".join(outline.text).split())
    for result in report.sets:
        noise = result.light_curve.noise
        for figure in noise.values():
            assert f"{1e3 * figure:#.3g}" in text
            assert f"{1085.736 * figure:#.3g}" in text
    for words in (
        "Night 231122",
        "OPTICAM",
        "39 of 40 measured",
        "12.0 px (3.36″) = 2.00 FWHM",
        "6.0–7.8 px (1.7–2.2″)",
        "interpolated between 10 s and 60 s",
        "The 3x3 median takes 3.7 %",
        "its light curve has the least point-to-point scatter",
        "give --radec for BJD_TDB",
        "no bias",
        "command line",
    ):
        assert words in text, words


def test_verdict_is_that_of_the_exit_status(report):
    good = make_report(refused=0)
    good = replace(good, problems=(), sets=tuple(replace(s, problems=()) for s in good.sets))
    assert (good.exit_status, report.exit_status) == (0, 3)
    assert "nothing is missing" in text_of(night_page(good, {}))
    assert "something is missing" in text_of(night_page(report, {}))
    nothing = replace(report, sets=(hollow(report.sets[0]),))
    assert nothing.exit_status == 1
    assert "Nothing could be reduced" in text_of(night_page(nothing, {}))


def hostile_report():
    """A report in which every text that a header or an observer gives is an attack."""
    report = make_report(target=HOSTILE, refused=0)
    info = frame_info(f"{HOSTILE.replace('/', '')}.fit", target=HOSTILE, band=HOSTILE)
    row = FrameRow(f"C1/{HOSTILE}.fit", "refused", HOSTILE, info)
    first = replace(report.sets[0], notes=(HOSTILE,), products={HOSTILE: f"x/{HOSTILE}.fits"})
    return replace(
        report,
        instrument=HOSTILE,
        sets=(first, *report.sets[1:]),
        night=replace(report.night, rows=(*report.night.rows, row)),
        problems=(Problem(HOSTILE, HOSTILE, HOSTILE),),
        options={HOSTILE: (HOSTILE, HOSTILE)},
    )


def test_hostile_texts_are_shown_as_text(images):
    page = night_page(hostile_report(), images)
    assert "<script" not in page
    assert (
        html.escape('<script>alert(1)</script> & "x" \' {{ 7*7 }}')
        .replace("&#x27;", "&#39;")
        .replace("&quot;", "&#34;")
        in page
    )
    assert Outline(page).all("script") == []
    assert "\x00" not in page and "\x1b" not in page
    assert page.encode("utf-8")


def test_run_json_and_last_lines_survive_hostile_texts():
    report = hostile_report()
    assert json.dumps(run_json(report), ensure_ascii=False, allow_nan=False).encode("utf-8")
    assert all("\x1b" not in line and "\n" not in line and line.encode() for line in closing_lines(report))


def empty_reports():
    report = make_report(n_frames=3, refused=0)
    whole = report.sets[0]
    return {
        "nothing at all": RunReport(
            "OPTICAM", "timeseries", Night(Path(), report.night.instrument, ()), (), {}
        ),
        "a set of which nothing was made": replace(report, sets=(hollow(whole),)),
        "no series": replace(report, sets=(replace(whole, series=None),)),
        "no light curve": replace(report, sets=(replace(whole, light_curve=None),)),
        "no stars": replace(report, sets=(replace(whole, light_curve=None, stars=None),)),
        "no reference": replace(report, sets=(replace(whole, reference=None),)),
        "one frame": make_report(n_frames=1, bands=("g",)),
        "a set without frames": replace(
            report, sets=(SetResult(observed=replace(whole.observed, frames=())),)
        ),
    }


DRAWN = (
    "nothing at all",
    "a set of which nothing was made",
    "no series",
    "one frame",
    "a set without frames",
)


@pytest.mark.parametrize("case", list(empty_reports()))
def test_nothing_that_is_missing_stops_the_page(case):
    report = empty_reports()[case]
    images = {name: picture() for name, picture in page_images(report).items()} if case in DRAWN else {}
    page = night_page(report, images)
    assert Outline(page).all("h1")
    assert json.dumps(run_json(report), allow_nan=False)
    assert closing_lines(report)[-1] == "page: red/report.html"


def test_page_is_the_same_twice(report, images, page):
    assert night_page(report, images) == page


def test_a_master_shared_by_two_sets_is_shown_once():
    report = make_report(n_frames=3)
    shared = replace(report.sets[1], masters=report.sets[0].masters)
    report = replace(report, sets=(report.sets[0], shared))
    text = text_of(night_page(report, {}))
    assert text.count("interpolated between 10 s and 60 s") == 1
    assert "for WASP-0, C1 g; WASP-0, C2 r" in text


# -- run.json ------------------------------------------------------------------------------------------------


def test_run_json_tells_the_run(report):
    raw = {"C1/broken000.fit": {"sha256": "ab12"}}
    told = json.loads(json.dumps(run_json(report, raw=raw), allow_nan=False))
    assert told["instrument"] == "OPTICAM"
    assert told["exit_status"] == 3
    assert {"python", "numpy", "astropy", "sep"} <= set(told["versions"])
    assert told["options"]["target_xy"] == {"value": "100,100", "from": "command line"}
    first = told["sets"][0]
    assert first["frames"] == {"total": 40, "measured": 39, "flagged": 2, "refused": 0}
    assert first["light_curve"]["noise"]["rms"] == report.sets[0].light_curve.noise["rms"]
    assert [m["rung"] for m in first["masters"]] == ["interpolated between 10 s and 60 s", "exact"]
    assert len(first["masters"][0]["inputs"]) == 11
    refused = {f["file"]: f["reason"] for f in told["frames"] if f["status"] == "refused"}
    assert refused == {row.file: row.reason for row in report.night.refused}
    sums = {i["file"]: i.get("sha256") for i in told["inputs"]}
    assert sums["C1/broken000.fit"] == "ab12"
    assert len(sums) == len(report.night.rows)


def test_plain_values_are_json():
    values = {
        "nan": np.float64("nan"),
        "array": np.array([1.5, np.inf]),
        "quantity": 3 * u.s,
        "time": Time("2023-11-22T03:02:51.500", scale="utc"),
        "path": Path("a/b"),
        "kind": FrameKind.FLAT,
        3: (np.int64(4), True, None),
    }
    assert json.loads(json.dumps(plain(values), allow_nan=False)) == {
        "nan": None,
        "array": [1.5, None],
        "quantity": {"value": 3.0, "unit": "s"},
        "time": "2023-11-22T03:02:51.500",
        "path": "a/b",
        "kind": "flat",
        "3": [4, True, None],
    }


# -- the last lines on the screen ----------------------------------------------------------------------------


def test_last_lines_give_each_set_its_frames_noise_and_light_curve(report):
    line = closing_lines(report)[0]
    noise = report.sets[0].light_curve.noise
    mmag = {key: f"{1085.736 * value:.2f}" for key, value in noise.items()}
    words = f"WASP-0  g  C1  39 of 40 frames  rms {mmag['rms']} mmag  point-to-point {mmag['point_to_point']}"
    assert line.startswith(f"{words}  expected {mmag['expected']}")
    assert line.endswith("red/WASP-0/g/lightcurve.ecsv")


def test_last_lines_name_each_of_a_few_refused_frames_with_its_reason(report):
    lines = closing_lines(report, folder="/data/out")
    for row in report.night.refused:
        assert f"missing: {row.reason}" in lines
    assert lines[-1] == "page: /data/out/report.html"


def test_last_lines_count_many_frames_refused_for_one_reason():
    lines = [line for line in closing_lines(make_report(refused=30)) if "EXPOSURE" in line]
    assert lines == [
        "missing: 30 frames: no EXPOSURE card, which OPTICAM frames need; the frame is left out "
        "(broken000.fit, broken001.fit, broken002.fit and 27 more; night.ecsv names each)"
    ]


def test_frames_refused_for_different_reasons_are_not_thrown_together(report):
    reasons = {
        f"C1/broken00{k}.fit": ("refused", f"broken00{k}.fit: {why}") for k, why in enumerate(("a", "b", "c"))
    }
    lines = closing_lines(with_status(report, reasons))
    assert [line for line in lines if "broken" in line] == [
        "missing: broken000.fit: a",
        "missing: broken001.fit: b",
        "missing: broken002.fit: c",
    ]


def test_a_refused_frame_that_a_problem_names_is_told_once(report):
    row = report.night.refused[0]
    twice = replace(report, problems=(*report.problems, Problem(row.file, "scan", row.reason)))
    assert sum(row.reason in line for line in closing_lines(twice)) == 1
    assert len(missing(twice)) == len(missing(report))


def test_frames_of_one_name_in_two_folders_are_both_told(report):
    rows = tuple(
        FrameRow(f"{c}/same.fit", "refused", f"same.fit: {why}") for c, why in (("C1", "x"), ("C2", "y"))
    )
    night = replace(report.night, rows=(*report.night.rows, *rows))
    known = Problem("same.fit", "scan", "same.fit: x")
    lines = closing_lines(replace(report, night=night, problems=(known,)))
    assert [line for line in lines if "same.fit" in line] == ["missing: same.fit: x", "missing: same.fit: y"]


def test_unmeasured_frames_are_named_with_their_set(report):
    lines = [line for line in closing_lines(report) if line.startswith("not measured")]
    assert [line.split(": ")[1:3] for line in lines] == [
        ["WASP-0, C1 g", "231122g0011o.fit"],
        ["WASP-0, C2 r", "231122r0011o.fit"],
    ]


def test_a_frame_of_another_shape_counts_among_those_of_its_set(report):
    odd = FrameRow("C1/odd.fit", "refused", "odd.fit: 100 x 100 pixels", frame_info("odd.fit"))
    night = replace(report.night, rows=(*report.night.rows, odd))
    counts = count_frames(replace(report, night=night), report.sets[0])
    assert (counts.total, counts.measured, counts.refused) == (41, 39, 1)
    assert count_frames(replace(report, night=night), report.sets[1]).refused == 0


def test_a_frame_refused_in_the_run_counts_once(report):
    file = "C1/231122g0005o.fit"
    assert (ROOT / file) == report.sets[0].observed.frames[5].path
    counts = count_frames(
        with_status(report, {file: ("refused", "its pixels cannot be read")}), report.sets[0]
    )
    assert (counts.total, counts.refused) == (40, 1)
