"""What the client answers with: frozen dataclasses of plain Python values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from shoal_client.errors import ShoalError


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """The model that turns a collection's images and texts into vectors.

    Attributes:
        name: for instance ``ViT-B-32/datacomp_xl_s13b_b90k``.
        digest: of the weights, ``sha256:`` and 64 hexadecimal digits.
        dimension: length of the vectors.
    """

    name: str
    digest: str
    dimension: int


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection as it was when asked for.

    Attributes:
        image_count: number of images stored.
        unclustered_count: number of images in no cluster.
        cluster_count: number of clusters of the active run.
        active_run: id of the run whose clusters are in force; None before the first.
    """

    id: str
    model: EmbeddingModel
    created_at: datetime
    image_count: int
    unclustered_count: int
    cluster_count: int
    active_run: str | None


@dataclass(frozen=True, slots=True)
class Location:
    """WGS 84 degrees: latitude -90 to 90, longitude -180 to 180."""

    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    """What was read from an image file. None: not in the file, or senseless there.

    Attributes:
        width: pixels, upright.
        height: pixels, upright.
        format: ``JPEG``, ``PNG``, ...
        byte_size: of the file.
        orientation: EXIF orientation as found, 1 to 8.
        captured_at: RFC 3339 text; without an offset where the camera recorded none.
        exposure_s: seconds.
        focal_length_mm: millimetres, not scaled to 35 mm film.
    """

    width: int
    height: int
    format: str
    byte_size: int
    orientation: int | None = None
    captured_at: str | None = None
    location: Location | None = None
    camera_make: str | None = None
    camera_model: str | None = None
    lens: str | None = None
    iso: int | None = None
    f_number: float | None = None
    exposure_s: float | None = None
    focal_length_mm: float | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """A stored image; the picture itself stays at ``uri``.

    Attributes:
        id: UUIDv5 of the bytes' SHA-256: the same bytes always have the same id.
        cluster_id: None if it is in no cluster.
    """

    id: str
    sha256: str
    uri: str
    tags: tuple[str, ...]
    cluster_id: int | None
    metadata: ImageMetadata
    ingested_at: datetime


@dataclass(frozen=True, slots=True)
class ImageMatch:
    """An image and its cosine similarity (-1 to 1) to a query."""

    image: Image
    score: float


class Outcome(Enum):
    """What became of one image of an ingest."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of one image of an ingest.

    Attributes:
        index: its place in what was ingested, from 0.
        uri: as sent.
        outcome: DUPLICATE means that the same bytes were stored before; the stored image is as it was.
        image: as stored; None if it failed.
        error: why it failed; None if it did not.
    """

    index: int
    uri: str
    outcome: Outcome
    image: Image | None = None
    error: ShoalError | None = None


class NameSource(Enum):
    """Who chose a cluster's name; UNKNOWN: the server is newer than this client."""

    UNKNOWN = "unknown"
    AUTOMATIC = "automatic"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class NameCandidate:
    """A name that fits a cluster; scores can be compared within one cluster only."""

    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """A group of images that belong together; its id stays with the group over reclusterings.

    Attributes:
        name: what people call it.
        size: number of images that are in it now.
        run_size: number of images that the active run put into it.
        exemplars: ids of its most typical images, the most typical first.
        cohesion: mean cosine similarity of its images to its centroid, -1 to 1.
        assign_threshold: a new image joins if its neighbours in it are at least this similar, -1 to 1.
    """

    id: int
    name: str
    name_source: NameSource
    name_candidates: tuple[NameCandidate, ...]
    size: int
    run_size: int
    exemplars: tuple[str, ...]
    cohesion: float
    assign_threshold: float
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ClusterMatch:
    """A cluster and the cosine similarity (-1 to 1) of its centroid to a query."""

    cluster: Cluster
    score: float


@dataclass(frozen=True, slots=True)
class Alternative:
    """A cluster that got votes for an image.

    Attributes:
        similarity: mean cosine similarity to the neighbours in it, -1 to 1.
        share: of the vote, 0 to 1.
    """

    cluster_id: int
    name: str
    similarity: float
    share: float


@dataclass(frozen=True, slots=True)
class Assignment:
    """The cluster that an image belongs to.

    Attributes:
        cluster_id: None if the image is an outlier.
        name: None if the image is an outlier.
        similarity: mean cosine similarity to the neighbours in the winning cluster, -1 to 1.
        outlier: the image is less similar to every cluster than that cluster's own images are.
        alternatives: all clusters that got votes, the winner first, also when the image is an outlier.
    """

    cluster_id: int | None
    name: str | None
    similarity: float
    outlier: bool
    alternatives: tuple[Alternative, ...]


class RunState(Enum):
    """What became of a run so far; UNKNOWN: the server is newer than this client."""

    UNKNOWN = "unknown"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunStage(Enum):
    """What a run is doing, in order; UNKNOWN: not begun, or the server is newer than this client."""

    UNKNOWN = "unknown"
    READING = "reading"
    NEIGHBORS = "neighbors"
    REDUCING = "reducing"
    GROUPING = "grouping"
    MAPPING = "mapping"
    MATCHING = "matching"
    WRITING = "writing"


@dataclass(frozen=True, slots=True)
class ClusteringParameters:
    """How to cluster; None leaves the choice to the server, which tells in the run what it chose.

    Attributes:
        n_neighbors: UMAP's neighbourhood, 2 to 200.
        n_components: dimensions that UMAP reduces to before grouping, 2 to 100.
        min_cluster_size: HDBSCAN's smallest cluster, at least 2.
        min_samples: HDBSCAN's conservatism, at least 1; larger means more noise.
        seed: of everything random, 0 to 2**32 - 1.
    """

    n_neighbors: int | None = None
    n_components: int | None = None
    min_cluster_size: int | None = None
    min_samples: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class ClusteringSummary:
    """What came out of a run; all are counts.

    Attributes:
        images: images read.
        clustered: images in a cluster.
        noise: images in none.
        payload_writes: images whose stored cluster id was changed.
        kept: clusters that kept the id of a former one.
        born: clusters with a new id.
        dissolved: former clusters that are no more.
    """

    images: int
    clusters: int
    clustered: int
    noise: int
    payload_writes: int
    kept: int
    born: int
    dissolved: int


@dataclass(frozen=True, slots=True)
class ClusteringRun:
    """One reclustering of a collection, as it was when asked for.

    Attributes:
        progress: how much of all of it is done, 0 to 1; an estimate.
        ended_at: None while it runs.
        error: why it failed; None unless it did.
        active: whether its clusters are in force.
        summary: None unless it succeeded.
    """

    id: str
    state: RunState
    stage: RunStage
    progress: float
    created_at: datetime
    ended_at: datetime | None = None
    error: ShoalError | None = None
    active: bool = False
    parameters: ClusteringParameters = field(default_factory=ClusteringParameters)
    summary: ClusteringSummary | None = None
