import os
import signal
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from potpyri_like.errors import PixelError, RegistrationError, UnavailableError
from potpyri_like.frame import Frame, FrameInfo, FrameKind
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.options import Options
from potpyri_like.primitives import Setup
from potpyri_like.primitives.fields import COORDINATES, FILTER_MODE, READING
from potpyri_like.run.jobs import Job
from potpyri_like.run.journal import Journal
from potpyri_like.run.runner import Runner, run_frame
from potpyri_like.run.workers import Pool
from potpyri_like.stages import Field, FrameStage
from potpyri_like.store import Output, Reading, sha256, signature

WHAT = "WASP-0, C1 g"


# -- stages --------------------------------------------------------------------------------------------------


WEIGHT = Field("weight", np.ndarray, "weights", per="frame")
MODE = Field("mode", str, "mode", per="frame")
SHOWN = Field("weight", np.ndarray, "weights", per="frame", kept=False)


@dataclass(frozen=True)
class Weigh(FrameStage):
    """Reads a file of numbers; how it fares depends on the file's name."""

    reads = (FILTER_MODE,)
    gives: ClassVar = (READING, WEIGHT, MODE)
    factor: float = 1.0

    def __call__(self, info, setup):
        reading = Reading(*signature(info.path), sha256(info.path), 0.0)
        values = np.array(info.path.read_text().split(), float)
        if "rejected" in info.path.name:
            raise PixelError(f"{info.path.name}: no light")
        return Frame(None, info).after(
            "weighed", reading=reading, weight=self.factor * values, mode=setup.filter_mode
        )


@dataclass(frozen=True)
class Judge(FrameStage):
    """Rejects frames by their names."""

    def __call__(self, frame, setup):
        if "lost" in frame.info.path.name:
            raise RegistrationError("2 stars where 3 are needed")
        if "bug" in frame.info.path.name:
            raise KeyError("a bug")
        return frame


@dataclass(frozen=True)
class Deadly(Weigh):
    """Kills the process that works on one of the frames, if it is a worker; only once where there is a marker."""

    victim: str = ""
    marker: str = ""
    spared: int = field(default_factory=os.getpid)

    def __call__(self, info, setup):
        if info.path.name == self.victim and not (self.marker and Path(self.marker).exists()):
            if os.getpid() == self.spared:
                raise RuntimeError("this would have killed the run")
            Path(self.marker or "/dev/null").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(info, setup)


ERRORS = {kind.__name__: kind for kind in (UnavailableError, FileNotFoundError, MemoryError, TimeoutError)}


@dataclass(frozen=True)
class Blind(Weigh):
    """Cannot read some frames for the moment: in workers, or wherever a marker is not there."""

    victims: tuple[str, ...] = ()
    marker: str = ""
    error: str = "UnavailableError"
    sees: int = field(default_factory=os.getpid)

    def __call__(self, info, setup):
        seen = Path(self.marker).exists() if self.marker else os.getpid() == self.sees
        if info.path.name in self.victims and not seen:
            raise ERRORS[self.error](f"{info.path.name}: it cannot be read now")
        return super().__call__(info, setup)


@dataclass(frozen=True)
class Show(Weigh):
    """Hands on an image."""

    gives: ClassVar = (READING, SHOWN, MODE)


# -- frames and runners --------------------------------------------------------------------------------------


@dataclass
class Recording:
    """Watches a run, and remembers what it saw."""

    begun: list = field(default_factory=list)
    said: list = field(default_factory=list)
    steps: int = 0

    def begin(self, what, total):
        self.begun.append((what, total))

    def step(self):
        self.steps += 1

    def end(self): ...

    def say(self, what):
        self.said.append(what)


@pytest.fixture
def frames(tmp_path):
    """Frames of a night, by what is to become of them."""

    def make(*names):
        infos = []
        for number, name in enumerate(names):
            path = tmp_path / f"{name}.fits"
            path.write_text(f"{number} {number + 1}")
            infos.append(
                FrameInfo(
                    path,
                    FrameKind.SCIENCE,
                    "C1",
                    "g",
                    "WASP-0",
                    (1, 1),
                    30 * u.s,
                    None,
                    (1, 2),
                    inside=path.name,
                )
            )
        return infos

    return make


@pytest.fixture
def red(tmp_path):
    folder = tmp_path / "red"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def pool():
    pool = Pool(2)
    yield pool
    pool.shutdown(cancel_futures=True)


def setup(**changes):
    return Setup(Opticam(), **changes)


BOTH = (Weigh(), Judge())


def ran(red, infos, stages=BOTH, *, executor=None, **changes):
    """One run with the journal: the outcomes, the runner, and what was seen of it."""
    progress = Recording()
    with Journal(red) as journal, Runner(Output(red), Options(), progress, executor, journal) as runner:
        outcomes = runner.run_frames(infos, stages, setup(**changes), what=WHAT)
    return outcomes, runner, progress


def worked_on(runner):
    return runner.timing.times.get("Weigh", 0)


def weights(outcomes):
    return [None if o.reason else tuple(o.results["weight"]) for o in outcomes]


# -- outcomes ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_outcomes_come_in_order_and_are_the_same_from_workers_and_from_here(red, frames, pool):
    infos = frames("a", "rejected", "lost", "b", "bug", *"cdefghijklmnopqrst")
    here, *_ = ran(red, infos)
    there, *_ = ran(red.parent, infos, executor=pool)
    assert [o.info for o in here] == infos == [o.info for o in there]
    assert weights(here) == weights(there)
    assert [(o.stage, o.reason, o.rejected, o.died) for o in here] == [
        (o.stage, o.reason, o.rejected, o.died) for o in there
    ]


def test_a_frame_that_fails_says_why_and_leaves_the_others_alone(red, frames):
    outcomes, runner, _ = ran(red, frames("a", "rejected", "lost", "bug", "b"))
    good, rejected, lost, bug, other = outcomes
    assert good.results["weight"].tolist() == [0, 1] and other.results["weight"].tolist() == [4, 5]
    assert (rejected.reason, rejected.rejected, rejected.trace) == ("rejected.fits: no light", True, "")
    assert (lost.reason, lost.rejected) == ("lost.fits: 2 stars where 3 are needed", False)
    assert bug.reason == "bug.fits: KeyError: 'a bug'" and "Traceback" in bug.trace and not bug.rejected
    assert (rejected.stage, lost.stage, bug.stage, good.stage) == ("Weigh", "Judge", "Judge", "")
    assert not runner.settled


def test_what_is_foreseen_is_settled(red, frames):
    _, runner, _ = ran(red, frames("a", "rejected", "lost"))
    assert runner.settled


def test_running_a_frame_leaves_its_description_alone(frames):
    (info,) = frames("a")
    before = replace(info)
    run_frame(info, Job.of((Weigh(),), setup()))
    assert info == before


# -- workers that die ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_frame_that_kills_its_workers_is_rejected_the_others_unharmed_and_tried_again(red, frames, pool):
    infos = frames(*"abcdef")
    outcomes, runner, _ = ran(red, infos, (Deadly(victim="c.fits"),), executor=pool)
    died = outcomes[2]
    assert died.rejected and died.died and died.stage == "worker"
    assert died.reason == (
        "c.fits: every worker process that tried it died: killed, most likely out of memory; the frame is rejected"
    )
    assert not any(o.reason for o in outcomes if o is not died) and not runner.settled
    again, runner, progress = ran(red, infos, (Deadly(victim="c.fits"),), executor=pool)
    assert progress.said == [f"{WHAT}: 5 of 6 already done, 1 to do: 1 new"]
    assert again[2].reason == died.reason and weights(again) == weights(outcomes)


@pytest.mark.slow
def test_a_frame_whose_worker_dies_once_is_done_all_the_same(red, frames, pool, tmp_path):
    stage = Deadly(victim="c.fits", marker=str(tmp_path / "marker"))
    outcomes, runner, _ = ran(red, frames(*"abcdef"), (stage,), executor=pool)
    assert weights(outcomes) == [(n, n + 1) for n in range(6)]
    assert runner.settled and (tmp_path / "marker").exists()


# -- what is known from before -------------------------------------------------------------------------------


def test_a_second_run_does_nothing_and_says_so(red, frames):
    infos = frames("a", "lost", "b")
    first, runner, progress = ran(red, infos)
    assert worked_on(runner) == progress.steps == 3 and not progress.said
    second, runner, progress = ran(red, infos)
    assert worked_on(runner) == 0 and progress.steps == 0
    assert weights(first) == weights(second) and [o.reason for o in first] == [o.reason for o in second]
    assert progress.said == [f"{WHAT}: 3 of 3 already done, nothing to do"]


@pytest.mark.parametrize(
    ("change", "todo", "why"),
    [
        ({"filter_mode": "median"}, 3, "all 3 to be redone: 3x3 filter changed"),
        (
            {"forced": np.ones((1, 2))},
            0,
            "3 of 3 already done, nothing to do",
        ),  # the stage does not read it
        ({"coordinates_why": "otherwise"}, 0, "3 of 3 already done, nothing to do"),
    ],
    ids=["what it reads", "what it does not read", "what no frame needs"],
)
def test_what_frames_share_counts_as_far_as_a_stage_reads_it(red, frames, change, todo, why):
    infos = frames(*"abc")
    ran(red, infos)
    _, runner, progress = ran(red, infos, **change)
    assert worked_on(runner) == todo and progress.said == [f"{WHAT}: {why}"]


def test_the_settings_of_a_stage_count(red, frames):
    infos = frames(*"abc")
    ran(red, infos)
    outcomes, _, progress = ran(red, infos, (Weigh(factor=2.0), Judge()))
    assert progress.said == [f"{WHAT}: all 3 to be redone: settings changed"]
    assert weights(outcomes)[2] == (4, 6)


def test_another_raw_file_and_another_description_and_a_new_frame_are_told_apart(red, frames):
    infos = frames(*"abcd")
    ran(red, infos[:3])
    infos[0].path.write_text("7 7")
    infos[1] = replace(infos[1], exposure=60 * u.s)
    infos[2] = replace(infos[2], notes=("time: doubtful",), decided_by="hand")  # that changes no pixel
    outcomes, runner, progress = ran(red, infos)
    assert worked_on(runner) == 3 and weights(outcomes)[0] == (7, 7)
    assert progress.said == [
        f"{WHAT}: 1 of 4 already done, 3 to do: 1 raw file changed, 1 changed in night.ecsv, 1 new"
    ]


def test_a_night_that_was_moved_is_known(red, frames, tmp_path):
    infos = frames(*"ab")
    ran(red, infos)
    moved = []
    for info in infos:
        path = tmp_path / "elsewhere" / info.path.name
        path.parent.mkdir(exist_ok=True)
        moved.append(replace(info, path=info.path.rename(path)))
    outcomes, runner, _ = ran(red, moved)
    assert worked_on(runner) == 0 and [o.info.path for o in outcomes] == [info.path for info in moved]


def test_images_are_not_kept(red, frames):
    infos = frames(*"ab")
    for _ in range(2):
        _, runner, progress = ran(red, infos, (Show(),))
        assert runner.timing.times["Show"] == 2 and not progress.said


def test_the_first_outcomes_are_bit_for_bit_what_a_later_run_remembers(red, frames):
    infos = frames("a")
    infos[0].path.write_text(" ".join(map(repr, np.random.default_rng(5).normal(size=100).tolist())))
    (first,), *_ = ran(red, infos)
    (second,), *_ = ran(red, infos)
    assert first.results["weight"].tobytes() == second.results["weight"].tobytes()


# -- what travels to the workers -----------------------------------------------------------------------------


class Counted:
    """A reference that counts how often it is pickled."""

    times: ClassVar[list[int]] = []

    def __reduce__(self):
        self.times.append(1)
        return Counted, ()


@pytest.mark.slow
def test_what_frames_share_reaches_each_worker_once_and_lies_in_no_file(red, frames, pool):
    infos, shown = frames(*"abcdefgh"), replace(setup(), reference=Counted())
    Counted.times.clear()
    with Runner(Output(red), Options(), Recording(), pool) as runner:
        for _ in range(3):
            outcomes = runner.run_frames(infos, (Weigh(),), shown, what=WHAT)
        assert not list(red.rglob("*.pickle"))
    assert weights(outcomes) == [(n, n + 1) for n in range(8)]
    assert 1 <= len(Counted.times) <= pool.count


@pytest.mark.slow
def test_where_all_is_known_the_workers_are_sent_nothing(red, frames, pool):
    infos, shown = frames(*"abcdef"), replace(setup(), reference=Counted())
    ran(red, infos, (Weigh(),), executor=pool)
    Counted.times.clear()
    with Journal(red) as journal, Runner(Output(red), Options(), Recording(), pool, journal) as runner:
        runner.run_frames(infos, (Weigh(),), shown, what=WHAT)
        assert not runner.timing.times and not Counted.times


@pytest.mark.slow
def test_workers_that_outlive_a_run_take_nothing_from_it_to_the_next(red, frames, pool):
    infos = frames(*"abcdef")
    for factor in (1.0, 2.0, 3.0):
        with Runner(Output(red), Options(), Recording(), pool) as runner:
            outcomes = runner.run_frames(infos, (Weigh(factor=factor),), setup(), what=WHAT)
        assert weights(outcomes) == [(factor * n, factor * (n + 1)) for n in range(6)]


@pytest.mark.slow
def test_workers_find_frames_whose_paths_are_relative_to_where_the_run_began(
    red, frames, pool, monkeypatch, tmp_path
):
    infos = [replace(info, path=Path(info.path.name)) for info in frames(*"abcdef")]
    monkeypatch.chdir(tmp_path)
    outcomes, *_ = ran(Path("red"), infos, executor=pool)
    assert weights(outcomes) == [(n, n + 1) for n in range(6)]
    assert outcomes[0].info.path == Path("a.fits")


def test_enough_tasks_are_given_out_for_all_workers():
    runner = Runner(Output(Path()), Options(), Recording(), executor=type("Many", (), {"count": 32})())
    assert runner.in_hand >= 2 * 32


# -- circumstances -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.slow
def test_what_workers_cannot_read_is_read_by_this_process_in_the_same_run(red, frames, pool, error):
    infos = frames(*"abcdef")
    stage = Blind(victims=("b.fits", "e.fits"), error=error)
    outcomes, runner, _ = ran(red, infos, (stage,), executor=pool)
    assert weights(outcomes) == [(n, n + 1) for n in range(6)]
    assert runner.settled and not any(outcome.passing for outcome in outcomes)


def test_what_nobody_can_read_is_not_remembered_and_read_by_the_next_run(red, frames, tmp_path):
    infos, marker = frames(*"abc"), tmp_path / "mounted"
    stage = Blind(victims=("b.fits",), marker=str(marker))
    outcomes, runner, _ = ran(red, infos, (stage,))
    assert outcomes[1].rejected and outcomes[1].passing and not runner.settled
    assert outcomes[1].reason == "b.fits: it cannot be read now"
    marker.touch()
    outcomes, runner, progress = ran(red, infos, (stage,))
    assert weights(outcomes) == [(0, 1), (1, 2), (2, 3)] and runner.settled
    assert any("2 of 3 already done, 1 to do: 1 new" in said for said in progress.said)


def test_what_the_bytes_say_is_remembered(red, frames):
    infos = frames("a", "rejected")
    for times in (2, 0):
        outcomes, runner, _ = ran(red, infos)
        assert outcomes[1].rejected and not outcomes[1].passing and runner.settled
        assert runner.timing.times.get("Judge", 0) == times // 2


def test_a_product_is_not_kept_where_something_that_it_may_need_was_missing(red, frames):
    with Journal(red) as journal, Runner(Output(red), Options(), Recording(), None, journal) as runner:
        runner.output.write_text("a.txt", "a")
        runner.output.write_text("b.txt", "b")
        runner.keep("a.txt", "key", 1)
        runner.unsettle()
        runner.keep("b.txt", "key", 1)
        assert journal.recall("a.txt", "key") == 1 and journal.recall("b.txt", "key") is None


# -- a key that cannot lie -------------------------------------------------------------------------------------

PLACE_OF_TARGET = Field("place_of_target", float, "where the target is", per="frame")


@dataclass(frozen=True)
class Point(FrameStage):
    """Reads the coordinates, and nothing else."""

    reads = (COORDINATES, WEIGHT)
    gives = (PLACE_OF_TARGET,)

    def __call__(self, frame, setup):
        return frame.after("pointed", place_of_target=float(setup[COORDINATES].ra.deg) + frame[WEIGHT][0])


def test_a_stage_that_reads_coordinates_is_computed_again_for_others_and_it_alone(red, frames):
    infos = frames(*"abc")
    one, two = (SkyCoord(ra, 20, unit="deg") for ra in (10, 11))
    first, *_ = ran(red, infos, (Weigh(), Point()), coordinates=one)
    second, runner, progress = ran(red, infos, (Weigh(), Point()), coordinates=two)
    assert [o.results["place_of_target"] for o in first] == [10, 11, 12]
    assert [o.results["place_of_target"] for o in second] == [11, 12, 13]
    assert runner.timing.times == {"Point": 3}
    assert progress.said == [f"{WHAT}: all 3 to be redone: coordinates changed"]
    _, runner, _ = ran(red, infos, (Weigh(), Point()), coordinates=two)
    assert not runner.timing.times


def test_a_new_version_of_a_stage_computes_it_and_what_follows_from_it(red, frames, monkeypatch):
    infos = frames(*"abc")
    both, at = (Weigh(), Point()), SkyCoord(1, 2, unit="deg")
    ran(red, infos, both, coordinates=at)
    monkeypatch.setattr(Point, "version", 2)
    _, runner, _ = ran(red, infos, both, coordinates=at)
    assert runner.timing.times == {"Point": 3}
    monkeypatch.setattr(Weigh, "version", 2)
    _, runner, _ = ran(red, infos, both, coordinates=at)
    assert runner.timing.times == {"Weigh": 3, "Point": 3}


def test_a_stage_that_gives_what_it_does_not_declare_is_an_error_of_the_frame_that_names_it(red, frames):
    @dataclass(frozen=True)
    class Odd(FrameStage):
        def __call__(self, frame, setup):
            return frame.after("odd", colour=1)

    (outcome,), *_ = ran(red, frames("a"), (Weigh(), Odd()))
    assert "Odd gives colour, which it does not declare in gives" in outcome.reason


def test_a_stage_is_shown_what_it_reads_and_nothing_else(red, frames):
    @dataclass(frozen=True)
    class Peek(FrameStage):
        def __call__(self, frame, setup):
            return frame.after(str(setup[COORDINATES]))

    (outcome,), *_ = ran(red, frames("a"), (Weigh(), Peek()), coordinates=SkyCoord(1, 2, unit="deg"))
    assert "coordinates (coordinates) is not available; declare it in reads" in outcome.reason


def test_a_frame_that_failed_in_a_later_stage_is_no_failure_of_an_earlier_one(red, frames):
    infos = frames("lost", "a")
    (lost, _), *_ = ran(red, infos)
    assert lost.reason
    (alone, _), *_ = ran(red, infos, (Weigh(),))
    assert not alone.reason and alone.results["weight"].tolist() == [0, 1]


BESIDE = Field("beside", float, "beside", per="frame")


def test_a_failure_is_remembered_of_the_stages_that_follow_from_it_alone(red, frames):
    @dataclass(frozen=True)
    class Strict(Point):
        """Wants coordinates in the east."""

        def __call__(self, frame, setup):
            if setup[COORDINATES].ra.deg < 5:
                raise RegistrationError("too far west")
            return super().__call__(frame, setup)

    @dataclass(frozen=True)
    class Beside(FrameStage):
        """Reads nothing that the stage before it gives."""

        reads = (WEIGHT,)
        gives = (BESIDE,)

        def __call__(self, frame, setup):
            return frame.after("stood beside", beside=float(frame[WEIGHT][0]))

    infos, stages = frames(*"ab"), (Weigh(), Strict(), Beside())
    west, east = (SkyCoord(ra, 20, unit="deg") for ra in (1, 10))
    failed, *_ = ran(red, infos, stages, coordinates=west)
    assert all("too far west" in outcome.reason for outcome in failed)
    found, *_ = ran(red, infos, stages, coordinates=east)
    assert [o.reason for o in found] == ["", ""] and [o.results["beside"] for o in found] == [0, 1]
    again, runner, _ = ran(red, infos, stages, coordinates=west)
    assert all("too far west" in outcome.reason for outcome in again) and not runner.timing.times


@dataclass(frozen=True)
class Fetch(Weigh):
    """Gives a number of which nothing is kept, and fails."""

    gives: ClassVar = (READING, SHOWN)

    def __call__(self, info, setup):
        raise PixelError("nothing there")


def test_a_failure_that_no_kept_stage_follows_from_stays_one(red, frames):
    @dataclass(frozen=True)
    class Count(FrameStage):
        gives = (BESIDE,)

        def __call__(self, frame, setup):
            return frame.after("counted", beside=1.0)

    for _ in range(2):
        (outcome,), *_ = ran(red, frames("a"), (Fetch(), Count()))
        assert "nothing there" in outcome.reason
