"""One night: the frames in a folder, what the observer wrote of them, and which calibrations each observation needs."""

from potpyri_like.night.edits import LEAVE_OUT
from potpyri_like.night.files import (
    NIGHT_TABLE,
    RUN_RECORD,
    check_apart,
    check_is_folder,
    is_ours,
    list_files,
)
from potpyri_like.night.names import band_slug, bare_reason, dated, slug, with_folder
from potpyri_like.night.night import FrameRow, Night, ObservationSet, rejected
from potpyri_like.night.scanning import Memory, edits_by_file, rows_of, scan

__all__ = [
    "LEAVE_OUT",
    "NIGHT_TABLE",
    "RUN_RECORD",
    "FrameRow",
    "Memory",
    "Night",
    "ObservationSet",
    "band_slug",
    "bare_reason",
    "check_apart",
    "check_is_folder",
    "dated",
    "edits_by_file",
    "is_ours",
    "list_files",
    "rejected",
    "rows_of",
    "scan",
    "slug",
    "with_folder",
]
