"""``kill -9`` at random moments: ``benchmarks/chaos.py``, with fewer of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 10


# Each kill costs a start of the server, and every run the warming up of a clustering worker.
@pytest.mark.timeout(900)
def test_what_was_promised_holds_whenever_the_server_is_killed(tmp_path: Path) -> None:
    benchmark = Path(__file__).resolve().parents[2] / "benchmarks" / "chaos.py"
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [
            *(sys.executable, str(benchmark), "--kills", str(KILLS), "--seed", "4"),
            *("--images", "220", "--details", str(figures)),
        ],
        capture_output=True,
        text=True,
        timeout=880,
        check=False,
    )
    assert figures.exists(), done.stdout + done.stderr
    kills = json.loads(figures.read_text())
    assert len(kills) == KILLS + 1
    assert {kill["moment"]["work"] for kill in kills} >= {"ingest", "recluster", "write-back"}
    for kill in kills:
        images = kill["found"].pop("images")
        assert images >= 220
        assert set(kill["found"].values()) == {0}, kill
    assert done.returncode == 0, done.stdout + done.stderr
