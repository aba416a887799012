"""Records are read back as they were written, also through JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_server.domain import records
from shoal_server.domain.cluster import Cluster, NameCandidate, NameSource
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.run import (
    ClusteringParameters,
    ClusteringRun,
    RequestedParameters,
    RunStage,
    RunState,
    RunSummary,
)

_texts = st.text(st.characters(codec="utf-8"), max_size=40)
_numbers = st.floats(allow_nan=False, allow_infinity=False)
_counts = st.integers(0, 2**53)
_dates = st.datetimes(timezones=st.just(UTC))
_models = st.builds(EmbeddingModel, name=_texts, digest=_texts, dimension=st.integers(1, 4096))
_collections = st.builds(
    Collection,
    id=_texts,
    model=_models,
    created_at=_dates,
    active_run=st.none() | _texts,
    activating_run=st.none() | _texts,
    next_cluster_id=_counts,
)
_runs = st.builds(
    ClusteringRun,
    id=_texts,
    state=st.sampled_from(RunState),
    stage=st.sampled_from(RunStage),
    progress=_numbers,
    created_at=_dates,
    requested=st.builds(RequestedParameters, n_neighbors=st.none() | _counts, seed=st.none() | _counts),
    request_id=_texts,
    ended_at=st.none() | _dates,
    parameters=st.none() | st.builds(ClusteringParameters, *[_counts] * 5),
    summary=st.none() | st.builds(RunSummary, *[_counts] * 8),
    error=st.none() | _texts,
    error_reason=st.none() | _texts,
)
_CENTROID = np.array([0.6, 0.8], dtype=np.float32)
_clusters = st.builds(
    Cluster,
    id=st.integers(1, 2**53),
    name=_texts,
    name_source=st.sampled_from(NameSource),
    candidates=st.lists(st.builds(NameCandidate, name=_texts, score=_numbers), max_size=4).map(tuple),
    size=_counts,
    centroid=st.just(_CENTROID),
    cohesion=_numbers,
    threshold=_numbers,
    exemplars=st.lists(st.uuids(), max_size=4).map(tuple),
    created_at=_dates,
)


def through_json(record: records.Record) -> Any:
    return json.loads(json.dumps(record))


@given(_collections)
def test_collections(collection: Collection) -> None:
    assert records.collection_from_record(through_json(records.collection_to_record(collection))) == collection


@given(_runs)
def test_runs(run: ClusteringRun) -> None:
    assert records.run_from_record(through_json(records.run_to_record(run))) == run


@given(_clusters)
def test_clusters(cluster: Cluster) -> None:
    record = through_json(records.cluster_to_record(cluster))
    assert records.cluster_from_record(record, _CENTROID) == cluster
    assert "centroid" not in record


def test_numbers_of_numpy_become_plain_ones() -> None:
    cluster = Cluster(
        id=int(np.int64(3)),
        name="cats",
        name_source=NameSource.AUTOMATIC,
        candidates=(NameCandidate("cats", np.float32(0.5)),),  # type: ignore[arg-type]
        size=np.int64(4),  # type: ignore[arg-type]
        centroid=_CENTROID,
        cohesion=np.float32(0.25),  # type: ignore[arg-type]
        threshold=np.float32(0.125),  # type: ignore[arg-type]
        exemplars=(),
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
    )
    assert through_json(records.cluster_to_record(cluster))["cohesion"] == 0.25


@given(_runs, st.data())
def test_a_missing_field_is_an_error(run: ClusteringRun, data: st.DataObject) -> None:
    record = records.run_to_record(run)
    del record[data.draw(st.sampled_from(sorted(record)))]
    with pytest.raises(KeyError):
        records.run_from_record(record)
