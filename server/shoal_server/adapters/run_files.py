"""Run files as Parquet (https://parquet.apache.org), so that other programs can read them too."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import numpy as np
import portalocker
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shoal_server.application.ports import RunAssignments
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.correction import Moves
from shoal_server.domain.errors import CorrectionNotFound, FolderInUse, RunNotFound, StoreIncompatible, StoreUnavailable

T = TypeVar("T")

_REDUCED_DIMENSIONS = b"shoal.reduced_dimensions"

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
    ]
)

_MOVES_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("before", pa.int64()),
        pa.field("after", pa.int64()),
    ]
)


class ParquetRunFiles:
    """A ``RunFiles`` in a folder.

    All are compressed with Zstandard, image_id is a string, a UUID, and null stands for none. A run is
    ``<collection>/<run>.parquet`` with image_id, cluster_id (int64), strength, x and y (float32), reduced (list of
    float32), placed (bool), last_id, dissolved_id, place_id and moment_id (int64). The moves of a correction are
    ``<collection>/<correction>.moves.parquet`` with image_id, before and after (int64). Temporary files are in
    ``.scratch``.
    """

    def __init__(self, folder: Path) -> None:
        """Opens or makes the folder and removes what a crash left in ``.scratch``.

        Args:
            folder: belongs to this object alone until it is closed.

        Raises:
            FolderInUse: another server has it.
        """
        self._folder = folder
        self._scratch = folder / ".scratch"
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / ".lock").open("a+b")
        try:
            portalocker.lock(self._lock, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
        except portalocker.LockException as error:
            self._lock.close()
            raise FolderInUse(str(folder), "") from error
        _remove(self._scratch)
        self._scratch.mkdir()

    def close(self) -> None:
        """Lets go of the folder."""
        self._lock.close()

    async def write(self, collection: str, run: str, assignments: RunAssignments) -> None:
        """Writes a run's file, whole or not at all, durably; one that is there is replaced."""
        path = self._path(collection, run)
        await self._in_thread(lambda: self._write(path, _to_table(assignments)))

    async def read(self, collection: str, run: str) -> RunAssignments:
        """Reads a run's file; what a file of an older version does not have is as if nobody had corrected anything.

        Raises:
            RunNotFound: there is no such file.
            StoreIncompatible: it is damaged.
        """
        try:
            return await self._in_thread(lambda: _read(self._path(collection, run), _from_table))
        except FileNotFoundError as error:
            raise RunNotFound(collection, run) from error

    async def delete(self, collection: str, run: str) -> None:
        """Removes a run's file; one that is not there is passed over."""
        await self._in_thread(lambda: _delete(self._path(collection, run)))

    async def write_moves(self, collection: str, correction: str, moves: Moves) -> None:
        """Writes which images a correction put where, whole or not at all, durably."""
        path = self._path(collection, f"{correction}.moves")
        await self._in_thread(lambda: self._write(path, _moves_to_table(moves)))

    async def read_moves(self, collection: str, correction: str) -> Moves:
        """Raises:
        CorrectionNotFound: there is no such file.
        StoreIncompatible: it is damaged.
        """
        path = self._path(collection, f"{correction}.moves")
        try:
            return await self._in_thread(lambda: _read(path, _moves_from_table))
        except FileNotFoundError as error:
            raise CorrectionNotFound(collection, correction) from error

    async def delete_collection(self, collection: str) -> None:
        """Removes all files of a collection, if there are any."""
        await self._in_thread(lambda: _remove(self._folder / collection))

    def scratch(self) -> Path:
        """A new folder for temporary files of a run; the caller removes it."""
        return Path(tempfile.mkdtemp(dir=self._scratch))

    def _path(self, collection: str, name: str) -> Path:
        return self._folder / collection / f"{name}.parquet"

    def _write(self, path: Path, table: pa.Table) -> None:
        # A new name each time: a run's file may be written again while it is being written. Not mkstemp: what that
        # makes can be read by nobody else, and these files are for other programs too.
        partial = self._scratch / f"{uuid4().hex}.parquet"
        try:
            with partial.open("wb") as file:
                pq.write_table(table, file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            path.parent.mkdir(exist_ok=True)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _sync(path.parent)
        _sync(self._folder)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreUnavailable(str(self._folder), str(error)) from error


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _delete(path: Path) -> None:
    if path.exists():
        path.unlink()
        _sync(path.parent)


def _sync(folder: Path) -> None:
    """Makes what was put into a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, decode: Callable[[pa.Table], T]) -> T:
    # Read and decoded apart: a fault of the disk passes, a damaged file stays one, and Arrow says OSError of both.
    content = path.read_bytes()
    try:
        return decode(pq.read_table(pa.BufferReader(content)).combine_chunks())
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise StoreIncompatible(
            f"{path} is damaged ({error}); restore it from a backup, or remove it to go on without what it says"
        ) from error


def _to_table(assignments: RunAssignments) -> pa.Table:
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
        },
        # Rows without a value do not tell how long one would be.
        schema=_SCHEMA.with_metadata({_REDUCED_DIMENSIONS: str(assignments.reduced.shape[1])}),
    )


def _from_table(table: pa.Table) -> RunAssignments:
    cluster_ids = _optional_ids(table, "cluster_id")
    n = len(cluster_ids)
    # The first version had no more than the first five columns; the others came together.
    complete = "reduced" in table.column_names
    return RunAssignments(
        ids=_ids(table),
        cluster_ids=cluster_ids,
        strengths=_numbers(table, "strength"),
        coordinates=np.stack([_numbers(table, "x"), _numbers(table, "y")], axis=1),
        reduced=_reduced(table) if complete else np.empty((n, 0), dtype=np.float32),
        placed=_column(table, "placed").to_numpy(zero_copy_only=False) if complete else np.zeros(n, dtype=np.bool_),
        last_ids=_optional_ids(table, "last_id") if complete else cluster_ids.copy(),
        dissolved_ids=_optional_ids(table, "dissolved_id") if complete else np.full(n, NOISE, dtype=np.int64),
        place_ids=_optional_ids(table, "place_id") if complete else np.full(n, NOISE, dtype=np.int64),
        moment_ids=_optional_ids(table, "moment_id") if complete else np.full(n, NOISE, dtype=np.int64),
    )


def _moves_to_table(moves: Moves) -> pa.Table:
    return pa.table(
        {
            "image_id": _id_column(moves.ids),
            "before": _optional_id_column(moves.before),
            "after": _optional_id_column(moves.after),
        },
        schema=_MOVES_SCHEMA,
    )


def _moves_from_table(table: pa.Table) -> Moves:
    return Moves(ids=_ids(table), before=_optional_ids(table, "before"), after=_optional_ids(table, "after"))


def _id_column(ids: list[UUID]) -> pa.Array:
    return pa.array([str(image) for image in ids], pa.string())


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
    return [UUID(image) for image in _column(table, "image_id").to_pylist()]


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
