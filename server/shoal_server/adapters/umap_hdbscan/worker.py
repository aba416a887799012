"""The worker process: clusters one file after another until its parent closes the pipe or dies.

Importing this module is cheap; what is slow to import is imported in the worker only.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
import warnings
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from shoal_server.adapters.umap_hdbscan.devices import NoGpu, Ways
from shoal_server.application.ports import Before
from shoal_server.application.vector_file import VectorFile
from shoal_server.domain.full_disk import is_full
from shoal_server.domain.run import ClusteringParameters, RunStage, Trial

if TYPE_CHECKING:
    from shoal_server.adapters.umap_hdbscan.steps import Steps

#: What to do where there was too little memory.
MORE_MEMORY = "give the machine more, or stop what else uses it, and run it again"

#: How much the worker stands back for the server, on the scale of ``nice``.
_NICENESS = 10


@dataclass(frozen=True, slots=True)
class Job:
    """What the parent sends.

    Attributes:
        vectors: a ``.npy`` file, float32 (n, dimension).
        folder: where the arrays of ``before`` lie, and where the result's are left.
        parameters: how to cluster.
        before: what is known of the run before, its arrays left empty; None: nothing.
        sampled: only some rows are to be clustered; which, lies in the folder.
    """

    vectors: Path
    folder: Path
    parameters: ClusteringParameters
    before: Before | None
    sampled: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """What the worker sends while it works."""

    stage: RunStage
    fraction: float


@dataclass(frozen=True, slots=True)
class Done:
    """What the worker sends when every array of the result is in its file: what is not an array."""

    parameters: ClusteringParameters
    trials: tuple[Trial, ...]
    quality: dict[str, float]


@dataclass(frozen=True, slots=True)
class Failed:
    """What the worker sends instead of :class:`Done`."""

    problem: str
    traceback: str


#: Files of a result, named after the fields of ``ClusteringResult``.
RESULT_ARRAYS = ("labels", "strengths", "coordinates", "reduced", "neighbor_rows", "neighbor_similarities")
#: Files of what is known of the run before, named after the fields of ``Before``.
BEFORE_ARRAYS = ("cluster_ids", "reduced")


def before_file(folder: Path, name: str) -> Path:
    """Where an array of ``Before`` lies in a job's folder."""
    return folder / f"before_{name}.npy"


def sample_file(folder: Path) -> Path:
    """Where the rows to cluster lie in a job's folder."""
    return folder / "sample.npy"


def result_file(folder: Path, name: str) -> Path:
    """Where an array of ``ClusteringResult`` lies in a job's folder."""
    return folder / f"{name}.npy"


def main(connection: Connection, numba_cache: Path | None, ways: Ways) -> None:
    """Entry point of the process.

    Args:
        connection: to the parent; jobs come in, everything else goes out.
        numba_cache: folder that compiled code is kept in; None leaves it to numba.
        ways: how the costly steps are done.
    """
    threading.Thread(target=_die_with_parent, daemon=True).start()
    # Ctrl-C reaches the whole process group; the parent decides what becomes of its worker.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    # One thread: numba's parallel sums depend on the number of threads in their last bits, and so would the clusters.
    os.environ["NUMBA_NUM_THREADS"] = "1"
    if numba_cache is not None:
        os.environ.setdefault("NUMBA_CACHE_DIR", str(numba_cache))
    # What UMAP and scikit-learn warn of (seeds, small graphs, no TensorFlow) is known and meant.
    warnings.simplefilter("ignore")
    try:
        steps = ways.steps()
        _warm_up(steps)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent tells it
        connection.send(_failed(error))
        return
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            done = _work(job, connection, steps)
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent tells it
            connection.send(_failed(error))
        else:
            connection.send(done)


def _die_with_parent() -> None:
    """Waits for the parent's end, however it comes; works while the main thread computes."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
    os._exit(1)


def _warm_up(steps: Steps) -> None:
    """Imports what is slow to import, and compiles what is slow to compile or finds it compiled."""
    from shoal_server.adapters.umap_hdbscan.compiled import keep_compiled
    from shoal_server.adapters.umap_hdbscan.pipeline import cluster_vectors

    keep_compiled()
    vectors = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cluster_vectors(vectors, ClusteringParameters(15, 5, 5, 5, seed=0), lambda stage, fraction: None, steps=steps)


def _work(job: Job, connection: Connection, steps: Steps) -> Done:
    from shoal_server.adapters.umap_hdbscan.pipeline import cluster_vectors
    from shoal_server.adapters.umap_hdbscan.sampled import cluster_sampled

    before = job.before
    if before is not None:
        before = replace(before, **{name: np.load(before_file(job.folder, name)) for name in BEFORE_ARRAYS})

    def on_stage(stage: RunStage, fraction: float) -> None:
        connection.send(Progress(stage, fraction))

    cluster = partial(cluster_vectors, steps=steps)
    if job.sampled:
        sample = np.load(sample_file(job.folder))
        result = cluster_sampled(VectorFile(job.vectors), sample, job.parameters, on_stage, before, cluster)
    else:
        result = cluster(np.load(job.vectors), job.parameters, on_stage, before)
    for name in RESULT_ARRAYS:
        np.save(result_file(job.folder, name), getattr(result, name))
    return Done(result.parameters, result.trials, dict(result.quality))


def _failed(error: Exception) -> Failed:
    return Failed(_problem(error), traceback.format_exc())


def _problem(error: Exception) -> str:
    """What happened, for people."""
    if isinstance(error, MemoryError):
        return f"the worker process ran out of memory ({error}): {MORE_MEMORY}"
    if isinstance(error, OSError) and is_full(error):
        return "there is no space left for its temporary files: make room and run it again"
    if isinstance(error, NoGpu):
        return str(error)
    return f"{type(error).__name__}: {error}"
