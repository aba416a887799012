"""A server that kills itself with SIGKILL at the N-th write of cluster ids: ``killed_while_writing.py N serve ...``.

Only writes of runs that it puts in force itself count, not those that it completes when it starts.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.adapters.qdrant_store import QdrantStore
from shoal_server.application.activation import Activation
from shoal_server.cli import main


def die_at(remaining: int) -> None:
    """Makes the write after so many more of them the last thing that this process does."""
    put_in_force = Activation.put_in_force
    set_group = {store: store.set_group for store in (EdgeStore, QdrantStore)}
    counting = False

    async def count_and_put_in_force(self: Any, *arguments: Any) -> Any:
        nonlocal counting
        counting = True
        return await put_in_force(self, *arguments)

    async def set_group_or_die(
        self: Any, collection: str, field: str, group_id: int | None, ids: Sequence[UUID]
    ) -> None:
        nonlocal remaining
        remaining -= counting
        if remaining < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        await set_group[type(self)](self, collection, field, group_id, ids)

    Activation.put_in_force = count_and_put_in_force  # type: ignore[assignment, method-assign]
    for store in set_group:
        store.set_group = set_group_or_die  # type: ignore[method-assign]


# The worker process, being spawned, imports this module again.
if __name__ == "__main__":
    die_at(int(sys.argv.pop(1)))
    main()
