"""The hooks that a plugin may implement.

A plugin is a module named in the entry-point group ``potpyri_like`` of an installed distribution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from potpyri_like.instruments import Instrument
    from potpyri_like.photometry import Photometer

__all__ = ["PROJECT", "hookimpl", "hookspec"]

PROJECT = "potpyri_like"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_instruments() -> Sequence[type[Instrument]]:
    """Return the instrument classes that this plugin brings."""
    raise NotImplementedError


@hookspec
def register_photometers() -> Sequence[type[Photometer]]:
    """Return the photometer classes that this plugin brings: frozen dataclasses derived from `Photometer`."""
    raise NotImplementedError
