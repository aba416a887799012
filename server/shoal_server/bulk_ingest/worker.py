"""A worker: a process of Ray that stores the files it is given."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pyarrow as pa

from shoal_server.application.bulk_ingest import BulkIngest, Fate, ListedFile, Told
from shoal_server.application.ingest import Options
from shoal_server.bulk_ingest.registry import RegistryClaims
from shoal_server.bulk_ingest.rows import files_in, told
from shoal_server.domain.errors import OtherVersion, ShoalError, WorkerFailed
from shoal_server.settings import Settings

#: Seconds that a worker takes to leave at most; the others notice by themselves that it is gone.
_LEAVE_S = 10.0


@dataclass(frozen=True, slots=True)
class Job:
    """What all workers are to do.

    Attributes:
        settings: a server's.
        collection: where to.
        options: how.
        reads: files that each reads at once.
        shoal: version of the machine that the command was given on.
    """

    settings: Settings
    collection: str
    options: Options
    reads: int
    shoal: str


class Worker:
    """Takes tables of files and returns tables of what became of them; several threads may call it.

    What is wrong with all files, such as a model that is not the collection's, does not end it, for Ray would start it
    again: every file is answered with it.
    """

    def __init__(self, job: Job, registry: Any) -> None:
        """Args:
        job: what to do.
        registry: Ray's handle of the claims.
        """
        self._job = job
        self._registry = registry
        # An extra: without it this module can be imported all the same.
        import ray

        self._id = str(ray.get_runtime_context().get_actor_id())
        registry.come.remote(self._id)
        self._ingest: BulkIngest | None = None
        self._problem: ShoalError | None = None
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._leaving = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="shoal-worker", daemon=True)
        self._thread.start()
        self._ready.wait()

    def __call__(self, files: pa.Table) -> pa.Table:
        """What became of the files of a table, in their order."""
        listed = list(files_in(files))
        if self._ingest is None or not self._thread.is_alive():
            problem = self._problem or WorkerFailed("it has ended")
            return told(Told(file, Fate.HALTED, problem) for file in listed)
        results = asyncio.run_coroutine_threadsafe(_all(self._ingest, listed), self._loop).result()
        return told(results)

    def __del__(self) -> None:
        """Ray drops it when there is nothing left to do."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._leaving.set)
            self._thread.join(_LEAVE_S)

    def _run(self) -> None:
        try:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(self._live())
        except BaseExceptionGroup as group:
            self._fail(group.exceptions[0])
        except BaseException as error:  # noqa: BLE001 - told with every file
            self._fail(error)
        finally:
            self._ready.set()
            self._registry.go.remote(self._id)

    async def _live(self) -> None:
        if version("shoal") != self._job.shoal:
            raise OtherVersion(self._job.shoal, version("shoal"))
        # As in a server; read when torch is imported, which is below.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        sys.setswitchinterval(0.0005)
        from shoal_server.bootstrap.bulk import bulk_ingesting

        job, claims = self._job, RegistryClaims(self._registry)
        async with bulk_ingesting(job.settings, job.collection, claims, job.options, job.reads) as ingest:
            await ingest.prepare(secrets.randbits(62))
            self._ingest = ingest
            self._ready.set()
            await self._leaving.wait()

    def _fail(self, error: BaseException) -> None:
        self._ingest = None
        self._problem = error if isinstance(error, ShoalError) else _unexpected(error)


async def _all(ingest: BulkIngest, files: Sequence[ListedFile]) -> list[Told]:
    return list(await asyncio.gather(*(_one(ingest, file) for file in files)))


async def _one(ingest: BulkIngest, file: ListedFile) -> Told:
    try:
        return await ingest(file)
    except Exception as error:  # noqa: BLE001 - one bad file fails alone
        return Told(file, Fate.FAILED, _unexpected(error))


def _unexpected(error: BaseException) -> WorkerFailed:
    return WorkerFailed(f"{type(error).__name__}: {error}")
