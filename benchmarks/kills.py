"""Runs cut off at random instants, each followed by a run to the end: are the products those of a run never cut off?

    python benchmarks/kills.py [NUMBER] [--seed SEED] [--jobs N] [--frames N]

A third of the runs begin afresh, a third are cut off twice, a third have an earlier run's products and a night that has
changed since. All processes of a run are killed together, half of them at any instant, half while files are written.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from potpyri_like.instruments.opticam import Opticam
from potpyri_like.testing import NightPlan, simulate_night

NOT_COMPARED = ("log/", ".journal/", "run.json")  # what tells of each run, and when it was
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}
KINDS = ("afresh", "twice", "changed")
MOMENT = 0.0005  # s between two looks at the files


@dataclass(frozen=True)
class Cut:
    """When to kill a run: so many seconds after its start, or so many new files and seconds."""

    files: int
    seconds: float


@dataclass
class Night:
    """A night of raw frames, and the command that reduces it.

    Attributes
    ----------
    folder : Path
    options : list of str
    """

    folder: Path
    options: list[str]

    @property
    def red(self) -> Path:
        return self.folder / "red"

    def start(self) -> subprocess.Popen[str]:
        """A run of its own group of processes."""
        words = [sys.executable, "-m", "potpyri_like", "OPTICAM", str(self.folder), *self.options]
        return subprocess.Popen(
            words,
            env=ENV,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self) -> dict[str, str]:
        """A run to its end; the SHA-256 of its products."""
        process = self.start()
        _, said = process.communicate()
        if process.returncode not in (0, 3) or "Traceback" in said:
            raise RuntimeError(f"exit status {process.returncode}: {said}")
        return digests(self.red)

    def cut_off(self, cut: Cut) -> bool:
        """A run that is killed, with all its processes; whether it was still going on."""
        before = set(files_below(self.red))
        process = self.start()
        try:
            wait_for(
                lambda: len(set(files_below(self.red)) - before) >= cut.files or process.poll() is not None
            )
            time.sleep(cut.seconds)
            return process.poll() is None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(MOMENT)


def files_below(folder: Path) -> Iterator[str]:
    """Paths of all files, those half-written among them."""
    for path, _, names in os.walk(folder):
        yield from (f"{path}/{name}" for name in names)


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of all files that a run leaves behind but for those that tell of the run."""
    names = {os.path.relpath(path, folder): path for path in files_below(folder)}
    return {
        name: hashlib.sha256(Path(path).read_bytes()).hexdigest()
        for name, path in sorted(names.items())
        if not name.startswith(NOT_COMPARED)
    }


def simulated(folder: Path, *, frames: int, jobs: int) -> Night:
    """A small night of one camera."""
    plan = NightPlan(
        cameras=("C1",),
        size=(160, 160),
        frames=frames,
        exposure=20.0,
        hours=1.0,
        seeing=(0.5, 0.6),
        stars=12,
        comparisons=8,
        drift=4.0,
        flip=None,
        darks=2,
        flats=2,
    )
    truth = simulate_night(Opticam(), folder, plan)
    x, y = truth.target_xy["C1"]
    return Night(folder, ["--jobs", str(jobs), "--target-xy", f"C1:{x:.1f},{y:.1f}"])


def some_cut(chance: random.Random, seconds: float, files: int) -> Cut:
    """An instant anywhere in a run, or just after one of its files appeared."""
    if chance.random() < 0.5:
        return Cut(0, chance.uniform(0, seconds))
    return Cut(chance.randint(1, files), chance.expovariate(100))


def science(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*_C1_g_*.fits"))


@dataclass
class Trial:
    """A night, what a run over it leaves behind when nobody disturbs it, and the same after the night has changed.

    Attributes
    ----------
    night : Night
    aside : Path
        Where frames wait that come later, and the products of the run before they came.
    seconds : float
        That an undisturbed run takes.
    whole, earlier : dict of str to str
        Products with all frames, and before the change.
    """

    night: Night
    aside: Path
    seconds: float
    whole: dict[str, str]
    earlier: dict[str, str]

    @classmethod
    def of(cls, night: Night, aside: Path) -> Trial:
        """Runs that nobody disturbs: with the last frames missing, then with them in a folder of their own."""
        late = science(night.folder)[-2:]
        aside.mkdir()
        for path in late:
            path.rename(aside / path.name)
        earlier = night.finish()
        night.red.rename(aside / "red")
        for path in late:
            (aside / path.name).rename(path)
        begun = time.monotonic()
        whole = night.finish()
        return cls(night, aside, time.monotonic() - begun, whole, earlier)

    def run(self, kind: str, chance: random.Random) -> tuple[int, bool]:
        """One trial; how many runs were cut off, and whether what the last left behind is what it should be."""
        shutil.rmtree(self.night.red, ignore_errors=True)
        if kind == "changed":
            shutil.copytree(self.aside / "red", self.night.red)
        cuts = 0
        for _ in range(2 if kind == "twice" else 1):
            cuts += self.night.cut_off(some_cut(chance, self.seconds, len(self.whole) + 4))
        found = self.night.finish()
        if found != self.whole:
            print(f"{kind}: other bytes: {sorted(dict(found.items() ^ self.whole.items()))}", flush=True)
        return cuts, found == self.whole


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("number", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--frames", type=int, default=24)
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    cuts, same = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        night = simulated(Path(folder) / "night", frames=asked.frames, jobs=asked.jobs)
        trial = Trial.of(night, Path(folder) / "aside")
        print(
            f"an undisturbed run takes {trial.seconds:.1f} s and leaves {len(trial.whole)} files", flush=True
        )
        for number in range(asked.number):
            kind = KINDS[number % len(KINDS)]
            cut, identical = trial.run(kind, chance)
            cuts += cut
            same[kind] += identical
            if number % 10 == 9:
                print(f"{number + 1} trials, {same.total()} identical", flush=True)
    of_each = ", ".join(f"{kind} {same[kind]}" for kind in KINDS)
    print(f"{cuts} runs killed in {asked.number} trials: {same.total()} identical results ({of_each})")
    raise SystemExit(same.total() != asked.number)


if __name__ == "__main__":
    main()
