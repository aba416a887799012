"""How fast ``shoal ingest`` is beside a plain loop and beside what the processor allows, and what memory it takes.

    python benchmarks/ingest.py [--part speed|fidelity|memory ...] [--model starter|ViT-B-32 ...] [--count 300]
                                [--json FILE]

The images are made-up phone photographs (``phone_photos.py``), 4000 x 3000. The peer is ``plain_loop.py``: same model,
one process. ViT-B-32 has random weights from a fixed seed: nothing is downloaded, and the time is the same.

speed     images/s of the whole command ``shoal ingest``, from its start to its end, against a running ``shoal serve``;
          of the loop without its start; and the bound that draft decoding and the forward pass set, each measured
          alone on all cores, and their processor time shared out evenly. Also the processor time per image.
fidelity  cosine between the embeddings of the photograph decoded in full and as the server decodes it.
memory    the server's largest resident memory while it ingests, less that of the idle server: model loaded, one image
          embedded. The images differ by a comment in the file only, so that no disk full of them is needed.

Clustering by itself is off, as it is not ingest. Other work on the machine slows the peers unevenly: let there be none.
The exit status is 1 if an aim is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import psutil
from driver import COLLECTION, Server
from figures import Figure, ended, json_option
from numpy.typing import NDArray
from phone_photos import make_photos, variants
from stock_pipeline import engine_of
from table import head, kept_rows, row

from shoal_client import Client
from shoal_client.results import Outcome
from shoal_server.adapters.pillow_decoder import PillowDecoder
from shoal_server.application.ports import EmbeddingEngine

PARTS = ("speed", "fidelity", "memory")
#: How many times as fast as the plain loop.
TIMES = {"starter": 6.0, "ViT-B-32": 3.5}
OF_BOUND = 0.8
COSINE = 0.995
MEMORY_MB = 300
#: Photographs that single steps are timed on.
_SAMPLE = 24
_SEED = 7
_LIBRARIES = ("torch", "pillow", "numpy", "grpcio", "open_clip_torch", "qdrant-client", "qdrant-edge-py")
_MISSED = ": missed"
_CLAIMS = {
    "times the plain loop": "Photographs go in several times as fast as by a plain loop.",
    "share of the bound": "Decoding and the forward pass alone would be little faster.",
    "mean cosine": "Decoding at a smaller scale hardly changes an embedding.",
    "growth of the server's memory": "The server stays small, however much goes in.",
}


def main() -> int:
    """Runs the parts; 1 if an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this; may be repeated")
    parser.add_argument("--model", choices=TIMES, action="append", help="only with this; may be repeated")
    parser.add_argument("--count", type=int, default=300, help="photographs")
    parser.add_argument("--memory-count", type=int, default=5000, help="images that the memory is watched over")
    parser.add_argument("--photos", type=Path, help="a folder that keeps the photographs, 1 GB, for the next time")
    json_option(parser)
    options = parser.parse_args()
    figures: list[Figure] = []
    os.environ["SHOAL_RECLUSTER_AUTOMATICALLY"] = "false"
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {libraries}")
    with tempfile.TemporaryDirectory(prefix="shoal-ingest-") as temporary:
        folder = Path(temporary)
        files = make_photos(options.photos or folder / "photos", options.count)
        sizes = sorted(file.stat().st_size / 1e6 for file in files)
        print(f"{len(files)} photographs of 4000 x 3000, {sizes[0]:.1f} to {sizes[-1]:.1f} MB\n", flush=True)
        for model in options.model or TIMES:
            spec = model if model == "starter" else f"{model}/{_random_weights(folder, model)}"
            began = time.monotonic()
            with kept_rows() as rows:
                head(model, "aim")
                for part in options.part or PARTS:
                    place = folder / model / part
                    place.mkdir(parents=True)
                    if part == "speed":
                        speed(place, files, spec, TIMES[model])
                    elif part == "fidelity":
                        fidelity(files, spec)
                    else:
                        memory(place, files, spec, options.memory_count)
            figures += aims(model, rows, time.monotonic() - began)
            print(flush=True)
    return ended(figures, options.json)


def aims(model: str, rows: Sequence[Sequence[str]], seconds: float) -> list[Figure]:
    """The rows that have an aim."""
    figures: list[Figure] = []
    for what, value, aim in rows[1:]:
        if aim:
            claim = next(text for beginning, text in _CLAIMS.items() if what.startswith(beginning))
            bound, met = aim.removesuffix(_MISSED), not aim.endswith(_MISSED)
            figures.append(Figure(f"{model}: {what}", claim, bound, value, met, rows, 0.0 if figures else seconds))
    return figures


def speed(folder: Path, files: Sequence[Path], spec: str, times: float) -> None:
    """The rows about speed."""
    decoding, forward = bound_parts(files[:_SAMPLE], engine_of(spec))
    bound = (os.cpu_count() or 1) / (decoding + forward)
    row("draft decoding alone, CPU time", f"{1000 * decoding:.1f} ms", "")
    row("forward pass alone, CPU time", f"{1000 * forward:.1f} ms", "")
    row("bound of both on all cores", f"{bound:.1f} images/s", "")
    plain = plain_loop(folder, files, spec)
    row("plain loop", f"{plain.rate:.1f} images/s", "")
    row("plain loop, CPU time", f"{plain.cpu_ms:.0f} ms an image", "")
    ours, server_ms = shoal_ingest(folder, files, spec)
    row("shoal ingest", f"{ours.rate:.1f} images/s", "")
    row("shoal ingest, CPU time", f"{ours.cpu_ms:.0f} ms an image, of that the server {server_ms:.0f}", "")
    row("times the plain loop", f"{ours.rate / plain.rate:.1f}", aimed(ours.rate / plain.rate >= times, f">= {times}"))
    row("share of the bound", f"{ours.rate / bound:.0%}", aimed(ours.rate / bound >= OF_BOUND, f">= {OF_BOUND:.0%}"))


@dataclass(frozen=True)
class Timed:
    """How long many images took."""

    images: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of processor time per image, all cores together."""
        return 1000 * self.cpu_seconds / self.images


def bound_parts(files: Sequence[Path], engine: EmbeddingEngine) -> tuple[float, float]:
    """Seconds of processor time per image for draft decoding, and for the model; each the least of three passes."""
    contents = [file.read_bytes() for file in files]
    inputs = [engine.preprocess(np.asarray(draft(content, engine.input_side))) for content in contents]
    size = min(engine.batch_size, len(inputs))
    batches = [inputs[start : start + size] for start in range(0, len(inputs), size)]
    # A processor whose cores share caches and clock is slower with all of them at work, as they are while it ingests.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoding = _least(lambda: [*pool.map(lambda content: draft(content, engine.input_side), contents)])
        forward = _least(lambda: [*pool.map(engine.embed_images, batches)])
    return decoding / len(files), forward / len(files)


def _least(work: Callable[[], object]) -> float:
    work()
    taken = []
    for _ in range(3):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def draft(content: bytes, side: int) -> PIL.Image.Image:
    """A JPEG at the smallest scale that libjpeg has and that covers the side."""
    picture = PIL.Image.open(BytesIO(content))
    picture.draft("RGB", (side, side))
    picture.load()
    return picture


def plain_loop(folder: Path, files: Sequence[Path], spec: str) -> Timed:
    """In a process of its own."""
    script = Path(__file__).with_name("plain_loop.py")
    command = [sys.executable, str(script), str(_linked(folder, files)), str(folder / "plain"), spec]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return Timed(found["images"], found["seconds"], found["cpu_seconds"])


def shoal_ingest(folder: Path, files: Sequence[Path], spec: str) -> tuple[Timed, float]:
    """The command against a server that has embedded one other image; also the server's own milliseconds per image."""
    with serving(folder, spec) as (server, process):
        warm_up(server, files[0])
        before = _cpu_of(process)
        command = [*(sys.executable, "-m", "shoal_client", "ingest", str(_linked(folder, files)))]
        command += ["--server", server.address, "--journal", str(folder / "journal.sqlite")]
        children, began = os.times(), time.monotonic()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        seconds, now = time.monotonic() - began, os.times()
        by_server = _cpu_of(process) - before
        if done.returncode:
            sys.exit(f"shoal ingest ended with {done.returncode}: {done.stdout}")
    by_client = now.children_user + now.children_system - children.children_user - children.children_system
    return Timed(len(files), seconds, by_server + by_client), 1000 * by_server / len(files)


def fidelity(files: Sequence[Path], spec: str) -> None:
    """The rows about what draft decoding costs in accuracy."""
    engine = engine_of(spec)
    sample = files[:_SAMPLE]
    full = [np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(file)).convert("RGB")) for file in sample]

    async def decoded() -> list[NDArray[np.uint8]]:
        decoder = PillowDecoder(max_pixels=150_000_000, min_side=engine.input_side)
        try:
            return [(await decoder.decode(file.read_bytes())).pixels for file in sample]
        finally:
            await decoder.aclose()

    first, second = (_vectors(engine, pixels) for pixels in (full, asyncio.run(decoded())))
    cosines = (first * second).sum(axis=1)
    row(
        "mean cosine, full and draft decoding", f"{cosines.mean():.4f}", aimed(cosines.mean() >= COSINE, f">= {COSINE}")
    )
    row("least cosine", f"{cosines.min():.4f}", "")


def _vectors(engine: EmbeddingEngine, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    found = np.concatenate([engine.embed_images([engine.preprocess(pixels)]) for pixels in pictures]).astype(np.float64)
    unit: NDArray[np.float64] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


def memory(folder: Path, files: Sequence[Path], spec: str, count: int) -> None:
    """The rows about memory."""
    with serving(folder, spec) as (server, process):
        warm_up(server, files[0])
        idle = process.memory_info().rss
        with peak_of(process) as peak, Client(server.address, timeout=None) as client:
            collection = client.collection(COLLECTION)
            sources = ((content, uri, ()) for content, uri in variants(files, count))
            stored = sum(result.outcome is Outcome.STORED for result in collection.ingest(sources))
        if stored != count:
            sys.exit(f"only {stored} of {count} images were stored")
    grown = (peak[0] - idle) / 1e6
    row(f"idle server, after {count} images at most", f"{idle / 1e6:.0f} MB, {peak[0] / 1e6:.0f} MB", "")
    row("growth of the server's memory", f"{grown:.0f} MB", aimed(grown <= MEMORY_MB, f"<= {MEMORY_MB} MB"))


@contextmanager
def serving(folder: Path, spec: str) -> Iterator[tuple[Server, psutil.Process]]:
    """A server on a folder, and its process."""
    server = Server(folder, spec)
    try:
        yield server, server.process
    finally:
        server.stop()


def warm_up(server: Server, file: Path) -> None:
    """Has the server store one image; it counts as another one than the file."""
    with Client(server.address, timeout=None) as client:
        client.ensure_collection(COLLECTION)
        ((content, uri),) = variants([file], 1)
        (result,) = client.collection(COLLECTION).ingest([(content + b"\0", uri, ())])
        if result.error is not None:
            sys.exit(f"the server did not store an image: {result.error}")


@contextmanager
def peak_of(process: psutil.Process) -> Iterator[list[int]]:
    """Watches a process's resident memory, in bytes; the largest is the one item of the list."""
    peak = [process.memory_info().rss]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def aimed(reached: bool, aim: str) -> str:
    """The last cell of a row that has an aim."""
    return aim if reached else f"{aim}{_MISSED}"


def _cpu_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _linked(folder: Path, files: Sequence[Path]) -> Path:
    """A folder with just these files."""
    links = folder / "photos"
    links.mkdir(exist_ok=True)
    for file in files:
        link = links / file.name
        if not link.exists():
            try:
                link.hardlink_to(file)
            except OSError:  # on another disk
                link.write_bytes(file.read_bytes())
    return links


def _random_weights(folder: Path, model: str) -> Path:
    import open_clip
    import torch

    file = folder / f"{model}.pt"
    if not file.exists():
        torch.manual_seed(_SEED)
        torch.save(open_clip.create_model(model).state_dict(), file)
    return file


if __name__ == "__main__":
    sys.exit(main())
