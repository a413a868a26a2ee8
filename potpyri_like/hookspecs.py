"""The hooks that a plugin may implement.

A plugin is a module named in the entry-point group ``potpyri_like`` of an installed distribution. It may say for which
version of this interface it was written (``potpyri_like_interface = 1``); one that says nothing is of version 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from potpyri_like.instruments import Instrument
    from potpyri_like.photometry import Photometer
    from potpyri_like.stages import Product, Recipe

__all__ = ["INTERFACE", "PROJECT", "hookimpl", "hookspec"]

PROJECT = "potpyri_like"
INTERFACE = 1  # raised when a plugin written for the one before could not work any more

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_instruments() -> Sequence[type[Instrument]]:
    """Return the instrument classes that this plugin brings."""
    raise NotImplementedError


@hookspec
def register_recipes() -> Sequence[Recipe]:
    """Return the recipes that this plugin brings, and with them its stages."""
    raise NotImplementedError


@hookspec
def register_products() -> Sequence[Product]:
    """Return the products that this plugin brings: tables, figures, exports."""
    raise NotImplementedError


@hookspec
def register_photometers() -> Sequence[type[Photometer]]:
    """Return the photometer classes that this plugin brings: frozen dataclasses derived from `Photometer`."""
    raise NotImplementedError
