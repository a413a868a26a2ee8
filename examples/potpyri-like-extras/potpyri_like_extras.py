"""How even the sky is: a recipe with two stages, a table, a figure, an option, and a photometer.

The recipe `skycheck` is that of light curves with two more stages. One looks at each calibrated frame and gives a
number: the scatter of the sky from box to box. The other looks at each exposure, all cameras together, and gives the
ratio of the largest of these numbers to the smallest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure

from potpyri_like.frame import Frame
from potpyri_like.hookspecs import hookimpl
from potpyri_like.photometry import Photometer, Scene, Template
from potpyri_like.primitives import Exposure, ExposureStage, Setup, timeseries
from potpyri_like.primitives.fields import CALIBRATED
from potpyri_like.stages import Field, FrameStage, Input, Product, Recipe, option

UNEVENNESS = Field("unevenness", float, "scatter of the sky from box to box, electron", per="frame")
BALANCE = Field("balance", float, "largest over smallest unevenness of an exposure's frames", per="exposure")


@dataclass(frozen=True)
class MeasureUnevenness(FrameStage):
    """Measure by how much the level of the sky differs from box to box."""

    reads = (CALIBRATED,)
    gives = (UNEVENNESS,)
    box: int = option(
        "Side of the boxes in which the sky is compared, pixels.", 32, metavar="PIXELS", by="night"
    )

    def __call__(self, frame: Frame, setup: Setup) -> Frame:
        rows, columns = (size // self.box for size in frame.data.shape)
        boxes = frame.data[: rows * self.box, : columns * self.box].reshape(rows, self.box, columns, self.box)
        levels = np.median(boxes.transpose(0, 2, 1, 3).reshape(rows * columns, -1), axis=1)
        scatter = 1.4826 * np.median(np.abs(levels - np.median(levels)))
        return frame.after("unevenness of the sky measured", unevenness=float(scatter))


@dataclass(frozen=True)
class CompareCameras(ExposureStage):
    """Compare the unevenness of the frames that were exposed together."""

    reads = (Input(UNEVENNESS, many=True),)
    gives = (BALANCE,)

    def __call__(self, exposure: Exposure, /) -> Mapping[Field[Any], Any]:
        known = [value for value in exposure[UNEVENNESS] if value]
        return {BALANCE: max(known) / min(known)} if known else {}


@dataclass(frozen=True)
class Square(Photometer):
    """Sums in squares of whole pixels around the nearest pixel."""

    name: ClassVar[str] = "square"
    half: int = 4

    def sizes(self, template: Template) -> np.ndarray:
        return np.array([(2 * self.half + 1) / np.sqrt(np.pi) / template.fwhm])

    def measure(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        flux, error = scene.blank(1)
        for star, (x, y) in enumerate(scene.xy):
            if not np.isfinite(x + y):
                continue
            rows, columns = (slice(max(round(at) - self.half, 0), round(at) + self.half + 1) for at in (y, x))
            area = scene.image[rows, columns].size
            if area < (2 * self.half + 1) ** 2:
                continue
            flux[star] = scene.image[rows, columns].sum() - area * scene.sky.level[star]
            noise = scene.context.covariance * scene.variance[rows, columns].sum()
            error[star] = np.sqrt(noise + area**2 * scene.sky.variance_of_level[star])
        return flux, error


def unevenness_table(shown: Any) -> Table:
    """One row for each frame."""
    frames, values = zip(*shown[UNEVENNESS], strict=True)
    table = Table({"frame": frames, "unevenness": np.array(values, float)})
    table["unevenness"].unit = "electron"
    return table


def unevenness_figure(shown: Any) -> Figure:
    """The unevenness from frame to frame."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.add_subplot(xlabel="frame", ylabel="unevenness [electron]", title=shown.name)
    axes.plot([value for _, value in shown[UNEVENNESS]], "o")
    return figure


def balance_table(shown: Any) -> Table:
    """One row for each exposure."""
    exposures, values = zip(*shown[BALANCE], strict=True)
    return Table({"exposure": exposures, "balance": np.array(values, float)})


def skycheck() -> Recipe:
    """Light curves, with a look at the sky of each frame and of each exposure."""
    usual = timeseries()
    measured = usual.position("Measure") + 1  # beside it, so that the frames are calibrated once for both
    return replace(
        usual,
        name="skycheck",
        about="Light curves, and how even the sky is.",
        stages=(*usual.stages[:measured], MeasureUnevenness(), *usual.stages[measured:], CompareCameras()),
    )


@hookimpl
def register_recipes() -> list[Recipe]:
    return [skycheck()]


@hookimpl
def register_products() -> list[Product]:
    return [
        Product("unevenness.ecsv", "how even the sky is, by frame", (UNEVENNESS,), unevenness_table),
        Product("unevenness.png", "how even the sky is", (UNEVENNESS,), unevenness_figure),
        Product("balance.ecsv", "how alike the cameras' skies are", (BALANCE,), balance_table, per="target"),
    ]


@hookimpl
def register_photometers() -> list[type[Photometer]]:
    return [Square]
