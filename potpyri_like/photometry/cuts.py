"""Cuts that an observer makes: a condition on the columns of a light curve, in a small grammar that runs no code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping

import numpy as np

from potpyri_like.errors import UsageError

__all__ = ["points_where"]

_COMPARE: Mapping[type[ast.cmpop], Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_LONGEST = 1000  # characters


def points_where(condition: str, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """The points for which a condition holds.

    Parameters
    ----------
    condition : str
        Comparisons of columns with numbers, or with each other, joined by ``and``, ``or``, ``not`` and brackets:
        ``sky > 300 or (fwhm > 6 and airmass > 2)``. None holds for a value that is not known.
    columns : mapping of str to ndarray, shape (n_points,)

    Returns
    -------
    ndarray of bool, shape (n_points,)

    Raises
    ------
    UsageError
        It is no such condition, or names a column that is not there.
    """
    size = len(next(iter(columns.values())))
    try:
        if len(condition) > _LONGEST:
            raise UsageError(f"it is longer than {_LONGEST} characters")
        return np.broadcast_to(_holds(ast.parse(condition.strip(), mode="eval").body, columns), size).copy()
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"it is not understood; {_EXAMPLE}") from error


_EXAMPLE = "give comparisons of columns with numbers, as in 'sky > 300 or fwhm > 6'"


def _holds(node: ast.expr, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    if isinstance(node, ast.BoolOp):
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return join.reduce(np.broadcast_arrays(*(_holds(part, columns) for part in node.values)))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ~_holds(node.operand, columns)
    if isinstance(node, ast.Compare):
        values = [_value(part, columns) for part in (node.left, *node.comparators)]
        found = np.array(True)
        for compare, one, other in zip(node.ops, values, values[1:], strict=False):
            if type(compare) not in _COMPARE:
                raise UsageError(f"{ast.unparse(node)} is no comparison of numbers; {_EXAMPLE}")
            found = found & _COMPARE[type(compare)](one, other) & np.isfinite(one) & np.isfinite(other)
        return found
    raise UsageError(f"{ast.unparse(node)} is no comparison; {_EXAMPLE}")


def _value(node: ast.expr, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """A number, or a column."""
    sign = 1.0
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        sign, node = (-1.0 if isinstance(node.op, ast.USub) else 1.0), node.operand
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float)
        and not isinstance(node.value, bool)
    ):
        return np.array(sign * float(node.value))
    if isinstance(node, ast.Name) and node.id in columns:
        return sign * np.asarray(columns[node.id], float)
    if isinstance(node, ast.Name):
        raise UsageError(f"there is no column {node.id}; there are {', '.join(sorted(columns))}")
    raise UsageError(f"{ast.unparse(node)} is neither a column nor a number; {_EXAMPLE}")
