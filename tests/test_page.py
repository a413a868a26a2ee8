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
from fake_report import (
    ROOT,
    frame_info,
    hollow,
    make_report,
    make_set,
    page_images,
    with_periods,
    with_transit,
)

from potpyri_like.frame import FrameKind
from potpyri_like.lightcurves import Estimate
from potpyri_like.night import FrameRow, Night, bare_reason
from potpyri_like.products import closing_lines, night_page, run_json
from potpyri_like.products.closing import with_error
from potpyri_like.products.page import night as page_of_the_night
from potpyri_like.products.rows import count_frames, missing
from potpyri_like.products.run_json import plain
from potpyri_like.results import Candidate, Choice, Problem, RunReport, SetResult

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


@pytest.mark.parametrize("rejected", [3, 30])
def test_page_names_every_rejected_and_flagged_frame_with_its_reason(rejected):
    report = make_report(rejected=rejected)
    page = night_page(report, {})
    text = text_of(page)
    for row in report.night.rejected:
        assert row.file in text and bare_reason(row.file, row.reason) in text
    assert text.count("the comparison stars lost 60 % of their light") == 2
    assert text.count("2 stars found where 5 are needed") == 2
    section = page[page.index('id="remarks"') :]
    assert section[section.index("<details") :].startswith("<details open>") == (rejected == 3)


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
    good = make_report(rejected=0)
    good = replace(good, problems=(), sets=tuple(replace(s, problems=()) for s in good.sets))
    assert (good.exit_status, report.exit_status) == (0, 3)
    assert "nothing is missing" in text_of(night_page(good, {}))
    assert "a requested or standard product is missing" in text_of(night_page(report, {}))
    nothing = replace(report, sets=(hollow(report.sets[0]),))
    assert nothing.exit_status == 1
    assert "Nothing could be reduced" in text_of(night_page(nothing, {}))


# -- what light curves say -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(report):
    """The same night with a transit in both bands."""
    return replace(report, sets=with_transit(report.sets))


def test_page_shows_the_transit_with_its_figure_and_its_table(fitted):
    images = {n: make() for n, make in page_images(fitted).items()}
    assert "WASP-0/transit.png" in images and "WASP-0/g/time_averaging.png" in images
    page = night_page(fitted, images)
    shown = {base64.b64decode(img["src"].partition(",")[2]) for img in Outline(page).all("img")}
    assert shown == set(images.values())
    text, fit = text_of(page), fitted.sets[0].transit
    for words in (
        f"{fit.tc.value:.5f} ± 0.00020 BJD_TDB",
        f"{24 * fit.t14.value:.3f} ± 0.024 h",
        "0.30 +0.10 −0.20",
        "1.500 ± 0.040 %",
        "constant, airmass",
        "The bands agree on one radius: chi-square 0.70 for 1, probability 0.40.",
        "Ingress and egress observed.",
        "1.25 minutes late of 2460729.88000 ± 0.5 minutes, transit 7 by HOSTED.",
    ):
        assert words in text, words
    assert "WASP-0/transit.ecsv" in {unquote(a["href"]) for a in Outline(page).all("a")}


def test_page_tells_the_noise_at_each_time_scale(fitted):
    text, result = text_of(night_page(fitted, {})), fitted.sets[0]
    noise, budget, star = result.light_curve.noise, result.budget, result.light_curve.star
    assert f"rms of the residuals {1e3 * noise['residual_rms']:#.3g}" in text
    assert "CDPP, transit duration 0.300 0.326" in text
    assert "Red noise β 1.20" in text
    scales = ["single frames" if w == 0 else f"{w:g} minutes" for w in budget.width]
    assert len(scales) > 1 and all(scale in text for scale in scales)
    first = f"single frames {1e3 * budget.predicted[star, 0]:#.3g} {1e3 * budget.measured[star, 0]:#.3g}"
    assert first in text


def test_a_ratio_is_red_only_where_it_is_surely_too_far_from_1(fitted):
    result = fitted.sets[0]
    budget, star = result.budget, result.light_curve.star
    predicted, sigma = np.array(budget.measured), np.full_like(budget.measured, 0.1)
    predicted[star, 0] *= 2
    others = np.arange(len(predicted)) != star
    for uncertainty, red in ((0.1, 1), (0.4, 0)):
        sigma[star] = uncertainty
        sigma[others] = 0.1
        changed = replace(budget, predicted=predicted, uncertainty=sigma.copy())
        page = night_page(replace(fitted, sets=(replace(result, budget=changed),)), {})
        assert page.count('class="fixed open"') == red


def test_page_lists_the_candidates_of_a_choice_folded(fitted):
    page = night_page(fitted, {})
    choices = page[page.index("Choices and their reasons") :]
    assert "<details>" in choices and "3 candidates</summary>" in choices
    text = text_of(page)
    assert "x: BIC +3.0; not justified by the BIC" in text
    assert "sky; it is the same in all frames" in text


def test_page_of_a_variable_star_shows_periods_and_lags(report):
    varying = replace(report, sets=with_periods(report.sets))
    images = {
        n: b"\x89PNG\r\n\x1a\n" + bytes(8) + bytes([0, 0, 1, 0, 0, 0, 1, 0]) for n in page_images(varying)
    }
    assert {"WASP-0/lags.png", "WASP-0/g/periodogram.png", "WASP-0/r/periodogram.png"} <= set(images)
    alts = [img["alt"] for img in Outline(night_page(varying, images)).all("img")]
    assert sum("lag" in alt for alt in alts) == 1
    assert sum("against period" in alt for alt in alts) == 2


def test_pictures_of_a_target_are_named_once_and_drawn_by_their_own_module(fitted):
    pictures = page_images(fitted)
    assert list(pictures).count("WASP-0/transit.png") == 1
    assert pictures["WASP-0/transit.png"].module == "transit"
    assert "WASP-0/transit.png" not in page_images(replace(fitted, sets=tuple(map(hollow, fitted.sets))))


def test_run_json_tells_the_transit_and_the_noise(fitted):
    told = json.loads(json.dumps(run_json(fitted), allow_nan=False))
    first, second = told["sets"]
    fit, budget = fitted.sets[0].transit, fitted.sets[0].budget
    assert first["transit"]["tc"] == {"value": fit.tc.value, "minus": 2e-4, "plus": 2e-4}
    assert (first["transit"]["band"]["name"], second["transit"]["band"]["name"]) == ("g", "r")
    assert first["transit"]["band"]["columns"] == ["constant", "airmass"]
    assert first["transit"]["chromaticity"] == {"chi2": 0.7, "dof": 1, "probability": 0.4}
    star = fitted.sets[0].light_curve.star
    target = first["noise_budget"]["target"]
    assert target["predicted"] == pytest.approx(budget.predicted[star])
    assert target["terms"]["star"] == pytest.approx(budget.terms["star"][star])
    weight = fitted.sets[0].stars.weight
    median = np.median(budget.ratio[weight > 0, 0])
    assert first["noise_budget"]["median_comparison"]["ratio"][0] == pytest.approx(median)
    assert first["noise_budget"]["widths_minutes"] == budget.width.tolist()
    assert len(first["time_averaging"]["width"]) == len(fitted.sets[0].averaging.width)
    assert first["period"] is None and first["lags"] == {}


def test_what_belongs_to_a_target_was_made_from_all_its_sets(fitted):
    names = ("WASP-0/transit.ecsv", "WASP-0/g/noise.png", "report.html")
    told = run_json(fitted, products={name: {} for name in names})["products"]
    both, one, page = (set(product["inputs"]) for product in told)
    assert one < both and page == set()
    assert sum(file.endswith("o.fit") for file in both) == 80  # frames of both bands


def test_run_json_tells_periods_and_lags(report):
    sets = with_periods(report.sets)
    first = json.loads(json.dumps(run_json(replace(report, sets=sets)), allow_nan=False))["sets"][0]
    assert first["period"]["period"] == pytest.approx(sets[0].periods.period)
    assert set(first["lags"]) == {sets[1].observed.name}
    assert first["transit"] is None


def test_last_lines_tell_a_transit_once(fitted):
    lines = [line for line in closing_lines(fitted) if "  transit  " in line]
    tc = fitted.sets[0].transit.tc.value
    assert lines == [f"WASP-0  transit  Tc {tc:.5f} ± 0.00020  depth g 1.500 ± 0.040 %  full"]
    assert closing_lines(fitted).index(lines[0]) == len(fitted.sets)


@pytest.mark.parametrize(
    ("estimate", "factor", "words"),
    [
        (Estimate(2460729.826941, 2.0e-4, 2.0e-4), 1, "2460729.82694 ± 0.00020"),
        (Estimate(0.01535, 9e-4, 9.6e-4), 100, "1.535 ± 0.093"),
        (Estimate(0.4953, 0.0907, 0.0616), 1, "0.495 +0.062 −0.091"),
        (Estimate(1234.5, 99.6, 99.6), 1, "1234 ± 100"),
        (Estimate(0.5, np.nan, np.nan), 1, "0.5000"),
        (Estimate(0.5, 0.0, 0.0), 1, "0.5000"),
        (Estimate(np.nan, 0.1, 0.1), 1, "–"),
    ],
)
def test_a_value_is_told_with_two_digits_of_its_error(estimate, factor, words):
    assert with_error(estimate, factor=factor) == words


def hostile_report():
    """A report in which every text that a header or an observer gives is an attack."""
    report = make_report(target=HOSTILE, rejected=0)
    info = frame_info(f"{HOSTILE.replace('/', '')}.fit", target=HOSTILE, band=HOSTILE)
    row = FrameRow(f"C1/{HOSTILE}.fit", "rejected", HOSTILE, info)
    first, *others = with_transit(report.sets)
    attack = Choice(HOSTILE, HOSTILE, HOSTILE, (Candidate(HOSTILE, HOSTILE, HOSTILE),))
    band = replace(first.transit.bands[0], name=HOSTILE, columns=(HOSTILE,), coefficients={HOSTILE: 1.0})
    fit = replace(first.transit, bands=(band, *first.transit.bands[1:]), why=HOSTILE, coverage=HOSTILE)
    first = replace(first, notes=(HOSTILE,), products={HOSTILE: f"x/{HOSTILE}.fits"})
    first = replace(first, choices=(attack,), transit=fit, curve_name=HOSTILE)
    return replace(
        report,
        instrument=HOSTILE,
        sets=(first, *others),
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


def gone(result):
    """A set with a fit, whose light curve, budget and figures are lost."""
    return replace(result, light_curve=None, budget=None, averaging=None, choices=())


def empty_reports():
    report = make_report(n_frames=3, rejected=0)
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
        "a fit of nothing": replace(report, sets=tuple(map(gone, with_transit(report.sets)))),
        "a fit of few frames": replace(report, sets=with_transit(report.sets)),
        "a set without frames": replace(
            report, sets=(SetResult(observed=replace(whole.observed, frames=())),)
        ),
    }


DRAWN = (
    "nothing at all",
    "a set of which nothing was made",
    "no series",
    "one frame",
    "a fit of nothing",
    "a fit of few frames",
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
    assert first["frames"] == {"total": 40, "measured": 39, "flagged": 2, "rejected": 0}
    assert first["light_curve"]["noise"]["rms"] == report.sets[0].light_curve.noise["rms"]
    assert [m["rung"] for m in first["masters"]] == ["interpolated between 10 s and 60 s", "exact"]
    assert len(first["masters"][0]["inputs"]) == 11
    rejected = {f["file"]: f["reason"] for f in told["frames"] if f["status"] == "rejected"}
    assert rejected == {row.file: row.reason for row in report.night.rejected}
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
    words = "WASP-0  g  C1  39 of 40 frames, 2 flagged (not matched 1, cloud 1)"
    words += f"  rms {mmag['rms']} mmag  point-to-point {mmag['point_to_point']} mmag"
    assert line.startswith(f"{words}  error bars {mmag['expected']} mmag")
    assert line.endswith("red/WASP-0/g/lightcurve.ecsv")


def named_otherwise(result, target, frames):
    """A set of another target with so many frames."""
    observed = replace(
        result.observed, target=target, folder=f"{target}/g", frames=result.observed.frames[:frames]
    )
    problem = Problem(observed.name, "reference", "too few stars")
    return replace(result, observed=observed, light_curve=None, products={}, problems=(problem,))


def test_last_lines_lead_with_the_target_and_tell_the_rest_in_one_line(report):
    few = [named_otherwise(report.sets[0], name, n) for name, n in (("focus", 3), ("WASP-O", 1), ("test", 2))]
    lines = closing_lines(replace(report, sets=(*few, *report.sets)))
    assert all(line.startswith("WASP-0  ") for line in lines[: len(report.sets)])
    rest = (
        "3 other targets with few frames: focus (3 frames), test (2 frames), WASP-O (1 frame) (see the page)"
    )
    assert lines.count(rest) == 1
    assert not any("too few stars" in line for line in lines)
    assert replace(report, sets=(*few, *report.sets)).exit_status == report.exit_status


def test_a_second_target_with_many_frames_has_its_own_lines(report):
    other = named_otherwise(report.sets[0], "another", 20)
    lines = closing_lines(replace(report, sets=(other, *report.sets)))
    assert lines[len(report.sets)].startswith("another")
    assert not any("few frames" in line for line in lines)
    assert not any("few frames" in line for line in closing_lines(report))


def test_last_lines_count_rejected_frames_of_one_kind_and_name_the_first(report):
    lines = closing_lines(report, folder="/data/out")
    names = ", ".join(f"broken00{number}.fit" for number in range(3))
    assert (
        f"note: 3 frames: no EXPOSURE card, which OPTICAM frames need; the frame is rejected ({names})"
        in lines
    )
    assert lines[-1] == "page: /data/out/report.html"


def test_last_lines_count_many_frames_rejected_for_one_reason():
    lines = [line for line in closing_lines(make_report(rejected=30)) if "EXPOSURE" in line]
    assert lines == [
        "note: 30 frames: no EXPOSURE card, which OPTICAM frames need; the frame is rejected "
        "(broken000.fit, broken001.fit, broken002.fit and 27 more; night.ecsv names each)"
    ]


def test_frames_rejected_for_different_reasons_are_not_thrown_together(report):
    reasons = {
        f"C1/broken00{k}.fit": ("rejected", f"broken00{k}.fit: {why}")
        for k, why in enumerate(("a", "b", "c"))
    }
    lines = closing_lines(with_status(report, reasons))
    assert [line for line in lines if "broken" in line] == [
        "note: broken000.fit: a",
        "note: broken001.fit: b",
        "note: broken002.fit: c",
    ]


def test_a_rejected_frame_that_a_problem_names_is_told_once(report):
    row = report.night.rejected[0]
    twice = replace(report, problems=(*report.problems, Problem(row.file, "scan", row.reason)))
    assert sum(row.reason in line for line in closing_lines(twice)) == 1
    assert len(missing(twice)) == len(missing(report))


def test_frames_of_one_name_in_two_folders_are_both_told(report):
    rows = tuple(
        FrameRow(f"{c}/same.fit", "rejected", f"same.fit: {why}") for c, why in (("C1", "x"), ("C2", "y"))
    )
    night = replace(report.night, rows=(*report.night.rows, *rows))
    known = Problem("same.fit", "scan", "same.fit: x")
    lines = closing_lines(replace(report, night=night, problems=(known,)))
    assert [line for line in lines if "same.fit" in line] == ["missing: same.fit: x", "note: same.fit: y"]


def test_unmeasured_frames_are_named_with_their_set(report):
    lines = [line for line in closing_lines(report) if line.startswith("not measured")]
    assert [line.split(": ")[1:3] for line in lines] == [
        ["WASP-0, C1 g", "231122g0011o.fit"],
        ["WASP-0, C2 r", "231122r0011o.fit"],
    ]


def test_a_frame_of_another_shape_counts_among_those_of_its_set(report):
    odd = FrameRow("C1/odd.fit", "rejected", "odd.fit: 100 x 100 pixels", frame_info("odd.fit"))
    night = replace(report.night, rows=(*report.night.rows, odd))
    counts = count_frames(replace(report, night=night), report.sets[0])
    assert (counts.total, counts.measured, counts.rejected) == (41, 39, 1)
    assert count_frames(replace(report, night=night), report.sets[1]).rejected == 0


def test_a_frame_rejected_in_the_run_counts_once(report):
    file = "C1/231122g0005o.fit"
    assert (ROOT / file) == report.sets[0].observed.frames[5].path
    counts = count_frames(
        with_status(report, {file: ("rejected", "its pixels cannot be read")}), report.sets[0]
    )
    assert (counts.total, counts.rejected) == (40, 1)


def test_products_of_several_observations_are_linked_where_they_belong(report, images):
    several = ("WASP-0/bands.png", "WASP-0/balance.ecsv", "of_the_run.txt")
    page = night_page(replace(report, of_several=several), images)
    links = [a["href"] for a in Outline(page).all("a")]
    assert [links.count(path) for path in several] == [1, 1, 1]
    target, run = page.index('id="target-1"'), page.index('id="run"')
    assert target < page.index('href="WASP-0/balance.ecsv"') < run < page.index('href="of_the_run.txt"')
    assert not set(several) & {a["href"] for a in Outline(night_page(report, images)).all("a")}


@pytest.mark.parametrize(
    ("line", "subject"),
    [
        ("C1_0026.fits: every pixel of HDU 0 is 0: no exposure", "C1_0026.fits"),
        ("WASP-0, C1 g: flat: none matches", "WASP-0, C1 g: flat"),
        ("cube.fits[3]: no exposure", "cube.fits[3]"),
        ("no coordinates: give --radec", "no coordinates"),
    ],
)
def test_what_a_reason_is_about_is_parted_from_it_at_the_right_colon(line, subject):
    assert page_of_the_night._subject_and_reason(line) == (subject, line.removeprefix(f"{subject}: "))


def test_a_long_table_is_cut_with_a_sentence_and_a_short_one_is_whole(report, images, monkeypatch):
    whole = night_page(report, images)
    assert "are shown; <a" not in whole
    monkeypatch.setattr(page_of_the_night, "_MOST_ROWS", 2)
    cut = night_page(report, images)
    count = len(report.night.rows)
    assert count > 2 and len(cut) < len(whole)
    assert f'The first 2 of {count} are shown; <a href="night.ecsv">night.ecsv</a> has them all.' in cut
