"""What came out of a run, in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shoal_client.cli.run_records import run_record, run_result_record
from shoal_client.cli.run_words import result_lines
from shoal_client.results import ClusteringRun, ClusteringSummary, RunStage, RunState

SUMMARY = ClusteringSummary(
    images=1_000_000,
    clusters=700,
    clustered=900_000,
    noise=100_000,
    payload_writes=12,
    kept=700,
    born=0,
    dissolved=0,
)


@pytest.mark.parametrize(("sampled", "words"), [(None, None), (50_000, "a sample of 50000 images was clustered")])
def test_a_run_says_that_it_clustered_a_sample(sampled: int | None, words: str | None) -> None:
    run = ClusteringRun(
        "r1",
        RunState.SUCCEEDED,
        RunStage.WRITING,
        1.0,
        datetime(2024, 1, 1, tzinfo=UTC),
        summary=SUMMARY,
        sampled=sampled,
    )
    said = [line for line in result_lines(run, {}, lambda *command: " ".join(command)) if "sample" in line]
    assert len(said) == (words is not None)
    assert all(line.startswith(str(words)) for line in said)
    assert run_record(run)["sampled"] == run_result_record(run, 1.0)["sampled"] == sampled
