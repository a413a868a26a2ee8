"""The files of a set and of a run: their contents by name, and the writing of them."""

from __future__ import annotations

from collections.abc import Mapping

from astropy.io import fits
from astropy.table import Table

from potpyri_like.products.plots import comparison_plot, field_plot, light_curve_plot, noise_plot
from potpyri_like.products.tables import light_curve_table, measurements, ranking_table
from potpyri_like.results import SetResult
from potpyri_like.store import Output

__all__ = ["set_images", "set_tables", "write_images", "write_tables"]


def set_tables(result: SetResult) -> dict[str, Table | fits.HDUList]:
    """The tables of a set by their path within the output folder; only those with something to tell."""
    folder = result.observed.folder
    tables: dict[str, Table | fits.HDUList] = {}
    if result.light_curve is not None:
        tables[f"{folder}/lightcurve.ecsv"] = light_curve_table(result.light_curve)
    if result.series is not None:
        tables[f"{folder}/measurements.fits"] = measurements(result)
    if result.series is not None and result.stars is not None:
        tables[f"{folder}/stars.ecsv"] = ranking_table(result)
    return tables


def set_images(result: SetResult) -> dict[str, bytes]:
    """The PNGs of a set by their path within the output folder; only those with something to show."""
    folder = result.observed.folder
    images = {}
    if result.light_curve is not None:
        images[f"{folder}/lightcurve.png"] = light_curve_plot(result.light_curve)
    if result.reference is not None:
        images[f"{folder}/field.png"] = field_plot(result)
    if result.stars is not None:
        images[f"{folder}/noise.png"] = noise_plot(result)
    if result.stars is not None and result.series is not None and (result.stars.weight > 0).any():
        images[f"{folder}/comparisons.png"] = comparison_plot(result)
    return images


def write_tables(output: Output, tables: Mapping[str, Table | fits.HDUList]) -> None:
    """Write tables, ECSV or FITS, each to its path."""
    for name, table in tables.items():
        if isinstance(table, fits.HDUList):
            output.write_fits(name, table)
        else:
            output.write_table(name, table)


def write_images(output: Output, images: Mapping[str, bytes]) -> None:
    """Write PNGs, each to its path."""
    for name, image in images.items():
        output.write_bytes(name, image)
