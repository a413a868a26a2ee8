"""Which recipe, options and plugins a run uses."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace
from functools import cache

from potpyri_like.errors import DeclarationError, UsageError
from potpyri_like.instruments import Instrument
from potpyri_like.lightcurves import named_metric
from potpyri_like.options import Options, options_with, public_name
from potpyri_like.plugins import Plugins, load_plugins
from potpyri_like.primitives.saved import SAVABLE
from potpyri_like.recipe_file import CodeFile, names_file
from potpyri_like.stages import Recipe, configured

__all__ = ["digests_of", "installed", "loaded", "options_type", "plugins_for", "recipe_of", "saved_kinds"]


def saved_kinds(recipe: Recipe, options: Options) -> frozenset[str]:
    """The kinds of images that a run saves: those asked for, and that with which it ends where it ends early.

    Raises
    ------
    UsageError
        There is no such kind, or no stage that is run makes it.
    """
    asked = [name.strip() for name in (options.save or "").split(",") if name.strip()]
    for name in asked:
        if name not in SAVABLE:
            raise UsageError(f"--save {name}: give {' or '.join(SAVABLE)}")
        if recipe.giver(SAVABLE[name]) is None:
            raise UsageError(
                f"--save {name}: no stage of this run makes them; the stages are"
                f" {', '.join(stage.name for stage in recipe.stages)}"
            )
    at_the_end = recipe.stages[-1].gives if options.until is not None else ()
    return frozenset({*asked, *(kind for kind, made in SAVABLE.items() if made in at_the_end)})


def _part_of(recipe: Recipe, options: Options) -> Recipe:
    """The stages of a recipe that the options ask for."""
    try:
        for name in (options.skip or "").split(","):
            recipe = recipe.without(name.strip()) if name.strip() else recipe
        return recipe.until(options.until) if options.until else recipe
    except DeclarationError as error:
        asked = "--skip" if options.skip else "--until"
        raise UsageError(f"{asked}: {error}") from error


def loaded(commands: Collection[str] = (), file: CodeFile | None = None) -> Plugins:
    """What the installed plugins bring, and a file; nothing has the name of a command, or of an option of every run."""
    return load_plugins(reserved=commands, options={public_name(item) for item in fields(Options)}, file=file)


@cache
def installed() -> Plugins:
    """The same, asked once for each process."""
    return loaded()


@cache
def _with_file(file: CodeFile) -> Plugins:
    """The same, and what a file brings."""
    return loaded(file=file)


def plugins_for(options: Options) -> Plugins:
    """What the installed plugins bring, and the file with the user's own recipe where one is named.

    Raises
    ------
    UsageError
        It cannot be read.
    PluginError
        What it brings cannot be used.
    """
    file = _own_file(options)
    return _with_file(CodeFile.read(file)) if file else installed()


def _own_file(options: Options) -> str:
    """The file with the user's own recipe; "" where none is named."""
    return options.recipe if options.recipe is not None and names_file(options.recipe) else ""


@cache
def options_type() -> type[Options]:
    """The options of a run, those that stages of plugins declare among them."""
    recipes = (one.item for one in installed().recipes.values())
    return options_with(dict.fromkeys(declared for recipe in recipes for declared in recipe.options))


def recipe_of(instrument: Instrument, options: Options) -> Recipe:
    """The recipe asked for, or the instrument's, with the options in the settings of its stages.

    Raises
    ------
    UsageError
        No plugin brings it, or the photometer that the options name; or no stage of it makes what is to be saved.
    PluginError
        The plugin or the file that should bring it failed, or two claim its name.
    """
    plugins, file = plugins_for(options), _own_file(options)
    whole = plugins.recipe_of(file) if file else plugins.recipe(options.recipe or instrument.recipe)
    recipe = _part_of(whole, options)
    values = {**options.named(), "photometer": plugins.photometer(options.photometer)}
    recipe = replace(recipe, stages=tuple(configured(stage, values) for stage in recipe.stages))
    saved_kinds(recipe, options)
    return recipe


def digests_of(options: Options) -> dict[str, str]:
    """The SHA-256 of the user's own code, by the options that name it."""
    metric = "" if options.metric is None else named_metric(options.metric).digest
    file = _own_file(options)
    digests = {"metric": metric, "recipe": CodeFile.read(file).sha256 if file else ""}
    return {name: digest for name, digest in digests.items() if digest}
