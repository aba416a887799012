"""What commands print: JSON lines or tables on stdout, everything else on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Record = Mapping[str, Any]


def console() -> Console:
    """Where tables go."""
    return Console(highlight=False)


def error_console() -> Console:
    """Where progress and complaints go."""
    return Console(stderr=True, highlight=False)


def complain(message: str) -> None:
    """One line on stderr that says why the command ends."""
    warn(f"error: {message}", error_console())


def warn(message: str, to: Console) -> None:
    """One line, however long, on stderr."""
    to.print(" ".join(message.split()), style="red", markup=False, soft_wrap=True)


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
    for heading in columns.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table if rows else "none")


def print_record(record: Record, *, as_json: bool) -> None:
    """Prints one thing: a JSON line, or its fields below each other."""
    if as_json:
        print_json(record)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for field, value in record.items():
        table.add_row(escape(field), _cell(value))
    console().print(table)


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case float():
            return f"{value:.3f}"
        case list():
            return escape(", ".join(str(each) for each in value))
        case dict():
            return escape(", ".join(f"{key} {each}" for key, each in value.items()))
    return escape(str(value))
