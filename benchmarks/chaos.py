"""``kill -9`` at random moments, again and again: does a server keep what it promised?

    python benchmarks/chaos.py [--kills 100] [--seed 1] [--images 330] [--qdrant-url URL [--qdrant-grpc-port PORT]]
                               [--store embedded | qdrant] [--json FILE] [--details FILE]

A server is killed in the middle of ingest, of clustering and of writing ids back, and, where a Qdrant server is named
beside the embedded store, ``shoal migrate`` in the middle of copying to it. After each kill the server starts again,
and the whole collection is looked at: acknowledged images that are not there, images listed twice, assignments to
clusters that are not in force or that the run in force does not have, cluster ids given a second time, thumbnails that
are missing. The client notes each acknowledgement on its own disk before it reads the next. The exit status is 1 if
anything was found, or the server did not start.

The Qdrant server must be for this alone: ``chaos``, ``chaos.clusters`` and ``shoal.records`` on it are written.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from driver import Server
from figures import Figure, ended, json_option
from integrity import Found, Inspector, Ledger
from kill_points import COLLECTION, KillPoints, Moment, migration

from shoal_client import Client


@dataclass(frozen=True)
class Kill:
    """One kill and what came after it.

    Attributes:
        moment: when it was.
        restart_s: seconds from the start of the process until it answered; what was begun is finished by then.
        found: by the look at the whole collection.
    """

    moment: Moment
    restart_s: float
    found: Found


def main() -> int:
    """Runs the benchmark; 1 if a promise was broken."""
    options = _options()
    os.environ["SHOAL_RECLUSTER_AUTOMATICALLY"] = "false"
    if options.qdrant_url:
        os.environ["SHOAL_QDRANT_GRPC_PORT"] = str(options.qdrant_grpc_port)
    if options.store == "qdrant":
        os.environ["SHOAL_QDRANT_URL"] = options.qdrant_url
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; store: {options.store}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="shoal-chaos-") as name:
        folder = Path(name)
        ledger = Ledger(folder / "acknowledged.txt")
        kills = list(_carry_out(options, folder, ledger))
        ledger.close()
    broken = sum(kill.found.broken for kill in kills)
    works = Counter(kill.moment.work for kill in kills[:-1])
    slowest = max(kill.restart_s for kill in kills)
    print(
        f"{len(kills) - 1} kills in {time.monotonic() - began:.0f} s ({_counted(works)}), {len(ledger)} images "
        f"acknowledged, slowest restart {slowest:.1f} s, broken promises: {broken}"
    )
    if options.details:
        options.details.write_text(json.dumps([asdict(kill) for kill in kills], indent=1) + "\n", encoding="utf-8")
    return ended([_figure(kills, works, time.monotonic() - began)], options.json)


def _figure(kills: list[Kill], works: Counter[str], seconds: float) -> Figure:
    headings, _ = (line.strip("| ").split(" | ") for line in _HEADINGS.splitlines())
    return Figure(
        name="broken promises",
        claim="Killed at any moment, a server loses nothing, applies nothing by halves and gives no id twice.",
        bound="0",
        value=f"{sum(kill.found.broken for kill in kills)} after {len(kills) - 1} kills ({_counted(works)})",
        met=not any(kill.found.broken for kill in kills),
        rows=[headings, *(_cells(str(number), kill) for number, kill in enumerate(kills, 1))],
        seconds=seconds,
    )


def _carry_out(options: argparse.Namespace, folder: Path, ledger: Ledger) -> list[Kill]:
    points, inspector = KillPoints(options.seed, ledger), Inspector(ledger)
    server, _ = _started(folder)
    with Client(server.address) as client:
        client.ensure_collection(COLLECTION)
    points.fill(server, options.images)
    inspector.look(server.address, COLLECTION)
    works: tuple[str, ...] = ("ingest", "recluster", "write-back")
    if options.qdrant_url and options.store == "embedded":
        works += ("migrate",)
    kills: list[Kill] = []
    print(_HEADINGS)
    for number in range(1, options.kills + 1):
        match points.choose(works):
            case "ingest":
                moment = points.ingest(server)
            case "recluster":
                moment = points.recluster(server)
            case "write-back":
                moment = points.write_back(server)
            case _:
                moment = points.migrate(server, options.qdrant_url)
        server, restart_s = _started(folder)
        kills.append(Kill(moment, restart_s, inspector.look(server.address, COLLECTION)))
        print(_row(str(number), kills[-1]), flush=True)
    if "migrate" in works:
        server.stop()
        if migration(server.data, options.qdrant_url).wait() != 0:
            sys.exit("shoal migrate did not end well")
        os.environ["SHOAL_QDRANT_URL"] = options.qdrant_url
        server, restart_s = _started(folder)
    found = inspector.look(server.address, COLLECTION, every_thumbnail=True)
    kills.append(Kill(Moment("", "at the end, all thumbnails"), restart_s, found))
    print(_row("end", kills[-1]))
    server.stop()
    return kills


def _started(folder: Path) -> tuple[Server, float]:
    """A server that answers, and how long that took; the benchmark ends with its log if it does not start."""
    began = time.monotonic()
    server = Server(folder, "debug")
    return server, time.monotonic() - began


_HEADINGS = (
    "| kill | under way | restart | images | lost | twice | orphans | half-applied | ids reused | no thumbnail |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def _row(number: str, kill: Kill) -> str:
    return f"| {' | '.join(_cells(number, kill))} |"


def _cells(number: str, kill: Kill) -> list[str]:
    moment, found = kill.moment, kill.found
    counts = (
        found.images, found.lost, found.twice, found.orphans, found.half, found.reused, found.without_thumbnail
    )  # fmt: skip
    under_way = f"{moment.work}, {moment.when}".removeprefix(", ")
    return [number, under_way, f"{kill.restart_s:.1f} s", *map(str, counts)]


def _counted(works: Counter[str]) -> str:
    return ", ".join(f"{count} {work}" for work, count in works.most_common())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--images", type=int, default=330, help="stored before the first kill")
    parser.add_argument("--qdrant-url", help="a Qdrant server with nothing on it")
    parser.add_argument("--qdrant-grpc-port", type=int, default=6334)
    parser.add_argument("--store", choices=("embedded", "qdrant"), default="embedded")
    parser.add_argument("--details", type=Path, metavar="FILE", help="write what each kill did to this file")
    json_option(parser)
    options = parser.parse_args()
    if options.store == "qdrant" and not options.qdrant_url:
        parser.error("--store qdrant needs --qdrant-url")
    return options


if __name__ == "__main__":
    sys.exit(main())
