"""The composition root: the only module that knows every adapter. Reads settings, builds, connects, lets go."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.resources
import logging
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shoal_server.adapters.batching import BatchingEmbedder
from shoal_server.adapters.centroid_tree import WardTree
from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.adapters.image_files import FolderImageFiles
from shoal_server.adapters.pillow_decoder import PillowDecoder
from shoal_server.adapters.place_finder import DensePlaces
from shoal_server.adapters.run_files import ParquetRunFiles
from shoal_server.adapters.ticker import ApschedulerTicker
from shoal_server.adapters.umap_hdbscan import WorkerClusterer
from shoal_server.adapters.uri_fetcher import UriFetcher
from shoal_server.adapters.vector_cache import NumpyVectorCache
from shoal_server.application.activation import Activation
from shoal_server.application.assign import Assign
from shoal_server.application.captioning import Captioning
from shoal_server.application.clustering import Clustering
from shoal_server.application.correcting import Correcting
from shoal_server.application.corrections import Corrections
from shoal_server.application.curation import Curation
from shoal_server.application.describing import Describing
from shoal_server.application.duplicates import Duplicates
from shoal_server.application.facets import Faceting
from shoal_server.application.grouping import Grouping
from shoal_server.application.history import History
from shoal_server.application.images import Images
from shoal_server.application.ingest import Ingest
from shoal_server.application.near_duplicates import NearDuplicates
from shoal_server.application.observations import Observations
from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.overview import Overview
from shoal_server.application.pictures import Pictures
from shoal_server.application.ports import Captioner, Clusterer, EmbeddingEngine, Store
from shoal_server.application.queries import QueryVectors
from shoal_server.application.reassigning import Reassigning
from shoal_server.application.reclustering import Reclustering
from shoal_server.application.scheduling import Scheduling
from shoal_server.application.search import Search
from shoal_server.application.splitting import Splitting
from shoal_server.application.undoing import Undoing
from shoal_server.application.vocabulary import NamingWords
from shoal_server.domain.errors import FolderNotWritable, InvalidField
from shoal_server.domain.naming import Vocabulary, parse_vocabulary
from shoal_server.rpc.cluster_service import ClusterService
from shoal_server.rpc.collection_service import CollectionService
from shoal_server.rpc.curation_service import CurationService
from shoal_server.rpc.duplicate_service import DuplicateService
from shoal_server.rpc.image_service import ImageService
from shoal_server.rpc.server import RpcServer, Services
from shoal_server.rpc.uploads import Uploads
from shoal_server.settings import Settings

_log = logging.getLogger(__name__)


class ClustererProcess(Clusterer, Protocol):
    """A clusterer with a life of its own."""

    async def start(self) -> None:
        """Begins to get ready."""
        ...

    async def aclose(self) -> None:
        """Lets go of everything."""
        ...


@dataclass(frozen=True, slots=True)
class Listening:
    """A server that serves."""

    address: str
    model: str


@asynccontextmanager
async def running(
    settings: Settings, make_clusterer: Callable[[Path], ClustererProcess] = WorkerClusterer
) -> AsyncIterator[Listening]:
    """A whole server, serving while the context is open.

    On leaving, calls in flight are finished, runs ended, the store made durable and closed.

    Args:
        settings: all of them.
        make_clusterer: from a folder for compiled code; tests have one that needs no time.

    Raises:
        ShoalError: the model cannot be loaded, the store not opened.
        OSError: the address cannot be listened on.
    """
    try:
        async with AsyncExitStack() as stack:
            # The model last: it takes seconds to load, and what else is wrong is known at once.
            vocabulary = await asyncio.to_thread(_vocabulary, settings)
            await asyncio.to_thread(_make_writable, settings.data)
            store = await _store(settings)
            stack.push_async_callback(store.close)
            files = await asyncio.to_thread(ParquetRunFiles, _folder_for_store(settings, "runs"))
            stack.callback(files.close)
            image_files = await asyncio.to_thread(FolderImageFiles, _folder_for_store(settings, "files"))
            stack.callback(image_files.close)
            fetcher = UriFetcher(settings.ingest_roots, settings.ingest_http, settings.max_file_bytes)
            stack.push_async_callback(fetcher.aclose)
            engine = await asyncio.to_thread(load_engine, settings.model, settings.cache)
            embedder = await stack.enter_async_context(
                BatchingEmbedder(engine, max_batch=settings.max_batch, max_queue=settings.max_queue)
            )
            decoder = PillowDecoder(
                max_pixels=settings.max_image_pixels, threads=settings.decode_threads, min_side=engine.input_side
            )
            stack.push_async_callback(decoder.aclose)
            clusterer = make_clusterer(settings.cache / "numba")
            stack.push_async_callback(clusterer.aclose)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            words = NamingWords(vocabulary, embedder, NumpyVectorCache(settings.cache / "words"))
            captioner = None if settings.captioner is None else await asyncio.to_thread(_captioner, settings.captioner)
            outside = _Outside(store, files, image_files, decoder, fetcher, embedder, captioner, clusterer, words)
            built = _build(settings, outside, tasks)
            await built.clustering.recover()
            stack.push_async_callback(built.clustering.stop)
            # Stopped before the runs are, so that it starts no new one.
            ticker = ApschedulerTicker()
            stack.push_async_callback(ticker.stop)
            server = RpcServer(built.services, settings.max_message_bytes)
            port = await server.start(settings.listen)
            stack.push_async_callback(server.stop, settings.shutdown_grace_s)
            await clusterer.start()
            await ticker.start(built.scheduling.tick)
            yield Listening(f"{settings.listen.rpartition(':')[0]}:{port}", str(engine.model))
    except BaseExceptionGroup as group:
        # The task group wraps what went wrong while it was open; alone, it needs no wrapping.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


@dataclass(frozen=True, slots=True)
class _Built:
    """What was put together."""

    services: Services
    clustering: Clustering
    scheduling: Scheduling


@dataclass(frozen=True, slots=True)
class _Outside:
    """What the use cases reach the world by."""

    store: Store
    files: ParquetRunFiles
    image_files: FolderImageFiles
    decoder: PillowDecoder
    fetcher: UriFetcher
    embedder: BatchingEmbedder
    captioner: Captioner | None
    clusterer: Clusterer
    words: NamingWords


def _build(settings: Settings, outside: _Outside, tasks: asyncio.TaskGroup) -> _Built:
    store, files, image_files = outside.store, outside.files, outside.image_files
    decoder, embedder, clusterer, words = outside.decoder, outside.embedder, outside.clusterer, outside.words
    collections = OpenCollections(store, files, image_files, embedder.model)
    queries = QueryVectors(store, decoder, embedder)
    search = Search(collections, store, queries)
    captioner = outside.captioner
    describing = Describing(words, None if captioner is None else Captioning(captioner, image_files, decoder))
    reclustering = Reclustering(store, clusterer, files, describing, Grouping(WardTree(), DensePlaces(), words))
    activation = Activation(collections, store, files)
    history = History(collections, store, files, activation, settings.keep_runs)
    observations = Observations(store)
    clustering = Clustering(collections, store, reclustering, activation, history, tasks, observations.ran)
    scheduling = Scheduling(collections, store, clustering, observations, settings.default_schedule)
    correcting = Correcting(collections, store, files, activation, history, describing)
    corrections = Corrections(collections, store, correcting, Splitting(store, clusterer, files))
    ingest = Ingest(
        collections,
        store,
        image_files,
        decoder,
        embedder,
        outside.fetcher,
        NearDuplicates(store),
        max_in_flight=settings.max_in_flight,
        keep_originals=settings.keep_originals,
        on_near_duplicate=settings.near_duplicates,
        changed=observations.changed,
    )
    curation = Curation(collections, store)
    services = Services(
        collections=CollectionService(Overview(collections, store, clustering), scheduling),
        images=ImageService(
            ingest,
            Images(collections, store, image_files, observations.changed),
            search,
            Faceting(collections, store),
            Pictures(collections, store, image_files),
            Uploads(settings.max_file_bytes, settings.max_ingest_bytes),
            settings.stream_window,
        ),
        duplicates=DuplicateService(Duplicates(collections, store)),
        clusters=ClusterService(
            collections,
            curation,
            search,
            Assign(collections, store, queries),
            clustering,
            history,
            corrections,
        ),
        curation=CurationService(
            corrections,
            Undoing(collections, store, files, correcting),
            Reassigning(collections, store, correcting),
            curation,
        ),
    )
    return _Built(services, clustering, scheduling)


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FolderNotWritable(str(folder), error.strerror or str(error)) from error


def _folder_for_store(settings: Settings, kind: str) -> Path:
    """Where files beside a store are: stores must not share them, for their collections have nothing in common."""
    url = settings.qdrant_url
    return settings.data / kind / ("embedded" if url is None else hashlib.sha256(url.encode()).hexdigest()[:16])


async def _store(settings: Settings) -> Store:
    if settings.qdrant_url is None:
        return await EdgeStore.open(settings.data)
    from shoal_server.adapters.qdrant_store import QdrantStore

    key = settings.qdrant_api_key
    return await QdrantStore.connect(
        settings.qdrant_url, None if key is None else key.get_secret_value(), settings.qdrant_grpc_port
    )


def load_engine(model: str, cache: Path) -> EmbeddingEngine:
    """The engine of a model's name; takes seconds.

    Args:
        model: as in the settings.
        cache: folder for what can be computed again.

    Raises:
        ModelUnavailable: it cannot be loaded; the message says what to do.
    """
    # Imported here: each brings its own framework, and only one is used.
    if model == "debug":
        from shoal_server.adapters.debug_embedder import DebugEngine

        return DebugEngine()
    if model == "starter":
        from shoal_server.adapters.starter_embedder import StarterEngine

        return StarterEngine(cache)
    from shoal_server.adapters.open_clip_embedder import OpenClipEngine

    return OpenClipEngine.load(model)


def _captioner(model: str) -> Captioner:
    from shoal_server.adapters.blip_captioner import BlipCaptioner

    return BlipCaptioner.load(model)


def _vocabulary(settings: Settings) -> Vocabulary:
    if settings.vocabulary is not None:
        try:
            return parse_vocabulary(settings.vocabulary.read_text(encoding="utf-8"))
        except (OSError, UnicodeError) as error:
            raise InvalidField("SHOAL_VOCABULARY", f"{settings.vocabulary} cannot be read: {error}") from error
    shipped = importlib.resources.files("shoal_server.vocabulary") / "en.txt"
    return parse_vocabulary(shipped.read_text(encoding="utf-8"))
