"""The options of a run: one table for the command line and for reduce.toml."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from potpyri_like.errors import UsageError

__all__ = ["Options", "read_config"]


def option(default: Any, help_: str, **more: Any) -> Any:
    """A field of `Options` with its help text."""
    return field(default=default, metadata={"help": help_, **more})


@dataclass(frozen=True)
class Options:
    """What an observer may decide; None leaves the decision to the instrument or to the data."""

    target_xy: str | None = option(
        None,
        "The target's pixel, counted from 0, in the first science frame of a camera: X,Y or CAMERA:X,Y. "
        "One camera is enough: the others find the same star.",
        metavar="[CAMERA:]X,Y",
    )
    target_frame: str | None = option(
        None, "The raw file in which --target-xy was read off, if not the first.", metavar="FILE"
    )
    target: str | None = option(None, "Reduce this target only (its name, or a part of it).", metavar="NAME")
    radec: str | None = option(
        None,
        "The target's coordinates, ICRS: '08:18:29.9 +25:19:59' (hours, degrees) or '124.625 25.333' (degrees). "
        "They give BJD_TDB and airmass, and the target where the frames have a WCS.",
        metavar="'RA DEC'",
    )
    comparisons: str | None = option(
        None, "Compare with these stars only, by their numbers in stars.ecsv: 3,5,8 or CAMERA:3,5,8.", metavar="N,N,..."
    )
    aperture: float | None = option(
        None, "Radius of the aperture in FWHM, instead of the one of least noise.", metavar="FWHM"
    )
    filter_: str | None = option(
        None, "The 3x3 filter: median, selective or none.", name="filter", choices=("median", "selective", "none")
    )
    recipe: str | None = option(None, "The recipe: timeseries or imaging.", choices=("timeseries", "imaging"))
    stars: int = option(150, "Measure at most so many stars.", metavar="N")
    jobs: int | None = option(None, "Worker processes; as many as there are cores by default.", metavar="N")

    def named(self) -> dict[str, Any]:
        """The values by the names that people use."""
        return {public_name(item): getattr(self, item.name) for item in fields(self)}

    def merged(self, given: Mapping[str, Any], *, where: str) -> Options:
        """The same, with the values given under people's names.

        Raises
        ------
        UsageError
            An unknown name, or a value that cannot be.
        """
        known = {public_name(item): item for item in fields(self)}
        changes = {}
        for name, value in given.items():
            key = name.replace("-", "_")
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise UsageError(f"{where}: there is no option {name!r}{hint} Known: {', '.join(known)}")
            changes[known[key].name] = checked(known[key], value, where)
        return replace(self, **changes)


def public_name(item: Any) -> str:
    """The name on the command line and in reduce.toml, with underscores."""
    return str(item.metadata.get("name", item.name))


def checked(item: Any, value: Any, where: str) -> Any:
    """The value in the option's type, or an error that names both."""
    name, choices = public_name(item), item.metadata.get("choices")
    if value is None:
        return None
    if choices and value not in choices:
        raise UsageError(f"{where}: {name} = {value!r}; choose one of {', '.join(choices)}")
    wanted: type = next(t for t in (int, float, str) if t.__name__ in str(item.type))
    if wanted is str and isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    try:
        if isinstance(value, bool):
            raise ValueError("a truth value")
        result = wanted(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: {name} = {value!r}; give {'a number' if wanted is not str else 'text'}") from error
    if wanted in (int, float) and result <= 0:
        raise UsageError(f"{where}: {name} = {value!r}; give a number above 0")
    return result


def read_config(path: Path) -> dict[str, Any]:
    """The options in a reduce.toml.

    Raises
    ------
    UsageError
        It cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: it cannot be read as TOML ({error})") from error
