"""Run files as Parquet (https://parquet.apache.org), so that other programs can read them too."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from shoal_server.adapters.files.folder import Folder
from shoal_server.adapters.files.place import Place
from shoal_server.adapters.files.run_tables import (
    ROWS_AT_ONCE,
    from_table,
    moves_from_table,
    moves_to_table,
    to_table,
)
from shoal_server.application.ports import RunAssignments
from shoal_server.domain.correction import Moves
from shoal_server.domain.errors import CorrectionNotFound, RunNotFound, StoreIncompatible

T = TypeVar("T")


class ParquetRunFiles:
    """A ``RunFiles`` in a place.

    All are compressed with Zstandard, image_id is a string, a UUID, and null stands for none. A run is
    ``<collection>/<run>.parquet`` with image_id, cluster_id (int64), strength, x and y (float32), reduced (list of
    float32), placed (bool), last_id, dissolved_id, place_id and moment_id (int64), and fingerprint (float32). The moves
    of a correction are ``<collection>/<correction>.moves.parquet`` with image_id, before and after (int64).
    """

    def __init__(self, place: Place, local: Folder) -> None:
        """Args:
        place: for the files.
        local: of this machine, for what is temporary; may be the same. Both belong to this object, which closes them.
        """
        self._place = place
        self._local = local

    def close(self) -> None:
        """Lets go of both places."""
        self._place.close()
        self._local.close()

    async def write(self, collection: str, run: str, assignments: RunAssignments) -> None:
        """Writes a run's file, whole or not at all, durably; one that is there is replaced.

        Raises:
            StoreFull: there is too little room on the disk.
            StoreUnavailable: the place cannot be written to.
        """
        await asyncio.to_thread(lambda: self._write(_name(collection, run), to_table(assignments)))

    async def read(self, collection: str, run: str) -> RunAssignments:
        """Reads a run's file; what a file of an older version does not have is as if nobody had corrected anything.

        Raises:
            RunNotFound: there is no such file.
            StoreIncompatible: it is damaged.
            StoreUnavailable: the place cannot be read.
        """
        found = await asyncio.to_thread(lambda: self._read(_name(collection, run), from_table))
        if found is None:
            raise RunNotFound(collection, run)
        return found

    async def delete(self, collection: str, run: str) -> None:
        """Removes a run's file; one that is not there is passed over.

        Raises:
            StoreUnavailable: the place cannot be written to.
        """
        await asyncio.to_thread(lambda: self._place.delete([_name(collection, run)]))

    async def write_moves(self, collection: str, correction: str, moves: Moves) -> None:
        """Writes which images a correction put where, whole or not at all, durably.

        Raises:
            StoreFull: there is too little room on the disk.
            StoreUnavailable: the place cannot be written to.
        """
        await asyncio.to_thread(lambda: self._write(_moves_name(collection, correction), moves_to_table(moves)))

    async def read_moves(self, collection: str, correction: str) -> Moves:
        """Raises:
        CorrectionNotFound: there is no such file.
        StoreIncompatible: it is damaged.
        StoreUnavailable: the place cannot be read.
        """
        found = await asyncio.to_thread(lambda: self._read(_moves_name(collection, correction), moves_from_table))
        if found is None:
            raise CorrectionNotFound(collection, correction)
        return found

    async def delete_collection(self, collection: str) -> None:
        """Removes all files of a collection, if there are any.

        Raises:
            StoreUnavailable: the place cannot be written to.
        """
        await asyncio.to_thread(lambda: self._place.delete_all(collection))

    def scratch(self) -> Path:
        """A new folder for temporary files of a run; the caller removes it."""
        return Path(tempfile.mkdtemp(dir=self._local.scratch))

    def _write(self, name: str, table: pa.Table) -> None:
        content = pa.BufferOutputStream()
        pq.write_table(table, content, compression="zstd", row_group_size=ROWS_AT_ONCE)
        self._place.write(name, content.getvalue().to_pybytes(), durably=True)

    def _read(self, name: str, decode: Callable[[pa.Table], T]) -> T | None:
        # Read and decoded apart: a fault of the place passes, a damaged file stays one, and Arrow says OSError of both.
        content = self._place.read(name)
        if content is None:
            return None
        try:
            return decode(pq.read_table(pa.BufferReader(content)).combine_chunks())
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise StoreIncompatible(
                f"{self._place.full_name(name)} is damaged ({error}); restore it from a backup, or remove it to go on "
                "without what it says"
            ) from error


def _name(collection: str, run: str) -> str:
    return f"{collection}/{run}.parquet"


def _moves_name(collection: str, correction: str) -> str:
    return f"{collection}/{correction}.moves.parquet"
