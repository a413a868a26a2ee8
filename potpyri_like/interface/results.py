"""What a run made, for a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData
from astropy.table import QTable, Table
from astropy.time import Time
from astropy.timeseries import TimeSeries

from potpyri_like.errors import FrameError, UsageError
from potpyri_like.frame import ccd_of
from potpyri_like.instruments import Instrument
from potpyri_like.options import Options
from potpyri_like.primitives.fields import CALIBRATED
from potpyri_like.products import (
    closing_lines,
    count_frames,
    explanation,
    light_curve_table,
    ranking_table,
    run_json,
)
from potpyri_like.results import Master, RunReport, SetResult
from potpyri_like.run.observations import start
from potpyri_like.run.recipe import recipe_of
from potpyri_like.run.runner import frame_after
from potpyri_like.stages import FrameStage

__all__ = ["COVARIANCE", "Observation", "Run"]

COVARIANCE = "covariance"  # in the metadata of a CCDData: see Frame.covariance
_FIGURES = ("rms", "point_to_point", "expected")


@dataclass(frozen=True, eq=False)
class Run:
    """What one run made of a night.

    Attributes
    ----------
    report : RunReport
        All of it.
    folder : Path
        Where the products are.
    instrument : Instrument
    options : Options
        Those in force.
    """

    report: RunReport
    folder: Path
    instrument: Instrument
    options: Options

    @property
    def exit_status(self) -> int:
        """As of the command: 0 all is well, 1 nothing could be reduced, 3 a product is missing, 4 doubtful."""
        return self.report.exit_status

    @property
    def observations(self) -> tuple[Observation, ...]:
        """What was made of each target, camera, band and night."""
        return tuple(Observation(result, self) for result in self.report.sets)

    def __iter__(self) -> Iterator[Observation]:
        return iter(self.observations)

    def __len__(self) -> int:
        return len(self.report.sets)

    def __getitem__(self, key: str | tuple[str, ...]) -> Observation:
        """The one observation of that target, band, camera or night, or of several of these: ``run["WASP-0", "g"]``.

        Raises
        ------
        KeyError
            There is none, or there are several.
        """
        words = {part.casefold() for part in ((key,) if isinstance(key, str) else key)}
        found = [one for one in self if words <= {name.casefold() for name in one.names}]
        if len(found) != 1:
            there = "; ".join(one.name for one in self)
            raise KeyError(f"{key!r}: {len(found) or 'no'} observations of that name; there are {there}")
        return found[0]

    def table(self) -> Table:
        """One row for each observation; noise is relative to the flux."""
        names = ("target", "night", "camera", "band", "frames", "measured", *_FIGURES)
        table = Table(rows=[one.row() for one in self], names=names)
        for name in _FIGURES:
            table[name].format = ".5f"
        return table

    @property
    def lines(self) -> list[str]:
        """The command's last lines on the screen."""
        return closing_lines(self.report, folder=self.folder)

    def explain(self, what: str = "", *, everything: bool = False) -> str:
        """Why the run chose what it chose, as `reduce explain` prints it.

        Parameters
        ----------
        what : str
            A part of the name of a target, band, camera or choice: "aperture"; "" for all.
        everything : bool
            All rejected candidates.
        """
        return "\n".join(explanation(run_json(self.report), what=what, everything=everything))

    def __repr__(self) -> str:
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(line)}</li>" for line in self.lines[len(self) :])
        return f"{self.table()._repr_html_()}<ul>{notes}</ul>"


@dataclass(frozen=True, eq=False)
class Observation:
    """What was made of one target in one camera and band.

    Attributes
    ----------
    result : SetResult
        All of it.
    run : Run
    """

    result: SetResult
    run: Run

    @property
    def name(self) -> str:
        """As in "WASP-0, C1 g"."""
        return self.result.observed.name

    @property
    def names(self) -> tuple[str, ...]:
        """Target, camera, band and night."""
        observed = self.result.observed
        return observed.target, observed.camera, observed.band, observed.night

    @property
    def light_curve(self) -> QTable | None:
        """The columns and metadata of lightcurve.ecsv; None without a light curve."""
        curve = self.result.light_curve
        return None if curve is None else QTable(light_curve_table(curve))

    @property
    def time_series(self) -> TimeSeries | None:
        """The same with `Time`: BJD_TDB at mid-exposure, or UTC where the target's coordinates are not known."""
        table, curve = self.light_curve, self.result.light_curve
        if table is None or curve is None:
            return None
        days = table[curve.time_name].to_value(u.d)
        time = Time(days, format="jd", scale="tdb" if curve.time_name == "bjd_tdb" else "utc")
        columns = [name for name in table.colnames if name != curve.time_name]
        return TimeSeries(time=time, data=table[columns])

    @property
    def stars(self) -> QTable | None:
        """The columns of stars.ecsv: every star, its weight among the comparison stars, and why not."""
        return None if self.result.stars is None else QTable(ranking_table(self.result))

    @property
    def masters(self) -> dict[str, CCDData]:
        """The master frames that calibrated it: bias and darks in electron, the flat relative to 1."""
        masters = self.result.masters
        found: dict[str, CCDData] = {}
        for master in (masters.bias, *masters.darks.values(), masters.flat):
            if master is not None:
                name = f"dark {master.exposure:g} s" if master.kind == "dark" else master.kind
                found[name] = _of_master(master)
        return found

    def frame(self, name: str) -> CCDData:
        """A raw frame calibrated as in the run.

        Parameters
        ----------
        name : str
            The file's, or its path within the night.

        Raises
        ------
        FrameError
            It is none of this observation's.
        """
        observed = self.result.observed
        info = next((one for one in observed.frames if name in (one.label, one.path.name)), None)
        if info is None:
            raise FrameError(f"{name}: no frame of {observed.name}")
        work = start(self.run.report.night, observed, self.run.options).with_(result=self.result)
        recipe = recipe_of(self.run.instrument, self.run.options)
        giver = recipe.giver(CALIBRATED)
        if giver is None:
            raise UsageError(f"the recipe {recipe.name} calibrates no frames")
        stages = [stage for stage in recipe.until(giver.name).stages if isinstance(stage, FrameStage)]
        frame = frame_after(info, stages, work.setup)
        ccd = frame.ccd
        ccd.meta = {COVARIANCE: frame.covariance}
        return ccd

    def row(self) -> tuple[object, ...]:
        """Its row in `Run.table`."""
        observed, curve = self.result.observed, self.result.light_curve
        noise: Mapping[str, float] = {} if curve is None else curve.noise
        counts = count_frames(self.run.report, self.result)
        figures = (noise.get(name, np.nan) for name in _FIGURES)
        return (
            *(observed.target, observed.night, observed.camera, observed.band),
            *(counts.total, counts.measured),
            *figures,
        )

    def __repr__(self) -> str:
        return f"<Observation {self.name}>"


def _of_master(master: Master) -> CCDData:
    ccd = ccd_of(master.pixels, unit="" if master.kind == "flat" else "electron")
    ccd.meta = {
        "kind": master.kind,
        "exposure": master.exposure,
        "method": master.rung,
        "inputs": list(master.inputs),
    }
    return ccd
