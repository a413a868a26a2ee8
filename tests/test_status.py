"""The exit status says what an observer has to look at, and nothing else changes it."""

import shutil
from dataclasses import replace

import pytest
from fake_report import make_report
from small_night import run, small_night

from potpyri_like.night import FrameRow
from potpyri_like.products import closing_lines, night_page
from potpyri_like.products.rows import grouped
from potpyri_like.results import Grade, Problem
from potpyri_like.run import output
from potpyri_like.run.report import as_remarks, is_incidental, many_unusable

TINY = {"size": (160, 160), "frames": 8, "hours": 1.0, "comparisons": 8, "drift": 4.0, "flats": 2}


def report_with(*grades):
    good = make_report(rejected=0)
    sets = tuple(replace(result, problems=()) for result in good.sets)
    problems = tuple(Problem(f"thing {n}", "stage", "why", grade) for n, grade in enumerate(grades))
    return replace(good, sets=sets, problems=problems)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("grades", "status"),
    [
        ((), 0),
        ((Grade.REMARK,) * 3, 0),
        ((Grade.DOUBTFUL, Grade.REMARK), 4),
        ((Grade.DOUBTFUL, Grade.MISSING), 3),
        ((Grade.MISSING,), 3),
    ],
)
def test_the_status_is_that_of_the_worst_problem(grades, status):
    report = report_with(*grades)
    assert report.exit_status == status
    words = [line.partition(":")[0] for line in closing_lines(report) if "thing" in line]
    assert words == sorted(words, key=["missing", "doubtful", "note"].index)
    assert set(words) == {str(grade) for grade in grades}
    assert ("a result is doubtful" in night_page(report, {})) == (status == 4)


def test_remarks_of_one_kind_share_a_line_and_what_is_missing_does_not():
    frames = [
        Problem(f"f{n}.fits", "Register", f"f{n}.fits: {n} stars found", Grade.REMARK) for n in range(5)
    ]
    others = [
        Problem(f"focus {n}: dark", "masters", "no dark frames that fit", Grade.REMARK) for n in range(2)
    ]
    lost = [Problem(f"WASP-{n}: dark", "masters", "no dark frames that fit") for n in range(2)]
    lines = [
        line
        for line in closing_lines(replace(report_with(), problems=(*frames, *others, *lost)))
        if line.startswith(("note", "missing"))
    ]
    assert lines == [
        "missing: WASP-0: dark: no dark frames that fit",
        "missing: WASP-1: dark: no dark frames that fit",
        "note: 5 frames: 0 stars found (f0.fits, f1.fits, f2.fits and 2 more; night.ecsv names each)",
        "note: no dark frames that fit (focus 0: dark; focus 1: dark)",
    ]


def observed(target, frames):
    result = make_report(n_frames=frames, target=target, bands=("g",)).sets[0]
    return replace(result, problems=(Problem("a", "b", "c"), Problem("d", "e", "f", Grade.DOUBTFUL)))


@pytest.mark.parametrize(
    ("target", "frames", "incidental"),
    [
        ("focus", 12, True),
        ("Foco C1", 12, True),
        ("test_exp", 12, True),
        ("WASP-O", 5, True),  # a name that was typed wrongly
        ("WASP-12", 20, False),
        ("Latest", 20, False),
        ("contest", 20, False),
    ],
)
def test_focus_and_test_frames_change_no_status(target, frames, incidental):
    science = observed("WASP-0", 40)
    few = observed(target, frames)
    assert is_incidental(few, (science, few)) == incidental
    assert not is_incidental(science, (science, few))
    assert not is_incidental(few, (few,))  # nothing else was taken
    assert {problem.grade for problem in as_remarks(few).problems} == {Grade.REMARK}


@pytest.mark.parametrize(("bad", "told"), [(2, False), (20, True)])
def test_many_files_that_cannot_be_used_are_missing_and_a_few_are_not(bad, told):
    night = make_report(rejected=0).night
    rows = tuple(FrameRow(f"b{n}.fits", "rejected", f"b{n}.fits: no") for n in range(bad))
    night = replace(night, rows=(*night.rows[:40], *rows))
    found = list(many_unusable(night))
    assert bool(found) == told
    assert not told or f"20 of {len(night.rows)} files could not be used" in found[0].why


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return small_night(tmp_path_factory.mktemp("status") / "night", **TINY)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "status", "last"),
    [
        (lambda night: None, 0, "page: "),
        (lambda night: truncate(sorted(night.glob("*_r_0*.fits"))[4]), 0, "page: "),
        (lambda night: truncate(sorted(night.glob("*flat*"))[0]), 0, "page: "),
        (
            lambda night: [path.unlink() for path in night.glob("*flat*")],
            3,
            "exit status 3: a requested or standard product is missing",
        ),
    ],
    ids=["clean", "a truncated frame", "a truncated flat", "no flats"],
)
def test_the_last_line_names_the_status_where_it_is_not_0(truth, tmp_path, monkeypatch, change, status, last):
    monkeypatch.setattr(output, "draw", lambda pictures, runner: {})
    shutil.copytree(truth.folder, tmp_path / "night")
    change(tmp_path / "night")
    x, y = truth.target_xy["C2"]
    words = ("--target-xy", f"{x:.1f},{y:.1f}", "--fit", "none", "--jobs", 1)
    done = run("OPTICAM", tmp_path / "night", *words)
    assert done.status == status, done.out
    assert done.out.splitlines()[-1].startswith(last)
    assert ("missing: " in done.out) == (status == 3)
    assert run("OPTICAM", tmp_path / "night", *words).out == done.out  # nothing has changed: the same lines


def truncate(path):
    path.write_bytes(path.read_bytes()[:20_000])


def test_the_statuses_are_in_the_help():
    for words in (("--help",), ("OPTICAM", "--help")):
        text = " ".join(run(*words).out.split())
        assert "4 a result is doubtful" in text


def _alike(count, why="too few stars in {} frames", grade=Grade.MISSING):
    return [Problem(f"WASP-{n}, C1 g", "target", why.format(n), grade) for n in range(count)]


def test_many_problems_alike_share_a_line_that_counts_them_and_a_few_do_not():
    assert len(grouped(_alike(3))) == 3
    (line,) = grouped(_alike(90))
    assert line == "too few stars in 0 frames (WASP-0, C1 g; WASP-1, C1 g; WASP-2, C1 g and 87 more)"
    assert len(grouped([*_alike(90), *_alike(1, why="another thing")])) == 2
