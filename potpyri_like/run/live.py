"""Reduce a night while it is observed, and serve its page."""

from __future__ import annotations

import http.server
import logging
import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from potpyri_like.encoding import Kept
from potpyri_like.errors import ProductError, ReductionError
from potpyri_like.frame import FrameInfo
from potpyri_like.instruments import Instrument
from potpyri_like.options import Options
from potpyri_like.photometry import ApertureChoice
from potpyri_like.plugins import Plugins
from potpyri_like.primitives import FrameOutcome, Work
from potpyri_like.primitives.fields import APERTURE
from potpyri_like.products import Content, Picture, contents, made_of, night_page, write_content
from potpyri_like.results import Reference, RunReport, SetResult
from potpyri_like.run.arrivals import Arrivals, State
from potpyri_like.run.earlier import write_night_table
from potpyri_like.run.jobs import NOT_THE_PIXELS, Job
from potpyri_like.run.journal import Journal
from potpyri_like.run.memory import Memory, scan_again
from potpyri_like.run.observations import by_target, wanted_sets
from potpyri_like.run.progress import Silent
from potpyri_like.run.recipe import plugins_for, recipe_of
from potpyri_like.run.report import report_of
from potpyri_like.run.runner import Runner
from potpyri_like.run.stages import in_turn, run_stages
from potpyri_like.run.workers import WorkerDied
from potpyri_like.store import Output, signature

__all__ = ["Live", "served"]

log = logging.getLogger(__name__)
_CHOOSE_AGAIN = 64  # frames up to which the reference is chosen again whenever their number has doubled
_GROWTH = 1.1  # the aperture is chosen again when there are so many times more frames
_RELOAD = 5  # s
_LIVE, _FIELD = ("lightcurve.ecsv", "lightcurve.png"), "field.png"  # products of a night that goes on
_SERVED = (".html", ".png", ".apng", ".gif", ".ecsv", ".fits", ".json", ".csv", ".txt", ".tbl")  # products
_ANSWER = 0.1  # s between two looks of the server whether it should end


@dataclass(frozen=True)
class _AllBut(Collection[Path]):
    """Every path but those that count."""

    whole: Mapping[Path, State]

    def __contains__(self, path: object) -> bool:
        return path not in self.whole

    def __iter__(self) -> Iterator[Path]:
        raise TypeError("the collection is infinite")

    def __len__(self) -> int:
        raise TypeError("the collection is infinite")


class Live:
    """The state of a night in progress: masters and references are kept, only new frames are processed."""

    def __init__(
        self,
        instrument: Instrument,
        folder: Path,
        output: Output,
        options: Options,
        journal: Journal,
        executor: Executor | None,
        arrivals: Arrivals,
    ) -> None:
        self.instrument, self.folder, self.output, self.options = instrument, folder, output, options
        self.journal, self.memory = journal, _LiveMemory(instrument, journal)
        self.arrivals = arrivals
        self.runner = _LiveRunner(output, options, Silent(), executor, journal, arrivals=arrivals)
        stages = recipe_of(instrument, options).stages
        self.per_set = tuple(takewhile(lambda stage: stage.per == "observation", stages))
        rest = stages[len(self.per_set) :]
        self.per_target = tuple(takewhile(lambda stage: stage.per == "target", rest))
        rest = rest[len(self.per_target) :]
        self.per_frame = tuple(takewhile(lambda stage: stage.per == "frame", rest))
        self.after = rest[len(self.per_frame) :]
        self.prepared: dict[tuple, tuple[int, Work]] = {}
        self.located: dict[tuple, Work] = {}
        self.chosen: dict[str, tuple[int, ApertureChoice]] = {}
        self.shown: dict[str, tuple[Reference | None, object]] = {}
        self.fields: dict[str, bytes] = {}

    def update(self) -> str:
        """Take in all frames that are there; in a few words, what there is now."""
        try:
            works = self.taken_in()
        except ProductError:
            raise
        except ReductionError as error:  # more frames may mend it
            return str(error).partition("\n")[0]
        self.journal.commit()
        targets = dict.fromkeys(work.observed.target for work in works)
        return "; ".join(
            f"{target}: {', '.join(_in_words(work) for work in works if work.observed.target == target)}"
            for target in targets
        )

    def taken_in(self) -> list[Work]:
        """All frames that are there, worked on and written."""
        waiting = _AllBut(self.arrivals.whole)
        night = scan_again(self.folder, self.instrument, self.output, self.memory, waiting=waiting)
        self.memory.hand_over(self.journal)
        sets = wanted_sets(night, self.options)
        works = in_turn(by_target(night, sets, self.options), self.group)
        report = report_of(night, works, self.options)
        write_night_table(self.output, self.journal, night, report.status)
        self.write(report)
        return works

    def group(self, works: tuple[Work, ...]) -> tuple[Work, ...]:
        """All stages on the sets of one target, as far as they have to be done."""
        ready = [self.prepare(work) for work in works]
        if any(is_new or _name_of(work) not in self.located for work, is_new in ready):
            located = run_stages(self.per_target, tuple(work for work, _ in ready), self.runner)
            self.located |= {_name_of(work): work for work in located}
        works = tuple(_with_frames(self.located[_name_of(work)], work) for work in works)
        works = run_stages(self.per_frame, works, self.runner)
        settled = {
            folder: choice for folder, (_, choice) in self.chosen.items() if self.stands(folder, works)
        }
        after = [_with_choices(s, settled) for s in self.after]
        works = run_stages([s for s in after if not s.at_the_end], works, self.runner)
        self.chosen |= {
            work.observed.folder: (len(work.observed.frames), work.choice)
            for work in works
            if work.choice is not None and work.observed.folder not in settled
        }
        return works

    def prepare(self, work: Work) -> tuple[Work, bool]:
        """Masters and reference of a set, and whether they are new."""
        key, count = _name_of(work), len(work.observed.frames)
        if key in self.prepared:
            before, known = self.prepared[key]
            enough = before >= _CHOOSE_AGAIN or count < 2 * before
            if enough and not known.failed:
                return _with_frames(known, work), False
        (done,) = run_stages(self.per_set, (work,), self.runner)
        self.prepared[key] = count, done
        self.chosen.pop(work.observed.folder, None)
        return done, True

    def stands(self, folder: str, works: Sequence[Work]) -> bool:
        """Whether a choice of aperture still serves."""
        count = next((len(work.observed.frames) for work in works if work.observed.folder == folder), 0)
        return folder in self.chosen and count < _GROWTH * self.chosen[folder][0]

    def write(self, report: RunReport) -> None:
        """The light curves and the page."""
        pictures: dict[str, Picture] = {}
        for result in report.sets:
            wanted = (*_LIVE, _FIELD) if self.is_other_field(result) else _LIVE
            for name, content in _live(result, wanted, plugins_for(self.options)):
                if isinstance(content, Picture):
                    pictures[name] = content
                else:
                    write_content(self.output, name, content)
        images = _drawn(pictures, self.runner.executor)
        for name, image in images.items():
            self.output.write_bytes(name, image)
        self.fields |= {name: image for name, image in images.items() if name.endswith(f"/{_FIELD}")}
        self.output.write_text("report.html", night_page(report, self.fields | images, reload=_RELOAD))

    def is_other_field(self, result: SetResult) -> bool:
        """Whether the reference frame, or the stars marked in it, are not those that were drawn."""
        curve, folder = result.light_curve, result.observed.folder
        stars = (curve.star, curve.comparisons) if curve is not None else None
        reference, before = self.shown.get(folder, (None, None))
        self.shown[folder] = result.reference, stars
        return result.reference is not reference or stars != before


def _in_words(work: Work) -> str:
    """How many frames of a set there are."""
    observed = work.observed
    return f"{observed.camera} {observed.band}".strip() + f" {len(observed.frames)}"


def _drawn(pictures: Mapping[str, Picture], executor: Executor | None) -> dict[str, bytes]:
    """Pictures as PNGs, several at a time where there are workers."""
    if executor is None or len(pictures) < 2:
        return {name: picture() for name, picture in pictures.items()}
    tasks = {name: executor.submit(_draw, picture) for name, picture in pictures.items()}
    images = {}
    for name, task in tasks.items():
        try:
            images[name] = task.result()
        except WorkerDied:
            images[name] = pictures[name]()
    return images


def _draw(picture: Picture) -> bytes:
    """A picture as PNG; for a worker."""
    return picture()


def _live(result: SetResult, wanted: Collection[str], plugins: Plugins) -> Iterator[tuple[str, Content]]:
    """Those of an observation's products that are wanted while it goes on, by their paths."""
    for product in plugins.products.values():
        for shown in made_of(product.item, [result], only=wanted):
            content = contents(product.item, shown)
            if content is not None:
                yield shown.path(product.item), content


def _with_choices(stage: Any, settled: Mapping[str, ApertureChoice]) -> Any:
    """The stage, with the choices that stand where it is the one that chooses the aperture."""
    takes = APERTURE in stage.gives and any(item.name == "settled" for item in fields(stage))
    return replace(stage, settled=settled) if takes else stage


def _name_of(work: Work) -> tuple:
    """What tells a set from the others, however many there are."""
    observed = work.observed
    return (
        observed.night,
        observed.target.casefold(),
        observed.camera,
        observed.band,
        observed.binning,
        observed.frames[0].readout,
    )


def _with_frames(known: Work, now: Work) -> Work:
    """A set as it was, with the frames that there are now."""
    return known.with_(observed=now.observed, result=replace(known.result, observed=now.observed))


@dataclass
class _LiveMemory(Memory):
    """Keeps what was made of the headers at hand, besides the journal."""

    at_hand: dict[str, tuple[str, Kept]] = field(default_factory=dict)
    keys: dict[Path, tuple[tuple, str]] = field(default_factory=dict)

    def key(self, path: Path, *more: object) -> str:
        of = signature(path), more
        known = self.keys.get(path)
        if known is None or known[0] != of:
            known = self.keys[path] = of, super().key(path, *more)
        return known[1]

    def rows(self, file: str, key: str) -> Kept:
        known = self.at_hand.get(file)
        if known is None or known[0] != key:
            rows = super().rows(file, key)
            if rows is None:
                return None
            self.at_hand[file] = key, rows
        return self.at_hand[file][1]

    def keep(self, file: str, key: str, rows: object) -> None:
        super().keep(file, key, rows)
        self.at_hand[file] = key, rows


@dataclass
class _LiveRunner(Runner):
    """Keeps outcomes at hand, besides the journal."""

    arrivals: Arrivals = field(default_factory=lambda: Arrivals(Path(), Path()))
    at_hand: dict[tuple, FrameOutcome] = field(default_factory=dict)
    descriptions: dict[str, tuple[list[object], str]] = field(default_factory=dict)

    def known(self, infos: Sequence[FrameInfo], job: Job, what: str) -> dict[int, FrameOutcome]:
        if not job.kept:
            return {}
        keys = [self.key(info, job) for info in infos]
        found = {
            i: replace(self.at_hand[key], info=infos[i]) for i, key in enumerate(keys) if key in self.at_hand
        }
        rest = [i for i in range(len(infos)) if i not in found]
        for i, outcome in super().known([infos[i] for i in rest], job, "").items():
            found[rest[i]] = self.at_hand[keys[rest[i]]] = outcome
        return found

    def kept_outcome(self, outcome: FrameOutcome, job: Job) -> FrameOutcome:
        kept = super().kept_outcome(outcome, job)
        self.at_hand[self.key(outcome.info, job)] = kept
        return kept

    def key(self, info: FrameInfo, job: Job) -> tuple:
        """What an outcome depends on; the description is made again only where something in it is."""
        values = [value for name, value in vars(info).items() if name not in NOT_THE_PIXELS]
        before, described = self.descriptions.get(info.label, ([], ""))
        if len(before) != len(values) or any(a is not b for a, b in zip(before, values, strict=True)):
            described = job.task(job.steps[-1], info).described
            self.descriptions[info.label] = values, described
        return info.label, described, self.arrivals.whole.get(info.path), job.chain, job.key


@contextmanager
def served(output: Output, port: int) -> Iterator[str]:
    """A small server of the products on this computer, and nowhere else; its address.

    Raises
    ------
    ReductionError
        The port is taken.
    """
    handler = partial(_Handler, output=output)
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise ReductionError(f"--serve {port}: {error.strerror or error}; give another port") from error
    thread = threading.Thread(target=server.serve_forever, args=(_ANSWER,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/report.html"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Gives products to a browser, and has it load them again after some seconds."""

    def __init__(self, *args: Any, output: Output, **more: Any) -> None:
        self.output = output
        super().__init__(*args, **more)

    def send_head(self) -> BinaryIO | None:
        """The answer's head, and the open product; the page at the root. Nothing else: no listing, link or log."""
        name = unquote(self.path.partition("?")[0].partition("#")[0]).removeprefix("/") or "report.html"
        file = self.product(name)
        if file is None:
            self.send_error(404)
            return None
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(name))
        self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
        self.send_header("Cache-Control", "no-store")
        if name.endswith(".html"):
            self.send_header("Refresh", str(_RELOAD))
        self.end_headers()
        return file

    def product(self, name: str) -> BinaryIO | None:
        """A product, open; None where there is none of that name that may be shown."""
        parts = name.split("/")
        if any(part.startswith(".") for part in parts) or not name.lower().endswith(_SERVED):
            return None
        with suppress(OSError, ValueError, ProductError):
            return self.output.open(name)
        return None

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)
