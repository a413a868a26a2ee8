"""Methods that an instrument had before they became functions beside it: plugins may still call or override them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument

__all__ = ["FormerMethods", "once_a_method"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Function = Callable[Concatenate["Instrument", _P], _T]


class FormerMethods:
    """What plugins for version 1 of the interface find in their base class besides the contract."""


def once_a_method(name: str) -> Callable[[_Function[_P, _T]], _Function[_P, _T]]:
    """Keep a function as the method it was: for plugins that call it, and for those that have one of their own.

    Parameters
    ----------
    name : str
        Of the method. Where an instrument's class overrides it, that is called instead of the function.
    """

    def kept(function: _Function[_P, _T]) -> _Function[_P, _T]:
        setattr(FormerMethods, name, function)

        @wraps(function)
        def asked(instrument: Instrument, *args: _P.args, **kwargs: _P.kwargs) -> _T:
            own: _Function[_P, _T] = getattr(type(instrument), name, function)
            return own(instrument, *args, **kwargs)

        return asked

    return kept
