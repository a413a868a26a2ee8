"""Run the comparisons and the growth, and write docs/benchmarks.md.

OMP_NUM_THREADS=1 python benchmarks/report.py [--short]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import against
import frame
import growth

from potpyri_like.identity import versions

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

This page is written by `make bench`, which runs everything below on one computer, one after the other. Milliseconds
are those of the computer it was run on; ratios and slopes hold on others, too. Everything runs in one thread.
"""
BESIDE = """## Compared with other software

The same work on the same simulated frames of OPTICAM (2048 x 2048 pixels of 16 bits, FWHM {fwhm:.0f} pixels), in turns;
medians of the rounds. "A frame, from file to fluxes" is everything that is done to a science frame: reading it, the 3x3
median, dark and flat, finding its stars, matching them to the reference, centroids, skies, and {stars} stars in 20
apertures with errors; it is compared with the same steps written with SciPy and photutils.
"""
FRAME = """## One frame, step by step

Processor time of each stage for 2048 x 2048 pixels, {stars} stars and 20 apertures; `Trim` reads the file, with its
SHA-256.
"""
GROWTH = """## Growth

Frames of 2048 x 2048 pixels, all stages, through a pool of workers that is warm.
"""


def main() -> int:
    """Measure, print and write."""
    short = "--short" in sys.argv
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries
        text = "\n".join(page(short=short)) + "\n"
    print(text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


def page(*, short: bool) -> Iterator[str]:
    """The page, line by line."""
    yield HEAD
    told = ", ".join(f"{name} {number}" for name, number in versions().items())
    yield f"With {told}.\n"
    with tempfile.TemporaryDirectory() as folder:
        bench = against.prepared(Path(folder))
        yield BESIDE.format(fwhm=bench.fwhm, stars=len(bench.xy))
        yield from against.table(against.compare(bench))
        yield ""
        yield FRAME.format(stars=len(bench.xy))
        yield from frame.table(frame.time_stages(bench))
    yield ""
    yield GROWTH
    with tempfile.TemporaryDirectory() as folder:
        frames = growth.FRAMES[:2] if short else growth.FRAMES
        yield from growth.report(*growth.measured(Path(folder), frames=frames))


if __name__ == "__main__":
    sys.exit(main())
