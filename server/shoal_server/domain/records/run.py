"""Runs, their parameters, trials and lineage as records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from typing import Any

from shoal_server.domain.lineage import Lineage, LineageKind, Share
from shoal_server.domain.records.values import Record, figures, optional_datetime, optional_iso, plain
from shoal_server.domain.run import (
    ClusteringParameters,
    ClusteringRun,
    Granularity,
    Method,
    Reducer,
    RequestedParameters,
    RunKind,
    RunStage,
    RunState,
    RunSummary,
    Trial,
)

_CHOICES: dict[str, type[Enum]] = {"granularity": Granularity, "reducer": Reducer, "method": Method}


def run_to_record(run: ClusteringRun) -> Record:
    """A run as JSON values; quality figures and timings that are NaN or infinite are left out."""
    return {
        "id": run.id,
        "state": run.state.value,
        "stage": run.stage.value,
        "progress": float(run.progress),
        "created_at": run.created_at.isoformat(),
        "requested": _plain_fields(run.requested),
        "request_id": run.request_id,
        "ended_at": optional_iso(run.ended_at),
        "parameters": None if run.parameters is None else _plain_fields(run.parameters),
        "summary": None if run.summary is None else _plain_fields(run.summary),
        "error": run.error,
        "error_reason": run.error_reason,
        "kind": run.kind.value,
        "trigger": run.trigger,
        "parent": run.parent,
        "lineage": [_lineage_to_record(each) for each in run.lineage],
        "held_because": list(run.held_because),
        "trials": [_trial_to_record(each) for each in run.trials],
        "quality": figures(run.quality),
        "timings": figures(run.timings),
        "activated_at": optional_iso(run.activated_at),
        "sampled": run.sampled,
    }


def run_from_record(record: Mapping[str, Any]) -> ClusteringRun:
    """The inverse of :func:`run_to_record`."""
    parameters, summary = record["parameters"], record["summary"]
    return ClusteringRun(
        id=record["id"],
        state=RunState(record["state"]),
        stage=RunStage(record["stage"]),
        progress=float(record["progress"]),
        created_at=datetime.fromisoformat(record["created_at"]),
        requested=RequestedParameters(**_chosen(record["requested"])),
        request_id=record["request_id"],
        ended_at=optional_datetime(record["ended_at"]),
        parameters=None if parameters is None else ClusteringParameters(**_chosen(parameters)),
        summary=None if summary is None else RunSummary(**summary),
        error=record["error"],
        error_reason=record["error_reason"],
        kind=RunKind(record.get("kind", RunKind.CLUSTERING.value)),
        trigger=record.get("trigger", "person"),
        parent=record.get("parent"),
        lineage=tuple(_lineage_from_record(each) for each in record.get("lineage", ())),
        held_because=tuple(record.get("held_because", ())),
        trials=tuple(_trial_from_record(each) for each in record.get("trials", ())),
        quality=dict(record.get("quality", {})),
        timings=dict(record.get("timings", {})),
        activated_at=optional_datetime(record.get("activated_at")),
        sampled=record.get("sampled"),
    )


def _plain_fields(values: RequestedParameters | ClusteringParameters | RunSummary) -> Record:
    return {name: plain(value) for name, value in asdict(values).items()}


def _chosen(fields: Mapping[str, Any]) -> Record:
    """Fields with their enumerations."""
    return {
        name: _CHOICES[name](value) if name in _CHOICES and value is not None else value
        for name, value in fields.items()
    }


def _trial_to_record(trial: Trial) -> Record:
    return {
        "min_cluster_size": int(trial.min_cluster_size),
        "min_samples": int(trial.min_samples),
        "clusters": int(trial.clusters),
        "noise": float(trial.noise),
        # JSON has no -inf: what was ruled out has no score.
        "score": float(trial.score) if math.isfinite(trial.score) else None,
        "verdict": trial.verdict,
    }


def _trial_from_record(record: Mapping[str, Any]) -> Trial:
    score = record["score"]
    return Trial(
        min_cluster_size=int(record["min_cluster_size"]),
        min_samples=int(record["min_samples"]),
        clusters=int(record["clusters"]),
        noise=float(record["noise"]),
        score=-math.inf if score is None else float(score),
        verdict=record["verdict"],
    )


def _lineage_to_record(lineage: Lineage) -> Record:
    return {
        "cluster_id": int(lineage.cluster_id),
        "kind": lineage.kind.value,
        "shares": [
            {
                "cluster_id": int(each.cluster_id),
                "images": int(each.images),
                "of_before": float(each.of_before),
                "of_now": float(each.of_now),
            }
            for each in lineage.shares
        ],
    }


def _lineage_from_record(record: Mapping[str, Any]) -> Lineage:
    return Lineage(
        cluster_id=int(record["cluster_id"]),
        kind=LineageKind(record["kind"]),
        shares=tuple(
            Share(
                cluster_id=int(each["cluster_id"]),
                images=int(each["images"]),
                of_before=float(each["of_before"]),
                of_now=float(each["of_now"]),
            )
            for each in record["shares"]
        ),
    )
