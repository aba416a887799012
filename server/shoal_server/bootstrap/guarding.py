"""What stands between a caller and the services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc

from shoal_server.adapters.audit_file import AuditFile
from shoal_server.adapters.key_file import KeyFile
from shoal_server.application.access import Access
from shoal_server.application.audit import AuditTrail, NoAuditTrail
from shoal_server.application.limits import CallerLimits, Limits
from shoal_server.rpc.authentication import Guard
from shoal_server.rpc.tls import TlsFiles, server_credentials
from shoal_server.settings import Settings


@dataclass(frozen=True, slots=True)
class Guarding:
    """What stands between a caller and the services."""

    access: Access
    limits: CallerLimits
    trail: AuditTrail
    interceptor: Guard
    credentials: grpc.ServerCredentials | None


@asynccontextmanager
async def guarding(settings: Settings) -> AsyncIterator[Guarding]:
    """For the time that a server runs.

    Raises:
        ShoalError: the keys or certificates cannot be used.
    """
    certificates = settings.tls_client_ca is not None
    access = Access(
        KeyFile(settings.keys_path),
        key_required=settings.require_key or certificates,
        certificate_role=settings.tls_client_role,
    )
    limits = CallerLimits(
        Limits(
            rate_per_s=settings.rate_limit_per_s,
            burst=settings.rate_limit_burst,
            max_streams=settings.max_streams,
            max_calls=settings.max_calls,
            message_bytes=2 * settings.max_message_bytes,
        )
    )
    credentials = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        files = TlsFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
        credentials = await asyncio.to_thread(server_credentials, files)
    async with AsyncExitStack() as stack:
        trail: AuditTrail = NoAuditTrail()
        if settings.audit_path is not None:
            trail = audit = await asyncio.to_thread(AuditFile, settings.audit_path)
            stack.push_async_callback(asyncio.to_thread, audit.close)
        await stack.enter_async_context(access.following())
        yield Guarding(access, limits, trail, Guard(access, limits, trail, certificates=certificates), credentials)
