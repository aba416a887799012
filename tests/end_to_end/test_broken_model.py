"""A model that breaks and stays broken: callers are told, what was acknowledged is kept, and the process ends."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.end_to_end.conftest import ServerProcess
from tests.fakes import picture


@pytest.mark.parametrize("how", ["raises", "hangs"])
def test_the_server_ends_for_its_supervisor_to_start_it_again(
    tmp_path: Path, servers: list[ServerProcess], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv("SHOAL_MODEL_STALL_S", "1")
    monkeypatch.setenv("SHOAL_MODEL_GIVE_UP_S", "4")
    monkeypatch.setenv("SHOAL_LOG_FORMAT", "json")
    for number in (1, 2):
        (tmp_path / f"{number}.png").write_bytes(picture("red", number))
    program = Path(__file__).with_name("breaking_model.py")
    server = ServerProcess(tmp_path / "data", sys.executable, str(program), how, "serve")
    servers.append(server)
    assert server.shoal_process("ingest", str(tmp_path / "1.png")).returncode == 0
    began = time.monotonic()
    with ThreadPoolExecutor() as threads:
        # The client tries again for a while, as it does with a server that is being started.
        second = threads.submit(server.shoal_process, "ingest", str(tmp_path / "2.png"))
        # Nothing waits for a thread that hangs.
        assert server.process.wait(60) == 1
        assert time.monotonic() - began < 45
        assert second.result().returncode != 0
    lines = server.log.read_text().splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    assert any(record["level"] == "ERROR" and "the model does not work" in record["message"] for record in records)
    assert any("shoal serve: model 'debug' does not work" in line for line in lines)

    again = ServerProcess(tmp_path / "data")
    servers.append(again)
    [listed] = again.shoal("images", "list")
    assert listed["uri"].endswith("1.png")
    [found] = again.shoal("status")
    assert found["healthy"] is True
    assert again.stop() == 0
