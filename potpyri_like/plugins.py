"""Load everything that plugins provide, ours included; a plugin that fails does not affect the others."""

from __future__ import annotations

import difflib
import importlib.metadata as metadata
import logging
import re
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from inspect import isabstract
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

import pluggy

from potpyri_like import hookspecs
from potpyri_like.errors import DeclarationError, PluginError, UnknownInstrument, UsageError
from potpyri_like.instruments import Instrument
from potpyri_like.instruments.checks import check_declaration
from potpyri_like.photometry import Photometer
from potpyri_like.recipe_file import CodeFile
from potpyri_like.stages import Product, Recipe

__all__ = ["Failure", "Plugins", "Registered", "load_plugins"]

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_NAME = re.compile(r"[A-Za-z][\w-]*")
_OF_A_FILE = "a file"  # the origin of what is not installed
_VERSION = "potpyri_like_interface"  # where a plugin's module says for which interface it was written


@dataclass(frozen=True)
class Registered(Generic[_T]):
    """Something that a plugin brings.

    Attributes
    ----------
    item : T
        An instrument, a recipe, a product, or a photometer's class.
    name : str
        What it is asked for by: instruments in upper case, recipes and photometers in lower case.
    summary : str
        What it is, in a line.
    plugin : str
        The module of the plugin.
    origin : str
        Distribution and version.
    """

    item: _T
    name: str
    summary: str
    plugin: str
    origin: str


@dataclass(frozen=True)
class Failure:
    """A plugin that brings nothing, or a name that belongs to nobody, and why.

    Attributes
    ----------
    plugin, origin : str
        As in `Registered`.
    cause : str
        The error, and the plugin's own line where it arose.
    mentions : tuple of str
        Names that it claims, in lower case: its entry point's, or the one that it shares with another plugin.
    """

    plugin: str
    origin: str
    cause: str
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plugins:
    """What the plugins brought, each by its name, and those that failed."""

    instruments: Mapping[str, Registered[Instrument]] = field(default_factory=dict)
    recipes: Mapping[str, Registered[Recipe]] = field(default_factory=dict)
    products: Mapping[str, Registered[Product]] = field(default_factory=dict)
    photometers: Mapping[str, Registered[type[Photometer]]] = field(default_factory=dict)
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
        return self._found(self.instruments, name.upper(), name, "instrument", UnknownInstrument).item

    def recipe(self, name: str) -> Recipe:
        """The recipe of that name, in any letter case; errors as of `photometer`."""
        return self._found(self.recipes, name.lower(), name, "recipe", UsageError).item

    def recipe_of(self, file: str) -> Recipe:
        """The recipe that a file of the user's brings.

        Raises
        ------
        UsageError
            It brings several.
        """
        found = [one for one in self.recipes.values() if (one.plugin, one.origin) == (file, _OF_A_FILE)]
        if len(found) != 1:
            names = ", ".join(one.name for one in found) or "none"
            raise UsageError(
                f"--recipe {file}: contains {len(found)} recipes ({names}); exactly one is needed"
            )
        return found[0].item

    def photometer(self, name: str) -> Photometer:
        """The photometer of that name, in any letter case, with its own settings.

        Raises
        ------
        UsageError
            No plugin provides it; the message suggests the nearest and names plugins that failed.
        PluginError
            Two plugins claim it, or the plugin that should bring it failed.
        """
        return self._found(self.photometers, name.lower(), name, "photometer", UsageError).item()

    def _found(
        self,
        known: Mapping[str, Registered[_T]],
        key: str,
        asked: str,
        what: str,
        error: type[UnknownInstrument] | type[UsageError],
    ) -> Registered[_T]:
        if key in known:
            return known[key]
        for failure in self.failures:
            if key.lower() in failure.mentions:
                raise PluginError(
                    f"{key}: {failure.plugin} of {failure.origin} could not be loaded: {failure.cause}"
                )
        hint = " (reduce instruments)" if what == "instrument" else ""
        raise error(f"no {what} {asked!r}{_suggestion(key, known)}{hint}{self._failed()}")

    def _failed(self) -> str:
        """The plugins that could not be loaded: one of them may bring what is asked for."""
        return "".join(f"; {f.plugin} of {f.origin} could not be loaded: {f.cause}" for f in self.failures)


def load_plugins(
    entry_points: Iterable[metadata.EntryPoint] | None = None,
    *,
    block: Collection[str] = (),
    reserved: Collection[str] = (),
    options: Collection[str] = (),
    file: CodeFile | None = None,
) -> Plugins:
    """Load every plugin of the entry-point group, each on its own.

    Parameters
    ----------
    entry_points : iterable of EntryPoint, optional
        Those of the installed distributions by default; ours are among them.
    block : collection of str
        Names of entry points that are not loaded.
    reserved : collection of str
        Names of commands, in lower case, that no instrument may have.
    options : collection of str
        Names of options of every run, that no stage may declare.
    file : CodeFile, optional
        One that the user named, as a plugin that is not installed; a `Recipe` in it needs no hook.

    Raises
    ------
    PluginError
        What the file brings cannot be used; the message names its line.
    """
    if entry_points is None:
        entry_points = metadata.entry_points(group=hookspecs.PROJECT)
    manager = _manager(block)
    failures: list[Failure] = []
    origins: dict[str, tuple[str, str]] = {}  # of each plugin: module, distribution and version
    for entry in sorted(entry_points, key=lambda e: (e.name, e.value)):
        if manager.is_blocked(entry.name):
            continue
        try:
            name = _registered(manager, entry)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, the others go on
            failures.append(_failure(entry.value, _origin_of(entry), error, entry.module, entry.name.lower()))
        else:
            origins[name] = entry.value, _origin_of(entry)
    names = _Reserved(frozenset(reserved), frozenset(options))
    if file is None:
        return _gathered(manager, origins, failures, names)
    installed = _gathered(manager, origins, list(failures), names)
    _add_file(manager, file, installed.recipes)
    found = _gathered(manager, {**origins, file.path: (file.path, _OF_A_FILE)}, failures, names)
    for failure in found.failures:
        if (failure.plugin, failure.origin) == (file.path, _OF_A_FILE):
            raise PluginError(f"--recipe {file.path}: {failure.cause}")
    return found


def _add_file(manager: pluggy.PluginManager, file: CodeFile, installed: Collection[str]) -> None:
    """Put the module of a file into the manager; its recipe is the one that is not named like one that is installed.

    Raises
    ------
    PluginError
        It fails, or brings no recipe.
    """
    try:
        module = file.module()
        if not hasattr(module, "register_recipes"):
            made = [one for one in vars(module).values() if isinstance(one, Recipe)]
            recipes = [one for one in made if one.name.lower() not in installed]
            if not recipes:
                taken = f" ({', '.join(one.name for one in made)} is installed)" if made else ""
                raise PluginError(f"no recipe in it: define a Recipe with a new name{taken}")
            vars(module)["register_recipes"] = _hook_giving(recipes)
        _register(manager, module, file.path)
    except (Exception, SystemExit) as error:
        raise PluginError(f"--recipe {file.path}: {_cause(error, file.module_name)}") from error


def _hook_giving(recipes: list[Recipe]) -> Callable[[], list[Recipe]]:
    """The hook of a module that has none."""

    @hookspecs.hookimpl
    def register_recipes() -> list[Recipe]:
        return recipes

    return register_recipes


def _manager(block: Collection[str]) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for name in block:
        manager.set_blocked(name)
    return manager


def _registered(manager: pluggy.PluginManager, entry: metadata.EntryPoint) -> str:
    """Put a plugin's module into the manager; the name that it has there.

    Raises
    ------
    PluginError
        It was written for another interface, implements no hook, or one that does not exist.
    """
    name = entry.value if manager.has_plugin(entry.name) else entry.name
    _register(manager, entry.load(), name)
    return name


def _register(manager: pluggy.PluginManager, module: ModuleType, name: str) -> None:
    """Put a module into the manager under a name; errors as above."""
    version = getattr(module, _VERSION, hookspecs.INTERFACE)
    if version != hookspecs.INTERFACE:
        raise PluginError(
            f"it was written for version {version} of the plugin interface, and this is version"
            f" {hookspecs.INTERFACE}; install a release of the plugin for this version of potpyri_like"
        )
    manager.register(module, name=name)
    try:
        manager.check_pending()
        if not manager.get_hookcallers(module):
            raise PluginError(f"it implements no hook: mark a function {_HOOKS[0].hook} with @hookimpl")
    except pluggy.PluginValidationError as error:
        manager.unregister(module)
        raise PluginError(f"{error}; the hooks are {', '.join(kind.hook for kind in _HOOKS)}") from error
    except PluginError:
        manager.unregister(module)
        raise


def _gathered(
    manager: pluggy.PluginManager,
    origins: Mapping[str, tuple[str, str]],
    failures: list[Failure],
    reserved: _Reserved,
) -> Plugins:
    """What all plugins bring, in the order in which pluggy calls them; one whose hook fails brings nothing."""
    brought: dict[str, list[Registered]] = {kind.hook: [] for kind in _HOOKS}
    failed: set[str] = set()
    for kind in _HOOKS:
        for name, module in _implementers(manager, kind.hook):
            if name in failed:
                continue
            try:
                brought[kind.hook] += _items(manager, kind, module, origins[name], reserved)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
                failed.add(name)
                failures.append(_failure(*origins[name], error, module.__name__, name.lower()))
    lost = {origins[name] for name in failed}
    brought["register_recipes"] = _without_rival_options(brought["register_recipes"], failures)
    instruments, recipes, products, photometers = (
        _without_rivals(
            [one for one in brought[kind.hook] if (one.plugin, one.origin) not in lost],
            failures,
            ours_stand=kind.base is Product,
        )
        for kind in _HOOKS
    )
    for failure in failures:
        log.warning("plugin %s (%s) could not be loaded: %s", failure.plugin, failure.origin, failure.cause)
    by_name = (dict(sorted(found.items())) for found in (instruments, recipes, photometers))
    instruments, recipes, photometers = by_name
    return Plugins(instruments, recipes, products, photometers, tuple(failures))


def _implementers(manager: pluggy.PluginManager, hook: str) -> Iterator[tuple[str, ModuleType]]:
    """The plugins that implement a hook, in the order in which they are called."""
    for implementation in reversed(getattr(manager.hook, hook).get_hookimpls()):
        if not (implementation.hookwrapper or implementation.wrapper):
            yield implementation.plugin_name, implementation.plugin


def _items(
    manager: pluggy.PluginManager,
    kind: _Kind,
    module: ModuleType,
    where: tuple[str, str],
    reserved: _Reserved,
) -> list[Registered]:
    """What one plugin returns for one hook, checked."""
    others = [plugin for _, plugin in _implementers(manager, kind.hook) if plugin is not module]
    call = manager.subset_hook_caller(kind.hook, remove_plugins=others)
    found: list[Registered] = []
    for given in call() or [None]:
        if not isinstance(given, Sequence) or isinstance(given, str) or not given:
            raise PluginError(f"{kind.hook} returns {given!r}; expected a list of {kind.noun}")
        found += [Registered(*kind.take(kind, one, reserved), *where) for one in given]
    return found


# -- what is brought -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reserved:
    """Names that nothing of a plugin may have: of commands, and of options of every run."""

    commands: frozenset[str]
    options: frozenset[str]


@dataclass(frozen=True)
class _Kind:
    """A kind of thing that plugins bring: by which hook, how it is called, and how one is taken."""

    hook: str
    noun: str
    base: type
    take: Callable[[_Kind, object, _Reserved], tuple[object, str, str]]

    def check_class(self, given: object) -> None:
        if not (isinstance(given, type) and issubclass(given, self.base)):
            raise PluginError(
                f"{self.hook} returns {given!r}, which is not a subclass of {self.base.__name__}"
            )

    def check_instance(self, given: object) -> None:
        if not isinstance(given, self.base):
            raise PluginError(f"{self.hook} returns {given!r}, which is not a {self.base.__name__}")


def _instrument(kind: _Kind, given: object, reserved: _Reserved) -> tuple[Instrument, str, str]:
    kind.check_class(given)
    assert isinstance(given, type)
    check_declaration(given)  # a family, made with abstract=True, is no instrument
    made = given()
    if made.name.lower() in reserved.commands:
        raise DeclarationError(
            f"{type(made).__name__}: name = {made.name!r} is already a command of reduce; choose another"
        )
    return made, made.name.upper(), _first_line(type(made).__doc__)


def _photometer(kind: _Kind, given: object, reserved: _Reserved) -> tuple[type[Photometer], str, str]:
    kind.check_class(given)
    assert isinstance(given, type) and issubclass(given, Photometer)
    _check_photometer(given)
    return given, given.name.lower(), _first_line(given.__doc__)


def _recipe(kind: _Kind, given: object, reserved: _Reserved) -> tuple[Recipe, str, str]:
    kind.check_instance(given)
    assert isinstance(given, Recipe)
    for declared in given.options:
        if declared.name in reserved.options:
            raise DeclarationError(
                f"recipe {given.name}: a stage declares the option {declared.name}, which is built in; rename it"
            )
    return given, given.name.lower(), given.about


def _product(kind: _Kind, given: object, reserved: _Reserved) -> tuple[Product, str, str]:
    kind.check_instance(given)
    assert isinstance(given, Product)
    return given, given.path, given.about


_HOOKS = (
    _Kind("register_instruments", "Instrument classes", Instrument, _instrument),
    _Kind("register_recipes", "recipes", Recipe, _recipe),
    _Kind("register_products", "products", Product, _product),
    _Kind("register_photometers", "Photometer classes", Photometer, _photometer),
)


def _check_photometer(cls: type[Photometer]) -> None:
    """Raise a PluginError for a photometer that workers could not have, or the journal not tell from another."""
    name = getattr(cls, "name", None)
    wrong = None
    if isabstract(cls):
        wrong = f"it lacks {', '.join(sorted(cls.__abstractmethods__))}"
    elif not (isinstance(name, str) and _NAME.fullmatch(name)):
        wrong = f"invalid name {name!r}; use letters, digits, - and _"
    elif not (is_dataclass(cls) and getattr(vars(cls).get("__dataclass_params__"), "frozen", False)):
        wrong = "not a frozen dataclass: add @dataclass(frozen=True)"
    elif lacking := [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]:
        wrong = f"its field {lacking[0]} has no default"
    elif "<locals>" in cls.__qualname__:
        wrong = "defined inside a function, where worker processes cannot import it"
    if wrong:
        raise PluginError(f"the photometer {cls.__name__} cannot be used: {wrong}")


def _without_rival_options(
    found: Sequence[Registered[Recipe]], failures: list[Failure]
) -> list[Registered[Recipe]]:
    """The recipes without those of several plugins whose stages declare different options of one name."""
    lost: set[str] = set()
    for one, other in combinations(found, 2):
        theirs = {declared.name: declared for declared in other.item.options}
        for declared in one.item.options:
            if one.plugin != other.plugin and theirs.get(declared.name, declared) != declared:
                who = f"{one.plugin} of {one.origin} and {other.plugin} of {other.origin}"
                cause = f"the option {declared.name} is declared by {who}; uninstall one of them"
                failures += [Failure(r.plugin, r.origin, cause, mentions=(r.name,)) for r in (one, other)]
                lost |= {one.name, other.name}
    return [one for one in found if one.name not in lost]


def _without_rivals(
    found: Sequence[Registered[_T]], failures: list[Failure], *, ours_stand: bool = False
) -> dict[str, Registered[_T]]:
    """The items by name; a name that two plugins claim is neither's, or ours where nobody asks for it by name."""
    by_name: dict[str, list[Registered[_T]]] = {}
    for one in found:
        by_name.setdefault(one.name, []).append(one)
    for name, claims in by_name.items():
        claims.sort(key=lambda claim: (claim.plugin, claim.origin))
        ours = [claim for claim in claims if claim.plugin.partition(".")[0] == hookspecs.PROJECT]
        if ours_stand and len(claims) > 1 and len(ours) == 1:
            theirs = [claim for claim in claims if claim is not ours[0]]
            cause = f"the name {name} is already used by {ours[0].plugin} of {ours[0].origin}; choose another"
            failures += [Failure(c.plugin, c.origin, cause, mentions=()) for c in theirs]
            by_name[name] = ours
        elif len(claims) > 1:
            who = " and ".join(f"{claim.plugin} of {claim.origin}" for claim in claims)
            cause = f"the name {name} is claimed by {who}; uninstall one of them"
            failures += [Failure(c.plugin, c.origin, cause, mentions=(name.lower(),)) for c in claims]
    return {name: claims[0] for name, claims in by_name.items() if len(claims) == 1}


# -- words ---------------------------------------------------------------------------------------------------


def _failure(plugin: str, origin: str, error: BaseException, module: str, mention: str) -> Failure:
    """A plugin that failed, with the line of its own where the error arose."""
    return Failure(plugin, origin, _cause(error, module), mentions=(mention,))


def _cause(error: BaseException, module: str) -> str:
    """An error in a line, and the plugin's own line where it arose."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{_author_line(error, module)}"


def _author_line(error: BaseException, module: str) -> str:
    """Where in the plugin the error arose; "" where it did not get that far."""
    frames = [(f, line) for f, line in traceback.walk_tb(error.__traceback__)]
    own = [(f.f_code.co_filename, line) for f, line in frames if f.f_globals.get("__name__") == module]
    return f" ({Path(own[-1][0]).name}, line {own[-1][1]})" if own else ""


def _suggestion(key: str, known: Iterable[str]) -> str:
    """The nearest name, and all that there are."""
    known = sorted(known)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return (f"; did you mean {near[0]}?" if near else ".") + f" Installed: {', '.join(known) or 'none'}"


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _origin_of(entry: metadata.EntryPoint) -> str:
    """Distribution and version of an entry point."""
    dist = getattr(entry, "dist", None)
    return f"{dist.name} {dist.version}" if dist is not None else "no distribution"
