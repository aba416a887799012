"""Schedules over the wire: the server's, a collection's own, and what comes of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from shoal.v1.collection_pb2 import Collection, Schedule
from shoal.v1.collection_service_pb2 import (
    CreateCollectionRequest,
    GetCollectionRequest,
    ListCollectionsRequest,
    UpdateCollectionRequest,
)
from tests.rpc.conftest import PARENT, Served, refused, serving

DAY = Duration(seconds=24 * 3600)


async def get(served: Served) -> Collection:
    collection: Collection = await served.collections.GetCollection(GetCollectionRequest(name=PARENT))
    return collection


async def update(served: Served, schedule: Schedule | None, *paths: str, name: str = PARENT) -> Collection:
    request = UpdateCollectionRequest(
        collection=Collection(name=name, schedule=schedule), update_mask=FieldMask(paths=paths)
    )
    collection: Collection = await served.collections.UpdateCollection(request)
    return collection


async def test_the_servers_schedule_holds_until_a_collection_has_its_own(served: Served) -> None:
    default = await get(served)
    assert default.schedule == Schedule(interval=DAY, growth=0.2, time_zone="UTC")
    assert default.schedule_state.server_default
    assert not default.schedule_state.HasField("next_run_time")
    wanted = Schedule(
        interval=Duration(seconds=90 * 60), growth=0.5, quiet_from="22:30", quiet_to="06:00", time_zone="Europe/Berlin"
    )
    changed = await update(served, wanted, "schedule")
    assert changed.schedule == wanted
    assert not changed.schedule_state.server_default
    assert await get(served) == changed
    listed = await served.collections.ListCollections(ListCollectionsRequest())
    assert list(listed.collections) == [changed]
    assert (await update(served, None, "schedule")) == default


async def test_what_is_not_set_never_happens(served: Served) -> None:
    await served.three_colors()
    for schedule in (Schedule(), Schedule(disabled=True, interval=DAY, growth=0.1)):
        changed = await update(served, schedule)
        assert changed.schedule.HasField("interval") == schedule.HasField("interval")
        assert (changed.schedule.growth, changed.schedule.disabled) == (schedule.growth, schedule.disabled)
        assert not changed.schedule_state.HasField("next_run_time")
        assert changed.schedule_state.next_run_reason == ""


async def test_the_state_tells_when_and_why_the_next_run_begins(served: Served) -> None:
    await served.three_colors()
    growing = (await get(served)).schedule_state
    # The first run begins once nothing came for a while, long before the day is over.
    assert growing.next_run_reason == "growth"
    assert growing.next_run_time.ToDatetime(UTC) < datetime.now(UTC) + timedelta(minutes=5)
    assert not growing.HasField("last_run_time")
    run = await served.recluster()
    done = (await get(served)).schedule_state
    assert (done.last_run_time, done.last_run_image_count) == (run.end_time, 36)
    assert not done.HasField("next_run_time")
    await served.store("green", [50])
    news = (await get(served)).schedule_state
    assert news.next_run_reason == "interval"
    assert news.next_run_time.ToDatetime(UTC) == run.end_time.ToDatetime(UTC) + timedelta(days=1)


async def test_quiet_hours(served: Served) -> None:
    await served.three_colors()
    now = datetime.now(UTC)
    ends = now + timedelta(hours=2)
    schedule = Schedule(
        growth=0.2, quiet_from=f"{now - timedelta(hours=2):%H:%M}", quiet_to=f"{ends:%H:%M}", time_zone="UTC"
    )
    state = (await update(served, schedule)).schedule_state
    assert state.quiet
    assert f"{state.next_run_time.ToDatetime():%H:%M}" == f"{ends:%H:%M}"
    assert not (await update(served, Schedule(growth=0.2))).schedule_state.quiet


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"interval": Duration(seconds=59)}, "schedule.interval"),
        ({"interval": Duration(seconds=-1)}, "schedule.interval"),
        ({"interval": Duration(seconds=2**62)}, "schedule.interval"),
        ({"growth": -0.1}, "schedule.growth"),
        ({"growth": float("nan")}, "schedule.growth"),
        ({"quiet_from": "22:00"}, "schedule.quiet_hours"),
        ({"quiet_from": "22:00", "quiet_to": "22:00"}, "schedule.quiet_hours"),
        ({"quiet_from": "10 pm", "quiet_to": "06:00"}, "schedule.quiet_from"),
        ({"quiet_from": "22:00", "quiet_to": "24:00"}, "schedule.quiet_to"),
        ({"quiet_from": "22:00", "quiet_to": "6:00:00"}, "schedule.quiet_to"),
        ({"time_zone": "Middle-earth/Shire"}, "schedule.time_zone"),
    ],
)
async def test_schedules_that_make_no_sense(tmp_path: Path, fields: dict[str, Any], word: str) -> None:
    async with serving(tmp_path) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", word):
            await update(served, Schedule(**fields))
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", word):
            await served.collections.CreateCollection(
                CreateCollectionRequest(collection_id="other", collection=Collection(schedule=Schedule(**fields)))
            )
        assert (await get(served)).schedule_state.server_default
        assert len((await served.collections.ListCollections(ListCollectionsRequest())).collections) == 1


async def test_what_cannot_be_updated(served: Served) -> None:
    for path in ("model", "schedule.growth", "name"):
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", path, "only schedule"):
            await update(served, Schedule(), path)
    async with refused(grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND", "others"):
        await update(served, Schedule(), name="collections/others")
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"):
        await update(served, Schedule(), name="photos")
    assert (await get(served)).schedule_state.server_default


async def test_a_schedule_given_on_creation_is_there_after_a_restart(tmp_path: Path) -> None:
    wanted = Schedule(interval=Duration(seconds=3600), time_zone="Asia/Tokyo")
    async with serving(tmp_path, recluster_interval_h=None, recluster_growth=0.3) as first:
        made = await first.collections.CreateCollection(
            CreateCollectionRequest(collection_id="photos", collection=Collection(schedule=wanted))
        )
        assert made.schedule == wanted
        assert not made.schedule_state.server_default
        other = await first.collections.CreateCollection(CreateCollectionRequest(collection_id="other"))
        assert other.schedule == Schedule(growth=0.3, time_zone="UTC")
    async with serving(tmp_path) as second:
        assert await get(second) == made
