"""``kill -9`` in the middle of write-back, again and again."""

from __future__ import annotations

import json
import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from driver import COLLECTION, Server, Shoal
from measures import Ids, changed

from shoal_client import Client, ShoalError
from shoal_client.results import ClusteringParameters, Granularity

#: The write-back is looked for in the collection's record this often, in seconds.
_LOOK_EVERY = 0.0005
#: Seconds after which it is taken not to come.
_PATIENCE = 60.0


@dataclass(frozen=True)
class Survived:
    """What the kills did.

    Attributes:
        kills: how many there were.
        right: after how many of them every image's id was the active run's.
        halfway: how many of them hit while the record said that a run was being put in force.
        seconds: how long a write-back takes that nobody interrupts.
        share: of the images that differ between the two runs, 0 to 1.
    """

    kills: int
    right: int
    halfway: int
    seconds: float
    share: float


def killed(folder: Path, model: str, kills: int, seed: int) -> Survived:
    """Puts two runs in force in turn, and kills the server at a random moment of each write-back.

    Args:
        folder: of a server that is stopped; its collection holds images.
        model: of the collection.
        kills: how many.
        seed: of the moments.
    """
    moment = random.Random(seed)
    server = Server(folder, model)
    with Client(server.address, timeout=None) as client:
        shoal = Shoal(client)
        ids: dict[str, Ids] = {}
        for granularity in (Granularity.FINE, Granularity.COARSE):
            run = shoal.cluster(ClusteringParameters(granularity=granularity)).id
            ids[run] = shoal.cluster_ids()
        fine, coarse = ids
        seconds = max(_undisturbed(server, run) for run in (fine, coarse, fine))
    active, right, halfway = fine, 0, 0
    for _ in range(kills):
        target = coarse if active == fine else fine
        activation = threading.Thread(target=_activate, args=(server.address, target))
        activation.start()
        _wait_for_write_back(server, target)
        time.sleep(moment.uniform(0, seconds))
        server.kill()
        activation.join()
        halfway += _activating(server) is not None
        server = Server(folder, model)
        with Client(server.address, timeout=None) as client:
            shoal = Shoal(client)
            [active] = [run.id for run in shoal.collection.runs() if run.active]
            stored = shoal.cluster_ids()
            right += stored == ids[active] == shoal.exported(active)
    server.stop()
    return Survived(kills, right, halfway, seconds, changed(ids[fine], ids[coarse]))


def _activate(address: str, run: str) -> None:
    with suppress(ShoalError), Client(address, timeout=None) as client:
        client.collection(COLLECTION).activate_run(run)


def _undisturbed(server: Server, run: str) -> float:
    """How long a write-back takes, in seconds; 0 if the run is in force already."""
    activation = threading.Thread(target=_activate, args=(server.address, run))
    activation.start()
    began = _wait_for_write_back(server, run)
    while _activating(server) is not None:
        time.sleep(_LOOK_EVERY)
    ended = time.monotonic()
    activation.join()
    return ended - began


def _wait_for_write_back(server: Server, run: str) -> float:
    """When it began; or when it was seen to have ended already."""
    deadline = time.monotonic() + _PATIENCE
    while _activating(server) != run:
        if _record(server).get("active_run") == run:
            break
        if time.monotonic() > deadline:
            raise RuntimeError(f"run {run} is not being put in force")
        time.sleep(_LOOK_EVERY)
    return time.monotonic()


def _activating(server: Server) -> str | None:
    found = _record(server).get("activating_run")
    return None if found is None else str(found)


def _record(server: Server) -> dict[str, object]:
    """The collection's record, as the embedded store keeps it."""
    record: dict[str, object] = json.loads((server.data / "collections" / COLLECTION / "collection.json").read_text())
    return record
