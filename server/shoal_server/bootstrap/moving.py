"""What moves collections between two stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from shoal_server.adapters.edge_store import EdgeReceiver
from shoal_server.adapters.files import NamedImageFiles
from shoal_server.application.comparing import Side
from shoal_server.application.migrating import Migration, Progress
from shoal_server.application.ports import Store
from shoal_server.bootstrap.stores import make_writable, open_qdrant, place_of_files, run_files_of, space_of
from shoal_server.settings import Settings


@asynccontextmanager
async def migrating(settings: Settings, *, to_qdrant: bool, progress: Progress) -> AsyncIterator[Migration]:
    """What moves collections between a data folder and a Qdrant server, both of which no Shoal server works with.

    Args:
        settings: with ``qdrant_url``.
        to_qdrant: from the folder to the server; or back.
        progress: told how far it is.

    Raises:
        ShoalError: a store cannot be opened; a server works with the data folder.
    """
    from shoal_server.adapters.qdrant_store import QdrantReceiver

    embedded = settings.model_copy(update={"qdrant_url": None})
    await asyncio.to_thread(make_writable, settings.data)
    async with AsyncExitStack() as stack:
        # The folder first: its lock tells whether a server works with it.
        folder = await EdgeReceiver.open(settings.data, space=space_of(settings))
        stack.push_async_callback(folder.close)
        server = await open_qdrant(settings, QdrantReceiver)
        stack.push_async_callback(server.close)
        here = await _side(stack, embedded, folder, str(settings.data.resolve()))
        # Files in a place that both share are nobody's to copy.
        there = Side(server, here.runs, here.files, str(settings.qdrant_url))
        if settings.files_url is None:
            there = await _side(stack, settings, server, str(settings.qdrant_url))
        if to_qdrant:
            yield Migration(here, there, server, progress)
        else:
            yield Migration(there, here, folder, progress)


async def _side(stack: AsyncExitStack, settings: Settings, store: Store, location: str) -> Side:
    runs = await asyncio.to_thread(run_files_of, settings)
    stack.callback(runs.close)
    files = NamedImageFiles(await asyncio.to_thread(place_of_files, settings, "files"))
    stack.callback(files.close)
    return Side(store, runs, files, location)
