"""Rows as a Parquet file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from shoal_client.errors import MissingExtra
from shoal_client.export.rows import COLUMNS

#: Rows in a row group: enough for good compression, few enough to hold in memory.
GROUP_ROWS = 20_000

_TYPES = {
    "cluster_id": "int64",
    "strength": "float64",
    "x": "float64",
    "y": "float64",
    "lat": "float64",
    "lon": "float64",
    "place_id": "int64",
    "moment_id": "int64",
    "iso": "int32",
    "f_number": "float64",
    "exposure_s": "float64",
    "focal_length_mm": "float64",
    "orientation": "int32",
    "width": "int32",
    "height": "int32",
    "byte_size": "int64",
}


def check_parquet() -> None:
    """Makes sure that Parquet files can be written.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            "Parquet files need pyarrow: pip install 'shoal[export]'; or export with --format csv or jsonl",
            reason="MISSING_EXTRA",
            metadata={"extra": "export", "package": "pyarrow"},
        ) from error


def write_parquet(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes a Parquet file; ``tags`` is a list of texts, ``ingested_at`` a time in UTC, ``captured_at`` text.

    ``captured_at`` stays RFC 3339 text because most cameras record no offset.

    Returns:
        Number of rows.

    Raises:
        MissingExtra: pyarrow is not installed.
        OSError: the file cannot be written.
    """
    check_parquet()
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    special = {"tags": pa.list_(pa.string()), "ingested_at": pa.timestamp("us", tz="UTC")}
    schema = pa.schema([(name, special.get(name) or getattr(pa, _TYPES.get(name, "string"))()) for name in COLUMNS])
    written = 0
    remaining = iter(rows)
    with ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(remaining, GROUP_ROWS)):
            writer.write_table(pa.Table.from_pylist(group, schema))
            written += len(group)
    return written
