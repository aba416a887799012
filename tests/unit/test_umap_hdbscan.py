"""The steps by themselves where they are cheap, and the real worker process on small data."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import psutil
import pytest
import pytest_asyncio
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan import WorkerClusterer, neighbors
from shoal_server.adapters.umap_hdbscan import principal_axes as axes_module
from shoal_server.adapters.umap_hdbscan.distinct import distinct_rows
from shoal_server.adapters.umap_hdbscan.principal_axes import principal_axes
from shoal_server.application.ports import Before, ClusteringResult
from shoal_server.domain.errors import ClusteringFailed, ShuttingDown
from shoal_server.domain.identity import match_identities
from shoal_server.domain.run import ClusteringParameters, Reducer, RequestedParameters, RunStage

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIELDS = {
    "labels": "int64",
    "strengths": "float32",
    "coordinates": "float32",
    "reduced": "float32",
    "neighbor_rows": "int64",
    "neighbor_similarities": "float32",
}


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def blobs(sizes: list[int], dimension: int = 32) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Shuffled unit vectors around random directions, and which direction each is of."""
    rng = np.random.default_rng(7)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = rng.normal(size=(len(sizes), dimension))
    return unit(centres[truth] + 0.3 * rng.normal(size=(len(truth), dimension))), truth


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clusterer() -> AsyncIterator[WorkerClusterer]:
    clusterer = WorkerClusterer()
    await clusterer.start()
    yield clusterer
    await clusterer.aclose()


class Cluster:
    """Clusters vectors by way of a file and checks what must hold for any result."""

    def __init__(self, clusterer: WorkerClusterer, folder: Path) -> None:
        self.clusterer = clusterer
        self.path = folder / "vectors.npy"
        self.stages: list[tuple[RunStage, float]] = []

    async def __call__(
        self,
        vectors: NDArray[np.float32],
        parameters: ClusteringParameters | None = None,
        before: Before | None = None,
        sample: NDArray[np.int64] | None = None,
    ) -> ClusteringResult:
        n = len(vectors)
        np.save(self.path, vectors)
        parameters = parameters or RequestedParameters().complete(n)
        result = await self.clusterer.cluster(
            self.path, parameters, lambda *stage: self.stages.append(stage), before, sample
        )
        for name, shape in (("labels", (n,)), ("strengths", (n,)), ("coordinates", (n, 2))):
            assert getattr(result, name).shape == shape
        assert {name: getattr(result, name).dtype.name for name in FIELDS} == FIELDS
        assert len(result.reduced) == n
        assert np.isfinite(result.reduced).all()
        assert set(result.labels.tolist()) - {-1} == set(range(result.labels.max() + 1))
        assert ((result.strengths >= 0) & (result.strengths <= 1)).all()
        assert (result.strengths[result.labels == -1] == 0).all()
        assert np.isfinite(result.coordinates).all()
        assert result.neighbor_rows.shape == result.neighbor_similarities.shape
        assert names(self.path.parent) == [self.path.name]
        return result


@pytest.fixture
def cluster(clusterer: WorkerClusterer, tmp_path: Path) -> Cluster:
    return Cluster(clusterer, tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def kept_code() -> set[str]:
    """The compiled functions in numba's cache, as ``module.function``."""
    return {index.name.partition("-")[0] for index in Path(os.environ["NUMBA_CACHE_DIR"]).glob("*/*.nbi")}


def workers() -> list[BaseProcess]:
    return [process for process in multiprocessing.active_children() if process.name == "shoal-clusterer"]


def assert_groups(labels: NDArray[np.int64], truth: NDArray[np.int64], share: float = 0.97) -> None:
    """Each label stands for one truth and the other way round, and few images are noise."""
    clustered = labels >= 0
    assert clustered.mean() >= share
    pairs = set(zip(labels[clustered].tolist(), truth[clustered].tolist(), strict=True))
    assert len(pairs) == len({label for label, _ in pairs}) == len({one for _, one in pairs}) == len(set(truth))


def assert_identical(one: ClusteringResult, other: ClusteringResult) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert (one.parameters, one.trials, one.quality) == (other.parameters, other.trials, other.quality)


async def test_neighbours_are_exact_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = blobs([20, 20, 10])
    similarities = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(similarities, -np.inf)
    expected = np.argsort(-similarities, axis=1)[:, :7]
    for block in (1, 50 * 7, 1 << 24):
        monkeypatch.setattr(neighbors, "_BLOCK", block)
        rows, found = neighbors.nearest_others(vectors, 7)
        np.testing.assert_array_equal(rows, expected)
        np.testing.assert_allclose(found, np.take_along_axis(similarities, expected, axis=1), atol=1e-6)


async def test_a_row_is_not_its_own_neighbour_even_among_its_likes() -> None:
    same = unit(np.ones((5, 3)))
    rows, similarities = neighbors.nearest_others(same, 4)
    assert [sorted(others) for others in rows.tolist()] == [[i for i in range(5) if i != row] for row in range(5)]
    assert (similarities <= 1).all()
    np.testing.assert_allclose(similarities, 1, atol=1e-6)


async def test_identical_rows_are_found() -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 0], [1, 1e-7], [0, 1]], dtype=np.float32)
    first, kind_of = distinct_rows(vectors)
    assert first.tolist() == [0, 1, 3]
    assert kind_of.tolist() == [0, 1, 0, 2, 1]


async def test_principal_axes_are_ordered_by_spread() -> None:
    points = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32) * [1, 5, 0.1, 2]
    spread = principal_axes(points.astype(np.float32), 3).std(axis=0)
    assert (np.diff(spread) < 0).all()
    assert principal_axes(np.ones((1, 4), dtype=np.float32), 2).tolist() == [[0, 0]]


async def test_groups_are_found_and_a_second_time_the_same(cluster: Cluster) -> None:
    vectors, truth = blobs([60, 50, 50, 50, 50, 40])
    result = await cluster(vectors)
    assert_groups(result.labels, truth)
    rows, similarities = neighbors.nearest_others(vectors, 15)
    np.testing.assert_array_equal(result.neighbor_rows, rows)
    np.testing.assert_allclose(result.neighbor_similarities, similarities, atol=1e-6)
    assert_identical(result, await cluster(vectors))


async def test_what_was_compiled_for_it_is_kept_for_other_processes(cluster: Cluster) -> None:
    await cluster(blobs([20, 20])[0])
    assert kept_code() >= {
        "umap_.smooth_knn_dist",
        "umap_.compute_membership_strengths",
        "optimise._in_few_axes",
        "optimise._in_map_axes",
    }


async def test_stages_are_told_in_their_order(cluster: Cluster) -> None:
    vectors, _ = blobs([100, 100, 100])
    await cluster(vectors)
    stages = [stage for stage, _ in cluster.stages]
    assert list(dict.fromkeys(stages)) == [
        RunStage.NEIGHBORS,
        RunStage.REDUCING,
        RunStage.GROUPING,
        RunStage.MAPPING,
    ]
    for (stage, fraction), (next_stage, next_fraction) in pairwise(cluster.stages):
        assert next_fraction >= fraction if stage is next_stage else next_fraction == 0
    assert cluster.stages[-1] == (RunStage.MAPPING, 1.0)


async def test_what_was_left_open_is_told(cluster: Cluster) -> None:
    vectors, _ = blobs([60, 50, 50])
    result = await cluster(vectors)
    assert result.parameters.min_cluster_size is not None
    assert result.parameters.min_samples is not None
    assert result.trials
    assert set(result.quality) >= {"silhouette"}
    assert all(-1 <= figure <= 1 for figure in result.quality.values())


async def test_principal_axes_point_to_the_longer_tail() -> None:
    points = np.random.default_rng(0).exponential(size=(60, 4)).astype(np.float32) * np.array([1, 8, 3, 2], np.float32)
    axes = principal_axes(points, 4)
    assert ((axes**3).sum(axis=0) > 0).all()
    # A mirror image has its longer tails on the same side of its axes.
    np.testing.assert_allclose(principal_axes(-points, 4), axes, atol=1e-3)


@pytest.mark.parametrize("shape", [(40, 90), (90, 40)])
async def test_principal_axes_are_those_of_a_singular_value_decomposition(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    monkeypatch.setattr(axes_module, "_BLOCK", 1000)
    points = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    left, scales, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    found = principal_axes(points, 3)
    np.testing.assert_allclose(np.abs(found), np.abs(left[:, :3] * scales[:3]), atol=1e-3)


@pytest.mark.parametrize(("reducer", "dimensions"), [(Reducer.PCA, 4), (Reducer.NONE, 0)])
async def test_other_reducers_find_the_groups_and_draw_a_map(
    cluster: Cluster, reducer: Reducer, dimensions: int
) -> None:
    vectors, truth = blobs([60, 50, 40], dimension=8)
    parameters = RequestedParameters(reducer=reducer, n_components=4).complete(150)
    result = await cluster(vectors, parameters)
    assert result.reduced.shape == (150, dimensions)
    assert_groups(result.labels, truth, share=0.9)
    assert (np.ptp(result.coordinates, axis=0) > 1).all()
    again = await cluster(vectors, parameters, Before(result.labels, result.reduced))
    np.testing.assert_array_equal(again.labels, result.labels)


async def test_a_second_run_over_the_same_images_changes_nothing_and_hardly_moves_a_point(cluster: Cluster) -> None:
    vectors, _ = blobs([60, 50, 50, 50, 50, 40])
    first = await cluster(vectors)
    second = await cluster(vectors, before=Before(first.labels, first.reduced))
    np.testing.assert_array_equal(second.labels, first.labels)
    between_groups = np.linalg.norm(
        first.reduced[first.labels == 0].mean(axis=0) - first.reduced[first.labels == 1].mean(axis=0)
    )
    moved = np.linalg.norm(second.reduced - first.reduced, axis=1)
    assert np.median(moved) < 0.5 * between_groups


async def test_where_nothing_came_and_nothing_went_the_clusters_are_as_they_were(cluster: Cluster) -> None:
    vectors, _ = blobs([60, 50, 50])
    first = await cluster(vectors)
    # Whatever a person made of them.
    ids = np.where(first.labels == 1, 7, first.labels + 20)
    ids[:3] = [-1, 7, 30]
    known = Before(ids, first.reduced, first.parameters, unchanged=True)
    again = await cluster(vectors, before=known)
    pairs = set(zip(again.labels.tolist(), ids.tolist(), strict=True))
    assert len(pairs) == len(set(ids.tolist())) == 5
    np.testing.assert_array_equal(again.labels == -1, ids == -1)
    assert (again.strengths[3:] > 0).all()
    assert again.strengths[0] == 0


async def test_a_new_kind_is_a_new_cluster_and_all_others_stay(cluster: Cluster) -> None:
    vectors, truth = blobs([60, 50, 50, 50, 50, 40])
    old = truth != 4
    first = await cluster(vectors[old])
    ids = np.full(len(truth), -1)
    ids[old] = first.labels
    reduced = np.full((len(truth), first.reduced.shape[1]), np.nan, dtype=np.float32)
    reduced[old] = first.reduced
    result = await cluster(vectors, before=Before(ids, reduced))
    assert_groups(result.labels, truth)
    match = match_identities(ids, result.labels, next_id=5)
    assert (match.kept, match.born, match.dissolved) == ((0, 1, 2, 3, 4), (5,), ())


@pytest.mark.parametrize("dimensions", [5, 3, 0])
async def test_images_of_which_nothing_is_known_are_clustered_afresh(cluster: Cluster, dimensions: int) -> None:
    vectors, truth = blobs([30, 30, 30])
    unknown = Before(np.full(90, -1), np.full((90, dimensions), np.nan, dtype=np.float32))
    result = await cluster(vectors, before=unknown)
    assert_identical(result, await cluster(vectors))
    assert_groups(result.labels, truth)


async def test_identical_images_of_which_one_is_known_stay_in_its_cluster(cluster: Cluster) -> None:
    vectors, truth = blobs([40, 40, 40])
    first = await cluster(vectors)
    ids = np.concatenate([np.full(120, -1), first.labels + 7])
    reduced = np.concatenate([np.full_like(first.reduced, np.nan), first.reduced])
    result = await cluster(np.tile(vectors, (2, 1)), before=Before(ids, reduced))
    np.testing.assert_array_equal(result.labels[:120], result.labels[120:])
    assert_groups(result.labels[:120], truth)
    assert match_identities(ids, result.labels, next_id=10).dissolved == ()


@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
@pytest.mark.parametrize("identical", [0, 1])
async def test_vectors_are_not_held_twice_if_no_two_are_the_same(
    monkeypatch: pytest.MonkeyPatch, identical: int
) -> None:
    from shoal_server.adapters.umap_hdbscan import pipeline

    class Seen(Exception):
        """What would be grouped."""

    def see(kinds: NDArray[np.float32], *rest: object) -> None:
        raise Seen(kinds)

    monkeypatch.setattr(pipeline, "neighbor_graph", lambda *inputs: None)
    monkeypatch.setattr(pipeline, "leading_axes", see)
    vectors, _ = blobs([30, 30])
    vectors[:identical] = vectors[-1]
    with pytest.raises(Seen) as seen:
        pipeline.cluster_vectors(vectors, RequestedParameters(reducer=Reducer.NONE).complete(60), lambda *at: None)
    [kinds] = seen.value.args
    assert len(kinds) == 60 - identical
    assert (kinds is vectors) == (identical == 0)


async def test_what_is_known_of_other_images_is_refused(cluster: Cluster) -> None:
    vectors, _ = blobs([20, 20])
    with pytest.raises(ClusteringFailed, match="39 images does not go with 40 vectors"):
        await cluster(vectors, before=Before(np.zeros(39, dtype=np.int64), np.zeros((39, 5), dtype=np.float32)))


async def test_two_groups_are_two_clusters(cluster: Cluster) -> None:
    vectors, truth = blobs([20, 20])
    assert_groups((await cluster(vectors)).labels, truth)


async def test_duplicates_share_the_outcome(cluster: Cluster) -> None:
    vectors, truth = blobs([40, 40, 40])
    tripled, thrice = np.tile(vectors, (3, 1)), np.tile(truth, 3)
    result = await cluster(tripled)
    assert_groups(result.labels, thrice)
    for name in ("labels", "strengths", "coordinates"):
        first, second, third = np.split(getattr(result, name), 3)
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, third)


@pytest.mark.parametrize(("copies", "clusters"), [(12, 0), (4, -1)])
async def test_a_pile_of_identical_images_is_a_cluster_if_it_is_large_enough(
    cluster: Cluster, copies: int, clusters: int
) -> None:
    result = await cluster(unit(np.ones((copies, 8))), ClusteringParameters(5, 5, 5, 5, seed=1))
    assert set(result.labels.tolist()) == {clusters}


@pytest.mark.parametrize(
    ("n", "parameters"),
    [
        (10, RequestedParameters().complete(10)),
        (11, ClusteringParameters(2, 5, 2, 1, seed=1)),
        (12, ClusteringParameters(200, 100, 200, 10_000, seed=1)),
        (13, RequestedParameters().complete(13)),
        (17, ClusteringParameters(16, 2, 3, 10_000, seed=1)),
        (30, ClusteringParameters(2, 5, 5, 1, seed=1)),
    ],
)
async def test_few_images_are_no_trouble(cluster: Cluster, n: int, parameters: ClusteringParameters) -> None:
    vectors, _ = blobs([n - n // 2, n // 2])
    result = await cluster(vectors, parameters)
    assert result.neighbor_rows.shape == (n, min(n - 1, max(parameters.n_neighbors - 1, 15)))


async def test_a_sample_is_clustered_and_the_others_go_with_it(cluster: Cluster) -> None:
    vectors, truth = blobs([90, 80, 70])
    sample = np.arange(0, 240, 3)
    first = await cluster(vectors, sample=sample)
    assert_groups(first.labels, truth, share=0.9)
    assert [stage for stage, _ in cluster.stages if stage is RunStage.ASSIGNING]
    # The next run begins where this one ended, with another sample too.
    before = Before(first.labels, first.reduced, first.parameters)
    second = await cluster(vectors, before=before, sample=np.arange(1, 240, 3))
    both = (first.labels >= 0) & (second.labels >= 0)
    np.testing.assert_array_equal(second.labels[both], first.labels[both])


async def test_an_error_in_the_worker_costs_only_its_job(cluster: Cluster) -> None:
    vectors, truth = blobs([20, 20])
    before = workers()
    broken = vectors.copy()
    broken[3, 1] = np.nan
    with pytest.raises(ClusteringFailed, match="not finite"):
        await cluster(broken)
    with pytest.raises(ClusteringFailed, match="No such file"):
        await cluster.clusterer.cluster(
            cluster.path.with_name("gone.npy"), RequestedParameters().complete(40), lambda stage, fraction: None
        )
    assert_groups((await cluster(vectors)).labels, truth)
    assert workers() == before


async def test_a_cancelled_or_killed_job_costs_the_worker_and_the_next_gives_the_same(
    cluster: Cluster, tmp_path: Path
) -> None:
    vectors, _ = blobs([60, 50, 50, 50, 50, 40])
    expected = await cluster(vectors)

    large = tmp_path / "large.npy"
    np.save(large, unit(np.random.default_rng(0).normal(size=(20_000, 64))))
    begun = asyncio.Event()
    parameters = RequestedParameters().complete(20_000)
    job = asyncio.create_task(cluster.clusterer.cluster(large, parameters, lambda stage, fraction: begun.set()))
    await begun.wait()
    started = time.monotonic()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert time.monotonic() - started < 2
    assert workers() == []
    assert names(tmp_path) == ["large.npy", "vectors.npy"]

    job = asyncio.create_task(cluster.clusterer.cluster(large, parameters, lambda stage, fraction: None))
    while not workers():
        await asyncio.sleep(0.01)
    os.kill(workers()[0].pid or 0, signal.SIGKILL)
    with pytest.raises(ClusteringFailed, match=r"ended by SIGKILL.*ran out of memory: give the machine more"):
        await job
    large.unlink()

    assert_identical(await cluster(vectors), expected)


async def test_a_worker_that_gets_no_more_memory_says_so(cluster: Cluster) -> None:
    vectors, truth = blobs([20, 20])
    assert_groups((await cluster(vectors)).labels, truth)
    [worker] = workers()
    if worker.pid is None or not hasattr(resource, "prlimit"):
        pytest.skip("this system does not limit another process's memory")
    size = psutil.Process(worker.pid).memory_info().vms
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (size + 32 * 2**20, resource.RLIM_INFINITY))
    large = np.lib.format.open_memmap(cluster.path, mode="w+", dtype=np.float32, shape=(20_000, 1024))
    del large
    with pytest.raises(ClusteringFailed, match=r"ran out of memory .*: give the machine more"):
        await cluster.clusterer.cluster(
            cluster.path, RequestedParameters().complete(20_000), lambda stage, fraction: None
        )
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert_groups((await cluster(vectors)).labels, truth)


@pytest.mark.parametrize("stage", [RunStage.REDUCING, RunStage.GROUPING, RunStage.MAPPING])
async def test_a_job_can_be_cancelled_in_every_stage(cluster: Cluster, stage: RunStage) -> None:
    np.save(cluster.path, blobs([300, 300, 300])[0])
    reached = asyncio.Event()

    def on_stage(now: RunStage, fraction: float) -> None:
        if now is stage:
            reached.set()

    before = Before(np.full(900, -1), np.zeros((900, 0), dtype=np.float32))
    job = asyncio.create_task(
        cluster.clusterer.cluster(cluster.path, RequestedParameters().complete(900), on_stage, before)
    )
    await reached.wait()
    started = time.monotonic()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert time.monotonic() - started < 2
    assert workers() == []
    assert names(cluster.path.parent) == [cluster.path.name]


async def test_after_closing_there_is_no_process_and_no_more_work(tmp_path: Path) -> None:
    clusterer = WorkerClusterer()
    before = workers()
    await clusterer.start()
    assert len(workers()) == len(before) + 1
    await clusterer.aclose()
    await clusterer.aclose()
    assert workers() == before
    with pytest.raises(ShuttingDown):
        await clusterer.cluster(tmp_path / "vectors.npy", RequestedParameters().complete(40), lambda *stage: None)


PARENT = """
import asyncio
from shoal_server.adapters.umap_hdbscan import WorkerClusterer

async def main() -> None:
    await WorkerClusterer().start()
    print("started", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_parent_that_is_killed_leaves_no_orphan() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PARENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"started\n"
    parent.kill()
    # The worker inherits its parent's output, which ends when the last of them has let go of it.
    _, complaints = await asyncio.wait_for(parent.communicate(), timeout=20)
    assert complaints == b""
