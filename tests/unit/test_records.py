"""Records are read back as they were written, also through JSON."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_server.domain import records
from shoal_server.domain.cluster import Cluster, Hold, NameCandidate, NameSource
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.correction import Correction, CorrectionKind, Former
from shoal_server.domain.groupings import Groupings, Moment, Place, Theme
from shoal_server.domain.image import Location
from shoal_server.domain.lineage import Lineage, LineageKind, Share
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
from shoal_server.domain.schedule import Schedule

_texts = st.text(st.characters(codec="utf-8"), max_size=40)
_numbers = st.floats(allow_nan=False, allow_infinity=False)
_counts = st.integers(0, 2**53)
_dates = st.datetimes(timezones=st.just(UTC))
_optional_counts = st.none() | _counts
_models = st.builds(EmbeddingModel, name=_texts, digest=_texts, dimension=st.integers(1, 4096))
_schedules = st.builds(
    Schedule,
    enabled=st.booleans(),
    interval=st.none() | st.timedeltas(timedelta(0), timedelta(days=10_000)),
    growth=st.none() | _numbers,
    quiet_from=st.none() | st.times(),
    quiet_to=st.none() | st.times(),
    timezone=_texts,
)
_collections = st.builds(
    Collection,
    id=_texts,
    model=_models,
    created_at=_dates,
    active_run=st.none() | _texts,
    activating_run=st.none() | _texts,
    next_cluster_id=_counts,
    next_theme_id=_counts,
    next_place_id=_counts,
    next_moment_id=_counts,
    schedule=st.none() | _schedules,
)
_requested = st.builds(
    RequestedParameters,
    n_neighbors=_optional_counts,
    n_components=_optional_counts,
    min_cluster_size=_optional_counts,
    min_samples=_optional_counts,
    seed=_optional_counts,
    granularity=st.none() | st.sampled_from(Granularity),
    n_clusters=_optional_counts,
    reducer=st.none() | st.sampled_from(Reducer),
    method=st.none() | st.sampled_from(Method),
)
_parameters = st.builds(
    ClusteringParameters,
    n_neighbors=_counts,
    n_components=_counts,
    min_cluster_size=_optional_counts,
    min_samples=_optional_counts,
    seed=_counts,
    granularity=st.sampled_from(Granularity),
    n_clusters=_optional_counts,
    reducer=st.sampled_from(Reducer),
    method=st.sampled_from(Method),
)
_trials = st.builds(
    Trial,
    min_cluster_size=_counts,
    min_samples=_counts,
    clusters=_counts,
    noise=_numbers,
    score=_numbers | st.just(-math.inf),
    verdict=_texts,
)
_lineages = st.builds(
    Lineage,
    cluster_id=_counts,
    kind=st.sampled_from(LineageKind),
    shares=st.lists(
        st.builds(Share, cluster_id=st.integers(-1), images=_counts, of_before=_numbers, of_now=_numbers), max_size=3
    ).map(tuple),
)
_runs = st.builds(
    ClusteringRun,
    id=_texts,
    state=st.sampled_from(RunState),
    stage=st.sampled_from(RunStage),
    progress=_numbers,
    created_at=_dates,
    requested=_requested,
    request_id=_texts,
    ended_at=st.none() | _dates,
    parameters=st.none() | _parameters,
    summary=st.none() | st.builds(RunSummary, *[_counts] * 8),
    error=st.none() | _texts,
    error_reason=st.none() | _texts,
    kind=st.sampled_from(RunKind),
    trigger=_texts,
    parent=st.none() | _texts,
    lineage=st.lists(_lineages, max_size=2).map(tuple),
    held_because=st.lists(_texts, max_size=2).map(tuple),
    trials=st.lists(_trials, max_size=2).map(tuple),
    quality=st.dictionaries(_texts, _numbers, max_size=2),
    timings=st.dictionaries(_texts, _numbers, max_size=2),
    activated_at=st.none() | _dates,
)
_holds = st.frozensets(st.sampled_from(Hold))
_corrections = st.builds(
    Correction,
    id=_texts,
    kind=st.sampled_from(CorrectionKind),
    author=_texts,
    created_at=_dates,
    clusters=st.lists(_counts, max_size=3).map(tuple),
    images=_counts,
    detail=_texts,
    former=st.lists(
        st.builds(
            Former,
            cluster_id=_counts,
            name=_texts,
            name_source=st.sampled_from(NameSource),
            holds=_holds,
            created_at=_dates,
        ),
        max_size=2,
    ).map(tuple),
    run=st.none() | _texts,
    undone_at=st.none() | _dates,
    undone_by=_texts,
)
_themes = st.builds(
    Theme, id=_counts, name=_texts, parent_id=_optional_counts, cluster_ids=st.lists(_counts, max_size=3).map(tuple)
)
_places = st.builds(
    Place,
    id=_counts,
    name=_texts,
    size=_counts,
    center=st.builds(Location, lat=_numbers, lon=_numbers),
    radius_km=_numbers,
)
_moments = st.builds(Moment, id=_counts, name=_texts, size=_counts, start=st.datetimes(), end=st.datetimes())
_groupings = st.builds(
    Groupings,
    themes=st.lists(_themes, max_size=2).map(tuple),
    places=st.lists(_places, max_size=2).map(tuple),
    moments=st.lists(_moments, max_size=2).map(tuple),
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
    borderline=st.lists(st.uuids(), max_size=4).map(tuple),
    separation=_numbers,
    holds=_holds,
    theme_id=_optional_counts,
)


def through_json(record: records.Record) -> Any:
    return json.loads(json.dumps(record, allow_nan=False))


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


@given(_corrections)
def test_corrections(correction: Correction) -> None:
    assert records.correction_from_record(through_json(records.correction_to_record(correction))) == correction


@given(_groupings)
def test_groupings(groupings: Groupings) -> None:
    assert records.groupings_from_record(through_json(records.groupings_to_record(groupings))) == groupings


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


def a_run(**changes: Any) -> ClusteringRun:
    return ClusteringRun("r1", RunState.SUCCEEDED, RunStage.WRITING, 1.0, datetime(2024, 1, 1, tzinfo=UTC), **changes)


def test_numbers_of_numpy_in_a_run_become_plain_ones() -> None:
    run = a_run(
        parameters=ClusteringParameters(12, 5, np.int64(9), np.int64(3), 42),  # type: ignore[arg-type]
        summary=RunSummary(*np.arange(8)),
        lineage=(Lineage(1, LineageKind.BORN, (Share(np.int64(-1), np.int64(7), np.float32(0.5), np.float64(1)),)),),  # type: ignore[arg-type]
        trials=(Trial(np.int64(9), 3, np.int64(30), np.float32(0.25), np.float32(0.5), "won"),),  # type: ignore[arg-type]
        quality={"silhouette": np.float32(0.75)},
        sampled=50_000,
    )
    assert records.run_from_record(through_json(records.run_to_record(run))) == run


@pytest.mark.parametrize("score", [-math.inf, math.nan, math.inf])
def test_a_trial_without_a_score_was_ruled_out(score: float) -> None:
    record = through_json(records.run_to_record(a_run(trials=(Trial(5, 5, 1, 0.9, score, "one huge cluster"),))))
    assert record["trials"][0]["score"] is None
    assert records.run_from_record(record).trials[0].score == -math.inf


def test_a_figure_without_a_value_is_left_out() -> None:
    figures = {"silhouette": 0.5, "relative_validity": math.nan, "other": -math.inf}
    record = through_json(records.run_to_record(a_run(quality=figures, timings=figures)))
    run = records.run_from_record(record)
    assert run.quality == run.timings == {"silhouette": 0.5}


# As the version before corrections, schedules and groupings wrote them.
_FIRST_COLLECTION = {
    "id": "photos",
    "model": {"name": "debug", "digest": "sha256:00", "dimension": 8},
    "created_at": "2024-05-06T07:08:09+00:00",
    "active_run": "r1",
    "activating_run": None,
    "next_cluster_id": 17,
}
_FIRST_RUN = {
    "id": "r1",
    "state": "succeeded",
    "stage": "writing",
    "progress": 1.0,
    "created_at": "2024-05-06T07:08:09+00:00",
    "requested": {
        "n_neighbors": 7,
        "n_components": None,
        "min_cluster_size": None,
        "min_samples": None,
        "seed": None,
    },
    "request_id": "key",
    "ended_at": "2024-05-06T07:09:09+00:00",
    "parameters": {"n_neighbors": 7, "n_components": 5, "min_cluster_size": 9, "min_samples": 5, "seed": 42},
    "summary": {
        "images": 100,
        "clusters": 4,
        "clustered": 90,
        "noise": 10,
        "payload_writes": 12,
        "kept": 3,
        "born": 1,
        "dissolved": 0,
    },
    "error": None,
    "error_reason": None,
}
_FIRST_CLUSTER = {
    "cluster_id": 3,
    "name": "cats",
    "name_source": "person",
    "candidates": [{"name": "cats", "score": 0.5}],
    "size": 4,
    "cohesion": 0.75,
    "threshold": 0.5,
    "exemplars": ["00000000-0000-0000-0000-000000000001"],
    "created_at": "2024-05-06T07:08:09+00:00",
}
_THEN = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def test_records_of_the_first_version_are_read() -> None:
    assert records.collection_from_record(_FIRST_COLLECTION) == Collection(
        id="photos",
        model=EmbeddingModel("debug", "sha256:00", 8),
        created_at=_THEN,
        active_run="r1",
        next_cluster_id=17,
    )
    assert records.run_from_record(_FIRST_RUN) == ClusteringRun(
        id="r1",
        state=RunState.SUCCEEDED,
        stage=RunStage.WRITING,
        progress=1.0,
        created_at=_THEN,
        requested=RequestedParameters(n_neighbors=7),
        request_id="key",
        ended_at=_THEN + timedelta(minutes=1),
        parameters=ClusteringParameters(7, 5, 9, 5, 42),
        summary=RunSummary(100, 4, 90, 10, 12, 3, 1, 0),
    )
    assert records.cluster_from_record(_FIRST_CLUSTER, _CENTROID) == Cluster(
        id=3,
        name="cats",
        name_source=NameSource.PERSON,
        candidates=(NameCandidate("cats", 0.5),),
        size=4,
        centroid=_CENTROID,
        cohesion=0.75,
        threshold=0.5,
        exemplars=(UUID(int=1),),
        created_at=_THEN,
    )


@pytest.mark.parametrize("name", sorted(_FIRST_RUN))
def test_a_missing_field_is_an_error(name: str) -> None:
    record = records.run_to_record(a_run())
    del record[name]
    with pytest.raises(KeyError):
        records.run_from_record(record)


@given(_corrections, st.data())
def test_a_missing_field_of_a_correction_is_an_error(correction: Correction, data: st.DataObject) -> None:
    record = records.correction_to_record(correction)
    del record[data.draw(st.sampled_from(sorted(record)))]
    with pytest.raises(KeyError):
        records.correction_from_record(record)


@pytest.mark.parametrize(("field", "value"), [("state", "asleep"), ("kind", "magic"), ("quality", 3)])
def test_a_value_of_the_wrong_form_is_an_error(field: str, value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        records.run_from_record(records.run_to_record(a_run()) | {field: value})
