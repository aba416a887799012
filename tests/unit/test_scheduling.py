"""Runs begin by themselves when they are due, one at a time, and whatever fails, the next tick comes."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import cast

import pytest

from shoal_server.application.observations import Observations
from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.ports import ImageFiles, RunFiles, Store
from shoal_server.application.scheduling import Scheduling
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.errors import (
    ClusteringFailed,
    CollectionNotFound,
    InvalidField,
    RunInProgress,
    RunNotFound,
    StoreUnavailable,
)
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.lease import Fence
from shoal_server.domain.run import (
    ClusteringRun,
    RequestedParameters,
    RunKind,
    RunStage,
    RunState,
    RunSummary,
)
from shoal_server.domain.schedule import SETTLE, DueReason, Schedule

START = datetime(2025, 6, 10, 12, 0, tzinfo=UTC)
MODEL = EmbeddingModel("debug", "sha256:" + "0" * 64, 4)
OTHER_MODEL = replace(MODEL, digest="sha256:" + "1" * 64)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


class FakeStore:
    """Records only; counts how often it is asked."""

    def __init__(self) -> None:
        self.records: dict[str, Collection] = {}
        self.images: dict[str, int] = {}
        self.runs: dict[str, dict[str, ClusteringRun]] = {}
        self.asked: Counter[str] = Counter()
        self.down: set[str] = set()

    def _ask(self, what: str) -> None:
        self.asked[what] += 1
        if what in self.down:
            raise StoreUnavailable("fake", f"{what} is down")

    async def create_collection(self, collection: Collection) -> None:
        self.records[collection.id] = collection
        self.images[collection.id], self.runs[collection.id] = 0, {}

    async def get_collection(self, collection: str) -> Collection:
        if collection not in self.records:
            raise CollectionNotFound(collection)
        return self.records[collection]

    async def list_collections(self) -> list[Collection]:
        self._ask("list_collections")
        return [self.records[name] for name in sorted(self.records)]

    async def update_collection(self, collection: Collection, fence: Fence | None = None) -> None:
        self.records[collection.id] = collection

    async def delete_collection(self, collection: str) -> None:
        del self.records[collection]

    async def count_images(self, collection: str, where: ImageFilter) -> int:
        self._ask("count_images")
        assert where == ImageFilter()
        await asyncio.sleep(0)
        return self.images[collection]

    async def list_runs(self, collection: str) -> list[ClusteringRun]:
        self._ask("list_runs")
        await asyncio.sleep(0)
        return sorted(self.runs[collection].values(), key=lambda run: run.id, reverse=True)

    async def get_run(self, collection: str, run: str) -> ClusteringRun:
        if run not in self.runs[collection]:
            raise RunNotFound(collection, run)
        return self.runs[collection][run]

    async def get_clusters(self, collection: str, run: str) -> list[object]:
        return []


class FakeFiles:
    """None."""

    async def delete_collection(self, collection: str) -> None:
        pass


class FakeRuns:
    """Starts runs that end when the test says so."""

    def __init__(self, store: FakeStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.started: list[tuple[str, str, RequestedParameters]] = []
        self.error: Exception | None = None

    async def start(
        self, collection: str, requested: RequestedParameters, request_id: str, *, trigger: str = "person"
    ) -> ClusteringRun:
        assert request_id == ""
        for run in self._store.runs[collection].values():
            if not run.state.ended:
                raise RunInProgress(collection, run.id)
        if self.error is not None:
            raise self.error
        self.started.append((collection, trigger, requested))
        run = ClusteringRun(
            id=f"{self._clock.now:%Y%m%d-%H%M%S}-{len(self.started):04}",
            state=RunState.RUNNING,
            stage=RunStage.READING,
            progress=0.0,
            created_at=self._clock.now,
            requested=requested,
            trigger=trigger,
        )
        self._store.runs[collection][run.id] = run
        return run

    async def get(self, collection: str, run: str) -> ClusteringRun:
        if collection not in self._store.records:
            raise CollectionNotFound(collection)
        return await self._store.get_run(collection, run)

    def end(self, collection: str, state: RunState = RunState.SUCCEEDED) -> ClusteringRun:
        """Ends the newest run."""
        run = self._store.runs[collection][max(self._store.runs[collection])]
        summary = RunSummary(self._store.images[collection], 3, 9, 1, 0, 3, 0, 0) if state.complete else None
        ended = replace(run, state=state, ended_at=self._clock.now, summary=summary)
        self._store.runs[collection][run.id] = ended
        return ended


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


class World:
    """A server's scheduling with stand-ins for all around it."""

    def __init__(self, default: Schedule, store: FakeStore | None = None, clock: Clock | None = None) -> None:
        self.default = default
        self.clock = clock or Clock()
        self.store = store or FakeStore()
        self.runs = FakeRuns(self.store, self.clock)
        port = cast("Store", self.store)
        self.collections = OpenCollections(port, cast("RunFiles", FakeFiles()), cast("ImageFiles", FakeFiles()), MODEL)
        self.observations = Observations(port, self.clock)
        self.scheduling = Scheduling(self.collections, port, self.runs, self.observations, default)

    def restarted(self) -> World:
        """Another server on the same store."""
        return World(self.default, self.store, self.clock)

    async def create(self, collection: str = "photos", model: EmbeddingModel = MODEL) -> None:
        await self.store.create_collection(Collection(collection, model, self.clock.now))

    def ingest(self, images: int, collection: str = "photos") -> None:
        self.store.images[collection] += images
        self.observations.changed(collection, images)

    async def tick(self, after: timedelta = timedelta(0)) -> list[tuple[str, str]]:
        """Ticks after some time; what was started by it."""
        self.clock.now += after
        before = len(self.runs.started)
        await self.scheduling.tick()
        return [(collection, trigger) for collection, trigger, _ in self.runs.started[before:]]


@pytest.fixture
async def world() -> World:
    """With a collection ``photos`` that is empty."""
    made = World(Schedule())
    await made.create()
    return made


GROWTH = [("photos", "schedule: growth")]
INTERVAL = [("photos", "schedule: interval")]


async def test_from_the_first_images_to_the_second_run(world: World) -> None:
    assert await world.tick() == []
    world.ingest(50)
    assert await world.tick(SETTLE - timedelta(seconds=1)) == []
    assert await world.tick(timedelta(seconds=1)) == GROWTH
    assert await world.tick(MINUTE) == []
    world.runs.end("photos")
    assert await world.tick(MINUTE) == []
    assert await world.tick(48 * HOUR) == []
    world.ingest(1)
    assert await world.tick() == INTERVAL
    world.runs.end("photos")
    world.ingest(-20)
    assert await world.tick(SETTLE) == GROWTH


async def test_an_ingest_that_goes_on_is_not_disturbed(world: World) -> None:
    for _ in range(100):
        world.ingest(5)
        assert await world.tick(timedelta(seconds=30)) == []
    assert await world.tick(timedelta(seconds=30)) == GROWTH


async def test_a_persons_run_counts(world: World) -> None:
    world.ingest(50)
    await world.tick()
    await world.runs.start("photos", RequestedParameters(), "")
    assert await world.tick(SETTLE) == []
    world.observations.ran("photos", world.runs.end("photos"))
    assert await world.tick(10 * MINUTE) == []


async def test_what_was_missed_while_the_server_was_down_is_caught_up_once(world: World) -> None:
    world.ingest(50)
    await world.tick(SETTLE)
    world.runs.end("photos")
    world.ingest(5)
    world.clock.now += timedelta(days=4)
    other = world.restarted()
    assert await other.tick() == INTERVAL
    other.runs.end("photos")
    for _ in range(5):
        assert await other.tick(12 * HOUR) == []


async def test_quiet_hours_are_kept_and_what_they_held_up_is_done_once() -> None:
    world = World(Schedule(quiet_from=time(11), quiet_to=time(14)))
    await world.create()
    world.ingest(50)
    assert (await world.scheduling.state("photos")).in_quiet_hours
    assert await world.tick(HOUR) == []
    world.ingest(50)
    status = await world.scheduling.state("photos")
    assert status.next_run is not None
    assert status.next_run.at == START + 2 * HOUR
    assert await world.tick(HOUR - timedelta(seconds=1)) == []
    assert await world.tick(timedelta(seconds=1)) == GROWTH
    world.runs.end("photos")
    assert await world.tick(MINUTE) == []


async def test_at_most_one_scheduled_run_over_all_collections(world: World) -> None:
    await world.create("scans")
    world.ingest(50)
    world.ingest(50, "scans")
    assert await world.tick(SETTLE) == GROWTH
    assert await world.tick(MINUTE) == []
    world.runs.end("photos")
    assert await world.tick() == [("scans", "schedule: growth")]


async def test_the_next_collection_has_its_turn_when_the_one_before_is_deleted(world: World) -> None:
    await world.create("scans")
    world.ingest(50)
    world.ingest(50, "scans")
    assert await world.tick(SETTLE) == GROWTH
    opened = await world.collections.open("photos")
    await world.collections.delete("photos", lambda _: asyncio.sleep(0))
    assert opened.id not in world.store.records
    assert await world.tick() == [("scans", "schedule: growth")]


async def test_a_collection_made_again_begins_anew(world: World) -> None:
    world.ingest(50)
    assert await world.tick(SETTLE) == GROWTH
    world.runs.end("photos")
    await world.tick()
    assert (await world.scheduling.state("photos")).images_then == 50
    await world.collections.delete("photos", lambda _: asyncio.sleep(0))
    await world.create()
    status = await world.scheduling.state("photos")
    assert (status.last_run_at, status.images_then, status.images_now) == (None, 0, 0)
    world.ingest(50)
    assert await world.tick(SETTLE) == GROWTH


async def test_a_failed_run_is_repeated_later_and_later(world: World) -> None:
    world.ingest(50)
    assert await world.tick(SETTLE) == GROWTH
    for wait in (1, 2, 4):
        world.runs.end("photos", RunState.FAILED)
        assert await world.tick(timedelta(seconds=1)) == []
        assert await world.tick(wait * HOUR - timedelta(seconds=2)) == []
        assert await world.tick(timedelta(seconds=1)) == GROWTH


async def test_failures_are_remembered_over_a_restart(world: World) -> None:
    """A run that takes the server down with it must not do so again and again."""
    world.ingest(50)
    assert await world.tick(SETTLE) == GROWTH
    world.runs.end("photos", RunState.FAILED)
    other = world.restarted()
    assert await other.tick(MINUTE) == []
    assert await other.tick(HOUR) == GROWTH


async def test_a_result_that_is_held_back_is_not_asked_for_again(world: World) -> None:
    world.ingest(50)
    assert await world.tick(SETTLE) == GROWTH
    world.runs.end("photos", RunState.HELD_BACK)
    assert await world.tick(10 * HOUR) == []
    assert (await world.scheduling.state("photos")).images_then == 50


async def test_a_run_that_is_told_twice_counts_once(world: World) -> None:
    world.ingest(50)
    await world.tick(SETTLE)
    failed = world.runs.end("photos", RunState.FAILED)
    for _ in range(3):
        world.observations.ran("photos", failed)
    assert await world.tick() == []
    assert await world.tick(HOUR) == GROWTH


async def test_a_run_whose_end_was_not_stored_counts(world: World) -> None:
    """The store did not answer when the run ended, and nobody had asked for the collection's runs yet."""
    world.store.images["photos"] = 50
    run = await world.runs.start("photos", RequestedParameters(), "")
    world.observations.ran("photos", replace(run, state=RunState.FAILED, ended_at=world.clock.now))
    status = await world.scheduling.state("photos")
    assert status.last_run_at == START
    assert status.next_run is not None
    assert status.next_run.at == START + HOUR


async def test_corrections_are_no_runs_of_the_schedule(world: World) -> None:
    world.ingest(50)
    run = await world.runs.start("photos", RequestedParameters(), "")
    ended = replace(world.runs.end("photos"), kind=RunKind.CORRECTION)
    world.store.runs["photos"][run.id] = ended
    world.observations.ran("photos", ended)
    assert (await world.scheduling.state("photos")).last_run_at is None
    assert await world.tick(SETTLE) == GROWTH


async def test_what_a_person_asked_for_is_asked_for_again(world: World) -> None:
    asked = RequestedParameters(n_clusters=5, seed=7)
    run = await world.runs.start("photos", asked, "")
    world.observations.ran("photos", world.runs.end("photos"))
    # The corrected run is not kept any more.
    of_a_person = world.store.runs["photos"].pop(run.id)
    correction = replace(of_a_person, id="corrected", kind=RunKind.CORRECTION, parent=run.id)
    world.store.runs["photos"]["corrected"] = correction
    await world.collections.change(await world.collections.open("photos"), active_run="corrected")
    world.ingest(50)
    assert await world.tick(SETTLE) == GROWTH
    assert world.runs.started[-1][2] == asked


async def test_a_run_in_force_whose_record_is_gone_asks_for_nothing(world: World) -> None:
    await world.collections.change(await world.collections.open("photos"), active_run="20200101-000000")
    world.ingest(50)
    assert await world.tick(SETTLE) == GROWTH
    assert world.runs.started[-1][2] == RequestedParameters()


async def test_a_collection_of_another_model_is_left_alone(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await world.create("foreign", OTHER_MODEL)
    world.store.images["foreign"] = 500
    world.ingest(50)
    assert await world.tick(SETTLE) == GROWTH
    world.runs.end("photos")
    assert await world.tick(48 * HOUR) == []
    status = await world.scheduling.state("foreign")
    assert (status.next_run, status.images_now) == (None, 500)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_collection_that_is_set_aside_is_left_alone(world: World) -> None:
    world.ingest(50)
    (await world.collections.open("photos")).set_aside = "half-way"
    assert await world.tick(HOUR) == []
    assert (await world.scheduling.state("photos")).next_run is None


@pytest.mark.parametrize("error", [ClusteringFailed("no worker"), ValueError("a fault of ours")])
async def test_a_start_that_fails_is_told_and_tried_again_later(
    world: World, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    await world.create("scans")
    world.ingest(50)
    world.ingest(5, "scans")
    world.runs.error = error
    for _ in range(11):
        assert await world.tick(timedelta(seconds=5)) == []
    assert await world.tick(timedelta(seconds=5)) == []
    assert await world.tick(timedelta(seconds=5)) == []
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "collection photos" in record.message
    world.runs.error = None
    assert await world.tick(MINUTE) == GROWTH


@pytest.mark.parametrize("what", ["list_collections", "count_images", "list_runs"])
async def test_a_store_that_is_down_for_a_while_is_told_once_a_minute(
    world: World, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.ingest(50)
    world.store.down.add(what)
    for _ in range(24):
        assert await world.tick(timedelta(seconds=5)) == []
    assert 2 <= len([record for record in caplog.records if record.levelno >= logging.WARNING]) <= 3
    world.store.down.clear()
    assert await world.tick(MINUTE) == GROWTH


async def test_a_tick_costs_next_to_nothing(world: World) -> None:
    for number in range(10):
        await world.create(f"c{number}")
        world.store.images[f"c{number}"] = 5
    await world.tick()
    world.store.asked.clear()
    for _ in range(120):
        world.ingest(1, "c3")
        await world.tick(timedelta(seconds=5))
    # Ten minutes: the list and the one collection that changes once a minute, nothing else.
    assert set(world.store.asked) == {"list_collections", "count_images"}
    assert 9 <= world.store.asked["list_collections"] <= 11
    assert 9 <= world.store.asked["count_images"] <= 11


async def test_the_number_of_images_is_known_between_counts(world: World) -> None:
    world.ingest(10)
    assert (await world.scheduling.state("photos")).images_now == 10
    world.ingest(5)
    assert (await world.scheduling.state("photos")).images_now == 15
    assert world.store.asked["count_images"] == 1
    world.store.images["photos"] = 12
    world.clock.now += MINUTE
    assert (await world.scheduling.state("photos")).images_now == 12


async def test_what_changes_during_a_count_is_counted_again(world: World) -> None:
    counting = asyncio.create_task(world.scheduling.state("photos"))
    await asyncio.sleep(0)
    world.ingest(10)
    await counting
    world.clock.now += MINUTE
    assert (await world.scheduling.state("photos")).images_now == 10


async def test_several_looks_at_once_ask_once(world: World) -> None:
    run = await world.runs.start("photos", RequestedParameters(), "")
    world.runs.end("photos", RunState.FAILED)
    world.store.images["photos"] = 50
    first, *others = await asyncio.gather(*(world.scheduling.state("photos") for _ in range(5)))
    assert all(status == first for status in others)
    assert first.last_run_at == run.created_at
    assert first.next_run is not None
    assert first.next_run.at == START + HOUR
    assert world.store.asked == {"list_runs": 1, "count_images": 1}


async def test_a_schedule_of_its_own(world: World) -> None:
    status = await world.scheduling.state("photos")
    assert (status.schedule, status.is_default) == (Schedule(), True)
    own = Schedule(interval=HOUR, growth=None)
    status = await world.scheduling.set("photos", own)
    assert (status.schedule, status.is_default) == (own, False)
    assert world.store.records["photos"].schedule == own
    world.ingest(50)
    status = await world.scheduling.state("photos")
    assert status.next_run is not None
    assert (status.next_run.at, status.next_run.reason) == (START + HOUR, DueReason.INTERVAL)
    assert await world.tick(HOUR - timedelta(seconds=1)) == []
    assert await world.tick(timedelta(seconds=1)) == INTERVAL
    status = await world.scheduling.set("photos", None)
    assert (status.schedule, status.is_default) == (Schedule(), True)
    assert world.store.records["photos"].schedule is None


async def test_a_schedule_can_be_disabled_for_one_collection(world: World) -> None:
    await world.scheduling.set("photos", Schedule(enabled=False))
    world.ingest(500)
    assert await world.tick(100 * HOUR) == []


async def test_a_schedule_that_makes_no_sense_is_refused(world: World) -> None:
    with pytest.raises(InvalidField, match="interval"):
        await world.scheduling.set("photos", Schedule(interval=timedelta(0)))
    assert world.store.records["photos"].schedule is None
    with pytest.raises(CollectionNotFound):
        await world.scheduling.set("nothing", None)
    with pytest.raises(CollectionNotFound):
        await world.scheduling.state("nothing")


async def test_a_clock_that_is_set_back_does_not_stop_anything(world: World) -> None:
    world.runs.error = ClusteringFailed("no worker")
    world.ingest(50)
    await world.tick(SETTLE)
    world.runs.error = None
    world.clock.now -= timedelta(days=30)
    world.ingest(1)
    assert await world.tick(SETTLE) == GROWTH
