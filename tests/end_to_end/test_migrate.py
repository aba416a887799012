"""``shoal migrate`` to a Qdrant server: killed again and again, it ends the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.fixtures.data_folders import unpacked
from tests.standin.process import standing_in


def migrate(grpc_port: int, *arguments: str, killed_after: int | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command, to its end or to the write that kills it."""
    script = str(Path(__file__).with_name("killed_while_moving.py"))
    program = ["-m", "shoal_client"] if killed_after is None else [script, str(killed_after)]
    return subprocess.run(
        [sys.executable, *program, "migrate", "--json", *arguments],
        env={**os.environ, "SHOAL_QDRANT_GRPC_PORT": str(grpc_port)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_killed_again_and_again_it_ends_the_same(tmp_path: Path) -> None:
    data = unpacked(1, tmp_path / "data")
    with standing_in(tmp_path / "qdrant") as server:
        there = ("--data", str(data), "--to", server.url)
        for writes in (0, 1, 8, 4):
            done = migrate(server.grpc_port, *there, killed_after=writes)
            assert done.returncode == -signal.SIGKILL, done.stderr
        done = migrate(server.grpc_port, *there)
        assert done.returncode == 0, done.stderr
        moved = json.loads(done.stdout)
        assert (moved["collection"], moved["outcome"], moved["images"], moved["runs"]) == ("photos", "moved", 36, 3)
        again = migrate(server.grpc_port, *there)
        assert json.loads(again.stdout) == {**moved, "outcome": "already there"}


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    done = migrate(1, "--data", str(tmp_path / "typo"), "--to", "http://127.0.0.1:1")
    assert done.returncode == 2
    assert "no data folder with a store in it" in " ".join(done.stderr.replace("│", " ").split())
    assert not (tmp_path / "typo").exists()
