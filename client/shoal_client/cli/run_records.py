"""The JSON fields of clustering runs: programs rely on them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from shoal_client.results import ClusteringParameters, ClusteringRun, Lineage, RunComparison


def run_result_record(run: ClusteringRun, seconds: float) -> dict[str, Any]:
    """A run that has a result; ``seconds`` is how long it took."""
    summary = {} if run.summary is None else asdict(run.summary)
    return {
        "run": run.id,
        "state": run.state.value,
        "active": run.active,
        **summary,
        "sampled": run.sampled,
        "held_because": list(run.held_because),
        "lineage": [lineage_record(each) for each in run.lineage],
        "seconds": round(seconds, 3),
    }


def run_record(run: ClusteringRun) -> dict[str, Any]:
    """A run in a list of runs."""
    summary = {} if run.summary is None else asdict(run.summary)
    return {
        "id": run.id,
        "state": run.state.value,
        "active": run.active,
        "kind": run.kind.value,
        "trigger": run.trigger,
        "created_at": run.created_at.isoformat(),
        "ended_at": None if run.ended_at is None else run.ended_at.isoformat(),
        **summary,
        "sampled": run.sampled,
        "retained": run.retained,
        "held_because": list(run.held_because),
        "error": None if run.error is None else run.error.message,
    }


def run_details(run: ClusteringRun) -> dict[str, Any]:
    """All that is known of a run."""
    return {
        **run_record(run),
        "stage": run.stage.value,
        "progress": run.progress,
        "remaining_s": None if run.remaining is None else run.remaining.total_seconds(),
        "activated_at": None if run.activated_at is None else run.activated_at.isoformat(),
        "parent": run.parent,
        "parameters": parameters_record(run.parameters),
        "trials": [asdict(each) for each in run.trials],
        "quality": dict(run.quality),
        "timings": dict(run.timings),
        "lineage": [lineage_record(each) for each in run.lineage],
    }


def parameters_record(parameters: ClusteringParameters) -> dict[str, Any]:
    """Settings; those that are not known are left out."""
    values = {name: getattr(value, "value", value) for name, value in asdict(parameters).items()}
    return {name: value for name, value in values.items() if value is not None}


def lineage_record(lineage: Lineage) -> dict[str, Any]:
    """What became of a cluster."""
    return {
        "cluster_id": lineage.cluster_id,
        "kind": lineage.kind.value,
        "shares": [asdict(each) for each in lineage.shares],
    }


def comparison_record(comparison: RunComparison) -> dict[str, Any]:
    """What differs between two runs."""
    return {
        "same": comparison.same,
        "moved": comparison.moved,
        "added": comparison.added,
        "removed": comparison.removed,
        "flows": [asdict(each) for each in comparison.flows],
        "new_clusters": list(comparison.new_clusters),
        "gone_clusters": list(comparison.gone_clusters),
    }
