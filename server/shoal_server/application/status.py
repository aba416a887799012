"""How a server is, for a person who runs it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from shoal_server.application.census import Census, CountedOnce
from shoal_server.application.clustering import Clustering
from shoal_server.application.ports import Embedder
from shoal_server.application.run_telemetry import RunTelemetry
from shoal_server.application.vitals import Part, Vitals
from shoal_server.domain.errors import ModelBroken, Overloaded, ShoalError
from shoal_server.domain.run import ClusteringRun

#: Seconds that the model gets for one text or image; then it is busy, which is not broken.
_MODEL_S = 5.0
#: Side and shade of the image that a model is asked for which reads no text.
_SIDE, _GRAY = 32, 128
#: Seconds that the counts may be old, and that are waited for newer ones.
_FRESH_S, _PATIENCE_S = 2.0, 5.0


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part of a server.

    Attributes:
        name: what it is.
        problem: what is the matter with it; empty if it works.
        latency_s: how long it took to answer; None if it did not.
        note: what sets it apart from most, for people; empty if nothing does.
    """

    name: str
    problem: str
    latency_s: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class CollectionStatus:
    """One collection.

    Attributes:
        counted: its counts.
        running: the run under way; None if there is none.
    """

    counted: CountedOnce
    running: ClusteringRun | None


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A server.

    Attributes:
        version: of Shoal.
        started_at: since when it serves; aware, UTC.
        model: the embedding model.
        store: where it stores.
        queue_length: calls that wait for the model or are in it.
        queue_limit: most of them.
        collections: by id.
        other_servers: of the same store, that are alive.
    """

    version: str
    started_at: datetime
    model: PartStatus
    store: PartStatus
    queue_length: int
    queue_limit: int
    collections: Sequence[CollectionStatus]
    other_servers: int


@dataclass(frozen=True, slots=True)
class Identity:
    """What does not change while a server runs.

    Attributes:
        version: of Shoal.
        store: what it stores in, for people.
        started_at: aware, UTC.
    """

    version: str
    store: str
    started_at: datetime


class Status:
    """Looks at a server when somebody asks."""

    def __init__(
        self,
        identity: Identity,
        vitals: Vitals,
        embedder: Embedder,
        queue: Callable[[], tuple[int, int]],
        census: Census,
        runs: RunTelemetry,
        clustering: Clustering,
        other_servers: Callable[[], int],
    ) -> None:
        """Args:
        identity: of the server.
        vitals: know what does not work.
        embedder: asked for one vector.
        queue: calls under way in the model, and most of them.
        census: counts the collections.
        runs: know the runs that this server works on.
        clustering: knows those of other servers.
        other_servers: how many there are of the same store.
        """
        self._identity = identity
        self._vitals = vitals
        self._embedder = embedder
        self._queue = queue
        self._census = census
        self._runs = runs
        self._clustering = clustering
        self._other_servers = other_servers

    async def __call__(self, visible: Callable[[str], bool] = lambda collection: True) -> ServerStatus:
        """How the server is at this moment.

        Args:
            visible: whether whoever asks may know of a collection.
        """
        length, limit = self._queue()
        model, _ = await asyncio.gather(self._ask_model(), self._vitals.check_store())
        store_problem = self._vitals.problems.get(Part.STORE, "")
        # A store that does not answer is not asked to count.
        counted = await self._census.look(_FRESH_S, _PATIENCE_S) if not store_problem else self._census.known
        return ServerStatus(
            version=self._identity.version,
            started_at=self._identity.started_at,
            model=model,
            store=PartStatus(
                self._identity.store, store_problem, None if store_problem else self._vitals.store_latency_s
            ),
            queue_length=length,
            queue_limit=limit,
            collections=[await self._collection(each) for each in counted if visible(each.id)],
            other_servers=self._other_servers(),
        )

    async def _ask_model(self) -> PartStatus:
        model = self._embedder.model
        began = time.perf_counter()
        status = PartStatus(model.name, self._vitals.problems.get(Part.MODEL, ""), None, model.peculiarity)
        try:
            async with asyncio.timeout(_MODEL_S):
                if model.reads_text:
                    await self._embedder.embed_text("a photograph")
                else:
                    await self._embedder.embed_image(np.full((_SIDE, _SIDE, 3), _GRAY, np.uint8))
        except (TimeoutError, Overloaded):
            # Busy: the queue says so.
            return status
        except ModelBroken as error:
            return replace(status, problem=status.problem or error.message)
        except ShoalError as error:
            return replace(status, problem=error.message)
        return replace(status, latency_s=time.perf_counter() - began)

    async def _collection(self, counted: CountedOnce) -> CollectionStatus:
        running = self._runs.under_way.get(counted.id)
        if running is None and self._other_servers() and not counted.problem:
            try:
                runs = await self._clustering.list(counted.id)
            except ShoalError as error:
                return CollectionStatus(replace(counted, problem=error.message), None)
            running = next((run for run in runs if not run.state.ended), None)
        return CollectionStatus(counted, running)
