"""Stand-ins for what is slow or far, and pictures to feed the server with."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image

from shoal_server.application.ports import ClusteringResult
from shoal_server.domain.run import ClusteringParameters, RunStage


class FakeClusterer:
    """Groups by a threshold on cosine similarity, in this process and in no time; can be held up and made to fail."""

    def __init__(self, threshold: float = 0.9) -> None:
        self.threshold = threshold
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.error: Exception | None = None
        self.jobs = 0

    async def start(self) -> None:
        """Nothing to get ready."""

    async def aclose(self) -> None:
        """Nothing to let go of."""

    async def cluster(
        self, vectors: Path, parameters: ClusteringParameters, on_stage: Callable[[RunStage, float], None]
    ) -> ClusteringResult:
        """As the port has it."""
        self.jobs += 1
        matrix = np.load(vectors)
        on_stage(RunStage.NEIGHBORS, 0.5)
        await self.may_go_on.wait()
        if self.error is not None:
            raise self.error
        similarities = matrix @ matrix.T
        labels = np.full(len(matrix), -1, dtype=np.int64)
        label = 0
        for row in range(len(matrix)):
            if labels[row] == -1:
                group = (similarities[row] > self.threshold) & (labels == -1)
                if group.sum() >= parameters.min_cluster_size:
                    labels[group] = label
                    label += 1
        np.fill_diagonal(similarities, -2)
        order = np.argsort(-similarities, axis=1, kind="stable")[:, :15].astype(np.int64)
        on_stage(RunStage.MAPPING, 1.0)
        return ClusteringResult(
            labels=labels,
            strengths=(labels >= 0).astype(np.float32),
            coordinates=matrix[:, :2].copy(),
            neighbor_rows=order,
            neighbor_similarities=np.take_along_axis(similarities, order, axis=1).astype(np.float32),
        )


COLORS = {"red": (200, 30, 30), "green": (30, 170, 40), "blue": (30, 50, 200), "yellow": (220, 210, 40)}


def picture(color: str, number: int, size: int = 48) -> bytes:
    """A PNG of one colour with a little noise; every number gives other bytes."""
    noise = np.random.default_rng([number, *COLORS[color]]).integers(-12, 12, (size, size, 3))
    pixels = np.clip(np.array(COLORS[color]) + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
