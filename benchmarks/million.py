"""A million images clustered by a sample of them, in the time and memory of one small machine.

    python benchmarks/million.py [--count 1000000] [--dimension 512] [--above 200000] [--sample 50000] [--cores 2]
                                 [--index-minutes 20] [--folder DIR] [--json FILE]

Vectors are made up: 700 groups of very different sizes, some near one another, and a tenth that is in none, half of it
between two groups. They are put into a data folder without embedding a picture; then a server clusters them as it would
any collection:

* how long each stage takes, and how much memory the server and its worker process take at most;
* the normalised mutual information (NMI) with the groups, of the images of the sample and of all images: what is lost
  by assigning the others;
* how long a search takes, one client, while the index is being built and once it is.

Bounds for a million: 30 minutes, 8 GB, and at most 0.03 of the NMI lost; the exit status is 1 if one is missed. With a
smaller ``--count``, for a quick look, lower ``--above`` and ``--sample`` too; then there are no bounds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from uuid import UUID

import numpy as np
import psutil
import pyarrow.parquet as pq
from driver import COLLECTION, Server
from figures import Figure, ended, json_option
from numpy.typing import NDArray
from sklearn.metrics import normalized_mutual_info_score
from table import head, kept_rows, row

from shoal_client import Client
from shoal_client.results import ClusteringRun
from shoal_server.adapters.debug_embedder import DebugEngine
from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.domain.collection import Collection
from shoal_server.domain.image import Image, Metadata, Sha256, digest_of, image_id
from shoal_server.domain.sampling import lots, stratified_sample

MILLION = 1_000_000
MOST_MINUTES = 30.0
MOST_GB = 8.0
MOST_LOST = 0.03

GROUPS = 700
NOISE = -1
#: Groups are around so many themes, this far from their middles; and images this far from those of their groups. In 512
#: dimensions two images of a group have a cosine of 0.45 to each other, two of a theme 0.33, two others none.
_THEMES = 100
_APART = 0.6
_SPREAD = 1.3
_NOISE_SHARE = 0.1
#: The sizes of groups are spread as those of people's albums are: by a log-normal with this deviation.
_UNEVEN = 1.2
_AT_ONCE = 1_024
_SEARCHES, _SEARCH_BLOCKS = 200, 20
_WATCHED_EVERY_S = 0.25


def main() -> int:
    """Runs all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=MILLION, help="images")
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--above", type=int, default=200_000, help="SHOAL_SAMPLE_ABOVE of the server")
    parser.add_argument("--sample", type=int, default=50_000, help="SHOAL_SAMPLE_SIZE of the server")
    parser.add_argument("--cores", type=int, default=2, help="that the server may use")
    parser.add_argument("--index-minutes", type=float, default=20.0, help="to wait for the search index; 0: not at all")
    parser.add_argument("--folder", type=Path, help="for the data; one that is filled is used again")
    json_option(parser)
    options = parser.parse_args()
    os.environ["SHOAL_SAMPLE_ABOVE"] = str(options.above)
    os.environ["SHOAL_SAMPLE_SIZE"] = str(options.sample)
    # What is started from here inherits it.
    if options.cores < len(os.sched_getaffinity(0)):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="shoal-million-") as temporary, kept_rows() as rows:
        folder = options.folder or Path(temporary)
        head(f"{options.count} x {options.dimension}")
        if not (folder / "data").exists():
            fill(folder / "data", options.count, options.dimension)
            row("filled the store, seconds", f"{time.monotonic() - began:.0f}")
        figures = measured(folder, options)
    figures = [
        Figure(each.name, each.claim, each.bound, each.value, each.met, rows, time.monotonic() - began)
        for each in figures
    ]
    return ended(figures, options.json)


def measured(folder: Path, options: argparse.Namespace) -> list[Figure]:
    """Clusters, and searches."""
    server = Server(folder, f"debug/{options.dimension}")
    try:
        with Client(server.address, timeout=None) as client, watched(server.process) as memory:
            run = client.collection(COLLECTION).recluster()
            minutes = 0.0 if run.ended_at is None else (run.ended_at - run.created_at).total_seconds() / 60
            tell(run, minutes, memory)
            in_sample, in_all = agreement(server.data, run, options)
            row("NMI with the groups: the sample, all", f"{in_sample:.3f}, {in_all:.3f}")
            p50 = searches(client, server.data, options)
    finally:
        server.stop()
    whole = options.count >= MILLION
    gigabytes = memory.together / 1e9
    figures = [
        Figure(
            "million: time",
            f"{options.count} images are clustered on {options.cores} cores",
            f"at most {MOST_MINUTES:g} min" if whole else "",
            f"{minutes:.1f} min",
            minutes <= MOST_MINUTES if whole else None,
        ),
        Figure(
            "million: memory",
            "server and worker together take at most",
            f"at most {MOST_GB:g} GB" if whole else "",
            f"{gigabytes:.1f} GB",
            gigabytes <= MOST_GB if whole else None,
        ),
        Figure("million: search", "a search by one client takes, at the median", "", f"{p50:.1f} ms", None),
    ]
    if run.sampled is not None:
        figures.append(
            Figure(
                "million: quality",
                "assigning the images that are not in the sample costs, of the NMI with the groups",
                f"at most {MOST_LOST:g}" if whole else "",
                f"{in_sample - in_all:.3f}",
                in_sample - in_all <= MOST_LOST if whole else None,
            )
        )
    return figures


def tell(run: ClusteringRun, minutes: float, memory: Memory) -> None:
    """Shows how a run went."""
    if run.summary is None:
        sys.exit(f"the run ended as {run.state.value}: {run.error}")
    row("clustered, minutes", f"{minutes:.1f}")
    for stage, seconds in run.timings.items():
        row(f"... {stage}, seconds", f"{seconds:.0f}")
    row("CPU seconds of the server, of the worker", f"{memory.server.cpu_s:.0f}, {memory.worker.cpu_s:.0f}")
    row("clusters, images in one", f"{run.summary.clusters}, {run.summary.clustered}")
    row("images in the sample", "all" if run.sampled is None else str(run.sampled))
    for name, process in (("server", memory.server), ("worker", memory.worker)):
        row(f"most memory of the {name}, GB", f"{process.peak / 1e9:.2f}, of it not in files {process.own / 1e9:.2f}")
    row("most memory together, GB", f"{memory.together / 1e9:.2f}")


def agreement(data: Path, run: ClusteringRun, options: argparse.Namespace) -> tuple[float, float]:
    """NMI of the clusters with the groups: of the images of the sample, and of all."""
    table = pq.read_table(
        data / "runs" / "embedded" / COLLECTION / f"{run.id}.parquet", columns=["image_id", "cluster_id"]
    )
    found = table.column("cluster_id").fill_null(NOISE).to_numpy()
    ids = [UUID(each) for each in table.column("image_id").to_pylist()]
    number_of = {_identity(number)[0]: number for number in range(options.count)}
    truth = groups_of(options.count)[[number_of[each] for each in ids]]
    everywhere = float(normalized_mutual_info_score(truth, found))
    if run.sampled is None or run.parameters.seed is None:
        return everywhere, everywhere
    rows = stratified_sample(lots(ids, run.parameters.seed), np.zeros(len(ids), np.int64), run.sampled)
    return float(normalized_mutual_info_score(truth[rows], found[rows])), everywhere


def searches(client: Client, data: Path, options: argparse.Namespace) -> float:
    """Milliseconds of a search at the median, at once and when there is an index; the last of them."""
    collection = client.collection(COLLECTION)
    groups = groups_of(options.count)
    blocks = range(0, options.count, _AT_ONCE)
    queries = [
        vector
        for start in blocks[:: max(len(blocks) // _SEARCH_BLOCKS, 1)]
        for vector in vectors_of(start // _AT_ONCE, groups[start : start + _AT_ONCE], options.dimension)[
            : _SEARCHES // _SEARCH_BLOCKS
        ]
    ]

    def median() -> float:
        taken = []
        for query in queries[:_SEARCHES]:
            began = time.perf_counter()
            collection.search(vector=query.tolist(), limit=10)
            taken.append(time.perf_counter() - began)
        return 1000 * float(np.median(taken))

    p50 = median()
    building = data / "collections" / COLLECTION / "images.new"
    row("search p50 after the run, ms", f"{p50:.1f}{' (the index is being built)' if building.exists() else ''}")
    if not building.exists():
        return p50
    began = time.monotonic()
    while building.exists() and time.monotonic() - began < 60 * options.index_minutes:
        time.sleep(1)
    if building.exists():
        row("search index", f"not built within {options.index_minutes:g} minutes")
        return p50
    row("search index built, seconds", f"{time.monotonic() - began:.0f}")
    p50 = median()
    row("search p50 with the index, ms", f"{p50:.1f}")
    return p50


@dataclass
class Process:
    """What a process took.

    Attributes:
        peak: bytes of memory at most, mapped files included.
        own: likewise, without what is in files.
        cpu_s: seconds of computing.
    """

    peak: int = 0
    own: int = 0
    cpu_s: float = 0.0


@dataclass
class Memory:
    """What a server and its worker took; ``together`` is the most at one time, in bytes."""

    server: Process = field(default_factory=Process)
    worker: Process = field(default_factory=Process)
    together: int = 0


@contextmanager
def watched(server: psutil.Process) -> Iterator[Memory]:
    """Looks at a server and its worker for the time of the context."""
    memory = Memory()
    over = threading.Event()

    def look() -> None:
        while not over.wait(_WATCHED_EVERY_S):
            taken = 0
            for process in (server, *server.children()):
                try:
                    # The one that builds the search index is no part of a run.
                    if process is not server and any("index_worker" in word for word in process.cmdline()):
                        continue
                    used, times = process.memory_info(), process.cpu_times()
                except psutil.Error:
                    continue
                kept = memory.server if process is server else memory.worker
                kept.peak = max(kept.peak, used.rss)
                kept.own = max(kept.own, used.rss - used.shared)
                kept.cpu_s = max(kept.cpu_s, times.user + times.system)
                taken += used.rss
            memory.together = max(memory.together, taken)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        over.set()
        thread.join()


def groups_of(count: int) -> NDArray[np.int64]:
    """The group of every image, int64 (count,), -1 for none; those of a smaller count are the first of a larger one."""
    rng = np.random.default_rng(2)
    weights = rng.lognormal(sigma=_UNEVEN, size=GROUPS)
    groups = np.random.default_rng(3).choice(GROUPS, size=count, p=weights / weights.sum())
    noise = np.random.default_rng(4).random(count) < _NOISE_SHARE
    return np.where(noise, NOISE, groups).astype(np.int64)


@cache
def _middles(dimension: int) -> NDArray[np.float32]:
    """Of the groups, float32 (GROUPS, dimension)."""
    rng = np.random.default_rng(1)
    themes = rng.normal(size=(_THEMES, dimension))[rng.integers(0, _THEMES, GROUPS)]
    middles: NDArray[np.float32] = (themes + _APART * rng.normal(size=(GROUPS, dimension))).astype(np.float32)
    return middles


def vectors_of(block: int, groups: NDArray[np.int64], dimension: int) -> NDArray[np.float32]:
    """Unit vectors of the images of one block, float32 (n, dimension).

    Args:
        block: its number; the first image is number ``block * _AT_ONCE``.
        groups: of these images, (n,), n at most ``_AT_ONCE``.
        dimension: of the vectors.
    """
    middles = _middles(dimension)
    made = _SPREAD * np.random.default_rng([5, block]).standard_normal((len(groups), dimension), dtype=np.float32)
    grouped = groups != NOISE
    made[grouped] += middles[groups[grouped]]
    # Of what is in none, every other image is between two groups; the others are nowhere.
    between = np.flatnonzero(~grouped)[::2]
    two = np.random.default_rng([6, block]).integers(0, GROUPS, (len(between), 2))
    made[between] += 0.5 * middles[two].sum(axis=1)
    unit: NDArray[np.float32] = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


def fill(data: Path, count: int, dimension: int) -> None:
    """Makes a data folder with so many images in no cluster."""
    data.mkdir(parents=True)
    asyncio.run(_fill(data, count, dimension))


async def _fill(data: Path, count: int, dimension: int) -> None:
    store = await EdgeStore.open(data)
    try:
        model = DebugEngine(dimension).model
        await store.create_collection(Collection(id=COLLECTION, model=model, created_at=datetime.now(UTC)))
        groups = groups_of(count)
        for start in range(0, count, _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, count))
            vectors = vectors_of(start // _AT_ONCE, groups[start : numbers.stop], dimension)
            await store.upsert_images(COLLECTION, list(zip(map(_image, numbers), vectors, strict=True)))
    finally:
        await store.close()


def _identity(number: int) -> tuple[UUID, Sha256]:
    digest = digest_of(str(number).encode())
    return image_id(digest), digest


def _image(number: int) -> Image:
    identity, digest = _identity(number)
    return Image(
        id=identity,
        sha256=digest,
        uri=f"file:///photos/{number // 1000:04}/{number:07}.jpg",
        tags=(),
        metadata=Metadata(
            width=4000,
            height=3000,
            format="JPEG",
            byte_size=3_000_000,
            orientation=1,
            captured_at=f"20{number % 20 + 4:02}-{number % 12 + 1:02}-{number % 28 + 1:02}T12:{number % 60:02}:00",
        ),
        ingested_at=datetime.now(UTC),
    )


if __name__ == "__main__":
    sys.exit(main())
