"""Runs and corrections as Arrow tables, with which Parquet files are made."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoal_server.application.ports import RunAssignments
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.correction import Moves

#: Rows that are written, or turned into objects, at once: what that needs beside the table is bounded.
ROWS_AT_ONCE = 65_536

_REDUCED_DIMENSIONS = b"shoal.reduced_dimensions"
_GONE = b"shoal.gone"

_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("cluster_id", pa.int64()),
        pa.field("strength", pa.float32(), nullable=False),
        pa.field("x", pa.float32()),
        pa.field("y", pa.float32()),
        pa.field("reduced", pa.list_(pa.float32())),
        pa.field("placed", pa.bool_(), nullable=False),
        pa.field("last_id", pa.int64()),
        pa.field("dissolved_id", pa.int64()),
        pa.field("place_id", pa.int64()),
        pa.field("moment_id", pa.int64()),
        pa.field("fingerprint", pa.float32()),
    ]
)

_MOVES_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("before", pa.int64()),
        pa.field("after", pa.int64()),
    ]
)


def to_table(assignments: RunAssignments) -> pa.Table:
    """A run's outcome, a row for each image."""
    return pa.table(
        {
            "image_id": _id_column(assignments.ids),
            "cluster_id": _optional_id_column(assignments.cluster_ids),
            "strength": pa.array(assignments.strengths, pa.float32()),
            # from_pandas: NaN becomes null.
            "x": pa.array(assignments.coordinates[:, 0], pa.float32(), from_pandas=True),
            "y": pa.array(assignments.coordinates[:, 1], pa.float32(), from_pandas=True),
            "reduced": _reduced_column(assignments.reduced),
            "placed": pa.array(assignments.placed, pa.bool_()),
            "last_id": _optional_id_column(assignments.last_ids),
            "dissolved_id": _optional_id_column(assignments.dissolved_ids),
            "place_id": _optional_id_column(assignments.place_ids),
            "moment_id": _optional_id_column(assignments.moment_ids),
            "fingerprint": pa.array(assignments.fingerprints, pa.float32(), from_pandas=True),
        },
        # Rows without a value do not tell how long one would be.
        schema=_SCHEMA.with_metadata(
            {_REDUCED_DIMENSIONS: str(assignments.reduced.shape[1]), _GONE: str(assignments.gone)}
        ),
    )


def from_table(table: pa.Table) -> RunAssignments:
    """What a run's table says; what one of an older version does not have is as if nobody had corrected anything."""
    cluster_ids = _optional_ids(table, "cluster_id")
    n = len(cluster_ids)
    # The first version had no more than the first five columns; the next six came together, the last one after them.
    complete = "reduced" in table.column_names
    noted = "fingerprint" in table.column_names
    return RunAssignments(
        ids=_ids(table),
        cluster_ids=cluster_ids,
        strengths=_numbers(table, "strength"),
        coordinates=np.stack([_numbers(table, "x"), _numbers(table, "y")], axis=1),
        reduced=_reduced(table) if complete else np.empty((n, 0), dtype=np.float32),
        fingerprints=_numbers(table, "fingerprint") if noted else np.full(n, np.nan, dtype=np.float32),
        placed=_column(table, "placed").to_numpy(zero_copy_only=False) if complete else np.zeros(n, dtype=np.bool_),
        last_ids=_optional_ids(table, "last_id") if complete else cluster_ids.copy(),
        dissolved_ids=_optional_ids(table, "dissolved_id") if complete else np.full(n, NOISE, dtype=np.int64),
        place_ids=_optional_ids(table, "place_id") if complete else np.full(n, NOISE, dtype=np.int64),
        moment_ids=_optional_ids(table, "moment_id") if complete else np.full(n, NOISE, dtype=np.int64),
        gone=int((table.schema.metadata or {}).get(_GONE, 0)),
    )


def moves_to_table(moves: Moves) -> pa.Table:
    """What a correction moved, a row for each image."""
    return pa.table(
        {
            "image_id": _id_column(moves.ids),
            "before": _optional_id_column(moves.before),
            "after": _optional_id_column(moves.after),
        },
        schema=_MOVES_SCHEMA,
    )


def moves_from_table(table: pa.Table) -> Moves:
    """What the table of a correction's moves says."""
    return Moves(ids=_ids(table), before=_optional_ids(table, "before"), after=_optional_ids(table, "after"))


def _id_column(ids: list[UUID]) -> pa.ChunkedArray:
    texts = [
        pa.array([str(image) for image in ids[start : start + ROWS_AT_ONCE]], pa.string())
        for start in range(0, len(ids), ROWS_AT_ONCE)
    ]
    return pa.chunked_array(texts, pa.string())


def _optional_id_column(values: NDArray[np.int64]) -> pa.Array:
    return pa.array(values, pa.int64(), mask=values == NOISE)


def _reduced_column(reduced: NDArray[np.float32]) -> pa.Array:
    """Lists of float32, null for rows of NaN."""
    unknown = np.isnan(reduced).all(axis=1)
    offsets = np.concatenate([[0], np.cumsum(np.where(unknown, 0, reduced.shape[1]))])
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(reduced[~unknown].ravel(), pa.float32()), mask=pa.array(unknown)
    )


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _ids(table: pa.Table) -> list[UUID]:
    column = _column(table, "image_id")
    return [
        UUID(image)
        for start in range(0, len(column), ROWS_AT_ONCE)
        for image in column.slice(start, ROWS_AT_ONCE).to_pylist()
    ]


def _optional_ids(table: pa.Table, name: str) -> NDArray[np.int64]:
    return np.array(_column(table, name).fill_null(NOISE).to_numpy(), dtype=np.int64)


def _numbers(table: pa.Table, name: str) -> NDArray[np.float32]:
    return np.array(_column(table, name).fill_null(np.nan).to_numpy(), dtype=np.float32)


def _reduced(table: pa.Table) -> NDArray[np.float32]:
    column = _column(table, "reduced")
    reduced = np.full((len(column), int(table.schema.metadata[_REDUCED_DIMENSIONS])), np.nan, dtype=np.float32)
    known = column.is_valid().to_numpy(zero_copy_only=False)
    reduced[known] = column.flatten().to_numpy().reshape(np.count_nonzero(known), reduced.shape[1])
    return reduced
