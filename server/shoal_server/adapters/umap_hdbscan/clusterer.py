"""The parent's side of the worker process."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import multiprocessing
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan import worker
from shoal_server.adapters.umap_hdbscan.devices import Ways
from shoal_server.application.ports import Before, ClusteringResult
from shoal_server.domain.errors import ClusteringFailed, MissingExtra, ShuttingDown
from shoal_server.domain.run import ClusteringParameters, Method, RunStage

_log = logging.getLogger(__name__)

#: What most likely ended a worker process, and what to do.
_HINTS = {
    "SIGKILL": f", most likely because the machine ran out of memory: {worker.MORE_MEMORY}",
    "SIGABRT": f", which libraries do that run out of memory: {worker.MORE_MEMORY}",
    "SIGBUS": ", most likely because the disk is full: make room and run it again",
}


@dataclass(frozen=True, slots=True)
class _Worker:
    process: SpawnProcess
    connection: Connection


class WorkerClusterer:
    """A ``Clusterer``: UMAP and HDBSCAN in a process of its own, which is kept warm; one job at a time.

    The process is spawned, never forked (gRPC does not survive a fork), runs at low priority, and ends with its parent.
    A job that is cancelled or that brings the process down costs the process; the next job gets a fresh one.
    """

    def __init__(self, numba_cache: Path | None = None, ways: Ways = Ways()) -> None:  # noqa: B008 - it is frozen
        """Starts nothing yet.

        Args:
            numba_cache: folder for compiled code, kept between starts, unless the environment names one in
                NUMBA_CACHE_DIR; None leaves the place to numba, which needs the installed packages or the user's home
                to be writable.
            ways: how the costly steps are done.

        Raises:
            MissingExtra: they are to be done on a GPU, and what works on one is not installed.
        """
        ways.check()
        self._ways = ways
        self._numba_cache = numba_cache
        self._lock = asyncio.Lock()
        self._worker: _Worker | None = None
        self._closed = False
        #: How often the process ended without having been asked to.
        self.deaths = 0

    async def start(self) -> None:
        """Starts the process, which then warms itself up; without this, the first job does so and waits for it."""
        async with self._lock:
            await self._living_worker()

    async def cluster(
        self,
        vectors: Path,
        parameters: ClusteringParameters,
        on_stage: Callable[[RunStage, float], None],
        before: Before | None = None,
        sample: NDArray[np.int64] | None = None,
    ) -> ClusteringResult:
        """See ``Clusterer``; waits its turn while another job is under way.

        Raises:
            ClusteringFailed: the worker raised an error or died.
            MissingExtra: the method needs a package that is not installed.
            ShuttingDown: after :meth:`aclose`.
        """
        if parameters.method is Method.EVOC and importlib.util.find_spec("evoc") is None:
            raise MissingExtra("the clustering method 'evoc'", "evoc")
        async with self._lock:
            living = await self._living_worker()
            with tempfile.TemporaryDirectory(prefix="job-", dir=vectors.parent, ignore_cleanup_errors=True) as name:
                folder = Path(name)
                job = worker.Job(vectors, folder, parameters, None if before is None else _without_arrays(before))
                if before is not None:
                    await asyncio.to_thread(_save, folder, before)
                if sample is not None:
                    await asyncio.to_thread(np.save, worker.sample_file(folder), sample)
                    job = replace(job, sampled=True)
                try:
                    done = await self._follow(living, job, on_stage)
                except ClusteringFailed:
                    raise
                except BaseException:
                    # Cancelled, most likely: the worker is busy with what nobody waits for.
                    await self._kill()
                    raise
                return await asyncio.to_thread(_load, folder, done)

    async def aclose(self) -> None:
        """Ends the process; a job under way fails."""
        self._closed = True
        await self._kill()

    async def _living_worker(self) -> _Worker:
        if self._worker is not None and not self._worker.process.is_alive():
            self.deaths += 1
            await self._kill()
        if self._closed:
            raise ShuttingDown
        if self._worker is None:
            # Not in a thread: it takes milliseconds, and a cancelled thread would leave a process that nobody knows of.
            self._worker = self._spawn()
        return self._worker

    def _spawn(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=worker.main, args=(theirs, self._numba_cache, self._ways), name="shoal-clusterer", daemon=True
        )
        process.start()
        # Only if nobody else holds the other end does its death end our waiting.
        theirs.close()
        return _Worker(process, ours)

    async def _follow(
        self, living: _Worker, job: worker.Job, on_stage: Callable[[RunStage, float], None]
    ) -> worker.Done:
        """Hands a job over and passes progress on until it is done."""
        await self._exchange(living, lambda: living.connection.send(job))
        while True:
            match await self._exchange(living, living.connection.recv):
                case worker.Progress(stage, fraction):
                    on_stage(stage, fraction)
                case worker.Failed(problem, traceback):
                    _log.error("the clustering worker raised an error\n%s", traceback)
                    raise ClusteringFailed(problem)
                case worker.Done() as done:
                    return done

    async def _exchange(self, living: _Worker, call: Callable[[], object]) -> object:
        """Uses the pipe off the event loop."""
        try:
            return await asyncio.to_thread(call)
        except (EOFError, OSError) as error:
            self.deaths += not self._closed
            await self._kill()
            raise ClusteringFailed(_epitaph(living.process.exitcode)) from error

    async def _kill(self) -> None:
        """Ends the process, if there is one; it has nothing to save."""
        if self._worker is None:
            return
        process, self._worker = self._worker.process, None
        process.kill()
        await asyncio.shield(asyncio.to_thread(process.join))


def _epitaph(exit_code: int | None) -> str:
    """What a worker died of, for people."""
    if exit_code is None or exit_code >= 0:
        return f"the worker process ended with exit code {exit_code}"
    name = signal.Signals(-exit_code).name
    hint = _HINTS.get(name, "; the server's log may say more")
    return f"the worker process was ended by {name}{hint}"


def _without_arrays(before: Before) -> Before:
    """What goes through the pipe; the arrays go by way of the folder."""
    return replace(before, cluster_ids=np.zeros(0, np.int64), reduced=np.zeros((0, 0), np.float32))


def _save(folder: Path, before: Before) -> None:
    for name in worker.BEFORE_ARRAYS:
        np.save(worker.before_file(folder, name), getattr(before, name))


def _load(folder: Path, done: worker.Done) -> ClusteringResult:
    arrays = {name: np.load(worker.result_file(folder, name)) for name in worker.RESULT_ARRAYS}
    return ClusteringResult(**arrays, parameters=done.parameters, trials=done.trials, quality=done.quality)
