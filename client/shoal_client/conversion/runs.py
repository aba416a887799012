"""Clustering runs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from shoal.v1 import cluster_pb2, cluster_service_pb2
from shoal_client import names
from shoal_client.conversion.images import image
from shoal_client.conversion.parameters import parameters
from shoal_client.conversion.times import time
from shoal_client.errors import from_status
from shoal_client.results import (
    ClusteringRun,
    ClusteringSummary,
    ExportedImage,
    Flow,
    Lineage,
    LineageKind,
    ParameterTrial,
    RunComparison,
    RunKind,
    RunStage,
    RunState,
    Share,
)

RUN_STATES = {
    cluster_pb2.RUN_STATE_RUNNING: RunState.RUNNING,
    cluster_pb2.RUN_STATE_SUCCEEDED: RunState.SUCCEEDED,
    cluster_pb2.RUN_STATE_FAILED: RunState.FAILED,
    cluster_pb2.RUN_STATE_CANCELLED: RunState.CANCELLED,
    cluster_pb2.RUN_STATE_HELD_BACK: RunState.HELD_BACK,
}
RUN_STAGES = {
    cluster_pb2.RUN_STAGE_READING: RunStage.READING,
    cluster_pb2.RUN_STAGE_NEIGHBORS: RunStage.NEIGHBORS,
    cluster_pb2.RUN_STAGE_REDUCING: RunStage.REDUCING,
    cluster_pb2.RUN_STAGE_GROUPING: RunStage.GROUPING,
    cluster_pb2.RUN_STAGE_MAPPING: RunStage.MAPPING,
    cluster_pb2.RUN_STAGE_ASSIGNING: RunStage.ASSIGNING,
    cluster_pb2.RUN_STAGE_MATCHING: RunStage.MATCHING,
    cluster_pb2.RUN_STAGE_WRITING: RunStage.WRITING,
}
RUN_KINDS = {
    cluster_pb2.RUN_KIND_CLUSTERING: RunKind.CLUSTERING,
    cluster_pb2.RUN_KIND_CORRECTION: RunKind.CORRECTION,
}
LINEAGE_KINDS = {
    cluster_pb2.Lineage.KIND_CONTINUED: LineageKind.CONTINUED,
    cluster_pb2.Lineage.KIND_MERGED: LineageKind.MERGED,
    cluster_pb2.Lineage.KIND_SPLIT: LineageKind.SPLIT,
    cluster_pb2.Lineage.KIND_BORN: LineageKind.BORN,
    cluster_pb2.Lineage.KIND_RETURNED: LineageKind.RETURNED,
    cluster_pb2.Lineage.KIND_DISSOLVED: LineageKind.DISSOLVED,
}


def run(message: cluster_pb2.ClusteringRun) -> ClusteringRun:
    """A clustering run."""
    return ClusteringRun(
        id=names.child_id(message.name, names.RUNS),
        state=RUN_STATES.get(message.state, RunState.UNKNOWN),
        stage=RUN_STAGES.get(message.stage, RunStage.UNKNOWN),
        progress=message.progress,
        created_at=time(message.create_time),
        ended_at=time(message.end_time) if message.HasField("end_time") else None,
        error=from_status(message.error) if message.HasField("error") else None,
        active=message.active,
        parameters=parameters(message.parameters),
        summary=_summary(message.summary) if message.HasField("summary") else None,
        kind=RUN_KINDS.get(message.kind, RunKind.UNKNOWN),
        trigger=message.trigger,
        parent=names.child_id(message.parent, names.RUNS) if message.parent else None,
        lineage=tuple(_lineage(each) for each in message.lineage),
        held_because=tuple(message.held_because),
        trials=tuple(_trial(each) for each in message.trials),
        quality=MappingProxyType(dict(message.quality)),
        timings=MappingProxyType(_in_order(message.timings)),
        remaining=message.remaining.ToTimedelta() if message.HasField("remaining") else None,
        activated_at=time(message.activate_time) if message.HasField("activate_time") else None,
        retained=message.retained,
        sampled=message.sampled_count or None,
    )


def comparison(message: cluster_service_pb2.CompareClusteringRunsResponse) -> RunComparison:
    """What differs between two runs."""
    return RunComparison(
        same=message.same_count,
        moved=message.moved_count,
        added=message.added_count,
        removed=message.removed_count,
        flows=tuple(_flow(each) for each in message.flows),
        new_clusters=tuple(names.cluster_id(each) for each in message.new_clusters),
        gone_clusters=tuple(names.cluster_id(each) for each in message.gone_clusters),
    )


def exported_image(message: cluster_service_pb2.ExportAssignmentsResponse.Assignment) -> ExportedImage:
    """One image's place in a run."""
    return ExportedImage(
        image=image(message.image),
        cluster_id=_optional_cluster(message.cluster),
        cluster_name=message.display_name or None,
        strength=message.strength,
        x=message.x if message.HasField("x") else None,
        y=message.y if message.HasField("y") else None,
    )


def _flow(message: cluster_service_pb2.CompareClusteringRunsResponse.Flow) -> Flow:
    # `from` is a word of Python's, so its field can be had by its name only.
    return Flow(
        from_cluster=_optional_cluster(getattr(message, "from")),
        from_name=message.from_display_name or None,
        to_cluster=_optional_cluster(message.to),
        to_name=message.to_display_name or None,
        images=message.image_count,
    )


def _optional_cluster(name: str) -> int | None:
    return names.cluster_id(name) if name else None


def _lineage(message: cluster_pb2.Lineage) -> Lineage:
    return Lineage(
        cluster_id=names.cluster_id(message.cluster),
        kind=LINEAGE_KINDS.get(message.kind, LineageKind.UNKNOWN),
        shares=tuple(
            Share(_optional_cluster(each.cluster), each.image_count, each.of_before, each.of_now)
            for each in message.shares
        ),
    )


def _trial(message: cluster_pb2.ParameterTrial) -> ParameterTrial:
    return ParameterTrial(
        min_cluster_size=message.min_cluster_size,
        min_samples=message.min_samples,
        clusters=message.cluster_count,
        noise=message.noise_share,
        score=message.score if message.HasField("score") else None,
        verdict=message.verdict,
    )


def _in_order(timings: Mapping[str, float]) -> dict[str, float]:
    """Timings in the order of the stages; a map of the API has none."""
    order = {stage.value: place for place, stage in enumerate(RunStage)}
    return dict(sorted(timings.items(), key=lambda each: (order.get(each[0], len(order)), each[0])))


def _summary(message: cluster_pb2.ClusteringSummary) -> ClusteringSummary:
    return ClusteringSummary(
        images=message.image_count,
        clusters=message.cluster_count,
        clustered=message.clustered_count,
        noise=message.noise_count,
        payload_writes=message.payload_write_count,
        kept=message.kept_count,
        born=message.born_count,
        dissolved=message.dissolved_count,
    )
