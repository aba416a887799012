"""Damaged files do no harm: ``benchmarks/mutations.py``, with fewer of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

FILES = 500


def test_damaged_files_are_stored_or_refused_with_a_reason(tmp_path: Path) -> None:
    repository = Path(__file__).resolve().parents[2]
    photographs = Path(os.environ.get("SHOAL_TEST_DATA", repository.parent / "shared" / "data")) / "exif"
    found = [str(photographs)] if photographs.is_dir() else []
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [
            *(sys.executable, str(repository / "benchmarks" / "mutations.py"), *found),
            *("--count", str(FILES), "--details", str(figures)),
        ],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert figures.exists(), done.stderr
    outcome = json.loads(figures.read_text())
    assert outcome["faults"] == outcome["complaints"] == []
    assert outcome["alive"]
    assert outcome["files"] == outcome["stored"] + sum(outcome["refused"].values()) == FILES
    # Neither was every file unharmed nor none.
    assert outcome["stored"] > FILES / 10
    assert outcome["refused"].keys() >= {"BROKEN_IMAGE", "UNSUPPORTED_FORMAT"}
    assert outcome["slowest_s"] < 5, outcome["slowest"]
    assert outcome["growth_bytes"] < 200e6
    assert done.returncode == 0, done.stdout + done.stderr
