"""``shoal migrate`` that kills itself with SIGKILL after N writes to its target: ``killed_while_moving.py N ...``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from shoal_client.cli import main
from shoal_server.adapters.edge_store import EdgeReceiver
from shoal_server.adapters.files import NamedImageFiles, ParquetRunFiles
from shoal_server.adapters.qdrant_store import QdrantReceiver

_STORES = (EdgeReceiver, QdrantReceiver)
_WRITES = ("begin_arrival", "upsert_images", "put_clusters", "put_groupings", "put_run", "put_correction")
_FILES = ((NamedImageFiles, "put"), (ParquetRunFiles, "write"), (ParquetRunFiles, "write_moves"))


def die_at(remaining: int) -> None:
    """Makes the write after so many more of them the last thing that this process does."""

    def deadly(write: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
        async def write_and_die(self: Any, *arguments: Any) -> None:
            nonlocal remaining
            await write(self, *arguments)
            remaining -= 1
            if remaining < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        return write_and_die

    for kind, name in [*((kind, name) for kind in _STORES for name in (*_WRITES, "finish_arrival")), *_FILES]:
        setattr(kind, name, deadly(getattr(kind, name)))


if __name__ == "__main__":
    die_at(int(sys.argv.pop(1)))
    main()
