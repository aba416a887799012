"""Backups: the server's data folder as a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from shoal.v1 import backup_service_pb2
from shoal_client.archive_file import archive_file
from shoal_client.transport import Transport

#: Told how many bytes came, and about how many there will be in all, 0 if that is not known.
Progress = Callable[[int, int], object]


async def back_up(
    transport: Transport, path: Path, *, overwrite: bool, with_files: bool, on_progress: Progress | None
) -> int:
    """See :meth:`shoal_client.AsyncClient.backup`."""
    received = 0
    with archive_file(path, overwrite=overwrite) as write:
        request = backup_service_pb2.BackupRequest(without_files=not with_files)
        async with aclosing(transport.stream(transport.backups.Backup, request)) as parts:
            async for part in parts:
                await asyncio.to_thread(write, part.content)
                received += len(part.content)
                if on_progress is not None:
                    on_progress(received, part.estimated_bytes)
    return received
