"""The channel to a server: its options, its stubs, and the place where gRPC's errors end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import TypeVar

import grpc
import grpc.aio

from shoal.v1.backup_service_pb2_grpc import BackupServiceStub
from shoal.v1.change_service_pb2_grpc import ChangeServiceStub
from shoal.v1.cluster_service_pb2_grpc import ClusterServiceStub
from shoal.v1.collection_service_pb2_grpc import CollectionServiceStub
from shoal.v1.curation_service_pb2_grpc import CurationServiceStub
from shoal.v1.duplicate_service_pb2_grpc import DuplicateServiceStub
from shoal.v1.image_service_pb2_grpc import ImageServiceStub
from shoal.v1.status_service_pb2_grpc import StatusServiceStub
from shoal_client.credentials import NO_CREDENTIALS, Credentials, is_loopback
from shoal_client.errors import ClientClosed, InvalidArgument, from_rpc_error
from shoal_client.service_config import service_config

DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_MAX_MESSAGE_BYTES = 64 * 2**20
DEFAULT_TIMEOUT_S = 60.0

#: Room in a message for everything beside a file's bytes: a URI of 4,096 characters and 64 tags of 256, in UTF-8.
ENVELOPE_BYTES = 128 * 1024

_HOST_AND_PORT = re.compile(r"(\[[^\s/\[\]]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})")
#: gRPC's own forms of an address, beside the one that is documented.
_SCHEMES = ("unix:", "unix-abstract:", "ipv4:", "ipv6:", "dns:")

Request = TypeVar("Request")
Response = TypeVar("Response")


class Transport:
    """A channel and its stubs; made and used in one event loop.

    Args:
        target: ``HOST:PORT``.
        max_message_bytes: the largest message sent or received, above 128 KiB; the server has a limit of its own.
        timeout: seconds that a call may take, all attempts together; None means for ever. Streams have none.
        credentials: what to connect with.

    Attributes:
        target: as given.
        max_file_bytes: the largest file that a message has room for.
        has_answered: whether a call has ever been answered: a server that is not there any more may come back.

    Raises:
        InvalidArgument: the target is no address, max_message_bytes or timeout is out of its range, or the credentials
            are not for this target.
        RuntimeError: no event loop is running.
    """

    def __init__(
        self,
        target: str,
        max_message_bytes: int,
        timeout: float | None,
        credentials: Credentials = NO_CREDENTIALS,
    ) -> None:
        _check_target(target)
        if max_message_bytes <= ENVELOPE_BYTES:
            raise InvalidArgument(f"max_message_bytes is {max_message_bytes}; it must be above {ENVELOPE_BYTES}")
        if timeout is not None and timeout <= 0:
            raise InvalidArgument(f"timeout is {timeout}; it must be above 0, or None for no limit")
        credentials.check(target)
        asyncio.get_running_loop()
        self.target = target
        self.max_file_bytes = max_message_bytes - ENVELOPE_BYTES
        self.has_answered = False
        self._timeout = timeout
        self._closed = False
        self._options = _channel_options(target, max_message_bytes)
        self._credentials = credentials
        self._channel = credentials.channel(target, self._options)
        self._blocking_channel: grpc.Channel | None = None
        self.collections = CollectionServiceStub(self._channel)
        self.changes = ChangeServiceStub(self._channel)
        self.images = ImageServiceStub(self._channel)
        self.clusters = ClusterServiceStub(self._channel)
        self.curation = CurationServiceStub(self._channel)
        self.duplicates = DuplicateServiceStub(self._channel)
        self.backups = BackupServiceStub(self._channel)
        self.servers = StatusServiceStub(self._channel)

    async def call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request, *, limited: bool = True
    ) -> Response:
        """Asks once (gRPC repeats what may be repeated).

        Args:
            method: the stub's.
            request: what to ask.
            limited: give up after the timeout. Not for what writes many images: it would go on without a witness.

        Raises:
            ShoalError: what the server or gRPC answered instead.
        """
        with self.translating():
            answer = await method(request, timeout=self._timeout if limited else None)
            self.has_answered = True
            return answer

    async def stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[Request, Response], request: Request
    ) -> AsyncGenerator[Response, None]:
        """Asks once and yields the answers.

        Raises:
            ShoalError: what the server or gRPC answered instead.
        """
        with self.translating():
            call = method(request)
            try:
                async for response in call:
                    yield response
            finally:
                call.cancel()

    def blocking_images(self) -> ImageServiceStub:
        """The image service for threads, through a channel that is made at the first use.

        Raises:
            ClientClosed: the transport is closed.
        """
        if self._closed:
            raise ClientClosed
        if self._blocking_channel is None:
            self._blocking_channel = self._credentials.blocking_channel(self.target, self._options)
        return ImageServiceStub(self._blocking_channel)

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Turns gRPC's errors into the client's.

        Raises:
            ShoalError: for any error of gRPC raised inside, or if the transport is closed.
        """
        if self._closed:
            raise ClientClosed
        try:
            yield
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error
        except grpc.aio.UsageError as error:
            raise ClientClosed from error

    async def close(self) -> None:
        """Closes the channel; calls under way are cancelled. Closing twice does nothing."""
        self._closed = True
        if self._blocking_channel is not None:
            self._blocking_channel.close()
        await self._channel.close()


def _check_target(target: str) -> None:
    """Refuses what gRPC would take for the name of a host that nobody answers at."""
    match = _HOST_AND_PORT.fullmatch(target)
    if not target.startswith(_SCHEMES) and (match is None or not 0 < int(match["port"]) < 2**16):
        raise InvalidArgument(f"{target!r} is not HOST:PORT, for instance {DEFAULT_TARGET}", reason="INVALID_TARGET")


def _channel_options(target: str, max_message_bytes: int) -> list[tuple[str, str | int]]:
    return [
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.service_config", service_config()),
        # A proxy named in the environment does not lead to this machine.
        ("grpc.enable_http_proxy", int(not is_loopback(target))),
    ]
