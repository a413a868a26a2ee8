"""What people open: tables, plots, the page of the night."""

from potpyri_like.products.explanation import explanation
from potpyri_like.products.exports import set_exports
from potpyri_like.products.files import Picture, set_images, set_tables, write_images, write_tables
from potpyri_like.products.page import night_page, page_images
from potpyri_like.products.summary import (
    aligned,
    closing_lines,
    count_frames,
    curve_file,
    run_json,
    timing_lines,
)
from potpyri_like.products.tables import (
    Measurements,
    light_curve_table,
    measurements,
    ranking_table,
    read_light_curve,
    read_measurements,
)
from potpyri_like.products.words import plural

__all__ = [
    "Measurements",
    "Picture",
    "aligned",
    "closing_lines",
    "count_frames",
    "curve_file",
    "explanation",
    "light_curve_table",
    "measurements",
    "night_page",
    "page_images",
    "plural",
    "ranking_table",
    "read_light_curve",
    "read_measurements",
    "run_json",
    "set_exports",
    "set_images",
    "set_tables",
    "timing_lines",
    "write_images",
    "write_tables",
]
