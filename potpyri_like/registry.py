"""The instruments that installed plugins provide; a plugin that fails never takes the others down."""

from __future__ import annotations

import difflib
import importlib.metadata as metadata
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pluggy

from potpyri_like import hookspecs
from potpyri_like.errors import PluginError, UnknownInstrument
from potpyri_like.instruments import Instrument

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
    """A plugin that brings nothing, and why."""

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
                raise PluginError(f"{key}: {failure.plugin} of {failure.origin} brings nothing: {failure.cause}")
        near = difflib.get_close_matches(key, self.instruments, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        failed = "".join(f"; {f.plugin} of {f.origin} could not be loaded: {f.cause}" for f in self.failures)
        raise UnknownInstrument(
            f"no instrument {name!r}; {hint}Installed: {', '.join(sorted(self.instruments))} (reduce instruments){failed}"
        )


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
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
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
    module = entry.load()
    manager.register(module, name=entry.value)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        hooks = [name for name in dir(hookspecs) if hasattr(getattr(hookspecs, name), f"{hookspecs.PROJECT}_spec")]
        raise PluginError(f"{error}; the hooks are {', '.join(hooks)}") from error
    if not manager.hook.register_instruments.get_hookimpls():
        raise PluginError("it implements no hook: mark a function register_instruments with @hookimpl")
    brought = [cls for classes in manager.hook.register_instruments() for cls in classes]
    for cls in brought:
        if not (isinstance(cls, type) and issubclass(cls, Instrument)):
            raise PluginError(f"register_instruments gives {cls!r}, which is not a subclass of Instrument")
    return [Registered(cls(), entry.value, origin_of(entry)) for cls in brought]


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
