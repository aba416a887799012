"""Images with their clusters as flat rows, in the formats that people take away."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, BinaryIO

from shoal_server.application.history import Exported
from shoal_server.domain.cluster import NOISE

#: The columns, in their order, with their types in Parquet; they are those of ``shoal export``.
COLUMNS: dict[str, str] = {
    "image_id": "string",
    "uri": "string",
    "cluster_id": "int64",
    "cluster_name": "string",
    "strength": "float64",
    "x": "float64",
    "y": "float64",
    "sha256": "string",
    "tags": "strings",
    "captured_at": "string",
    "lat": "float64",
    "lon": "float64",
    "place_id": "int64",
    "moment_id": "int64",
    "camera_make": "string",
    "camera_model": "string",
    "lens": "string",
    "iso": "int32",
    "f_number": "float64",
    "exposure_s": "float64",
    "focal_length_mm": "float64",
    "orientation": "int32",
    "width": "int32",
    "height": "int32",
    "format": "string",
    "byte_size": "int64",
    "ingested_at": "time",
}

#: Rows in a group of a Parquet file: enough for good compression, few enough to hold in memory.
GROUP_ROWS = 20_000
#: Bytes of a file that are sent at once, and of a Parquet file that are kept in memory.
_PART, _IN_MEMORY = 256 * 1024, 16 * 1024 * 1024

Stretches = AsyncIterator[list[Exported]]


class Format(Enum):
    """What a table is written as."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        """As HTTP has it."""
        return _MEDIA_TYPES[self]

    def written(self, stretches: Stretches) -> AsyncIterator[bytes]:
        """The table in parts."""
        return _WRITERS[self](stretches)


def row(exported: Exported) -> dict[str, Any]:
    """An image with its cluster and its metadata, by column; None: not known, or in no cluster."""
    image, metadata = exported.image, exported.image.metadata
    location = metadata.location
    x, y = exported.coordinates or (None, None)
    return {
        "image_id": str(image.id),
        "uri": image.uri,
        "cluster_id": None if exported.cluster_id == NOISE else exported.cluster_id,
        "cluster_name": exported.cluster_name,
        "strength": exported.strength,
        "x": x,
        "y": y,
        "sha256": image.sha256,
        "tags": list(image.tags),
        "captured_at": metadata.captured_at,
        "lat": None if location is None else location.lat,
        "lon": None if location is None else location.lon,
        "place_id": image.place_id,
        "moment_id": image.moment_id,
        "camera_make": metadata.camera_make,
        "camera_model": metadata.camera_model,
        "lens": metadata.lens,
        "iso": metadata.iso,
        "f_number": metadata.f_number,
        "exposure_s": metadata.exposure_s,
        "focal_length_mm": metadata.focal_length_mm,
        "orientation": metadata.orientation,
        "width": metadata.width,
        "height": metadata.height,
        "format": metadata.format,
        "byte_size": metadata.byte_size,
        "ingested_at": image.ingested_at,
    }


async def _csv(stretches: Stretches) -> AsyncIterator[bytes]:
    """CSV as RFC 4180 has it, with a heading; what is not known is empty, tags are a JSON list."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    async for stretch in stretches:
        writer.writerows([_field(value) for value in row(each).values()] for each in stretch)
        yield _taken(buffer)
    yield _taken(buffer)


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
    # The name of a file that is no text has halves of characters, which UTF-8 has not.
    return text.encode(errors="replace")


async def _json(stretches: Stretches) -> AsyncIterator[bytes]:
    """One array; what is not known is null."""
    separator = "[\n"
    async for stretch in stretches:
        lines = [json.dumps({name: _plain(value) for name, value in row(each).items()}) for each in stretch]
        if lines:
            yield (separator + ",\n".join(lines)).encode()
            separator = ",\n"
    yield b"[]\n" if separator == "[\n" else b"\n]\n"


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


async def _parquet(stretches: Stretches) -> AsyncIterator[bytes]:
    """A Parquet file; its end says where everything is, so that it is made before it is sent."""
    # Imported here: nobody else needs it, and it takes its time.
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    special = {"strings": pa.list_(pa.string()), "time": pa.timestamp("us", tz="UTC")}
    schema = pa.schema([(name, special.get(kind) or getattr(pa, kind)()) for name, kind in COLUMNS.items()])

    def write(writer: Any, rows: Sequence[Exported]) -> None:
        writer.write_table(pa.Table.from_pylist([row(each) for each in rows], schema))

    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        writer = await asyncio.to_thread(ParquetWriter, file, schema, compression="zstd")
        group: list[Exported] = []
        async for stretch in stretches:
            group += stretch
            if len(group) >= GROUP_ROWS:
                await asyncio.to_thread(write, writer, group)
                group = []
        if group:
            await asyncio.to_thread(write, writer, group)
        await asyncio.to_thread(writer.close)
        file.seek(0)
        while part := await asyncio.to_thread(_read, file):
            yield part


def _read(file: BinaryIO | Any) -> bytes:
    part: bytes = file.read(_PART)
    return part


_MEDIA_TYPES = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.JSON: "application/json",
    Format.PARQUET: "application/vnd.apache.parquet",
}
_WRITERS: dict[Format, Callable[[Stretches], AsyncIterator[bytes]]] = {
    Format.CSV: _csv,
    Format.JSON: _json,
    Format.PARQUET: _parquet,
}
