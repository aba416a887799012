"""Groups by every method, with and without a search, on points made for the purpose."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan import count_search, density_search, evoc_search
from shoal_server.adapters.umap_hdbscan.candidates import Candidate, best_of, flaw_of
from shoal_server.adapters.umap_hdbscan.methods import silhouette
from shoal_server.adapters.umap_hdbscan.search import Groups, choose_groups
from shoal_server.domain.run import ClusteringParameters, Granularity, Method, usual_cluster_size

DEFAULT = ClusteringParameters(12, 5, None, None, seed=1)
METHODS = [method for method in Method if method is not Method.EVOC]  # that one is optional: see below


class Scene:
    """Points in a reduced space, the vectors they stand for and the graph of their neighbours."""

    def __init__(self, sizes: list[int], centres: NDArray[np.float64], spread: float, noise: int = 0) -> None:
        rng = np.random.default_rng(11)
        truth = np.concatenate([np.repeat(np.arange(len(sizes)), sizes), np.full(noise, -1)])
        self.truth = rng.permutation(truth)
        n, r = len(truth), centres.shape[1]
        points = centres[self.truth] + spread * rng.normal(size=(n, r))
        wide = float(np.abs(centres).max()) + 3
        points[self.truth < 0] = rng.uniform(-wide, wide, size=(noise, r))
        self.points = points.astype(np.float32)
        vectors = self.points @ rng.normal(size=(r, 24)) + 0.01 * rng.normal(size=(n, 24))
        self.vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        distances = np.linalg.norm(points[:, None] - points, axis=2)
        np.fill_diagonal(distances, np.inf)
        columns = np.argsort(distances, axis=1)[:, : min(11, n - 1)]
        rows = np.repeat(np.arange(n), columns.shape[1])
        graph = scipy.sparse.csr_matrix((np.full(rows.size, 0.5), (rows, columns.ravel())), (n, n))
        self.graph = scipy.sparse.csr_matrix(graph.maximum(graph.T))

    def groups(self, parameters: ClusteringParameters = DEFAULT, usual: int | None = None) -> Groups:
        """Checks what must hold for any outcome."""
        told: list[float] = []
        found = choose_groups(self.points, self.vectors, self.graph, parameters, told.append, usual)
        n = len(self.points)
        assert found.labels.shape == found.strengths.shape == (n,)
        assert (found.labels.dtype.name, found.strengths.dtype.name) == ("int64", "float32")
        assert set(found.labels.tolist()) - {-1} == set(range(found.labels.max() + 1))
        assert ((found.strengths >= 0) & (found.strengths <= 1)).all()
        assert (found.strengths[found.labels < 0] == 0).all()
        assert told[-1] == 1.0
        assert all(0 <= one <= later <= 1 for one, later in pairwise(told))
        assert all(-1 <= figure <= 1 for figure in found.quality.values())
        assert sum(trial.verdict.startswith("chosen") for trial in found.trials) == (1 if found.trials else 0)
        return found


def count(found: Groups) -> int:
    return int(found.labels.max()) + 1


def purity(found: Groups, truth: NDArray[np.int64]) -> float:
    """Share of the images that are in a group of mostly their own kind."""
    grouped = found.labels >= 0
    right = sum(np.bincount(truth[found.labels == label] + 1)[1:].max(initial=0) for label in range(count(found)))
    return float(right / grouped.sum())


@pytest.fixture(scope="module")
def eight() -> Scene:
    return Scene([70, 60, 50, 50, 40, 40, 30, 30], 12 * np.random.default_rng(1).normal(size=(8, 4)), 1.0, noise=15)


@pytest.fixture(scope="module")
def nested() -> Scene:
    """Four far continents of three islands each: twelve groups that are also four."""
    rng = np.random.default_rng(4)
    continents = 60 * np.array([[1, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 1]])
    offsets = 9 * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]]) + rng.normal(size=(3, 3))
    return Scene([40] * 12, (continents[:, None] + offsets).reshape(12, 3).astype(float), 1.0)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_what_is_there(method: Method) -> None:
    # No noise here: where every point must be in a group, outliers are groups.
    scene = Scene([70, 60, 50, 50, 40, 40, 30, 30], 12 * np.random.default_rng(1).normal(size=(8, 4)), 1.0)
    found = scene.groups(replace(DEFAULT, method=method))
    assert 7 <= count(found) <= 10
    assert purity(found, scene.truth) >= 0.9
    assert found.trials
    assert found.quality["silhouette"] > 0.5


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_groups(eight: Scene, method: Method) -> None:
    one, other = (eight.groups(replace(DEFAULT, method=method)) for _ in range(2))
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.strengths, other.strengths)
    assert (one.parameters, one.trials, one.quality) == (other.parameters, other.trials, other.quality)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [10, 11, 25])
def test_ten_images_are_enough_for_an_answer(method: Method, n: int) -> None:
    scene = Scene([n - n // 2, n // 2], np.array([[0.0, 9.0], [9.0, 0.0]]), 0.5)
    for extra in ({}, {"n_clusters": 2}, {"granularity": Granularity.FINE}, {"granularity": Granularity.COARSE}):
        found = scene.groups(replace(DEFAULT, method=method, **extra))
        if n == 25:
            assert count(found) >= 2


def test_the_search_fills_in_what_it_found_and_says_why(eight: Scene) -> None:
    found = eight.groups()
    chosen = next(trial for trial in found.trials if trial.verdict.startswith("chosen"))
    assert found.parameters == replace(
        DEFAULT, min_cluster_size=chosen.min_cluster_size, min_samples=chosen.min_samples
    )
    assert len(found.trials) <= 16
    assert chosen.score >= max(trial.score for trial in found.trials) - 0.01
    assert all(trial.verdict and 0 <= trial.noise <= 1 for trial in found.trials)
    assert set(found.quality) == {"silhouette", "relative_validity"}


def test_what_is_given_is_not_searched_for(eight: Scene) -> None:
    given = replace(DEFAULT, min_cluster_size=12, min_samples=4, granularity=Granularity.COARSE)
    found = eight.groups(given)
    assert (found.parameters, found.trials) == (given, ())
    found = eight.groups(replace(DEFAULT, min_cluster_size=12))
    assert {trial.min_cluster_size for trial in found.trials} == {12}
    assert len({trial.min_samples for trial in found.trials}) == 2
    found = eight.groups(replace(DEFAULT, min_samples=4))
    assert {trial.min_samples for trial in found.trials} == {4}


def test_among_equals_the_usual_size_is_taken(eight: Scene) -> None:
    usual = usual_cluster_size(len(eight.points))
    assert eight.groups().parameters.min_cluster_size == usual
    # As when the run before had found another.
    assert eight.groups(usual=usual + 3).parameters.min_cluster_size == usual + 3


def candidate(sizes: list[int], noise: int, score: float, min_cluster_size: int = 10) -> Candidate:
    labels = np.concatenate([np.repeat(np.arange(len(sizes)), sizes), np.full(noise, -1)])
    return Candidate(min_cluster_size, 5, labels, np.ones(len(labels), np.float32), score, flaw_of(labels))


@pytest.mark.parametrize(
    ("sizes", "noise", "flaw"),
    [
        ([700, 20, 30, 40], 0, "one group holds 89%"),
        ([90, 10], 0, "one group holds 90%"),
        ([70, 30], 0, None),
        ([60, 50, 40], 20, None),
        ([20, 20], 60, "60% noise"),
        ([100], 0, "no two groups"),
        ([], 50, "no two groups"),
        ([3] * 300, 0, "crumbs"),
        ([30] * 60, 0, None),
    ],
)
def test_cliffs_are_ruled_out(sizes: list[int], noise: int, flaw: str | None) -> None:
    one = candidate(sizes, noise, 0.9)
    assert one.flaw == (None if flaw is None else f"ruled out: {flaw}")
    assert one.trial("").score == (0.9 if flaw is None else -math.inf)


def test_a_cliff_never_wins_over_what_is_sound() -> None:
    cliff, sound, other = (
        candidate([900, 20, 20], 0, 0.99),
        candidate([50, 40, 30], 9, 0.4),
        candidate([50, 50], 9, 0.3),
    )
    assert best_of([cliff, other, sound], 10)[0] is sound
    assert best_of([cliff], 10)[0] is cliff


def test_within_the_tolerance_the_usual_size_wins() -> None:
    far, near, worse = (candidate([50, 40, 30], 0, score, size) for score, size in ((0.905, 30), (0.9, 12), (0.88, 10)))
    assert best_of([far, near, worse], 10)[0] is near
    assert best_of([far, near, worse], 40)[0] is far


def test_where_everything_is_one_cloud_the_least_bad_is_taken() -> None:
    scene = Scene([150], np.zeros((1, 3)), 1.0)
    found = scene.groups()
    chosen = next(trial for trial in found.trials if trial.verdict.startswith("chosen"))
    if all(trial.score == -math.inf for trial in found.trials):
        assert "every trial was ruled out" in chosen.verdict


def test_fine_is_more_and_coarse_is_fewer(nested: Scene) -> None:
    balanced = nested.groups()
    assert count(balanced) == 12
    coarse = nested.groups(replace(DEFAULT, granularity=Granularity.COARSE))
    assert count(coarse) < count(balanced)
    # Only islands of one continent were merged.
    assert purity(coarse, nested.truth // 3) >= 0.98
    four = nested.groups(replace(DEFAULT, n_clusters=4))
    assert count(four) == 4
    assert purity(four, nested.truth // 3) >= 0.98


def test_fine_finds_what_balanced_is_too_large_for() -> None:
    rng = np.random.default_rng(6)
    continents = 60 * rng.normal(size=(12, 3))
    # Islands of 8 in groups of six; the usual smallest group of 576 images is 9.
    islands = (continents[:, None] + 6 * rng.normal(size=(6, 3))).reshape(72, 3)
    scene = Scene([8] * 72, islands, 0.5)
    balanced = scene.groups(usual=30)
    fine = scene.groups(replace(DEFAULT, granularity=Granularity.FINE), usual=30)
    assert count(fine) >= 1.25 * count(balanced)
    assert purity(fine, scene.truth // 6) >= 0.95


def test_fine_tears_nothing_apart(eight: Scene) -> None:
    fine = eight.groups(replace(DEFAULT, granularity=Granularity.FINE))
    np.testing.assert_array_equal(fine.labels, eight.groups().labels)
    assert "nothing finer" in fine.trials[-1].verdict


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", [3, 8, 12])
def test_a_number_that_is_aimed_at_is_met(eight: Scene, method: Method, target: int) -> None:
    found = eight.groups(replace(DEFAULT, method=method, n_clusters=target))
    assert abs(count(found) - target) <= 0.1 * target
    if method is Method.HDBSCAN:
        assert found.trials[-1].clusters == count(found)


def test_a_number_that_cannot_be_had_is_said_so(eight: Scene) -> None:
    found = eight.groups(replace(DEFAULT, n_clusters=60, min_cluster_size=20))
    assert count(found) < 60
    assert np.bincount(found.labels[found.labels >= 0]).min() >= 20
    assert "60 cannot be had" in found.trials[-1].verdict


@pytest.mark.parametrize("method", [Method.KMEANS, Method.SPHERICAL_KMEANS, Method.AGGLOMERATIVE])
def test_more_groups_can_be_had_than_a_sample_has_points(
    eight: Scene, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silhouette, "SAMPLE", 50)
    found = eight.groups(replace(DEFAULT, method=method, n_clusters=150))
    assert 140 <= count(found) <= 150
    assert purity(found, eight.truth) >= 0.9
    assert [trial.clusters for trial in found.trials] == ([] if count(found) == 150 else [count(found)])


@pytest.mark.parametrize("method", [Method.KMEANS, Method.SPHERICAL_KMEANS, Method.AGGLOMERATIVE])
def test_more_groups_than_there_are_points_cannot_be_had_and_that_is_said_so(eight: Scene, method: Method) -> None:
    found = eight.groups(replace(DEFAULT, method=method, n_clusters=5_000))
    [trial] = found.trials
    assert trial.clusters == count(found) == found.parameters.n_clusters == len(eight.points)
    assert "5000 cannot be had" in trial.verdict


@pytest.mark.parametrize("method", [Method.KMEANS, Method.SPHERICAL_KMEANS, Method.AGGLOMERATIVE])
def test_more_and_fewer_groups_by_number(eight: Scene, method: Method) -> None:
    counts = [
        count(eight.groups(replace(DEFAULT, method=method, granularity=granularity)))
        for granularity in (Granularity.FINE, Granularity.BALANCED, Granularity.COARSE)
    ]
    assert counts[0] > counts[1] > counts[2] >= 2


def test_many_points_are_searched_by_one_density_and_a_sample(eight: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(density_search, "_MANY", 100)
    assert len({trial.min_samples for trial in eight.groups().trials}) == 1
    for module in (density_search, count_search):
        monkeypatch.setattr(module, "sample_rows", lambda n, seed: np.arange(0, n, 2))
    for method in (Method.HDBSCAN, Method.KMEANS, Method.SPHERICAL_KMEANS, Method.AGGLOMERATIVE):
        assert purity(eight.groups(replace(DEFAULT, method=method)), eight.truth) >= 0.9


def test_nothing_warns_where_points_coincide() -> None:
    scene = Scene([20, 20], np.array([[0.0, 0.0], [9.0, 9.0]]), 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in METHODS:
            scene.groups(replace(DEFAULT, method=method))


def test_of_evocs_layers_the_best_is_taken(eight: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    strengths = (eight.truth >= 0).astype(np.float32)
    finer = np.where(eight.truth == 0, np.arange(len(eight.truth)) % 2 * 8, eight.truth)
    coarser = np.where(eight.truth >= 0, eight.truth // 4, -1)
    layers = [(labels, strengths) for labels in (finer, eight.truth, coarser)]
    asked: list[tuple[int, int | None]] = []

    def fake(
        vectors: NDArray[np.float32], min_cluster_size: int, min_samples: int, n_clusters: int | None, seed: int
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        asked.append((min_cluster_size, n_clusters))
        return layers if n_clusters is None else layers[-1:]

    monkeypatch.setattr(evoc_search, "evoc_layers", fake)
    parameters = replace(DEFAULT, method=Method.EVOC)
    np.testing.assert_array_equal(eight.groups(parameters).labels, eight.truth)
    assert count(eight.groups(replace(parameters, granularity=Granularity.FINE))) == 9
    assert count(eight.groups(replace(parameters, granularity=Granularity.COARSE))) == 5
    assert count(eight.groups(replace(parameters, n_clusters=6))) == 6
    usual = usual_cluster_size(len(eight.points))
    assert asked == [(usual, None), (round(usual / 2), None), (usual, None), (usual, None), (usual, 6)]


@pytest.mark.timeout(900)  # it compiles itself at its first import
def test_evoc_itself() -> None:
    pytest.importorskip("evoc")
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.repeat(np.arange(6), 50))
    vectors = rng.normal(size=(6, 40))[truth] + 0.2 * rng.normal(size=(300, 40))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    graph = scipy.sparse.csr_matrix((300, 300))
    parameters = replace(DEFAULT, method=Method.EVOC)
    one, other = (choose_groups(vectors, vectors, graph, parameters, lambda _: None) for _ in range(2))
    assert 5 <= count(one) <= 15
    assert purity(one, truth) >= 0.95
    np.testing.assert_array_equal(one.labels, other.labels)
