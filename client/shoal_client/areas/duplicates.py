"""Duplicates: the same picture in different files."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable

from shoal.v1 import duplicate_service_pb2
from shoal_client import conversion
from shoal_client.areas.area import Area
from shoal_client.filters import ImageFilter
from shoal_client.paging import walk
from shoal_client.results import DuplicateGroup


class Duplicates(Area):
    """The duplicates in a collection."""

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
    ) -> AsyncGenerator[DuplicateGroup, None]:
        """Groups of images that show the same picture, the largest first, a page at a time.

        Copies that were scaled, compressed again, converted, turned or mirrored are duplicates. If images come, go or
        change between two pages, a group that grew or shrank may be told twice or not at all.

        Args:
            clusters: only among images in any of these, or below any of ``themes``.
            unclustered: only among those in no cluster; cannot be combined with ``clusters`` or ``themes``.
            themes: only among those in a cluster below any of these, or in any of ``clusters``.
            places: only among those taken at any of these.
            moments: only among those taken in any of these.
            filter: only among those that it lets through, as well.
            include_bursts: count the photographs of a burst as well, taken by one camera within a minute.
            include_pairs: count files of one shot in different formats as well: a raw file or HEIC beside its JPEG.
            page_size: groups fetched at once, 1 to 1000.
        """
        chosen = self._filter(
            filter, clusters=clusters, unclustered=unclustered, themes=themes, places=places, moments=moments
        )

        async def fetch(token: str) -> tuple[list[DuplicateGroup], str]:
            request = duplicate_service_pb2.ListDuplicateGroupsRequest(
                parent=self._parent,
                filter=chosen,
                include_bursts=include_bursts,
                include_pairs=include_pairs,
                page_size=page_size,
                page_token=token,
            )
            # The first page compares all images, which may take minutes where there are very many.
            page = await self._transport.call(self._transport.duplicates.ListDuplicateGroups, request, limited=False)
            return [conversion.duplicate_group(each) for each in page.groups], page.next_page_token

        return walk(fetch)
