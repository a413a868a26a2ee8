"""Our own products, as a plugin brings them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from astropy.table import Table

from potpyri_like.errors import ProductError
from potpyri_like.hookspecs import hookimpl
from potpyri_like.primitives.fields import (
    AVERAGING,
    BUDGET,
    LIGHT_CURVE,
    PERIODS,
    REFERENCE,
    SERIES,
    SNAPSHOTS,
    STAR_TABLE,
    TRANSIT,
)
from potpyri_like.products.closing import leads_the_fit
from potpyri_like.products.exports.aavso_exoplanet import aavso_exoplanet
from potpyri_like.products.exports.aavso_extended import aavso_extended
from potpyri_like.products.exports.archi import archi_text
from potpyri_like.products.exports.csv import light_curve_csv
from potpyri_like.products.exports.fits import light_curve_fits
from potpyri_like.products.making import Picture, ShownToProduct
from potpyri_like.products.tables.light_curve import light_curve_table
from potpyri_like.products.tables.measurements import measurements
from potpyri_like.products.tables.noise_budget import noise_budget_table
from potpyri_like.products.tables.stars import ranking_table
from potpyri_like.products.tables.transit import transit_table
from potpyri_like.stages import AnyField, Product

__all__ = ["register_products"]

_EXPORT = "export"

_Make = Callable[[ShownToProduct], object]


@hookimpl
def register_products() -> list[Product]:
    """Tables, figures and exports."""
    return [
        Product("lightcurve.ecsv", "the light curve", (LIGHT_CURVE,), _light_curve, is_of_star=True),
        Product("measurements.fits", "all stars in all frames", (SERIES,), lambda s: measurements(s.result)),
        Product(
            "stars.ecsv",
            "table of the stars",
            (SERIES, STAR_TABLE),
            lambda s: ranking_table(s.result),
        ),
        Product(
            "noise_budget.ecsv",
            "the noise of each star, term by term",
            (BUDGET, STAR_TABLE),
            lambda s: noise_budget_table(s.result),
        ),
        Product("transit.ecsv", "the fit", (TRANSIT,), _transit, per="target", is_of_star=True),
        _figure(
            "lightcurve.png",
            "the light curve",
            LIGHT_CURVE,
            "light_curve_plot",
            "light_curve",
            of=LIGHT_CURVE,
            is_of_star=True,
        ),
        _figure("field.png", "the field, with its stars", REFERENCE, "field_plot", "field"),
        _figure("noise.png", "scatter against brightness", STAR_TABLE, "noise_plot", "noise"),
        Product("comparisons.png", "the comparison stars", (STAR_TABLE, SERIES), _comparisons),
        _figure(
            "time_averaging.png",
            "scatter against the width of bins",
            AVERAGING,
            "time_averaging_plot",
            "time_averaging",
            is_of_star=True,
        ),
        _figure("periodogram.png", "periods", PERIODS, "periodogram_plot", "periods", is_of_star=True),
        Product("field.gif", "the field in the course of time", (SNAPSHOTS,), _animation, is_of_star=True),
        Product("bands.png", "all bands", (LIGHT_CURVE,), _bands, per="target", is_of_star=True),
        Product("transit.png", "the fit", (TRANSIT,), _transit_figure, per="target", is_of_star=True),
        Product("lags.png", "lags between the bands", (LIGHT_CURVE,), _lags, per="target", is_of_star=True),
        _export("archi.txt", "archi's table", lambda s: archi_text(s.result, options=s.options)),
        _export("lightcurve.csv", "the light curve, comma separated", lambda s: light_curve_csv(s.result)),
        _export("lightcurve.fits", "in FITS", lambda s: light_curve_fits(s.result, options=s.options)),
        _export("aavso_extended.txt", "for the AAVSO", _aavso),
        _export("aavso_exoplanet.txt", "for the AAVSO's exoplanet section", _exoplanet, TRANSIT),
    ]


def _figure(
    name: str,
    about: str,
    reads: AnyField,
    kind: str,
    module: str,
    *,
    of: AnyField | None = None,
    is_of_star: bool = False,
) -> Product:
    """A figure of one observation, or of one of its fields."""
    return Product(
        name,
        about,
        (reads,),
        lambda shown: Picture(kind, shown.result if of is None else shown[of], module),
        is_of_star=is_of_star,
    )


def _export(name: str, about: str, make: _Make, *more: AnyField) -> Product:
    """The light curve of a target that was named in a format of others; none where there is no point to report."""

    def made(shown: ShownToProduct) -> object:
        if not shown[LIGHT_CURVE].is_identified:
            return None
        with suppress(ProductError):
            return make(shown)
        return None

    return Product(name, about, (LIGHT_CURVE, *more), made, folder=_EXPORT)


# -- tables --------------------------------------------------------------------------------------------------


def _light_curve(shown: ShownToProduct) -> Table:
    return light_curve_table(shown[LIGHT_CURVE])


def _transit(shown: ShownToProduct) -> Table | None:
    first = next(
        (result for result in shown.results if result.transit is not None and leads_the_fit(result)), None
    )
    return None if first is None else transit_table(first)


# -- figures -------------------------------------------------------------------------------------------------


def _comparisons(shown: ShownToProduct) -> Picture | None:
    return (
        Picture("comparison_plot", shown.result, "comparisons")
        if (shown[STAR_TABLE].weight > 0).any()
        else None
    )


def _animation(shown: ShownToProduct) -> Picture | None:
    return Picture("animation", shown.result, "animation") if shown[SNAPSHOTS] else None


def _bands(shown: ShownToProduct) -> Picture | None:
    curves = [result.light_curve for result in shown.results if result.light_curve is not None]
    return Picture("bands_plot", curves, "bands") if len(curves) > 1 else None


def _transit_figure(shown: ShownToProduct) -> Picture | None:
    has_fit = any(result.band_fit is not None for result in shown.results)
    return Picture("transit_plot", list(shown.results), "transit") if has_fit else None


def _lags(shown: ShownToProduct) -> Picture | None:
    first = next((result for result in shown.results if result.lags), None)
    return None if first is None else Picture("lags_plot", first, "lags")


# -- exports -------------------------------------------------------------------------------------------------


def _observer(shown: ShownToProduct) -> str:
    """The AAVSO's code of the observer."""
    return str(shown.options.get("observer") or "")


def _aavso(shown: ShownToProduct) -> str | None:
    """A limit is not reported."""
    return None if shown[LIGHT_CURVE].is_limit else aavso_extended(shown.result, observer=_observer(shown))


def _exoplanet(shown: ShownToProduct) -> str | None:
    if shown[LIGHT_CURVE].is_limit:
        return None
    return aavso_exoplanet(
        shown.result,
        shown[TRANSIT],
        curve_name=shown.result.curve_name,
        observer=_observer(shown),
        planet=str(shown.options.get("planet") or ""),
    )
