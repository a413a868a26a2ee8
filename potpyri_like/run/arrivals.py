"""Find the complete files of a night while it is observed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from potpyri_like.errors import FrameError, NightError
from potpyri_like.night import list_files
from potpyri_like.store import read_header, signature

__all__ = ["CADENCES", "POLL", "QUIET", "Arrivals", "State"]

POLL = 0.5  # s between two looks at the folder, at least
_SHARE = 0.1  # of the time may go into looking
_PATIENCE = 60.0  # s that a file may stay incomplete and unchanged before it is taken as it is
QUIET = 15.0  # s without a frame, at least, before the products are brought to their final state
CADENCES = 4.0  # and so many times the usual interval between frames
State = tuple[int, int, int, int]  # of a file: size, times, place on the disk


@dataclass
class Arrivals:
    """The raw files of a night as they come; a file counts once it is whole, and the same in two looks.

    Attributes
    ----------
    folder, skip : Path
        The night, and where its products go.
    patience : float
        Seconds that a file may stay as it is without being whole.
    whole : dict of Path to State
        The files that count.
    coming : dict of Path to (State, float)
        Those that do not yet, and since when they have been as they are.
    times : list of float
        When something changed.
    """

    folder: Path
    skip: Path
    patience: float = _PATIENCE
    whole: dict[Path, State] = field(default_factory=dict)
    coming: dict[Path, tuple[State, float]] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    pause: float = POLL

    def look(self) -> tuple[Path, ...]:
        """Files that have become whole, changed or gone since the last look."""
        now, states = time.monotonic(), self.states()
        gone = self.whole.keys() - states.keys()
        for path in gone:
            del self.whole[path]
        others = {path: state for path, state in states.items() if self.whole.get(path) != state}
        coming = {path: self.since(path, state, now) for path, state in others.items()}
        new = {
            path: state for path, (state, since) in coming.items() if self.counts(path, state, now - since)
        }
        self.whole = {path: state for path, state in self.whole.items() if path not in coming} | new
        self.coming = {path: about for path, about in coming.items() if path not in new}
        self.times += [now] * bool(new or gone)
        self.pause = max(POLL, (time.monotonic() - now) / _SHARE)
        return (*new, *gone)

    def states(self) -> dict[Path, State]:
        """All files as they are now."""
        found: dict[Path, State] = {}
        with suppress(NightError):
            for path in list_files(self.folder, self.skip).files:
                with suppress(OSError):  # gone again
                    found[path] = signature(path)
        return found

    def since(self, path: Path, state: State, now: float) -> tuple[State, float]:
        """A file's state, and since when it has had it."""
        before, since = self.coming.get(path, (None, now))
        return state, since if before == state else now

    def counts(self, path: Path, state: State, age: float) -> bool:
        """Whether a file that was looked at before is whole, or will not become so."""
        known = self.coming.get(path)
        return known is not None and known[0] == state and (age > self.patience or _is_whole(path))

    def take(self, states: Mapping[Path, State]) -> None:
        """Count files as they were found: their products are there."""
        self.whole, self.coming = dict(states), {}
        self.times = self.times or [time.monotonic()]

    def are_disturbed(self) -> bool:
        """Whether something came or went since the last look."""
        return self.states() != self.whole

    def are_quiet(self) -> bool:
        """Whether no frame has come for much longer than usual."""
        last = self.times[-9:]
        usual = statistics.median(b - a for a, b in pairwise(last)) if len(last) > 1 else 0.0
        return bool(self.times) and not self.coming and self.silence() > max(QUIET, CADENCES * usual)

    def silence(self) -> float:
        """Seconds since something came."""
        return time.monotonic() - self.times[-1] if self.times else 0.0


def _is_whole(path: Path) -> bool:
    """Whether a file is as long as its header says."""
    try:
        read_header(path)
    except (FrameError, OSError):
        return False
    return True
