"""What commands print: JSON lines or tables on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Record = Mapping[str, Any]

#: Columns of a pipe or a file: enough for every row to be one line.
UNLIMITED = 2**20
#: Fields that are copied: never folded or cut, however narrow the terminal.
IDS = frozenset({"id"})
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
    rows = [[_cell(record.get(field)) for field in columns] for record in records]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, (field, heading) in enumerate(columns.items()):
        if field in IDS:
            longest = max((len(row[index]) for row in rows), default=None)
            table.add_column(heading, no_wrap=True, min_width=longest)
        else:
            table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console().print(table if rows else "none", crop=False)


def print_record(record: Record, *, as_json: bool) -> None:
    """Prints one thing: a JSON line, or its fields below each other."""
    if as_json:
        print_json(record)
        return
    width = max(map(len, record))
    for field, value in record.items():
        console().print(f"[bold]{escape(f'{field:<{width}}')}[/bold] {escape(_cell(value))}", soft_wrap=True)


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
