"""Stand-ins for what is slow or far, and pictures to feed the server with."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ExifTags

from shoal_server.adapters.umap_hdbscan.sampled import cluster_sampled
from shoal_server.application.ports import Before, ClusteringResult
from shoal_server.application.vector_file import VectorFile
from shoal_server.domain.run import ClusteringParameters, RunStage, Trial, usual_cluster_size


class FakeClusterer:
    """Groups by a threshold on cosine similarity, in this process and in no time; can be held up and made to fail.

    Attributes:
        threshold: images more alike than this are one group.
        smallest: the smallest group, whatever the parameters say, if set.
        groups: finds the groups instead, if set: vectors, float32 (n, d), to labels, int64 (n,).
        places: finds the places on the map instead, if set: vectors, float32 (n, d), to coordinates, float32 (n, 2).
        may_go_on: cleared, a job waits.
        error: raised by every job, if set.
        jobs: how many there were.
        before: what the last job was told of the run before.
        sample: the rows that the last job was to cluster; None: all.
        deaths: as of a process that does not die.
        started: whether it was told to get ready before there was a job.
    """

    def __init__(self, threshold: float = 0.9) -> None:
        self.threshold = threshold
        self.smallest: int | None = None
        self.groups: Callable[[NDArray[np.float32]], NDArray[np.int64]] | None = None
        self.places: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.error: Exception | None = None
        self.jobs = 0
        self.before: Before | None = None
        self.sample: NDArray[np.int64] | None = None
        self.deaths = 0
        self.started = False

    async def start(self) -> None:
        """Nothing to get ready."""
        self.started = True

    async def aclose(self) -> None:
        """Nothing to let go of."""

    async def cluster(
        self,
        vectors: Path,
        parameters: ClusteringParameters,
        on_stage: Callable[[RunStage, float], None],
        before: Before | None = None,
        sample: NDArray[np.int64] | None = None,
    ) -> ClusteringResult:
        """As the port has it; what is not in a sample is assigned as in the real one."""
        self.jobs += 1
        self.before = before
        self.sample = sample
        on_stage(RunStage.NEIGHBORS, 0.5)
        await self.may_go_on.wait()
        if self.error is not None:
            raise self.error
        if sample is not None:
            return cluster_sampled(VectorFile(vectors), sample, parameters, on_stage, before, self._grouped)
        return self._grouped(np.load(vectors), parameters, on_stage, before)

    def _grouped(
        self,
        vectors: NDArray[np.float32],
        parameters: ClusteringParameters,
        on_stage: Callable[[RunStage, float], None],
        before: Before | None,
    ) -> ClusteringResult:
        smallest = self.smallest or parameters.min_cluster_size or usual_cluster_size(len(vectors))
        if self.groups is not None:
            labels = self.groups(vectors)
        elif parameters.n_clusters is not None:
            labels = _in_parts(vectors, parameters.n_clusters)
        else:
            labels = _alike(vectors, self.threshold, smallest)
        similarities = vectors @ vectors.T
        np.fill_diagonal(similarities, -2)
        order = np.argsort(-similarities, axis=1, kind="stable")[:, :15].astype(np.int64)
        on_stage(RunStage.MAPPING, 1.0)
        samples = parameters.min_samples or 1
        return ClusteringResult(
            labels=labels,
            strengths=(labels >= 0).astype(np.float32),
            coordinates=vectors[:, :2].copy() if self.places is None else self.places(vectors),
            reduced=vectors[:, : parameters.n_components].copy(),
            neighbor_rows=order,
            neighbor_similarities=np.take_along_axis(similarities, order, axis=1).astype(np.float32),
            parameters=replace(parameters, min_cluster_size=smallest, min_samples=samples),
            trials=(
                Trial(smallest, samples, int(labels.max()) + 1, float((labels < 0).mean()), 0.5, "chosen"),
                Trial(2, 1, len(vectors) // 2, 0.0, float("-inf"), "ruled out: too many clusters"),
            ),
            quality={"silhouette": 0.5},
        )


def _alike(matrix: NDArray[np.float32], threshold: float, smallest: int) -> NDArray[np.int64]:
    similarities = matrix @ matrix.T
    labels = np.full(len(matrix), -1, dtype=np.int64)
    label = 0
    for row in range(len(matrix)):
        if labels[row] == -1:
            group = (similarities[row] > threshold) & (labels == -1)
            if group.sum() >= smallest:
                labels[group] = label
                label += 1
    return labels


def _in_parts(matrix: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Cuts across the direction in which the images differ most, the first parts being larger."""
    _, _, axes = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
    labels = np.empty(len(matrix), dtype=np.int64)
    for part, rows in enumerate(np.array_split(np.argsort(matrix @ axes[0], kind="stable"), count)):
        labels[rows] = part
    return labels


COLORS = {
    "red": (200, 30, 30),
    "green": (30, 170, 40),
    "blue": (30, 50, 200),
    "yellow": (220, 210, 40),
    "orange": (240, 140, 25),
    "purple": (130, 45, 160),
    "white": (240, 240, 240),
    "black": (15, 15, 15),
}


def picture(
    color: str,
    number: int,
    size: int = 48,
    taken: datetime | None = None,
    at: tuple[float, float] | None = None,
) -> bytes:
    """A PNG of one colour with a little noise; every number gives other bytes.

    Args:
        color: one of :data:`COLORS`.
        number: which one.
        size: pixels on each side.
        taken: local time to stand in its EXIF.
        at: latitude and longitude, at least 0, to stand in its EXIF.
    """
    noise = np.random.default_rng([number, *COLORS[color]]).integers(-12, 12, (size, size, 3))
    pixels = np.clip(np.array(COLORS[color]) + noise, 0, 255).astype(np.uint8)
    exif = PIL.Image.Exif()
    if taken is not None:
        exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: f"{taken:%Y:%m:%d %H:%M:%S}"}
    if at is not None:
        latitude, longitude = at
        exif[ExifTags.IFD.GPSInfo] = {
            ExifTags.GPS.GPSLatitudeRef: "N",
            ExifTags.GPS.GPSLatitude: (latitude, 0.0, 0.0),
            ExifTags.GPS.GPSLongitudeRef: "E",
            ExifTags.GPS.GPSLongitude: (longitude, 0.0, 0.0),
        }
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG", **({"exif": exif} if taken or at else {}))
    return file.getvalue()
