"""A whole server: opened, serving, and let go of in the right order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from shoal_server.adapters.batching import BatchingEmbedder
from shoal_server.adapters.files import NamedImageFiles
from shoal_server.adapters.pillow_decoder import PillowDecoder
from shoal_server.adapters.ticker import MonotonicTicker
from shoal_server.adapters.umap_hdbscan import Ways, WorkerClusterer
from shoal_server.adapters.uri_fetcher import UriFetcher
from shoal_server.adapters.vector_cache import NumpyVectorCache
from shoal_server.application.change_log import Journal
from shoal_server.application.vitals import Vitals
from shoal_server.application.vocabulary import NamingWords
from shoal_server.bootstrap.exploring import exploring
from shoal_server.bootstrap.guarding import guarding
from shoal_server.bootstrap.models import load_captioner, load_engine, load_vocabulary
from shoal_server.bootstrap.stores import (
    change_log_of,
    make_writable,
    open_store,
    place_of_files,
    run_files_of,
    servers_on,
)
from shoal_server.bootstrap.use_cases import ClustererProcess, Outside, build
from shoal_server.bootstrap.watching import instruments, serving_http
from shoal_server.rpc.health import TrueHealth
from shoal_server.rpc.server import RpcServer
from shoal_server.rpc.telemetry import ObserveCalls
from shoal_server.settings import Settings


@dataclass(frozen=True, slots=True)
class Listening:
    """A server that serves.

    Attributes:
        address: of gRPC.
        model: the embedding model.
        http: address of the metrics; None if it serves none.
        web: URL of the explorer; None if it serves none.
    """

    address: str
    model: str
    http: str | None = None
    web: str | None = None


@asynccontextmanager
async def running(
    settings: Settings, make_clusterer: Callable[[Path], ClustererProcess] | None = None
) -> AsyncIterator[Listening]:
    """A whole server, serving while the context is open.

    On leaving, calls in flight are finished, runs ended, the store made durable and closed.

    Args:
        settings: all of them.
        make_clusterer: from a folder for compiled code; None: what the settings say. Tests have one that needs no time.

    Raises:
        ShoalError: the model cannot be loaded, the store not opened.
        OSError: the address cannot be listened on.
    """
    try:
        async with AsyncExitStack() as stack:
            # The model last: it takes seconds to load, and what else is wrong is known at once.
            vocabulary = await asyncio.to_thread(load_vocabulary, settings)
            await asyncio.to_thread(make_writable, settings.data)
            guard = await stack.enter_async_context(guarding(settings))
            tools = await stack.enter_async_context(instruments(settings))
            store = await open_store(settings)
            stack.push_async_callback(store.close)
            journal = Journal(change_log_of(settings, store))
            stack.push_async_callback(journal.aclose)
            servers = await asyncio.to_thread(servers_on, settings, store)
            if servers is not None:
                stack.callback(servers.identity.close)
            files = await asyncio.to_thread(run_files_of, settings)
            stack.callback(files.close)
            image_files = NamedImageFiles(await asyncio.to_thread(place_of_files, settings, "files"))
            stack.callback(image_files.close)
            fetcher = UriFetcher(settings.ingest_roots, settings.ingest_http, settings.max_file_bytes)
            stack.push_async_callback(fetcher.aclose)
            engine = await asyncio.to_thread(
                load_engine, settings.model, settings.cache, settings.precision, settings.runtime
            )
            embedder = await stack.enter_async_context(
                BatchingEmbedder(
                    engine,
                    max_batch=settings.max_batch,
                    max_queue=settings.max_queue,
                    stall_s=settings.model_stall_s,
                    meter=tools.meter,
                )
            )
            vitals = Vitals(embedder, store, give_up_s=settings.model_give_up_s)
            decoder = PillowDecoder(
                max_pixels=settings.max_image_pixels, threads=settings.decode_threads, min_side=engine.input_side
            )
            stack.push_async_callback(decoder.aclose)
            ways = Ways(settings.clustering_device, settings.search_components)
            make = make_clusterer or partial(WorkerClusterer, ways=ways)
            clusterer = make(settings.cache / "numba")
            stack.push_async_callback(clusterer.aclose)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            words = NamingWords(vocabulary, embedder, NumpyVectorCache(settings.cache / "words"))
            captioner = (
                None if settings.captioner is None else await asyncio.to_thread(load_captioner, settings.captioner)
            )
            outside = Outside(
                store,
                files,
                image_files,
                decoder,
                fetcher,
                embedder,
                captioner,
                clusterer,
                words,
                servers,
                journal,
                tools,
                vitals,
            )
            built = build(settings, outside, tasks)
            stack.push_async_callback(built.census.stop)
            if built.following is not None:
                # Before anything is answered the others know of this server, and wait for it too.
                await built.following.look()
                # Until the very end, because it keeps the leases of all that is being ended.
                stack.push_async_callback(_cancelled, tasks.create_task(built.following.run()))
            await built.recovery.recover()
            stack.push_async_callback(built.clustering.stop)
            # Stopped before the runs are, so that it starts no new one.
            ticker = MonotonicTicker()
            stack.push_async_callback(ticker.stop)
            health = TrueHealth(lambda: vitals.problems)
            vitals.listen(health.refresh)
            server = RpcServer(
                built.services,
                settings.max_message_bytes,
                [ObserveCalls(tools.meter, tools.tracer), guard.interceptor],
                guard.credentials,
                health,
            )
            port = await server.start(settings.listen)
            stack.push_async_callback(server.stop, settings.shutdown_grace_s)
            # Before the server waits for its calls: those of listeners do not end by themselves.
            stack.callback(journal.stop)
            http = await stack.enter_async_context(
                serving_http(settings, vitals, built.census, tools.meter, guard.access)
            )
            web = await stack.enter_async_context(exploring(settings, built, guard, tools))
            stack.push_async_callback(_cancelled, tasks.create_task(vitals.watch()))
            if settings.warm_clustering:
                await clusterer.start()
            await ticker.start(built.scheduling.tick)
            if built.newcomers is not None:
                looking = MonotonicTicker(settings.attach_interval_s)
                stack.push_async_callback(looking.stop)
                await looking.start(built.newcomers.tick)
            yield Listening(f"{settings.listen.rpartition(':')[0]}:{port}", str(engine.model), http, web)
    except BaseExceptionGroup as group:
        # The task group wraps what went wrong while it was open; alone, it needs no wrapping.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
