"""What people open: tables, plots, the page of the night."""

from potpyri_like.products.explanation import explanation
from potpyri_like.products.making import (
    Content,
    Picture,
    contents,
    made_of,
    write_content,
)
from potpyri_like.products.page import master_images, night_page
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
