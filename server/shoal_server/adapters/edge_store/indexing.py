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
from collections.abc import Coroutine, Sequence
from pathlib import Path
from uuid import UUID

import qdrant_edge as edge

from shoal_server.adapters.edge_store import points, room
from shoal_server.adapters.edge_store.engine import Engine
from shoal_server.adapters.edge_store.room import Room

_log = logging.getLogger(__name__)

_BLOCK = 1 << 20
_REPLAY_BATCH = 256
_BYTES_PER_NUMBER = 4


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
        self._wanted: set[Path] = set()
        self._one_at_a_time = asyncio.Lock()

    def request(self, collection: Room) -> None:
        """Builds the index of a collection soon; a request during a build leads to one more."""
        folder = collection.folder
        self._wanted.add(folder)
        running = self._tasks.get(folder)
        if running is None or running.done():
            task = asyncio.create_task(self._build_while_wanted(collection), name=f"index {folder.name}")
            self._tasks[folder] = task
            task.add_done_callback(lambda done: self._ended(folder, done))

    async def stop(self, collection: Room) -> None:
        """Stops the build of a collection's index, if there is one; the collection stays as it is."""
        self._wanted.discard(collection.folder)
        task = self._tasks.get(collection.folder)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

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
            self._wanted.discard(collection.folder)
            async with self._one_at_a_time:
                if await self._engine.run(lambda: self._worthwhile(collection)):
                    await self._build(collection)
                    _log.info("built the search index of collection %s", collection.folder.name)

    def _worthwhile(self, collection: Room) -> bool:
        info = collection.images.info()
        unindexed = info.points_count - info.indexed_vectors_count
        return unindexed * collection.record.model.dimension * _BYTES_PER_NUMBER >= self._threshold_kb * 1024

    async def _build(self, collection: Room) -> None:
        copy = collection.folder / room.NEW_IMAGES
        try:
            async with collection.writing:
                await self._engine.run(lambda: _begin_copy(collection))
                await _finished(asyncio.to_thread(_copy_sparse, collection.folder / room.IMAGES, copy))
            await _run_worker(copy, collection.record.model.dimension, self._threshold_kb)
            async with collection.writing:
                await self._replace(collection, copy)
        finally:
            await self._engine.run(lambda: _end_copy(collection, copy))

    async def _replace(self, collection: Room, copy: Path) -> None:
        replacement = await self._engine.run(lambda: edge.EdgeShard.load(str(copy)))
        touched = sorted(collection.touched or ())
        for start in range(0, len(touched), _REPLAY_BATCH):
            ids = touched[start : start + _REPLAY_BATCH]
            await self._replay(collection, replacement, ids)
        await self._engine.run(lambda: room.swap_images(collection, replacement))

    async def _replay(self, collection: Room, replacement: edge.EdgeShard, ids: Sequence[UUID]) -> None:
        await self._engine.run(lambda: _copy_points(collection.images, replacement, ids))


async def _finished(work: Coroutine[None, None, None]) -> None:
    """Awaits work in a thread to its end even if cancelled: the thread cannot be stopped and would be in the way."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    finally:
        await asyncio.wait([task])


def _begin_copy(collection: Room) -> None:
    collection.images.flush()
    collection.unflushed = 0
    collection.touched = set()


def _end_copy(collection: Room, copy: Path) -> None:
    collection.touched = None
    shutil.rmtree(copy, ignore_errors=True)


def _copy_sparse(source: Path, target: Path) -> None:
    """Copies a folder; blocks of zeros become holes, of which the engine's preallocated files mostly consist."""
    zeros = bytes(_BLOCK)
    for path in sorted(source.rglob("*")):
        to = target / path.relative_to(source)
        if path.is_dir():
            to.mkdir(parents=True)
            continue
        to.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as reader, to.open("wb") as writer:
            while block := reader.read(_BLOCK):
                if block == zeros[: len(block)]:
                    writer.seek(len(block), 1)
                else:
                    writer.write(block)
            writer.truncate()


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
