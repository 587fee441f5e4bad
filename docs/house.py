"""The picture in architecture.md: each room of the package, and which rooms it imports from, as an SVG.

    python docs/house.py            writes docs/house.svg
    python docs/house.py --check    fails where that is not what the code says

A room is a folder or a module at the top of the package. It stands on the floor above everything that it imports, so an
arrow that ran back up, or a circle, would have no place to be drawn: `floors` raises for it. An arrow is left out where
others lead the same way.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeAlias

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = ROOT / "src" / "l402_middleware"
PICTURE: Final = ROOT / "docs" / "house.svg"

Rooms: TypeAlias = Mapping[str, frozenset[str]]
"""Each room, and those it imports from."""

# In pixels. Of a letter in 13 px monospace, the width is 7.8.
LETTER, BOX, BEND, GAP, FLOOR, MARGIN = 7.8, 32, 6, 24, 80, 16

STYLE: Final = """
  .room { fill: #f4f6fb; stroke: #46536b; }
  .arrow { fill: none; stroke: #8a94a6; stroke-width: 1.3; }
  .head { fill: #8a94a6; }
  text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1c2430; text-anchor: middle; }
  @media (prefers-color-scheme: dark) {
    .room { fill: #1f2733; stroke: #8fa0bd; }
    .arrow { stroke: #6b7890; }
    .head { fill: #6b7890; }
    text { fill: #e6ebf4; }
  }
"""

HEAD: Final = (
    '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path class="head" d="M0 0 8 4 0 8z"/></marker>'
)


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the package, with the room that it is in. The package's own face is no room."""
    for path in sorted(PACKAGE.rglob("*.py")):
        first = path.relative_to(PACKAGE).parts[0]
        if first != "__init__.py":
            yield first.removesuffix(".py"), path


def rooms() -> Rooms:
    """The rooms of the package. What is imported for types alone counts too: a reader has to know it."""
    named = {room for room, _ in modules()}
    found: dict[str, set[str]] = {room: set() for room in named}
    for room, path in modules():
        found[room] |= {each for each in _imported(path, named) if each != room}
    return {room: frozenset(uses) for room, uses in found.items()}


def _imported(path: Path, named: set[str]) -> Iterator[str]:
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_bytes())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            # `from ..core.errors import X`, or `from .. import core`.
            names = [node.module] if node.module else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("l402_middleware."):
            names = [(node.module or "").partition(".")[2]]
        elif isinstance(node, ast.Import):
            names = [alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("l402_middleware.")]
        for name in names:
            if (room := name.partition(".")[0]) in named:
                yield room


def floors(house: Rooms) -> list[list[str]]:
    """The rooms by floor, from the ground up: each stands just above the highest room that it imports from.

    Raises `ValueError` that names the rooms where some import each other in a circle.
    """
    height: dict[str, int] = {}
    try:
        for room in TopologicalSorter(house).static_order():
            height[room] = max((height[each] + 1 for each in house[room]), default=0)
    except CycleError as error:
        raise ValueError(f"these rooms import each other in a circle: {' -> '.join(error.args[1])}") from None
    return [sorted(room for room in height if height[room] == floor) for floor in range(max(height.values()) + 1)]


def direct(house: Rooms) -> set[tuple[str, str]]:
    """The arrows that say something which no way over other rooms says."""
    beyond: dict[str, set[str]] = {}
    for room in TopologicalSorter(house).static_order():
        beyond[room] = set(house[room]).union(*(beyond[each] for each in house[room]))
    every = ((room, each) for room, uses in house.items() for each in uses)
    return {(room, each) for room, each in every if not any(each in beyond[other] for other in house[room])}


def picture() -> str:
    """The house as an SVG, for light and dark pages; the same for the same code."""
    house = rooms()
    rows, ways = _with_bends(floors(house), direct(house))
    _put_in_order(rows, ways)
    widths = {room: len(room) * LETTER + 24 for room in house}
    full = max(sum(widths.get(each, BEND) + GAP for each in row) for row in rows) + 2 * MARGIN
    at: dict[str, tuple[float, float]] = {}
    for floor, row in enumerate(rows):
        space = (full - sum(widths.get(each, BEND) for each in row)) / (len(row) + 1)
        left = space
        for each in row:
            at[each] = (left + widths.get(each, BEND) / 2, MARGIN + (len(rows) - 1 - floor) * FLOOR)
            left += widths.get(each, BEND) + space
    height = MARGIN * 2 + (len(rows) - 1) * FLOOR + BOX
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {full:.0f} {height}" role="img">',
        "<title>The rooms of l402_middleware, and which of them each one imports from</title>",
        f"<style>{STYLE}</style>",
        f"<defs>{HEAD}</defs>",
        *(_arrow([at[each] for each in way]) for way in ways),
        *(_room(room, widths[room], *at[room]) for room in sorted(house)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _with_bends(rows: list[list[str]], arrows: set[tuple[str, str]]) -> tuple[list[list[str]], list[list[str]]]:
    """The floors, with a bend wherever an arrow passes one, and each arrow's way from its room over its bends down."""
    floor_of = {room: floor for floor, row in enumerate(rows) for room in row}
    ways = []
    for upper, lower in sorted(arrows):
        bends = [(floor, f"{upper} > {lower} at {floor}") for floor in range(floor_of[upper] - 1, floor_of[lower], -1)]
        for floor, bend in bends:
            rows[floor].append(bend)
        ways.append([upper, *(bend for _, bend in bends), lower])
    return rows, ways


def _put_in_order(rows: list[list[str]], ways: list[list[str]]) -> None:
    """Order each floor so that few arrows cross: by the middle of its neighbours, looked at a few times."""
    near: dict[str, list[str]] = {each: [] for row in rows for each in row}
    for upper, lower in (pair for way in ways for pair in pairwise(way)):
        near[upper].append(lower)
        near[lower].append(upper)
    at: dict[str, float] = {}
    for _ in range(24):
        for row in rows:
            row.sort(key=lambda each: (sum(at.get(one, 0.5) for one in near[each]) / max(len(near[each]), 1), each))
            at |= {each: (number + 1) / (len(row) + 1) for number, each in enumerate(row)}


def _room(name: str, width: float, x: float, y: float) -> str:
    return (
        f'<rect class="room" x="{x - width / 2:.1f}" y="{y}" width="{width:.1f}" height="{BOX}" rx="6"/>'
        f'<text x="{x:.1f}" y="{y + BOX / 2 + 4.5}">{name}</text>'
    )


def _arrow(way: list[tuple[float, float]]) -> str:
    """A curve from the bottom of the first place, straight down past each bend, to the top of the last place."""
    path = f"M{way[0][0]:.1f} {way[0][1] + BOX}"
    half = (FLOOR - BOX) / 2
    for (x, y), (to_x, to_y) in pairwise(way):
        top = to_y - 2 if (to_x, to_y) == way[-1] else to_y
        path += f" C{x:.1f} {y + BOX + half:.1f} {to_x:.1f} {to_y - half:.1f} {to_x:.1f} {top}"
        path += f" V{to_y + BOX}" if top == to_y else ""
    return f'<path class="arrow" marker-end="url(#head)" d="{path}"/>'


def main(arguments: list[str]) -> int:
    """Write the picture, or see whether it is up to date."""
    drawn = picture()
    if "--check" in arguments:
        return 0 if PICTURE.is_file() and PICTURE.read_text("utf-8") == drawn else 1
    PICTURE.write_text(drawn, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
