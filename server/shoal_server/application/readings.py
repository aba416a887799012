"""What a server shows when somebody looks at it, as opposed to what it tells of while it works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shoal_server.application.census import CountedOnce
from shoal_server.application.vitals import Part
from shoal_server.domain.run import ClusteringRun


@dataclass(frozen=True, slots=True)
class Readings:
    """A server at one moment.

    Attributes:
        queue_length: calls that wait for the model or are in it.
        queue_limit: most of them.
        ingest_bytes: of files that are being worked on.
        ingest_limit_bytes: most of them.
        model_breakdowns: how often the model broke.
        worker_restarts: how often the clustering worker had to be replaced.
        store_latency_s: seconds that the store took to answer when it was asked last.
        other_servers: of the same store, that are alive.
        problems: what does not work.
        runs: that this server works on, by collection.
        collections: as they were counted last.
    """

    queue_length: int
    queue_limit: int
    ingest_bytes: int
    ingest_limit_bytes: int
    model_breakdowns: int
    worker_restarts: int
    store_latency_s: float
    other_servers: int
    problems: Mapping[Part, str]
    runs: Mapping[str, ClusteringRun]
    collections: Sequence[CountedOnce]
