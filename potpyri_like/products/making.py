"""Products that plugins bring: what they are shown, and what becomes of it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from astropy.io import fits
from astropy.table import Table
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from potpyri_like.errors import ProductError
from potpyri_like.results import SetResult
from potpyri_like.stages import AnyField, Product

__all__ = ["Content", "ShownToProduct", "contents", "made_of"]

Content: TypeAlias = bytes | str | Table | fits.HDUList
_DPI = 120


@dataclass(frozen=True)
class ShownToProduct:
    """What a product is made from: the fields that it reads, of one observation, target, night or the run.

    Attributes
    ----------
    name : str
        Of what it is made for: the observation's or the target's.
    folder : str
        Within the output folder.
    values : mapping of str to object
        By the names of fields; of a field of frames or exposures, pairs of the frame's name and the value.
    """

    name: str
    folder: str
    values: Mapping[str, object] = field(default_factory=dict)

    def __getitem__(self, wanted: AnyField) -> Any:
        """The value of a field.

        Raises
        ------
        ProductError
            It is not known here.
        """
        if self.values.get(wanted.name) is None:
            raise ProductError(f"{wanted.name} ({wanted.about}) is not known; it has to stand in reads")
        return self.values[wanted.name]

    def get(self, wanted: AnyField) -> Any:
        """The same; None where it is not known."""
        return self.values.get(wanted.name)


def made_of(product: Product, results: Sequence[SetResult]) -> Iterable[ShownToProduct]:
    """What a product is made from, once for each group of its kind that has all that it requires."""
    for folder, name, group in _groups(product.per, results):
        values = {one.field.name: _value(one.field, group) for one in product.inputs}
        if all(values[one.field.name] is not None for one in product.inputs if one.required):
            yield ShownToProduct(name, folder, values)


def _groups(per: str, results: Sequence[SetResult]) -> Iterable[tuple[str, str, list[SetResult]]]:
    """The folder, the name and the observations of each group."""
    found: dict[str, tuple[str, list[SetResult]]] = {}
    for result in results:
        observed = result.observed
        parent = observed.folder.rpartition("/")[0]
        folder, name = {
            "observation": (observed.folder, observed.name),
            "target": (parent, observed.target),
            "night": (parent.rpartition("/")[0], observed.night),
            "run": ("", ""),
        }[per]
        found.setdefault(folder, (name, []))[1].append(result)
    return ((folder, name, group) for folder, (name, group) in found.items())


def _value(wanted: AnyField, group: Sequence[SetResult]) -> Any:
    """A field's value for a group: of its frames or exposures all, of its observations the one, or a tuple of all."""
    values: list[Any] = [result.get(wanted) for result in group]
    values = [value for value in values if value is not None]
    if not values:
        return None
    if wanted.per == "exposure":
        return values[0]  # each observation of the target has them all
    if wanted.per == "frame":
        return tuple(pair for value in values for pair in value)
    return values[0] if len(group) == 1 else tuple(values)


def contents(product: Product, shown: ShownToProduct) -> Content | None:
    """What a product's file holds; None for no file.

    Raises
    ------
    ProductError
        The plugin gave what cannot be written, or failed; the message says where.
    """
    try:
        made = product.make(shown)
    except Exception as error:
        raise ProductError(f"{product.name} of {shown.name}: {type(error).__name__}: {error}") from error
    if isinstance(made, Figure):
        return _png(made)
    if made is None or isinstance(made, bytes | str | Table | fits.HDUList):
        return made
    raise ProductError(
        f"{product.name}: {type(made).__name__} cannot be written; give bytes, text, a Table, an HDUList or a Figure"
    )


def _png(figure: Figure) -> bytes:
    """A figure as PNG: the same bytes each time."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()
