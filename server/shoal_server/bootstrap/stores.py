"""Where things are kept: the store, files, the log of changes, and other servers on the same store."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from shoal_server.adapters.change_files import ChangeFiles
from shoal_server.adapters.edge_store import EdgeStore, OpenFolder
from shoal_server.adapters.files import Folder, ObjectStorage, ParquetRunFiles, Place
from shoal_server.adapters.free_space import DiskSpace
from shoal_server.adapters.server_identity import ServerIdentity
from shoal_server.application.change_log import ChangeLog
from shoal_server.application.leases import Leases
from shoal_server.application.ports import Store
from shoal_server.application.shared_store import SharedStore
from shoal_server.domain.errors import FolderNotWritable
from shoal_server.settings import Settings

if TYPE_CHECKING:
    from shoal_server.adapters.qdrant_store import QdrantStore

AnyQdrantStore = TypeVar("AnyQdrantStore", bound="QdrantStore")


@dataclass(frozen=True, slots=True)
class Servers:
    """This server as one of several on its store."""

    identity: ServerIdentity
    store: SharedStore
    leases: Leases


def servers_on(settings: Settings, store: Store) -> Servers | None:
    """None where the store can only be this process's."""
    if not isinstance(store, SharedStore):
        return None
    identity = ServerIdentity.open(settings.data)
    return Servers(identity, store, Leases(store, identity.id, settings.lease_s))


async def open_store(settings: Settings) -> Store:
    """The store that the settings say: in the data folder, or on a Qdrant server."""
    if settings.qdrant_url is None:
        return await EdgeStore.open(settings.data, space=space_of(settings))
    from shoal_server.adapters.qdrant_store import QdrantStore

    return await open_qdrant(settings, QdrantStore)


async def open_qdrant(settings: Settings, kind: type[AnyQdrantStore]) -> AnyQdrantStore:
    """Connects to the Qdrant server of the settings, as one of the adapter's kinds."""
    from shoal_server.adapters.qdrant_store import Tuning

    key = settings.qdrant_api_key
    tuning = Tuning(
        hnsw_m=settings.qdrant_hnsw_m,
        hnsw_ef_construct=settings.qdrant_hnsw_ef_construct,
        search_ef=settings.qdrant_search_ef,
        quantization=settings.qdrant_quantization,
        rescore=settings.qdrant_rescore,
        oversampling=settings.qdrant_oversampling,
        vectors_on_disk=settings.qdrant_vectors_on_disk,
        payload_on_disk=settings.qdrant_payload_on_disk,
        shards=settings.qdrant_shards,
        replicas=settings.qdrant_replicas,
        write_consistency=settings.qdrant_write_consistency,
        ordering=settings.qdrant_write_ordering,
        read_consistency=settings.qdrant_read_consistency,
        batch=settings.qdrant_batch,
        parallel_upserts=settings.qdrant_parallel_upserts,
        timeout_s=settings.qdrant_timeout_s,
    )
    return await kind.connect(
        str(settings.qdrant_url),
        None if key is None else key.get_secret_value(),
        settings.qdrant_grpc_port,
        tuning,
        settings.store_wait_s,
    )


def change_log_of(settings: Settings, store: Store) -> ChangeLog:
    """Where other servers write to the same store, they share the log as well."""
    if not isinstance(store, SharedStore):
        return ChangeFiles(folder_for_store(settings, "changes"), settings.change_log_size)
    from shoal_server.adapters.qdrant_store import QdrantChanges, QdrantStore

    if not isinstance(store, QdrantStore):
        raise TypeError(f"no change log for {type(store).__name__}")
    return QdrantChanges(store.connection, settings.change_log_size)


def make_writable(folder: Path) -> None:
    """Makes a folder.

    Raises:
        FolderNotWritable: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FolderNotWritable(str(folder), error.strerror or str(error)) from error


def space_of(settings: Settings) -> DiskSpace:
    """Says whether there is room in the data folder."""
    return DiskSpace(settings.data, settings.min_free_bytes)


def run_files_of(settings: Settings) -> ParquetRunFiles:
    """Where the files of runs are."""
    place = place_of_files(settings, "runs")
    # Where the files are far away, what is temporary still is here.
    local = place if isinstance(place, Folder) and not place.shared else Folder(settings.data / "scratch")
    return ParquetRunFiles(place, local)


def place_of_files(settings: Settings, kind: str) -> Place:
    """Where files of a kind are."""
    if settings.files_url is None:
        return Folder(folder_for_store(settings, kind), space=space_of(settings))
    url = f"{settings.files_url.rstrip('/')}/{kind}"
    if url.startswith("file://"):
        return Folder(Path(url.removeprefix("file://")), shared=True)
    return ObjectStorage(url)


def folder_for_store(settings: Settings, kind: str) -> Path:
    """Where files beside a store are: stores must not share them, for their collections have nothing in common."""
    url = settings.qdrant_url
    return settings.data / kind / ("embedded" if url is None else hashlib.sha256(url.encode()).hexdigest()[:16])


def backup_source(settings: Settings, store: Store) -> OpenFolder | None:
    """None where the data folder does not hold the store."""
    if not isinstance(store, EdgeStore):
        return None
    return OpenFolder(store, settings.data, *_backed_up_folders(settings))


def _backed_up_folders(settings: Settings) -> tuple[Path | None, Path | None]:
    """Folders of the files of runs and of images, as far as they are in the data folder."""
    if settings.files_url is not None:
        return None, None
    return folder_for_store(settings, "runs"), folder_for_store(settings, "files")
