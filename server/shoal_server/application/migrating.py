"""Copies collections from one store to another, whatever cuts it short.

The source is only read. On the target a collection is announced first, with where it comes from, and no server sees it.
Then come images with their vectors, their files, clusters, records and files of runs and corrections; everything is
read back from both sides and compared; and one write lets the collection exist. Whoever finds one announced goes on
with it: what is there already is compared with the source, and only what differs is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar
from uuid import UUID

from shoal_server.application.comparing import (
    TOLERANCE,
    Compared,
    Comparison,
    Side,
    distance,
    file_digest,
    pages,
    read_moves,
    read_run,
)
from shoal_server.application.ports import FileKind, Store
from shoal_server.domain.collection import Collection
from shoal_server.domain.errors import CollectionNotFound, FileNotKept, StoreIncompatible
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.image import Image, Vector

Item = TypeVar("Item")

_FILES_AT_ONCE = 16
_ID_BATCH = 1000

_EVERY = ImageFilter()


@dataclass(frozen=True, slots=True)
class Arrival:
    """A collection that is on its way.

    Attributes:
        record: as it was when it was announced.
        source: where it comes from.
    """

    record: Collection
    source: str


class Receiver(Store, Protocol):
    """A store in which collections can arrive."""

    async def arrivals(self) -> dict[str, Arrival]:
        """Collections that are on their way, by id."""
        ...

    async def begin_arrival(self, collection: Collection, source: str) -> None:
        """Makes the room for a collection, durably; from here on it can be read and written, by this object alone.

        Raises:
            CollectionExists: there is one of that id.
        """
        ...

    async def go_on_with_arrival(self, collection: str) -> None:
        """Opens one that is on its way.

        Raises:
            CollectionNotFound: it is not.
        """
        ...

    async def finish_arrival(self, collection: Collection) -> None:
        """Lets it exist with this record, in one durable step."""
        ...

    async def drop_arrival(self, collection: str) -> None:
        """Removes what has arrived of a collection."""
        ...


class Stage(Enum):
    """What is being done with a collection."""

    IMAGES = "images"
    FILES = "files"
    HISTORY = "history"
    CHECKING = "checking"
    INDEXING = "indexing"


class Outcome(Enum):
    """What became of a collection."""

    MOVED = "moved"
    THERE = "already there"
    ATTACHED = "attached"


@dataclass(frozen=True, slots=True)
class Moved:
    """A collection and what became of it.

    Attributes:
        collection: its id.
        outcome: what became of it.
        compared: what both sides have; None if it was skipped.
    """

    collection: str
    outcome: Outcome
    compared: Compared | None


#: Told the collection, what is being done with it, how much of that is done, and how much there is; 0: not known.
Progress = Callable[[str, Stage, int, int], None]


class Migration:
    """Moves collections."""

    def __init__(self, source: Side, target: Side, receiver: Receiver, progress: Progress) -> None:
        """Args:
        source: is only read.
        target: its store is the receiver; files that it shares with the source, as the same object, stay as they are.
        receiver: where collections arrive.
        progress: told how far it is.
        """
        self._source = source
        self._target = target
        self._receiver = receiver
        self._progress = progress

    async def move(self, names: Sequence[str], *, replace: bool) -> AsyncGenerator[Moved, None]:
        """Moves collections one after another.

        Args:
            names: which; none: all.
            replace: remove what goes by their names on the target, unless it is what an interrupted move of the same
                source left: that is gone on with.

        Raises:
            CollectionNotFound: the source has none of that name; nothing was moved.
            StoreIncompatible: one cannot be opened, or the target has another one of that name; nothing was moved. Or
                the files of the run in force are missing, or what arrived is not what was sent.
        """
        records = {record.id: record for record in await self._source.store.list_collections()}
        for name in names:
            if name not in records:
                raise CollectionNotFound(name)
        wanted = [records[name] for name in (dict.fromkeys(names) or records)]
        for record in wanted:
            if record.unusable:
                raise StoreIncompatible(
                    f"nothing was moved: {record.unusable}; or name the others, to move them without it",
                    collection=record.id,
                )
        present = {record.id: record for record in await self._receiver.list_collections()}
        arrivals = await self._receiver.arrivals()
        if not replace:
            for record in wanted:
                self._refuse_others(record, present.get(record.id), arrivals.get(record.id))
        for record in wanted:
            if record.attachment is not None:
                yield Moved(record.id, Outcome.ATTACHED, None)
                continue
            if record.id in present and not replace:
                # An earlier call has moved it, before one that was cut short.
                yield Moved(record.id, Outcome.THERE, await self._compare(record.id))
                continue
            await self._check_files(record)
            await self._begin(record, arrivals.get(record.id), exists=record.id in present)
            await self._copy(record.id)
            compared = await self._compare(record.id)
            self._progress(record.id, Stage.INDEXING, 0, 0)
            await self._receiver.finish_arrival(record)
            yield Moved(record.id, Outcome.MOVED, compared)

    def _refuse_others(self, record: Collection, present: Collection | None, arrival: Arrival | None) -> None:
        if record.attachment is not None:
            return
        where = self._target.location
        if present is not None and not _same(record, present):
            raise StoreIncompatible(
                f"there is another collection {record.id!r} in {where}; delete it there, or use --replace, which "
                "removes it with all its images",
                collection=record.id,
            )
        if arrival is not None and not self._goes_on(record, arrival):
            raise StoreIncompatible(
                f"{where} has half of another collection {record.id!r} from {arrival.source}; finish moving that, or "
                "use --replace, which removes it",
                collection=record.id,
            )

    async def _check_files(self, record: Collection) -> None:
        """Files of another store would be missed only when somebody wants them."""
        run = record.active_run
        if run is not None and await read_run(self._source.runs, record.id, run) is None:
            raise StoreIncompatible(
                f"the file of run {run!r} of collection {record.id!r}, which is in force, is not beside "
                f"{self._source.location}; the files are in the data folder of the server that worked with it: name "
                "that one with --data",
                collection=record.id,
            )

    def _goes_on(self, record: Collection, arrival: Arrival) -> bool:
        return arrival.source == self._source.location and _same(record, arrival.record)

    async def _begin(self, record: Collection, arrival: Arrival | None, *, exists: bool) -> None:
        """Announces a collection, or goes on with one that is announced."""
        if exists:
            # The pictures first, as whoever deletes a collection does.
            await self._remove_files(record.id)
            await self._receiver.delete_collection(record.id)
        if arrival is not None and self._goes_on(record, arrival):
            await self._receiver.go_on_with_arrival(record.id)
            return
        if arrival is not None:
            await self._receiver.drop_arrival(record.id)
        # What goes by its name there belongs to nothing.
        await self._remove_files(record.id)
        await self._receiver.begin_arrival(record, self._source.location)

    async def _remove_files(self, collection: str) -> None:
        if self._target.files is not self._source.files:
            await self._target.files.delete_collection(collection)
        if self._target.runs is not self._source.runs:
            await self._target.runs.delete_collection(collection)

    async def _copy(self, collection: str) -> None:
        fresh = await self._receiver.count_images(collection, _EVERY) == 0
        total = await self._source.store.count_images(collection, _EVERY)
        done = 0
        async for page in pages(self._source.store, collection):
            changed = page if fresh else await self._differing(collection, page)
            await self._receiver.upsert_images(collection, changed)
            done += len(page)
            self._progress(collection, Stage.IMAGES, done, total)
        if not fresh:
            await self._remove_others(collection)
        if self._target.files is not self._source.files:
            await self._copy_files(collection, total)
        self._progress(collection, Stage.HISTORY, 0, 0)
        await self._copy_runs(collection)
        await self._copy_corrections(collection)

    async def _differing(self, collection: str, page: Sequence[tuple[Image, Vector]]) -> list[tuple[Image, Vector]]:
        ids = [image.id for image, _ in page]
        images = await self._receiver.get_images(collection, ids)
        vectors = await self._receiver.get_vectors(collection, ids)
        return [
            (image, vector)
            for image, vector in page
            if images.get(image.id) != image
            or image.id not in vectors
            or distance(vector, vectors[image.id]) > TOLERANCE
        ]

    async def _remove_others(self, collection: str) -> None:
        """Takes away what was deleted from the source since it arrived."""
        known = {image async for image in self._ids(self._source.store, collection)}
        others = [image async for image in self._ids(self._receiver, collection) if image not in known]
        for batch in _batches(others, _ID_BATCH):
            if self._target.files is not self._source.files:
                await self._target.files.delete(collection, batch)
            await self._receiver.delete_images(collection, batch)

    async def _ids(self, store: Store, collection: str) -> AsyncIterator[UUID]:
        async for stretch in store.scan_vectors(collection, with_vectors=False):
            for image in stretch.ids:
                yield image

    async def _copy_files(self, collection: str, total: int) -> None:
        done = 0
        at_once = asyncio.Semaphore(_FILES_AT_ONCE)

        async def copy(image: UUID) -> None:
            async with at_once:
                for kind in FileKind:
                    await self._copy_file(collection, image, kind)

        async for stretch in self._source.store.scan_vectors(collection, with_vectors=False):
            async with asyncio.TaskGroup() as copies:
                for image in stretch.ids:
                    copies.create_task(copy(image))
            done += len(stretch.ids)
            self._progress(collection, Stage.FILES, done, total)

    async def _copy_file(self, collection: str, image: UUID, kind: FileKind) -> None:
        source, target = self._source.files, self._target.files
        size = await source.size(collection, image, kind)
        if size is None:
            return
        # Of an earlier call, which may have been made while the source was another.
        if await target.size(collection, image, kind) == size and await file_digest(
            source, collection, image, kind
        ) == await file_digest(target, collection, image, kind):
            return
        try:
            content = b"".join([part async for part in source.read(collection, image, kind)])
        except FileNotKept:
            return
        await target.put(collection, image, kind, content)

    async def _copy_runs(self, collection: str) -> None:
        source, target = self._source, self._target
        runs = await source.store.list_runs(collection)
        for old in {run.id for run in await self._receiver.list_runs(collection)} - {run.id for run in runs}:
            await self._receiver.delete_clusters(collection, old)
            await self._receiver.delete_groupings(collection, old)
            if target.runs is not source.runs:
                await target.runs.delete(collection, old)
            await self._receiver.delete_run(collection, old)
        for run in runs:
            clusters = await source.store.get_clusters(collection, run.id)
            await self._receiver.put_clusters(collection, run.id, clusters)
            await self._receiver.put_groupings(collection, run.id, await source.store.get_groupings(collection, run.id))
            assignments = await read_run(source.runs, collection, run.id)
            if assignments is not None:
                await target.runs.write(collection, run.id, assignments)
            await self._receiver.put_run(collection, run)

    async def _copy_corrections(self, collection: str) -> None:
        source, target = self._source, self._target
        corrections = await source.store.list_corrections(collection)
        known = {correction.id for correction in corrections}
        for old in {correction.id for correction in await self._receiver.list_corrections(collection)} - known:
            await self._receiver.delete_correction(collection, old)
        for correction in corrections:
            moves = await read_moves(source.runs, collection, correction.id)
            if moves is not None:
                await target.runs.write_moves(collection, correction.id, moves)
            await self._receiver.put_correction(collection, correction)

    async def _compare(self, collection: str) -> Compared:
        def told(done: int, total: int) -> None:
            self._progress(collection, Stage.CHECKING, done, total)

        return await Comparison(self._source, self._target, told).of(collection)


def _same(one: Collection, other: Collection) -> bool:
    """Whether two records are of one collection: the time at which it was made is exact to a microsecond."""
    return (one.id, one.created_at, one.model) == (other.id, other.created_at, other.model)


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
