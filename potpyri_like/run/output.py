"""Where a run writes, and what: products, page and record."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath

from potpyri_like.encoding import fingerprint
from potpyri_like.errors import ProductError
from potpyri_like.identity import code_identity
from potpyri_like.night import RUN_RECORD, Night
from potpyri_like.options import ENGINE, told_value
from potpyri_like.products import (
    Picture,
    contents,
    made_of,
    master_images,
    night_page,
    run_json,
    write_content,
)
from potpyri_like.results import Problem, RunReport
from potpyri_like.run.journal import Journal
from potpyri_like.run.recipe import plugins_for
from potpyri_like.run.runner import Runner
from potpyri_like.store import Output, signature

__all__ = ["draw", "output_of", "record", "write_products"]

log = logging.getLogger(__name__)


def output_of(folder: Path, out: Path | None) -> Output:
    """Where the products of a night go."""
    return Output.of_night(folder, out)


def write_products(report: RunReport, runner: Runner) -> RunReport:
    """Write the tables, the figures and the page; the report with the products' names, and with what failed."""
    output, sets, problems = runner.output, list(report.sets), list(report.problems)
    options = {n: told_value(n, value) for n, (value, _) in report.options.items() if n not in ENGINE}
    pictures: dict[str, Picture] = {}
    of_several: list[str] = []
    for product in plugins_for(runner.options).products.values():
        for shown in made_of(product.item, report.sets, options):
            name = shown.path(product.item)
            try:
                content = contents(product.item, shown)
            except ProductError as error:
                log.error("%s: %s", name, error, exc_info=error.__cause__)
                problems.append(Problem(name, "products", f"{product.plugin} of {product.origin}: {error}"))
                continue
            if content is None:
                continue
            if isinstance(content, Picture):
                pictures[name] = content
            else:
                write_content(output, name, content)
            if product.item.per != "observation":
                of_several.append(name)
                continue
            (its,) = (i for i, one in enumerate(report.sets) if one is shown.results[0])
            sets[its] = replace(sets[its], products={**sets[its].products, PurePath(name).name: name})
    images = draw(pictures | master_images(report), runner)
    report = replace(report, sets=tuple(sets), problems=tuple(problems), of_several=tuple(of_several))
    output.write_text("report.html", night_page(report, images))
    return report


def draw(pictures: Mapping[str, Picture], runner: Runner) -> dict[str, bytes]:
    """Draw and write figures; one that shows what it showed before stands."""
    images = {}
    shown: dict[int, str] = {}  # what several figures show is looked at once
    for name, picture in pictures.items():
        if id(picture.of) not in shown:
            shown[id(picture.of)] = fingerprint(code_identity(whole=True), picture.of)
        key = partial(fingerprint, picture.kind, shown[id(picture.of)])
        if runner.recall(name, key) is not None:
            images[name] = runner.output.read_bytes(name)
            continue
        images[name] = picture()
        runner.output.write_bytes(name, images[name])
        runner.keep(name, key(), True)
    return images


def record(
    report: RunReport, output: Output, journal: Journal, names: Sequence[str], *, digests: Mapping[str, str]
) -> None:
    """Write run.json: what was made from what; and note it in the journal.

    Parameters
    ----------
    report : RunReport
    output : Output
    journal : Journal
    names : sequence of str
        All products, those of an earlier run that still stand among them.
    digests : mapping of str to str
        The SHA-256 of the user's own code, by the options that name it.
    """
    products = {
        name: {
            "sha256": journal.unchanged(name) or journal.keep_product(name),
            "bytes": output.signature(name)[0],
        }
        for name in names
    }
    raw = _raw_files(report.night, journal)
    output.write_json(RUN_RECORD, run_json(report, raw=raw, products=products, digests=digests))
    journal.keep_product(RUN_RECORD)


def _raw_files(night: Night, journal: Journal) -> dict[str, dict[str, object]]:
    """SHA-256, size and time of each raw file that is still there, by the names that the night gives its rows."""
    found: dict[str, dict[str, object]] = {}
    for row in night.rows:
        file = row.info.inside if row.info is not None else row.file
        path = night.root / file
        with suppress(OSError):  # it is gone, or may not be read
            if path.is_file() and path.resolve().is_relative_to(night.root.resolve()):
                size, modified, *_ = signature(path)
                about = {"sha256": journal.content(file, path), "bytes": size, "modified_ns": modified}
                found[row.file] = about if file == row.file else {"path": file, **about}
    return found
