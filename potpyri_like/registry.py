"""The instruments and photometers that plugins provide; a plugin that fails never takes the others down."""

from __future__ import annotations

import difflib
import importlib.metadata as metadata
import logging
import re
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from inspect import isabstract
from pathlib import Path
from typing import Any

import pluggy

from potpyri_like import __version__, hookspecs
from potpyri_like.errors import PluginError, UnknownInstrument, UsageError
from potpyri_like.instruments import Instrument
from potpyri_like.instruments.base import check_declaration
from potpyri_like.photometry import Photometer

__all__ = ["Failure", "Registered", "RegisteredPhotometer", "Registry", "load_registry"]

log = logging.getLogger(__name__)

OWN = (metadata.EntryPoint("photometers", "potpyri_like.primitives.measure", hookspecs.PROJECT),)
NAME = re.compile(r"[A-Za-z][\w-]*")
HOOKS = ("register_instruments", "register_photometers")


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

    @property
    def name(self) -> str:
        """What it is asked for by: upper case."""
        return self.instrument.name.upper()


@dataclass(frozen=True)
class RegisteredPhotometer:
    """A photometer's class and where it comes from; `plugin` and `origin` as in `Registered`."""

    photometer: type[Photometer]
    plugin: str
    origin: str

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.photometer.__doc__ or "").strip().partition("\n")[0]

    @property
    def name(self) -> str:
        """What it is asked for by: lower case, so that no instrument is called the same."""
        return self.photometer.name.lower()


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
        Names that it claims, instruments' in upper case and photometers' in lower case: its entry point's, or the one
        that it shares with another plugin.
    """

    plugin: str
    origin: str
    cause: str
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Registry:
    """What the plugins brought: instruments by upper-case name, failures, and photometers by lower-case name."""

    instruments: Mapping[str, Registered] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    photometers: Mapping[str, RegisteredPhotometer] = field(default_factory=dict)

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
        self.raise_failed(key)
        raise UnknownInstrument(
            f"no instrument {name!r}{suggestion(key, self.instruments)} (reduce instruments){self.lost()}"
        )

    def photometer(self, name: str) -> Photometer:
        """The photometer of that name, in any letter case, with its own settings.

        Raises
        ------
        UsageError
            No plugin provides it; the message suggests the nearest and names plugins that failed.
        PluginError
            Two plugins claim it, or the plugin that should bring it failed.
        """
        key = name.lower()
        if key in self.photometers:
            return self.photometers[key].photometer()
        self.raise_failed(key)
        raise UsageError(f"no photometer {name!r}{suggestion(key, self.photometers)}{self.lost()}")

    def raise_failed(self, key: str) -> None:
        """Raise a PluginError where a plugin that claims the name could not be loaded."""
        for failure in self.failures:
            if key in failure.mentions:
                raise PluginError(
                    f"{key}: {failure.plugin} of {failure.origin} could not be loaded: {failure.cause}"
                )

    def lost(self) -> str:
        """The plugins that could not be loaded: one of them may bring what is asked for."""
        return "".join(f"; {f.plugin} of {f.origin} could not be loaded: {f.cause}" for f in self.failures)


def load_registry(entry_points: Iterable[metadata.EntryPoint] | None = None) -> Registry:
    """Load every plugin of the entry-point group, each on its own.

    Parameters
    ----------
    entry_points : iterable of EntryPoint, optional
        Those of the installed distributions by default. Our own photometers are always there.
    """
    if entry_points is None:
        entry_points = metadata.entry_points(group=hookspecs.PROJECT)
    found: list[Registered | RegisteredPhotometer] = []
    failures: list[Failure] = []
    for entry in (*OWN, *sorted(entry_points, key=lambda e: (e.name, e.value))):
        try:
            found += load_plugin(entry)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, the others go on
            said = " ".join(str(error).split())
            cause = f"{type(error).__name__}: {said}{author_line(error, entry.module)}"
            log.warning("plugin %s (%s) could not be loaded: %s", entry.value, origin_of(entry), cause)
            failures.append(
                Failure(
                    entry.value, origin_of(entry), cause, mentions=(entry.name.upper(), entry.name.lower())
                )
            )
    return without_rivals(found, failures)


def load_plugin(entry: metadata.EntryPoint) -> list[Registered | RegisteredPhotometer]:
    """The instruments and the photometers of one plugin.

    Raises
    ------
    PluginError
        It implements no hook, one that does not exist, or returns what is no instrument or no photometer.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(entry.load(), name=entry.value)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        hooks = [name for name in vars(hookspecs) if manager.parse_hookspec_opts(hookspecs, name) is not None]
        raise PluginError(f"{error}; the hooks are {', '.join(hooks)}") from error
    instruments, photometers = (
        classes_of(manager, hook, base) for hook, base in zip(HOOKS, (Instrument, Photometer), strict=True)
    )
    if instruments is None and photometers is None:
        raise PluginError(f"it implements no hook: mark a function {HOOKS[0]} with @hookimpl")
    for cls in instruments or ():
        check_declaration(cls)  # a family, made with abstract=True, is no instrument
    for cls in photometers or ():
        check_photometer(cls)
    where = entry.value, origin_of(entry)
    return [
        *(Registered(cls(), *where) for cls in instruments or ()),
        *(RegisteredPhotometer(cls, *where) for cls in photometers or ()),
    ]


def classes_of(manager: pluggy.PluginManager, hook: str, base: type) -> list[type[Any]] | None:
    """What a plugin's functions for one hook return, checked: lists of subclasses; None where there is no function."""
    call = getattr(manager.hook, hook)
    if not call.get_hookimpls():
        return None
    classes: list[type[Any]] = []
    for given in call() or [None]:
        if not isinstance(given, Sequence) or isinstance(given, str) or not given:
            raise PluginError(f"{hook} gives {given!r}; wanted is a list of {base.__name__} classes")
        for cls in given:
            if not (isinstance(cls, type) and issubclass(cls, base)):
                raise PluginError(f"{hook} gives {cls!r}, which is not a subclass of {base.__name__}")
            classes.append(cls)
    return classes


def check_photometer(cls: type[Photometer]) -> None:
    """Raise a PluginError for a photometer that workers could not have, or the journal not tell from another."""
    name = getattr(cls, "name", None)
    wrong = None
    if isabstract(cls):
        wrong = f"it lacks {', '.join(sorted(cls.__abstractmethods__))}"
    elif not (isinstance(name, str) and NAME.fullmatch(name)):
        wrong = f"its name is {name!r}; give it one of letters, digits, - and _"
    elif not (is_dataclass(cls) and getattr(vars(cls).get("__dataclass_params__"), "frozen", False)):
        wrong = "it is no frozen dataclass: write @dataclass(frozen=True) above it"
    elif lacking := [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]:
        wrong = f"its field {lacking[0]} has no default"
    elif "<locals>" in cls.__qualname__:
        wrong = "it is made within a function, where worker processes do not find it"
    if wrong:
        raise PluginError(f"the photometer {cls.__name__} cannot be used: {wrong}")


def suggestion(key: str, known: Iterable[str]) -> str:
    """The nearest name, and all that there are."""
    known = sorted(known)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return (f"; did you mean {near[0]}?" if near else ".") + f" Installed: {', '.join(known) or 'none'}"


def author_line(error: BaseException, module: str) -> str:
    """Where in the plugin the error arose; "" where it did not get that far."""
    frames = [(f, line) for f, line in traceback.walk_tb(error.__traceback__)]
    own = [(f.f_code.co_filename, line) for f, line in frames if f.f_globals.get("__name__") == module]
    return f" ({Path(own[-1][0]).name}, line {own[-1][1]})" if own else ""


def without_rivals(found: list[Registered | RegisteredPhotometer], failures: list[Failure]) -> Registry:
    """A registry in which a name that two plugins claim belongs to neither."""
    by_name: dict[str, list[Registered | RegisteredPhotometer]] = {}
    for item in found:
        by_name.setdefault(item.name, []).append(item)
    for name, claims in by_name.items():
        if len(claims) > 1:
            who = " and ".join(f"{c.plugin} of {c.origin}" for c in claims)
            cause = f"the name {name} is claimed by {who}; uninstall one of them"
            failures += [Failure(c.plugin, c.origin, cause, mentions=(name,)) for c in claims]
    alone = [claims[0] for _, claims in sorted(by_name.items()) if len(claims) == 1]
    return Registry(
        {item.name: item for item in alone if isinstance(item, Registered)},
        tuple(failures),
        {item.name: item for item in alone if isinstance(item, RegisteredPhotometer)},
    )


def origin_of(entry: metadata.EntryPoint) -> str:
    """Distribution and version of an entry point."""
    if entry in OWN:
        return f"potpyri_like {__version__}"
    dist = getattr(entry, "dist", None)
    return f"{dist.name} {dist.version}" if dist is not None else "no distribution"
