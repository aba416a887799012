"""``shoal ingest --ray`` on files that come slowly: how much two workers do more than one, and whether it is the same.

    python benchmarks/bulk.py [--files 600] [--wait-ms 100] [--reads 2] [--rounds 2] [--json FILE]

The files are small JPEGs behind an HTTP server that answers each only after some time, as a far object storage does
(``slow_files.py``). A worker waits for a few of them at once (``--reads``) and does the rest meanwhile; the model is
``debug``, whose passes take no time. So what limits a worker here is waiting, and not the cores, of which a small
machine has no more for two workers than for one. The bound says that workers do not hold one another up: two do at
least 1.7 times as much as one. With a real model on a CPU it is the cores that limit, and a second worker on the same
machine adds nothing.

One worker and two take turns. The rate is that from the first request for a file to the last answer, when all workers
are there: what it takes to begin Ray and the workers is shown beside it, and does not grow with the number of files.

The store is the stand-in of the tests for a Qdrant server. In the end the points of every round (ids, vectors to the
last bit, and payloads but for the time of storing) are compared with what a Shoal server stores of the same files. The
exit status is 1 if a bound is missed or a point differs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
from figures import Figure, ended, json_option
from PIL import Image
from qdrant_client import QdrantClient
from table import head, kept_rows, row

from shoal_client import Client

_ROOT = Path(__file__).resolve().parents[1]
#: Two workers do at least so many times as much as one.
BOUND = 1.7
_SIDE = 96

Points = dict[str, tuple[list[float], dict[str, Any]]]


def main() -> int:
    """Runs it; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--wait-ms", type=float, default=100.0, help="until a file comes")
    parser.add_argument("--reads", type=int, default=2, help="files that a worker waits for at once")
    parser.add_argument("--rounds", type=int, default=2)
    json_option(parser)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="shoal-bulk-") as name:
        folder = Path(name)
        contents = _make(folder / "files", options.files)
        with (
            _store(folder) as environment,
            _slow_files(folder / "files", options.wait_ms) as address,
            kept_rows() as rows,
        ):
            uris = {f"{address}/files/{file}": content for file, content in contents.items()}
            manifest = folder / "list.csv"
            with manifest.open("w", newline="") as file:
                csv.writer(file).writerows([["uri"], *([uri] for uri in uris)])
            head("files/s", "files at once", "seconds, with the start of Ray")
            rates: dict[int, list[float]] = {1: [], 2: []}
            for number in range(options.rounds):
                for workers, found in rates.items():
                    found.append(_round(environment, manifest, address, workers, number, options.reads))
            collections = [_collection(workers, number) for number in range(options.rounds) for workers in rates]
            differing = _compared(environment, folder, uris, collections)
    times = median(rates[2]) / median(rates[1])
    row("two workers to one", f"{times:.2f}", "", "")
    row(f"points that differ, of {options.files * len(collections)}", str(differing), "", "")
    seconds = time.monotonic() - began
    said = f"{options.files} files that come {options.wait_ms:g} ms late, {options.reads} read at once by each worker"
    return ended(
        [
            Figure(
                "bulk: two workers",
                f"two workers of `shoal ingest --ray` store more than one: {said}",
                f">= {BOUND}",
                f"{times:.2f}",
                times >= BOUND,
                rows,
                seconds,
            ),
            Figure(
                "bulk: the same points",
                "with `--ray`, ids, vectors and payloads are those that a server stores",
                "0 differ",
                f"{differing} differ",
                differing == 0,
            ),
        ],
        options.json,
    )


def _round(environment: dict[str, str], manifest: Path, address: str, workers: int, number: int, reads: int) -> float:
    """Stores all files with so many workers; files per second."""
    command = [sys.executable, "-m", "shoal_client", "ingest", "--ray", "--json", "--manifest", str(manifest)]
    command += ["--ray-workers", str(workers), "--ray-reads", str(reads)]
    began = time.monotonic()
    # Work is given out when all workers are there, so that the rate is that of all of them.
    waiting = {"RAY_DATA_DEFAULT_WAIT_FOR_MIN_ACTORS_S": "600"}
    done = subprocess.run(
        [*command, "--collection", _collection(workers, number)],
        env={**os.environ, **environment, **waiting},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode:
        sys.exit(f"the ingest failed: {done.stdout}{done.stderr}")
    seen = httpx.get(f"{address}/seen").json()
    rate: float = seen["files"] / seen["seconds"]
    row(f"{workers} worker{'s' * (workers > 1)}", f"{rate:.1f}", str(seen["most_at_once"]), f"{seconds:.1f}")
    return rate


def _collection(workers: int, number: int) -> str:
    return f"workers-{workers}-{number}"


def _compared(environment: dict[str, str], folder: Path, uris: dict[str, bytes], collections: Sequence[str]) -> int:
    """How many points are not as a server stores them, in all collections."""
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "shoal_server", "serve", "--listen", "127.0.0.1:0", "--data", str(folder / "data")]
    with subprocess.Popen(
        [*command, "--ready-file", str(ready)], env={**os.environ, **environment}, stderr=subprocess.DEVNULL
    ) as server:
        try:
            _wait_for(ready, server)
            with Client(json.loads(ready.read_text())["address"]) as client:
                client.ensure_collection("server")
                for result in client.collection("server").ingest((content, uri, ()) for uri, content in uris.items()):
                    if result.error is not None:
                        sys.exit(f"{result.uri} was not stored: {result.error}")
        finally:
            server.terminate()
    expected = _points(environment, "server")
    if len(expected) != len(uris):
        sys.exit(f"the server stored {len(expected)} of {len(uris)}")
    differing = 0
    for collection in collections:
        found = _points(environment, collection)
        differing += sum(found.get(name) != expected.get(name) for name in found.keys() | expected.keys())
    return differing


def _points(environment: dict[str, str], collection: str) -> Points:
    """Vectors and payloads by id, but for the time of storing."""
    client = QdrantClient(
        url=environment["SHOAL_QDRANT_URL"],
        grpc_port=int(environment["SHOAL_QDRANT_GRPC_PORT"]),
        prefer_grpc=True,
        check_compatibility=False,
    )
    points: Points = {}
    offset = None
    while True:
        records, offset = client.scroll(collection, limit=1000, offset=offset, with_vectors=True)
        for record in records:
            payload = {key: value for key, value in (record.payload or {}).items() if key != "ingested_at"}
            points[str(record.id)] = (np.asarray(record.vector, np.float32).tolist(), payload)
        if offset is None:
            break
    client.close()
    return points


def _make(folder: Path, count: int) -> dict[str, bytes]:
    """Small JPEGs of noise around a colour, by their names."""
    folder.mkdir()
    contents = {}
    random = np.random.default_rng(6)
    for number in range(count):
        shade = random.integers(0, 256, 3)
        pixels = np.clip(shade + random.integers(-20, 20, (_SIDE, _SIDE, 3)), 0, 255).astype(np.uint8)
        file = BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=85)
        contents[f"{number:05}.jpg"] = file.getvalue()
        (folder / f"{number:05}.jpg").write_bytes(file.getvalue())
    return contents


@contextmanager
def _store(folder: Path) -> Iterator[dict[str, str]]:
    """A stand-in for a Qdrant server; the variables that lead there."""
    ready = folder / "store.json"
    command = [sys.executable, "-m", "tests.standin", "--folder", str(folder / "store"), "--ready-file", str(ready)]
    with subprocess.Popen(command, cwd=_ROOT) as process:
        try:
            _wait_for(ready, process)
            told = json.loads(ready.read_text())
            yield {
                "SHOAL_QDRANT_URL": f"http://127.0.0.1:{told['port']}",
                "SHOAL_QDRANT_GRPC_PORT": str(told["grpc_port"]),
                "SHOAL_FILES_URL": (folder / "shared").as_uri(),
                "SHOAL_MODEL": "debug",
                "SHOAL_RECLUSTER_AUTOMATICALLY": "false",
            }
        finally:
            process.terminate()


@contextmanager
def _slow_files(folder: Path, wait_ms: float) -> Iterator[str]:
    """The address of the files."""
    command = [sys.executable, str(Path(__file__).with_name("slow_files.py")), str(folder), str(wait_ms)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or not (address := process.stdout.readline().strip()):
                sys.exit("the files are not served")
            yield address
        finally:
            process.terminate()


def _wait_for(ready: Path, process: subprocess.Popen[bytes]) -> None:
    while not ready.exists():
        if process.poll() is not None:
            sys.exit(f"what was to write {ready.name} ended by itself")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
