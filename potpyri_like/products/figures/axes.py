"""What the figures of the analysis have in common: ticks, boxes, lines."""

from __future__ import annotations

import numpy as np
from matplotlib.axis import Axis

from potpyri_like.products.figures.drawing import Style

__all__ = ["FAINT_LINE", "MINUTE", "PLAIN_BOX", "plain_ticks"]

MINUTE = 1 / 1440  # days
FAINT_LINE: Style = {"color": "#9aa5b1", "linewidth": 0.8, "linestyle": (0, (4, 3)), "zorder": 1}
PLAIN_BOX: Style = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}


def plain_ticks(axis: Axis) -> None:
    """Numbers at 2 and 5 as well, where an axis spans less than two powers of ten."""
    low, high = axis.get_view_interval()
    if 0 < low < high < 100 * low:
        powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        ticks = [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
