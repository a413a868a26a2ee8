"""The proof of a run: raw files and products are what they were, and computing again gives the same bits."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from potpyri_like.encoding import encode
from potpyri_like.errors import NightError
from potpyri_like.frame import FrameInfo
from potpyri_like.identity import code_identity
from potpyri_like.instruments import Instrument
from potpyri_like.journal import FOLDER, Journal
from potpyri_like.night import NIGHT_TABLE, RUN_RECORD
from potpyri_like.options import Options
from potpyri_like.pipeline import Memory, output_of, run_recipes, scan_again, worth, write_products
from potpyri_like.primitives import FrameOutcome
from potpyri_like.runner import KEPT, Job, Progress, Runner, Silent
from potpyri_like.store import Output, Reading, sha256
from potpyri_like.workers import workers

__all__ = ["Check", "LastRun", "last_run", "verify_night"]

SAMPLE = 12  # frames of each set that are computed again


@dataclass(frozen=True)
class LastRun:
    """What run.json tells of the run that wrote it.

    Attributes
    ----------
    instrument : str
    options : Options
    inputs, products : mapping of str to str
        SHA-256 of raw files and products, by their paths within the night and the output folder.
    code : mapping of str to str
        What computed.
    given : mapping of str to (value, str)
        The options and where they came from.
    command : str
    """

    instrument: str
    options: Options
    inputs: Mapping[str, str]
    products: Mapping[str, str]
    code: Mapping[str, str]
    given: Mapping[str, tuple[Any, str]]
    command: str


@dataclass(frozen=True)
class Check:
    """One thing that was proved or not: what, how many, and those that are not what they were."""

    what: str
    count: int
    wrong: tuple[str, ...] = ()


def last_run(folder: Path, *, out: Path | None = None) -> LastRun:
    """What the run that wrote a night's products tells of itself.

    Raises
    ------
    NightError
        There was none, or its run.json cannot be read.
    """
    path = output_of(folder, out).root / RUN_RECORD
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        given = {name: (about["value"], about["from"]) for name, about in run["options"].items()}
        values = {name: value for name, (value, _) in given.items()}
        return LastRun(
            instrument=run["instrument"],
            options=Options().merged(values, where=str(path)),
            inputs={item.get("path", item["file"]): item.get("sha256", "") for item in run["inputs"]},
            products={item["file"]: item["sha256"] for item in run["products"]},
            code={**run["versions"], "source": run["source_sha256"]},
            given=given,
            command=run["command"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NightError(
            f"{path}: there is no run to verify ({getattr(error, 'strerror', None) or error!r});"
            " reduce the night first, or give its output folder with --out DIR"
        ) from error


def verify_night(
    instrument: Instrument,
    folder: Path,
    *,
    out: Path | None = None,
    every: bool = False,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Check]:
    """Prove a run, one check after the other.

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
    progress : Progress, optional

    Raises
    ------
    NightError
        There is no run to verify, or the night cannot be read any more.
    Busy
        A run is at work on it.
    """
    run, output = last_run(folder, out=out), output_of(folder, out)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(output.root))
        yield compared("raw files", folder, {file: digest for file, digest in run.inputs.items() if digest})
        yield compared("products", output.root, run.products)
        if (changed := changed_code(run)) and not every:
            yield Check(f"computed again: nothing, since {changed} changed; --all does it anyway", 0)
            return
        where = stack.enter_context(tempfile.TemporaryDirectory(dir=output.root / FOLDER, prefix="verify_"))
        night = scan_again(folder, instrument, output, Memory(instrument, journal, forgetful=every))
        executor = stack.enter_context(workers(run.options.jobs, run.options.scheduler, most=worth(night)))
        runner = Verifier(
            Output(Path(where)),
            run.options,
            progress or Silent(),
            executor,
            journal,
            real=output.root,
            every=every,
            random=random.Random(seed),
        )
        stack.enter_context(runner)
        report = replace(run_recipes(night, run.options, runner), options=run.given, command=run.command)
        runner.output.write_table(NIGHT_TABLE, night.table(report.status))
        write_products(report, runner)
        yield Check("frames computed again", runner.compared, tuple(runner.differing))
        made = {
            name: sha256(runner.output.root / name) for name in sorted({*runner.output.written, *runner.kept})
        }
        wanted = {name: digest for name, digest in run.products.items() if name != RUN_RECORD}
        wrong = [name for name in sorted({*made, *wanted}) if made.get(name) != wanted.get(name)]
        yield Check("products made again", len(made), tuple(wrong))


@dataclass
class Verifier(Runner):
    """Computes a sample of the frames again, or all of them, and keeps nothing.

    Attributes
    ----------
    real : Path
        Where the products are that are to be proved.
    every : bool
    random : Random
    compared : int
        Frames that were computed and compared.
    differing : list of str
        Those whose outcome is not the same to the bit.
    """

    real: Path = Path()
    every: bool = False
    random: random.Random = field(default_factory=random.Random)
    compared: int = 0
    differing: list[str] = field(default_factory=list)
    expected: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def known(self, infos: Sequence[FrameInfo], job: Job, what: str) -> dict[int, FrameOutcome]:
        found = super().known(infos, job, "")
        again = list(found) if self.every else self.random.sample(sorted(found), min(SAMPLE, len(found)))
        for index in again:
            outcome = found.pop(index)
            self.expected[outcome.info.label, job.key] = content_of(outcome)
        return found

    def kept_outcome(self, outcome: FrameOutcome, job: Job) -> FrameOutcome:
        expected = self.expected.pop((outcome.info.label, job.key), None)
        if expected is not None:
            self.compared += 1
            if content_of(outcome) != expected:
                self.differing.append(outcome.info.label)
        return outcome

    def recall(self, product: str, key: str) -> Any:
        memo = None if self.every else super().recall(product, key)
        if memo is not None:
            copy = self.output.root / product
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.real / product, copy)
        return memo

    def keep(self, product: str, key: str, memo: Any) -> None:
        """Nothing is kept."""

    def read(self, info: FrameInfo, reading: Reading) -> None:
        self.timing.read(reading.size, reading.seconds)


def content_of(outcome: FrameOutcome) -> bytes:
    """What is compared of an outcome."""
    return encode({name: getattr(outcome, name) for name in KEPT})


def compared(what: str, root: Path, digests: Mapping[str, str]) -> Check:
    """Files against their SHA-256."""
    wrong = []
    for name, digest in digests.items():
        path = root / name
        if not path.is_file():
            wrong.append(f"{name}: it is gone")
        elif sha256(path) != digest:
            wrong.append(f"{name}: it has changed")
    return Check(what, len(digests), tuple(wrong))


def changed_code(run: LastRun) -> str:
    """What computes otherwise than in a run, in words; "" where nothing does."""
    now = code_identity(whole=True)
    changed = [name for name in now if run.code.get(name) != now[name]]
    return ", ".join("potpyri_like's source" if name == "source" else name for name in changed)
