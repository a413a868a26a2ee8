"""Stages that look at a whole night, or at all of a run: which observations they are shown together."""

import pytest
from astropy.io import fits
from small_night import small_night

from potpyri_like.errors import DeclarationError
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.options import Options
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.stages import Field, FrameStage, Input, Recipe

RECIPE = """
from dataclasses import dataclass

from potpyri_like.primitives import SetStage
from potpyri_like.primitives.calibrate import Calibrate
from potpyri_like.primitives.fields import CALIBRATED, MASTERS, TRIMMED
from potpyri_like.primitives.filter_pixels import FilterPixels
from potpyri_like.primitives.make_masters import MakeMasters
from potpyri_like.primitives.stage import TargetStage
from potpyri_like.primitives.trim import Trim
from potpyri_like.stages import Field, FrameStage, Input, Recipe

LEVEL = Field("level", float, "median", per="frame")
OF_NIGHT = Field("of_night", tuple, "targets of the night", per="night")
OF_RUN = Field("of_run", int, "observations of the run", per="run")
AFTER = Field("after", float, "median once more", per="frame")


@dataclass(frozen=True)
class Level(FrameStage):
    reads = (CALIBRATED,)
    gives = (LEVEL,)

    def __call__(self, frame, setup):
        return frame.after("level", level=float(frame.data.mean()))


@dataclass(frozen=True)
class LookAtNight(TargetStage):
    per = "night"
    reads = (Input(LEVEL, many=True),)
    gives = (OF_NIGHT,)

    def __call__(self, works, tools):
        names = tuple(sorted({work.observed.target for work in works}))
        return tuple(work.with_(shared=work.shared.giving({OF_NIGHT: names})) for work in works)


@dataclass(frozen=True)
class LookAtRun(TargetStage):
    per = "run"
    reads = (OF_NIGHT,)
    gives = (OF_RUN,)

    def __call__(self, works, tools):
        return tuple(work.with_(shared=work.shared.giving({OF_RUN: len(works)})) for work in works)


@dataclass(frozen=True)
class Again(FrameStage):
    reads = (CALIBRATED, OF_RUN)
    gives = (AFTER,)

    def __call__(self, frame, setup):
        return frame.after("again", after=float(frame.data.mean()) + setup[OF_RUN])


@dataclass(frozen=True)
class Keep(SetStage):
    reads = (OF_NIGHT, OF_RUN, Input(AFTER, many=True), Input(LEVEL, many=True))
    gives = ()

    def __call__(self, work, tools):
        rows = [(o.info.label, o.results["level"], o.results["after"]) for o in work.outcomes]
        told = repr((work.setup[OF_NIGHT], work.setup[OF_RUN], rows))
        tools.output.write_text(f"{work.observed.folder}/told.txt", told)
        return work


recipe = Recipe(
    "look",
    (MakeMasters(), Trim(), FilterPixels(), Calibrate(), Level(), LookAtNight(), LookAtRun(), Again(), Keep()),
    "look",
)
"""


def renamed(path, days, target):
    """The frame of another target, so many days later."""
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["OBJECT"] = target
        day = int(hdus[0].header["UT"][8:10]) + days
        hdus[0].header["UT"] = hdus[0].header["UT"][:8] + f"{day:02d}" + hdus[0].header["UT"][10:]


@pytest.mark.slow
def test_a_stage_of_a_night_and_of_a_run_is_shown_all_that_they_hold(tmp_path):
    night = tmp_path / "night"
    small_night(night, frames=8, size=(96, 96), stars=4, comparisons=4, darks=2, flats=2)
    frames = sorted(path for path in night.glob("*_r_00*.fits") if "flat" not in path.name)
    assert len(frames) == 8
    names = [(0, "one"), (0, "two"), (1, "one"), (1, "three")]
    for index, path in enumerate(frames):
        days, target = names[index // 2]
        renamed(path, days, target)
    (tmp_path / "look.py").write_text(RECIPE)
    reduce_night(Opticam(), night, options=Options(jobs=1, recipe=str(tmp_path / "look.py"), filter_="none"))
    told = {}
    for path in (night / "red").rglob("told.txt"):
        told[path.parent.parent.relative_to(night / "red").as_posix()] = eval(path.read_text())
    assert len(told) == 4
    for name, (of_night, of_run, rows) in told.items():
        assert of_night == (("one", "two") if name.startswith("20250222") else ("one", "three"))
        assert of_run == 4 and len(rows) == 2
        assert all(after == level + 4 for _, level, after in rows)


def test_neighbours_in_time_are_rejected_where_the_recipe_is_made():
    level = Field("level", float, "median", per="frame")

    class Level(FrameStage):
        gives = (level,)

    class Near(FrameStage):
        reads = (Input(level, nearest=4),)

    with pytest.raises(
        DeclarationError, match="Near reads level of the nearest frames, which is not implemented"
    ):
        Recipe("odd", (Level(), Near()))
