"""Make products from the results of a run, and write them."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from astropy.io import fits
from astropy.table import Table

from potpyri_like.errors import ProductError
from potpyri_like.products.rows import curve_file
from potpyri_like.results import SetResult
from potpyri_like.stages import AnyField, Product
from potpyri_like.store import Output

__all__ = ["Content", "Picture", "ShownToProduct", "contents", "leading", "made_of", "write_content"]

_DPI = 120


@dataclass(frozen=True)
class Picture:
    """A figure that is not drawn yet.

    Attributes
    ----------
    kind : str
        The function that draws it as a PNG.
    of : LightCurve, SetResult, Master, ...
        What it shows.
    module : str
        Of `potpyri_like.products.figures`, where that function is.
    """

    kind: str
    of: object
    module: str

    def __call__(self) -> bytes:
        # Matplotlib takes half a second to load, and most runs of a night that stands need none of it.
        plots = importlib.import_module(f"potpyri_like.products.figures.{self.module}")
        draw: Callable[[object], bytes] = getattr(plots, self.kind)
        return draw(self.of)


Content: TypeAlias = bytes | str | Table | fits.HDUList | Picture


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
    results : tuple of SetResult
        All that was made of its observations.
    options : mapping of str to object
        Those of the run, by their names.
    """

    name: str
    folder: str
    values: Mapping[str, object] = field(default_factory=dict)
    results: tuple[SetResult, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)

    def __getitem__(self, wanted: AnyField) -> Any:
        """The value of a field.

        Raises
        ------
        ProductError
            It is not known here.
        """
        if self.values.get(wanted.name) is None:
            raise ProductError(f"{wanted.name} ({wanted.about}) is not available; declare it in reads")
        return self.values[wanted.name]

    def get(self, wanted: AnyField) -> Any:
        """The same; None where it is not known."""
        return self.values.get(wanted.name)

    @property
    def result(self) -> SetResult:
        """What was made of the observation; of several, of the one that leads them: the first with a light curve."""
        return leading(self.results)

    def path(self, product: Product) -> str:
        """A product's file within the output folder."""
        name = curve_file(self.result, product.path) if product.is_of_star else product.path
        return f"{self.folder}/{name}".lstrip("/")


def leading(results: Sequence[SetResult]) -> SetResult:
    """The observation that names what is made of all those of a target: the first with a light curve."""
    return next((result for result in results if result.light_curve is not None), results[0])


def made_of(
    product: Product,
    results: Sequence[SetResult],
    options: Mapping[str, object] | None = None,
    *,
    only: Collection[str] | None = None,
) -> Iterable[ShownToProduct]:
    """What a product is made from, once for each group of its kind that has all that it requires.

    Parameters
    ----------
    product : Product
    results : sequence of SetResult
    options : mapping of str to object, optional
        Those of the run, by their names.
    only : collection of str, optional
        Paths of the products that are wanted; none where this one is not among them.
    """
    if only is not None and product.path not in only:
        return
    for folder, name, group in _groups(product.per, results):
        values = {one.field.name: _value(one.field, group) for one in product.inputs}
        if all(values[one.field.name] is not None for one in product.inputs if one.required):
            yield ShownToProduct(name, folder, values, tuple(group), options or {})


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
    if made is None or isinstance(made, bytes | str | Table | fits.HDUList | Picture):
        return made
    if (png := _drawn(made)) is not None:
        return png
    raise ProductError(
        f"{product.name}: {type(made).__name__} cannot be written; give bytes, text, a Table, an HDUList or a Figure"
    )


def write_content(output: Output, name: str, content: Content) -> None:
    """Write what a product holds, in the form that it has."""
    match content:
        case Picture():
            output.write_bytes(name, content())
        case bytes():
            output.write_bytes(name, content)
        case str():
            output.write_text(name, content)
        case Table():
            output.write_table(name, content)
        case _:
            output.write_fits(name, content)


def _drawn(figure: object) -> bytes | None:
    """A figure of Matplotlib's as PNG, the same bytes each time; None of what is no figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not isinstance(figure, Figure):
        return None
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()
