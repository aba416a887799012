"""How a server is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """One part of a server.

    Attributes:
        name: what it is, for instance the model's name.
        healthy: whether it works.
        problem: if not, what is the matter.
        latency: how long it took to answer; None if it did not, or was too busy.
        note: what sets it apart from most, for people, for instance "bf16, images only"; empty if nothing does.
    """

    name: str
    healthy: bool
    problem: str
    latency: timedelta | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class CollectionStatus:
    """A collection.

    Attributes:
        id: the collection's.
        image_count: images stored.
        unclustered_count: images in no cluster.
        cluster_count: clusters in force.
        running: id of the run under way; None if there is none.
        progress: of that run, 0 to 1.
        last_run_at: when the last run ended; None before the first.
        problem: why the collection cannot be used; empty if it can.
    """

    id: str
    image_count: int
    unclustered_count: int
    cluster_count: int
    running: str | None
    progress: float
    last_run_at: datetime | None
    problem: str


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A server as it was when asked.

    Attributes:
        version: of Shoal.
        started_at: since when it serves.
        model: the embedding model.
        store: where it stores.
        queue_length: images and texts that wait for the model.
        queue_limit: most that may.
        collections: those that the caller may see, by id.
        other_servers: of the same store, that are alive.
    """

    version: str
    started_at: datetime
    model: ComponentStatus
    store: ComponentStatus
    queue_length: int
    queue_limit: int
    collections: tuple[CollectionStatus, ...]
    other_servers: int

    @property
    def problems(self) -> tuple[str, ...]:
        """What is the matter, in words; empty if all is well."""
        parts = {"model": self.model, "store": self.store}
        found = [
            f"the {what} {part.name} does not work: {part.problem}" for what, part in parts.items() if part.problem
        ]
        return (*found, *(f"collection {each.id}: {each.problem}" for each in self.collections if each.problem))

    @property
    def healthy(self) -> bool:
        """Whether model and store work and all collections can be used."""
        return self.model.healthy and self.store.healthy and not self.problems
