"""Tells the meter and the tracer of clustering runs, and knows those under way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

from shoal_server.application.log_context import note
from shoal_server.application.telemetry import Meter, Span, Tracer
from shoal_server.domain.run import ClusteringRun, RunStage


@dataclass(slots=True)
class _Followed:
    run: ClusteringRun
    began: float
    whole: Span
    stage: RunStage
    stage_began: float
    part: Span


class RunTelemetry:
    """Follows the runs of this server from what it is told of them."""

    def __init__(self, meter: Meter, tracer: Tracer, clock: Callable[[], float] = perf_counter) -> None:
        """Args:
        meter: told how long stages take and what becomes of runs.
        tracer: has a span for each run and each of its stages.
        clock: seconds that only grow.
        """
        self._meter = meter
        self._tracer = tracer
        self._clock = clock
        self._followed: dict[str, _Followed] = {}

    @property
    def under_way(self) -> Mapping[str, ClusteringRun]:
        """The runs that this server works on, by collection."""
        return {collection: followed.run for collection, followed in self._followed.items()}

    def told(self, collection: str, run: ClusteringRun) -> None:
        """Takes in a newer state of a run.

        The first one is told within the run's own task, whose log and spans are about it from there on.
        """
        followed = self._followed.get(collection)
        if followed is None or followed.run.id != run.id:
            if run.state.ended:
                return
            followed = self._followed[collection] = self._begin(collection, run)
        followed.run = run
        if run.state.ended:
            self._end(collection, followed)
        elif run.stage is not followed.stage:
            self._end_stage(followed, "")
            followed.stage, followed.stage_began = run.stage, self._clock()
            followed.part = followed.whole.child(f"stage {run.stage.value}", {})

    def _begin(self, collection: str, run: ClusteringRun) -> _Followed:
        note(collection=collection, run=run.id)
        whole = self._tracer.begin("clustering run", {"shoal.collection": collection, "shoal.run": run.id})
        now = self._clock()
        return _Followed(run, now, whole, run.stage, now, whole.child(f"stage {run.stage.value}", {}))

    def _end_stage(self, followed: _Followed, problem: str) -> None:
        followed.part.end(problem)
        self._meter.stage_ended(followed.stage.value, self._clock() - followed.stage_began)

    def _end(self, collection: str, followed: _Followed) -> None:
        del self._followed[collection]
        problem = followed.run.error or ""
        self._end_stage(followed, problem)
        followed.whole.end(problem)
        outcome = followed.run.state.value.replace(" ", "_")
        self._meter.run_ended(collection, outcome, self._clock() - followed.began)
