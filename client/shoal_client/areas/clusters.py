"""Clusters: listing, searching, and the cluster of an image."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable

from shoal.v1 import cluster_service_pb2
from shoal_client import conversion, names, queries
from shoal_client.areas.area import Area
from shoal_client.filters import ImageFilter
from shoal_client.paging import MAX_PAGE, first, walk
from shoal_client.queries import Term
from shoal_client.results import Assignment, Cluster, ClusterMatch, Moment, Place, Theme
from shoal_client.sources import ImageInput


class Clusters(Area):
    """The clusters of a collection, and what else groups its images."""

    def clusters(self, *, themes: Iterable[int] = (), page_size: int = MAX_PAGE) -> AsyncGenerator[Cluster, None]:
        """The active run's clusters, largest first, a page at a time; none before the first run.

        Args:
            themes: only those below any of these.
            page_size: clusters fetched at once, 1 to 1000.

        Raises:
            Aborted: another run was put in force between two pages.
            NotFound: the active run has no such theme.
        """
        below = self._names(names.THEMES, themes)

        async def fetch(token: str) -> tuple[list[Cluster], str]:
            request = cluster_service_pb2.ListClustersRequest(
                parent=self._parent, page_size=page_size, page_token=token, themes=below
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

    async def search_clusters(
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
        """Clusters that fit something, or several things at once, best first.

        Args:
            text: what they show, in words. At least one of the first four or of ``terms`` is given.
            image: a path or a file's bytes.
            like: id of a stored image.
            vector: an embedding of the collection's model, of any length above 0.
            minus: what they do not show; a text or a term counts half if it has no weight.
            terms: more to look for; at most 32 things in all.
            filter: only clusters with such images.
            limit: at most this many, at least 1.

        Raises:
            InvalidArgument: nothing to look for, an empty text, a vector of another dimension, an unreadable image.
        """
        wanted = queries.wanted_terms(text=text, image=image, like=like, vector=vector, minus=minus, terms=terms)
        query = await queries.search_fields(self.id, self._transport.max_file_bytes, wanted)
        chosen = self._filter(filter) if filter else None

        async def fetch(token: str) -> tuple[list[ClusterMatch], str]:
            request = cluster_service_pb2.SearchClustersRequest(
                parent=self._parent, filter=chosen, page_size=min(limit, MAX_PAGE), page_token=token, **query
            )
            with queries.naming(each.image for each in wanted):
                page = await self._transport.call(self._transport.clusters.SearchClusters, request)
            found = [
                ClusterMatch(conversion.cluster(each.cluster), each.score, each.matching if filter else None)
                for each in page.results
            ]
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
        with queries.naming([image]):
            answer = await self._transport.call(self._transport.clusters.AssignImage, request)
        return conversion.assignment(answer)

    async def themes(self) -> list[Theme]:
        """The active run's tree of themes, parents before children; none before the first run.

        The clusters of each are in the theme, by their ids, and ``Cluster.theme_id`` is the theme right above a
        cluster.
        """
        request = cluster_service_pb2.ListClustersRequest(parent=self._parent, page_size=1, with_themes=True)
        page = await self._transport.call(self._transport.clusters.ListClusters, request)
        return [conversion.theme(each) for each in page.themes]

    def places(self, *, page_size: int = MAX_PAGE) -> AsyncGenerator[Place, None]:
        """The active run's places, largest first, a page at a time.

        Args:
            page_size: places fetched at once, 1 to 1000.

        Raises:
            Aborted: another run was put in force between two pages.
        """

        async def fetch(token: str) -> tuple[list[Place], str]:
            request = cluster_service_pb2.ListPlacesRequest(parent=self._parent, page_size=page_size, page_token=token)
            page = await self._transport.call(self._transport.clusters.ListPlaces, request)
            return [conversion.place(each) for each in page.places], page.next_page_token

        return walk(fetch)

    def moments(self, *, page_size: int = MAX_PAGE) -> AsyncGenerator[Moment, None]:
        """The active run's moments, in the order of time, a page at a time.

        Args:
            page_size: moments fetched at once, 1 to 1000.

        Raises:
            Aborted: another run was put in force between two pages.
        """

        async def fetch(token: str) -> tuple[list[Moment], str]:
            request = cluster_service_pb2.ListMomentsRequest(parent=self._parent, page_size=page_size, page_token=token)
            page = await self._transport.call(self._transport.clusters.ListMoments, request)
            return [conversion.moment(each) for each in page.moments], page.next_page_token

        return walk(fetch)
