"""How far a run is, as those see it who watch."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

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
