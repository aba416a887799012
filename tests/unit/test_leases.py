"""Rights among several servers: one at a time, lost by who falls silent, and fenced."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shoal_server.application import leases as leases_module
from shoal_server.application.deciding import Deciding
from shoal_server.application.leases import Leases, Right
from shoal_server.application.shared_store import SharedCollection
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.errors import LeaseLost, StoreIncompatible, StoreUnavailable
from shoal_server.domain.lease import Fence, Lease, Member, Purpose

RUNNING, DECIDING = Purpose.RUNNING, Purpose.DECIDING
RECORD = Collection(id="photos", model=EmbeddingModel("debug", "sha256:0", 8), created_at=datetime.now(UTC))


class Clock:
    """Time as the leases measure it."""

    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        return self.at


class FakeSharedStore:
    """Leases of one collection in memory."""

    def __init__(self) -> None:
        self.leases: dict[Purpose, Lease] = {}
        self.answers = True

    def _ask(self) -> None:
        if not self.answers:
            raise StoreUnavailable("in memory", "told not to")

    async def shared_collections(self) -> list[SharedCollection]:
        return [await self.shared_collection("photos")]

    async def shared_collection(self, collection: str) -> SharedCollection:
        self._ask()
        return SharedCollection(RECORD, dict(self.leases))

    async def take_lease(self, collection: str, purpose: Purpose, before: Lease, after: Lease) -> bool:
        self._ask()
        present = self.leases.get(purpose, Lease())
        if (present.holder, present.epoch, present.beat) != (before.holder, before.epoch, before.beat):
            return False
        self.leases[purpose] = after
        return True

    async def renew_lease(self, collection: str, fence: Fence, lease: Lease) -> Lease | None:
        self._ask()
        present = self.leases.get(fence.purpose, Lease())
        if (present.holder, present.epoch) != (fence.holder, fence.epoch):
            return None
        self.leases[fence.purpose] = replace(lease, asked_to_cancel=present.asked_to_cancel)
        return self.leases[fence.purpose]

    async def ask_to_cancel(self, collection: str, epoch: int, run: str) -> None:
        self.leases[RUNNING] = replace(self.leases[RUNNING], asked_to_cancel=run)

    async def put_member(self, member: Member) -> None:
        raise NotImplementedError

    async def members(self) -> list[Member]:
        raise NotImplementedError

    async def forget_members(self, members: Sequence[str]) -> None:
        raise NotImplementedError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(leases_module, "time", clock)
    return clock


@pytest.fixture
def store() -> FakeSharedStore:
    return FakeSharedStore()


async def test_a_right_is_one_servers_until_it_gives_it_back(store: FakeSharedStore, clock: Clock) -> None:
    ann, bob = Leases(store, "ann", 10), Leases(store, "bob", 10)
    right = await ann.take_now("photos", RUNNING, "r1")
    assert isinstance(right, Right)
    other = await bob.take_now("photos", RUNNING, "r2")
    assert isinstance(other, Lease)
    assert (other.holder, other.run) == ("ann", "r1")
    assert isinstance(await bob.take_now("photos", DECIDING), Right)
    await ann.give_back(right)
    assert isinstance(await bob.take_now("photos", RUNNING, "r2"), Right)


async def test_a_silent_server_loses_its_right_after_the_time_and_is_fenced_off(
    store: FakeSharedStore, clock: Clock
) -> None:
    ann, bob = Leases(store, "ann", 10), Leases(store, "bob", 10)
    right = await ann.take_now("photos", RUNNING)
    assert isinstance(right, Right)
    assert isinstance(await bob.take_now("photos", RUNNING), Lease)
    clock.at += 9
    assert isinstance(await bob.take_now("photos", RUNNING), Lease)
    clock.at += 2
    taken = await bob.take_now("photos", RUNNING)
    assert isinstance(taken, Right)
    assert taken.fence.epoch == right.fence.epoch + 1
    assert await ann.keep() == [right]
    with pytest.raises(LeaseLost):
        await right.confirm()
    # What it gives back is not its own any more.
    await ann.give_back(right)
    assert store.leases[RUNNING].holder == "bob"


async def test_who_renews_keeps_its_right_for_ever(store: FakeSharedStore, clock: Clock) -> None:
    ann, bob = Leases(store, "ann", 10), Leases(store, "bob", 10)
    right = await ann.take_now("photos", RUNNING)
    for _ in range(10):
        clock.at += 6
        assert await ann.keep() == []
        assert isinstance(await bob.take_now("photos", RUNNING), Lease)
    assert isinstance(right, Right)
    assert not right.lost


async def test_time_is_counted_from_when_a_beat_was_first_seen(store: FakeSharedStore, clock: Clock) -> None:
    ann, bob = Leases(store, "ann", 10), Leases(store, "bob", 10)
    await ann.take_now("photos", RUNNING)
    clock.at += 86_400
    # Its clock jumped, or bob has just been started: who knows how long ann has been silent?
    assert isinstance(await bob.take_now("photos", RUNNING), Lease)


async def test_a_server_that_was_started_again_takes_its_own_rights_up(store: FakeSharedStore, clock: Clock) -> None:
    before = await Leases(store, "ann", 10).take_now("photos", DECIDING)
    again = await Leases(store, "ann", 10).take_now("photos", DECIDING)
    assert isinstance(again, Right)
    assert isinstance(before, Right)
    with pytest.raises(LeaseLost):
        await before.renew()


async def test_a_store_that_is_away_for_long_costs_no_right_that_nobody_took(
    store: FakeSharedStore, clock: Clock
) -> None:
    ann = Leases(store, "ann", 10)
    right = await ann.take_now("photos", DECIDING)
    assert isinstance(right, Right)
    store.answers = False
    clock.at += 60
    assert await ann.keep() == []
    with pytest.raises(StoreUnavailable):
        await right.confirm()
    store.answers = True
    await right.confirm()
    assert not right.lost


async def test_others_are_told_and_heard(store: FakeSharedStore, clock: Clock) -> None:
    heard: list[str] = []

    def told(lease: Lease) -> tuple[str, float]:
        heard.append(lease.asked_to_cancel)
        return "mapping", 0.75

    ann = Leases(store, "ann", 10)
    await ann.take_now("photos", RUNNING, "r1", told)
    await store.ask_to_cancel("photos", 1, "r1")
    await ann.keep()
    assert heard == ["", "r1"]
    assert (store.leases[RUNNING].stage, store.leases[RUNNING].progress) == ("mapping", 0.75)


async def test_turns_to_decide_are_taken_one_after_another_over_all_servers(store: FakeSharedStore) -> None:
    under_way, most, turns = 0, 0, 0

    async def decide(deciding: Deciding) -> None:
        nonlocal under_way, most, turns
        async with deciding:
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.005)
            assert deciding.fence is not None
            await deciding.confirm()
            under_way -= 1
            turns += 1

    servers = [Deciding("photos", Leases(store, name, 10)) for name in ("ann", "bob", "cay")]
    async with asyncio.timeout(20):
        await asyncio.gather(*(decide(server) for server in servers for _ in range(3)))
    assert (most, turns) == (1, 9)
    assert store.leases[DECIDING].holder == ""


async def test_whoever_fails_on_arrival_leaves_the_turn_to_others(store: FakeSharedStore) -> None:
    async def fail() -> None:
        raise StoreUnavailable("in memory", "told to")

    failing = Deciding("photos", Leases(store, "ann", 10), fail)
    with pytest.raises(StoreUnavailable):
        async with failing:
            raise AssertionError("not reached")
    assert not failing.locked()
    async with asyncio.timeout(5), Deciding("photos", Leases(store, "bob", 10)):
        assert store.leases[DECIDING].holder == "bob"


async def test_without_a_turn_nothing_may_be_written(store: FakeSharedStore) -> None:
    deciding = Deciding("photos", Leases(store, "ann", 10))
    with pytest.raises(LeaseLost):
        _ = deciding.fence
    with pytest.raises(LeaseLost):
        await deciding.confirm()
    alone = Deciding("photos")
    assert alone.fence is None
    await alone.confirm()


async def test_while_nobody_could_look_nobody_falls_silent(store: FakeSharedStore, clock: Clock) -> None:
    ann, bob = Leases(store, "ann", 10), Leases(store, "bob", 10)
    await ann.take_now("photos", RUNNING)
    assert isinstance(await bob.take_now("photos", RUNNING), Lease)
    # The store was away for both, and is back.
    clock.at += 60
    assert isinstance(await bob.take_now("photos", RUNNING), Lease)
    for _ in range(2):
        clock.at += 6
        taken = await bob.take_now("photos", RUNNING)
    assert isinstance(taken, Right)


async def test_a_right_whose_renewal_was_taken_unheard_can_be_given_back(
    store: FakeSharedStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Leases(store, "ann", 10)
    right = await ann.take_now("photos", RUNNING)
    assert isinstance(right, Right)
    renew = store.renew_lease

    async def unheard(collection: str, fence: Fence, lease: Lease) -> Lease | None:
        await renew(collection, fence, lease)
        raise StoreUnavailable("in memory", "the answer was lost")

    monkeypatch.setattr(store, "renew_lease", unheard)
    assert await ann.keep() == []
    await ann.give_back(right)
    assert store.leases[RUNNING].holder == ""


async def test_a_right_given_back_while_it_is_renewed_is_given_back(
    store: FakeSharedStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Leases(store, "ann", 10)
    right = await ann.take_now("photos", RUNNING)
    assert isinstance(right, Right)
    renew = store.renew_lease

    async def slow(collection: str, fence: Fence, lease: Lease) -> Lease | None:
        await asyncio.sleep(0.02)
        return await renew(collection, fence, lease)

    monkeypatch.setattr(store, "renew_lease", slow)
    keeping = asyncio.create_task(ann.keep())
    await asyncio.sleep(0.01)
    await ann.give_back(right)
    await keeping
    assert store.leases[RUNNING].holder == ""


async def test_one_right_that_cannot_be_renewed_does_not_keep_the_others_from_it(
    store: FakeSharedStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Leases(store, "ann", 10)
    await ann.take_now("photos", DECIDING)
    await ann.take_now("photos", RUNNING)
    renew = store.renew_lease

    async def picky(collection: str, fence: Fence, lease: Lease) -> Lease | None:
        if fence.purpose is DECIDING:
            raise StoreIncompatible("the record cannot be understood")
        return await renew(collection, fence, lease)

    monkeypatch.setattr(store, "renew_lease", picky)
    before = store.leases[RUNNING].beat
    assert await ann.keep() == []
    assert store.leases[RUNNING].beat == before + 1
