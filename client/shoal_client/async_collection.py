"""One collection, asynchronously."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask

from shoal.v1 import cluster_pb2, cluster_service_pb2, image_pb2, image_service_pb2
from shoal_client import conversion, names, queries
from shoal_client.errors import Cancelled, InternalError
from shoal_client.ingest import ingest
from shoal_client.paging import MAX_PAGE, first, walk
from shoal_client.results import (
    Assignment,
    Cluster,
    ClusteringParameters,
    ClusteringRun,
    ClusterMatch,
    Image,
    ImageMatch,
    IngestResult,
    RunState,
)
from shoal_client.sources import ImageInput, ImageSource, check_several, open_source, read_source
from shoal_client.transport import Transport


class AsyncCollection:
    """A handle on a collection of the server; making one asks the server nothing.

    Get it from :meth:`shoal_client.AsyncClient.collection`. All methods raise :class:`shoal_client.ShoalError` or a
    subclass; :class:`shoal_client.NotFound` if there is no such collection.

    Attributes:
        id: the collection's.
    """

    def __init__(self, transport: Transport, collection_id: str) -> None:
        self.id = collection_id
        self._transport = transport
        self._parent = names.collection_name(collection_id)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    def ingest(self, sources: Iterable[ImageSource], *, tags: Sequence[str] = ()) -> AsyncGenerator[IngestResult, None]:
        """Stores images and yields what became of each, in their order. A bad image fails alone.

        Ingesting the same bytes again stores and embeds nothing, so a broken ingest is simply repeated.

        Args:
            sources: paths, files' bytes, or tuples of either with a URI and tags. Iterated in a thread, a few dozen
                ahead; the files read ahead are together no larger than one message may be.
            tags: given to every image: at most 64, of at most 256 characters.

        Raises:
            InvalidArgument: a single image was given instead of a list.
            ShoalError: the stream as a whole failed; what was yielded before is stored.
        """
        check_several(sources)
        return ingest(self._transport, self._parent, sources, tags)

    async def add(self, image: ImageInput, *, uri: str = "", tags: Sequence[str] = ()) -> Image:
        """Stores one image; answers when it is safe. Bytes that are stored already are answered as they were.

        Args:
            image: a path or a file's bytes.
            uri: where the picture is; a path's ``file://`` URI if empty.
            tags: at most 64, of at most 256 characters.

        Raises:
            InvalidArgument: the bytes are no image that the server reads; ``reason`` says why.
            UnreadableFile: the file cannot be read.
            FileTooLarge: it does not fit into a message.
        """
        source = await asyncio.to_thread(open_source, (image, uri, ()), tags)
        content = await asyncio.to_thread(read_source, source, self._transport.max_file_bytes)
        new = image_service_pb2.NewImage(content=content, uri=source.uri, tags=source.tags)
        request = image_service_pb2.CreateImageRequest(parent=self._parent, image=new)
        return conversion.image((await self._transport.call(self._transport.images.CreateImage, request)).image)

    async def get(self, image_id: str) -> Image:
        """One image.

        Raises:
            NotFound: there is none of that id.
        """
        request = image_service_pb2.GetImageRequest(name=names.image_name(self.id, image_id))
        return conversion.image(await self._transport.call(self._transport.images.GetImage, request))

    def images(
        self, *, clusters: Iterable[int] = (), unclustered: bool = False, page_size: int = MAX_PAGE
    ) -> AsyncGenerator[Image, None]:
        """All images in the order of their ids, a page at a time.

        Args:
            clusters: only those in any of these.
            unclustered: only those in no cluster; cannot be combined with ``clusters``.
            page_size: images fetched at once, 1 to 1000.
        """
        chosen = self._filter(clusters, unclustered)

        async def fetch(token: str) -> tuple[list[Image], str]:
            request = image_service_pb2.ListImagesRequest(
                parent=self._parent, filter=chosen, page_size=page_size, page_token=token
            )
            page = await self._transport.call(self._transport.images.ListImages, request)
            return [conversion.image(each) for each in page.images], page.next_page_token

        return walk(fetch)

    async def delete(self, image_id: str) -> None:
        """Removes an image from the collection; the picture itself stays where it is.

        Raises:
            NotFound: there is none of that id.
        """
        request = image_service_pb2.DeleteImageRequest(name=names.image_name(self.id, image_id))
        await self._transport.call(self._transport.images.DeleteImage, request)

    async def search(
        self,
        *,
        text: str | None = None,
        image: ImageInput | None = None,
        like: str | None = None,
        vector: Iterable[float] | None = None,
        clusters: Iterable[int] = (),
        unclustered: bool = False,
        score_threshold: float | None = None,
        limit: int = 10,
    ) -> list[ImageMatch]:
        """Images most like something, best first.

        Args:
            text: what they show, in words. Exactly one of the first four is given.
            image: a path or a file's bytes.
            like: id of a stored image, which is left out of the answer.
            vector: an embedding of the collection's model, of any length above 0.
            clusters: only those in any of these.
            unclustered: only those in no cluster; cannot be combined with ``clusters``.
            score_threshold: leave out what scores less: cosine similarity, -1 to 1.
            limit: at most this many, 1 to 10,000.

        Raises:
            InvalidArgument: not exactly one query, an empty text, a vector of another dimension, an unreadable image.
        """
        query = await queries.query_fields(
            self.id, self._transport.max_file_bytes, text=text, image=image, like=like, vector=vector
        )
        chosen = self._filter(clusters, unclustered)

        async def fetch(token: str) -> tuple[list[ImageMatch], str]:
            request = image_service_pb2.SearchImagesRequest(
                parent=self._parent,
                filter=chosen,
                score_threshold=score_threshold,
                page_size=min(limit, MAX_PAGE),
                page_token=token,
                **query,
            )
            page = await self._transport.call(self._transport.images.SearchImages, request)
            return [ImageMatch(conversion.image(each.image), each.score) for each in page.results], page.next_page_token

        return await first(limit, walk(fetch))

    def clusters(self, *, page_size: int = MAX_PAGE) -> AsyncGenerator[Cluster, None]:
        """The active run's clusters, largest first, a page at a time; none before the first run.

        Args:
            page_size: clusters fetched at once, 1 to 1000.

        Raises:
            Aborted: another run was put in force between two pages.
        """

        async def fetch(token: str) -> tuple[list[Cluster], str]:
            request = cluster_service_pb2.ListClustersRequest(
                parent=self._parent, page_size=page_size, page_token=token
            )
            page = await self._transport.call(self._transport.clusters.ListClusters, request)
            return [conversion.cluster(each) for each in page.clusters], page.next_page_token

        return walk(fetch)

    async def cluster(self, cluster_id: int) -> Cluster:
        """One cluster.

        Raises:
            NotFound: the active run has none of that id.
        """
        request = cluster_service_pb2.GetClusterRequest(name=names.cluster_name(self.id, cluster_id))
        return conversion.cluster(await self._transport.call(self._transport.clusters.GetCluster, request))

    async def rename(self, cluster_id: int, name: str) -> Cluster:
        """Gives a cluster a name that stays over reclusterings; an empty one gives the naming back to the algorithm.

        Raises:
            NotFound: the active run has none of that id.
        """
        changed = cluster_pb2.Cluster(name=names.cluster_name(self.id, cluster_id), display_name=name)
        request = cluster_service_pb2.UpdateClusterRequest(
            cluster=changed, update_mask=FieldMask(paths=["display_name"])
        )
        return conversion.cluster(await self._transport.call(self._transport.clusters.UpdateCluster, request))

    async def search_clusters(
        self,
        *,
        text: str | None = None,
        image: ImageInput | None = None,
        like: str | None = None,
        vector: Iterable[float] | None = None,
        limit: int = 10,
    ) -> list[ClusterMatch]:
        """Clusters that fit something, best first.

        Args:
            text: what they show, in words. Exactly one of the first four is given.
            image: a path or a file's bytes.
            like: id of a stored image.
            vector: an embedding of the collection's model, of any length above 0.
            limit: at most this many, at least 1.

        Raises:
            InvalidArgument: not exactly one query, an empty text, a vector of another dimension, an unreadable image.
        """
        query = await queries.query_fields(
            self.id, self._transport.max_file_bytes, text=text, image=image, like=like, vector=vector
        )

        async def fetch(token: str) -> tuple[list[ClusterMatch], str]:
            request = cluster_service_pb2.SearchClustersRequest(
                parent=self._parent, page_size=min(limit, MAX_PAGE), page_token=token, **query
            )
            page = await self._transport.call(self._transport.clusters.SearchClusters, request)
            found = [ClusterMatch(conversion.cluster(each.cluster), each.score) for each in page.results]
            return found, page.next_page_token

        return await first(limit, walk(fetch))

    async def assign(
        self, image: ImageInput | None = None, *, like: str | None = None, vector: Iterable[float] | None = None
    ) -> Assignment:
        """The cluster that an image belongs to, by a vote of its nearest clustered neighbours. Stores nothing.

        Args:
            image: a path or a file's bytes. Exactly one of the three is given.
            like: id of a stored image; its own place in a cluster has no vote.
            vector: an embedding of the collection's model, of any length above 0.

        Raises:
            FailedPrecondition: the collection has no clusters yet.
            InvalidArgument: not exactly one image, a vector of another dimension, an unreadable image.
        """
        query = await queries.query_fields(
            self.id, self._transport.max_file_bytes, image=image, like=like, vector=vector
        )
        request = cluster_service_pb2.AssignImageRequest(parent=self._parent, **query)
        return conversion.assignment(await self._transport.call(self._transport.clusters.AssignImage, request))

    async def run_clustering(
        self, parameters: ClusteringParameters | None = None, *, request_id: str | None = None
    ) -> ClusteringRun:
        """Starts a reclustering and answers at once; follow it with :meth:`watch_run`.

        Args:
            parameters: how to do it; the server chooses what is left out.
            request_id: a UUID: asking again with the same one answers with the run it started. One is made up if left
                out, so that gRPC's own retries start one run only.

        Raises:
            Aborted: one is under way.
            FailedPrecondition: there are too few images.
        """
        request = cluster_service_pb2.RunClusteringRequest(
            parent=self._parent,
            parameters=conversion.parameters_message(parameters or ClusteringParameters()),
            request_id=request_id or str(uuid4()),
        )
        return conversion.run(await self._transport.call(self._transport.clusters.RunClustering, request))

    async def watch_run(self, run: ClusteringRun | str) -> AsyncGenerator[ClusteringRun, None]:
        """Yields a run as it is now and again after each change, until it has ended.

        Args:
            run: the run or its id.

        Raises:
            NotFound: there is none of that id.
        """
        request = cluster_service_pb2.StreamClusteringRunRequest(name=self._run_name(run))
        responses = self._transport.stream(self._transport.clusters.StreamClusteringRun, request)
        async with aclosing(responses):
            async for response in responses:
                yield conversion.run(response.clustering_run)

    async def recluster(
        self,
        parameters: ClusteringParameters | None = None,
        *,
        on_progress: Callable[[ClusteringRun], None] | None = None,
    ) -> ClusteringRun:
        """Reclusters, waits for the end and answers with the run; its clusters are then in force.

        Args:
            parameters: how to do it; the server chooses what is left out.
            on_progress: called with the run after each change.

        Raises:
            ShoalError: why the run failed, if it did.
            Cancelled: somebody cancelled it.
            Aborted: one is under way.
        """
        run = await self.run_clustering(parameters)
        async with aclosing(self.watch_run(run)) as updates:
            async for update in updates:
                run = update
                if on_progress is not None:
                    on_progress(run)
        return check_succeeded(run)

    def runs(self, *, page_size: int = MAX_PAGE) -> AsyncGenerator[ClusteringRun, None]:
        """All runs, newest first, a page at a time.

        Args:
            page_size: runs fetched at once, 1 to 1000.
        """

        async def fetch(token: str) -> tuple[list[ClusteringRun], str]:
            request = cluster_service_pb2.ListClusteringRunsRequest(
                parent=self._parent, page_size=page_size, page_token=token
            )
            page = await self._transport.call(self._transport.clusters.ListClusteringRuns, request)
            return [conversion.run(each) for each in page.clustering_runs], page.next_page_token

        return walk(fetch)

    async def get_run(self, run: ClusteringRun | str) -> ClusteringRun:
        """A run as it is now.

        Raises:
            NotFound: there is none of that id.
        """
        request = cluster_service_pb2.GetClusteringRunRequest(name=self._run_name(run))
        return conversion.run(await self._transport.call(self._transport.clusters.GetClusteringRun, request))

    async def cancel_run(self, run: ClusteringRun | str) -> ClusteringRun:
        """Stops a run; the clusters stay as they were. A run that has ended is answered as it is.

        Raises:
            NotFound: there is none of that id.
            FailedPrecondition: it is writing its ids back and will be done in a moment.
        """
        request = cluster_service_pb2.CancelClusteringRunRequest(name=self._run_name(run))
        return conversion.run(await self._transport.call(self._transport.clusters.CancelClusteringRun, request))

    def _run_name(self, run: ClusteringRun | str) -> str:
        return names.child_name(self.id, names.RUNS, run if isinstance(run, str) else run.id)

    def _filter(self, clusters: Iterable[int], unclustered: bool) -> image_pb2.ImageFilter:
        return image_pb2.ImageFilter(
            clusters=[names.cluster_name(self.id, each) for each in clusters], unclustered=unclustered
        )


def check_succeeded(run: ClusteringRun) -> ClusteringRun:
    """The run, if it succeeded.

    Raises:
        ShoalError: why it failed, if it did.
        Cancelled: it was cancelled.
        InternalError: its progress ended before it did.
    """
    match run.state:
        case RunState.SUCCEEDED:
            return run
        case RunState.FAILED if run.error is not None:
            raise run.error
        case RunState.CANCELLED:
            raise Cancelled(f"run {run.id!r} was cancelled; the clusters are as they were", reason="RUN_CANCELLED")
    raise InternalError(f"the server stopped telling about run {run.id!r} while it was {run.state.value}")
