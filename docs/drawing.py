"""A drawing of the house, from its imports as they are: `python docs/drawing.py > house.svg`.

One row for each room (a folder or a file directly below the package), in the order of the layers that import-linter
checks, and an arc from each room down to every room that it imports: faint where another of its imports leads there.
Colours are those of the page around it.
"""

from __future__ import annotations

import sys
import tomllib
from html import escape
from pathlib import Path

import grimp

PACKAGE = "potpyri_like"
PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
ROW, LEFT, WIDTH, TOP = 24, 128, 372, 8  # pixels
STYLE = """
.house { max-width: 36em; width: 100%; height: auto; font: 13px var(--font-stack, sans-serif); }
.house text { fill: var(--color-foreground-primary, currentColor); }
.house rect { fill: var(--color-background-secondary, none); }
.house path { fill: none; stroke: var(--color-foreground-muted, currentColor); stroke-opacity: .6; }
.house .implied { stroke-opacity: .1; }
.house .up { stroke: red; stroke-opacity: 1; }
.house circle { fill: var(--color-brand-primary, currentColor); }
.house g:hover text { fill: var(--color-brand-primary, currentColor); font-weight: bold; }
.house g:hover path { stroke: var(--color-brand-primary, currentColor); stroke-opacity: 1; stroke-width: 1.6; }
"""


def layers() -> list[list[str]]:
    """The layers of the first contract, from the top down; rooms that share one stand beside each other."""
    contract = tomllib.loads(PYPROJECT.read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    return [layer.replace(" : ", " | ").split(" | ") for layer in contract["layers"]]


def imports() -> dict[str, set[str]]:
    """What each room imports of the others."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    children = sorted(graph.find_children(PACKAGE))
    for child in children:
        graph.squash_module(child)
    rooms = {child: child.removeprefix(f"{PACKAGE}.") for child in children if not child.endswith("__main__")}
    return {
        name: {rooms[other] for other in graph.find_modules_directly_imported_by(child) if other in rooms}
        for child, name in rooms.items()
    }


def drawing() -> str:
    """The drawing as SVG."""
    wants = imports()
    listed = [[name for name in layer if name in wants] for layer in layers()]
    known = {name for layer in listed for name in layer}
    floors = [layer for layer in ([*sorted(set(wants) - known)], *listed) if layer]
    row = {name: number for number, name in enumerate(name for floor in floors for name in floor)}
    height = 2 * TOP + ROW * len(row)
    arrows = sum(map(len, wants.values()))
    reach = _reach(wants)
    parts = [
        f'<svg class="house" viewBox="0 0 {WIDTH} {height}" xmlns="http://www.w3.org/2000/svg" role="img">',
        f"<title>{len(row)} rooms and {arrows} imports between them</title><style>{STYLE}</style>",
        *(_floor(floor, row) for floor in floors[::2]),
        *(_room(name, sorted(wants[name]), row, implied=_implied(wants[name], reach)) for name in row),
        "</svg>",
    ]
    return "\n".join(parts)


def _reach(wants: dict[str, set[str]]) -> dict[str, set[str]]:
    """All rooms below each room."""
    reach = {name: set(below) for name, below in wants.items()}
    for _ in wants:
        for below in reach.values():
            below.update(*(reach[name] for name in tuple(below)))
    return reach


def _implied(below: set[str], reach: dict[str, set[str]]) -> set[str]:
    """Those of a room's imports to which another one of them leads."""
    return {name for name in below if any(name in reach[other] for other in below - {name})}


def _middle(name: str, row: dict[str, int]) -> float:
    return TOP + ROW * (row[name] + 0.5)


def _floor(floor: list[str], row: dict[str, int]) -> str:
    """Every other layer is shaded."""
    top = _middle(floor[0], row) - ROW / 2
    return f'<rect x="0" y="{top:g}" width="{WIDTH}" height="{ROW * len(floor)}" rx="4"/>'


def _room(name: str, below: list[str], row: dict[str, int], *, implied: set[str]) -> str:
    """A name, and an arc to each room that it imports."""
    y = _middle(name, row)
    text = f'<text x="{LEFT - 12}" y="{y + 4.5:g}" text-anchor="end">{escape(name)}</text>'
    dot = f'<circle cx="{LEFT}" cy="{y:g}" r="3"/>'
    arcs = "".join(_arc(y, _middle(other, row), len(row), faint=other in implied) for other in below)
    what = f"{name} imports {', '.join(below) or 'none of the others'}"
    return f"<g><title>{escape(what)}</title>{arcs}{text}{dot}</g>"


def _arc(start: float, end: float, rows: int, *, faint: bool) -> str:
    wide = (WIDTH - LEFT - 6) * (abs(end - start) / (ROW * rows)) ** 0.7
    kind = ' class="up"' if end < start else ' class="implied"' if faint else ""
    sweep = int(end > start)
    return (
        f'<path{kind} d="M{LEFT} {start:g}A{wide:.1f} {abs(end - start) / 2:g} 0 0 {sweep} {LEFT} {end:g}"/>'
    )


if __name__ == "__main__":
    sys.stdout.write(drawing())
