"""The text of a page in the order in which a person reads it: column by column, where columns run down the page."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

_LEAST_LINES = 3
"""Lines on either side of a gutter; fewer may be anything."""
_WORD_GAP = 1.2
"""Of the height of the letters: what is further away belongs to something else."""
_PROSE = 12
"""Characters that a line of a column has in the middle; cells of a table have fewer."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Text without a wide gap, in points from the lower left corner."""

    left: float
    bottom: float
    right: float
    top: float
    text: str

    @property
    def height(self) -> float:
        return self.top - self.bottom


def read_in_order(page: Any) -> str:
    """All text of a PDFium text page; as PDFium has it, unless there are columns or it was drawn out of order."""
    pieces = list(_pieces(page))
    blocks = list(_blocks(pieces))
    if len(blocks) < 2 and not _jumps(pieces):
        return str(page.get_text_range())
    return "\n".join("\n".join(_lines(block)) for block in blocks)


def _jumps(pieces: list[_Piece]) -> bool:
    """Whether what comes later stands higher, as in a table that was drawn column by column."""
    return any(later.bottom > earlier.top for earlier, later in pairwise(pieces))


def _pieces(page: Any) -> Iterator[_Piece]:
    """What stands on one line without a wide gap; some programs write each letter by itself."""
    box: list[float] = []
    for number in range(page.count_rects()):
        left, bottom, right, top = page.get_rect(number)
        if box and _goes_on(box, left, bottom, top):
            box = [min(box[0], left), min(box[1], bottom), max(box[2], right), max(box[3], top)]
        else:
            yield from _piece(page, box)
            box = [left, bottom, right, top]
    yield from _piece(page, box)


def _goes_on(box: list[float], left: float, bottom: float, top: float) -> bool:
    shared = min(box[3], top) - max(box[1], bottom)
    height = box[3] - box[1]
    return shared > 0.3 * min(height, top - bottom) and -height < left - box[2] < _WORD_GAP * height


def _piece(page: Any, box: list[float]) -> Iterator[_Piece]:
    if box and (text := page.get_text_bounded(*box).strip()):
        left, bottom, right, top = box
        yield _Piece(left, bottom, right, top, text)


def _blocks(pieces: list[_Piece]) -> Iterator[list[_Piece]]:
    """Cut the page from top to bottom where the gutter begins or ends, and from left to right at it."""
    gutter = _gutter(pieces)
    if gutter is None:
        yield pieces
        return
    left, right = gutter
    above: list[_Piece] = []
    sides: tuple[list[_Piece], list[_Piece]] = [], []
    for row in _rows(pieces):
        if any(piece.left < right and piece.right > left for piece in row):  # a heading across, say
            yield from _columns(above, sides)
            above, sides = row, ([], [])
            yield above
            above = []
        else:
            for piece in row:
                sides[piece.left >= right].append(piece)
    yield from _columns(above, sides)


def _columns(above: list[_Piece], sides: tuple[list[_Piece], list[_Piece]]) -> Iterator[list[_Piece]]:
    for side in (above, *sides):
        if side:
            yield from _blocks(side) if side is not above else iter([side])


def _rows(pieces: list[_Piece]) -> list[list[_Piece]]:
    rows: list[list[_Piece]] = []
    for piece in sorted(pieces, key=lambda piece: -(piece.top + piece.bottom)):
        middle = (piece.top + piece.bottom) / 2
        if rows and rows[-1][0].bottom <= middle <= rows[-1][0].top:
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return [sorted(row, key=lambda piece: piece.left) for row in rows]


def _gutter(pieces: list[_Piece]) -> tuple[float, float] | None:
    """The widest upright gap with lines of prose on both sides, which few lines cross."""
    if len(pieces) < 2 * _LEAST_LINES:
        return None
    least = median(piece.height for piece in pieces)
    rows = _rows(pieces)
    best: tuple[float, float] | None = None
    for edge in sorted({piece.right for piece in pieces}):
        starts = [piece.left for piece in pieces if piece.left >= edge + least * 0.8]
        if not starts:
            continue
        gap = edge, min(starts)
        crossing = sum(any(piece.left < gap[1] and piece.right > gap[0] for piece in row) for row in rows)
        left = [piece for piece in pieces if piece.right <= gap[0]]
        right = [piece for piece in pieces if piece.left >= gap[1]]
        if (
            min(len(left), len(right)) < _LEAST_LINES
            or crossing > len(rows) // 3
            or not (_prose(left) and _prose(right))
        ):
            continue
        if best is None or gap[1] - gap[0] > best[1] - best[0]:
            best = gap
    return best


def _prose(pieces: list[_Piece]) -> bool:
    return median(len(piece.text) for piece in pieces) > _PROSE


def _lines(block: list[_Piece]) -> Iterator[str]:
    for row in _rows(block):
        yield " ".join(piece.text for piece in row)
