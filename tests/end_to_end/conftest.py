"""Real servers: processes of their own, stopped or killed by the tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.qdrant_server import QdrantServer


class ServerProcess:
    """``shoal serve`` on a folder, listening on a free port."""

    def __init__(self, data: Path, *command: str, model: str = "debug", listen: str = "127.0.0.1:0") -> None:
        """Args:
        data: its folder.
        command: what to run in place of ``python -m shoal_server serve``.
        model: its model.
        listen: its address.
        """
        self.data = data
        self.log = data.parent / f"{data.name}.log"
        ready = data.parent / f"{data.name}.ready"
        ready.unlink(missing_ok=True)
        program = command or (sys.executable, "-m", "shoal_server", "serve")
        options = ["--data", str(data), "--listen", listen, "--model", model, "--ready-file", str(ready)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*program, *options], stderr=log, stdout=log)
        deadline = time.monotonic() + 120
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError(f"the server did not start:\n{self.log.read_text()}")
            time.sleep(0.02)
        self.address: str = json.loads(ready.read_text())["address"]

    def stop(self) -> int:
        """Asks it to stop and waits until it has; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """``kill -9``."""
        self.process.kill()
        self.process.wait(60)

    def shoal(self, *arguments: str, status: int = 0) -> list[dict[str, Any]]:
        """Runs ``shoal ARGUMENTS --json`` against it and reads the lines it prints."""
        done = self.shoal_process(*arguments, "--json")
        assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def shoal_process(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs ``shoal ARGUMENTS`` against it."""
        return subprocess.run(
            [sys.executable, "-m", "shoal_client", *arguments],
            env={**os.environ, "SHOAL_SERVER": self.address, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )


@pytest.fixture(autouse=True)
def _on_the_qdrant_server(stored_in_qdrant_server: QdrantServer | None) -> None:
    """With ``--qdrant-url``, every server that is started stores there."""


@pytest.fixture(autouse=True)
def _no_warm_clustering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests cluster nothing, and getting ready for it takes as long as everything else of a start."""
    monkeypatch.setenv("SHOAL_WARM_CLUSTERING", "false")


@pytest.fixture
def servers(stored_in_qdrant_server: QdrantServer | None) -> Iterator[list[ServerProcess]]:
    """Servers put in here are killed at the end, whatever happens."""
    started: list[ServerProcess] = []
    yield started
    for server in started:
        if server.process.poll() is None:
            server.kill()
