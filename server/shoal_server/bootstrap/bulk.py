"""What stores images in a worker of a bulk ingest: a server without the services."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from shoal_server.adapters.batching import BatchingEmbedder
from shoal_server.adapters.files import NamedImageFiles
from shoal_server.adapters.located_files import LocatedFiles
from shoal_server.adapters.pillow_decoder import PillowDecoder
from shoal_server.adapters.uri_fetcher import UriFetcher
from shoal_server.application.bulk_ingest import BulkIngest, Claims
from shoal_server.application.change_log import Journal
from shoal_server.application.following import Following
from shoal_server.application.ingest import Ingest, Options
from shoal_server.application.journaled_store import journaled_store
from shoal_server.application.near_duplicates import NearDuplicates
from shoal_server.application.open_collections import OpenCollections
from shoal_server.bootstrap.models import load_engine
from shoal_server.bootstrap.stores import change_log_of, open_store, place_of_files, run_files_of, servers_on
from shoal_server.settings import Settings

#: Seconds between two looks at what the servers do. A run is put in force when every worker has looked twice, and the
#: store answers all of their looks.
_LOOK_EVERY_S = 2.0


@asynccontextmanager
async def bulk_ingesting(
    settings: Settings, collection: str, claims: Claims, options: Options, reads: int
) -> AsyncIterator[BulkIngest]:
    """What stores the files of a list, beside other workers and servers on the same store.

    Args:
        settings: a server's, with a store and files that several share.
        collection: where to.
        claims: shared with the other workers.
        options: how.
        reads: most files that are read at once.

    Raises:
        ShoalError: the store cannot be opened, the model not be loaded.
    """
    async with AsyncExitStack() as stack:
        # Nobody else's: the others know each worker by the id in its folder, and nothing in it has to stay.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="shoal-worker-"))
        settings = settings.model_copy(update={"data": Path(folder)})
        outside = await open_store(settings)
        stack.push_async_callback(outside.close)
        journal = Journal(change_log_of(settings, outside))
        stack.push_async_callback(journal.aclose)
        servers = servers_on(settings, outside)
        if servers is None:
            raise TypeError(f"{type(outside).__name__} cannot be shared")
        stack.callback(servers.identity.close)
        runs = await asyncio.to_thread(run_files_of, settings)
        stack.callback(runs.close)
        files = NamedImageFiles(await asyncio.to_thread(place_of_files, settings, "files"))
        stack.callback(files.close)
        reader = LocatedFiles(settings.max_file_bytes, reads)
        stack.push_async_callback(reader.aclose)
        fetcher = UriFetcher((), False, settings.max_file_bytes)
        stack.push_async_callback(fetcher.aclose)
        engine = await asyncio.to_thread(
            load_engine, settings.model, settings.cache, settings.precision, settings.runtime
        )
        embedder = await stack.enter_async_context(
            BatchingEmbedder(
                engine, max_batch=settings.max_batch, max_queue=settings.max_queue, stall_s=settings.model_stall_s
            )
        )
        decoder = PillowDecoder(
            max_pixels=settings.max_image_pixels, threads=settings.decode_threads, min_side=engine.input_side
        )
        stack.push_async_callback(decoder.aclose)
        store = journaled_store(outside, journal)
        collections = OpenCollections(
            store, runs, files, engine.model, servers.leases, mix_precisions=settings.mix_precisions
        )
        following = Following(servers.store, collections, servers.leases, settings.lease_s, _LOOK_EVERY_S)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        # Before anything is stored the servers know of this one, and wait for it too.
        await following.look()
        follows = tasks.create_task(following.run())
        stack.callback(follows.cancel)
        ingest = Ingest(
            collections,
            store,
            files,
            decoder,
            embedder,
            fetcher,
            NearDuplicates(store),
            max_in_flight=settings.max_in_flight,
            keep_originals=settings.keep_originals,
            on_near_duplicate=settings.near_duplicates,
        )
        yield BulkIngest(collections, ingest, reader, claims, collection, options, reads=reads)
