"""Run files as Parquet (https://parquet.apache.org), so that other programs can read them too."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import numpy as np
import portalocker
import pyarrow as pa
import pyarrow.parquet as pq

from shoal_server.application.ports import RunAssignments
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.errors import FolderInUse, RunNotFound, StoreUnavailable

T = TypeVar("T")

_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("cluster_id", pa.int64()),
        pa.field("strength", pa.float32(), nullable=False),
        pa.field("x", pa.float32(), nullable=False),
        pa.field("y", pa.float32(), nullable=False),
    ]
)


class ParquetRunFiles:
    """A ``RunFiles`` in a folder.

    A run is ``<collection>/<run>.parquet`` with the columns image_id (string, a UUID), cluster_id (int64, null for
    none), strength, x and y (float32), compressed with Zstandard. Temporary files are in ``.scratch``.
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
        """Writes a run's file, whole or not at all, durably."""
        partial = self._scratch / f"{collection}-{run}.parquet"
        await self._in_thread(lambda: _write(self._path(collection, run), partial, assignments))

    async def read(self, collection: str, run: str) -> RunAssignments:
        """Raises:
        RunNotFound: there is no such file.
        """
        try:
            return await self._in_thread(lambda: _read(self._path(collection, run)))
        except FileNotFoundError as error:
            raise RunNotFound(collection, run) from error

    async def delete_collection(self, collection: str) -> None:
        """Removes all files of a collection, if there are any."""
        await self._in_thread(lambda: _remove(self._folder / collection))

    def scratch(self) -> Path:
        """A new folder for temporary files of a run; the caller removes it."""
        return Path(tempfile.mkdtemp(dir=self._scratch))

    def _path(self, collection: str, run: str) -> Path:
        return self._folder / collection / f"{run}.parquet"

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


def _write(path: Path, partial: Path, assignments: RunAssignments) -> None:
    table = pa.table(
        {
            "image_id": pa.array([str(image) for image in assignments.ids], pa.string()),
            "cluster_id": pa.array(assignments.cluster_ids, pa.int64(), mask=assignments.cluster_ids == NOISE),
            "strength": pa.array(assignments.strengths, pa.float32()),
            "x": pa.array(assignments.coordinates[:, 0], pa.float32()),
            "y": pa.array(assignments.coordinates[:, 1], pa.float32()),
        },
        schema=_SCHEMA,
    )
    with partial.open("wb") as file:
        pq.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    collection = path.parent
    collection.mkdir(exist_ok=True)
    partial.replace(path)
    _sync(collection)
    _sync(collection.parent)


def _sync(folder: Path) -> None:
    """Makes what was put into a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> RunAssignments:
    with path.open("rb") as file:
        table = pq.read_table(file, schema=_SCHEMA)
    column = {name: table.column(name).combine_chunks() for name in table.column_names}
    return RunAssignments(
        ids=[UUID(image) for image in column["image_id"].to_pylist()],
        cluster_ids=column["cluster_id"].fill_null(NOISE).to_numpy(),
        strengths=column["strength"].to_numpy(),
        coordinates=np.stack([column["x"].to_numpy(), column["y"].to_numpy()], axis=1),
    )
