"""The ClusterStore port's records on a Qdrant server: those of the catalog."""

from __future__ import annotations

from shoal_server.adapters.qdrant_store.access import Access
from shoal_server.adapters.qdrant_store.catalog import CORRECTION, GROUPINGS, RUN
from shoal_server.domain import records
from shoal_server.domain.correction import Correction
from shoal_server.domain.errors import CorrectionNotFound, RunNotFound
from shoal_server.domain.groupings import Groupings
from shoal_server.domain.run import ClusteringRun


class QdrantHistory(Access):
    """Runs, their groupings and corrections."""

    async def put_run(self, collection: str, run: ClusteringRun) -> None:
        """Stores or replaces a run's record, atomically."""
        async with self._within(collection):
            await self._catalog.put(RUN, collection, run.id, records.run_to_record(run))

    async def get_run(self, collection: str, run: str) -> ClusteringRun:
        """Raises:
        RunNotFound: there is none of that id.
        StoreIncompatible: its record is damaged.
        """
        async with self._within(collection):
            found = await self._catalog.find(RUN, collection, run, records.run_from_record)
        if found is None:
            raise RunNotFound(collection, run)
        return found

    async def list_runs(self, collection: str) -> list[ClusteringRun]:
        """All, newest first."""
        async with self._within(collection):
            runs = await self._catalog.all(RUN, collection, records.run_from_record)
        return sorted(runs, key=lambda run: (run.created_at, run.id), reverse=True)

    async def delete_run(self, collection: str, run: str) -> None:
        """Removes a run's record; one that is not there is passed over."""
        async with self._within(collection):
            await self._catalog.delete(RUN, collection, run)

    async def put_groupings(self, collection: str, run: str, groupings: Groupings) -> None:
        """Stores or replaces a run's themes, places and moments, atomically."""
        async with self._within(collection):
            await self._catalog.put(GROUPINGS, collection, run, records.groupings_to_record(groupings))

    async def get_groupings(self, collection: str, run: str) -> Groupings:
        """A run's themes, places and moments; empty if it has none.

        Raises:
            StoreIncompatible: the record is damaged.
        """
        async with self._within(collection):
            found = await self._catalog.find(GROUPINGS, collection, run, records.groupings_from_record)
        return found or Groupings()

    async def delete_groupings(self, collection: str, run: str) -> None:
        """Removes them; a run that has none is passed over."""
        async with self._within(collection):
            await self._catalog.delete(GROUPINGS, collection, run)

    async def put_correction(self, collection: str, correction: Correction) -> None:
        """Stores or replaces a correction's record, atomically."""
        async with self._within(collection):
            record = records.correction_to_record(correction)
            await self._catalog.put(CORRECTION, collection, correction.id, record)

    async def get_correction(self, collection: str, correction: str) -> Correction:
        """Raises:
        CorrectionNotFound: there is none of that id.
        StoreIncompatible: its record is damaged.
        """
        async with self._within(collection):
            found = await self._catalog.find(CORRECTION, collection, correction, records.correction_from_record)
        if found is None:
            raise CorrectionNotFound(collection, correction)
        return found

    async def list_corrections(self, collection: str) -> list[Correction]:
        """All, newest first."""
        async with self._within(collection):
            corrections = await self._catalog.all(CORRECTION, collection, records.correction_from_record)
        return sorted(corrections, key=lambda correction: (correction.created_at, correction.id), reverse=True)

    async def delete_correction(self, collection: str, correction: str) -> None:
        """Removes a correction's record; one that is not there is passed over."""
        async with self._within(collection):
            await self._catalog.delete(CORRECTION, collection, correction)
