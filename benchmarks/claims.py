"""Claims about the cells of a table, and whether they hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from figures import Figure

Rows = Sequence[Sequence[str]]

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True)
class Claim:
    """What one number of a table is to be.

    Attributes:
        row: how the row begins; with several, the first row after another that begins so, and so on.
        text: the claim, as a sentence.
        limit: of the number; with ``beside``, of what it is above the peer's.
        at_least: the limit is the least value; else the largest.
        unit: of the limit, as shown.
        place: which of the cell's numbers it is.
        beside: the column of a peer that the number is compared with; None: with none. Shoal's is column 1.
    """

    row: tuple[str, ...]
    text: str
    limit: float
    at_least: bool = True
    unit: str = ""
    place: int = 0
    beside: int | None = None


def judged(claims: Sequence[Claim], rows: Rows, seconds: float) -> list[Figure]:
    """A figure for each claim whose row is there.

    Args:
        claims: in the order of the figures.
        rows: the table, its headings first.
        seconds: that all of it took; told with the first figure.
    """
    figures: list[Figure] = []
    for claim in claims:
        found = _row(claim.row, rows)
        if found is not None:
            figures.append(_figure(claim, found, rows, 0.0 if figures else seconds))
    return figures


def _row(beginnings: Sequence[str], rows: Rows) -> Sequence[str] | None:
    rest = iter(rows)
    found: Sequence[str] | None = None
    for beginning in beginnings:
        found = next((each for each in rest if each and each[0].startswith(beginning)), None)
    return found


def _figure(claim: Claim, cells: Sequence[str], rows: Rows, seconds: float) -> Figure:
    value = _number(cells[1], claim.place)
    limit = claim.limit
    sign = ">=" if claim.at_least else "<="
    bound = f"{sign} {claim.limit:g}{claim.unit}"
    shown = cells[1]
    if claim.beside is not None:
        peer = cells[claim.beside]
        limit += _number(peer, claim.place)
        bound = f"{sign} the peer's {'+' if claim.limit >= 0 else '-'} {abs(claim.limit):g}{claim.unit}"
        shown = f"{shown}, peer {peer}"
    met = value >= limit if claim.at_least else value <= limit
    return Figure(": ".join(claim.row), claim.text, bound, shown, met, rows, seconds)


def _number(cell: str, place: int) -> float:
    """A number of a cell.

    Raises:
        ValueError: there are not so many numbers in it.
    """
    numbers = _NUMBER.findall(cell)
    if len(numbers) <= place:
        raise ValueError(f"there are {len(numbers)} numbers in '{cell}', and number {place + 1} is asked for")
    return float(numbers[place].replace(",", ""))
