"""The stand-in as a process that a test starts, kills and starts again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

_ROOT = Path(__file__).resolve().parents[2]


class StandIn:
    """A server's process, on the same folder and the same ports each time it is started.

    Attributes:
        url: of REST.
        grpc_port: of gRPC, on the same host.
    """

    def __init__(self, folder: Path, api_key: str | None = None, version: str | None = None) -> None:
        """Args:
        folder: what it keeps; is made.
        api_key: that calls need.
        version: that it says it has.
        """
        self._folder = folder
        self._api_key = api_key
        self._version = version
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self.grpc_port = 0

    @property
    def url(self) -> str:
        """Of REST."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        ready = self._folder / "ready.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.standin", "--folder", str(self._folder / "data")]
        command += ["--port", str(self._port), "--grpc-port", str(self.grpc_port), "--ready-file", str(ready)]
        if self._api_key is not None:
            command += ["--api-key", self._api_key]
        if self._version is not None:
            command += ["--version", self._version]
        self._process = subprocess.Popen(command, cwd=_ROOT)
        deadline = time.monotonic() + 60
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the stand-in did not start: {self._process.poll()}")
            time.sleep(0.02)
        told = json.loads(ready.read_text())
        self._port, self.grpc_port = told["port"], told["grpc_port"]

    def kill(self) -> None:
        """Ends it at once, whatever it does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends it; calls under way end first."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Stops it where it is: connections stay, nothing is answered, until :meth:`resume`."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def order(self, *faults: dict[str, Any]) -> None:
        """These faults from here on and no others: fields of :class:`tests.standin.faults.Fault`."""
        self.control(faults=list(faults))

    def control(self, **orders: Any) -> None:
        """Orders of the control path: ``faults``, ``forget_calls``, ``version``, ``drop_connections``."""
        httpx.post(f"{self.url}/control", json=orders, timeout=30).raise_for_status()

    def calls(self) -> dict[str, Any]:
        """Calls by method (``of``), the most at once (``most_at_once``), the last request of each method (``last``)."""
        report: dict[str, Any] = httpx.get(f"{self.url}/control", timeout=30).json()
        return report

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            # One that is paused ends too.
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None


@contextmanager
def standing_in(folder: Path, api_key: str | None = None, version: str | None = None) -> Iterator[StandIn]:
    """A stand-in that has been started, and is killed at the end."""
    server = StandIn(folder, api_key, version)
    server.start()
    try:
        yield server
    finally:
        server.kill()
