"""A small night, and the command run on it in this process."""

import contextlib
import hashlib
import io
import json
from dataclasses import dataclass

from potpyri_like.cli import main
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.testing import NightPlan, simulate_night

PLAN = {
    "cameras": ("C2",),
    "size": (256, 256),
    "frames": 18,
    "exposure": 20.0,
    "hours": 1.5,
    "seeing": (0.5, 0.6),
    "stars": 12,
    "comparisons": 10,
    "drift": 6.0,
    "flip": None,
    "darks": 2,
    "flats": 3,
}
OF_THE_RUN = (
    "log/",
    "run.json",
    "report.html",
    "night.ecsv",
)  # what tells of every frame, and the time of day


@dataclass(frozen=True)
class Ran:
    """What a command came to: exit status, standard output, standard error."""

    status: int
    out: str
    err: str


def small_night(folder, **changes):
    """Simulate a night of OPTICAM; what is true of it."""
    return simulate_night(Opticam(), folder, NightPlan(**{**PLAN, **changes}))


def run(*words):
    """Run the command as the installed script does, in this process."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(word) for word in words])
        except SystemExit as stop:
            status = stop.code
    return Ran(status, out.getvalue(), err.getvalue())


def run_json(folder):
    return json.loads((folder / "run.json").read_text())


def digests(folder, *, without=()):
    """SHA-256 of every file below a folder, by its path in it."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(files.items())
        if not name.startswith(tuple(without))
    }
