"""The options for a night: from the command line, the night, and the user's configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

from potpyri_like.options import (
    COMMAND_LINE,
    TIMES,
    Options,
    OptionValue,
    config_path,
    public_name,
    read_config,
    read_times,
    without_authority,
)
from potpyri_like.run.observations import parse_radec
from potpyri_like.run.recipe import options_type

__all__ = ["gather_options", "user_options"]


def gather_options(
    night: Path,
    config: Path | None,
    given: Mapping[str, OptionValue],
    *,
    say: Callable[[str], object],
    where: str = COMMAND_LINE,
) -> tuple[Options, dict[str, str]]:
    """The options in force, and where those that were given came from.

    Parameters
    ----------
    night : Path
    config : Path or None
        A file of options that was named; None: the night's reduce.toml, where there is one.
    given : mapping of str to value
        By their names on the command line, with underscores, or by those of their fields; None: not given.
    say : callable
        Called with a sentence for each option that is not a night's to give.
    where : str
        What gives `given`.

    Raises
    ------
    UsageError
        One of them cannot be.
    """
    path = config or night / "reduce.toml"
    from_file = _options_of_file(path, night, named=config is not None, say=say)
    from_user, from_line = _user_config(), _line_options(given)
    times = night / TIMES
    from_times = {"out_of_transit": read_times(times)} if times.is_file() else {}
    options = _with_good_radec(
        options_type()()
        .merged(from_user, where=str(config_path()))
        .merged(from_times, where=str(times))
        .merged(from_file, where=str(path))
        .merged(from_line, where=where)
    )
    origins = {name.replace("-", "_"): "configuration" for name in from_user}
    origins |= dict.fromkeys(from_times, TIMES) | {name.replace("-", "_"): path.name for name in from_file}
    return options, origins | dict.fromkeys(from_line, where)


def _options_of_file(
    path: Path, night: Path, *, named: bool, say: Callable[[str], object]
) -> Mapping[str, object]:
    """The options in a reduce.toml, or in the file that was named; one in the night gives what a night may.

    What it may not is passed over, with a sentence.
    """
    if not named and not path.is_file():
        return {}
    if named and not _lies_in(night, path):
        return read_config(path)
    given, sentences = without_authority(read_config(path, night), str(path), options_type())
    for sentence in sentences:
        say(sentence)
    return given


def _lies_in(night: Path, path: Path) -> bool:
    """Whether a file is one of the night: by its name, or by where a link leads."""
    top = night.resolve()
    return (path.parent.resolve() / path.name).is_relative_to(top) or path.resolve().is_relative_to(top)


def _user_config() -> dict[str, OptionValue]:
    """The options in the user's configuration."""
    path = config_path()
    return read_config(path) if path.is_file() else {}


def user_options(given: Mapping[str, OptionValue]) -> Options:
    """What the user says, on the command line or in the configuration, whatever the night."""
    options = options_type()().merged(_user_config(), where=str(config_path()))
    return _with_good_radec(options.merged(_line_options(given), where=COMMAND_LINE))


def _line_options(given: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """The options that the command line gives, by their public names."""
    names = {item.name: public_name(item) for item in fields(options_type())}
    return {names.get(name, name): value for name, value in given.items() if value is not None}


def _with_good_radec(options: Options) -> Options:
    """The same options; a UsageError where there are coordinates that cannot be read."""
    if options.radec is not None:
        parse_radec(options.radec)
    return options
