"""A server that kills itself with SIGKILL at the N-th write of cluster ids: ``killed_while_writing.py N serve ...``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.cli import main


def die_at(remaining: int) -> None:
    """Makes the write after so many more of them the last thing that this process does."""
    set_cluster = EdgeStore.set_cluster

    async def set_cluster_or_die(self: Any, collection: str, cluster_id: int | None, ids: Sequence[UUID]) -> None:
        nonlocal remaining
        remaining -= 1
        if remaining < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        await set_cluster(self, collection, cluster_id, ids)

    EdgeStore.set_cluster = set_cluster_or_die  # type: ignore[method-assign]


# The worker process, being spawned, imports this module again.
if __name__ == "__main__":
    die_at(int(sys.argv.pop(1)))
    main()
