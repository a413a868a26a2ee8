"""A light curve as comma-separated values."""

from __future__ import annotations

import csv
import io

from potpyri_like.products.exports.fields import light_curve
from potpyri_like.products.tables.light_curve import light_curve_table
from potpyri_like.results import SetResult

__all__ = ["light_curve_csv"]


def light_curve_csv(result: SetResult) -> str:
    """A light curve as CSV (RFC 4180), with the columns of lightcurve.ecsv in the first line.

    Numbers have all their digits, and NaN is "nan": ``float`` gives each back to the last bit.

    Raises
    ------
    ProductError
        There is no light curve.
    """
    table = light_curve_table(light_curve(result))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(table.colnames)
    writer.writerows(zip(*(table[name].tolist() for name in table.colnames), strict=True))
    return text.getvalue()
