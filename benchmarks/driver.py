"""A server of its own on a folder, and the client that drives it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil
from measures import NOISE, Ids

from shoal_client import Client
from shoal_client.results import Assignment, Cluster, ClusteringParameters, ClusteringRun, Outcome, RunState

COLLECTION = "default"
_SETTLED_WITHIN_S = 120.0


@dataclass(frozen=True)
class Ingested:
    """How many images were stored, how many had been before, and how long it took."""

    stored: int
    duplicates: int
    seconds: float


class Shoal:
    """One collection of a server."""

    def __init__(self, client: Client) -> None:
        client.ensure_collection(COLLECTION)
        self.collection = client.collection(COLLECTION)

    def ingest(self, files: Sequence[Path]) -> Ingested:
        """Stores files. One that cannot be stored ends the benchmark: the peers have it."""
        began = time.monotonic()
        results = list(self.collection.ingest(files))
        seconds = time.monotonic() - began
        for result in results:
            if result.error is not None:
                sys.exit(f"{result.uri} was not stored: {result.error}")
        stored = sum(result.outcome is Outcome.STORED for result in results)
        return Ingested(stored, len(results) - stored, seconds)

    def cluster(self, parameters: ClusteringParameters | None = None) -> ClusteringRun:
        """Reclusters. A result that is held back stays so, and is told."""
        run = self.collection.recluster(parameters)
        if run.state is RunState.HELD_BACK:
            print(f"held back: {'; '.join(run.held_because)}", file=sys.stderr)
        return run

    def cluster_ids(self) -> Ids:
        """The cluster of every stored file, -1 for none."""
        return {_path(image.uri): _number(image.cluster_id) for image in self.collection.images()}

    def exported(self, run: str) -> Ids:
        """The cluster of every stored file in a run, -1 for none."""
        return {_path(each.image.uri): _number(each.cluster_id) for each in self.collection.export(run)}

    def clusters(self) -> list[Cluster]:
        """All clusters, with all that is known of them."""
        return [self.collection.cluster(each.id) for each in self.collection.clusters()]

    def assign(self, file: Path) -> Assignment:
        """The cluster that a file belongs to; stores nothing."""
        return self.collection.assign(file)

    def delete(self, files: Sequence[Path]) -> None:
        """Deletes stored files."""
        ids = {_path(image.uri): image.id for image in self.collection.images()}
        for file in files:
            self.collection.delete(ids[file])


class Server:
    """``shoal serve`` with the embedded store, from its start until it is stopped or killed."""

    def __init__(self, folder: Path, model: str) -> None:
        """Starts it and waits until it answers.

        Args:
            folder: for its data, which it finds again, and its log.
            model: to embed with.
        """
        ready = folder / "ready.json"
        ready.unlink(missing_ok=True)
        self.data = folder / "data"
        with (folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "shoal_server", "serve", "--data", str(self.data)),
                    *("--listen", "127.0.0.1:0", "--model", model, "--ready-file", str(ready)),
                ],
                stderr=log,
            )
        while not ready.exists():
            if self._process.poll() is not None:
                sys.exit((folder / "server.log").read_text())
            time.sleep(0.05)
        self.address: str = json.loads(ready.read_text())["address"]

    @property
    def process(self) -> psutil.Process:
        """The process, to be watched."""
        return psutil.Process(self._process.pid)

    def until_idle(self) -> None:
        """Waits until it has done what it does after its start: compiling for its first run, for instance."""
        deadline = time.monotonic() + _SETTLED_WITHIN_S
        while time.monotonic() < deadline:
            before = cpu_seconds(self.process)
            time.sleep(2)
            if cpu_seconds(self.process) - before < 0.1:
                return

    def stop(self) -> None:
        """Lets it finish what it does."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()

    def kill(self) -> None:
        """``kill -9``."""
        self._process.kill()
        self._process.wait()


def cpu_seconds(process: psutil.Process) -> float:
    """Of a process and of those below it."""
    seconds = 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            seconds += times.user + times.system
    return seconds


@contextmanager
def served(folder: Path, model: str) -> Iterator[Shoal]:
    """A server on a folder, for the time of the context."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Server(folder, model)
    try:
        with Client(server.address, timeout=None) as client:
            yield Shoal(client)
    finally:
        server.stop()


def _path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


def _number(cluster_id: int | None) -> int:
    return NOISE if cluster_id is None else cluster_id
