"""What a collection costs as it grows: time and memory of ingest, indexing, search and reclustering, from 1,000 up.

    python benchmarks/cost_curves.py [--up-to 30000] [--ingest-up-to 10000] [--only CURVE ...] [--results DIR]
                                     [--plot docs/cost-curves.svg] [--json FILE] [--draw]

Every point is a process of its own on a folder of its own, 512 dimensions, model ``debug/512``, whose passes take no
time: what is measured is Shoal, not a model. The vectors are unit vectors in 40 groups (``filled_folder.py``).

ingest     images that are sent to a server: made-up JPEG files of 64 x 64 pixels, read, decoded, hashed, stored;
           seconds in all, and the server's memory. Ends at ``--ingest-up-to``.
store      vectors that are put into the store without images, 1,024 at a time, and the search index over them, which
           the store builds in a second process from 20,000 on, where the curve jumps; seconds in all, and the memory of
           both processes.
search     one client asks a server for the 10 nearest of a vector, again and again, on the folder of ``store``; median
           milliseconds, and the server's memory.
recluster  a run with default settings on the same folder, by a server that was left to rest first, from the request to
           the clusters in force; seconds, and the memory of the server and its worker.

Memory is the sum of the resident sets of the processes named, at its largest: pages of the store's files count, which
the system takes back when it needs room, and count twice where two processes map them. What has been measured is kept
in the results' folder and not measured again, so that an interrupted run goes on; ``--draw`` measures nothing. The
slopes are those of lines fitted to the logarithms, over all points and over the last three; the bound is on the latter.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
from driver import COLLECTION, Server
from figures import Figure, ended, json_option
from filled_folder import image_of, vectors_of
from growth_law import GrowthLaw, fitted
from PIL import Image
from table import head, row
from watching import peak_memory

from shoal_client import Client
from shoal_client.results import Outcome
from shoal_server.adapters.debug_embedder import DebugEngine
from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.domain.collection import Collection

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
DIMENSION = 512
#: Curve to its unit of time and to the slope that its time may have.
CURVES = {"ingest": ("s", 1.05), "store": ("s", 1.3), "search": ("ms", 0.5), "recluster": ("s", 1.3)}
_CLAIMS = {
    "ingest": "An image costs as much in a large collection as in a small one.",
    "store": "Storing and indexing grow little faster than the collection.",
    "search": "A search on ten times the images takes far less than ten times as long.",
    "recluster": "Reclustering grows little faster than the collection.",
}
_AT_ONCE = 1_024
_QUERIES = 300
_WARM_UP = 30
_LIMIT = 10
#: Slopes over so many points at the upper end are told beside those over all.
_LAST = 3


@dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes:
        curve: of :data:`CURVES`.
        n: images.
        cost: time, in the curve's unit.
        memory: bytes.
        took: seconds that measuring it took.
        measured_at: when, ISO 8601.
        note: what else is to be known of it.
    """

    curve: str
    n: int
    cost: float
    memory: int
    took: float
    measured_at: str
    note: str = ""


def main() -> int:
    """Measures what is not there yet, and shows all there is; 1 if a slope is steeper than it may be."""
    options = _options()
    if options.point:
        curve, n = options.point
        print(json.dumps(asdict(_measured(curve, int(n), Path(options.folder)))))
        return 0
    options.results.mkdir(parents=True, exist_ok=True)
    if not options.draw:
        for n in (size for size in SIZES if size <= max(options.up_to, options.ingest_up_to)):
            _measure_missing(n, options)
    points = kept_points(options.results)
    figures = [figure for curve in options.only or CURVES if (figure := _figure(curve, points)) is not None]
    _show(points)
    if options.plot is not None and points:
        from curve_plot import draw

        draw(options.plot, {curve: [point for point in points if point.curve == curve] for curve in CURVES})
    return ended(figures, options.json)


def kept_points(results: Path) -> list[Point]:
    """All that has been measured, the smallest first."""
    files = results.glob("point-*.json")
    return sorted((Point(**json.loads(file.read_text())) for file in files), key=lambda point: (point.curve, point.n))


def laws(points: Sequence[Point], curve: str) -> list[GrowthLaw]:
    """The law of a curve's time over all its points, and over the last ones if there are more; none without points."""
    own = [(point.n, point.cost) for point in points if point.curve == curve]
    if len(own) < 2:
        return []
    return [fitted(own)] if len(own) <= _LAST else [fitted(own), fitted(own[-_LAST:])]


def _measure_missing(n: int, options: argparse.Namespace) -> None:
    wanted = [curve for curve in CURVES if n <= (options.ingest_up_to if curve == "ingest" else options.up_to)]
    missing = [curve for curve in wanted if curve in (options.only or CURVES) and not _file(options, curve, n).exists()]
    if not missing:
        return
    with tempfile.TemporaryDirectory(prefix="shoal-curves-", dir=options.scratch) as folder:
        if "store" not in missing and missing != ["ingest"]:
            # The folder that the others are measured on is gone with the run that measured this.
            missing.insert(0, "store")
        for curve in missing:
            command = [sys.executable, __file__, "--point", curve, str(n), "--folder", folder]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                sys.exit(f"{curve} at {n:,} images ended with {done.returncode}; what was measured before is kept")
            _file(options, curve, n).write_text(done.stdout.splitlines()[-1] + "\n", encoding="utf-8")
            point = Point(**json.loads(done.stdout.splitlines()[-1]))
            print(f"{curve} at {n:,}: {_cost(point)}, {point.memory / 1e6:,.0f} MB", file=sys.stderr, flush=True)


def _file(options: argparse.Namespace, curve: str, n: int) -> Path:
    file: Path = options.results / f"point-{curve}-{n}.json"
    return file


def _measured(curve: str, n: int, folder: Path) -> Point:
    os.environ["SHOAL_RECLUSTER_AUTOMATICALLY"] = "false"
    began = time.monotonic()
    note = ""
    match curve:
        case "ingest":
            cost, memory = _ingest(n, folder / "ingest")
        case "store":
            cost, memory = _store(n, folder / "filled")
        case "search":
            cost, memory = _search(n, folder / "filled")
        case _:
            cost, memory, note = _recluster(folder / "filled")
    return Point(
        curve, n, cost, memory, time.monotonic() - began, datetime.now(UTC).isoformat(timespec="seconds"), note
    )


def _ingest(n: int, folder: Path) -> tuple[float, int]:
    """Seconds and bytes; the pictures are made before, at most 10,000 at a time in memory."""
    folder.mkdir()
    server = Server(folder, f"debug/{DIMENSION}")
    seconds, stored = 0.0, 0
    try:
        with Client(server.address, timeout=None) as client, peak_memory(server.process) as peak:
            client.ensure_collection(COLLECTION)
            collection = client.collection(COLLECTION)
            for start in range(0, n, 10_000):
                pictures = [
                    (_picture(number), f"memory:{number}", ()) for number in range(start, min(start + 10_000, n))
                ]
                began = time.monotonic()
                stored += sum(result.outcome is Outcome.STORED for result in collection.ingest(pictures))
                seconds += time.monotonic() - began
    finally:
        server.stop()
    shutil.rmtree(folder)
    if stored != n:
        sys.exit(f"only {stored} of {n} images were stored")
    return seconds, peak[0]


def _picture(number: int) -> bytes:
    """A JPEG that no other number has: a coarse random pattern, as noise would be too large for its pixels."""
    coarse = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC).save(file, "JPEG", quality=85)
    return file.getvalue()


def _store(n: int, folder: Path) -> tuple[float, int]:
    """Seconds and bytes; the vectors are made beforehand, block by block."""
    data = folder / "data"
    data.mkdir(parents=True)
    with peak_memory(psutil.Process()) as peak:
        return asyncio.run(_filled(data, n)), peak[0]


async def _filled(data: Path, n: int) -> float:
    store = await EdgeStore.open(data)
    seconds = 0.0
    try:
        model = DebugEngine(DIMENSION).model
        await store.create_collection(Collection(id=COLLECTION, model=model, created_at=datetime.now(UTC)))
        for number, vectors in _blocks(n):
            images = [image_of(number + place, None) for place in range(len(vectors))]
            began = time.monotonic()
            await store.upsert_images(COLLECTION, list(zip(images, vectors, strict=True)))
            seconds += time.monotonic() - began
        began = time.monotonic()
        await store.optimize(COLLECTION)
        await store.indexed(COLLECTION)
        seconds += time.monotonic() - began
    finally:
        await store.close()
    return seconds


def _blocks(n: int) -> Iterator[tuple[int, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]]:
    """The number of its first vector, and a block of vectors."""
    for start in range(0, n, _AT_ONCE):
        yield start, vectors_of(min(_AT_ONCE, n - start), DIMENSION, seed=1_000 + start)


def _search(n: int, folder: Path) -> tuple[float, int]:
    """Median milliseconds and bytes."""
    queries = vectors_of(_QUERIES, DIMENSION, seed=6).tolist()
    server = Server(folder, f"debug/{DIMENSION}")
    milliseconds = []
    try:
        server.until_idle()
        with Client(server.address, timeout=None) as client, peak_memory(server.process) as peak:
            collection = client.collection(COLLECTION)
            for number, query in enumerate(queries):
                began = time.perf_counter()
                found = collection.search(vector=query, limit=_LIMIT)
                if number >= _WARM_UP:
                    milliseconds.append(1000 * (time.perf_counter() - began))
                if len(found) != _LIMIT:
                    sys.exit(f"a search among {n} images found {len(found)}")
    finally:
        server.stop()
    return statistics.median(milliseconds), peak[0]


def _recluster(folder: Path) -> tuple[float, int, str]:
    """Seconds, bytes, and how many clusters were found."""
    server = Server(folder, f"debug/{DIMENSION}")
    try:
        server.until_idle()
        with Client(server.address, timeout=None) as client, peak_memory(server.process) as peak:
            began = time.monotonic()
            run = client.collection(COLLECTION).recluster()
            seconds = time.monotonic() - began
    finally:
        server.stop()
    if run.summary is None:
        sys.exit(f"run {run.id} has no summary: {run}")
    return seconds, peak[0], f"{run.summary.clusters} clusters"


def _figure(curve: str, points: Sequence[Point]) -> Figure | None:
    own = [point for point in points if point.curve == curve]
    if not own:
        return None
    unit, steepest = CURVES[curve]
    rows = [["images", f"time ({unit})", "memory (MB)", "", "measured"]]
    rows += [
        [f"{point.n:,}", f"{point.cost:.2f}", f"{point.memory / 1e6:,.0f}", point.note, point.measured_at]
        for point in own
    ]
    found = laws(points, curve)
    value = "; ".join(f"{law.slope:.2f} over {law.start:,} to {law.stop:,}" for law in found) or "one point only"
    return Figure(
        name=f"slope of {curve}",
        claim=_CLAIMS[curve],
        bound=f"slope <= {steepest} over the largest",
        value=value,
        met=found[-1].slope <= steepest if found else None,
        rows=rows,
        seconds=sum(point.took for point in own),
    )


def _show(points: Sequence[Point]) -> None:
    head("images", "time", "memory")
    for point in points:
        row(point.curve, f"{point.n:,}", _cost(point), f"{point.memory / 1e6:,.0f} MB")
    for curve in CURVES:
        for law in laws(points, curve):
            over = f"{law.start:,} to {law.stop:,}"
            row(f"{curve}: slope", over, f"{law.slope:.2f}", f"points off the line by {law.residual:.0%} at most")


def _cost(point: Point) -> str:
    return f"{point.cost:.2f} {CURVES[point.curve][0]}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--up-to", type=int, default=30_000, help="images; 1000000 takes hours")
    parser.add_argument("--ingest-up-to", type=int, default=10_000, help="images that are really made and ingested")
    parser.add_argument("--only", choices=CURVES, action="append", help="only this; may be repeated")
    parser.add_argument("--results", type=Path, default=Path(".benchmarks/cost_curves"), help="where points are kept")
    parser.add_argument("--scratch", type=Path, help="a folder with room for the collections, 4 GB for 1,000,000")
    parser.add_argument("--plot", type=Path, help="draw all there is to this SVG file")
    parser.add_argument("--draw", action="store_true", help="only show and draw what there is")
    parser.add_argument("--point", nargs=2, metavar=("CURVE", "N"), help="measure this one point and print it")
    parser.add_argument("--folder", help="for --point: where the collection is")
    json_option(parser)
    options = parser.parse_args()
    if options.point and not options.folder:
        parser.error("--point needs --folder")
    return options


if __name__ == "__main__":
    sys.exit(main())
