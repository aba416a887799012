"""BackupService: requests to use cases and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from shoal.v1 import backup_service_pb2, backup_service_pb2_grpc
from shoal_server.application.backup import Backup

Context = grpc.aio.ServicerContext[Any, Any]


class BackupService(backup_service_pb2_grpc.BackupServiceServicer):
    """Answers with copies of the data folder."""

    def __init__(self, backup: Backup) -> None:
        self._backup = backup

    async def Backup(
        self, request: backup_service_pb2.BackupRequest, context: Context
    ) -> AsyncIterator[backup_service_pb2.BackupResponse]:
        async with aclosing(self._backup.parts(with_files=not request.without_files)) as parts:
            async for part in parts:
                yield backup_service_pb2.BackupResponse(content=part.content, estimated_bytes=part.estimated_bytes)
