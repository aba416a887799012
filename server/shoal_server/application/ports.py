"""What the use cases need from the world, named for the need.

Adapters implement these; none of the methods blocks the event loop. All raise only :class:`ShoalError`s on purpose.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.cluster import Cluster
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.image import DecodedImage, Image, ImageFilter, Pixels, ScoredImage, Vector
from shoal_server.domain.run import ClusteringParameters, ClusteringRun, RunStage


class ImageDecoder(Protocol):
    """Turns a file's bytes into upright pixels and metadata."""

    async def decode(self, content: bytes) -> DecodedImage:
        """Decodes one image.

        Raises:
            UnreadableImage: the bytes cannot be read; the subclass says why.
        """
        ...


class EmbeddingEngine(Protocol):
    """A model, synchronous, in three phases: before, on and after the device.

    ``preprocess`` may be called from several threads at once; the other two are called from one at a time.
    """

    @property
    def model(self) -> EmbeddingModel:
        """What collections record."""
        ...

    def preprocess(self, pixels: Pixels) -> NDArray[np.float32]:
        """Upright RGB uint8 (height, width, 3) to the model's input for one image, float32."""
        ...

    def embed_images(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Preprocessed images to unit vectors, float32, shape (len(inputs), dimension)."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts to unit vectors in the same space, float32, shape (len(texts), dimension)."""
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
        """A text to a unit vector. Raises as :meth:`embed_image`."""
        ...

    async def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Many texts (a vocabulary) to unit vectors, float32 (n, dimension). Raises as :meth:`embed_image`."""
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

    async def update_collection(self, collection: Collection) -> None:
        """Replaces the record of an existing collection."""
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
        vectors: float32 (n, dimension), unit length; shape (n, 0) if they were not asked for.
    """

    ids: list[UUID]
    cluster_ids: NDArray[np.int64]
    vectors: NDArray[np.float32]


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

    async def query_images(
        self,
        collection: str,
        vector: Vector,
        where: ImageFilter,
        limit: int,
        offset: int = 0,
        score_threshold: float | None = None,
    ) -> list[ScoredImage]:
        """The images nearest to a vector by cosine similarity, best first."""
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

    async def set_cluster(self, collection: str, cluster_id: int | None, ids: Sequence[UUID]) -> None:
        """Writes one cluster id (None removes it) to existing images and touches nothing else of their payload."""
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


class Store(CollectionStore, ImageStore, ClusterStore, Protocol):
    """One vector store has all three."""

    async def close(self) -> None:
        """Makes everything durable and lets go of it."""
        ...


@dataclass(frozen=True, slots=True)
class ClusteringResult:
    """What a clusterer found in n vectors.

    Attributes:
        labels: int64 (n,), 0 .. k-1, -1 for noise.
        strengths: float32 (n,), 0 to 1, how firmly an image belongs to its group; 0 for noise.
        coordinates: float32 (n, 2), the map.
        neighbor_rows: int64 (n, m), rows of each image's nearest others by cosine, best first.
        neighbor_similarities: float32 (n, m), their cosine similarities.
    """

    labels: NDArray[np.int64]
    strengths: NDArray[np.float32]
    coordinates: NDArray[np.float32]
    neighbor_rows: NDArray[np.int64]
    neighbor_similarities: NDArray[np.float32]


class Clusterer(Protocol):
    """Finds groups in vectors, outside this process."""

    async def cluster(
        self, vectors: Path, parameters: ClusteringParameters, on_stage: Callable[[RunStage, float], None]
    ) -> ClusteringResult:
        """Groups the unit vectors in a ``.npy`` file, float32 (n, dimension).

        Cancelling the task stops the work within a second. The same input gives the same result.

        Args:
            vectors: the file.
            parameters: how.
            on_stage: called on the event loop with the stage and the share of it that is done, 0 to 1.

        Raises:
            ClusteringFailed: the work failed; nothing of it is left.
        """
        ...


@dataclass(frozen=True, slots=True)
class RunAssignments:
    """A run's outcome for every image it read.

    Attributes:
        ids: of the images.
        cluster_ids: int64 (n,), -1 for none.
        strengths: float32 (n,), 0 to 1.
        coordinates: float32 (n, 2).
    """

    ids: list[UUID]
    cluster_ids: NDArray[np.int64]
    strengths: NDArray[np.float32]
    coordinates: NDArray[np.float32]


class RunFiles(Protocol):
    """Files of a run: too large or too changeable for the points' payload."""

    async def write(self, collection: str, run: str, assignments: RunAssignments) -> None:
        """Writes a run's file, whole or not at all, durably."""
        ...

    async def read(self, collection: str, run: str) -> RunAssignments:
        """Raises:
        RunNotFound: there is no such file.
        """
        ...

    async def delete_collection(self, collection: str) -> None:
        """Removes all files of a collection."""
        ...

    def scratch(self) -> Path:
        """A new folder for temporary files of a run; the caller removes it."""
        ...
