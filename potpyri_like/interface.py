"""The Python interface: nights, runs and single steps, for notebooks and scripts.

``import potpyri_like as pl`` gives all of it. Images are `CCDData`, tables `QTable`, times `Time`.
"""

from __future__ import annotations

import html
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData
from astropy.table import QTable, Table
from astropy.time import Time
from astropy.timeseries import TimeSeries

from potpyri_like.astrometry import Match, match_stars
from potpyri_like.errors import FrameError, UsageError
from potpyri_like.frame import UNUSABLE, MaskBit, Pixels, ccd_of, pixels_of
from potpyri_like.imaging import MEDIAN_COVARIANCE, MEDIAN_PIXEL_FACTOR, fill_bad, filter_hot_pixels
from potpyri_like.imaging import calibrate as calibrate_pixels
from potpyri_like.instruments import Instrument
from potpyri_like.night import Night, rows_of
from potpyri_like.night import scan as scan_night
from potpyri_like.options import Options, OptionValue
from potpyri_like.photometry import Context, detect_stars, measure_stars
from potpyri_like.primitives import Setup, Trim
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
from potpyri_like.run.output import output_of
from potpyri_like.run.pipeline import reduce_night
from potpyri_like.run.progress import Lines, Progress, Silent
from potpyri_like.run.recipe import installed, recipe_of
from potpyri_like.run.runner import frame_after
from potpyri_like.run.settings import gather_options
from potpyri_like.stages import FrameStage
from potpyri_like.testing import NightPlan, Truth, simulate_night

__all__ = [
    "Observation",
    "Run",
    "calibrate",
    "detect",
    "filter3x3",
    "instrument",
    "match",
    "measure",
    "read",
    "reduce",
    "scan",
    "simulate",
]

_Path: TypeAlias = str | PathLike[str]
_Instrument: TypeAlias = str | Instrument | type[Instrument]

_COVARIANCE = "covariance"  # in the metadata of a CCDData: see Frame.covariance
_FIGURES = ("rms", "point_to_point", "expected")
_CALL = "reduce()"  # where options of a call come from
_PHOTONS = "photon_factor"  # variance of photons after the 3x3 median


# -- instruments and nights ----------------------------------------------------------------------------------------


def instrument(which: _Instrument) -> Instrument:
    """An instrument by its name, in any letter case, or by its class.

    Raises
    ------
    UnknownInstrument
        None of that name is installed; the message suggests the nearest.
    """
    if isinstance(which, str):
        return installed()[which]
    return which() if isinstance(which, type) else which


def scan(night: _Path, which: _Instrument) -> Night:
    """The frames of a folder by their headers, what each is, and which are rejected and why; nothing is written.

    What an observer wrote into the night.ecsv of an earlier run is not looked at here; `reduce` obeys it.

    Raises
    ------
    NightError
        The folder does not exist or holds no raw file.
    """
    return scan_night(Path(night), instrument(which))


def simulate(which: _Instrument, folder: _Path, plan: NightPlan | None = None) -> Truth:
    """Write a night of synthetic raw frames into a folder; what is true of it."""
    return simulate_night(instrument(which), Path(folder), plan or NightPlan())


def reduce(
    night: _Path,
    which: _Instrument,
    *,
    out: _Path | None = None,
    config: _Path | None = None,
    redo: bool = False,
    progress: bool | Progress = False,
    **options: OptionValue,
) -> Run:
    """Reduce a night as the command `reduce INSTRUMENT NIGHT` does, and write the same products.

    What an earlier run did and still holds is not done again. An interrupt (KeyboardInterrupt, as a notebook's stop
    button raises it) ends the run; what is done is kept.

    Parameters
    ----------
    night : str or Path
    which : str, Instrument or class
    out : str or Path, optional
        Where the products go, instead of `red` in the night.
    config : str or Path, optional
        A file of options, instead of the night's reduce.toml.
    redo : bool
        Forget what earlier runs did.
    progress : bool or Progress
        True: a line for each stage, on standard error.
    **options
        As on the command line, with underscores: ``target_xy="512,480"``, ``jobs=2``.

    Raises
    ------
    UsageError
        An option does not exist or does not fit.
    NightError
        There is nothing to reduce.
    """
    folder, known = Path(night), instrument(which)
    settled, origins = gather_options(
        folder, None if config is None else Path(config), options, say=_warned, where="reduce()"
    )
    shown: Progress = Lines() if progress is True else Silent() if progress is False else progress
    goes_to = None if out is None else Path(out)
    report = reduce_night(
        known, folder, out=goes_to, options=settled, origins=origins, redo=redo, progress=shown
    )
    return Run(report, output_of(folder, goes_to).root, known, settled)


def _warned(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=3)


# -- what a run made -----------------------------------------------------------------------------------------------


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
        """As of the command: 0 all is well, 1 nothing was reduced, 3 something is missing, 4 a number is doubtful."""
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
        ccd.meta = {_COVARIANCE: frame.covariance}
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


# -- single steps on single frames ---------------------------------------------------------------------------------


def read(path: _Path, which: _Instrument) -> CCDData:
    """A raw frame in electrons: overscan or pedestal subtracted, trimmed, amplifiers put together.

    Raises
    ------
    FrameError
        It cannot be read, or the instrument does not understand it; the message says why.
    """
    known, file = instrument(which), Path(path)
    row = rows_of(file, None, file.parent, known, {})[0]
    if row.info is None:
        raise FrameError(row.reason)
    frame = Trim()(row.info, Setup(known))
    ccd = frame.ccd
    info = row.info
    ccd.meta = {
        "kind": str(info.kind),
        "camera": info.camera,
        "band": info.band,
        "target": info.target,
        "exposure": info.exposure,
        "mid_time": info.mid_time,
    }
    return ccd


def filter3x3(frame: CCDData, *, mode: str = "median", dark: CCDData | None = None) -> CCDData:
    """A frame after the 3x3 filter.

    Parameters
    ----------
    frame : CCDData, electron
        As `read` gives it.
    mode : str
        "median": each pixel is the median of itself and its eight neighbours; "selective": hot pixels alone are
        replaced, and flagged.
    dark : CCDData, electron, optional
        In the exposure of the frame: pixels that it explains are not hot for "selective".
    """
    known = None if dark is None or mode != "selective" else pixels_of(dark).data
    filtered = filter_hot_pixels(pixels_of(frame), mode=mode, dark=known)
    more = {_COVARIANCE: MEDIAN_COVARIANCE, _PHOTONS: MEDIAN_PIXEL_FACTOR} if mode == "median" else {}
    return _like(frame, filtered, **more)


def calibrate(
    frame: CCDData,
    *,
    bias: CCDData | None = None,
    dark: CCDData | None = None,
    dark_scale: float = 1.0,
    flat: CCDData | None = None,
) -> CCDData:
    """A frame without bias and dark current, divided by the flat; its variance has that of the photons then.

    Parameters
    ----------
    frame : CCDData, electron
        As `read` gives it.
    bias, dark, flat : CCDData, optional
        Masters of the same shape, as `Observation.masters` gives them.
    dark_scale : float
        Exposure of the frame over that of the dark.
    """
    given = {name: None if one is None else pixels_of(one) for name, one in (("bias", bias), ("dark", dark))}
    pixels = calibrate_pixels(
        pixels_of(frame),
        bias=given["bias"],
        dark=given["dark"],
        dark_scale=dark_scale,
        flat=None if flat is None else pixels_of(flat),
        poisson_factor=float(frame.meta.get(_PHOTONS, 1.0)),
    )
    fill_bad(pixels, int(UNUSABLE), out=pixels.data)
    return _like(frame, pixels)


def detect(frame: CCDData, *, threshold: float = 5.0, most: int | None = None) -> QTable:
    """The stars of a calibrated frame, the brightest first.

    Parameters
    ----------
    frame : CCDData
    threshold : float
        In standard deviations of the sky after the matched filter.
    most : int, optional
        At most so many.

    Returns
    -------
    QTable
        x, y [pixel, 0-based], flux, peak, fwhm [pixel], ellipticity, saturated.
    """
    pixels = pixels_of(frame)
    saturated = (pixels.mask & np.uint16(MaskBit.SATURATED)) > 0
    found = detect_stars(
        pixels.data, mask=pixels.mask & UNUSABLE, threshold=threshold, max_stars=most, saturated=saturated
    )
    unit = frame.unit or u.dimensionless_unscaled
    return QTable(
        {
            "x": found.x * u.pix,
            "y": found.y * u.pix,
            "flux": found.flux * unit,
            "peak": found.peak * unit,
            "fwhm": found.fwhm * u.pix,
            "ellipticity": found.ellipticity,
            "saturated": found.saturated,
        }
    )


def match(reference: QTable, stars: QTable) -> Match:
    """The transform from the pixels of one list of stars to those of another, of any rotation and shift.

    Parameters
    ----------
    reference, stars : QTable
        As `detect` gives them.

    Raises
    ------
    RegistrationError
        They have not enough stars in common, as far as can be told.
    """
    return match_stars(
        _places(reference),
        _places(stars),
        source_flux=reference["flux"].value,
        target_flux=stars["flux"].value,
    )


def measure(
    frame: CCDData,
    xy: object,
    *,
    radii: object,
    fwhm: float,
    annulus: tuple[float, float] | None = None,
    recentre: float | None = None,
) -> QTable:
    """The flux of stars in concentric apertures, above the sky of an annulus around each.

    Parameters
    ----------
    frame : CCDData
        Calibrated.
    xy : array_like, shape (n, 2), pixel
        0-based; or a table with columns x and y.
    radii : array_like, pixel
        Of the apertures.
    fwhm : float, pixel
    annulus : (float, float), pixel, optional
        4 and 6 FWHM.
    recentre : float, pixel, optional
        How far a star may be from its place; None: measured where it is said to be.

    Returns
    -------
    QTable
        x, y [pixel], flux, flux_err, shape (n, n_radii), sky (per pixel), flags (bits of StarFlag).
    """
    pixels = pixels_of(frame)
    places = _places(xy) if isinstance(xy, Table) else np.asarray(xy, float).reshape(-1, 2)
    found = measure_stars(
        *pixels,
        places,
        fwhm=fwhm,
        radii=np.atleast_1d(np.asarray(radii, float)),
        annulus=annulus or (4 * fwhm, 6 * fwhm),
        recentre=recentre,
        context=Context(
            covariance=float(frame.meta.get(_COVARIANCE, 1.0)), photons=float(frame.meta.get(_PHOTONS, 1.0))
        ),
    )
    unit = frame.unit or u.dimensionless_unscaled
    return QTable(
        {
            "x": found.xy[:, 0] * u.pix,
            "y": found.xy[:, 1] * u.pix,
            "flux": found.flux * unit,
            "flux_err": found.flux_err * unit,
            "sky": found.sky * unit / u.pix,
            "flags": found.flags,
        }
    )


def _places(stars: Table) -> np.ndarray:
    """Positions, shape (n, 2)."""
    columns = (u.Quantity(stars[name]).value for name in ("x", "y"))
    return np.column_stack(list(columns)).astype(float)


def _like(frame: CCDData, pixels: Pixels, **meta: object) -> CCDData:
    """A CCDData of new pixels, with the WCS and the metadata of another."""
    ccd = ccd_of(pixels, unit=str(frame.unit or ""), wcs=frame.wcs)
    ccd.meta = {**frame.meta, **meta}
    return ccd
