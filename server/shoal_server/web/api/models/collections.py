"""Collections, and how the server is."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from shoal_server.application.overview import CountedCollection
from shoal_server.application.scheduling import ScheduleStatus
from shoal_server.application.status import CollectionStatus, PartStatus, ServerStatus
from shoal_server.web.api.models.base import Asked, Told, moment


class Model(Told):
    """The model that a collection's vectors come from; ``name`` is empty where nobody said which."""

    name: str
    dimension: int
    precision: str
    image_only: bool


class Schedule(Told):
    """When a collection is clustered by itself."""

    disabled: bool
    server_default: bool
    next_run_time: datetime | None
    next_run_reason: str
    last_run_time: datetime | None
    quiet: bool

    @classmethod
    def of(cls, status: ScheduleStatus) -> Schedule:
        """From what is about to happen."""
        due = status.next_run
        return cls(
            disabled=not status.schedule.enabled,
            server_default=status.is_default,
            next_run_time=None if due is None else moment(due.at),
            next_run_reason="" if due is None else due.reason.value,
            last_run_time=moment(status.last_run_at),
            quiet=status.in_quiet_hours,
        )


class Collection(Told):
    """A collection with its counts; ``attached`` says that somebody else owns its images, ``problem`` why it cannot be
    used.
    """

    id: str
    model: Model
    create_time: datetime
    image_count: int
    unclustered_count: int
    cluster_count: int
    active_run: str | None
    attached: bool
    schedule: Schedule
    problem: str

    @classmethod
    def of(cls, counted: CountedCollection, status: ScheduleStatus) -> Collection:
        """From its record, counts and schedule."""
        record = counted.collection
        model = record.model
        return cls(
            id=record.id,
            model=Model(
                name=model.name,
                dimension=model.dimension,
                precision=model.precision.value,
                image_only=not model.reads_text,
            ),
            create_time=record.created_at,
            image_count=counted.images,
            unclustered_count=counted.unclustered,
            cluster_count=counted.clusters,
            active_run=record.active_run,
            attached=record.attachment is not None,
            schedule=Schedule.of(status),
            problem=counted.problem,
        )


class CollectionList(Told):
    """A page of collections, by id."""

    collections: list[Collection]
    next_page_token: str = ""


class NewCollection(Asked):
    """A collection to make, for the server's model."""

    collection_id: Annotated[str, Field(max_length=200)]


class Component(Told):
    """A part of the server; ``problem`` is empty if it works."""

    name: str
    healthy: bool
    problem: str
    latency_s: float | None
    note: str

    @classmethod
    def of(cls, part: PartStatus, *, why: bool) -> Component:
        """From how it is.

        Args:
            part: which.
            why: whether the caller may know what is the matter.
        """
        return cls(
            name=part.name,
            healthy=not part.problem,
            problem=part.problem if why or not part.problem else "it does not work",
            latency_s=part.latency_s,
            note=part.note,
        )


class CollectionState(Told):
    """A collection in the server's status; ``running`` is the run under way."""

    id: str
    image_count: int
    unclustered_count: int
    cluster_count: int
    running: str | None
    progress: float
    last_run_time: datetime | None
    problem: str

    @classmethod
    def of(cls, status: CollectionStatus) -> CollectionState:
        """From its counts and its run."""
        counted, running = status.counted, status.running
        return cls(
            id=counted.id,
            image_count=counted.images,
            unclustered_count=counted.unclustered,
            cluster_count=counted.clusters,
            running=None if running is None else running.id,
            progress=0.0 if running is None else running.progress,
            last_run_time=moment(counted.last_run_at),
            problem=counted.problem,
        )


class CallerAnswer(Told):
    """Who asks, and what they may do."""

    name: str
    role: str
    authenticated: bool


class StatusAnswer(Told):
    """How the server is."""

    version: str
    start_time: datetime
    model: Component
    store: Component
    queue_length: int
    queue_limit: int
    other_servers: int
    max_file_bytes: int
    keeps_originals: bool
    caller: CallerAnswer
    collections: list[CollectionState]

    @classmethod
    def of(
        cls, status: ServerStatus, caller: CallerAnswer, *, why: bool, max_file_bytes: int, keeps_originals: bool
    ) -> StatusAnswer:
        """From how it is.

        Args:
            status: how it is.
            caller: who asks.
            why: whether they may know what is the matter.
            max_file_bytes: of an image.
            keeps_originals: whether new images' files are kept.
        """
        return cls(
            version=status.version,
            start_time=status.started_at,
            model=Component.of(status.model, why=why),
            store=Component.of(status.store, why=why),
            queue_length=status.queue_length,
            queue_limit=status.queue_limit,
            other_servers=status.other_servers,
            max_file_bytes=max_file_bytes,
            keeps_originals=keeps_originals,
            caller=caller,
            collections=[CollectionState.of(each) for each in status.collections],
        )
