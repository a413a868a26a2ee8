"""The options of a run: one table for the command line, the user's configuration and reduce.toml.

What runs code or leaves the machine is the user's to give. A night, with its reduce.toml and its run.json, may come
from somebody else: there such an option is passed over, with a sentence.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from potpyri_like.errors import UsageError
from potpyri_like.lightcurves import named_scale, names_code, parse_intervals
from potpyri_like.recipe_file import names_file
from potpyri_like.stages import Option
from potpyri_like.store import one_line
from potpyri_like.store.folders import read_inside, read_text

__all__ = [
    "COMMAND_LINE",
    "ENGINE",
    "TIMES",
    "OptionField",
    "OptionValue",
    "Options",
    "config_path",
    "options_with",
    "public_name",
    "read_config",
    "read_times",
    "told_value",
    "value_type",
    "without_authority",
]

COMMAND_LINE = "command line"
ENGINE = ("jobs", "scheduler")  # options on which no result depends
_ON_THE_LINE_ONLY = ("out", "config", "verbose", "redo", "timings")
_LARGEST = 1e9
TIMES = "times.csv"  # of PROFE: intervals out of transit
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?"
_WHERE = r"\s*([^:,]+:)?\s*"  # a camera, if it is named
_PIXEL = rf"{_WHERE}{_NUMBER}\s*,\s*{_NUMBER}\s*"
_STARS = rf"{_WHERE}\d+\s*(,\s*\d+\s*)*"
_COORDINATES = r"[\d+-][\dhmsd:.°'\"]*([ ,]+[\d+-][\dhmsd:.°'\"]*)+"


OptionValue: TypeAlias = str | int | float | bool | None
OptionField: TypeAlias = Field[Any]  # of the dataclass, one for each option


def _option(
    help_: str,
    default: object = None,
    *,
    name: str = "",
    metavar: str = "",
    choices: tuple[str, ...] = (),
    form: str = ".+",
    give: str = "",
    own: Callable[[object], bool] | None = None,
    fold: Callable[[str], str] = str,
) -> Any:
    """A field of `Options`.

    Parameters
    ----------
    help_ : str
    default : object
    name : str
        What people call it; that of the field by default.
    metavar : str
        What stands for its value in the help.
    choices : tuple of str
        All values that there are.
    form : str
        The regular expression of its text.
    give : str
        What to give instead of a wrong value.
    own : callable, optional
        Whether a value is the user's to give, on the command line or in the configuration, and nobody else's.
    fold : callable
        Gives the one text that is kept of those that mean the same, where the letter case does not matter.
    """
    about = {"help": help_, "name": name, "metavar": metavar, "choices": choices, "form": form, "give": give}
    return field(default=default, metadata={**about, "own": own or _of_anybody, "fold": fold})


def _of_anybody(value: object) -> bool:
    """For options that a night may give."""
    return False


def _folded_recipe(text: str) -> str:
    """The name of a recipe in small letters; that of a file as it is."""
    return text if names_file(text) else text.lower()


def _of_the_user(value: object) -> bool:
    """For options that no night may give."""
    return True


@dataclass(frozen=True, eq=False)
class Options:
    """What an observer may set; None leaves the decision to the instrument or to the data."""

    target_xy: str | None = _option(
        "The target's pixel, counted from 0, in the first science frame of a camera. One camera is enough:"
        " the star is identified in the others. The pixel refers to the pointing of --target-frame, or to the first"
        " pointing.",
        metavar="[CAMERA:]X,Y",
        form=_PIXEL,
        give="X,Y or CAMERA:X,Y, as in 512,480 or C1:512,480",
    )
    target_frame: str | None = _option(
        "The raw file in which --target-xy was measured, if not the first.", metavar="FILE"
    )
    forced: bool = _option(
        "Measure at the target's position even if no star is detected there; the light curve is an upper limit.",
        False,
    )
    target: str | None = _option("Reduce only this target (its name, or part of it).", metavar="NAME")
    radec: str | None = _option(
        "The target's coordinates, ICRS: '08:18:29.9 +25:19:59' (hours, degrees) or '124.625 25.333'"
        " (degrees). Used for BJD_TDB and airmass, and to identify the target if the frames have a WCS.",
        metavar="'RA DEC'",
        form=_COORDINATES,
        give="'HH:MM:SS.S +DD:MM:SS' or degrees, as in '124.625 25.333'",
    )
    comparisons: str | None = _option(
        "Use only these comparison stars (their numbers in table STARS of measurements.fits).",
        metavar="[CAMERA:]N,N,...",
        form=_STARS,
        give="star numbers, as in 3,5,8 or C1:3,5,8",
    )
    reject: str | None = _option(
        "Exclude the points for which a condition on the columns of lightcurve.ecsv holds: 'sky > 300 or fwhm > 6'.",
        metavar="CONDITION",
    )
    aperture: float | None = _option(
        "Aperture radius in FWHM, instead of the radius with the least noise.", metavar="FWHM"
    )
    annulus: str | None = _option(
        "Inner and outer radius of the sky annulus in FWHM, instead of 4,6.",
        metavar="IN,OUT",
        form=r"\s*(\d+\.?\d*|\.\d+)\s*,\s*(\d+\.?\d*|\.\d+)\s*",
        give="two radii in FWHM, as in 4,6",
    )
    photometer: str = _option(
        "Photometry method: aperture, optimal (profile-weighted), psf (profile fitting, for blends), shape (the star's"
        " contour, enlarged), mask (circles of whole sub-pixels), or one of a plugin.",
        "aperture",
        metavar="NAME",
        form=r"[A-Za-z][\w-]*",
        give="the name of a photometer, as in aperture",
    )
    centroid: str | None = _option(
        "Centroid method, instead of windowed; frozen: no centroiding, positions are transformed from the reference"
        " frame (for faint targets).",
        choices=("windowed", "com", "quadratic", "gaussian", "frozen"),
    )
    radii: str | None = _option(
        "Aperture radii: fixed in pixels for the night (default), or scaled with the FWHM of each frame.",
        choices=("fixed", "fwhm"),
    )
    metric: str | None = _option(
        "Noise measure minimised by the aperture choice: p2p (point to point), std, binned or binned:MINUTES, cdpp or"
        " cdpp:MINUTES, or your own MODULE:FUNCTION, called with flux and time.",
        metavar="METRIC",
        own=names_code,
    )
    fit: str | None = _option(
        "Fit a transit: if one is detected (auto), always (transit), or never (none).",
        choices=("auto", "transit", "none"),
    )
    planet: str | None = _option(
        "The transiting planet, as named by the NASA Exoplanet Archive; with --online its ephemeris is downloaded once"
        " and cached.",
        metavar="'NAME b'",
    )
    ephemeris: str | None = _option(
        "Mid-transit time (BJD_TDB), period and, if known, duration; in days.",
        metavar="TC,PERIOD[,T14]",
        form=rf"\s*{_NUMBER}(\s*[, ]\s*{_NUMBER}){{1,2}}\s*",
        give="TC,PERIOD or TC,PERIOD,T14 in days, as in 2459000.5,1.0914,0.125",
    )
    out_of_transit: str | None = _option(
        "Time intervals in which the noise is measured, in days of the light curve's own scale, or of BJD_TDB or JD_UTC"
        " if that is named before them. Default: those in NIGHT/times.csv, or else the whole light curve.",
        metavar="[SCALE ]START:END,...",
        form=rf"\s*((?i:BJD|BJD_TDB|JD|JD_UTC)\s+)?{_NUMBER}\s*:\s*{_NUMBER}\s*(,\s*{_NUMBER}\s*:\s*{_NUMBER}\s*)*",
        give="START:END,START:END in days, with BJD_TDB or JD_UTC before them where they are of that scale",
    )
    filter_: str | None = _option(
        "3x3 filter mode, instead of the instrument's rule.",
        name="filter",
        choices=("median", "selective", "none"),
    )
    recipe: str | None = _option(
        "Recipe, instead of the instrument's: timeseries, imaging, one of a plugin, or a Python file with your own.",
        metavar="NAME|FILE.py",
        form=r"[A-Za-z][\w-]*|.*\.py",
        give="the name of a recipe, as in timeseries, or a Python file with one, as in mine.py",
        own=names_file,
        fold=_folded_recipe,
    )
    until: str | None = _option(
        "Stop after this stage of the recipe, such as Calibrate; a wrong name lists the stages.",
        metavar="STAGE",
        form=r"[A-Za-z][\w-]*",
    )
    skip: str | None = _option(
        "Skip one or more stages of the recipe; a stage that another one needs cannot be skipped.",
        metavar="STAGE,...",
        form=r"[A-Za-z][\w-]*(\s*,\s*[A-Za-z][\w-]*)*",
    )
    save: str | None = _option(
        "Also write images. WHAT is frames: every calibrated frame, written to TARGET/BAND/frames; the next run"
        " continues from them. --until Calibrate implies it.",
        metavar="WHAT,...",
        form=r"[a-z]\w*(\s*,\s*[a-z]\w*)*",
        give="what to save, as in frames",
        fold=str.lower,
    )
    stars: int = _option("Maximum number of stars to measure.", 150, metavar="N")
    observer: str | None = _option(
        "AAVSO observer code, for the reports in the folder export.", metavar="CODE"
    )
    animation: str | None = _option(
        "Make an animation of the field; some frames are read a second time.",
        choices=("yes", "no"),
    )
    masters: str | None = _option(
        "Calibrate with the masters in this folder, such as NIGHT/red/cals of another night; missing masters are made"
        " from the night's own frames.",
        metavar="FOLDER",
        own=_of_the_user,
    )
    pedestal: str | None = _option(
        "What to do about the pedestal if there is no bias, overscan or declared value. Default: estimate it from the"
        " scatter of the sky and subtract it from the science frames; auto: subtract it from the flats as well; none:"
        " do not subtract it.",
        choices=("auto", "none"),
    )
    no_flat: bool = _option("Do not divide by a flat.", False)
    no_dark: bool = _option("Do not subtract a dark.", False)
    jobs: int | None = _option("Number of worker processes, instead of one per core.", metavar="N")
    scheduler: str | None = _option(
        "Run on a Dask cluster: the address of its scheduler, or `local` to start one here.",
        metavar="ADDRESS",
        own=_of_the_user,
    )
    online: bool = _option(
        "Allow queries to network services for data that are not in the cache.", False, own=_of_the_user
    )

    def __eq__(self, other: object) -> bool:
        """Whether the values are equal, whatever other options stages of plugins declare."""
        return isinstance(other, Options) and self._said() == other._said()

    def __hash__(self) -> int:
        return hash(tuple(self._said().items()))

    def _said(self) -> dict[str, OptionValue]:
        return {name: value for name, value in self.named().items() if value is not None}

    def named(self) -> dict[str, OptionValue]:
        """The values by the names that people use."""
        return {public_name(item): getattr(self, item.name) for item in fields(self)}

    def merged(self, given: Mapping[str, object], *, where: str) -> Options:
        """The same, with the values given under people's names.

        Parameters
        ----------
        given : mapping of str to object
            Names with - or _; None says nothing.
        where : str
            Where they were given, for the message: `COMMAND_LINE` or a file.

        Raises
        ------
        UsageError
            An unknown name, or a value that cannot be.
        """
        known = {public_name(item): item for item in fields(self)}
        items = {name: known.get(name.replace("-", "_")) for name in given}
        for name, item in items.items():
            if item is None:
                raise UsageError(f"{where}: {_unknown(name, list(known))}")
        changes: dict[str, Any] = {
            item.name: _checked(item, given[name], where)
            for name, item in items.items()
            if item is not None and given[name] is not None
        }
        return replace(self, **changes)


def options_with(declared: Iterable[Option]) -> type[Options]:
    """The options of a run, and those that stages of plugins declare besides."""
    more = []
    for one in declared:
        default = f"  [default: {one.default}]" if one.default is not None else ""
        own = _of_the_user if one.by == "user" else None
        item = _option(one.help + default, name=one.name, metavar=one.metavar, choices=one.choices, own=own)
        more.append((one.name, f"{one.type.__name__} | None", item))
    return make_dataclass("Options", more, bases=(Options,), frozen=True, eq=False) if more else Options


def _unknown(name: str, known: list[str]) -> str:
    """That there is no such option, and which is the nearest."""
    if name in _ON_THE_LINE_ONLY:
        return f"{name} is an option of the command line only (--{name})"
    near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1, cutoff=0.5)
    hint = f" did you mean {near[0]}?" if near else ""
    return f"there is no option {name!r};{hint} known are {', '.join(known)}"


def public_name(item: OptionField) -> str:
    """The name on the command line and in reduce.toml, with underscores."""
    return str(item.metadata["name"] or item.name)


def told_value(name: str, value: object) -> object:
    """The value of an option as products tell it, which name no folder; run.json does."""
    return Path(str(value)).name if name == "recipe" and names_file(value) else value


def value_type(item: OptionField) -> type:
    """The type of an option's value: bool, int, float or str."""
    return next(kind for kind in (bool, int, float, str) if str(item.type).startswith(kind.__name__))


def _checked(item: OptionField, value: object, where: str) -> OptionValue:
    """The value in the option's type.

    Raises
    ------
    UsageError
        It has none, or is out of range; the message says what to give.
    """
    wanted = value_type(item)
    result = (
        _as_text(item, value)
        if wanted is str
        else _as_switch(value)
        if wanted is bool
        else _as_number(value, wanted)
    )
    if result is None:
        name = public_name(item)
        given = (
            f"--{name.replace('_', '-')} {value}" if where == COMMAND_LINE else f"{where}: {name} = {value!r}"
        )
        raise UsageError(f"{given}: give {_what_to_give(item)}")
    return result


def _what_to_give(item: OptionField) -> str:
    """What a value of the option looks like."""
    usual = {bool: "true or false", int: "a whole number above 0", float: "a number above 0", str: "text"}
    return " or ".join(item.metadata["choices"]) or item.metadata["give"] or usual[value_type(item)]


def _as_text(item: OptionField, value: object) -> str | None:
    """The text of an option, lists joined by commas; None where it cannot be."""
    parts = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(part, str | int | float) and not isinstance(part, bool) for part in parts):
        return None
    text = ",".join(map(str, parts)).strip()
    choices = item.metadata["choices"]
    if choices:
        return text.lower() if text.lower() in choices else None
    text = item.metadata["fold"](text)
    return text if re.fullmatch(item.metadata["form"], text, re.IGNORECASE | re.DOTALL) else None


def _as_switch(value: object) -> bool | None:
    """True or false; None where it is neither."""
    return value if isinstance(value, bool) else None


def _as_number(value: object, wanted: type) -> int | float | None:
    """The number, above 0 and within reason; None where it cannot be."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LARGEST:
        return None
    return wanted(value) if wanted(value) == value else None


_DOES = {
    "masters": "names a folder outside it",
    "metric": "runs code",
    "recipe": "runs code",
    "scheduler": "leaves this computer",
    "online": "leaves this computer",
}


def without_authority(
    given: Mapping[str, object], where: str, of: type[Options] = Options
) -> tuple[dict[str, object], list[str]]:
    """What a file of the night may say, and a sentence for each option in it that is the user's to give."""
    own = {public_name(item): item.metadata["own"] for item in fields(of)}
    kept: dict[str, object] = {}
    sentences = []
    for name, value in given.items():
        known = name.replace("-", "_")
        if known in own and own[known](value):
            does = _DOES.get(known, "only the user may set")
            option = f"--{known.replace('_', '-')}" + ("" if value is True else f" {value}")
            said, option = one_line(f"{name} = {value!r}")[:200], one_line(option)[:200]
            sentences.append(
                f"{where}: {said} is ignored: a night may not set what {does}; if you want it, give {option}"
                f" on the command line, or write it into {config_path()}"
            )
        else:
            kept[name] = value
    return kept, sentences


def config_path() -> Path:
    """The user's configuration, whether it is there or not."""
    base = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config")
    return (base if base.is_absolute() else Path("~/.config").expanduser()) / "potpyri-like" / "config.toml"


def read_config(path: Path, night: Path | None = None) -> dict[str, OptionValue]:
    """The options in a file.

    Parameters
    ----------
    path : Path
    night : Path, optional
        The night that it is a file of: it may not be a link out of it.

    Raises
    ------
    UsageError
        It cannot be read.
    """
    try:
        return tomllib.loads(
            read_text(path) if night is None else read_inside(night, path).decode("utf-8-sig")
        )
    except OSError as error:
        raise UsageError(f"{path}: it cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # brackets within brackets, without end
        raise UsageError(f"{path}: not valid TOML ({error})") from error


def read_times(path: Path) -> str | None:
    """The intervals in a night's times.csv as the option out_of_transit has them; None where it holds none.

    Raises
    ------
    UsageError
        It cannot be read.
    """
    try:
        text = read_inside(path.parent, path).decode("utf-8-sig", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"{path}: it cannot be read ({error.strerror})") from error
    intervals = parse_intervals(text, path_name=str(path))
    scale = named_scale(text, path_name=str(path)).upper()
    told = ",".join(f"{start!r}:{end!r}" for start, end in intervals)
    return f"{scale} {told}".strip() if told else None
