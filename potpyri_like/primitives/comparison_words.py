"""Reasons of choices in words."""

from __future__ import annotations

import numpy as np

from potpyri_like.results import StarTable

__all__ = ["said"]


def said(table: StarTable) -> str:
    """Which stars are compared with, in words."""
    used = int(np.count_nonzero(table.weight))
    reasons = [why.partition(":")[0].partition(" in ")[0] for why in table.why if why]
    left_out = ", ".join(f"{reasons.count(r)} {r}" for r in dict.fromkeys(reasons))
    return f"{used} of {len(table.weight)} stars, weighted according to how constant they are" + (
        f"; excluded: {left_out}" if left_out else ""
    )
