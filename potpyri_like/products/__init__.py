"""The products: tables, figures, exports, the page of the night."""

from potpyri_like.products.closing import aligned, closing_lines, timing_lines
from potpyri_like.products.explanation import explanation
from potpyri_like.products.making import (
    Content,
    Picture,
    contents,
    made_of,
    write_content,
)
from potpyri_like.products.page.images import master_images
from potpyri_like.products.page.night import night_page
from potpyri_like.products.rows import count_frames, curve_file
from potpyri_like.products.run_json import run_json
from potpyri_like.products.tables.light_curve import light_curve_table, read_light_curve
from potpyri_like.products.tables.measurements import Measurements, measurements, read_measurements
from potpyri_like.products.tables.stars import ranking_table
from potpyri_like.products.words import plural

__all__ = [
    "Content",
    "Measurements",
    "Picture",
    "aligned",
    "closing_lines",
    "contents",
    "count_frames",
    "curve_file",
    "explanation",
    "light_curve_table",
    "made_of",
    "master_images",
    "measurements",
    "night_page",
    "plural",
    "ranking_table",
    "read_light_curve",
    "read_measurements",
    "run_json",
    "timing_lines",
    "write_content",
]
