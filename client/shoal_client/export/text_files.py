"""Rows as lines of text, in UTF-8."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from shoal_client.export.rows import COLUMNS


def json_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """One JSON object a line; what is not known is null."""
    for row in rows:
        line = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
        yield json.dumps(line, ensure_ascii=False).encode() + b"\n"


def csv_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """CSV as RFC 4180 has it, with a heading; what is not known is empty, tags are a JSON list."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    yield _taken(buffer)
    for row in rows:
        writer.writerow([_field(row[name]) for name in COLUMNS])
        yield _taken(buffer)


#: The lines of each format that is text.
TEXT_FORMATS: Mapping[str, Callable[[Iterable[Mapping[str, Any]]], Iterator[bytes]]] = {
    "csv": csv_lines,
    "jsonl": json_lines,
}


def _field(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case list():
            return json.dumps(value, ensure_ascii=False) if value else ""
    return value


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()
