"""Builds search indexes beside the running store.

The worker process builds the index on a copy of the shard while the store goes on reading and writing the original.
What was written meanwhile is then written to the copy too, and the copy takes the original's place.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import qdrant_edge as edge

from shoal_server.adapters.edge_store import files, points, room
from shoal_server.adapters.edge_store.copying import copy_apart
from shoal_server.adapters.edge_store.engine import Engine
from shoal_server.adapters.edge_store.room import Room
from shoal_server.adapters.edge_store.sparse import taken_bytes
from shoal_server.application.ports import Purpose
from shoal_server.domain.errors import StoreFull

_log = logging.getLogger(__name__)

_REPLAY_BATCH = 256
_BYTES_PER_NUMBER = 4
#: What building an index takes on the disk for a while, as a multiple of the shard: the copy, and what is made of it.
_COPIES = 2


class Indexing:
    """Index builds of a store: one at a time, asked for as often as one likes."""

    def __init__(self, engine: Engine, threshold_kb: int) -> None:
        """Args:
        engine: the store's thread.
        threshold_kb: an index is built once this much of a shard's vectors has none; less is searched exactly.
        """
        self._engine = engine
        self._threshold_kb = threshold_kb
        self._tasks: dict[Path, asyncio.Task[None]] = {}
        # The least share of a collection that must be without an index.
        self._wanted: dict[Path, float] = {}
        self._one_at_a_time = asyncio.Lock()

    def request(self, collection: Room, least_share: float = 0.0) -> None:
        """Builds the index of a collection soon; a request during a build leads to one more.

        Args:
            collection: nothing is built if less of it than the threshold has no index.
            least_share: nor if that is a smaller share of its images, 0 to 1: a build copies all of them.
        """
        folder = collection.folder
        self._wanted[folder] = min(least_share, self._wanted.get(folder, least_share))
        running = self._tasks.get(folder)
        if running is None or running.done():
            task = asyncio.create_task(self._build_while_wanted(collection), name=f"index {folder.name}")
            self._tasks[folder] = task
            task.add_done_callback(lambda done: self._ended(folder, done))

    async def stop(self, collection: Room) -> None:
        """Stops the build of a collection's index, if there is one; the collection stays as it is."""
        self._wanted.pop(collection.folder, None)
        task = self._tasks.get(collection.folder)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def settled(self, collection: Room) -> None:
        """Waits until the index of a collection is built, if that was asked for; a failure is logged only."""
        while (task := self._tasks.get(collection.folder)) is not None:
            await asyncio.wait([task])
            # The task's own callback removes it, on the loop's next turn.
            await asyncio.sleep(0)

    def _ended(self, folder: Path, task: asyncio.Task[None]) -> None:
        if self._tasks.get(folder) is task:
            del self._tasks[folder]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error(
                "the search index of collection %s could not be built; searches go on without it, more slowly",
                folder.name,
                exc_info=error,
            )

    async def _build_while_wanted(self, collection: Room) -> None:
        while collection.folder in self._wanted:
            async with self._one_at_a_time:
                await self._build_if_worthwhile(collection, self._wanted.pop(collection.folder, 1.0))

    async def _build_if_worthwhile(self, collection: Room, least_share: float) -> None:
        if await self._engine.run(lambda: self._worthwhile(collection, least_share) and self._has_room(collection)):
            await self._build(collection)
            _log.info("built the search index of collection %s", collection.folder.name)

    def _worthwhile(self, collection: Room, least_share: float) -> bool:
        info = collection.images.info()
        written = min(collection.unindexed, info.points_count)
        unindexed = max(written, info.points_count - info.indexed_vectors_count)
        enough = unindexed * collection.record.model.dimension * _BYTES_PER_NUMBER >= self._threshold_kb * 1024
        return enough and unindexed >= least_share * info.points_count

    def _has_room(self, collection: Room) -> bool:
        """Room for the copy, and for what is optimised of it; the copy must not take what the writes beside it need."""
        taken = taken_bytes(collection.folder / room.IMAGES)
        try:
            self._engine.check_space(Purpose.GROW, _COPIES * taken)
        except StoreFull as error:
            _log.warning(
                "collection %s gets no search index now, and searches are slower: it would take %d MB more: %s",
                collection.folder.name,
                _COPIES * taken >> 20,
                error.message,
            )
            return False
        return True

    async def _build(self, collection: Room) -> None:
        copy = collection.folder / room.NEW_IMAGES
        try:
            async with collection.writing:
                await self._engine.run(lambda: _begin_copy(collection))
                await copy_apart(collection.folder / room.IMAGES, copy)
            await _run_worker(copy, collection.record.model.dimension, self._threshold_kb)
            async with collection.writing:
                await self._replace(collection, copy)
        finally:
            await self._engine.run(lambda: _end_copy(collection, copy))

    async def _replace(self, collection: Room, copy: Path) -> None:
        await self._engine.run(lambda: self._engine.check_space(Purpose.FINISH))
        replacement = await self._engine.run(lambda: edge.EdgeShard.load(str(copy)))
        touched = sorted(collection.touched or ())
        for start in range(0, len(touched), _REPLAY_BATCH):
            ids = touched[start : start + _REPLAY_BATCH]
            await self._replay(collection, replacement, ids)
        await self._engine.run(lambda: _close(replacement))
        # The old shard is the only durable copy until then. Most of it was done by the worker; what is left is little.
        await asyncio.to_thread(files.sync_tree, copy)
        await self._engine.run(lambda: room.swap_images(collection))

    async def _replay(self, collection: Room, replacement: edge.EdgeShard, ids: Sequence[UUID]) -> None:
        await self._engine.run(lambda: _copy_points(collection.images, replacement, ids))


def _begin_copy(collection: Room) -> None:
    collection.images.flush()
    collection.unflushed = 0
    collection.touched = set()


def _close(replacement: edge.EdgeShard) -> None:
    replacement.flush()
    replacement.close()


def _end_copy(collection: Room, copy: Path) -> None:
    collection.touched = None
    shutil.rmtree(copy, ignore_errors=True)


async def _run_worker(folder: Path, dimension: int, threshold_kb: int) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "shoal_server.adapters.edge_store.index_worker",
        str(folder),
        str(dimension),
        str(threshold_kb),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None  # noqa: S101 - asked for above
    assert process.stderr is not None  # noqa: S101
    try:
        # Not communicate(): that closes standard input, at which the worker ends itself.
        problem = await process.stderr.read()
        if await process.wait() != 0:
            text = problem.decode(errors="replace").strip()
            raise RuntimeError(f"the index worker ended with status {process.returncode}: {text}")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        process.stdin.close()


def _copy_points(original: edge.EdgeShard, replacement: edge.EdgeShard, ids: Sequence[UUID]) -> None:
    found = original.retrieve(list(ids), True, True)
    if found:
        replacement.update(
            edge.UpdateOperation.upsert_points(
                [edge.Point(point.id, point.vector or [], point.payload) for point in found]
            )
        )
    gone = set(ids) - {points.identity_of(point) for point in found}
    if gone:
        replacement.update(edge.UpdateOperation.delete_points(list(gone)))
