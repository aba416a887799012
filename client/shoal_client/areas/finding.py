"""Finding images again: by what they show, by those somebody likes, by counts."""

from __future__ import annotations

from collections.abc import Iterable

from shoal.v1 import image_service_pb2
from shoal_client import conversion, queries
from shoal_client.areas.area import Area
from shoal_client.filters import ImageFilter
from shoal_client.paging import MAX_PAGE, first, walk
from shoal_client.queries import Term
from shoal_client.results import FacetField, Facets, ImageMatch
from shoal_client.sources import ImageInput

#: What images are counted by if nobody says.
DEFAULT_FACETS = (FacetField.CAMERA, FacetField.YEAR, FacetField.CLUSTER, FacetField.TAG)


class Finding(Area):
    """Searching, recommending and counting."""

    async def search(
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
        """Images most like something, or several things at once, best first.

            search(text="at night", like=image_id, minus="people")

        Args:
            text: what they show, in words. At least one of the first four or of ``terms`` is given.
            image: a path or a file's bytes.
            like: id of a stored image, which is left out of the answer.
            vector: an embedding of the collection's model, of any length above 0.
            minus: what they do not show; a text or a term counts half if it has no weight.
            terms: more to look for; at most 32 things in all.
            clusters: only those in any of these, or below any of ``themes``.
            unclustered: only those in no cluster; cannot be combined with ``clusters`` or ``themes``.
            themes: only those in a cluster below any of these, or in any of ``clusters``.
            places: only those taken at any of these.
            moments: only those taken in any of these.
            filter: only those that it lets through, as well.
            score_threshold: leave out what scores less: cosine similarity, -1 to 1.
            diversity: 0 to 1: how much an image that is unlike the ones before it is preferred to one that answers
                better; 0: not at all.
            limit: at most this many, 1 to 10,000, with ``diversity`` to 500.

        Raises:
            InvalidArgument: nothing to look for, an empty text, a vector of another dimension, an unreadable image.
        """
        wanted = queries.wanted_terms(text=text, image=image, like=like, vector=vector, minus=minus, terms=terms)
        query = await queries.search_fields(self.id, self._transport.max_file_bytes, wanted)
        chosen = self._filter(
            filter, clusters=clusters, unclustered=unclustered, themes=themes, places=places, moments=moments
        )

        async def fetch(token: str) -> tuple[list[ImageMatch], str]:
            request = image_service_pb2.SearchImagesRequest(
                parent=self._parent,
                filter=chosen,
                score_threshold=score_threshold,
                diversity=diversity,
                page_size=min(limit, MAX_PAGE),
                page_token=token,
                **query,
            )
            with queries.naming(each.image for each in wanted):
                page = await self._transport.call(self._transport.images.SearchImages, request)
            return _matches(page.results), page.next_page_token

        return await first(limit, walk(fetch))

    async def recommend(
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
        """Images like those that somebody likes and unlike those that somebody does not, best first.

        Args:
            liked: ids of 1 to 100 stored images; they are left out of the answer.
            disliked: ids of at most 100 stored images; they are left out of the answer.
            clusters: only those in any of these, or below any of ``themes``.
            unclustered: only those in no cluster; cannot be combined with ``clusters`` or ``themes``.
            themes: only those in a cluster below any of these, or in any of ``clusters``.
            places: only those taken at any of these.
            moments: only those taken in any of these.
            filter: only those that it lets through, as well.
            score_threshold: leave out what scores less: cosine similarity, -1 to 1.
            diversity: as in :meth:`search`.
            limit: as in :meth:`search`.

        Raises:
            InvalidArgument: nobody likes anything, or a number is out of its range.
            NotFound: there is no image of one of the ids.
        """
        likes, dislikes = self._image_names(liked), self._image_names(disliked)
        chosen = self._filter(
            filter, clusters=clusters, unclustered=unclustered, themes=themes, places=places, moments=moments
        )

        async def fetch(token: str) -> tuple[list[ImageMatch], str]:
            request = image_service_pb2.RecommendImagesRequest(
                parent=self._parent,
                liked=likes,
                disliked=dislikes,
                filter=chosen,
                score_threshold=score_threshold,
                diversity=diversity,
                page_size=min(limit, MAX_PAGE),
                page_token=token,
            )
            page = await self._transport.call(self._transport.images.RecommendImages, request)
            return _matches(page.results), page.next_page_token

        return await first(limit, walk(fetch))

    async def facets(
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
        """How many images there are of each camera, year, cluster, ...

        Args:
            fields: what to count by; at least one, each once.
            clusters: only images in any of these, or below any of ``themes``.
            unclustered: only images in no cluster; cannot be combined with ``clusters`` or ``themes``.
            themes: only images in a cluster below any of these, or in any of ``clusters``.
            places: only images taken at any of these.
            moments: only images taken in any of these.
            filter: only images that it lets through, as well.
            limit: at most this many values of each field, 1 to 1000.

        Raises:
            InvalidArgument: no field, or one twice.
        """
        request = image_service_pb2.FacetImagesRequest(
            parent=self._parent,
            filter=self._filter(
                filter, clusters=clusters, unclustered=unclustered, themes=themes, places=places, moments=moments
            ),
            fields=[conversion.facet_field_message(each) for each in fields],
            limit=limit,
        )
        return conversion.facets(await self._transport.call(self._transport.images.FacetImages, request))


def _matches(results: Iterable[image_service_pb2.SearchImagesResponse.Result]) -> list[ImageMatch]:
    return [ImageMatch(conversion.image(each.image), each.score) for each in results]
