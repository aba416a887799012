"""What the use cases need from the world, named for the need.

Adapters implement these; none of the methods blocks the event loop. All raise only :class:`ShoalError`s on purpose.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.cluster import Cluster
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.correction import Correction, Moves
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.groupings import Groupings
from shoal_server.domain.image import DecodedImage, Image, Location, Pixels, ScoredImage, Vector
from shoal_server.domain.lease import Fence
from shoal_server.domain.run import ClusteringParameters, ClusteringRun, RunStage, Trial

#: As many of the nearest images are put into an order that prefers what is new.
DIVERSE_AMONG = 500


class ImageDecoder(Protocol):
    """Turns a file's bytes into upright pixels and metadata."""

    async def decode(self, content: bytes, *, with_preview: bool = False) -> DecodedImage:
        """Decodes one image, no larger than the model and the preview need it where that is faster.

        Args:
            content: the file's bytes.
            with_preview: make a thumbnail and a perceptual hash too.

        Raises:
            UnreadableImage: the bytes cannot be read; the subclass says why.
        """
        ...


class ContentFetcher(Protocol):
    """Reads files for clients that only say where they are."""

    async def fetch(self, uri: str) -> bytes:
        """The bytes of a file that the server may read.

        Args:
            uri: ``file://``, ``http://`` or ``https://``.

        Raises:
            FetchNotAllowed: this server does not read there, or reads nothing by URI at all.
            FetchFailed: it may, but the file cannot be had.
            FetchUnavailable: it cannot be had just now; later, it may be.
            FileTooLarge: it has more bytes than are taken.
        """
        ...


class FileKind(Enum):
    """A file that is kept for an image."""

    THUMBNAIL = "thumbnails"
    ORIGINAL = "originals"


class ImageFiles(Protocol):
    """Files of images, by the image's id: the same bytes have the same id."""

    async def put(self, collection: str, image: UUID, kind: FileKind, content: bytes) -> None:
        """Keeps a file, whole or not at all; one that is there is replaced. An original is durable on return."""
        ...

    async def size(self, collection: str, image: UUID, kind: FileKind) -> int | None:
        """Bytes of a file; None if there is none."""
        ...

    def read(self, collection: str, image: UUID, kind: FileKind) -> AsyncIterator[bytes]:
        """A file's bytes in parts of at most 1 MiB.

        Raises:
            FileNotKept: there is none.
        """
        ...

    async def delete(self, collection: str, images: Sequence[UUID]) -> None:
        """Removes all files of these images; what is not there is passed over."""
        ...

    async def delete_collection(self, collection: str) -> None:
        """Removes all files of a collection."""
        ...


class Purpose(Enum):
    """What something is written for; the lower in this list, the more of the last room on a disk it may use."""

    GROW = "grow"  # something new is stored
    FINISH = "finish"  # what was begun is finished, or room is made
    OPEN = "open"  # a store is opened


class FreeSpace(Protocol):
    """The room that is left where a server stores."""

    def check(self, purpose: Purpose, needed: int = 0) -> None:
        """Asked before every write; quick.

        Args:
            purpose: of the write.
            needed: its bytes, if it is a large one.

        Raises:
            StoreFull: there is too little room for it.
        """
        ...


class EmbeddingEngine(Protocol):
    """A model, synchronous, in three phases: before, on and after the device.

    ``preprocess`` may be called from several threads at once, ``embed_images`` from as many as ``passes_at_once`` says,
    ``embed_texts`` from one at a time, also beside ``embed_images``.
    """

    @property
    def model(self) -> EmbeddingModel:
        """What collections record."""
        ...

    @property
    def input_side(self) -> int:
        """Pixels of the shorter side that preprocessing scales an image to; a larger image gives no better vector."""
        ...

    @property
    def passes_at_once(self) -> int:
        """How many passes share the device well, at least 1; on a CPU, as many as it has cores."""
        ...

    @property
    def batch_size(self) -> int:
        """Images in one pass, at least 1; more are no faster, and whoever comes next waits the longer."""
        ...

    def preprocess(self, pixels: Pixels) -> NDArray[np.float32]:
        """Upright RGB uint8 (height, width, 3) to the model's input for one image, float32."""
        ...

    def embed_images(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Preprocessed images to unit vectors, float32, shape (len(inputs), dimension)."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts to unit vectors in the same space, float32, shape (len(texts), dimension).

        Raises:
            ReadsNoText: the model's ``reads_text`` is False.
        """
        ...


class Embedder(Protocol):
    """The model as the use cases see it: one thing at a time, batches form behind it."""

    @property
    def model(self) -> EmbeddingModel:
        """What collections record."""
        ...

    async def embed_image(self, pixels: Pixels) -> Vector:
        """Upright RGB uint8 (height, width, 3) to a unit vector.

        Raises:
            Overloaded: the queue is full.
            ModelFailed: the model raised an error.
        """
        ...

    async def embed_text(self, text: str) -> Vector:
        """A text to a unit vector. Raises as :meth:`embed_image`, and ReadsNoText."""
        ...

    async def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Many texts (a vocabulary) to unit vectors, float32 (n, dimension). Raises as :meth:`embed_image`."""
        ...


class Captioner(Protocol):
    """Says in words what images show."""

    def caption(self, pixels: Sequence[Pixels]) -> list[str]:
        """One short English caption for each upright RGB image, uint8 (height, width, 3); blocks."""
        ...


class CollectionStore(Protocol):
    """Records of collections; writing one is atomic and durable."""

    async def create_collection(self, collection: Collection) -> None:
        """Makes the room for its images and clusters, payload indexes first, then the record.

        Raises:
            CollectionExists: there is one of that id.
        """
        ...

    async def get_collection(self, collection: str) -> Collection:
        """Raises:
        CollectionNotFound: there is none of that id.
        """
        ...

    async def list_collections(self) -> list[Collection]:
        """All, by id."""
        ...

    async def update_collection(self, collection: Collection, fence: Fence | None = None) -> None:
        """Replaces the record of an existing collection, if this is its next version.

        Args:
            collection: with a ``version`` one above that of the record in the store.
            fence: a lease that must be as it says, where several servers share the store.

        Raises:
            CollectionNotFound: there is none of that id.
            RecordChanged: the record in the store has another version.
            LeaseLost: another server has the lease.
        """
        ...

    async def delete_collection(self, collection: str) -> None:
        """Removes the record first, then images, clusters and run records.

        Raises:
            CollectionNotFound: there is none of that id.
        """
        ...


@dataclass(frozen=True, slots=True)
class StoredVectors:
    """A stretch of a collection.

    Attributes:
        ids: of the images.
        cluster_ids: int64 (n,), -1 for none.
        place_ids: int64 (n,), -1 for none.
        moment_ids: int64 (n,), -1 for none.
        captured_at: RFC 3339 texts, or None.
        locations: where they were taken, or None.
        vectors: float32 (n, dimension), unit length; shape (n, 0) if they were not asked for.
    """

    ids: list[UUID]
    cluster_ids: NDArray[np.int64]
    place_ids: NDArray[np.int64]
    moment_ids: NDArray[np.int64]
    captured_at: list[str | None]
    locations: list[Location | None]
    vectors: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CapturePosition:
    """How far a listing by capture time has come: to an image.

    Attributes:
        captured_local: ISO text of its capture time, as its camera's clock showed it.
        image: its id.
    """

    captured_local: str
    image: UUID


class ImageStore(Protocol):
    """Images and their vectors. A write that has returned survives a crash.

    Every method raises CollectionNotFound if there is no such collection.
    """

    async def upsert_images(self, collection: str, images: Sequence[tuple[Image, Vector]]) -> None:
        """Stores images with their vectors; those of the same id are replaced."""
        ...

    async def get_images(self, collection: str, ids: Sequence[UUID]) -> dict[UUID, Image]:
        """The images of these ids; unknown ids are absent."""
        ...

    async def get_vectors(self, collection: str, ids: Sequence[UUID]) -> dict[UUID, Vector]:
        """The unit vectors of these ids; unknown ids are absent."""
        ...

    async def delete_images(self, collection: str, ids: Sequence[UUID]) -> None:
        """Removes images; unknown ids are passed over."""
        ...

    async def count_images(self, collection: str, where: ImageFilter) -> int:
        """How many images, exactly."""
        ...

    async def count_by_cluster(self, collection: str) -> dict[int, int]:
        """Images per cluster id, exactly; ids without images are absent."""
        ...

    async def count_by(self, collection: str, field: str, where: ImageFilter) -> dict[str | int, int]:
        """Images per value of a field, exactly; values without images are absent.

        Args:
            collection: which.
            field: of the payload, with an index of keywords or integers.
            where: which images are counted.
        """
        ...

    async def page_images(
        self, collection: str, where: ImageFilter, after: UUID | None, limit: int
    ) -> tuple[list[Image], UUID | None]:
        """Images in the order of their ids.

        Args:
            where: which.
            after: the second part of the answer before; None begins.
            limit: at most this many, at least 1.

        Returns:
            The images, and what to pass as ``after`` for the next page, or None if this is the last.
        """
        ...

    async def page_by_capture(
        self, collection: str, where: ImageFilter, after: CapturePosition | None, limit: int, descending: bool
    ) -> tuple[list[Image], CapturePosition | None]:
        """Images with a capture time, in the order of what the camera's clock showed; equal times in any fixed order.

        Args:
            collection: which.
            where: which images; those without a capture time are left out in any case.
            after: the second part of the answer before; None begins.
            limit: at most this many, at least 1.
            descending: latest first.

        Returns:
            The images, and what to pass as ``after`` for the next page, or None if this is the last.
        """
        ...

    async def query_images(
        self,
        collection: str,
        vector: Vector,
        where: ImageFilter,
        limit: int,
        offset: int = 0,
        score_threshold: float | None = None,
        diversity: float = 0.0,
    ) -> list[ScoredImage]:
        """The images nearest to a vector by cosine similarity, best first.

        Args:
            collection: which.
            vector: unit length.
            where: which images.
            limit: at most this many.
            offset: of the order, this many are left out before.
            score_threshold: images that score less are left out.
            diversity: 0 to 1; above 0, the order is by maximal marginal relevance (Carbonell and Goldstein 1998) among
                the DIVERSE_AMONG nearest, with lambda = 1 - diversity: each next image is good and unlike those
                before it. The scores are similarities to the vector all the same.
        """
        ...

    async def query_neighbors(
        self, collection: str, vectors: NDArray[np.float32], where: ImageFilter, limit: int
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """For each row of vectors, the cluster ids (-1 for none) and cosine similarities of its nearest images.

        Best first, at most ``limit`` each; one round trip, no metadata read.
        """
        ...

    def scan_vectors(
        self, collection: str, with_vectors: bool = True, batch: int = 1024
    ) -> AsyncIterator[StoredVectors]:
        """The whole collection in batches, in the order of the ids."""
        ...

    async def update_image(self, collection: str, image: Image) -> None:
        """Writes what may change of an existing image: its uri, also_at, tags, attributes and phash, and nothing else.

        An image that is gone meanwhile is passed over.
        """
        ...

    async def set_group(self, collection: str, field: str, group_id: int | None, ids: Sequence[UUID]) -> None:
        """Writes one id (None removes it) to existing images and touches nothing else of their payload.

        Args:
            collection: which.
            field: one of :data:`shoal_server.domain.payload.GROUP_FIELDS`.
            group_id: the id.
            ids: of the images; unknown ones are passed over.
        """
        ...

    async def optimize(self, collection: str) -> None:
        """Asks for indexes to be rebuilt after bulk work; returns at once, the work is done in the background."""
        ...


class ClusterStore(Protocol):
    """Cluster sets (one for each run) and run records. Every write is durable."""

    async def put_clusters(self, collection: str, run: str, clusters: Sequence[Cluster]) -> None:
        """Stores a run's whole set of clusters; what stood there for the run is replaced."""
        ...

    async def get_clusters(self, collection: str, run: str) -> list[Cluster]:
        """A run's clusters by id, with their centroids; empty if it has none."""
        ...

    async def put_cluster(self, collection: str, run: str, cluster: Cluster) -> None:
        """Replaces one cluster of a run."""
        ...

    async def delete_clusters(self, collection: str, run: str) -> None:
        """Removes a run's set."""
        ...

    async def put_run(self, collection: str, run: ClusteringRun) -> None:
        """Stores or replaces a run's record, atomically."""
        ...

    async def get_run(self, collection: str, run: str) -> ClusteringRun:
        """Raises:
        RunNotFound: there is none of that id.
        """
        ...

    async def list_runs(self, collection: str) -> list[ClusteringRun]:
        """All, newest first."""
        ...

    async def delete_run(self, collection: str, run: str) -> None:
        """Removes a run's record; one that is not there is passed over."""
        ...

    async def put_groupings(self, collection: str, run: str, groupings: Groupings) -> None:
        """Stores or replaces a run's themes, places and moments, atomically."""
        ...

    async def get_groupings(self, collection: str, run: str) -> Groupings:
        """A run's themes, places and moments; empty if it has none."""
        ...

    async def delete_groupings(self, collection: str, run: str) -> None:
        """Removes them; a run that has none is passed over."""
        ...

    async def put_correction(self, collection: str, correction: Correction) -> None:
        """Stores or replaces a correction's record, atomically."""
        ...

    async def get_correction(self, collection: str, correction: str) -> Correction:
        """Raises:
        CorrectionNotFound: there is none of that id.
        """
        ...

    async def list_corrections(self, collection: str) -> list[Correction]:
        """All, newest first."""
        ...

    async def delete_correction(self, collection: str, correction: str) -> None:
        """Removes a correction's record; one that is not there is passed over."""
        ...


class Store(CollectionStore, ImageStore, ClusterStore, Protocol):
    """One vector store has all three."""

    async def close(self) -> None:
        """Makes everything durable and lets go of it."""
        ...


@dataclass(frozen=True, slots=True)
class Before:
    """What the run before knows of the same n images, so that a small change stays small.

    An image whose vector is another one now is to it an image that it did not know.

    Attributes:
        cluster_ids: int64 (n,), the clusters as they are, corrections included; -1 for none, for images with another
            vector, and everywhere if the clusters are to be found afresh.
        reduced: float32 (n, r), where the run before had them in the space it grouped; rows of NaN for images that it
            did not know; r is 0 if there was none or it reduced differently.
        parameters: what it used, if it was asked for in the same way.
        unchanged: it read exactly these images with these vectors and was asked for in the same way.
    """

    cluster_ids: NDArray[np.int64]
    reduced: NDArray[np.float32]
    parameters: ClusteringParameters | None = None
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class ClusteringResult:
    """What a clusterer found in n vectors.

    Attributes:
        labels: int64 (n,), 0 .. k-1, -1 for noise.
        strengths: float32 (n,), 0 to 1, how firmly an image belongs to its group; 0 for noise.
        coordinates: float32 (n, 2), the map.
        reduced: float32 (n, r), the space that was grouped; r is 0 if that were the vectors themselves.
        neighbor_rows: int64 (n, m), rows of each image's nearest others by cosine, best first; where only a sample was
            clustered, those of an image that is not in it are in it.
        neighbor_similarities: float32 (n, m), their cosine similarities.
        parameters: what was used, with what a search found filled in.
        trials: what the search tried, in that order; empty if nothing was left to search.
        quality: label-free figures by name: ``silhouette`` (-1 to 1), ``relative_validity`` (DBCV, -1 to 1).
    """

    labels: NDArray[np.int64]
    strengths: NDArray[np.float32]
    coordinates: NDArray[np.float32]
    reduced: NDArray[np.float32]
    neighbor_rows: NDArray[np.int64]
    neighbor_similarities: NDArray[np.float32]
    parameters: ClusteringParameters
    trials: tuple[Trial, ...] = ()
    quality: Mapping[str, float] = field(default_factory=dict)


class Clusterer(Protocol):
    """Finds groups in vectors, outside this process."""

    async def cluster(
        self,
        vectors: Path,
        parameters: ClusteringParameters,
        on_stage: Callable[[RunStage, float], None],
        before: Before | None = None,
        sample: NDArray[np.int64] | None = None,
    ) -> ClusteringResult:
        """Groups the unit vectors in a ``.npy`` file, float32 (n, dimension).

        Cancelling the task stops the work within a second. The same input gives the same result.

        Args:
            vectors: the file.
            parameters: how.
            on_stage: called on the event loop with the stage and the share of it that is done, 0 to 1.
            before: what was there before; None the first time.
            sample: rows to cluster, ascending; the others are assigned to what is found by a vote of their neighbours
                among these. None: all are clustered.

        Raises:
            ClusteringFailed: the work failed; nothing of it is left.
        """
        ...


@dataclass(frozen=True, slots=True)
class RunAssignments:
    """A run's outcome for every image it read, and for those that came since: while it was in force, or while it was
    under way if a person put them somewhere.

    Attributes:
        ids: of the images.
        cluster_ids: int64 (n,), -1 for none.
        strengths: float32 (n,), 0 to 1.
        coordinates: float32 (n, 2), the map; NaN for images that the run did not read.
        reduced: float32 (n, r), the space that was grouped; NaN for images that the run did not read; r may be 0.
        fingerprints: float32 (n,), of the vectors that the run read (:mod:`shoal_server.domain.fingerprints`); NaN for
            images that it did not read, and where it did not note them.
        placed: bool (n,), a person put the image where it is.
        last_ids: int64 (n,), the cluster that it is in, or was in last; -1 if it never was in one.
        dissolved_ids: int64 (n,), the cluster that a person dissolved and whose group it belongs to, -1 for none.
        place_ids: int64 (n,), -1 for none.
        moment_ids: int64 (n,), -1 for none.
        gone: how many images that the run read were deleted since and are not among the n; a file that is written again
            without them says so.
    """

    ids: list[UUID]
    cluster_ids: NDArray[np.int64]
    strengths: NDArray[np.float32]
    coordinates: NDArray[np.float32]
    reduced: NDArray[np.float32]
    fingerprints: NDArray[np.float32]
    placed: NDArray[np.bool_]
    last_ids: NDArray[np.int64]
    dissolved_ids: NDArray[np.int64]
    place_ids: NDArray[np.int64]
    moment_ids: NDArray[np.int64]
    gone: int = 0


class RunFiles(Protocol):
    """Files of runs: too large or too changeable for the points' payload."""

    async def write(self, collection: str, run: str, assignments: RunAssignments) -> None:
        """Writes a run's file, whole or not at all, durably; one that is there is replaced."""
        ...

    async def read(self, collection: str, run: str) -> RunAssignments:
        """Raises:
        RunNotFound: there is no such file.
        """
        ...

    async def delete(self, collection: str, run: str) -> None:
        """Removes a run's file; one that is not there is passed over."""
        ...

    async def write_moves(self, collection: str, correction: str, moves: Moves) -> None:
        """Writes which images a correction put where, whole or not at all, durably."""
        ...

    async def read_moves(self, collection: str, correction: str) -> Moves:
        """Raises:
        CorrectionNotFound: there is no such file.
        """
        ...

    async def delete_collection(self, collection: str) -> None:
        """Removes all files of a collection."""
        ...

    def scratch(self) -> Path:
        """A new folder for temporary files of a run; the caller removes it."""
        ...
