"""The only reader of raw files and the only writer of anything; never outside the output folder."""

from potpyri_like.store.output import FITS_ELECTRON, OWN_FOLDER, REMEDY, Output, Scratch, table_text
from potpyri_like.store.raw import (
    MOST_AT_ONCE,
    Reading,
    is_circumstance,
    is_raw_name,
    raw_sha256,
    read_header,
    read_raw,
    read_table,
    sha256,
    signature,
    unpacked_name,
)
from potpyri_like.store.sums import datasum
from potpyri_like.store.unopened import Unopened, unopened_among
from potpyri_like.store.words import ascii_text, one_line, printable

__all__ = [
    "FITS_ELECTRON",
    "MOST_AT_ONCE",
    "OWN_FOLDER",
    "REMEDY",
    "Output",
    "Reading",
    "Scratch",
    "Unopened",
    "ascii_text",
    "datasum",
    "is_circumstance",
    "is_raw_name",
    "one_line",
    "printable",
    "raw_sha256",
    "read_header",
    "read_raw",
    "read_table",
    "sha256",
    "signature",
    "table_text",
    "unopened_among",
    "unpacked_name",
]
