"""Verify a run: raw files and products are unchanged, and recomputing gives the same bits."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO

from potpyri_like.encoding import Kept, encode
from potpyri_like.errors import NightError
from potpyri_like.frame import FrameInfo
from potpyri_like.identity import code_identity
from potpyri_like.instruments import Instrument
from potpyri_like.night import NIGHT_TABLE, RUN_RECORD, Night, list_files
from potpyri_like.options import Options
from potpyri_like.primitives import FrameOutcome
from potpyri_like.primitives.borrowed_masters import closed_shelf
from potpyri_like.primitives.make_masters import SHELVES
from potpyri_like.run.jobs import Job
from potpyri_like.run.journal import FOLDER, Journal
from potpyri_like.run.memory import Memory, scan_again, worth
from potpyri_like.run.output import output_of, write_products
from potpyri_like.run.pipeline import run_recipes
from potpyri_like.run.progress import Progress, Silent
from potpyri_like.run.record import LastRun, last_run
from potpyri_like.run.runner import KEPT, Runner, joined, part_of
from potpyri_like.run.workers import workers
from potpyri_like.store import Output, Reading, printable, raw_sha256

__all__ = ["SAMPLE", "Check", "Verifier", "check_lines", "verify_night"]

SAMPLE = 12  # frames of each set that are computed again
_COPY = "verify_"  # begins the name of the folder in which all is made again


@dataclass(frozen=True)
class Check:
    """One check: what was verified, how many, those that differ, and what was not compared; or only a remark."""

    what: str
    count: int = 0
    wrong: tuple[str, ...] = ()
    is_word: bool = False
    besides: tuple[str, ...] = ()


def verify_night(
    instrument: Instrument,
    folder: Path,
    *,
    out: Path | None = None,
    every: bool = False,
    seed: int | None = None,
    own: Options | None = None,
    progress: Progress | None = None,
) -> Iterator[Check]:
    """Verify a run, one check after the other.

    Raw files and products are read and compared with their SHA-256; then a sample of the frames of each set is computed
    again, and all products, in a folder that is gone afterwards; nothing in the night or its products changes.

    Parameters
    ----------
    instrument : Instrument
    folder : Path
    out : Path, optional
    every : bool
        Compute everything again: masters, all frames, stacks.
    seed : int, optional
        Of the choice of frames; by default another one each time.
    own : Options, optional
        What is not taken from a run.json: the user's function of noise and recipe, cluster and network.
    progress : Progress, optional

    Raises
    ------
    UsageError
        The run needs a function or a recipe of the user's, and it was not named.
    NightError
        There is no run to verify, or the night cannot be read any more.
    Busy
        A run is at work on it.
    """
    run, output, progress = last_run(folder, out=out), output_of(folder, out), progress or Silent()
    run = replace(run, options=run.with_own(own or Options()))
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(output))
        later = _files_since(run, folder, output)
        if later:
            yield Check(
                f"{len(later)} raw file{'s' * (len(later) > 1)} added after the run; not verified",
                is_word=True,
            )
        raw = {file: digest for file, digest in run.inputs.items() if digest}
        yield _compared("raw files", lambda name: raw_sha256(folder, name), raw, progress)
        yield _compared("products", output.sha256, run.products, Silent())
        if (changed := _changed_code(run)) and not every:
            yield Check(f"nothing recomputed: {changed} changed; --all recomputes anyway", is_word=True)
            return
        again = _verifier(
            run, output, journal, progress, every=every, random=random.Random(seed), stack=stack
        )
        masters, _ = run.given.get("masters", (None, ""))
        if isinstance(masters, str):  # a folder that the user named then, which is not looked into now
            again.common.setdefault(SHELVES, {})["given"] = closed_shelf(masters)
        night = scan_again(
            folder, instrument, output, Memory(instrument, journal, forgetful=every), waiting=later
        )
        again.executor = stack.enter_context(
            workers(run.options.jobs, run.options.scheduler, most=worth(night))
        )
        made = _made_again(night, run, again)
        yield again.frames_compared()
        wanted = {name: digest for name, digest in run.products.items() if name != RUN_RECORD}
        wrong = [name for name in sorted({*made, *wanted}) if made.get(name) != wanted.get(name)]
        yield Check("products recreated", len({*made, *wanted}), tuple(wrong))


def _verifier(
    run: LastRun,
    output: Output,
    journal: Journal,
    progress: Progress,
    *,
    every: bool,
    random: random.Random,
    stack: ExitStack,
) -> Verifier:
    """What computes a run again, into a folder that is gone with the stack."""
    kept = output.below(FOLDER)
    for left in (name for name in kept.folder.names() if name.startswith(_COPY)):  # by one that was cut off
        kept.folder.remove_tree(left)
    own = f"{_COPY}{os.getpid()}"
    stack.callback(kept.folder.remove_tree, own)
    copy = kept.below(own)
    copy.make()
    again = Verifier(
        copy,
        run.options,
        progress,
        None,
        journal,
        real=output,
        every=every,
        random=random,
        products=run.products,
    )
    stack.enter_context(again)
    return again


def _made_again(night: Night, run: LastRun, again: Verifier) -> dict[str, str]:
    """The SHA-256 of all products, made again."""
    report = replace(run_recipes(night, run.options, again), options=run.given, command=run.command)
    again.output.write_table(NIGHT_TABLE, night.table(report.status))
    write_products(report, again)
    names = sorted({*again.output.written, *again.kept})
    return {name: again.output.sha256(name) for name in names}


def _files_since(run: LastRun, folder: Path, output: Output) -> list[Path]:
    """Raw files that the run did not see."""
    known = set(map(printable, run.inputs))
    found: list[Path] = []
    with suppress(NightError):  # none is left, as the checks will tell
        files = list_files(folder, output.root).files
        found += (path for path in files if printable(path.relative_to(folder).as_posix()) not in known)
    return found


@dataclass
class Verifier(Runner):
    """Computes a sample of the frames again, or all of them, and keeps nothing.

    Attributes
    ----------
    real : Output
        Where the products to verify are.
    every : bool
    random : Random
    computed, compared : set of str
        Frames that were computed again; those of them of which the run had left what they are compared with.
    rejected : set of str
        Frames that could not be used, again.
    differing : set of str
        Those whose outcome is not the same to the bit.
    expected : dict of (str, str) to bytes
        Outcomes that are still to be compared, by frame and job.
    products : collection of str
        Names of those that the run left.
    standing : dict of str to str
        The key under which each product was made or copied last.
    """

    real: Output = field(default_factory=lambda: Output(Path()))
    every: bool = False
    random: random.Random = field(default_factory=random.Random)
    computed: set[str] = field(default_factory=set)
    compared: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)
    differing: set[str] = field(default_factory=set)
    expected: dict[tuple[str, str], bytes] = field(default_factory=dict)
    products: Collection[str] = ()
    standing: dict[str, str] = field(default_factory=dict)

    def is_to_be_saved(self, kind: str, name: str) -> bool:
        return name in self.products

    def keep_image(self, name: str, key: str, memo: object) -> None:
        """Nothing is kept."""

    def known(self, infos: Sequence[FrameInfo], job: Job, what: str) -> dict[int, FrameOutcome]:
        found = super().known(infos, job, "")
        again = list(found) if self.every else self.random.sample(sorted(found), min(SAMPLE, len(found)))
        for index in again:
            outcome = found.pop(index)
            frame = outcome.info.label, job.key
            if job.kept:
                self.expected[frame] = _content_of(outcome)
            if frame in self.images:  # what stands is not gone on from, but made again
                self.images[frame] = tuple(replace(image, digest="") for image in self.images[frame])
        return found

    def remembered(self, outcome: FrameOutcome, job: Job) -> FrameOutcome:
        again = super().remembered(outcome, job)
        if (
            not job.kept and (outcome.info.label, job.key) in self.images
        ):  # what is compared is the saved image
            self.computed.add(outcome.info.label)
            self.compared.add(outcome.info.label)
            self.differing |= {outcome.info.label} if outcome.reason else set()
        return again

    def kept_outcome(self, outcome: FrameOutcome, job: Job) -> FrameOutcome:
        frame = outcome.info.label
        self.computed.add(frame)
        expected = self.expected.pop((frame, job.key), None)
        outcome = replace(outcome, **joined(part_of(outcome, step) for step in job.kept_of(outcome.stage)))
        self.rejected |= {frame} if outcome.rejected else set()
        if expected is not None:
            self.compared.add(frame)
            self.differing |= {frame} if _content_of(outcome) != expected else set()
        return outcome

    def frames_compared(self) -> Check:
        """The frames that were computed again and compared; one that was rejected, in both runs, is no result."""
        lost = {frame for frame, _ in self.expected}
        wrong = {*self.differing, *lost}
        rejected = self.rejected - wrong
        bare = self.computed - self.compared - wrong - rejected
        besides = [f"{len(rejected)} rejected again"] * bool(rejected)
        besides += [f"{len(bare)} without an earlier result to compare with"] * bool(bare)
        count = len((self.compared | wrong) - rejected)
        return Check("frames recomputed", count, tuple(sorted(wrong)), besides=tuple(besides))

    def recall(self, product: str, key: Callable[[], str]) -> Kept:
        once = cache(key)
        return None if self.every else self.copied(product, super().recall(product, once), once)

    def recall_copy(self, product: str, key: str) -> Kept:
        return self.copied(product, super().recall(product, lambda: key), lambda: key)

    def copied(self, product: str, memo: Kept, key: Callable[[], str]) -> Kept:
        """What is remembered with a product, which stands in the copy, too, from then on.

        What was made again under that key stays; what was made on the way to it, for frames that turned out to show two
        fields, gives way.
        """
        if memo is not None and self.standing.get(product) != key():
            self.output.write(product, partial(self.copy, product))
            self.standing[product] = key()
        return memo

    def copy(self, product: str, file: BinaryIO) -> None:
        """Copy a product that stands into another file."""
        with self.real.open(product) as source:
            shutil.copyfileobj(source, file)

    def keep(self, product: str, key: str, memo: object) -> None:
        """Nothing is kept but the key under which the product stands in the copy."""
        self.standing[product] = key

    def read(self, info: FrameInfo, reading: Reading) -> None:
        self.timing.read(reading.size, reading.seconds)


def _content_of(outcome: FrameOutcome) -> bytes:
    """What is compared of an outcome."""
    return encode({name: getattr(outcome, name) for name in KEPT})


def _compared(
    what: str, digest_of: Callable[[str], str], digests: Mapping[str, str], progress: Progress
) -> Check:
    """Files against their SHA-256."""
    wrong = []
    progress.begin(what, len(digests))
    for name, digest in digests.items():
        if befell := _difference(digest_of, name, digest):
            wrong.append(f"{name}: {befell}")
        progress.step()
    progress.end()
    return Check(what, len(digests), tuple(wrong))


def _difference(digest_of: Callable[[str], str], name: str, digest: str) -> str:
    """What is not as it was with a file; "" where nothing is."""
    try:
        return "" if digest_of(name) == digest else "changed"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"


def _changed_code(run: LastRun) -> str:
    """The software that has changed since a run, in words; "" if none has."""
    now = code_identity(whole=True)
    changed = [name for name in now if run.code.get(name) != now[name]]
    changed += [run.metric] * run.metric_is_other
    changed += [run.recipe] * run.recipe_is_other(run.options.recipe)
    return ", ".join("potpyri_like's source" if name == "source" else name for name in changed)


def check_lines(check: Check) -> list[str]:
    """One check in words."""
    if check.is_word:
        return [check.what]
    head, besides = f"{check.what}: {check.count}", "".join(f"; {words}" for words in check.besides)
    if not check.wrong:
        return [f"{head}, all unchanged{besides}" if check.count else f"{head}{besides}"]
    return [f"{head}, {len(check.wrong)} CHANGED{besides}", *(f"  {name}" for name in check.wrong)]
