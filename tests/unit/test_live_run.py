"""How far a run is, as those see it who watch."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from shoal_server.application import live_run
from shoal_server.application.live_run import LiveRun
from shoal_server.domain.run import (
    SAMPLED_STAGE_START,
    STAGE_START,
    ClusteringRun,
    RunStage,
    RunState,
)

STAGES = list(RunStage)


@pytest.mark.parametrize("begins", [STAGE_START, SAMPLED_STAGE_START])
def test_every_stage_has_its_share_in_their_order(begins: dict[RunStage, float]) -> None:
    assert list(begins) == STAGES
    assert list(begins.values()) == sorted(begins.values())
    assert begins[STAGES[0]] == 0.0
    assert begins[STAGES[-1]] < 1.0


@pytest.mark.parametrize("sampled", [None, 50_000])
async def test_progress_only_grows(sampled: int | None) -> None:
    live = LiveRun(ClusteringRun("r1", RunState.RUNNING, RunStage.READING, 0.0, datetime(2024, 1, 1, tzinfo=UTC)))
    seen = []
    for stage in STAGES:
        if sampled is None and stage is RunStage.ASSIGNING:
            continue
        for share in (0.0, 0.5, 1.0):
            live.at(stage, share)
            seen.append(live.run.progress)
        if stage is RunStage.READING and sampled is not None:
            live.sampled(sampled)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert (live.run.sampled, RunStage.ASSIGNING.value in live.run.timings) == (sampled, sampled is not None)


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param((1.8, 0.4, 7.5, 4.2, 0.0, 1.1, 1.0), id="1,780 photographs, a whole run"),
        pytest.param((0.0, 1.5, 4.9, 4.2, 0.0, 0.0, 0.0), id="10,000 vectors, the worker alone"),
        pytest.param((0.0, 4.5, 17.4, 4.1, 2.1, 0.0, 0.0), id="30,000 vectors, the worker alone"),
    ],
)
async def test_what_is_left_of_a_run_is_told_about_right(
    monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, ...]
) -> None:
    """Once dimensions are reduced; the seconds of the stages are those that the shares were set by."""
    clock = 1000.0
    monkeypatch.setattr(live_run, "time", SimpleNamespace(monotonic=lambda: clock))
    live = LiveRun(ClusteringRun("r1", RunState.RUNNING, RunStage.READING, 0.0, datetime(2024, 1, 1, tzinfo=UTC)))
    began, whole = clock, sum(seconds)
    told = 0
    for stage, lasts in zip([one for one in STAGES if one is not RunStage.ASSIGNING], seconds, strict=True):
        stage_began = clock
        for share in (0.0, 0.25, 0.5, 0.75):
            clock = stage_began + share * lasts
            live.at(stage, share)
            left = live.run.remaining_s
            if left is not None and STAGES.index(stage) >= STAGES.index(RunStage.REDUCING):
                told += 1
                assert left == pytest.approx(whole - (clock - began), abs=0.2 * whole), (stage, share)
        clock = stage_began + lasts
    assert told == 20
