"""A messy OPTICAM night against the same night without its bad frames: ``python benchmarks/messy.py FOLDER``.

The night is simulated; then some of its raw frames get a cloud, 1 % transparency, no focus, another OBJECT (focus or
test frames, misspelt names) or half a file, and one camera starts late. The same night without those is reduced,
too: the point-to-point scatter of each band must agree to 2 %, and the summary must lead with the target.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from scipy.ndimage import gaussian_filter

GAIN, LATE = 1.0, 6
CLOUDS = {5: 0.6, 6: 0.35, 7: 0.2, 8: 0.5, 12: 0.01}  # of the light that is left, by frame
BLURRED, TRUNCATED = 17, (20, 31)
NAMES = {10: "WASP0", 15: "WASP-O", 22: "wsp-0", 27: "W0", 33: "target"}
OTHERS = {0: "focus", 1: "focus", 2: "focus", 3: "test", 38: "test"}
AGREE = 0.02


def dimmed(data: np.ndarray, part: float, rng: np.random.Generator) -> np.ndarray:
    """A frame through a cloud."""
    low = float(np.percentile(data, 1))
    light = rng.poisson(np.maximum(data - low, 0) * GAIN * part) / GAIN
    return low * (1 - 0.3 * (1 - part)) + light + rng.normal(0, 2, data.shape)


def blurred(data: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """A frame out of focus."""
    smooth = gaussian_filter(np.asarray(data, float), sigma)
    return smooth + rng.normal(0, np.sqrt(np.maximum(smooth - np.percentile(smooth, 1), 25)))


def edit(path: Path, change: Callable[[np.ndarray], np.ndarray] | None = None, **cards: str) -> None:
    """Write a raw frame anew with other pixels or cards."""
    with fits.open(path) as hdus:
        data, header = hdus[0].data, hdus[0].header
        header.update(cards)
        if change is not None:
            data = np.clip(np.round(change(data.astype(float))), 0, 65535).astype(np.uint16)
        fits.PrimaryHDU(data, header).writeto(path, overwrite=True)


def spoil(night: Path, seed: int = 8) -> list[Path]:
    """Spoil the frames of each camera of a night; the files that are not as they should be."""
    rng, spoilt = np.random.default_rng(seed), []
    for camera in ("C1", "C2", "C3"):
        frames = sorted(
            p for p in night.glob(f"*_{camera}_*.fits") if "dark" not in p.name and "flat" not in p.name
        )
        for k, part in CLOUDS.items():
            edit(frames[k], lambda data, part=part: dimmed(data, part, rng))
        edit(frames[BLURRED], lambda data: blurred(data, 8.0, rng))
        for k, name in {**NAMES, **OTHERS}.items():
            wide = 3.0 * k if name == "focus" else 0.0
            edit(frames[k], (lambda data, wide=wide: blurred(data, wide, rng)) if wide else None, OBJECT=name)
        for k in TRUNCATED:
            frames[k].write_bytes(frames[k].read_bytes()[: frames[k].stat().st_size // 2])
        spoilt += [frames[k] for k in {*CLOUDS, BLURRED, *NAMES, *OTHERS, *TRUNCATED}]
    for path in sorted(night.glob("*_C3_z_*.fits"))[:LATE]:
        path.unlink()
    return [path for path in spoilt if path.exists()]


def reduced(night: Path, target: str) -> tuple[dict[str, dict[str, float]], list[str]]:
    """The noise values of each band [mmag], and the last lines on the screen."""
    command = [
        sys.executable,
        "-m",
        "potpyri_like",
        "OPTICAM",
        str(night),
        "--target-xy",
        target,
        "--animation",
        "no",
    ]
    done = subprocess.run([*command, "--fit", "none"], capture_output=True, text=True)
    found = {}
    for path in sorted(night.glob("red/WASP-0/*/lightcurve.ecsv")):
        meta = Table.read(path).meta
        figures = meta.get("noise", meta)
        found[path.parent.name] = {
            key: 1085.7 * float(figures[key]) for key in ("rms", "point_to_point", "expected")
        }
    print(f"{night}: exit status {done.returncode}")
    return found, done.stdout.strip().splitlines()


def main() -> int:
    """Simulate, spoil, reduce twice, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--size", type=int, default=768)
    given = parser.parse_args()
    messy, honest = given.folder / "messy", given.folder / "honest"
    simulate = [sys.executable, "-m", "potpyri_like", "simulate", "OPTICAM", str(messy)]
    simulate += ["--size", str(given.size), "--frames", str(given.frames), "--drift", "12"]
    told = subprocess.run(simulate, capture_output=True, text=True, check=True).stdout
    target = told.rpartition("--target-xy ")[2].split()[0]
    spoilt = spoil(messy)
    shutil.copytree(messy, honest)
    for path in spoilt:
        (honest / path.name).unlink()
    (bad, lines), (good, _) = reduced(messy, target), reduced(honest, target)
    print(*lines, sep="\n")
    worst = 0.0
    for band in good:
        off = bad[band]["point_to_point"] / good[band]["point_to_point"] - 1
        worst = max(worst, abs(off))
        print(f"{band}: honest {good[band]}  messy {bad[band]}  point-to-point {off:+.1%}")
    leads = bool(lines) and lines[0].startswith("WASP-0 ")
    print("the summary leads with the target" if leads else "the summary does not lead with the target")
    return 0 if worst <= AGREE and leads and good and good.keys() == bad.keys() else 1


if __name__ == "__main__":
    sys.exit(main())
