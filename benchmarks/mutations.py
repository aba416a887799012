"""Damaged files against a server of its own, one at a time: does it live, does it answer, does it stay small?

    python benchmarks/mutations.py [FOLDER] [--count 10000] [--model debug] [--json FILE] [--details FILE]

The originals are the files of FOLDER, if one is given, and pictures that are made here in every format. They are
damaged in turn, with a fixed seed (``mutants.py``); so is every file sent on its own, and the time of each is known.
Memory is the resident set of the server's process, looked at a hundred times a second, above what it was before the
first damaged file. The exit status is 1 if the server died or broke one of the limits.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import grpc
import PIL
import psutil
from driver import Server
from figures import Figure, ended, json_option
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from mutants import Mutant, files_below, generated, mutants
from table import head, kept_rows, row

from shoal.v1.collection_service_pb2 import CreateCollectionRequest
from shoal.v1.collection_service_pb2_grpc import CollectionServiceStub
from shoal.v1.image_service_pb2 import CreateImageRequest, NewImage
from shoal.v1.image_service_pb2_grpc import ImageServiceStub

SEED = 4
#: No file may take longer, in seconds.
SLOWEST = 5.0
#: The server's resident set may grow by so much, in bytes.
GROWTH = 200 * 1000 * 1000

_PARENT = "collections/mutants"
_LOOK_EVERY = 0.01
#: A call that takes so many seconds is given up.
_PATIENCE = 60.0
_LONGEST_MESSAGE = 64 * 1024 * 1024
#: A refusal is the file's fault or the installation's, never the server's.
_REFUSALS = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)


@dataclass
class Outcome:
    """What became of the files.

    Attributes:
        files: how many were sent.
        stored: how many were stored.
        refused: why others were not: the reason in the answer to how often.
        faults: files that were neither stored nor refused with a reason: what was done to which, and the answer.
        slowest_s: the longest answer, in seconds.
        slowest: the file it was for.
        idle_bytes: the server's resident set before the first file.
        growth_bytes: by how much it was larger at most.
        alive: the same process stores an undamaged file at the end.
        complaints: lines of the server's log that tell of an internal error.
    """

    files: int = 0
    stored: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest: str = ""
    idle_bytes: int = 0
    growth_bytes: int = 0
    alive: bool = False
    complaints: list[str] = field(default_factory=list)


def main() -> int:
    """Runs all of it; 1 if a limit was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="image files to damage, beside those that are made here")
    parser.add_argument("--count", type=int, default=10_000, help="damaged files")
    parser.add_argument("--model", default="debug")
    parser.add_argument("--details", type=Path, metavar="FILE", help="write all that was counted to this file")
    json_option(parser)
    options = parser.parse_args()
    began = time.monotonic()
    originals = generated() | ({} if options.folder is None else files_below(options.folder))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, Pillow {PIL.__version__}")
    print(f"{options.count} damaged files from {len(originals)} originals, model {options.model}\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="shoal-mutations-") as folder:
        outcome = measure(Path(folder), options.model, originals, options.count)
    with kept_rows() as rows:
        tell(outcome)
    if options.details is not None:
        options.details.write_text(json.dumps(asdict(outcome)))
    return ended(figures_of(outcome, rows, time.monotonic() - began), options.json)


def figures_of(outcome: Outcome, rows: Sequence[Sequence[str]], seconds: float) -> list[Figure]:
    """The limits, and whether they were kept."""
    well = outcome.alive and not outcome.faults and not outcome.complaints
    return [
        Figure(
            "files neither stored nor refused with a reason",
            "Damaged files do the server no harm: each is stored, or refused with a reason.",
            "0, and the server lives",
            f"{len(outcome.faults)} of {outcome.files:,}, {len(outcome.complaints)} complaints in the log"
            + ("" if outcome.alive else ", the server is dead"),
            well,
            rows,
            seconds,
        ),
        Figure(
            "slowest answer",
            "No file keeps the server long.",
            f"<= {SLOWEST:g} s",
            f"{outcome.slowest_s:.2f} s",
            outcome.slowest_s <= SLOWEST,
            rows,
        ),
        Figure(
            "growth of the server's memory",
            "No file makes the server large.",
            f"< {GROWTH / 1e6:.0f} MB",
            f"{outcome.growth_bytes / 1e6:.0f} MB",
            outcome.growth_bytes < GROWTH,
            rows,
        ),
    ]


def measure(folder: Path, model: str, originals: Mapping[str, bytes], count: int) -> Outcome:
    """Sends damaged files to a server of its own.

    Args:
        folder: for the server.
        model: its model.
        originals: name to bytes of the files that are damaged.
        count: how many.
    """
    outcome = Outcome()
    server = Server(folder, model)
    process = server.process
    options = [("grpc.max_send_message_length", _LONGEST_MESSAGE)]
    try:
        with grpc.insecure_channel(server.address, options) as channel:
            CollectionServiceStub(channel).CreateCollection(CreateCollectionRequest(collection_id="mutants"))
            images = ImageServiceStub(channel)
            with watched(process, outcome):
                for mutant in mutants(originals, count, SEED):
                    send(images, mutant, outcome)
                    if not process.is_running():
                        break
            undamaged = NewImage(content=generated()["rgb.png"])
            outcome.alive = bool(
                images.CreateImage(CreateImageRequest(parent=_PARENT, image=undamaged), timeout=_PATIENCE).image.name
            )
    except grpc.RpcError as error:
        outcome.faults.append(f"the server does not answer any more: {error}")
    finally:
        server.stop()
    log = (folder / "server.log").read_text()
    outcome.complaints = [line for line in log.splitlines() if "internal error" in line or "Traceback" in line]
    return outcome


def send(images: ImageServiceStub, mutant: Mutant, outcome: Outcome) -> None:
    """Sends one file and counts what becomes of it."""
    what = f"{mutant.name}, {mutant.damage} ({outcome.files})"
    began = time.monotonic()
    request = CreateImageRequest(parent=_PARENT, image=NewImage(content=mutant.content, uri=f"file:///{outcome.files}"))
    try:
        images.CreateImage(request, timeout=_PATIENCE)
        outcome.stored += 1
    except grpc.RpcError as error:
        reason = refusal(error)
        if reason is None:
            outcome.faults.append(f"{what}: {error}")
        else:
            outcome.refused[reason] = outcome.refused.get(reason, 0) + 1
    seconds = time.monotonic() - began
    outcome.files += 1
    if seconds > outcome.slowest_s:
        outcome.slowest_s, outcome.slowest = seconds, what


def refusal(error: grpc.RpcError) -> str | None:
    """The reason for which a file was refused; None if the answer is none."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    info = error_details_pb2.ErrorInfo()
    if status is None or error.code() not in _REFUSALS or not any(each.Unpack(info) for each in status.details):
        return None
    return info.reason if info.domain == "shoal" and status.message else None


@contextmanager
def watched(process: psutil.Process, outcome: Outcome) -> Iterator[None]:
    """Watches a process's memory for the time of the context."""
    over = threading.Event()
    outcome.idle_bytes = process.memory_info().rss

    def watch() -> None:
        while not over.wait(_LOOK_EVERY):
            try:
                grown = process.memory_info().rss - outcome.idle_bytes
            except psutil.NoSuchProcess:
                return
            outcome.growth_bytes = max(outcome.growth_bytes, grown)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def tell(outcome: Outcome) -> None:
    """Prints the figures as a table, and what went wrong."""
    head("")
    rows = {
        "stored": str(outcome.stored),
        **{f"refused: {reason}": str(count) for reason, count in sorted(outcome.refused.items())},
        "neither": str(len(outcome.faults)),
        "slowest": f"{outcome.slowest_s:.2f} s: {outcome.slowest}",
        "memory, idle": f"{outcome.idle_bytes / 1e6:.0f} MB",
        "memory, grown by at most": f"{outcome.growth_bytes / 1e6:.0f} MB",
        "server": "alive" if outcome.alive else "dead",
    }
    for name, value in rows.items():
        row(name, value)
    for complaint in (*outcome.faults[:20], *outcome.complaints[:20]):
        print(complaint, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
