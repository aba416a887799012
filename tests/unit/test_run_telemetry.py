"""What is told of a run: its stages, its end, and nothing that is left behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shoal_server.application.log_context import noted
from shoal_server.application.run_telemetry import RunTelemetry
from shoal_server.application.telemetry import Attributes, NoMeter, NoTracer, Span
from shoal_server.domain.run import ClusteringRun, RunStage, RunState

RUN = ClusteringRun("20260504-1", RunState.RUNNING, RunStage.READING, 0.0, datetime(2026, 5, 4, tzinfo=UTC))


class Noted(NoMeter):
    """Notes stages and ends."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, float]] = []

    def stage_ended(self, stage: str, seconds: float) -> None:
        self.told.append(("stage", stage, seconds))

    def run_ended(self, collection: str, outcome: str, seconds: float) -> None:
        self.told.append((collection, outcome, seconds))


class Noting(Span):
    """A span that notes its end."""

    def __init__(self, tracer: Followed, name: str) -> None:
        self.tracer = tracer
        self.name = name

    def child(self, name: str, attributes: Attributes) -> Span:
        return Noting(self.tracer, f"{self.name} > {name}")

    def end(self, problem: str = "") -> None:
        self.tracer.ended.append((self.name, problem))


class Followed(NoTracer):
    """Notes the spans that ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[tuple[str, str]] = []

    def begin(self, name: str, attributes: Attributes) -> Span:
        return Noting(self, f"{name} {attributes['shoal.run']}")


@pytest.fixture
def meter() -> Noted:
    return Noted()


@pytest.fixture
def tracer() -> Followed:
    return Followed()


async def test_stages_and_the_end_are_told(meter: Noted, tracer: Followed) -> None:
    seconds = iter(range(100))
    runs = RunTelemetry(meter, tracer, lambda: float(next(seconds)))
    runs.told("photos", RUN)
    assert noted() == {"collection": "photos", "run": RUN.id}
    runs.told("photos", replace(RUN, progress=0.1))
    assert runs.under_way["photos"].progress == 0.1
    runs.told("photos", replace(RUN, stage=RunStage.WRITING))
    runs.told("photos", replace(RUN, stage=RunStage.WRITING, state=RunState.HELD_BACK))
    assert not runs.under_way
    assert [each[:2] for each in meter.told] == [("stage", "reading"), ("stage", "writing"), ("photos", "held_back")]
    assert all(each[2] > 0 for each in meter.told)
    whole = f"clustering run {RUN.id}"
    assert tracer.ended == [(f"{whole} > stage reading", ""), (f"{whole} > stage writing", ""), (whole, "")]


async def test_a_failure_is_on_the_spans(meter: Noted, tracer: Followed) -> None:
    runs = RunTelemetry(meter, tracer)
    runs.told("photos", RUN)
    runs.told("photos", replace(RUN, state=RunState.FAILED, error="the worker died"))
    assert [problem for _, problem in tracer.ended] == ["the worker died"] * 2
    assert meter.told[-1][:2] == ("photos", "failed")


async def test_an_end_of_what_never_began_is_nothing(meter: Noted, tracer: Followed) -> None:
    runs = RunTelemetry(meter, tracer)
    runs.told("photos", replace(RUN, state=RunState.FAILED, error="it was not recorded"))
    assert (meter.told, tracer.ended, dict(runs.under_way)) == ([], [], {})


async def test_runs_of_several_collections_do_not_mix(meter: Noted, tracer: Followed) -> None:
    runs = RunTelemetry(meter, tracer)

    async def run(collection: str) -> None:
        runs.told(collection, replace(RUN, id=collection))
        await asyncio.sleep(0)
        assert noted()["run"] == collection
        runs.told(collection, replace(RUN, id=collection, state=RunState.SUCCEEDED))

    await asyncio.gather(run("one"), run("two"))
    assert {each[0] for each in meter.told} == {"stage", "one", "two"}
