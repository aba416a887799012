"""What the fake server answers about corrections, runs' contents, themes, places, moments and schedules."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from shoal.v1 import (
    cluster_pb2,
    cluster_service_pb2,
    cluster_service_pb2_grpc,
    collection_pb2,
    collection_service_pb2_grpc,
    correction_pb2,
    curation_service_pb2,
    curation_service_pb2_grpc,
    grouping_pb2,
)


class FakeCuration(
    cluster_service_pb2_grpc.ClusterServiceServicer,
    collection_service_pb2_grpc.CollectionServiceServicer,
    curation_service_pb2_grpc.CurationServiceServicer,
):
    """The part of the fake server that takes corrections; keeps the record and moves nothing."""

    def __init__(self) -> None:
        #: Newest first.
        self.corrections: list[correction_pb2.Correction] = []
        self.themes: list[grouping_pb2.Theme] = []
        self.places: list[grouping_pb2.Place] = []
        self.moments: list[grouping_pb2.Moment] = []
        self.proposals: list[curation_service_pb2.ReassignNoiseResponse.Proposal] = []
        self.comparison = cluster_service_pb2.CompareClusteringRunsResponse()
        self.assignments: list[cluster_service_pb2.ExportAssignmentsResponse.Assignment] = []
        #: The collections' own; the others have the default.
        self.schedules: dict[str, collection_pb2.Schedule] = {}
        self.default_schedule = collection_pb2.Schedule(growth=0.2)
        self.default_schedule.interval.FromSeconds(24 * 3600)
        self.schedule_state = collection_pb2.ScheduleState()
        #: How long a merge takes.
        self.delay_s = 0.0

    def _enter(self, method: str, request: Any, context: grpc.ServicerContext) -> None:
        raise NotImplementedError

    def _page(self, items: Sequence[Any], request: Any) -> tuple[Sequence[Any], str]:
        raise NotImplementedError

    def _record(
        self,
        request: Any,
        kind: correction_pb2.CorrectionKind.ValueType,
        clusters: Sequence[str],
        images: int,
        **more: str,
    ) -> curation_service_pb2.CorrectionResult:
        correction = correction_pb2.Correction(
            name=f"collections/default/corrections/k{len(self.corrections) + 1}",
            kind=kind,
            author=request.author,
            create_time=Timestamp(seconds=1_700_000_000),
            clusters=clusters,
            image_count=images,
            run="collections/default/clusteringRuns/c1" if images else "",
        )
        self.corrections.insert(0, correction)
        return curation_service_pb2.CorrectionResult(correction=correction, clusters=clusters[:1])

    def scheduled(self, info: collection_pb2.Collection) -> collection_pb2.Collection:
        """The collection with its schedule."""
        own = self.schedules.get(info.name)
        info.schedule.CopyFrom(self.default_schedule if own is None else own)
        info.schedule_state.CopyFrom(self.schedule_state)
        info.schedule_state.server_default = own is None
        return info

    def MergeClusters(self, request: Any, context: Any) -> curation_service_pb2.CorrectionResult:  # noqa: N802
        self._enter("MergeClusters", request, context)
        time.sleep(self.delay_s)
        return self._record(request, correction_pb2.CORRECTION_KIND_MERGE, request.clusters, 7)

    def SplitCluster(self, request: Any, context: Any) -> curation_service_pb2.CorrectionResult:  # noqa: N802
        self._enter("SplitCluster", request, context)
        both = [request.name, "collections/default/clusters/99"]
        result = self._record(request, correction_pb2.CORRECTION_KIND_SPLIT, both, 3)
        result.clusters.append(both[1])
        return result

    def PinCluster(self, request: Any, context: Any) -> curation_service_pb2.CorrectionResult:  # noqa: N802
        self._enter("PinCluster", request, context)
        kind = correction_pb2.CORRECTION_KIND_UNPIN if request.unpin else correction_pb2.CORRECTION_KIND_PIN
        return self._record(request, kind, [request.name], 0)

    def MoveImages(self, request: Any, context: Any) -> curation_service_pb2.CorrectionResult:  # noqa: N802
        self._enter("MoveImages", request, context)
        clusters = [request.cluster] if request.cluster else []
        return self._record(request, correction_pb2.CORRECTION_KIND_MOVE, clusters, len(request.images))

    def DissolveCluster(self, request: Any, context: Any) -> curation_service_pb2.CorrectionResult:  # noqa: N802
        self._enter("DissolveCluster", request, context)
        result = self._record(request, correction_pb2.CORRECTION_KIND_DISSOLVE, [request.name], 5)
        del result.clusters[:]
        return result

    def ReassignNoise(self, request: Any, context: Any) -> curation_service_pb2.ReassignNoiseResponse:  # noqa: N802
        self._enter("ReassignNoise", request, context)
        answer = curation_service_pb2.ReassignNoiseResponse(
            proposals=self.proposals, proposal_count=len(self.proposals)
        )
        if not request.validate_only:
            clusters = sorted({each.cluster for each in self.proposals})
            kind = correction_pb2.CORRECTION_KIND_REASSIGN_NOISE
            answer.correction.CopyFrom(self._record(request, kind, clusters, len(self.proposals)).correction)
        return answer

    def ListCorrections(self, request: Any, context: Any) -> curation_service_pb2.ListCorrectionsResponse:  # noqa: N802
        self._enter("ListCorrections", request, context)
        found, token = self._page(self.corrections, request)
        return curation_service_pb2.ListCorrectionsResponse(corrections=found, next_page_token=token)

    def UndoCorrection(self, request: Any, context: Any) -> curation_service_pb2.CorrectionResult:  # noqa: N802
        self._enter("UndoCorrection", request, context)
        correction = next(each for each in self.corrections if each.name == request.name)
        correction.undo_time.FromSeconds(1_700_000_100)
        correction.undo_author = request.author
        return curation_service_pb2.CorrectionResult(correction=correction, clusters=correction.clusters)

    def ListPlaces(self, request: Any, context: Any) -> cluster_service_pb2.ListPlacesResponse:  # noqa: N802
        self._enter("ListPlaces", request, context)
        found, token = self._page(self.places, request)
        return cluster_service_pb2.ListPlacesResponse(places=found, next_page_token=token)

    def ListMoments(self, request: Any, context: Any) -> cluster_service_pb2.ListMomentsResponse:  # noqa: N802
        self._enter("ListMoments", request, context)
        found, token = self._page(self.moments, request)
        return cluster_service_pb2.ListMomentsResponse(moments=found, next_page_token=token)

    def CompareClusteringRuns(self, request: Any, context: Any) -> cluster_service_pb2.CompareClusteringRunsResponse:  # noqa: N802
        self._enter("CompareClusteringRuns", request, context)
        return self.comparison

    def ActivateClusteringRun(self, request: Any, context: Any) -> cluster_pb2.ClusteringRun:  # noqa: N802
        self._enter("ActivateClusteringRun", request, context)
        summary = cluster_pb2.ClusteringSummary(image_count=10, cluster_count=2, payload_write_count=3)
        return cluster_pb2.ClusteringRun(
            name=request.name, state=cluster_pb2.RUN_STATE_SUCCEEDED, active=True, summary=summary
        )

    def ExportAssignments(  # noqa: N802
        self, request: Any, context: Any
    ) -> Iterator[cluster_service_pb2.ExportAssignmentsResponse]:
        self._enter("ExportAssignments", request, context)
        for start in range(0, len(self.assignments), 2):
            yield cluster_service_pb2.ExportAssignmentsResponse(assignments=self.assignments[start : start + 2])

    def UpdateCollection(self, request: Any, context: Any) -> collection_pb2.Collection:  # noqa: N802
        self._enter("UpdateCollection", request, context)
        name = request.collection.name
        if request.collection.HasField("schedule"):
            self.schedules[name] = request.collection.schedule
        else:
            self.schedules.pop(name, None)
        return self.scheduled(collection_pb2.Collection(name=name))


def lineage(
    cluster: int, kind: cluster_pb2.Lineage.Kind.ValueType, *shares: tuple[int | None, int, float, float]
) -> cluster_pb2.Lineage:
    """What became of a cluster of the collection ``default``; a share is another cluster, images, and two shares."""
    return cluster_pb2.Lineage(
        cluster=f"collections/default/clusters/{cluster}",
        kind=kind,
        shares=[
            cluster_pb2.Lineage.Share(
                cluster="" if other is None else f"collections/default/clusters/{other}",
                image_count=images,
                of_before=before,
                of_now=now,
            )
            for other, images, before, now in shares
        ],
    )
