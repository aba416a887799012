"""The use cases and the services in front of them, put together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from shoal_server.adapters.batching import BatchingEmbedder
from shoal_server.adapters.centroid_tree import WardTree
from shoal_server.adapters.files import NamedImageFiles, ParquetRunFiles
from shoal_server.adapters.pillow_decoder import PillowDecoder
from shoal_server.adapters.place_finder import DensePlaces
from shoal_server.adapters.uri_fetcher import UriFetcher
from shoal_server.application.activation import Activation
from shoal_server.application.ancestry import Ancestry
from shoal_server.application.assign import Assign
from shoal_server.application.attaching import AttachableStore, Attaching
from shoal_server.application.backup import Backup
from shoal_server.application.byte_budget import ByteBudget
from shoal_server.application.captioning import Captioning
from shoal_server.application.census import Census
from shoal_server.application.change_feed import ChangeFeed
from shoal_server.application.change_log import Journal
from shoal_server.application.clustering import Clustering
from shoal_server.application.correcting import Correcting
from shoal_server.application.corrections import Corrections
from shoal_server.application.curation import Curation
from shoal_server.application.describing import Describing
from shoal_server.application.duplicates import Duplicates
from shoal_server.application.exporting import Exporting
from shoal_server.application.facets import Faceting
from shoal_server.application.following import Following
from shoal_server.application.geotags import GeotagsOf
from shoal_server.application.grouping import Grouping
from shoal_server.application.history import History
from shoal_server.application.images import Images
from shoal_server.application.ingest import Ingest
from shoal_server.application.journaled_store import journaled_store
from shoal_server.application.measured import MeasuredDecoder, MeasuredEmbedder, measured_store
from shoal_server.application.near_duplicates import NearDuplicates
from shoal_server.application.newcomers import Newcomers, NewcomerStore
from shoal_server.application.observations import Observations
from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.overview import Overview
from shoal_server.application.pictures import Pictures
from shoal_server.application.ports import Captioner, Clusterer, Store
from shoal_server.application.previewing import Previewing
from shoal_server.application.queries import QueryVectors
from shoal_server.application.readings import Readings
from shoal_server.application.reassigning import Reassigning
from shoal_server.application.reclustering import Reclustering
from shoal_server.application.recovering import Recovery
from shoal_server.application.run_map import RunMaps
from shoal_server.application.run_telemetry import RunTelemetry
from shoal_server.application.scheduling import Scheduling
from shoal_server.application.search import Search
from shoal_server.application.shared_runs import SharedRuns
from shoal_server.application.splitting import Splitting
from shoal_server.application.status import Status
from shoal_server.application.timeline import TimelineOf
from shoal_server.application.undoing import Undoing
from shoal_server.application.vitals import Vitals
from shoal_server.application.vocabulary import NamingWords
from shoal_server.bootstrap.stores import Servers, backup_source, space_of
from shoal_server.bootstrap.watching import Instruments, identity_of, show
from shoal_server.domain.sampling import Sampling
from shoal_server.rpc.backup_service import BackupService
from shoal_server.rpc.change_service import ChangeService
from shoal_server.rpc.cluster_service import ClusterService
from shoal_server.rpc.collection_service import CollectionService
from shoal_server.rpc.curation_service import CurationService
from shoal_server.rpc.duplicate_service import DuplicateService
from shoal_server.rpc.image_service import ImageService
from shoal_server.rpc.server import Services
from shoal_server.rpc.status_service import StatusService
from shoal_server.rpc.uploads import Uploads
from shoal_server.settings import Settings
from shoal_server.web.api.use_cases import UseCases


class ClustererProcess(Clusterer, Protocol):
    """A clusterer with a life of its own."""

    async def start(self) -> None:
        """Begins to get ready."""
        ...

    async def aclose(self) -> None:
        """Lets go of everything."""
        ...

    @property
    def deaths(self) -> int:
        """How often it was lost without having been asked to end."""
        ...


@dataclass(frozen=True, slots=True)
class Outside:
    """What the use cases reach the world by."""

    store: Store
    files: ParquetRunFiles
    image_files: NamedImageFiles
    decoder: PillowDecoder
    fetcher: UriFetcher
    embedder: BatchingEmbedder
    captioner: Captioner | None
    clusterer: ClustererProcess
    words: NamingWords
    servers: Servers | None
    journal: Journal
    tools: Instruments
    vitals: Vitals


@dataclass(frozen=True, slots=True)
class Built:
    """What was put together."""

    services: Services
    web: UseCases
    room: ByteBudget
    clustering: Clustering
    recovery: Recovery
    scheduling: Scheduling
    following: Following | None
    newcomers: Newcomers | None
    census: Census


def build(settings: Settings, outside: Outside, tasks: asyncio.TaskGroup) -> Built:
    """Puts the use cases together, and the services in front of them."""
    meter, tracer = outside.tools.meter, outside.tools.tracer
    store = journaled_store(measured_store(outside.store, meter, tracer), outside.journal)
    files, image_files = outside.files, outside.image_files
    decoder = MeasuredDecoder(outside.decoder, meter, tracer)
    embedder = MeasuredEmbedder(outside.embedder, meter, tracer)
    clusterer, words = outside.clusterer, outside.words
    servers = outside.servers
    collections = OpenCollections(
        store,
        files,
        image_files,
        embedder.model,
        None if servers is None else servers.leases,
        mix_precisions=settings.mix_precisions,
    )
    following = None if servers is None else Following(servers.store, collections, servers.leases, settings.lease_s)
    queries = QueryVectors(store, decoder, embedder)
    search = Search(collections, store, queries)
    captioner = outside.captioner
    describing = Describing(words, store, None if captioner is None else Captioning(captioner, image_files, decoder))
    grouping = Grouping(WardTree(), DensePlaces(), words)
    sampling = Sampling(settings.sample_above, settings.sample_size)
    reclustering = Reclustering(store, clusterer, files, describing, grouping, space_of(settings), sampling)
    activation = Activation(collections, store, files, None if following is None else following.all_have_looked)
    history = History(collections, store, files, activation, settings.keep_runs)
    observations = Observations(store)
    runs = RunTelemetry(meter, tracer)
    shared_runs = None if servers is None else SharedRuns(store, servers.store, servers.leases)
    clustering = Clustering(
        collections,
        store,
        reclustering,
        activation,
        history,
        tasks,
        observations.ran,
        shared_runs,
        runs.told,
    )
    recovery = Recovery(collections, store, activation, history, clustering.carries_out, shared_runs)
    if following is not None:
        collections.finish = recovery.finish
        following.stand_in = recovery.stand_in
        following.changed = observations.look_again
    scheduling = Scheduling(
        collections, store, clustering, observations, settings.default_schedule, shared=servers is not None
    )
    correcting = Correcting(collections, store, files, activation, history, describing)
    previewing = Previewing(correcting)
    splitting = Splitting(store, clusterer, files, sampling)
    corrections = Corrections(collections, store, correcting, splitting)
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
        dealt_with=meter.ingested,
    )
    curation = Curation(collections, store)
    attaching = Attaching(
        collections,
        outside.store if isinstance(outside.store, AttachableStore) else None,
        files,
        embedder.model,
        clustering,
        outside.journal.forget,
    )
    newcomers = (
        Newcomers(collections, store, outside.store, files, observations.changed)
        if isinstance(outside.store, NewcomerStore)
        else None
    )
    room = ByteBudget(settings.max_ingest_bytes)
    census = Census(collections, store, observations)
    identity = identity_of(settings)

    def others() -> int:
        return 0 if following is None else following.others

    def readings() -> Readings:
        return Readings(
            queue_length=outside.embedder.waiting,
            queue_limit=outside.embedder.limit,
            ingest_bytes=room.used,
            ingest_limit_bytes=settings.max_ingest_bytes,
            model_breakdowns=outside.embedder.breakdowns,
            worker_restarts=outside.clusterer.deaths,
            store_latency_s=outside.vitals.store_latency_s,
            other_servers=others(),
            problems=outside.vitals.problems,
            runs=runs.under_way,
            collections=census.known,
        )

    show(meter, identity, embedder.model.name, readings)
    status = Status(
        identity,
        outside.vitals,
        outside.embedder,
        lambda: (outside.embedder.waiting, outside.embedder.limit),
        census,
        runs,
        clustering,
        others,
    )
    images = Images(collections, store, image_files, observations.changed)
    web = UseCases(
        status=status,
        collections=collections,
        overview=Overview(collections, store, clustering),
        scheduling=scheduling,
        ingest=ingest,
        images=images,
        pictures=Pictures(collections, store, image_files),
        search=search,
        assign=Assign(collections, store, queries),
        faceting=Faceting(collections, store),
        timeline=TimelineOf(collections, store),
        geotags=GeotagsOf(collections, store),
        curation=curation,
        ancestry=Ancestry(collections, store),
        corrections=corrections,
        previews=Corrections(collections, store, previewing, splitting),
        undoing=Undoing(collections, store, files, correcting, previewing),
        reassigning=Reassigning(collections, store, correcting, previewing),
        clustering=clustering,
        history=history,
        maps=RunMaps(collections, store, files, history),
        duplicates=Duplicates(collections, store),
        exporting=Exporting(collections, files, images),
    )
    services = Services(
        collections=CollectionService(web.overview, scheduling, attaching),
        images=ImageService(
            ingest,
            images,
            search,
            web.faceting,
            web.pictures,
            Uploads(settings.max_file_bytes, room),
            settings.stream_window,
        ),
        duplicates=DuplicateService(web.duplicates),
        clusters=ClusterService(collections, curation, search, web.assign, clustering, history, corrections),
        curation=CurationService(corrections, web.undoing, web.reassigning, curation),
        changes=ChangeService(ChangeFeed(collections, store, outside.journal)),
        backup=BackupService(Backup(collections, backup_source(settings, outside.store))),
        status=StatusService(status),
    )
    return Built(services, web, room, clustering, recovery, scheduling, following, newcomers, census)
