"""Lists files, hands them to the workers of a Ray cluster, and tells what became of them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from pydantic import ValidationError

from shoal_server.adapters.located_files import find_files
from shoal_server.application.bulk_ingest import ListedFile
from shoal_server.application.ingest import Options
from shoal_server.domain.errors import InvalidField, MissingExtra, ShoalError, WorkerFailed
from shoal_server.domain.image import OnNearDuplicate
from shoal_server.settings import Settings, problems_of

#: Files in a task of a worker: enough that several can be read at once, few enough that all workers end together.
_LEAST, _MOST = 16, 1024
#: Tasks for each worker, where there are files enough.
_TASKS = 32
#: Tasks of one worker at once: while the last images of one are stored, those of the next are read.
_AT_ONCE = 2
#: Seconds that the workers get to leave.
_LEAVE_S = 5.0
#: Where nobody says how many workers: each has the model in memory.
_MOST_BY_ITSELF = 8


def find(url: str, suffixes: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The files that a URL means.

    Args:
        url: of a file, of a folder, or a pattern.
        suffixes: of the files to take from folders.

    Yields:
        ``{"url": ..., "taken": bool}`` for each file, or ``{"reason": ..., "message": ...}`` for what is wrong.
    """
    try:
        for found, taken in find_files(url, frozenset(suffixes)):
            yield {"url": found, "taken": taken}
    except ShoalError as error:
        yield _record(error)


def ingest(files: Iterable[Mapping[str, Any]], manner: Mapping[str, Any]) -> Generator[dict[str, Any], None, None]:
    """Stores files with several workers, and tells what became of each as soon as it is known.

    Args:
        files: each with ``location`` (an absolute path, or a URL), ``uri``, ``tags`` and ``attributes``.
        manner: ``collection``, ``drop_location``, ``near_duplicates`` (what the user said, or None), ``workers`` (or
            None), ``gpus`` (of each), ``reads`` (at once, of each), ``address`` (of a cluster, or None for this
            machine).

    Yields:
        What :func:`~shoal_server.bulk_ingest.rows.records_of` says; the last one has ``fate`` ``halted`` if it ended
        before all files were tried. Closed before its end, it ends the workers; what is stored is kept.
    """
    try:
        yield from _ingest([_file(number, each) for number, each in enumerate(files)], manner)
    except ShoalError as error:
        yield {"fate": "halted", **_record(error)}
    except ValidationError as error:
        yield {"fate": "halted", "reason": "INVALID_FIELD", "message": "; ".join(problems_of(error)), "metadata": {}}


def _ingest(files: Sequence[ListedFile], manner: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    from shoal_server.bulk_ingest.rows import listed, records_of
    from shoal_server.bulk_ingest.worker import Job, Worker

    # What only a server needs is not asked for.
    settings = Settings(listen="127.0.0.1:0", http_listen=None)
    _check_shared(settings)
    job = Job(settings, manner["collection"], _options(manner, settings), manner["reads"], version("shoal"))
    with _cluster(manner["address"], manner["workers"]) as ray:
        from ray.data import ActorPoolStrategy, from_arrow

        from shoal_server.bulk_ingest.registry import Registry

        gpus: float = manner["gpus"]
        workers: int = manner["workers"] or _workers(ray.cluster_resources(), gpus)
        if manner["address"] is None and (there := ray.cluster_resources().get("GPU", 0)) < workers * gpus:
            raise InvalidField("--ray-gpus", f"{workers} workers with {gpus:g} each need more than the {there:g} here")
        registry = ray.remote(Registry).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
        stretch = min(max(len(files) // (workers * _TASKS), _LEAST), _MOST)
        told = from_arrow(
            [listed(files[start : start + stretch]) for start in range(0, len(files), stretch)]
        ).map_batches(
            Worker,
            fn_constructor_args=(job, registry),
            # A task is a stretch of the list, and all of it is under way at once.
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(
                size=workers, max_concurrent_calls_per_actor=_AT_ONCE, enable_true_multi_threading=True
            ),
            num_cpus=1,
            num_gpus=gpus,
        )
        try:
            for table in told.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                for record in records_of(table):
                    yield record
                    if record["fate"] == "halted":
                        return
            _wait_for_leave(ray, registry)
        except ray.exceptions.RayError as error:
            raise _ended(error) from error


@contextmanager
def _cluster(address: str | None, workers: int | None) -> Iterator[Any]:
    """Ray, joined or begun on this machine, and left at the end.

    Raises:
        MissingExtra: it is not installed.
        InvalidField: no cluster answers at the address.
    """
    # Read when Ray is imported and when it begins: nothing is sent to anybody, and nothing printed.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise MissingExtra("ingesting with --ray", "ray") from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        with _without_stderr():
            if address is None:
                # More workers than cores are of use where files come slowly.
                ray.init("local", num_cpus=max(os.cpu_count() or 1, workers or 0), include_dashboard=False, **quiet)
            else:
                ray.init(address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InvalidField("--ray-address" if address else "--ray", f"Ray cannot be reached: {error}") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Ray's core, which is no Python, says there how much it will say; what goes wrong it raises."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_shared(settings: Settings) -> None:
    """Refuses stores that only one process can have.

    Raises:
        InvalidField: the settings name one.
    """
    if settings.qdrant_url is None:
        raise InvalidField(
            "SHOAL_QDRANT_URL",
            "it is not set, and the store of a data folder belongs to one process; name a Qdrant server (`shoal "
            "migrate --data DIR --to URL` moves a folder there), or ingest without --ray",
        )
    if settings.files_url is None:
        raise InvalidField(
            "SHOAL_FILES_URL",
            "it is not set, and the thumbnails of several workers have to be where all of them and the servers find "
            "them: name file:///FOLDER, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX, here and for the servers",
        )


def _wait_for_leave(ray: Any, registry: Any) -> None:
    """Lets the workers tell the servers that they are no more; a server waits a while for those that did not."""
    until = time.monotonic() + _LEAVE_S
    while ray.get(registry.workers.remote()) and time.monotonic() < until:
        time.sleep(0.05)


def _ended(error: Exception) -> WorkerFailed:
    """Ray's error, of which the last line says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return WorkerFailed(
        f"{lines[-1][:500]} (is the same Shoal, with the extras server and ray, on every machine of the cluster?)"
    )


def _workers(resources: Mapping[str, float], gpus: float) -> int:
    """How many, where nobody says: as many as the GPUs carry, or one for each core up to a few."""
    if gpus:
        return max(int(resources.get("GPU", 0) / gpus), 1)
    return max(min(int(resources.get("CPU", 1)), _MOST_BY_ITSELF), 1)


def _options(manner: Mapping[str, Any], settings: Settings) -> Options:
    """Raises:
    InvalidField: near-duplicates are to be looked for.
    """
    said = manner["near_duplicates"]
    near_duplicates = settings.near_duplicates if said is None else OnNearDuplicate(said)
    if near_duplicates is not OnNearDuplicate.KEEP:
        raise InvalidField(
            "--near-duplicates" if said is not None else "SHOAL_NEAR_DUPLICATES",
            f"workers that store at the same time cannot {near_duplicates.value} what looks alike; say "
            "--near-duplicates keep, and find them with `shoal duplicates` when all is stored",
        )
    return Options(drop_location=manner["drop_location"], near_duplicates=near_duplicates)


def _file(number: int, said: Mapping[str, Any]) -> ListedFile:
    return ListedFile(number, said["location"], said["uri"], tuple(said["tags"]), dict(said["attributes"]))


def _record(error: ShoalError) -> dict[str, Any]:
    return {"reason": error.reason, "message": error.message, "metadata": dict(error.metadata)}
