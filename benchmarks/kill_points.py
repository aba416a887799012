"""What a server is killed in the middle of: it begins, and a timer ends the server at a random moment of it."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import grpc
import numpy as np
from driver import Server
from integrity import Ledger
from PIL import Image

from shoal.v1.cluster_pb2 import CLUSTERING_METHOD_KMEANS, RUN_STAGE_UNSPECIFIED, ClusteringParameters, RunStage
from shoal.v1.cluster_service_pb2 import (
    ActivateClusteringRunRequest,
    ListClusteringRunsRequest,
    RunClusteringRequest,
    StreamClusteringRunRequest,
)
from shoal.v1.cluster_service_pb2_grpc import ClusterServiceStub
from shoal.v1.image_service_pb2 import IngestImagesRequest, NewImage
from shoal.v1.image_service_pb2_grpc import ImageServiceStub

COLLECTION = "chaos"
_PARENT = f"collections/{COLLECTION}"
#: Colours that the debug model tells apart.
_COLORS = (
    (10, 10, 10), (250, 250, 250), (128, 128, 128), (220, 20, 30), (30, 150, 40), (30, 60, 210), (250, 230, 40),
    (250, 140, 20), (120, 70, 30), (130, 40, 160), (250, 150, 190),
)  # fmt: skip
_SIDE = 48
#: Clusters that runs are asked for; one that differs from the last writes to most images.
_COUNTS = (4, 11, 33)
#: Stages of a run in which the server is killed.
_STAGES = tuple(stage for stage in RunStage.values() if stage)


@dataclass(frozen=True, slots=True)
class Moment:
    """When the server was killed, in words."""

    work: str
    when: str


class KillPoints:
    """Begins work on a server and kills it meanwhile; all moments come from one seed."""

    def __init__(self, seed: int, ledger: Ledger) -> None:
        self._random = random.Random(seed)
        self._ledger = ledger
        self._made = 0
        self._write_back_s = 0.2

    def choose(self, works: tuple[str, ...]) -> str:
        """One of several kinds of work."""
        return self._random.choice(works)

    def fill(self, server: Server, images: int) -> None:
        """Stores images and clusters them twice, undisturbed; measures how long a write-back takes."""
        with grpc.insecure_channel(server.address) as channel:
            self._ingest(channel, images)
            clusters = ClusterServiceStub(channel)
            for count in _COUNTS[::2]:
                run = clusters.RunClustering(RunClusteringRequest(parent=_PARENT, parameters=_kmeans(count)))
                for _ in clusters.StreamClusteringRun(StreamClusteringRunRequest(name=run.name)):
                    pass
            began = time.monotonic()
            clusters.ActivateClusteringRun(ActivateClusteringRunRequest(name=self._other_run(channel)))
            self._write_back_s = time.monotonic() - began

    def ingest(self, server: Server) -> Moment:
        """Kills it after a random number of acknowledgements and a little more."""
        after, pause = self._random.randrange(1, 60), self._random.uniform(0, 0.03)
        with grpc.insecure_channel(server.address) as channel:
            acknowledged = self._ingest(channel, 80, kill=(after, pause, server))
        server.kill()
        return Moment("ingest", f"{acknowledged} of 80 acknowledged")

    def recluster(self, server: Server) -> Moment:
        """Kills it in a random stage of a run, or a little later."""
        target, pause = self._random.choice(_STAGES), self._random.expovariate(1 / 0.05)
        parameters = self._random.choice([None, *map(_kmeans, _COUNTS)])
        stage = RUN_STAGE_UNSPECIFIED
        with grpc.insecure_channel(server.address) as channel:
            clusters = ClusterServiceStub(channel)
            try:
                run = clusters.RunClustering(RunClusteringRequest(parent=_PARENT, parameters=parameters))
                for response in clusters.StreamClusteringRun(StreamClusteringRunRequest(name=run.name)):
                    stage = response.clustering_run.stage
                    if stage >= target:
                        break
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            time.sleep(pause)
            server.kill()
        return Moment("recluster", f"{pause * 1000:.0f} ms after {RunStage.Name(stage).removeprefix('RUN_STAGE_')}")

    def write_back(self, server: Server) -> Moment:
        """Kills it at a random moment while another run is put in force."""
        pause = self._random.uniform(0, 1.2 * self._write_back_s)
        with grpc.insecure_channel(server.address) as channel:
            request = ActivateClusteringRunRequest(name=self._other_run(channel))
            call = ClusterServiceStub(channel).ActivateClusteringRun.future(request)
            time.sleep(pause)
            done = call.done()
            server.kill()
        return Moment("write-back", f"{pause * 1000:.0f} ms in{', it had ended' if done else ''}")

    def migrate(self, server: Server, url: str) -> Moment:
        """Kills not the server, which has stopped, but the program that copies its folder to a Qdrant server."""
        server.stop()
        pause = self._random.uniform(0, 12)
        process = migration(server.data, url)
        try:
            process.wait(pause)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return Moment("migrate", f"{pause:.1f} s in{', it had ended' if process.returncode == 0 else ''}")

    def _ingest(self, channel: grpc.Channel, images: int, kill: tuple[int, float, Server] | None = None) -> int:
        """Sends images, of which some may be known from a stream that was cut off; how many were acknowledged."""
        first, acknowledged = self._made, 0
        try:
            for response in ImageServiceStub(channel).IngestImages(_requests(first, images)):
                if not response.HasField("image"):
                    sys.exit(f"an image was refused: {response.error.message}")
                self._ledger.acknowledge(response.image.name.rpartition("/")[2])
                acknowledged += 1
                if kill is not None and acknowledged == kill[0]:
                    threading.Timer(kill[1], kill[2].kill).start()
        except grpc.RpcError as error:
            if kill is None or error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                raise
        self._made += acknowledged
        return acknowledged

    def _other_run(self, channel: grpc.Channel) -> str:
        """A run that could be put in force and is not."""
        listed = ClusterServiceStub(channel).ListClusteringRuns(
            ListClusteringRunsRequest(parent=_PARENT, page_size=100)
        )
        others = [run.name for run in listed.clustering_runs if run.HasField("summary") and not run.active]
        return self._random.choice(others[:6])


def migration(folder: Path, url: str) -> subprocess.Popen[bytes]:
    """``shoal migrate`` from a data folder to a Qdrant server; what an earlier one brought to its end is replaced."""
    command = ["-m", "shoal_client", "migrate", "--data", str(folder), "--to", url, "--replace", "--json"]
    return subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _requests(first: int, images: int) -> Iterator[IngestImagesRequest]:
    for number in range(first, first + images):
        yield IngestImagesRequest(parent=_PARENT, image=NewImage(content=_picture(number), uri=f"file:///{number}"))


def _picture(number: int) -> bytes:
    """A picture of one of the colours, always the same for a number and no two alike."""
    noise = np.random.default_rng(number).integers(-12, 13, (_SIDE, _SIDE, 3))
    pixels = np.clip(np.array(_COLORS[number % len(_COLORS)]) + noise, 0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _kmeans(count: int) -> ClusteringParameters:
    return ClusteringParameters(method=CLUSTERING_METHOD_KMEANS, cluster_count=count)
