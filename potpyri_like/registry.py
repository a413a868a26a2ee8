"""The instruments that installed plugins provide; a plugin that fails never takes the others down."""

from __future__ import annotations

import difflib
import importlib.metadata as metadata
import logging
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pluggy

from potpyri_like import hookspecs
from potpyri_like.errors import PluginError, UnknownInstrument
from potpyri_like.instruments import Instrument
from potpyri_like.instruments.base import check_declaration

__all__ = ["Failure", "Registered", "Registry", "load_registry"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registered:
    """An instrument and where it comes from.

    Attributes
    ----------
    instrument : Instrument
    plugin : str
        The module of the plugin.
    origin : str
        Distribution and version.
    """

    instrument: Instrument
    plugin: str
    origin: str

    @property
    def summary(self) -> str:
        """The first line of the instrument's docstring."""
        return (type(self.instrument).__doc__ or "").strip().partition("\n")[0]


@dataclass(frozen=True)
class Failure:
    """A plugin that brings nothing, and why.

    Attributes
    ----------
    plugin, origin : str
        As in `Registered`.
    cause : str
        The error, and the plugin's own line where it arose.
    mentions : tuple of str
        Upper-case names that it claims: its entry point's, or the one that it shares with another plugin.
    """

    plugin: str
    origin: str
    cause: str
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Registry:
    """What the plugins brought: instruments by upper-case name, and failures."""

    instruments: Mapping[str, Registered] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()

    def __getitem__(self, name: str) -> Instrument:
        """The instrument of that name, in any letter case.

        Raises
        ------
        UnknownInstrument
            No plugin provides it; the message suggests the nearest and names plugins that failed.
        PluginError
            Two plugins claim it, or the plugin that should bring it failed.
        """
        key = name.upper()
        if key in self.instruments:
            return self.instruments[key].instrument
        for failure in self.failures:
            if key in failure.mentions:
                raise PluginError(
                    f"{key}: {failure.plugin} of {failure.origin} could not be loaded: {failure.cause}"
                )
        raise UnknownInstrument(f"no instrument {name!r}{self.suggestion(key)}{self.lost()}")

    def suggestion(self, key: str) -> str:
        """The nearest name, and all that there are."""
        near = difflib.get_close_matches(key, self.instruments, n=1, cutoff=0.5)
        installed = ", ".join(sorted(self.instruments)) or "none"
        return (
            f"; did you mean {near[0]}?" if near else "."
        ) + f" Installed: {installed} (reduce instruments)"

    def lost(self) -> str:
        """The plugins that could not be loaded: one of them may bring what is asked for."""
        return "".join(f"; {f.plugin} of {f.origin} could not be loaded: {f.cause}" for f in self.failures)


def load_registry(entry_points: Iterable[metadata.EntryPoint] | None = None) -> Registry:
    """Load every plugin of the entry-point group, each on its own.

    Parameters
    ----------
    entry_points : iterable of EntryPoint, optional
        Those of the installed distributions by default.
    """
    if entry_points is None:
        entry_points = metadata.entry_points(group=hookspecs.PROJECT)
    found: list[Registered] = []
    failures: list[Failure] = []
    for entry in sorted(entry_points, key=lambda e: (e.name, e.value)):
        try:
            found += load_plugin(entry)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, the others go on
            said = " ".join(str(error).split())
            cause = f"{type(error).__name__}: {said}{author_line(error, entry.module)}"
            log.warning("plugin %s (%s) could not be loaded: %s", entry.value, origin_of(entry), cause)
            failures.append(Failure(entry.value, origin_of(entry), cause, mentions=(entry.name.upper(),)))
    return without_rivals(found, failures)


def load_plugin(entry: metadata.EntryPoint) -> list[Registered]:
    """The instruments of one plugin.

    Raises
    ------
    PluginError
        It implements no hook, one that does not exist, or returns what is no instrument.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(entry.load(), name=entry.value)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        hooks = [name for name in vars(hookspecs) if manager.parse_hookspec_opts(hookspecs, name) is not None]
        raise PluginError(f"{error}; the hooks are {', '.join(hooks)}") from error
    if not manager.hook.register_instruments.get_hookimpls():
        raise PluginError("it implements no hook: mark a function register_instruments with @hookimpl")
    brought = manager.hook.register_instruments()
    return [Registered(cls(), entry.value, origin_of(entry)) for cls in instrument_classes(brought)]


def instrument_classes(brought: Sequence[Any]) -> list[type[Instrument]]:
    """What a plugin's hooks return, checked: lists of instrument classes."""
    classes: list[type[Instrument]] = []
    for given in brought or [None]:
        if not isinstance(given, Sequence) or isinstance(given, str) or not given:
            raise PluginError(f"register_instruments gives {given!r}; wanted is a list of Instrument classes")
        for cls in given:
            if not (isinstance(cls, type) and issubclass(cls, Instrument)):
                raise PluginError(
                    f"register_instruments gives {cls!r}, which is not a subclass of Instrument"
                )
            check_declaration(cls)  # a family, made with abstract=True, is no instrument
            classes.append(cls)
    return classes


def author_line(error: BaseException, module: str) -> str:
    """Where in the plugin the error arose; "" where it did not get that far."""
    frames = [(f, line) for f, line in traceback.walk_tb(error.__traceback__)]
    own = [(f.f_code.co_filename, line) for f, line in frames if f.f_globals.get("__name__") == module]
    return f" ({Path(own[-1][0]).name}, line {own[-1][1]})" if own else ""


def without_rivals(found: list[Registered], failures: list[Failure]) -> Registry:
    """A registry in which a name that two plugins claim belongs to neither."""
    by_name: dict[str, list[Registered]] = {}
    for item in found:
        by_name.setdefault(item.instrument.name.upper(), []).append(item)
    for name, claims in by_name.items():
        if len(claims) > 1:
            who = " and ".join(f"{c.plugin} of {c.origin}" for c in claims)
            cause = f"the name {name} is claimed by {who}; uninstall one of them"
            failures += [Failure(c.plugin, c.origin, cause, mentions=(name,)) for c in claims]
    alone = {name: claims[0] for name, claims in by_name.items() if len(claims) == 1}
    return Registry(dict(sorted(alone.items())), tuple(failures))


def origin_of(entry: metadata.EntryPoint) -> str:
    """Distribution and version of an entry point."""
    dist = getattr(entry, "dist", None)
    return f"{dist.name} {dist.version}" if dist is not None else "no distribution"
