"""Tables of images with what is said of them: CSV or Parquet files.

A column ``path`` (relative to the table's folder) or ``uri``, or both, says which image; ``tags`` is text, the tags
separated by ``;`` or ``|``, or in Parquet a list of texts. Every other column is an attribute of its own name; an empty
field is none.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from shoal_client.bulk.values import attribute_keys, tags_in
from shoal_client.errors import InvalidArgument, MissingExtra, UnreadableFile
from shoal_client.filters import Attribute
from shoal_client.filters.conditions import typed
from shoal_client.sources import BadSource, NewImage

PATH, URI, TAGS = "path", "uri", "tags"
PARQUET_SUFFIXES = frozenset({".parquet", ".pq"})
#: Rows of a Parquet file that are in memory at once.
ROWS_AT_ONCE = 1000
_NOT_UTF8 = "it is not UTF-8; save the table as UTF-8"
_DELIMITERS = (",", ";", "\t")


def read_manifest(manifest: Path) -> Iterator[NewImage | BadSource]:
    """The images of a table, row by row; a bad row takes its place alone.

    Raises:
        InvalidArgument: the table as a whole cannot be used.
        MissingExtra: it is a Parquet file, and pyarrow is not installed.
    """
    rows = _parquet_rows(manifest) if manifest.suffix.lower() in PARQUET_SUFFIXES else _csv_rows(manifest)
    for label, row in rows:
        if isinstance(row, str):
            yield BadSource(label, InvalidArgument(f"{label}: {row}", reason="INVALID_MANIFEST"))
        else:
            yield _image(manifest, label, row)


def count_rows(manifest: Path) -> int:
    """About how many images a table names: for a progress bar, so quickly."""
    if manifest.suffix.lower() in PARQUET_SUFFIXES:
        return int(_parquet(manifest).metadata.num_rows)
    return sum(1 for _ in _csv_rows(manifest))


def _image(manifest: Path, label: str, row: Mapping[str, Attribute | Sequence[str]]) -> NewImage | BadSource:
    said = dict(row)
    path, uri, tags = (said.pop(name, "") for name in (PATH, URI, TAGS))
    own_tags = tags_in(tags) if isinstance(tags, str) else tags
    attributes = {key: value for key, value in said.items() if isinstance(value, str | int | float)}
    if not isinstance(path, str) or not isinstance(uri, str) or not isinstance(own_tags, Sequence):
        problem = f"{label}: path, uri and tags must be text"
        return BadSource(label, InvalidArgument(problem, reason="INVALID_MANIFEST"))
    if path:
        return NewImage(manifest.parent / path, uri, own_tags, attributes)
    if uri:
        return NewImage(_local_path(uri), uri, own_tags, attributes)
    return BadSource(
        label, InvalidArgument(f"{label}: neither path nor uri says which image", reason="INVALID_MANIFEST")
    )


def _local_path(uri: str) -> Path | None:
    """The file that a URI means on this machine; None if it means none."""
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or parts.fragment:
        return None
    return Path(unquote(parts.path))


def _csv_rows(manifest: Path) -> Iterator[tuple[str, Mapping[str, Attribute] | str]]:
    """Each row with its label; a text in its place is what is wrong with it."""
    try:
        # Names of files need not be text.
        with manifest.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            first = file.readline()
            file.seek(0)
            if not _is_utf8(first) or "\0" in first:
                raise InvalidArgument(f"{manifest}, line 1: {_NOT_UTF8}", reason="INVALID_MANIFEST")
            reader = csv.reader(file, delimiter=max(_DELIMITERS, key=first.count))
            keys = _keys(manifest, next(_lines(reader), []))
            for row in _lines(reader):
                label = f"{manifest}, line {reader.line_num}"
                if isinstance(row, str):
                    yield label, row
                elif len(row) != len(keys):
                    yield label, f"it has {len(row)} fields, and the first line {len(keys)}"
                elif not all(map(_is_utf8, row)) and not _only_a_files_name(manifest, keys, row):
                    yield label, _NOT_UTF8
                else:
                    # Paths and tags are text, whatever they look like.
                    fields = zip(keys, (field.strip() for field in row), strict=True)
                    yield label, {key: v if key in (PATH, URI, TAGS) else typed(v) for key, v in fields if v}
    except OSError as error:
        raise UnreadableFile(str(manifest), f"{manifest}: {error.strerror}") from error


def _is_utf8(text: str) -> bool:
    """Whether nothing had to stand for bytes that are no UTF-8."""
    return not any("\udc80" <= each <= "\udcff" for each in text)


def _only_a_files_name(manifest: Path, keys: Sequence[str], row: Sequence[str]) -> bool:
    """Whether the bytes that are no UTF-8 are those of a file's name, and it is there."""
    wrong = {key: field for key, field in zip(keys, row, strict=True) if not _is_utf8(field)}
    return wrong.keys() == {PATH} and (manifest.parent / wrong[PATH].strip()).exists()


def _lines(reader: Any) -> Iterator[list[str] | str]:
    """The lines that are not empty; what is wrong in place of one that is no CSV."""
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            long = f"a field is longer than {csv.field_size_limit():,} characters; is a quote not closed?"
            yield long if "field limit" in str(error) else str(error)
        else:
            if row:
                yield row


def _parquet(manifest: Path) -> Any:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MissingExtra(
            "Parquet files need pyarrow: pip install 'shoal[export]'; or give the manifest as CSV",
            reason="MISSING_EXTRA",
            metadata={"extra": "export", "package": "pyarrow"},
        ) from error
    try:
        return ParquetFile(manifest)
    except (OSError, ArrowException) as error:
        raise UnreadableFile(str(manifest), f"{manifest}: {error}") from error


def _parquet_rows(manifest: Path) -> Iterator[tuple[str, Mapping[str, Attribute | Sequence[str]] | str]]:
    table = _parquet(manifest)
    keys = _keys(manifest, list(table.schema_arrow.names))
    number = 0
    for batch in table.iter_batches(batch_size=ROWS_AT_ONCE):
        for row in batch.to_pylist():
            number += 1
            label = f"{manifest}, row {number}"
            try:
                values = ((key, _value(key, value)) for key, value in zip(keys, row.values(), strict=True))
                yield label, {key: value for key, value in values if value is not None and value != ""}
            except TypeError as error:
                yield label, str(error)


def _value(key: str, value: object) -> Attribute | Sequence[str] | None:
    """A field of a Parquet file; None for none.

    Raises:
        TypeError: it is neither a text, a number, a truth value nor a time; ``tags`` may be a list.
    """
    match value:
        case None | bool() | int():
            return value
        case float() | Decimal():
            return float(value) if math.isfinite(value) else None
        case str():
            return value.strip()
        case datetime() | date():
            return value.isoformat()
        case list() if key == TAGS and all(isinstance(each, str) for each in value):
            return tuple(value)
    raise TypeError(f"column {key!r} holds a {type(value).__name__}; a text, a number, true or false can stand there")


def _keys(manifest: Path, headings: Sequence[str] | str) -> list[str]:
    """The key of each column.

    Raises:
        InvalidArgument: there is no column that says which image, or one cannot be a key.
    """
    if not headings or isinstance(headings, str):
        raise InvalidArgument(
            f"{manifest}: there is no first line with the columns' names: path or uri, tags, and attributes",
            reason="INVALID_MANIFEST",
        )
    keys = attribute_keys(headings, str(manifest))
    if PATH not in keys and URI not in keys:
        raise InvalidArgument(
            f"{manifest}: no column is called path or uri; there are {', '.join(map(repr, headings))}",
            reason="INVALID_MANIFEST",
        )
    return keys
