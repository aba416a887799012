"""``shoal serve`` where the Qdrant server is not there, or not yet."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.end_to_end.conftest import ServerProcess
from tests.standin.process import StandIn


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_a_server_without_its_store_ends_with_one_sentence(tmp_path: Path) -> None:
    port = free_port()
    done = subprocess.run(
        [sys.executable, "-m", "shoal_server", "serve", "--data", str(tmp_path / "data"), "--model", "debug"],
        env={
            **os.environ,
            "SHOAL_QDRANT_URL": f"http://127.0.0.1:{port}",
            "SHOAL_QDRANT_GRPC_PORT": str(port),
            "SHOAL_QDRANT_API_KEY": "a-secret",
            "SHOAL_LISTEN": "127.0.0.1:0",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        f"shoal serve: the vector store http://127.0.0.1:{port} (gRPC port {port}) does not answer: "
    )
    assert "Traceback" not in done.stderr
    assert "a-secret" not in done.stdout + done.stderr


def test_a_server_waits_for_its_store_if_it_is_told_to(
    tmp_path: Path, servers: list[ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    qdrant = StandIn(tmp_path / "qdrant")
    qdrant.start()
    qdrant.stop()
    monkeypatch.setenv("SHOAL_QDRANT_URL", qdrant.url)
    monkeypatch.setenv("SHOAL_QDRANT_GRPC_PORT", str(qdrant.grpc_port))
    monkeypatch.setenv("SHOAL_STORE_WAIT_S", "110")
    log = tmp_path / "data.log"

    def start_when_waited_for() -> None:
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline and "waiting for it" not in (log.read_text() if log.exists() else ""):
            time.sleep(0.05)
        qdrant.start()

    later = threading.Thread(target=start_when_waited_for)
    later.start()
    try:
        servers.append(ServerProcess(tmp_path / "data"))
        later.join()
        assert "waiting for it" in log.read_text()
        assert servers[-1].shoal("collections") == []
        assert servers[-1].stop() == 0
    finally:
        later.join()
        qdrant.kill()
