"""What all areas of a collection share."""

from __future__ import annotations

from collections.abc import Iterable

from shoal.v1 import image_pb2
from shoal_client import conversion, names
from shoal_client.filters import ImageFilter
from shoal_client.results import ClusteringRun
from shoal_client.transport import Transport


class Area:
    """A part of a collection's methods.

    Attributes:
        id: the collection's.
    """

    def __init__(self, transport: Transport, collection_id: str) -> None:
        self.id = collection_id
        self._transport = transport
        self._parent = names.collection_name(collection_id)

    def _cluster_names(self, clusters: Iterable[int]) -> list[str]:
        return [names.cluster_name(self.id, each) for each in clusters]

    def _image_names(self, images: Iterable[str]) -> list[str]:
        return [names.image_name(self.id, each) for each in images]

    def _names(self, kind: str, numbers: Iterable[int]) -> list[str]:
        return [names.numbered_name(self.id, kind, each) for each in numbers]

    def _run_name(self, run: ClusteringRun | str) -> str:
        return names.text_name(self.id, names.RUNS, run if isinstance(run, str) else run.id)

    def _filter(
        self,
        chosen: ImageFilter | None,
        *,
        clusters: Iterable[int] = (),
        unclustered: bool = False,
        themes: Iterable[int] = (),
        places: Iterable[int] = (),
        moments: Iterable[int] = (),
    ) -> image_pb2.ImageFilter:
        """A filter and its short form, both of which must hold."""
        short = ImageFilter(clusters=clusters, unclustered=unclustered, themes=themes, places=places, moments=moments)
        return conversion.filter_message(self.id, short if chosen is None else short & chosen)
