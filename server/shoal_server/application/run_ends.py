"""How a run ends that did not come into force, and where that is recorded."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime

from shoal_server.application.history import History
from shoal_server.application.open_collections import OpenCollection
from shoal_server.application.ports import Store
from shoal_server.domain.errors import ShoalError
from shoal_server.domain.run import ClusteringRun, RunState

_log = logging.getLogger(__name__)

#: Why a run failed that its server did not end, for people.
STOPPED = "the server stopped while it was under way; run it again"


def failed(run: ClusteringRun, problem: str, reason: str) -> ClusteringRun:
    """The run as one that failed just now.

    Args:
        run: as it was.
        problem: why, for people.
        reason: why, for programs.
    """
    return replace(
        run,
        state=RunState.FAILED,
        ended_at=datetime.now(UTC),
        error=problem,
        error_reason=reason,
        held_because=(),
        remaining_s=None,
    )


async def put_end(store: Store, history: History, opened: OpenCollection, ended: ClusteringRun) -> None:
    """Records the end of a run that did not come into force, and lets go of its files unless it is complete."""
    if ended.id in (opened.record.activating_run, opened.record.active_run):
        # The record must stay as it is for the next start to finish the work, or to say that it was finished.
        return
    try:
        await store.put_run(opened.id, ended)
        if not ended.state.complete:
            await history.drop(opened, ended.id)
    except ShoalError as error:
        # The record still says that the run is under way; the next start puts that right.
        _log.warning("collection %s: the end of run %s was not recorded: %s", opened.id, ended.id, error.message)
