"""The same work on the same frames with what a user would take instead; medians and ratios of interleaved rounds.

    OMP_NUM_THREADS=1 python benchmarks/against.py

The frames are simulated ones of OPTICAM, 2048 x 2048 pixels of 16 bits, read from files. PROFE and astroalign are
compared where they are installed (`pip install --no-deps profe astroalign tqdm`: PROFE asks for an older astropy, and
its filter needs none of it).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import importlib.util
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.stats import SigmaClip
from ccdproc import combine as ccdproc_combine
from photutils.aperture import ApertureStats, CircularAnnulus, CircularAperture, aperture_photometry
from photutils.background import Background2D, MedianBackground
from photutils.centroids import centroid_com, centroid_sources
from photutils.detection import DAOStarFinder
from scipy.ndimage import median_filter

from potpyri_like.astrometry import match_stars
from potpyri_like.imaging import combine, median3x3
from potpyri_like.imaging import median as our_median
from potpyri_like.night import scan
from potpyri_like.options import Options
from potpyri_like.photometry import annulus_sky, aperture_sums, detect_stars
from potpyri_like.plugins import load_plugins
from potpyri_like.primitives import (
    Calibrate,
    ChooseReference,
    FilterPixels,
    MakeMasters,
    Measure,
    Register,
    Trim,
)
from potpyri_like.run.jobs import Job
from potpyri_like.run.observations import start
from potpyri_like.run.progress import Silent
from potpyri_like.run.runner import Runner, run_frame
from potpyri_like.store import Output, read_raw
from potpyri_like.testing import NightPlan, simulate_night

FRAMES, STARS, STACKED = 12, 150, 20
CALIBRATION = (Trim(), FilterPixels(), Calibrate())


@dataclass(frozen=True)
class Row:
    """One comparison: median milliseconds of both, and the median ratio of the rounds."""

    what: str
    other: str
    ours_ms: float
    theirs_ms: float
    ratio: float


@dataclass(frozen=True)
class Bench:
    """A simulated night, what is known of it, and a calibrated frame of it."""

    folder: Path
    work: Any
    image: np.ndarray
    variance: np.ndarray
    mask: np.ndarray
    xy: np.ndarray
    fwhm: float
    radii: np.ndarray

    @property
    def paths(self) -> list[Path]:
        return [info.path for info in self.work.observed.frames]


def main() -> int:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries
        for line in table(compare(prepared(Path(folder)))):
            print(line)
    return 0


def table(rows: list[Row]) -> list[str]:
    """The rows in Markdown."""
    head = ["| step | compared with | ours | theirs | ratio |", "|---|---|---:|---:|---:|"]
    return head + [
        f"| {r.what} | {r.other} | {r.ours_ms:.1f} ms | {r.theirs_ms:.0f} ms | {r.ratio:.0f} |" for r in rows
    ]


def version(name: str) -> str:
    return f"{name} {metadata.version(name)}"


def prepared(folder: Path) -> Bench:
    """A night with masters and a reference."""
    instrument = load_plugins()["OPTICAM"]
    plan = NightPlan(
        frames=FRAMES, size=(2048, 2048), cameras=("C1",), stars=220, darks=3, flats=3, flip=None
    )
    simulate_night(instrument, folder, plan)
    output = Output(folder / "red")
    output.make()
    night = scan(folder, instrument)
    runner = Runner(output, Options(stars=STARS), Silent())
    work = start(night, night.sets()[0], Options())
    for stage in (MakeMasters(), ChooseReference(CALIBRATION)):
        work = stage(work, runner)
    reference = work.setup.reference
    frame = Trim()(reference.info, work.setup)
    for stage in (FilterPixels(), Calibrate()):
        frame = stage(frame, work.setup)
    radii = np.geomspace(0.7, 3.5, 20) * reference.fwhm
    data, variance, mask = (np.array(a) for a in (frame.data, frame.variance, frame.mask))
    return Bench(folder, work, data, variance, mask, reference.xy, reference.fwhm, radii)


def compare(bench: Bench) -> list[Row]:
    """All comparisons."""
    raw = fits.getdata(bench.paths[0]).astype(np.uint16)
    frames = [np.roll(raw, 7 * n, axis=0) for n in range(STACKED)]
    ccds = [CCDData(frame, unit="adu") for frame in frames]
    shifted = bench.xy[:40] @ np.array([[1, 0.002], [-0.002, 1]]) + [9.3, -4.1]
    rows = [
        timed("3x3 median of a frame", version("scipy"), partial(median3x3, raw), lambda: scipy_median(raw)),
        timed(
            f"median of {STACKED} frames", version("ccdproc"), partial(our_median, frames),
            lambda: ccdproc_combine(ccds, method="median"), rounds=3,
        ),
        timed(
            f"clipped mean of {STACKED} frames", version("ccdproc"),
            lambda: combine([f.astype(np.float32) for f in frames], method="clipped mean"),
            lambda: ccdproc_combine(ccds, method="average", sigma_clip=True), rounds=3,
        ),
        timed(
            "background and detection", version("photutils"), lambda: detect_stars(bench.image, fwhm=bench.fwhm),
            lambda: photutils_detect(bench), rounds=3,
        ),
        timed(
            f"{len(bench.xy)} stars x {len(bench.radii)} apertures, with errors", version("photutils"),
            lambda: aperture_sums(bench.image, bench.variance, bench.xy, bench.radii),
            lambda: photutils_apertures(bench), rounds=3,
        ),
        timed(
            f"sky of {len(bench.xy)} stars, clipped annuli", version("photutils"),
            lambda: annulus_sky(bench.image, bench.xy, inner=4 * bench.fwhm, outer=6 * bench.fwhm),
            lambda: photutils_sky(bench), rounds=3,
        ),
    ]  # fmt: skip
    if importlib.util.find_spec("astroalign"):
        rows.append(
            timed(
                "match of 40 stars", version("astroalign"), lambda: match_stars(bench.xy[:40], shifted),
                lambda: astroalign_match(bench.xy[:40], shifted),
            )
        )  # fmt: skip
    if importlib.util.find_spec("profe"):
        rows.append(profe_row(bench))
    return [*rows, whole_frame(bench)]


def timed(
    what: str, other: str, ours: Callable[[], object], theirs: Callable[[], object], *, rounds: int = 5
) -> Row:
    """Both in turns; each is warmed up first."""
    ours(), theirs()
    times = [(milliseconds(ours), milliseconds(theirs)) for _ in range(rounds)]
    ratio = median(b / a for a, b in times)
    return Row(what, other, median(a for a, _ in times), median(b for _, b in times), ratio)


def milliseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - begun)


def scipy_median(image: np.ndarray) -> np.ndarray:
    return median_filter(image, size=3, mode="reflect")


def photutils_detect(bench: Bench) -> object:
    clip = SigmaClip(3.0)
    background = Background2D(
        bench.image, (50, 50), filter_size=3, sigma_clip=clip, bkg_estimator=MedianBackground()
    )
    threshold = 5 * background.background_rms_median
    return DAOStarFinder(threshold, bench.fwhm)(bench.image - background.background)


def photutils_apertures(bench: Bench) -> object:
    apertures = [CircularAperture(bench.xy, radius) for radius in bench.radii]
    return aperture_photometry(bench.image, apertures, error=np.sqrt(bench.variance), method="exact")


def photutils_sky(bench: Bench) -> object:
    annulus = CircularAnnulus(bench.xy, 4 * bench.fwhm, 6 * bench.fwhm)
    return ApertureStats(bench.image, annulus, sigma_clip=SigmaClip(3.0), sum_method="center").mean


def astroalign_match(one: np.ndarray, other: np.ndarray) -> object:
    import astroalign

    return astroalign.find_transform(one, other)


def profe_row(bench: Bench) -> Row:
    """PROFE's filter of one file as its users run it, and ours from file to file."""
    from profe.preprocess.median_filter import MedianFilter

    theirs = MedianFilter.__new__(
        MedianFilter
    )  # what it is made with looks for a night of PROFE's own layout
    output, copy = Output(bench.folder / "filtered"), bench.folder / "copy.fits"
    output.make()

    def ours() -> None:
        header, images, _ = read_raw(bench.paths[0], lambda header: (0,))
        hdu = fits.PrimaryHDU(median3x3(images[0]), header.hdus[0])
        output.write("ours.fits", fits.HDUList([hdu]).writeto)

    def profe() -> None:
        theirs._process_image([str(copy), str(bench.folder / "filtered" / "theirs.fits"), 3])

    times = []
    for _ in range(4):
        shutil.copyfile(
            bench.paths[0], copy
        )  # it notes in the raw file that it was filtered, and skips it then
        times.append((milliseconds(ours), milliseconds(profe)))
    times = times[1:]
    ratio = median(b / a for a, b in times)
    what = "the 3x3 filter, from file to file"
    return Row(what, version("profe"), median(a for a, _ in times), median(b for _, b in times), ratio)


def whole_frame(bench: Bench) -> Row:
    """A frame from its file to its stars' fluxes, each time another one."""
    stages = (*CALIBRATION, Register(), Measure())
    infos = iter(bench.work.observed.frames * 4)

    def ours() -> None:
        outcome = run_frame(next(infos), Job.of(stages, bench.work.setup))
        assert not outcome.reason, outcome.reason

    return timed(
        "a frame, from file to fluxes", f"{version('scipy')}, {version('photutils')}", ours,
        lambda: libraries_frame(bench, next(infos).path), rounds=5,
    )  # fmt: skip


def libraries_frame(bench: Bench, path: Path) -> object:
    """The same steps with the libraries, as a user would write them."""
    masters = bench.work.setup.masters
    (dark,) = masters.darks.values()
    data = scipy_median(fits.getdata(path).astype(np.float32) * np.float32(0.45))
    data = (data - dark.pixels.data) / np.maximum(masters.flat.pixels.data, 0.1)
    error = np.sqrt(np.maximum(data, 0) + 9.0)
    clip = SigmaClip(3.0)
    background = Background2D(
        data, (50, 50), filter_size=3, sigma_clip=clip, bkg_estimator=MedianBackground()
    )
    data = data - background.background.astype(np.float32)
    found = DAOStarFinder(5 * background.background_rms_median, bench.fwhm)(data)
    found.sort("flux", reverse=True)
    names = ("x_centroid", "y_centroid") if "x_centroid" in found.colnames else ("xcentroid", "ycentroid")
    x, y = (found[name] for name in names)  # photutils 3 renamed them
    match = match_stars(bench.xy[:40], np.column_stack([x, y])[:40])
    xy = match.transform(bench.xy)
    xy = xy[((xy > 2 * bench.fwhm) & (xy < np.array(data.shape[::-1]) - 2 * bench.fwhm)).all(axis=1)]
    xy = np.column_stack(
        centroid_sources(data, *xy.T, box_size=2 * int(bench.fwhm) + 1, centroid_func=centroid_com)
    )
    frame = Bench(bench.folder, bench.work, data, error**2, bench.mask, xy, bench.fwhm, bench.radii)
    return photutils_sky(frame), photutils_apertures(frame)


if __name__ == "__main__":
    sys.exit(main())
