"""The run that wrote a run.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from potpyri_like.errors import NightError, UsageError
from potpyri_like.lightcurves import named_metric
from potpyri_like.night import RUN_RECORD, check_is_folder, is_ours
from potpyri_like.options import Options, without_authority
from potpyri_like.recipe_file import CodeFile, names_file
from potpyri_like.run.output import output_of
from potpyri_like.run.recipe import options_type
from potpyri_like.store import OWN_FOLDER, one_line

__all__ = [
    "LastRun",
    "check_is_night",
    "last_run",
    "metric_word",
    "night_and_output",
    "recipe_word",
    "run_record",
]


@dataclass(frozen=True)
class LastRun:
    """The run that wrote a run.json.
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
    metric, metric_sha256 : str
        The function of the user's by which the aperture was chosen, and of its source; "" where it was none.
    recipe, recipe_sha256 : str
        The file with the user's own recipe, and of its bytes; "" where it was none.
    """

    instrument: str
    options: Options
    inputs: Mapping[str, str]
    products: Mapping[str, str]
    code: Mapping[str, str]
    given: Mapping[str, tuple[object, str]]
    command: str
    night: str = ""
    metric: str = ""
    metric_sha256: str = ""
    recipe: str = ""
    recipe_sha256: str = ""

    def with_own(self, own: Options) -> Options:
        """The options of the run, with what is not for a run.json to say as the user says it now.

        Raises
        ------
        UsageError
            The run used a function or a recipe of the user's, and it was not named again.
        """
        if self.recipe and not (own.recipe and names_file(own.recipe)):
            raise UsageError(
                f"the run used --recipe {self.recipe}, a file of your own; files named in run.json are not"
                f" executed; add --recipe {self.recipe}"
            )
        if self.metric and own.metric != self.metric:
            raise UsageError(
                f"the run used --metric {self.metric}, a function of your own; functions named in run.json are not"
                f" imported; add --metric {self.metric}"
            )
        metric = own.metric if self.metric else self.options.metric
        jobs = own.jobs if own.jobs is not None else self.options.jobs
        recipe = own.recipe if self.recipe else self.options.recipe
        return replace(
            self.options, metric=metric, recipe=recipe, jobs=jobs, scheduler=own.scheduler, online=own.online
        )

    def recipe_is_other(self, file: str | None) -> bool:
        """Whether a file, which is read for that and not run, has not the bytes of that of the run."""
        return bool(self.recipe) and (file is None or CodeFile.read(file).sha256 != self.recipe_sha256)

    @property
    def metric_is_other(self) -> bool:
        """Whether the user's function, which is imported for that, is not the one of the run."""
        return bool(self.metric) and named_metric(self.metric).digest != self.metric_sha256


def metric_word(run: LastRun, again: str | None) -> str:
    """What is to be said of the function by which the user chose the aperture."""
    if not run.metric:
        return "the run used no function of your own as its metric"
    if again != run.metric:
        return f"the run used {run.metric}, a function of your own; --metric {run.metric} compares it"
    if run.metric_is_other:
        return f"{run.metric} has changed since that run: its source has another SHA-256"
    return f"{run.metric} is unchanged since that run: its source has the same SHA-256"


def recipe_word(run: LastRun, again: str | None) -> str:
    """What is to be said of the file with the user's own recipe."""
    if not run.recipe:
        return "the run used no recipe of your own"
    if again is None:
        return f"the run used {run.recipe}, a recipe of your own; --recipe {run.recipe} compares it"
    if run.recipe_is_other(again):
        return f"{again} differs from the recipe of that run, {run.recipe}: it has another SHA-256"
    return f"{again} is the recipe of that run: it has the same SHA-256"


def night_and_output(folder: Path, out: Path | None) -> tuple[Path, Path | None]:
    """The night and the output folder that are meant where either may be named.

    Which night a folder elsewhere belongs to is not asked of its run.json, which may be a stranger's: it stands for
    itself.

    Parameters
    ----------
    folder : Path
        A night, or the folder of its products.
    out : Path or None
        The output folder, where it was named beside the night.

    Returns
    -------
    (Path, Path or None)
        The night, and its output folder; None: `red` in it.
    """
    if out is not None or not is_ours(folder):
        return folder, out
    whole = folder if folder.name not in ("", "..") else folder.resolve()
    if whole.name == OWN_FOLDER and not whole.is_symlink():
        return whole.parent, None
    return folder, folder


def check_is_night(folder: Path, out: Path | None, verb: str) -> None:
    """Raise a UsageError where raw frames are wanted, and an output folder elsewhere was named without its night."""
    if out is not None and out == folder:
        raise UsageError(
            f"{folder}: that is an output folder, and its raw frames lie elsewhere; name both: reduce {verb}"
            f" NIGHT --out {folder}"
        )


def last_run(folder: Path, *, out: Path | None = None) -> LastRun:
    """The run that wrote a night's products, from its run.json.

    Raises
    ------
    NightError
        There was none, or its run.json cannot be read.
    """
    with run_record(folder, out) as (run, path):
        return _run_told(run, str(path))


def _run_told(run: Any, where: str) -> LastRun:
    """The run described by a run.json."""
    given = {name: (about["value"], about["from"]) for name, about in run["options"].items()}
    values, _ = without_authority({name: value for name, (value, _) in given.items()}, where, options_type())
    metric, recipe = (given.get(name, (None, ""))[0] for name in ("metric", "recipe"))
    return LastRun(
        instrument=run["instrument"],
        options=options_type()().merged(values, where=where),
        inputs={item.get("path", item["file"]): item.get("sha256", "") for item in run["inputs"]},
        products={item["file"]: item["sha256"] for item in run["products"]},
        code={**run["versions"], "source": run["source_sha256"]},
        given=given,
        command=run["command"],
        night=run["night"],
        metric=one_line(str(metric)) if metric and "metric" not in values else "",
        metric_sha256=str(run["options"].get("metric", {}).get("sha256", "")),
        recipe=one_line(str(recipe)) if recipe and "recipe" not in values else "",
        recipe_sha256=str(run["options"].get("recipe", {}).get("sha256", "")),
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
    output = output_of(folder, out)
    path = output.root / RUN_RECORD
    try:
        yield json.loads(output.read_bytes(RUN_RECORD)), path
    except FileNotFoundError as error:
        raise NightError(
            f"{path}: no completed run; reduce the night first, or give its output folder with --out DIR"
        ) from error
    except OSError as error:
        raise NightError(f"{path}: it cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise NightError(
            f"{path}: corrupt, or not written by this software; reduce the night again"
        ) from error
