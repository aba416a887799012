"""The change log: one suite on files, on Qdrant's local mode, and on a server if QDRANT_URL is set."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from qdrant_client import AsyncQdrantClient

from shoal_server.adapters.change_files import ChangeFiles
from shoal_server.adapters.qdrant_store import QdrantChanges, changes
from shoal_server.adapters.qdrant_store.connection import Connection
from shoal_server.application.change_log import ChangeLog, Entry, Position
from shoal_server.domain.errors import ChangesExpired, ShuttingDown, StoreFull, StoreUnavailable
from tests.qdrant_server import QdrantServer
from tests.standin.process import StandIn

NAME = "photos"


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Process = Callable[..., ChangeLog]


@pytest.fixture
async def process(backend: str, request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Process]:
    """Makes the log of one more process; the ones before ended without a word."""
    made: list[ChangeLog] = []
    client = None
    if backend == "qdrant-memory":
        client = AsyncQdrantClient(":memory:")
    elif backend == "qdrant-standin":
        server: StandIn = request.getfixturevalue("standin")
        client = AsyncQdrantClient(
            url=server.url, grpc_port=server.grpc_port, prefer_grpc=True, check_compatibility=False
        )
    elif backend == "qdrant-server":
        real: QdrantServer = request.getfixturevalue("emptied_qdrant_server")
        client = AsyncQdrantClient(
            url=real.url, api_key=real.api_key, grpc_port=real.grpc_port, prefer_grpc=True, check_compatibility=False
        )
    if client is not None:
        await client.delete_collection(changes.CHANGES)

    def make(size: int = 1000) -> ChangeLog:
        if client is None:
            made.append(ChangeFiles(tmp_path / "changes", size))
        else:
            made.append(QdrantChanges(Connection(client, "in memory"), size, clock))
        return made[-1]

    yield make
    for each in made:
        await each.aclose()
    if client is not None:
        await client.close()


def images(number: int, count: int = 2) -> tuple[UUID, ...]:
    """Ids that are always the same."""
    return tuple(UUID(int=1000 * number + each) for each in range(count))


async def add(log: ChangeLog, *numbers: int, count: int = 2) -> list[Entry]:
    """Entries whose writes are over."""
    entries = [await log.append(NAME, images(number, count)) for number in numbers]
    log.settle(NAME, entries[-1].writer, entries[-1].number)
    return entries


async def start(log: ChangeLog) -> Position:
    """After all that is settled."""
    return (await log.heads(NAME)).position()


async def read_all(log: ChangeLog, after: Position, limit: int = 5) -> list[Entry]:
    """All entries after a position, in several steps."""
    found: list[Entry] = []
    while True:
        entries, more = await log.read(NAME, after, limit)
        found += entries
        for entry in entries:
            after = after.after(entry)
        if not more:
            return found


async def settled(log: ChangeLog, entry: Entry) -> bool:
    return (await log.heads(NAME)).settled(entry)


async def quiet(log: ChangeLog, clock: Clock, seconds: float) -> None:
    """Lets time pass in which nobody else writes."""
    await log.heads(NAME)
    clock.now += seconds


async def test_entries_are_read_as_they_were_written(process: Process) -> None:
    log = process()
    begin = await start(log)
    entries = await add(log, *range(20))
    assert [entry.images for entry in entries] == [images(number) for number in range(20)]
    assert await read_all(log, begin) == entries
    assert [entry.number for entry in entries] == list(range(entries[0].number, entries[0].number + 20))
    assert await read_all(log, begin.after(entries[7])) == entries[8:]
    assert await read_all(log, await start(log)) == []


async def test_a_position_stays_before_what_is_not_settled(process: Process) -> None:
    log = process()
    begin = await start(log)
    first, second = await log.append(NAME, images(1)), await log.append(NAME, images(2))
    assert await start(log) == begin
    assert not await settled(log, first)
    log.settle(NAME, first.writer, first.number)
    assert await settled(log, first)
    assert not await settled(log, second)
    assert await read_all(log, await start(log)) == [second]


async def test_entries_outlive_the_process(process: Process, clock: Clock) -> None:
    before = process()
    begin = await start(before)
    entries = await add(before, 1, 2)
    entries.append(await before.append(NAME, images(3)))
    log = process()
    assert await read_all(log, begin) == entries
    await quiet(log, clock, changes.SETTLED_AFTER_S + 1)
    assert await settled(log, entries[-1])
    later = await add(log, 4, 5)
    assert later[0].writer != entries[0].writer
    assert later[0].number > entries[-1].number
    assert set(await read_all(log, begin)) == {*entries, *later}
    assert set(await read_all(process(), begin.after(entries[1]))) == {entries[2], *later}


async def test_collections_do_not_mix(process: Process) -> None:
    log = process()
    begin = await start(log)
    await log.append("others", images(9))
    assert await read_all(log, begin) == []
    [entry] = await add(log, 1)
    await log.forget("others")
    assert await read_all(log, begin) == [entry]


async def test_positions_of_other_logs_are_not_taken(process: Process) -> None:
    log = process()
    begin = await start(log)
    [entry] = await add(log, 1)
    beyond = Position(0, {entry.writer: entry.number + 1})
    stranger = Position(entry.number, {**begin.after(entry).reached, "somebody": 1})
    for wrong in (beyond, stranger):
        with pytest.raises(ChangesExpired, match="photos"):
            await log.read(NAME, wrong, 5)


async def test_what_is_over_the_size_is_let_go_of(process: Process) -> None:
    log = process(size=100)
    begin = await start(log)
    entries = await add(log, *range(200))
    if isinstance(log, QdrantChanges):
        await log.prune(NAME)
    with pytest.raises(ChangesExpired):
        await log.read(NAME, begin, 5)
    # Two images each.
    assert await read_all(log, begin.after(entries[149])) == entries[150:]
    with pytest.raises(ChangesExpired):
        await log.read(NAME, begin.after(entries[100]), 5)
    with pytest.raises(ChangesExpired):
        await process(size=100).read(NAME, begin, 5)


async def test_a_log_that_was_forgotten_begins_anew(process: Process) -> None:
    log = process()
    begin = await start(log)
    await add(log, 1, 2)
    await log.forget(NAME)
    with pytest.raises(ChangesExpired):
        await log.read(NAME, begin, 5)
    again = await start(log)
    entries = await add(log, 3)
    assert await read_all(log, again) == entries


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "changes"


async def files(folder: Path) -> tuple[ChangeFiles, Position, list[Entry]]:
    """A log in files with three entries, and the position before them."""
    log = ChangeFiles(folder, 1000)
    begin = await start(log)
    return log, begin, await add(log, 1, 2, 3)


async def test_a_torn_end_is_passed_over(folder: Path) -> None:
    log, begin, entries = await files(folder)
    await log.aclose()
    [path] = (folder / NAME).iterdir()
    whole = path.read_bytes()
    for lost in (1, 17, 47):
        path.write_bytes(whole[:-lost])
        copy = folder.parent / f"copy-{lost}"
        shutil.copytree(folder, copy)
        again = ChangeFiles(copy, 1000)
        assert await read_all(again, begin) == entries[:2]
        more = await add(again, 4)
        assert await read_all(again, begin) == entries[:2] + more
        await again.aclose()
        assert await read_all(ChangeFiles(copy, 1000), begin) == entries[:2] + more


async def test_after_damage_in_the_middle_nobody_goes_on_from_before_it(folder: Path) -> None:
    log, begin, entries = await files(folder)
    await log.aclose()
    log = ChangeFiles(folder, 1000)
    entries += await add(log, 4)
    await log.aclose()
    [first, _] = sorted((folder / NAME).iterdir())
    content = bytearray(first.read_bytes())
    content[60] ^= 1
    first.write_bytes(content)
    log = ChangeFiles(folder, 1000)
    with pytest.raises(ChangesExpired):
        await log.read(NAME, begin, 5)
    assert await read_all(log, await start(log)) == []


async def test_an_older_copy_of_the_folder_is_noticed(folder: Path) -> None:
    log, begin, entries = await files(folder)
    backup = folder.parent / "backup"
    shutil.copytree(folder, backup)
    [late] = await add(log, 4)
    here = begin.after(late)
    await log.aclose()
    shutil.rmtree(folder)
    shutil.copytree(backup, folder)
    log = ChangeFiles(folder, 1000)
    other = await add(log, 5, 6)
    with pytest.raises(ChangesExpired):
        await log.read(NAME, here, 5)
    assert await read_all(log, begin.after(entries[-1])) == other
    await log.aclose()


async def test_a_folder_that_came_without_its_log_is_noticed(folder: Path) -> None:
    log = ChangeFiles(folder, 1000)
    begin = await start(log)
    await log.aclose()
    shutil.rmtree(folder)
    with pytest.raises(ChangesExpired):
        await ChangeFiles(folder, 1000).read(NAME, begin, 5)


async def test_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, begin, entries = await files(folder)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full)
        with pytest.raises(StoreFull):
            await log.append(NAME, images(4))
    entries += await add(log, 5)
    assert await read_all(log, begin) == entries
    await log.aclose()
    with pytest.raises(ShuttingDown):
        await log.append(NAME, images(6))


@pytest.fixture
async def client() -> AsyncIterator[AsyncQdrantClient]:
    client = AsyncQdrantClient(":memory:")
    yield client
    await client.close()


def shared(client: AsyncQdrantClient, clock: Clock, size: int = 1000) -> QdrantChanges:
    return QdrantChanges(Connection(client, "in memory"), size, clock)


async def test_several_processes_write_at_once(client: AsyncQdrantClient, clock: Clock) -> None:
    one, other = shared(client, clock), shared(client, clock)
    begin = await start(one)
    [a] = await add(one, 1)
    b = await other.append(NAME, images(2))
    [c] = await add(one, 3)
    assert {entry.images for entry in await read_all(other, begin)} == {a.images, b.images, c.images}
    # What another process has open is open here, until that says so.
    assert await read_all(one, await start(one)) == [b]
    other.settle(NAME, b.writer, b.number)
    await other.aclose()
    assert await read_all(one, await start(one)) == []
    await one.aclose()


async def test_the_writes_of_a_dead_process_are_over_after_a_while(client: AsyncQdrantClient, clock: Clock) -> None:
    dead = shared(client, clock)
    entry = await dead.append(NAME, images(1))
    log = shared(client, clock)
    assert not await settled(log, entry)
    await quiet(log, clock, changes.SETTLED_AFTER_S - 1)
    assert not await settled(log, entry)
    clock.now += 2
    assert await settled(log, entry)


async def test_ended_writers_are_not_named_for_ever(client: AsyncQdrantClient, clock: Clock) -> None:
    for number in range(5):
        ended = shared(client, clock)
        await add(ended, number)
        await ended.aclose()
    log = shared(client, clock)
    position = await start(log)
    [entry] = await add(log, 9)
    named = position.reached.keys()
    assert len(named) == 5
    await quiet(log, clock, changes.ENDED_AFTER_S + 1)
    [late] = await add(log, 10)
    assert (await start(log)).reached.keys() == {late.writer}
    # An older position with all of them in it is as good as before.
    assert {each.images for each in await read_all(log, position)} == {entry.images, late.images}
    assert len(await read_all(log, Position())) == 7


async def test_entries_of_ended_writers_are_let_go_of_first(client: AsyncQdrantClient, clock: Clock) -> None:
    log = shared(client, clock, size=100)
    begin = await start(log)
    dead = await add(shared(client, clock), *range(40))
    await quiet(log, clock, changes.DROPPED_AFTER_S + 1)
    mine = await add(log, *range(50))
    await log.heads(NAME)
    position = Position(max(dead[-1].number, *begin.reached.values())).after(mine[0])
    await log.prune(NAME)
    await log.prune(NAME)
    with pytest.raises(ChangesExpired):
        await log.read(NAME, begin, 5)
    assert await read_all(log, position) == mine[1:]


async def pruned_amid_a_write(log: QdrantChanges, client: AsyncQdrantClient) -> Entry:
    """Lets go of what is over the size while an entry is on its way; the entry."""
    under_way, goes_on = asyncio.Event(), asyncio.Event()
    works = client.upsert

    async def held_up(*arguments: Any, **named: Any) -> None:
        await works(*arguments, **named)
        under_way.set()
        await goes_on.wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "upsert", held_up)
        writing = asyncio.create_task(add(log, 99))
        await under_way.wait()
        pruning = asyncio.create_task(log.prune(NAME))
        # Until it waits for its turn to write the head.
        await asyncio.sleep(0.1)
        goes_on.set()
        [entry] = await writing
        await pruning
    return entry


async def test_a_head_says_what_is_kept_though_an_entry_was_written_meanwhile(
    client: AsyncQdrantClient, clock: Clock
) -> None:
    log = shared(client, clock, size=20)
    begin = await start(log)
    entries = await add(log, *range(20))
    entries.append(await pruned_amid_a_write(log, client))
    kept = (await client.count(changes.CHANGES, changes._matching("entry", NAME))).count
    assert kept < len(entries)
    for reader in (log, shared(client, clock)):
        [head] = (await reader._heads(NAME)).values()
        assert (head.last - head.first + 1, head.images) == (kept, 2 * kept)
        with pytest.raises(ChangesExpired):
            await reader.read(NAME, begin, 5)
        assert await read_all(reader, begin.after(entries[-kept - 1])) == entries[-kept:]


async def test_the_floor_stays_though_an_entry_was_written_meanwhile(client: AsyncQdrantClient, clock: Clock) -> None:
    dead, log = shared(client, clock), shared(client, clock, size=20)
    begin = await start(dead)
    gone = await add(dead, *range(40))
    await quiet(log, clock, changes.DROPPED_AFTER_S + 1)
    await add(log, 41)
    await pruned_amid_a_write(log, client)
    assert (await log.heads(NAME)).floor == gone[-1].number
    with pytest.raises(ChangesExpired):
        await log.read(NAME, begin, 5)
    with pytest.raises(ChangesExpired):
        # Its writers are all there, but what it has not read of those that are not is gone.
        await log.read(NAME, Position(), 5)


async def test_a_process_that_rested_takes_a_new_name(client: AsyncQdrantClient, clock: Clock) -> None:
    log = shared(client, clock)
    begin = await start(log)
    [before] = await add(log, 1)
    clock.now += changes.RENAMED_AFTER_S + 1
    [after] = await add(log, 2)
    assert after.writer != before.writer
    assert set(await read_all(log, begin)) == {before, after}


async def test_after_a_write_of_which_nobody_knows_the_end_the_name_is_given_up(
    client: AsyncQdrantClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = shared(client, clock)
    begin = await start(log)
    [before] = await add(log, 1)
    works = client.upsert

    async def cut_off(*arguments: Any, **named: Any) -> None:
        await works(*arguments, **named)
        raise StoreUnavailable("qdrant", "no answer")

    with monkeypatch.context() as patch:
        patch.setattr(client, "upsert", cut_off)
        with pytest.raises(StoreUnavailable):
            await log.append(NAME, images(2))
    [after] = await add(log, 3)
    assert after.writer != before.writer
    assert {each.images for each in await read_all(log, begin)} >= {before.images, after.images}
    await log.aclose()
    other = shared(client, clock)
    assert {each.images for each in await read_all(other, begin)} >= {before.images, after.images}


async def test_an_entry_that_never_came_holds_nobody_up_for_ever(client: AsyncQdrantClient, clock: Clock) -> None:
    log = shared(client, clock)
    begin = await start(log)
    entries = await add(log, 1, 2, 3)
    lost = changes._entry_id(NAME, entries[1].writer, entries[1].number)
    await client.delete(changes.CHANGES, [lost])
    assert await read_all(log, begin) == entries[:1]
    clock.now += changes.MISSING_S + 1
    found = await read_all(log, begin)
    assert [each.images for each in found] == [entries[0].images, (), entries[2].images]
