"""What people open: tables, plots, the page of the night."""

from potpyri_like.products.files import set_images, set_tables, write_images, write_tables
from potpyri_like.products.page import night_page, page_images
from potpyri_like.products.summary import closing_lines, run_json
from potpyri_like.products.tables import (
    Measurements,
    light_curve_table,
    measurements,
    ranking_table,
    read_light_curve,
    read_measurements,
)

__all__ = [
    "Measurements",
    "closing_lines",
    "light_curve_table",
    "measurements",
    "night_page",
    "page_images",
    "ranking_table",
    "read_light_curve",
    "read_measurements",
    "run_json",
    "set_images",
    "set_tables",
    "write_images",
    "write_tables",
]
