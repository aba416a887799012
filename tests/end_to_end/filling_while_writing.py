"""A server whose disk somebody fills while it writes: ``filling_while_writing.py ACTIVATION LEAVE serve ...``.

ACTIVATION is which of the runs that it puts in force, from 1, finds the disk full when it writes the first id; LEAVE
are the bytes that stay free.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.application.activation import Activation
from shoal_server.cli import main


def fill_while_writing(activation: int, leave: int, folder: Path) -> None:
    """Makes the disk full when that activation writes for the first time."""
    put_in_force, set_group = Activation.put_in_force, EdgeStore.set_group
    remaining = activation
    filled = False

    async def count_and_put_in_force(self: Any, *arguments: Any) -> Any:
        nonlocal remaining
        remaining -= 1
        return await put_in_force(self, *arguments)

    async def fill_and_set_group(
        self: Any, collection: str, field: str, group_id: int | None, ids: Sequence[UUID]
    ) -> None:
        nonlocal filled
        if remaining == 0 and not filled:
            filled = True
            with (folder / "ballast").open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, file.tell() + shutil.disk_usage(folder).free - leave)
        await set_group(self, collection, field, group_id, ids)

    Activation.put_in_force = count_and_put_in_force  # type: ignore[assignment, method-assign]
    EdgeStore.set_group = fill_and_set_group  # type: ignore[method-assign]


# The worker process, being spawned, imports this module again.
if __name__ == "__main__":
    data = Path(sys.argv[sys.argv.index("--data") + 1])
    fill_while_writing(int(sys.argv.pop(1)), int(sys.argv.pop(1)), data.parent)
    main()
