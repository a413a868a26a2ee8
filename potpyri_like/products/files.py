"""The files of a set and of a run: their contents by name, and the writing of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import TypeVar

from astropy.io import fits
from astropy.table import Table

from potpyri_like.products.summary import curve_file, leads_the_fit
from potpyri_like.products.tables import (
    light_curve_table,
    measurements,
    noise_budget_table,
    ranking_table,
    transit_table,
)
from potpyri_like.results import SetResult
from potpyri_like.store import Output

__all__ = [
    "Picture",
    "leading",
    "set_images",
    "set_tables",
    "target_folder",
    "target_images",
    "write_images",
    "write_tables",
]

ANALYSIS = "analysis_plots"

T = TypeVar("T")


@dataclass(frozen=True)
class Picture:
    """A figure that is not drawn yet.

    Attributes
    ----------
    kind : str
        The function that draws it as a PNG.
    of : LightCurve, SetResult, Master, ...
        What it shows.
    module : str
        Of this package, where that function is: "plots", "analysis_plots" or "animation".
    """

    kind: str
    of: object
    module: str = "plots"

    def __call__(self) -> bytes:
        # Matplotlib takes half a second to load, and most runs of a night that stands need none of it.
        plots = importlib.import_module(f"potpyri_like.products.{self.module}")
        return getattr(plots, self.kind)(self.of)


def set_tables(result: SetResult, *, only: Collection[str] | None = None) -> dict[str, Table | fits.HDUList]:
    """The tables of a set by their path within the output folder; only those with something to tell.

    Parameters
    ----------
    result : SetResult
    only : collection of str, optional
        Names of those that are wanted.
    """
    makers: dict[str, Callable[[], Table | fits.HDUList]] = {}
    if result.light_curve is not None:
        makers[curve_file(result, "lightcurve.ecsv")] = partial(light_curve_table, result.light_curve)
    if result.series is not None:
        makers["measurements.fits"] = partial(measurements, result)
    if result.series is not None and result.stars is not None:
        makers["stars.ecsv"] = partial(ranking_table, result)
    if result.budget is not None and result.stars is not None:
        makers["noise_budget.ecsv"] = partial(noise_budget_table, result)
    makers = wanted(makers, result.observed.folder, only)
    if leads_the_fit(result) and result.transit is not None:
        name = curve_file(result, "transit.ecsv")
        makers |= wanted({name: partial(transit_table, result)}, target_folder(result), only)
    return {name: make() for name, make in makers.items()}


def target_folder(result: SetResult) -> str:
    """The folder of a set's target."""
    return PurePath(result.observed.folder).parent.as_posix()


def set_images(result: SetResult, *, only: Collection[str] | None = None) -> dict[str, Picture]:
    """The pictures of a set by their path within the output folder; only those with something to show.

    Parameters
    ----------
    result : SetResult
    only : collection of str, optional
        Names of those that are wanted.
    """
    pictures: dict[str, Picture] = {}
    if result.light_curve is not None:
        pictures[curve_file(result, "lightcurve.png")] = Picture("light_curve_plot", result.light_curve)
    if result.reference is not None:
        pictures["field.png"] = Picture("field_plot", result)
    if result.stars is not None:
        pictures["noise.png"] = Picture("noise_plot", result, ANALYSIS)
    if result.stars is not None and result.series is not None and (result.stars.weight > 0).any():
        pictures["comparisons.png"] = Picture("comparison_plot", result)
    if result.averaging is not None:
        pictures[curve_file(result, "time_averaging.png")] = Picture("time_averaging_plot", result, ANALYSIS)
    if result.periods is not None:
        pictures[curve_file(result, "periodogram.png")] = Picture("periodogram_plot", result, ANALYSIS)
    if result.snapshots:
        pictures[curve_file(result, "field.gif")] = Picture("animation", result, "animation")
    return wanted(pictures, result.observed.folder, only)


def target_images(results: Sequence[SetResult]) -> dict[str, Picture]:
    """The PNGs of a target, from all its sets, by their path within the output folder."""
    pictures: dict[str, Picture] = {}
    curves = [result.light_curve for result in results if result.light_curve is not None]
    if len(curves) > 1:
        pictures[curve_file(leading(results), "bands.png")] = Picture("bands_plot", curves)
    if any(result.band_fit is not None for result in results):
        pictures[curve_file(leading(results), "transit.png")] = Picture(
            "transit_plot", list(results), ANALYSIS
        )
    first = next((result for result in results if result.lags), None)
    if first is not None:
        pictures[curve_file(first, "lags.png")] = Picture("lags_plot", first, ANALYSIS)
    return wanted(pictures, target_folder(results[0]), None) if results else {}


def leading(results: Sequence[SetResult]) -> SetResult:
    """The set that names what is made of all sets of a target: the first with a light curve."""
    return next((result for result in results if result.light_curve is not None), results[0])


def wanted(things: Mapping[str, T], folder: str, only: Collection[str] | None) -> dict[str, T]:
    """Those that are wanted, by their paths."""
    return {f"{folder}/{name}": thing for name, thing in things.items() if only is None or name in only}


def write_tables(output: Output, tables: Mapping[str, Table | fits.HDUList | str]) -> None:
    """Write tables, ECSV or FITS or text, each to its path."""
    for name, table in tables.items():
        if isinstance(table, fits.HDUList):
            output.write_fits(name, table)
        elif isinstance(table, str):
            output.write_text(name, table)
        else:
            output.write_table(name, table)


def write_images(output: Output, images: Mapping[str, bytes]) -> None:
    """Write PNGs, each to its path."""
    for name, image in images.items():
        output.write_bytes(name, image)
