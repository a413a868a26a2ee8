"""Pictures on the page."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from markupsafe import Markup

from potpyri_like.products.making import Picture
from potpyri_like.products.rows import masters_of
from potpyri_like.products.words import short
from potpyri_like.results import Master, RunReport, SetResult

__all__ = ["Image", "image", "master_image", "master_images"]


@dataclass(frozen=True)
class Image:
    """A PNG on the page.

    Attributes
    ----------
    src : Markup
        A data URI, which needs no escaping.
    width, height : int
        Pixels.
    alt : str
    """

    src: Markup
    width: int
    height: int
    alt: str


def master_images(report: RunReport) -> dict[str, Picture]:
    """The figures of masters, not drawn yet, by their path within the output folder."""
    images: dict[str, Picture] = {}
    for result in report.sets:
        for master in masters_of(result):
            images.setdefault(master_image(result, master), Picture("masters_plot", master, "masters"))
    return images


def master_image(result: SetResult, master: Master) -> str:
    """The path of a master's figure: beside its product, else in the folder of its set."""
    if master.product:
        return PurePath(master.product).with_suffix(".png").as_posix()
    exposure = f"_{short(master.exposure)}s" if master.kind == "dark" else ""
    return f"{result.observed.folder}/master_{master.kind}{exposure}.png"


def image(images: Mapping[str, bytes], name: str, alt: str) -> Image | None:
    """A figure for the page; None where there is none of that name."""
    png = images.get(name)
    if png is None:
        return None
    width, height = struct.unpack(">II", png[16:24])
    return Image(Markup("data:image/png;base64," + base64.b64encode(png).decode()), width, height, alt)
