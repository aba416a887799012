"""Clustering runs."""

from __future__ import annotations

import math

import grpc

from shoal.v1 import cluster_pb2
from shoal_server.domain.lineage import Lineage, LineageKind
from shoal_server.domain.run import ClusteringRun, RunKind, RunStage, RunState, RunSummary, Trial
from shoal_server.rpc.convert.parameters import parameters
from shoal_server.rpc.convert.values import cluster_or_none, timestamp
from shoal_server.rpc.errors import shoal_status
from shoal_server.rpc.resource_names import cluster_name, run_name

_STATES = {
    RunState.RUNNING: cluster_pb2.RUN_STATE_RUNNING,
    RunState.SUCCEEDED: cluster_pb2.RUN_STATE_SUCCEEDED,
    RunState.HELD_BACK: cluster_pb2.RUN_STATE_HELD_BACK,
    RunState.FAILED: cluster_pb2.RUN_STATE_FAILED,
    RunState.CANCELLED: cluster_pb2.RUN_STATE_CANCELLED,
}
_KINDS = {
    RunKind.CLUSTERING: cluster_pb2.RUN_KIND_CLUSTERING,
    RunKind.CORRECTION: cluster_pb2.RUN_KIND_CORRECTION,
}
_STAGES = {
    RunStage.READING: cluster_pb2.RUN_STAGE_READING,
    RunStage.NEIGHBORS: cluster_pb2.RUN_STAGE_NEIGHBORS,
    RunStage.REDUCING: cluster_pb2.RUN_STAGE_REDUCING,
    RunStage.GROUPING: cluster_pb2.RUN_STAGE_GROUPING,
    RunStage.MAPPING: cluster_pb2.RUN_STAGE_MAPPING,
    RunStage.ASSIGNING: cluster_pb2.RUN_STAGE_ASSIGNING,
    RunStage.MATCHING: cluster_pb2.RUN_STAGE_MATCHING,
    RunStage.WRITING: cluster_pb2.RUN_STAGE_WRITING,
}
_LINEAGE_KINDS = {
    LineageKind.CONTINUED: cluster_pb2.Lineage.KIND_CONTINUED,
    LineageKind.MERGED: cluster_pb2.Lineage.KIND_MERGED,
    LineageKind.SPLIT: cluster_pb2.Lineage.KIND_SPLIT,
    LineageKind.BORN: cluster_pb2.Lineage.KIND_BORN,
    LineageKind.RETURNED: cluster_pb2.Lineage.KIND_RETURNED,
    LineageKind.DISSOLVED: cluster_pb2.Lineage.KIND_DISSOLVED,
}


def run(
    collection_id: str, record: ClusteringRun, active_run: str | None, *, whole: bool = True
) -> cluster_pb2.ClusteringRun:
    """A clustering run.

    Args:
        collection_id: whose.
        record: of the run.
        active_run: the run in force.
        whole: with its lineage and trials, which are long.
    """
    complete = record.state.complete
    message = cluster_pb2.ClusteringRun(
        name=run_name(collection_id, record.id),
        state=_STATES[record.state],
        stage=_STAGES[record.stage],
        progress=record.progress,
        create_time=timestamp(record.created_at),
        end_time=timestamp(record.ended_at),
        active=record.id == active_run,
        parameters=parameters(record),
        summary=_summary(record.summary) if complete and record.summary is not None else None,
        kind=_KINDS[record.kind],
        trigger=record.trigger,
        parent="" if record.parent is None else run_name(collection_id, record.parent),
        lineage=[_lineage(collection_id, entry) for entry in record.lineage] if whole else (),
        held_because=record.held_because,
        trials=[_trial(trial) for trial in record.trials] if whole else (),
        quality=record.quality,
        timings=record.timings,
        activate_time=timestamp(record.activated_at),
        retained=complete,
        sampled_count=record.sampled or 0,
    )
    if record.state is RunState.FAILED:
        error = shoal_status(grpc.StatusCode.INTERNAL, record.error or "", record.error_reason or "", {})
        message.error.CopyFrom(error)
    if record.state is RunState.RUNNING and record.remaining_s is not None:
        message.remaining.FromMilliseconds(round(record.remaining_s * 1000))
    return message


def _summary(summary: RunSummary) -> cluster_pb2.ClusteringSummary:
    return cluster_pb2.ClusteringSummary(
        image_count=summary.images,
        cluster_count=summary.clusters,
        clustered_count=summary.clustered,
        noise_count=summary.noise,
        payload_write_count=summary.payload_writes,
        kept_count=summary.kept,
        born_count=summary.born,
        dissolved_count=summary.dissolved,
    )


def _lineage(collection_id: str, entry: Lineage) -> cluster_pb2.Lineage:
    return cluster_pb2.Lineage(
        cluster=cluster_name(collection_id, entry.cluster_id),
        kind=_LINEAGE_KINDS[entry.kind],
        shares=[
            cluster_pb2.Lineage.Share(
                cluster=cluster_or_none(collection_id, share.cluster_id),
                image_count=share.images,
                of_before=share.of_before,
                of_now=share.of_now,
            )
            for share in entry.shares
        ],
    )


def _trial(trial: Trial) -> cluster_pb2.ParameterTrial:
    return cluster_pb2.ParameterTrial(
        min_cluster_size=trial.min_cluster_size,
        min_samples=trial.min_samples,
        cluster_count=trial.clusters,
        noise_share=trial.noise,
        score=None if math.isinf(trial.score) else trial.score,
        verdict=trial.verdict,
    )
