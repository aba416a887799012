"""A Shoal server as a subprocess, for the demo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from shoal_client.errors import ServerEnded

POLL_S = 0.1
#: Time to finish what it is writing; after that it is killed, which loses nothing that was acknowledged.
STOP_S = 20.0
TAIL_LINES = 20
#: What the demo's server takes over from the user's settings; any other could lead it to data that is not the demo's.
KEPT_SETTINGS = frozenset({"SHOAL_CACHE", "SHOAL_MAX_MESSAGE_BYTES"})


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a server can be reached.

    Attributes:
        grpc: ``HOST:PORT``.
        page: URL of the explorer.
    """

    grpc: str
    page: str


class ServerProcess:
    """A server that is starting or running.

    Attributes:
        log: what it prints.
    """

    def __init__(self, process: subprocess.Popen[bytes], ready_file: Path, log: Path) -> None:
        self.log = log
        self._process = process
        self._ready_file = ready_file

    def wait_until_ready(self) -> Addresses:
        """Waits until it serves, however long the model takes to load.

        Returns:
            Where it can be reached.

        Raises:
            ServerEnded: it ended instead.
        """
        while (addresses := self._addresses()) is None:
            if self._process.poll() is not None:
                raise self._ended()
            time.sleep(POLL_S)
        return addresses

    def serve_on(self) -> NoReturn:
        """Waits for as long as it runs.

        Raises:
            ServerEnded: it ended.
        """
        self._process.wait()
        raise self._ended()

    def stop(self) -> None:
        """Asks it to end, and ends it if it does not."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _addresses(self) -> Addresses | None:
        try:
            ready = json.loads(self._ready_file.read_text("utf-8"))
            return Addresses(str(ready["address"]), str(ready["web"]))
        except (FileNotFoundError, json.JSONDecodeError):  # not written yet, or not to its end
            return None

    def _ended(self) -> ServerEnded:
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return ServerEnded(self._process.wait(), str(self.log), "\n".join(lines[-TAIL_LINES:]))


@contextmanager
def server_process(data: Path, model: str) -> Iterator[ServerProcess]:
    """Starts a server on free ports of this machine, and stops it at the end of the block.

    Args:
        data: its data folder; made if it is not there. Its log is ``server.log`` in it.
        model: the embedding model that it serves.
    """
    data.mkdir(parents=True, exist_ok=True)
    ready_file, log = data / "ready.json", data / "server.log"
    ready_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "shoal_server", "serve", "--data", str(data), "--model", model]
    command += ["--listen", "127.0.0.1:0", "--web", "127.0.0.1:0", "--ready-file", str(ready_file)]
    with log.open("wb") as output:
        # In a session of its own: a Ctrl-C in the terminal reaches the demo alone, which then stops the server.
        process = subprocess.Popen(  # noqa: S603 - the command is made here
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=_environment(),
        )
    server = ServerProcess(process, ready_file, log)
    try:
        yield server
    finally:
        server.stop()
        ready_file.unlink(missing_ok=True)


def _environment() -> dict[str, str]:
    """This process's environment without the user's settings of a server, however they are capitalized."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("SHOAL_") or name.upper() in KEPT_SETTINGS
    }
