"""Corrections by people: later runs respect them, each is on record and can be undone."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable

from google.protobuf.field_mask_pb2 import FieldMask

from shoal.v1 import cluster_pb2, cluster_service_pb2, curation_service_pb2
from shoal_client import conversion, names
from shoal_client.areas.area import Area
from shoal_client.errors import InvalidArgument
from shoal_client.paging import MAX_PAGE, walk
from shoal_client.results import Cluster, Correction, CorrectionResult, NoiseReassignment

SplitCluster = curation_service_pb2.SplitClusterRequest


class Corrections(Area):
    """What people correct in the clusters of a collection.

    Every method that changes something takes an ``author`` for the record: any text of at most 200 characters. While a
    run is under way they raise :class:`shoal_client.Aborted`.
    """

    async def rename(self, cluster_id: int, name: str, *, author: str = "") -> Cluster:
        """Gives a cluster a name that stays over reclusterings; an empty one gives the naming back to the algorithm.

        Raises:
            NotFound: the active run has none of that id.
        """
        changed = cluster_pb2.Cluster(name=names.cluster_name(self.id, cluster_id), display_name=name)
        request = cluster_service_pb2.UpdateClusterRequest(
            cluster=changed, update_mask=FieldMask(paths=["display_name"]), author=author
        )
        return conversion.cluster(await self._transport.call(self._transport.clusters.UpdateCluster, request))

    async def merge(self, clusters: Iterable[int], *, author: str = "") -> CorrectionResult:
        """Puts the images of some clusters into the first of them, which keeps its id and name.

        Later runs keep them together.

        Args:
            clusters: at least two ids.
            author: for the record.

        Raises:
            NotFound: the active run has none of an id.
            InvalidArgument: fewer than two clusters.
        """
        request = curation_service_pb2.MergeClustersRequest(
            parent=self._parent, clusters=self._cluster_names(clusters), author=author
        )
        answer = await self._transport.call(self._transport.curation.MergeClusters, request, limited=False)
        return conversion.correction_result(answer)

    async def split(
        self, cluster_id: int, *, images: Iterable[str] | None = None, parts: int | None = None, author: str = ""
    ) -> CorrectionResult:
        """Takes a cluster apart, by listing the images of a new one or by clustering inside it.

        The largest part, or what is not listed, keeps the id. Later runs keep the parts apart.

        Args:
            cluster_id: which.
            images: ids of its images that become a cluster of their own: 1 to 10,000, and not all there are.
            parts: how many parts to make, 2 to 100; as many as there are if left out. Not together with ``images``.
            author: for the record.

        Raises:
            NotFound: there is no such cluster or image.
            FailedPrecondition: it does not come apart.
            InvalidArgument: both of images and parts, or one out of its range.
        """
        if images is not None and parts is not None:
            raise InvalidArgument(
                "give images (which make one new cluster) or parts (how many to find), not both",
                reason="INVALID_FIELD",
            )
        request = SplitCluster(name=names.cluster_name(self.id, cluster_id), author=author)
        if images is not None:
            request.listed.CopyFrom(SplitCluster.Listed(images=self._image_names(images)))
        else:
            request.automatic.CopyFrom(SplitCluster.Automatic(part_count=_part_count(parts)))
        answer = await self._transport.call(self._transport.curation.SplitCluster, request, limited=False)
        return conversion.correction_result(answer)

    async def pin(self, cluster_id: int, *, author: str = "") -> CorrectionResult:
        """Makes a cluster keep its id and its images in every later run.

        Raises:
            NotFound: the active run has none of that id.
            FailedPrecondition: it is pinned already.
        """
        return await self._pin(cluster_id, author, unpin=False)

    async def unpin(self, cluster_id: int, *, author: str = "") -> CorrectionResult:
        """Lets go of a pinned cluster.

        Raises:
            NotFound: the active run has none of that id.
            FailedPrecondition: it is not pinned.
        """
        return await self._pin(cluster_id, author, unpin=True)

    async def move(self, images: Iterable[str], cluster: int | None, *, author: str = "") -> CorrectionResult:
        """Puts images into a cluster, or out of any. They stay there in every later run.

        Args:
            images: ids, 1 to 10,000.
            cluster: where to; None: into none.
            author: for the record.

        Raises:
            NotFound: there is no such cluster or image.
            FailedPrecondition: all of them are there already.
        """
        request = curation_service_pb2.MoveImagesRequest(
            parent=self._parent,
            images=self._image_names(images),
            cluster="" if cluster is None else names.cluster_name(self.id, cluster),
            author=author,
        )
        answer = await self._transport.call(self._transport.curation.MoveImages, request, limited=False)
        return conversion.correction_result(answer)

    async def dissolve(self, cluster_id: int, *, author: str = "") -> CorrectionResult:
        """Takes all images out of a cluster. Later runs do not find that group again.

        Raises:
            NotFound: the active run has none of that id.
        """
        request = curation_service_pb2.DissolveClusterRequest(
            name=names.cluster_name(self.id, cluster_id), author=author
        )
        answer = await self._transport.call(self._transport.curation.DissolveCluster, request, limited=False)
        return conversion.correction_result(answer)

    async def reassign_noise(
        self, *, min_similarity: float | None = None, apply: bool = False, author: str = ""
    ) -> NoiseReassignment:
        """Says which cluster each image in none is nearest to, where it is similar enough; or puts them there.

        Args:
            min_similarity: how similar the neighbours in a cluster must be, as a mean cosine similarity, -1 to 1; the
                cluster's own threshold less 0.05 if left out.
            apply: change something; otherwise the answer only says what would be done.
            author: for the record.

        Raises:
            FailedPrecondition: the collection has no clusters yet, or there is nothing to reassign.
        """
        request = curation_service_pb2.ReassignNoiseRequest(
            parent=self._parent, min_similarity=min_similarity, validate_only=not apply, author=author
        )
        answer = await self._transport.call(self._transport.curation.ReassignNoise, request, limited=False)
        return conversion.noise_reassignment(answer)

    def corrections(self, *, page_size: int = MAX_PAGE) -> AsyncGenerator[Correction, None]:
        """All corrections, newest first, undone ones too, a page at a time.

        Args:
            page_size: corrections fetched at once, 1 to 1000.
        """

        async def fetch(token: str) -> tuple[list[Correction], str]:
            request = curation_service_pb2.ListCorrectionsRequest(
                parent=self._parent, page_size=page_size, page_token=token
            )
            page = await self._transport.call(self._transport.curation.ListCorrections, request)
            return [conversion.correction(each) for each in page.corrections], page.next_page_token

        return walk(fetch)

    async def undo(self, correction: Correction | str, *, author: str = "") -> CorrectionResult:
        """Takes a correction back.

        Images that are still where it put them go back where they were; names and pins become what they were.

        Args:
            correction: the correction or its id.
            author: for the record.

        Raises:
            NotFound: there is none of that id.
            FailedPrecondition: it was undone before, or cannot be.
        """
        identity = correction if isinstance(correction, str) else correction.id
        request = curation_service_pb2.UndoCorrectionRequest(
            name=names.text_name(self.id, names.CORRECTIONS, identity), author=author
        )
        answer = await self._transport.call(self._transport.curation.UndoCorrection, request, limited=False)
        return conversion.correction_result(answer)

    async def _pin(self, cluster_id: int, author: str, *, unpin: bool) -> CorrectionResult:
        request = curation_service_pb2.PinClusterRequest(
            name=names.cluster_name(self.id, cluster_id), unpin=unpin, author=author
        )
        return conversion.correction_result(await self._transport.call(self._transport.curation.PinCluster, request))


def _part_count(parts: int | None) -> int:
    if parts is None:
        return 0
    if not 2 <= parts <= 100:
        raise InvalidArgument(f"parts is {parts}; it must be 2 to 100", reason="INVALID_FIELD")
    return parts
