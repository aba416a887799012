"""What commands print: JSON lines or tables on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Record = Mapping[str, Any]

#: Columns of a pipe or a file: enough for every row to be one line.
UNLIMITED = 2**20
#: Fields that are copied: never folded or cut, however narrow the terminal.
IDS = frozenset({"id"})
#: Blanks between two columns, as rich's tables have them.
_GAP = 2
#: Columns that a folded one has at least: in fewer, a path cannot be read.
_LEGIBLE = 24
#: Columns of a list that still stands in one line.
_LONG = 60
#: Unicode's categories of control characters, halves of characters, and separators of lines and paragraphs.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
#: Characters that turn the direction of writing, and so make one name look like another.
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def console() -> Console:
    """Where tables go; what is no terminal has no width, so that nothing is folded there."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else UNLIMITED)


def error_console() -> Console:
    """Where progress and complaints go."""
    return Console(stderr=True, highlight=False)


def complain(message: str) -> None:
    """One line on stderr that says why the command ends."""
    warn(f"error: {message}", error_console())


def warn(message: str, to: Console) -> None:
    """One line, however long, on stderr."""
    to.print(printable(" ".join(message.split())), style="red", markup=False, soft_wrap=True)


def printable(text: str) -> str:
    """The text with everything escaped that would command a terminal: a file name may hold any character."""
    return "".join(
        each.encode("unicode_escape").decode() if unicodedata.category(each) in _UNPRINTABLE or each in _TURNS else each
        for each in text
    )


def print_json(record: Record) -> None:
    """One line of UTF-8, whatever the terminal speaks; a file name that is no text is escaped."""
    typer.echo(json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace"))


def print_records(records: Iterable[Record], columns: Mapping[str, str], *, as_json: bool) -> None:
    """Prints JSON lines as they come, or a table when all are there.

    Args:
        records: what to print.
        columns: for the table: a record's field and the column's heading.
        as_json: which of the two.
    """
    if as_json:
        for record in records:
            print_json(record)
        return
    rows = [{field: _cell(record.get(field)) for field in columns} for record in records]
    to = console()
    if not rows:
        to.print("none")
        return
    widths = {field: max(map(cell_len, (heading, *(row[field] for row in rows)))) for field, heading in columns.items()}
    widest = max(widths, key=lambda field: (field not in IDS, widths[field]))
    room = to.width - sum(widths.values()) - _GAP * (len(widths) - 1) + widths[widest]
    if room < min(widths[widest], _LEGIBLE):
        _print_stacked(rows, columns, widths, to)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for field, heading in columns.items():
        if field == widest:
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, no_wrap=True, min_width=widths[field])
    for row in rows:
        table.add_row(*map(escape, row.values()))
    to.print(table, crop=False)


def _print_stacked(
    rows: Sequence[Mapping[str, str]], columns: Mapping[str, str], widths: Mapping[str, int], to: Console
) -> None:
    """A table that is too wide: of each row the ids and what fits beside them, and below it the rest."""
    left = to.width - sum(widths[field] + _GAP for field in columns if field in IDS)
    beside = []
    for field in columns:
        if field in IDS:
            beside.append(field)
        elif widths[field] <= left:
            beside.append(field)
            left -= widths[field] + _GAP
    below = [field for field in columns if field not in beside]
    gap = " " * _GAP

    def print_row(row: Mapping[str, str], style: str | None) -> None:
        padded = {field: row[field] + " " * (widths[field] - cell_len(row[field])) for field in columns}
        first, second = (gap.join(padded[field] for field in fields) for fields in (beside, below))
        # A terminal folds a long line by itself, and what is copied from there has no line break in it.
        for line in filter(str.strip, (first, gap + second)):
            to.print(line.rstrip(), style=style, markup=False, soft_wrap=True)

    for row, style in ((columns, "bold"), *((each, None) for each in rows)):
        print_row(row, style)


def print_record(record: Record, *, as_json: bool) -> None:
    """Prints one thing: a JSON line, or its fields below each other."""
    if as_json:
        print_json(record)
        return
    width = max(map(len, record))
    for field, value in record.items():
        first, *more = _lines(value)
        console().print(f"[bold]{escape(f'{field:<{width}}')}[/bold] {escape(first)}", soft_wrap=True)
        for line in more:
            console().print(f"{'':<{width}} {line}", markup=False, soft_wrap=True)


def _lines(value: object) -> list[str]:
    """A value; several things of which each may be long, as URIs are, below one another."""
    if isinstance(value, list) and cell_len(_cell(value)) > _LONG:
        return [_cell(each) for each in value]
    return [_whole(value)]


def _whole(value: object) -> str:
    """A value that has a line of its own: not rounded to what fits a column, for 1/4000 s is not 0."""
    if value in ([], {}):
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else _cell(value)


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case float():
            return f"{value:.3f}"
        case list():
            return printable(", ".join(str(each) for each in value))
        case dict():
            return printable(", ".join(f"{key} {each}" for key, each in value.items()))
    return printable(str(value))
