"""The ClusterStore port's records: each run, each run's groupings and each correction is a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from shoal_server.adapters.edge_store import files
from shoal_server.adapters.edge_store.room import CORRECTIONS, GROUPINGS, RUNS, Room
from shoal_server.adapters.edge_store.rooms import Rooms
from shoal_server.domain import records
from shoal_server.domain.correction import Correction
from shoal_server.domain.errors import CorrectionNotFound, RunNotFound
from shoal_server.domain.groupings import Groupings
from shoal_server.domain.run import ClusteringRun

T = TypeVar("T")

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class EdgeHistory(Rooms):
    """Runs, their groupings and corrections."""

    async def put_run(self, collection: str, run: ClusteringRun) -> None:
        """Stores or replaces a run's record, atomically.

        Raises:
            RunNotFound: the id cannot be one of a run.
        """
        if not await self._put(collection, RUNS, run.id, records.run_to_record(run)):
            raise RunNotFound(collection, run.id)

    async def get_run(self, collection: str, run: str) -> ClusteringRun:
        """Raises:
        RunNotFound: there is none of that id.
        StoreIncompatible: its record is damaged.
        """
        found = await self._get(collection, RUNS, run, records.run_from_record)
        if found is None:
            raise RunNotFound(collection, run)
        return found

    async def list_runs(self, collection: str) -> list[ClusteringRun]:
        """All, newest first."""
        runs = await self._all(collection, RUNS, records.run_from_record)
        return sorted(runs, key=lambda run: (run.created_at, run.id), reverse=True)

    async def delete_run(self, collection: str, run: str) -> None:
        """Removes a run's record; one that is not there is passed over."""
        await self._delete(collection, RUNS, run)

    async def put_groupings(self, collection: str, run: str, groupings: Groupings) -> None:
        """Stores or replaces a run's themes, places and moments, atomically.

        Raises:
            RunNotFound: the id cannot be one of a run.
        """
        if not await self._put(collection, GROUPINGS, run, records.groupings_to_record(groupings)):
            raise RunNotFound(collection, run)

    async def get_groupings(self, collection: str, run: str) -> Groupings:
        """A run's themes, places and moments; empty if it has none.

        Raises:
            StoreIncompatible: the record is damaged.
        """
        return await self._get(collection, GROUPINGS, run, records.groupings_from_record) or Groupings()

    async def delete_groupings(self, collection: str, run: str) -> None:
        """Removes them; a run that has none is passed over."""
        await self._delete(collection, GROUPINGS, run)

    async def put_correction(self, collection: str, correction: Correction) -> None:
        """Stores or replaces a correction's record, atomically.

        Raises:
            CorrectionNotFound: the id cannot be one of a correction.
        """
        if not await self._put(collection, CORRECTIONS, correction.id, records.correction_to_record(correction)):
            raise CorrectionNotFound(collection, correction.id)

    async def get_correction(self, collection: str, correction: str) -> Correction:
        """Raises:
        CorrectionNotFound: there is none of that id.
        StoreIncompatible: its record is damaged.
        """
        found = await self._get(collection, CORRECTIONS, correction, records.correction_from_record)
        if found is None:
            raise CorrectionNotFound(collection, correction)
        return found

    async def list_corrections(self, collection: str) -> list[Correction]:
        """All, newest first."""
        corrections = await self._all(collection, CORRECTIONS, records.correction_from_record)
        return sorted(corrections, key=lambda correction: (correction.created_at, correction.id), reverse=True)

    async def delete_correction(self, collection: str, correction: str) -> None:
        """Removes a correction's record; one that is not there is passed over."""
        await self._delete(collection, CORRECTIONS, correction)

    async def _put(self, collection: str, folder: str, identity: str, record: Mapping[str, Any]) -> bool:
        """False if the id cannot be the name of a file."""

        def write(room: Room) -> bool:
            path = _file(room, folder, identity)
            if path is None:
                return False
            if not path.parent.exists():
                # A collection that an older version made does not have every folder.
                path.parent.mkdir()
                files.sync_folder(room.folder)
            files.write_record(path, record)
            return True

        return await self._within(collection, write)

    async def _get(
        self, collection: str, folder: str, identity: str, decode: Callable[[Mapping[str, Any]], T]
    ) -> T | None:
        def read(room: Room) -> T | None:
            path = _file(room, folder, identity)
            if path is None:
                return None
            try:
                return files.read_record(path, decode)
            except FileNotFoundError:
                return None

        return await self._within(collection, read)

    async def _all(self, collection: str, folder: str, decode: Callable[[Mapping[str, Any]], T]) -> list[T]:
        return await self._within(
            collection,
            lambda room: [files.read_record(path, decode) for path in (room.folder / folder).glob("[!.]*.json")],
        )

    async def _delete(self, collection: str, folder: str, identity: str) -> None:
        def delete(room: Room) -> None:
            path = _file(room, folder, identity)
            if path is not None and path.exists():
                path.unlink()
                files.sync_folder(path.parent)

        await self._within(collection, delete)


def _file(room: Room, folder: str, identity: str) -> Path | None:
    # The id becomes a file's name.
    return room.folder / folder / f"{identity}.json" if _ID.fullmatch(identity) else None
