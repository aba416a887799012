"""Where the costly steps of clustering are done. There is no GPU: a stand-in for cuML answers from the CPU's libraries.

It takes what cuML's documentation says that it takes, so a wrong name is an error; whether the real one answers alike,
no test here can tell.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import hdbscan
import numpy as np
import pytest
import scipy.sparse
import sklearn.neighbors
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from shoal_server.adapters.umap_hdbscan import Ways, WorkerClusterer, worker
from shoal_server.adapters.umap_hdbscan.devices import NoGpu
from shoal_server.adapters.umap_hdbscan.group import density_tree
from shoal_server.adapters.umap_hdbscan.leading_search import among_components
from shoal_server.adapters.umap_hdbscan.neighbors import nearest_others
from shoal_server.adapters.umap_hdbscan.optimise import optimise
from shoal_server.adapters.umap_hdbscan.steps import ON_CPU
from shoal_server.domain.errors import MissingExtra
from shoal_server.domain.run import ClusteringDevice, RequestedParameters
from shoal_server.settings import Settings

# Importing umap says so, in the test that happens to be the first.
pytestmark = pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")

CUML_STEPS = "shoal_server.adapters.umap_hdbscan.cuml_steps"


class FakeNeighbors:
    """``cuml.neighbors.NearestNeighbors``: equally near ones come in any order."""

    def __init__(self, *, n_neighbors: int, algorithm: str, metric: str, output_type: str) -> None:
        assert (algorithm, metric, output_type) == ("brute", "cosine", "numpy")
        self._model = sklearn.neighbors.NearestNeighbors(n_neighbors=n_neighbors, algorithm="brute", metric="cosine")

    def fit(self, vectors: NDArray[np.float32]) -> FakeNeighbors:
        self._model.fit(vectors)
        return self

    def kneighbors(self, queries: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        distances, rows = self._model.kneighbors(queries)
        return distances.astype(np.float32), rows


class FakeHdbscan:
    """``cuml.cluster.HDBSCAN``: the edges of its tree come in any order."""

    def __init__(self, *, min_cluster_size: int, min_samples: int, gen_min_span_tree: bool, output_type: str) -> None:
        assert 1 <= min_samples <= 1023
        assert (gen_min_span_tree, output_type) == (True, "numpy")
        self._model = hdbscan.HDBSCAN(
            min_cluster_size=min_cluster_size, min_samples=min_samples, gen_min_span_tree=True, core_dist_n_jobs=1
        )

    def fit(self, points: NDArray[np.float32]) -> FakeHdbscan:
        self._model.fit(points.astype(np.float64))
        return self

    @property
    def minimum_spanning_tree_(self) -> Any:
        edges = self._model.minimum_spanning_tree_.to_numpy()
        return SimpleNamespace(to_numpy=lambda: edges[np.random.default_rng(0).permutation(len(edges))])


def fake_embedding(
    data: NDArray[np.float32],
    graph: scipy.sparse.csr_matrix,
    n_components: int,
    initial_alpha: float,
    a: float,
    b: float,
    n_epochs: int,
    init: NDArray[np.float32],
    random_state: int,
) -> NDArray[np.float32]:
    """``cuml.manifold.umap.simplicial_set_embedding``, of which the docstring has these arguments."""
    assert init.shape == (len(data), n_components)
    return optimise(graph, init, (a, b), n_epochs, initial_alpha, random_state, lambda _: None)


def module(name: str, **members: Any) -> ModuleType:
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    vars(made).update(members)
    return made


@pytest.fixture
def cuml(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int | Exception], None]]:
    """Makes a machine with cuML and so many GPUs, or with CUDA failing so."""

    def install(gpus: int | Exception) -> None:
        def count() -> int:
            if isinstance(gpus, Exception):
                raise gpus
            return gpus

        cuda = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=count))
        for each in (
            module("cupy", cuda=cuda),
            module("cuml"),
            module("cuml.cluster", HDBSCAN=FakeHdbscan),
            module("cuml.manifold"),
            module("cuml.manifold.umap", simplicial_set_embedding=fake_embedding),
            module("cuml.neighbors", NearestNeighbors=FakeNeighbors),
        ):
            monkeypatch.setitem(sys.modules, each.__name__, each)

    yield install
    # It holds on to the stand-in.
    sys.modules.pop(CUML_STEPS, None)


def groups(sizes: list[int], d: int = 24) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(5)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    vectors = rng.normal(size=(len(sizes), d))[truth] + 0.15 * rng.normal(size=(len(truth), d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), truth


def test_steps_on_a_gpu_answer_as_those_on_a_cpu(cuml: Callable[[int], None]) -> None:
    from shoal_server.adapters.umap_hdbscan.reduce import neighbor_graph

    cuml(1)
    steps = Ways(ClusteringDevice.GPU).steps()
    assert steps is not ON_CPU
    vectors, _ = groups([30, 20, 25])
    vectors[:4] = vectors[0]
    rows, similarities = steps.find_nearest(vectors, 7, 0)
    assert not (rows == np.arange(len(vectors))[:, None]).any()
    np.testing.assert_allclose(similarities, nearest_others(vectors, 7)[1], atol=1e-5)
    graph = neighbor_graph(rows, similarities, 8, seed=0)
    points = vectors[:, :3].copy()
    told: list[float] = []
    moved = steps.optimise(graph, points, (1.6, 0.9), 20, 1.0, 3, told.append, 2)
    np.testing.assert_array_equal(moved, optimise(graph, points, (1.6, 0.9), 20, 1.0, 3, lambda _: None))
    assert told == [0.0, 1.0]
    ours, theirs = steps.grow_tree(points, graph, 5), density_tree(points, graph, 5)
    np.testing.assert_allclose(ours.merges[:, 2], theirs.merges[:, 2])
    assert (np.diff(ours.spanning_tree[:, 2]) >= 0).all()
    # Many dimensions are not the GPU's: there, both go by the graph.
    wide = np.tile(vectors, 3)
    np.testing.assert_array_equal(steps.grow_tree(wide, graph, 5).merges, density_tree(wide, graph, 5).merges)


def test_groups_are_found_with_the_steps_of_a_gpu(cuml: Callable[[int], None]) -> None:
    from shoal_server.adapters.umap_hdbscan.pipeline import cluster_vectors

    cuml(1)
    vectors, truth = groups([40, 30, 50])
    parameters = RequestedParameters().complete(len(vectors))
    found = cluster_vectors(vectors, parameters, lambda *_: None, steps=Ways(ClusteringDevice.GPU).steps())
    assert adjusted_rand_score(truth, found.labels) > 0.95


def test_a_gpu_that_is_asked_for_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cuml", raising=False)
    if Ways(ClusteringDevice.AUTO).steps() is not ON_CPU:
        pytest.skip("cuML is installed, and has a GPU")
    with pytest.raises(MissingExtra, match=r"SHOAL_CLUSTERING_DEVICE=gpu.*shoal\[cuml\]"):
        WorkerClusterer(ways=Ways(ClusteringDevice.GPU))
    assert Ways(ClusteringDevice.CPU).steps() is ON_CPU


@pytest.mark.parametrize("gpus", [0, RuntimeError("cudaErrorNoDevice")])
def test_cuml_without_a_gpu(cuml: Callable[[int | Exception], None], gpus: int | Exception) -> None:
    cuml(gpus)
    assert Ways(ClusteringDevice.AUTO).steps() is ON_CPU
    wanted = Ways(ClusteringDevice.GPU)
    wanted.check()
    with pytest.raises(NoGpu, match=r"no GPU \(.*driver.*SHOAL_CLUSTERING_DEVICE to auto or cpu") as raised:
        wanted.steps()
    assert worker._problem(raised.value) == str(raised.value)


def test_cuml_is_taken_where_it_is_only_allowed(cuml: Callable[[int], None]) -> None:
    cuml(1)
    assert Ways(ClusteringDevice.AUTO).steps() is not ON_CPU
    assert Ways(ClusteringDevice.CPU).steps() is ON_CPU


def test_neighbours_among_components_have_their_exact_similarities() -> None:
    rng = np.random.default_rng(1)
    # Twelve directions bear nearly everything.
    vectors = rng.normal(size=(600, 12)) @ rng.normal(size=(12, 48)) + 0.02 * rng.normal(size=(600, 48))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    rows, similarities = among_components(nearest_others, 12)(vectors, 10, 0)
    exact, values = nearest_others(vectors, 10)
    assert np.mean([len(np.intersect1d(a, b)) for a, b in zip(rows, exact, strict=True)]) > 9.9
    np.testing.assert_allclose(similarities, np.einsum("ikd,id->ik", vectors[rows], vectors), atol=1e-5)
    assert (np.diff(similarities, axis=1) <= 0).all()
    assert not (rows == np.arange(600)[:, None]).any()
    whole = among_components(nearest_others, 48)(vectors, 10, 0)
    np.testing.assert_array_equal(whole[0], exact)
    np.testing.assert_array_equal(whole[1], values)


def test_a_few_images_have_few_candidates() -> None:
    vectors, _ = groups([3, 3])
    rows, _ = among_components(nearest_others, 8)(vectors, 5, 0)
    assert all(sorted([row, *others]) == list(range(6)) for row, others in enumerate(rows.tolist()))


def test_components_are_a_setting_and_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Settings().search_components, Settings().clustering_device) == (None, ClusteringDevice.CPU)
    assert Ways().steps() is ON_CPU
    assert Ways(search_components=8).steps().find_nearest is not ON_CPU.find_nearest
    monkeypatch.setenv("SHOAL_SEARCH_COMPONENTS", "128")
    monkeypatch.setenv("SHOAL_CLUSTERING_DEVICE", "auto")
    assert (Settings().search_components, Settings().clustering_device) == (128, ClusteringDevice.AUTO)
    monkeypatch.setenv("SHOAL_SEARCH_COMPONENTS", "none")
    assert Settings().search_components is None
