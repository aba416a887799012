"""What a crash left behind, put right: by the start after it, or by another server on the same store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from shoal_server.application.activation import Activation
from shoal_server.application.history import History
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import Store
from shoal_server.application.run_ends import STOPPED, failed, put_end
from shoal_server.application.shared_runs import Elsewhere, SharedRuns
from shoal_server.domain.correction import undone_by
from shoal_server.domain.errors import ShoalError
from shoal_server.domain.run import RunState

_log = logging.getLogger(__name__)


class Recovery:
    """Finishes activations, ends lost runs, and makes the records of corrections agree with what came of them."""

    def __init__(
        self,
        collections: OpenCollections,
        store: Store,
        activation: Activation,
        history: History,
        carries_out: Callable[[str, str], bool],
        shared: SharedRuns | None = None,
    ) -> None:
        """Args:
        collections: whose.
        store: of their records.
        activation: finishes what was begun.
        history: tidies up.
        carries_out: whether this server carries out a run of a collection; by the ids of both.
        shared: knows of other servers on the store; None: there are none.
        """
        self._collections = collections
        self._store = store
        self._activation = activation
        self._history = history
        self._carries_out = carries_out
        self._shared = shared

    async def recover(self) -> None:
        """Puts everything right before the first request.

        A collection where that is impossible is set aside; the others are served.
        """
        for record in await self._collections.list():
            if record.unusable:
                # The store has told of it.
                continue
            try:
                opened = await self._collections.open_any(record.id)
            except ShoalError as error:
                # Whoever opens it is told the same.
                _log.error("collection %s cannot be used: %s", record.id, error.message)
                continue
            try:
                if self._shared is None:
                    await self._recover(opened)
                elif await self._shared.may_decide(record.id):
                    await self.stand_in(opened)
            except ShoalError as error:
                opened.set_aside = (
                    f"collection {record.id!r} cannot be used: putting right what a crash has left failed "
                    f"({error.message}); restore its files from a backup, or delete the collection"
                )
                _log.error("%s", opened.set_aside)

    async def finish(self, opened: OpenCollection) -> None:
        """Finishes an activation that was interrupted; the caller has the turn to decide, or is alone."""
        resumed = await self._activation.resume(opened)
        if resumed is not None:
            _log.warning("collection %s: finished putting run %s in force after a crash", opened.id, resumed.id)

    async def stand_in(self, opened: OpenCollection) -> None:
        """Puts right what another server on the same store has left, which is silent."""
        async with opened.deciding:
            if not opened.removed:
                await self._recover(opened)
                # What failed half-way here is in force.
                opened.set_aside = None

    async def _recover(self, opened: OpenCollection) -> None:
        await self.finish(opened)
        elsewhere = Elsewhere() if self._shared is None else await self._shared.take_over(opened.id)
        runs = await self._store.list_runs(opened.id)
        superseded = {run.parent for run in runs if run.state.complete}
        for run in runs:
            if run.state is not RunState.RUNNING or run.id == elsewhere.run or self._carries_out(opened.id, run.id):
                continue
            if run.id == opened.record.active_run or run.id in superseded:
                # Only the last write of its own record was missing.
                now = datetime.now(UTC)
                ended = replace(run, state=RunState.SUCCEEDED, progress=1.0, ended_at=now, activated_at=now)
                await self._store.put_run(opened.id, ended)
            else:
                await put_end(self._store, self._history, opened, failed(run, STOPPED, "SERVER_STOPPED"))
        await self._recover_corrections(opened)
        await self._history.tidy(opened)

    async def _recover_corrections(self, opened: OpenCollection) -> None:
        runs = {run.id: run for run in await self._store.list_runs(opened.id)}
        undone = {
            asked[0]: (run.ended_at, asked[1])
            for run in runs.values()
            if run.state.complete and (asked := undone_by(run.trigger)) is not None
        }
        for correction in await self._store.list_corrections(opened.id):
            made = None if correction.run is None else runs.get(correction.run)
            if made is not None and not made.state.complete:
                await self._store.delete_correction(opened.id, correction.id)
            elif correction.undone_at is None and correction.id in undone:
                ended_at, author = undone[correction.id]
                await self._store.put_correction(opened.id, replace(correction, undone_at=ended_at, undone_by=author))
