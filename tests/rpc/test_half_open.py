"""Clients whose network is gone: the server notices, and gives back what they held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest

from shoal.v1.collection_service_pb2 import CreateCollectionRequest
from shoal.v1.image_service_pb2 import IngestImagesRequest, IngestImagesResponse, NewImage
from shoal.v1.image_service_pb2_grpc import ImageServiceStub
from shoal_server.rpc import server as rpc_server
from shoal_server.rpc import uploads
from tests.fakes import picture
from tests.rpc.conftest import PARENT, serving


class Cable:
    """A way to a server that can be cut so that neither side hears of it."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.rpartition(":")
        self._whole = asyncio.Event()
        self._whole.set()
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.ended_by_server = asyncio.Event()
        self.address = ""

    def cut(self) -> None:
        """From here on nothing gets through, and nothing is said."""
        self._whole.clear()

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[None]:
        """Takes connections while the context is open."""
        listening = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            listening.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in self._writers:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(self._host, int(self._port))
        self._writers += [writer, upstream_writer]
        for work in (self._carry(reader, upstream_writer), self._carry(upstream_reader, writer, told=True)):
            task = asyncio.create_task(work)
            self._tasks.add(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, told: bool = False) -> None:
        # Whoever the other side is, it may end the connection without ceremony.
        with suppress(OSError):
            while part := await reader.read(65536):
                if self._whole.is_set():
                    writer.write(part)
                    await writer.drain()
        if told:
            self.ended_by_server.set()


async def test_a_client_whose_network_is_gone_is_let_go_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_server, "KEEPALIVE_MS", 500)
    monkeypatch.setattr(rpc_server, "KEEPALIVE_TIMEOUT_MS", 3000)
    # Without the ping, it would take this long.
    monkeypatch.setattr(uploads, "PART_TIMEOUT_S", 600.0)
    monkeypatch.setattr(uploads, "PARTIAL_BYTES", 4 * len(b"part"))
    async with serving(tmp_path) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        cable = Cable(served.address)
        async with cable.laid(), grpc.aio.insecure_channel(cable.address) as channel:
            calls = [ImageServiceStub(channel).IngestImages() for _ in range(4)]
            stored = set()
            for number, call in enumerate(calls):
                await call.write(IngestImagesRequest(parent=PARENT, image=NewImage(content=picture("red", number))))
                answer = await call.read()
                assert isinstance(answer, IngestImagesResponse)
                stored.add(answer.image.name)
                # The room for images that come in parts is all taken.
                await call.write(IngestImagesRequest(parent=PARENT, image=NewImage(content=b"part"), more=True))
            await asyncio.sleep(0.2)
            cable.cut()

            async def whole() -> AsyncIterator[IngestImagesRequest]:
                content = picture("green", 1)
                yield IngestImagesRequest(parent=PARENT, image=NewImage(content=content[:50]), more=True)
                yield IngestImagesRequest(image=NewImage(content=content[50:]))

            # Somebody else who sends a large image waits for some of this room, and gets it.
            async with asyncio.timeout(20):
                [last] = [response async for response in served.images.IngestImages(whole())]
                await cable.ended_by_server.wait()
            assert last.HasField("image")
            assert stored | {last.image.name} == (await served.assigned()).keys()
            for call in calls:
                call.cancel()
