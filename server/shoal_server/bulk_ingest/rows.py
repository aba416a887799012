"""Files and what became of them as Arrow tables, in which Ray hands them from process to process.

A list is ``number`` (int64), ``location`` (binary, for a path need not be Unicode) and ``said`` (JSON: uri, tags,
attributes). Results have ``fate`` and ``error`` (JSON: reason, message, metadata; empty where there is none) as well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from shoal_server.application.bulk_ingest import ListedFile, Told

LISTED = pa.schema([("number", pa.int64()), ("location", pa.binary()), ("said", pa.string())])
TOLD = pa.schema([*LISTED, ("fate", pa.string()), ("error", pa.string())])


def listed(files: Sequence[ListedFile]) -> pa.Table:
    """A table of files."""
    return pa.Table.from_pylist([_row(file) for file in files], LISTED)


def files_in(table: pa.Table) -> Iterator[ListedFile]:
    """The files of a table."""
    for row in table.to_pylist():
        yield _file(row)


def told(results: Iterable[Told]) -> pa.Table:
    """A table of results."""
    rows = [_row(each.file) | {"fate": each.fate.value, "error": _error(each)} for each in results]
    return pa.Table.from_pylist(rows, TOLD)


def records_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The results of a table, as plain values for the client's half.

    Each has ``location``, ``uri``, ``tags``, ``attributes``, ``fate``, and ``reason``, ``message`` and ``metadata``
    where it has an error.
    """
    for row in table.to_pylist():
        file = _file(row)
        yield {
            "location": file.location,
            "uri": file.uri,
            "tags": list(file.tags),
            "attributes": dict(file.attributes),
            "fate": row["fate"],
            **(json.loads(row["error"]) if row["error"] else {}),
        }


def _row(file: ListedFile) -> dict[str, Any]:
    said = {"uri": file.uri, "tags": list(file.tags), "attributes": dict(file.attributes)}
    # JSON's escapes keep what is no valid Unicode.
    return {"number": file.number, "location": os.fsencode(file.location), "said": json.dumps(said)}


def _file(row: dict[str, Any]) -> ListedFile:
    said = json.loads(row["said"])
    return ListedFile(row["number"], os.fsdecode(row["location"]), said["uri"], tuple(said["tags"]), said["attributes"])


def _error(told: Told) -> str:
    if told.error is None:
        return ""
    return json.dumps({"reason": told.error.reason, "message": told.error.message, "metadata": told.error.metadata})
