"""What run.json tells of the run that wrote it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from potpyri_like.errors import NightError, UsageError
from potpyri_like.night import RUN_RECORD, check_is_folder
from potpyri_like.options import Options
from potpyri_like.pipeline import output_of

__all__ = ["LastRun", "last_run", "run_record"]


@dataclass(frozen=True)
class LastRun:
    """What run.json tells of the run that wrote it.

    Attributes
    ----------
    instrument : str
    options : Options
    inputs, products : mapping of str to str
        SHA-256 of raw files and products, by their paths within the night and the output folder.
    code : mapping of str to str
        What computed.
    given : mapping of str to (value, str)
        The options and where they came from.
    command : str
    night : str
        The night's folder as it was named then.
    """

    instrument: str
    options: Options
    inputs: Mapping[str, str]
    products: Mapping[str, str]
    code: Mapping[str, str]
    given: Mapping[str, tuple[Any, str]]
    command: str
    night: str = ""


def last_run(folder: Path, *, out: Path | None = None) -> LastRun:
    """What the run that wrote a night's products tells of itself.

    Raises
    ------
    NightError
        There was none, or its run.json cannot be read.
    """
    with run_record(folder, out) as (run, path):
        return run_told(run, str(path))


def run_told(run: Any, where: str) -> LastRun:
    """The run that a run.json tells of."""
    given = {name: (about["value"], about["from"]) for name, about in run["options"].items()}
    return LastRun(
        instrument=run["instrument"],
        options=Options().merged({name: value for name, (value, _) in given.items()}, where=where),
        inputs={item.get("path", item["file"]): item.get("sha256", "") for item in run["inputs"]},
        products={item["file"]: item["sha256"] for item in run["products"]},
        code={**run["versions"], "source": run["source_sha256"]},
        given=given,
        command=run["command"],
        night=run["night"],
    )


@contextmanager
def run_record(folder: Path, out: Path | None = None) -> Iterator[tuple[Any, Path]]:
    """What is in a night's run.json, and its path, to be taken to pieces inside the context.

    Raises
    ------
    NightError
        There was no run, its run.json cannot be read, or something is missing in it.
    """
    check_is_folder(folder)
    path = output_of(folder, out).root / RUN_RECORD
    try:
        yield json.loads(path.read_text(encoding="utf-8")), path
    except FileNotFoundError as error:
        raise NightError(
            f"{path}: no run has ended here; reduce the night first, or give its output folder with --out DIR"
        ) from error
    except OSError as error:
        raise NightError(f"{path}: it cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise NightError(
            f"{path}: it is not as a run of this software leaves it; reduce the night again"
        ) from error
