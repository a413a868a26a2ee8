"""The page of the night, one self-contained file."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from importlib import resources
from pathlib import PurePath

import astropy.units as u
from jinja2 import Environment, StrictUndefined

from potpyri_like.identity import versions
from potpyri_like.night import FrameRow, bare_reason
from potpyri_like.options import ENGINE, told_value
from potpyri_like.products.page.images import image, master_image
from potpyri_like.products.page.links import Link, address, below, target_folder
from potpyri_like.products.page.observation import target_view
from potpyri_like.products.rows import count_frames, final_rows, graded, masters_of, missing_by_worth, remarks
from potpyri_like.products.words import SOFTWARE, clean, plural, short
from potpyri_like.results import Master, RunReport, SetResult

__all__ = ["night_page"]

_TEMPLATE = "page.html.j2"
_MOST_OPEN_ROWS = 20
_MOST_ROWS = 2000  # of a table: a browser draws them at once, and the page stays below a megabyte
_VERDICTS = {
    0: ("good", "The night was reduced; nothing is missing."),
    1: ("bad", "Nothing could be reduced."),
    3: ("fair", "The night was reduced, but a requested or standard product is missing."),
    4: ("fair", "The night was reduced, but a result is doubtful."),
}


def _by_target(report: RunReport) -> dict[tuple[str, str], list[SetResult]]:
    """The sets of a run by night and target, in the order of the run."""
    groups: dict[tuple[str, str], list[SetResult]] = defaultdict(list)
    for result in report.sets:
        groups[result.observed.night, result.observed.target.casefold()].append(result)
    return groups


def night_page(report: RunReport, images: Mapping[str, bytes], *, reload: float | None = None) -> str:
    """report.html: one file without script, font or image from elsewhere.

    Parameters
    ----------
    report : RunReport
    images : mapping of str to bytes
        PNGs by their path within the output folder, as `page_images` names them; those that are not there are
        left out of the page.
    reload : float, optional
        Seconds after which a browser loads it again: while frames are still coming.
    """
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: clean(value) if type(value) is str else value,  # not what is markup already
    )
    source = resources.files("potpyri_like.products.page").joinpath(_TEMPLATE).read_text("utf-8")
    return environment.from_string(source).render(_page_view(report, images), reload=reload)


def _page_view(report: RunReport, images: Mapping[str, bytes]) -> dict[str, object]:
    """What the template shows, in its words."""
    remarked = remarks(report)
    verdict, sentence = _VERDICTS[report.exit_status]
    return {
        "night": report.night.root.resolve().name or str(report.night.root),
        "instrument": report.instrument,
        "recipe": report.recipe,
        "when": _when(report),
        "software": SOFTWARE,
        "versions": versions(),
        "verdict": verdict,
        "sentence": sentence,
        "missing": [
            _subject_and_reason(line) for part in missing_by_worth(report) for _, line in graded(part)
        ],
        "tally": _tally(report),
        "targets": [target_view(report, results, images) for results in _by_target(report).values()],
        "masters": _master_views(report, images),
        "remarked": [_row_view(row) for row in remarked[:_MOST_ROWS]],
        "remarked_count": len(remarked),
        "remarks_open": len(remarked) <= _MOST_OPEN_ROWS,
        "options": [
            (name, str(told_value(name, value)), origin)
            for name, (value, origin) in sorted(report.options.items())
            if name not in ENGINE
        ],
        "frames": [_row_view(row) for row in final_rows(report)[:_MOST_ROWS]],
        "frames_count": len(report.night.rows),
        "links": [
            Link(path, address(path))
            for path in report.of_several
            if path not in below(report, {target_folder(result) for result in report.sets})
        ],
    }


def _when(report: RunReport) -> str:
    """From when to when the science frames were taken."""
    times = [
        info.mid_time.utc for s in report.sets for info in s.observed.frames if info.mid_time is not None
    ]
    if not times:
        return ""
    first, last = min(times), max(times)
    to = "%H:%M" if first.strftime("%F") == last.strftime("%F") else "%Y-%m-%d %H:%M"
    return f"{first.strftime('%Y-%m-%d %H:%M')} to {last.strftime(to)} UTC"


def _tally(report: RunReport) -> list[tuple[str, str]]:
    """Numbers for the head of the page."""
    counts = [count_frames(report, result) for result in report.sets]
    targets = len({target for _, target in _by_target(report)})
    remarked = remarks(report)
    return [
        (f"{len(report.night.rows):,}", "raw frame" if len(report.night.rows) == 1 else "raw frames"),
        (f"{sum(c.measured for c in counts):,}", "measured"),
        (f"{sum(row.status == 'flagged' for row in remarked):,}", "flagged"),
        (f"{sum(row.status == 'rejected' for row in remarked):,}", "rejected"),
        (str(targets), "target" if targets == 1 else "targets"),
        (str(sum(result.light_curve is not None for result in report.sets)), "light curves"),
    ]


def _subject_and_reason(line: str) -> tuple[str, str]:
    """What is missing, and why: parted after the file's name, else at the last colon before the reason."""
    file = re.match(r"(\S+\.\w+(?:\[\d+\])?): (?=\S)(.*)", line, re.DOTALL)
    match = file or re.match(r"(.{1,100}?(?:: [^:]{1,60})?): (?=\S)(.*)", line, re.DOTALL)
    return (match.group(1), match.group(2)) if match else (line, "")


def _master_views(report: RunReport, images: Mapping[str, bytes]) -> list[dict[str, object]]:
    """Every master of the run once, with the sets that it calibrated."""
    found: dict[str, tuple[SetResult, Master]] = {}
    used: dict[str, list[str]] = defaultdict(list)
    for result in report.sets:
        for master in masters_of(result):
            name = master_image(result, master)
            found.setdefault(name, (result, master))
            used[name].append(result.observed.name)
    return [_master_view(master, name, used[name], images) for name, (_, master) in found.items()]


def _master_view(
    master: Master, name: str, used: list[str], images: Mapping[str, bytes]
) -> dict[str, object]:
    """One master."""
    exposure = f"{short(master.exposure)} s" if master.exposure > 0 else ""
    alt = f"Master {master.kind} {exposure}: image and distribution of its pixels.".replace(" :", ":")
    return {
        "kind": master.kind,
        "exposure": exposure,
        "rung": master.rung,
        "count": plural(len(master.inputs), "frame"),
        "inputs": master.inputs,
        "used": used,
        "link": Link(PurePath(master.product).name, address(master.product)) if master.product else None,
        "image": image(images, name, alt),
    }


def _row_view(row: FrameRow) -> dict[str, str]:
    """One raw file."""
    info = row.info
    known = {} if info is None else {"kind": str(info.kind), "camera": info.camera, "band": info.band}
    time = "" if info is None or info.mid_time is None else info.mid_time.utc.isot[:19].replace("T", " ")
    exposure = "" if info is None else short(float(info.exposure.to_value(u.s)))
    empty = {"kind": "", "camera": "", "band": ""}
    target = "" if info is None else info.target
    words = {"file": row.file, "status": row.status, "reason": bare_reason(row.file, row.reason)}
    return {**empty, **known, **words, "target": target, "time": time, "exposure": exposure}
