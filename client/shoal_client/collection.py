"""One collection, synchronously."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from shoal_client.areas.finding import DEFAULT_FACETS
from shoal_client.async_collection import AsyncCollection
from shoal_client.event_loop_thread import EventLoopThread
from shoal_client.filters import Attribute, ImageFilter
from shoal_client.ingest import PATIENCE_S
from shoal_client.paging import MAX_PAGE
from shoal_client.queries import ImageOrder, Term
from shoal_client.results import (
    Assignment,
    AssignmentChanges,
    Cluster,
    ClusteringParameters,
    ClusteringRun,
    ClusterMatch,
    Correction,
    CorrectionResult,
    DuplicateGroup,
    ExportedImage,
    FacetField,
    Facets,
    Image,
    ImageMatch,
    IngestResult,
    Moment,
    NoiseReassignment,
    Place,
    RunComparison,
    Schedule,
    ScheduleStatus,
    Theme,
)
from shoal_client.sources import ImageInput, ImageSource, NearDuplicates


class Collection:
    """A handle on a collection of the server: every method waits for the one of the same name of AsyncCollection.

    Get it from :meth:`shoal_client.Client.collection`. An iterator begins its work with its first item and stops it
    when it is closed or thrown away.

    Attributes:
        id: the collection's.
    """

    def __init__(self, collection: AsyncCollection, loop: EventLoopThread) -> None:
        self.id = collection.id
        self._collection = collection
        self._loop = loop

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    def ingest(
        self,
        sources: Iterable[ImageSource],
        *,
        tags: Sequence[str] = (),
        attributes: Mapping[str, Attribute] | None = None,
        drop_location: bool = False,
        near_duplicates: NearDuplicates | None = None,
        by_uri: bool = False,
        journal: str | os.PathLike[str] | None = None,
        patience: float = PATIENCE_S,
    ) -> Iterator[IngestResult]:
        """See :meth:`AsyncCollection.ingest`."""
        return self._loop.iterate(
            lambda: self._collection.ingest(
                sources,
                tags=tags,
                attributes=attributes,
                drop_location=drop_location,
                near_duplicates=near_duplicates,
                by_uri=by_uri,
                journal=journal,
                patience=patience,
            )
        )

    def add(
        self,
        image: ImageInput,
        *,
        uri: str = "",
        tags: Sequence[str] = (),
        attributes: Mapping[str, Attribute] | None = None,
        drop_location: bool = False,
        near_duplicates: NearDuplicates | None = None,
    ) -> Image:
        """See :meth:`AsyncCollection.add`."""
        return self._loop.run(
            self._collection.add(
                image,
                uri=uri,
                tags=tags,
                attributes=attributes,
                drop_location=drop_location,
                near_duplicates=near_duplicates,
            )
        )

    def get(self, image_id: str) -> Image:
        """See :meth:`AsyncCollection.get`."""
        return self._loop.run(self._collection.get(image_id))

    def images(
        self,
        *,
        clusters: Iterable[int] = (),
        unclustered: bool = False,
        themes: Iterable[int] = (),
        places: Iterable[int] = (),
        moments: Iterable[int] = (),
        filter: ImageFilter | None = None,  # noqa: A002 - what it is called everywhere
        order: ImageOrder = ImageOrder.ID,
        page_size: int = MAX_PAGE,
    ) -> Iterator[Image]:
        """See :meth:`AsyncCollection.images`."""
        return self._loop.iterate(
            lambda: self._collection.images(
                clusters=clusters,
                unclustered=unclustered,
                themes=themes,
                places=places,
                moments=moments,
                filter=filter,
                order=order,
                page_size=page_size,
            )
        )

    def update(
        self,
        image_id: str,
        *,
        uri: str | None = None,
        tags: Iterable[str] | None = None,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> Image:
        """See :meth:`AsyncCollection.update`."""
        return self._loop.run(self._collection.update(image_id, uri=uri, tags=tags, attributes=attributes))

    def delete(self, image_id: str) -> None:
        """See :meth:`AsyncCollection.delete`."""
        self._loop.run(self._collection.delete(image_id))

    def thumbnail(self, image_id: str) -> bytes:
        """See :meth:`AsyncCollection.thumbnail`."""
        return self._loop.run(self._collection.thumbnail(image_id))

    def download(self, image_id: str) -> Iterator[bytes]:
        """See :meth:`AsyncCollection.download`."""
        return self._loop.iterate(lambda: self._collection.download(image_id))

    def download_to(self, image_id: str, file: str | os.PathLike[str], *, overwrite: bool = False) -> int:
        """See :meth:`AsyncCollection.download_to`."""
        return self._loop.run(self._collection.download_to(image_id, file, overwrite=overwrite))

    def search(
        self,
        *,
        text: str | None = None,
        image: ImageInput | None = None,
        like: str | None = None,
        vector: Iterable[float] | None = None,
        minus: str | Term | Iterable[str | Term] = (),
        terms: Iterable[Term] = (),
        clusters: Iterable[int] = (),
        unclustered: bool = False,
        themes: Iterable[int] = (),
        places: Iterable[int] = (),
        moments: Iterable[int] = (),
        filter: ImageFilter | None = None,  # noqa: A002 - what it is called everywhere
        score_threshold: float | None = None,
        diversity: float = 0.0,
        limit: int = 10,
    ) -> list[ImageMatch]:
        """See :meth:`AsyncCollection.search`."""
        return self._loop.run(
            self._collection.search(
                text=text,
                image=image,
                like=like,
                vector=vector,
                minus=minus,
                terms=terms,
                clusters=clusters,
                unclustered=unclustered,
                themes=themes,
                places=places,
                moments=moments,
                filter=filter,
                score_threshold=score_threshold,
                diversity=diversity,
                limit=limit,
            )
        )

    def recommend(
        self,
        liked: Iterable[str],
        disliked: Iterable[str] = (),
        *,
        clusters: Iterable[int] = (),
        unclustered: bool = False,
        themes: Iterable[int] = (),
        places: Iterable[int] = (),
        moments: Iterable[int] = (),
        filter: ImageFilter | None = None,  # noqa: A002 - what it is called everywhere
        score_threshold: float | None = None,
        diversity: float = 0.0,
        limit: int = 10,
    ) -> list[ImageMatch]:
        """See :meth:`AsyncCollection.recommend`."""
        return self._loop.run(
            self._collection.recommend(
                liked,
                disliked,
                clusters=clusters,
                unclustered=unclustered,
                themes=themes,
                places=places,
                moments=moments,
                filter=filter,
                score_threshold=score_threshold,
                diversity=diversity,
                limit=limit,
            )
        )

    def facets(
        self,
        fields: Iterable[FacetField] = DEFAULT_FACETS,
        *,
        clusters: Iterable[int] = (),
        unclustered: bool = False,
        themes: Iterable[int] = (),
        places: Iterable[int] = (),
        moments: Iterable[int] = (),
        filter: ImageFilter | None = None,  # noqa: A002 - what it is called everywhere
        limit: int = 20,
    ) -> Facets:
        """See :meth:`AsyncCollection.facets`."""
        return self._loop.run(
            self._collection.facets(
                fields,
                clusters=clusters,
                unclustered=unclustered,
                themes=themes,
                places=places,
                moments=moments,
                filter=filter,
                limit=limit,
            )
        )

    def duplicates(
        self,
        *,
        clusters: Iterable[int] = (),
        unclustered: bool = False,
        themes: Iterable[int] = (),
        places: Iterable[int] = (),
        moments: Iterable[int] = (),
        filter: ImageFilter | None = None,  # noqa: A002 - what it is called everywhere
        include_bursts: bool = False,
        include_pairs: bool = False,
        page_size: int = 100,
    ) -> Iterator[DuplicateGroup]:
        """See :meth:`AsyncCollection.duplicates`."""
        return self._loop.iterate(
            lambda: self._collection.duplicates(
                clusters=clusters,
                unclustered=unclustered,
                themes=themes,
                places=places,
                moments=moments,
                filter=filter,
                include_bursts=include_bursts,
                include_pairs=include_pairs,
                page_size=page_size,
            )
        )

    def clusters(self, *, themes: Iterable[int] = (), page_size: int = MAX_PAGE) -> Iterator[Cluster]:
        """See :meth:`AsyncCollection.clusters`."""
        return self._loop.iterate(lambda: self._collection.clusters(themes=themes, page_size=page_size))

    def cluster(self, cluster_id: int) -> Cluster:
        """See :meth:`AsyncCollection.cluster`."""
        return self._loop.run(self._collection.cluster(cluster_id))

    def search_clusters(
        self,
        *,
        text: str | None = None,
        image: ImageInput | None = None,
        like: str | None = None,
        vector: Iterable[float] | None = None,
        minus: str | Term | Iterable[str | Term] = (),
        terms: Iterable[Term] = (),
        filter: ImageFilter | None = None,  # noqa: A002 - what it is called everywhere
        limit: int = 10,
    ) -> list[ClusterMatch]:
        """See :meth:`AsyncCollection.search_clusters`."""
        return self._loop.run(
            self._collection.search_clusters(
                text=text, image=image, like=like, vector=vector, minus=minus, terms=terms, filter=filter, limit=limit
            )
        )

    def assign(
        self, image: ImageInput | None = None, *, like: str | None = None, vector: Iterable[float] | None = None
    ) -> Assignment:
        """See :meth:`AsyncCollection.assign`."""
        return self._loop.run(self._collection.assign(image, like=like, vector=vector))

    def run_clustering(
        self, parameters: ClusteringParameters | None = None, *, request_id: str | None = None
    ) -> ClusteringRun:
        """See :meth:`AsyncCollection.run_clustering`."""
        return self._loop.run(self._collection.run_clustering(parameters, request_id=request_id))

    def watch_run(self, run: ClusteringRun | str) -> Iterator[ClusteringRun]:
        """See :meth:`AsyncCollection.watch_run`."""
        return self._loop.iterate(lambda: self._collection.watch_run(run))

    def recluster(
        self,
        parameters: ClusteringParameters | None = None,
        *,
        join: bool = False,
        on_progress: Callable[[ClusteringRun], None] | None = None,
    ) -> ClusteringRun:
        """See :meth:`AsyncCollection.recluster`; ``on_progress`` is called in another thread."""
        return self._loop.run(self._collection.recluster(parameters, join=join, on_progress=on_progress))

    def runs(self, *, page_size: int = MAX_PAGE) -> Iterator[ClusteringRun]:
        """See :meth:`AsyncCollection.runs`."""
        return self._loop.iterate(lambda: self._collection.runs(page_size=page_size))

    def get_run(self, run: ClusteringRun | str) -> ClusteringRun:
        """See :meth:`AsyncCollection.get_run`."""
        return self._loop.run(self._collection.get_run(run))

    def cancel_run(self, run: ClusteringRun | str) -> ClusteringRun:
        """See :meth:`AsyncCollection.cancel_run`."""
        return self._loop.run(self._collection.cancel_run(run))

    def activate_run(self, run: ClusteringRun | str) -> ClusteringRun:
        """See :meth:`AsyncCollection.activate_run`."""
        return self._loop.run(self._collection.activate_run(run))

    def compare_runs(self, base: ClusteringRun | str, other: ClusteringRun | str) -> RunComparison:
        """See :meth:`AsyncCollection.compare_runs`."""
        return self._loop.run(self._collection.compare_runs(base, other))

    def export(self, run: ClusteringRun | str | None = None) -> Iterator[ExportedImage]:
        """See :meth:`AsyncCollection.export`."""
        return self._loop.iterate(lambda: self._collection.export(run))

    def themes(self) -> list[Theme]:
        """See :meth:`AsyncCollection.themes`."""
        return self._loop.run(self._collection.themes())

    def places(self, *, page_size: int = MAX_PAGE) -> Iterator[Place]:
        """See :meth:`AsyncCollection.places`."""
        return self._loop.iterate(lambda: self._collection.places(page_size=page_size))

    def moments(self, *, page_size: int = MAX_PAGE) -> Iterator[Moment]:
        """See :meth:`AsyncCollection.moments`."""
        return self._loop.iterate(lambda: self._collection.moments(page_size=page_size))

    def rename(self, cluster_id: int, name: str, *, author: str = "") -> Cluster:
        """See :meth:`AsyncCollection.rename`."""
        return self._loop.run(self._collection.rename(cluster_id, name, author=author))

    def merge(self, clusters: Iterable[int], *, author: str = "") -> CorrectionResult:
        """See :meth:`AsyncCollection.merge`."""
        return self._loop.run(self._collection.merge(clusters, author=author))

    def split(
        self, cluster_id: int, *, images: Iterable[str] | None = None, parts: int | None = None, author: str = ""
    ) -> CorrectionResult:
        """See :meth:`AsyncCollection.split`."""
        return self._loop.run(self._collection.split(cluster_id, images=images, parts=parts, author=author))

    def pin(self, cluster_id: int, *, author: str = "") -> CorrectionResult:
        """See :meth:`AsyncCollection.pin`."""
        return self._loop.run(self._collection.pin(cluster_id, author=author))

    def unpin(self, cluster_id: int, *, author: str = "") -> CorrectionResult:
        """See :meth:`AsyncCollection.unpin`."""
        return self._loop.run(self._collection.unpin(cluster_id, author=author))

    def move(self, images: Iterable[str], cluster: int | None, *, author: str = "") -> CorrectionResult:
        """See :meth:`AsyncCollection.move`."""
        return self._loop.run(self._collection.move(images, cluster, author=author))

    def dissolve(self, cluster_id: int, *, author: str = "") -> CorrectionResult:
        """See :meth:`AsyncCollection.dissolve`."""
        return self._loop.run(self._collection.dissolve(cluster_id, author=author))

    def reassign_noise(
        self, *, min_similarity: float | None = None, apply: bool = False, author: str = ""
    ) -> NoiseReassignment:
        """See :meth:`AsyncCollection.reassign_noise`."""
        return self._loop.run(
            self._collection.reassign_noise(min_similarity=min_similarity, apply=apply, author=author)
        )

    def corrections(self, *, page_size: int = MAX_PAGE) -> Iterator[Correction]:
        """See :meth:`AsyncCollection.corrections`."""
        return self._loop.iterate(lambda: self._collection.corrections(page_size=page_size))

    def undo(self, correction: Correction | str, *, author: str = "") -> CorrectionResult:
        """See :meth:`AsyncCollection.undo`."""
        return self._loop.run(self._collection.undo(correction, author=author))

    def get_schedule(self) -> ScheduleStatus:
        """See :meth:`AsyncCollection.get_schedule`."""
        return self._loop.run(self._collection.get_schedule())

    def set_schedule(self, schedule: Schedule | None) -> ScheduleStatus:
        """See :meth:`AsyncCollection.set_schedule`."""
        return self._loop.run(self._collection.set_schedule(schedule))

    def watch_assignments(self, token: str | None = None, *, until_now: bool = False) -> Iterator[AssignmentChanges]:
        """See :meth:`AsyncCollection.watch_assignments`."""
        return self._loop.iterate(lambda: self._collection.watch_assignments(token, until_now=until_now))
