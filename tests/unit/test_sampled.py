"""Clustering a sample and assigning the rest, beside plain brute force."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan import inverted_lists
from shoal_server.adapters.umap_hdbscan.inverted_lists import InvertedLists, NearestSoFar
from shoal_server.adapters.umap_hdbscan.sampled import cluster_sampled
from shoal_server.application import vector_file
from shoal_server.application.ports import Before, ClusteringResult
from shoal_server.application.vector_file import VectorFile, VectorFileWriter
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.run import ClusteringParameters, RunStage, Trial

PARAMETERS = ClusteringParameters(12, 5, None, None, seed=1)
GROUPS = 6


def groups_of(count: int, noise: int = 0, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors in groups, and some in none; float32 (count + noise, 24) and their groups, in a random order."""
    rng = np.random.default_rng(seed)
    middles = 3 * np.random.default_rng(99).normal(size=(GROUPS, 24))
    truth = np.concatenate([rng.integers(0, GROUPS, count), np.full(noise, NOISE)])
    vectors = np.where(truth[:, None] >= 0, middles[truth], 0) + rng.normal(size=(count + noise, 24))
    order = rng.permutation(count + noise)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit[order].astype(np.float32), truth[order]


def nearest(vectors: NDArray[np.float32], k: int = 15) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    similarities = vectors @ vectors.T
    np.fill_diagonal(similarities, -2)
    rows = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(similarities, rows, axis=1)


def by(truth: NDArray[np.int64], sizes: list[int] | None = None) -> Callable[..., ClusteringResult]:
    """A clusterer of a sample that knows the answer."""

    def cluster(vectors: NDArray[np.float32], parameters: ClusteringParameters, on_stage: Any, before: Any) -> Any:
        on_stage(RunStage.GROUPING, 0.5)
        if sizes is not None:
            sizes.append(parameters.min_cluster_size or 0)
        rows, similarities = nearest(vectors)
        return ClusteringResult(
            labels=truth,
            strengths=(truth != NOISE).astype(np.float32),
            coordinates=vectors[:, :2].copy(),
            reduced=vectors[:, :5].copy(),
            neighbor_rows=rows,
            neighbor_similarities=similarities,
            parameters=parameters,
            trials=(Trial(20, 5, GROUPS, 0.1, 0.5, "chosen"),),
        )

    return cluster


def stored(vectors: NDArray[np.float32], folder: Path) -> VectorFile:
    path = folder / "vectors.npy"
    with VectorFileWriter(path, vectors.shape[1]) as file:
        for start in range(0, len(vectors), 100):
            file.append(vectors[start : start + 100])
    return VectorFile(path)


@pytest.fixture(autouse=True)
def _short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_file, "STRETCH", 128)


def test_the_rest_goes_where_its_neighbours_are(tmp_path: Path) -> None:
    vectors, truth = groups_of(1_000, noise=80)
    sample = np.arange(0, len(vectors), 4)
    stages: list[tuple[RunStage, float]] = []
    found = cluster_sampled(
        stored(vectors, tmp_path), sample, PARAMETERS, lambda *at: stages.append(at), None, by(truth[sample])
    )
    rest = np.setdiff1d(np.arange(len(vectors)), sample)
    right = found.labels[rest] == truth[rest]
    assert right[truth[rest] >= 0].mean() > 0.97
    assert right[truth[rest] == NOISE].mean() > 0.9
    np.testing.assert_array_equal(found.labels[sample], truth[sample])
    assert ((found.strengths > 0) == (found.labels != NOISE)).all()
    # All have a place: those of a group amid it.
    assert np.isfinite(found.coordinates).all()
    assert np.isfinite(found.reduced).all()
    for group in range(GROUPS):
        of_sample = found.coordinates[sample][truth[sample] == group]
        of_rest = found.coordinates[rest][found.labels[rest] == group]
        assert (of_rest >= of_sample.min(axis=0) - 1e-5).all()
        assert (of_rest <= of_sample.max(axis=0) + 1e-5).all()
    assigning = [share for stage, share in stages if stage is RunStage.ASSIGNING]
    assert len(assigning) >= len(vectors) / 128
    assert assigning == sorted(assigning)


def test_neighbours_are_those_of_brute_force(tmp_path: Path) -> None:
    vectors, truth = groups_of(600)
    sample = np.arange(0, 600, 3)
    found = cluster_sampled(
        stored(vectors, tmp_path), sample, PARAMETERS, lambda stage, share: None, None, by(truth[sample])
    )
    rows, _ = nearest(vectors)
    # So few stand in one list, which makes the search exact.
    np.testing.assert_array_equal(found.neighbor_rows[sample], rows[sample])
    np.testing.assert_allclose(
        found.neighbor_similarities, np.sum(vectors[:, None] * vectors[found.neighbor_rows], axis=2), atol=1e-6
    )
    rest = np.setdiff1d(np.arange(600), sample)
    in_sample = sample[np.argsort(-(vectors[rest] @ vectors[sample].T), axis=1, kind="stable")[:, :15]]
    np.testing.assert_array_equal(found.neighbor_rows[rest], in_sample)


def test_the_same_input_gives_the_same_result(tmp_path: Path) -> None:
    vectors, truth = groups_of(500, noise=50)
    sample = np.arange(0, 550, 2)
    file = stored(vectors, tmp_path)
    one, other = (
        cluster_sampled(file, sample, PARAMETERS, lambda stage, share: None, None, by(truth[sample])) for _ in range(2)
    )
    for name in ("labels", "strengths", "coordinates", "reduced", "neighbor_rows", "neighbor_similarities"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_memory_is_bounded_by_the_stretch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, truth = groups_of(1_500)
    sample = np.arange(0, 1_500, 5)
    read: list[int] = []
    compared: list[int] = []
    get, search = VectorFile.__getitem__, InvertedLists.search

    def spied_get(self: VectorFile, rows: slice) -> NDArray[np.float32]:
        stretch = get(self, rows)
        read.append(len(stretch))
        return stretch

    def spied_search(self: InvertedLists, queries: NDArray[np.float32], *rest: Any) -> Any:
        compared.append(len(queries))
        return search(self, queries, *rest)

    monkeypatch.setattr(VectorFile, "__getitem__", spied_get)
    monkeypatch.setattr(InvertedLists, "search", spied_search)
    file = stored(vectors, tmp_path)
    cluster_sampled(file, sample, PARAMETERS, lambda stage, share: None, None, by(truth[sample]))
    assert max(read) <= 128
    # Once for the sample, once to assign.
    assert sum(read) == 2 * 1_500
    assert sum(compared) == 1_500 - len(sample)


def test_an_image_on_the_border_stays_where_it_was(tmp_path: Path) -> None:
    vectors, truth = groups_of(800)
    sample = np.arange(0, 800, 4)
    file = stored(vectors, tmp_path)
    first = cluster_sampled(file, sample, PARAMETERS, lambda stage, share: None, None, by(truth[sample]))
    before = Before(first.labels + 10, first.reduced)
    # Another sample, drawn after the same clusters.
    other = np.arange(1, 800, 4)
    again = cluster_sampled(file, other, PARAMETERS, lambda stage, share: None, before, by(truth[other]))
    afresh = cluster_sampled(file, other, PARAMETERS, lambda stage, share: None, None, by(truth[other]))
    assert (again.labels != first.labels).sum() <= (afresh.labels != first.labels).sum()
    assert (again.labels == first.labels).mean() > 0.99


def test_where_nothing_changed_all_stay(tmp_path: Path) -> None:
    vectors, truth = groups_of(400, noise=100)
    sample = np.arange(0, 500, 2)
    old = np.where((truth == NOISE) | (np.arange(500) % 7 == 0), NOISE, truth * 3)
    before = Before(old, np.zeros((500, 0), np.float32), PARAMETERS, unchanged=True)
    found = cluster_sampled(
        stored(vectors, tmp_path), sample, PARAMETERS, lambda stage, share: None, before, by(truth[sample])
    )
    pairs = np.unique(np.stack([old, found.labels]), axis=1).T.tolist()
    assert len(pairs) == len(np.unique(old)) == len(np.unique(found.labels))
    assert ((found.labels == NOISE) == (old < 0)).all()


def test_the_smallest_cluster_is_one_of_all_images(tmp_path: Path) -> None:
    vectors, truth = groups_of(1_000)
    sample = np.arange(0, 1_000, 10)
    asked = ClusteringParameters(12, 5, 200, None, seed=1)
    sizes: list[int] = []
    before = Before(truth.copy(), np.zeros((1_000, 0), np.float32), asked)
    found = cluster_sampled(
        stored(vectors, tmp_path), sample, asked, lambda stage, share: None, before, by(truth[sample], sizes)
    )
    assert sizes == [20]
    assert found.parameters.min_cluster_size == 200
    assert [trial.min_cluster_size for trial in found.trials] == [200]


def test_without_groups_nothing_is_assigned(tmp_path: Path) -> None:
    vectors, _ = groups_of(300)
    sample = np.arange(0, 300, 3)
    nothing = by(np.full(100, NOISE))
    found = cluster_sampled(stored(vectors, tmp_path), sample, PARAMETERS, lambda *at: None, None, nothing)
    assert (found.labels == NOISE).all()
    assert np.isfinite(found.coordinates).all()


def test_a_value_that_is_no_number_is_found_wherever_it_is(tmp_path: Path) -> None:
    vectors, truth = groups_of(300)
    vectors[298, 3] = np.nan
    sample = np.arange(0, 300, 3)
    with pytest.raises(ValueError, match="not finite"):
        cluster_sampled(stored(vectors, tmp_path), sample, PARAMETERS, lambda *at: None, None, by(truth[sample]))


def test_lists_find_nearly_all_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inverted_lists, "_FEW", 100)
    monkeypatch.setattr(inverted_lists, "_PROBED", 12)
    vectors, _ = groups_of(2_000, noise=200)
    known, queries = vectors[:1_500], vectors[1_500:]
    lists = InvertedLists(known, 0)
    compared = 0

    def count(rows: NDArray[np.int64], positions: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        nonlocal compared
        compared += values.size

    found, similarities = lists.search(queries, 15, count)
    exact = np.argsort(-(queries @ known.T), axis=1)[:, :15]
    recall = np.mean([len(np.intersect1d(*pair)) / 15 for pair in zip(found, exact, strict=True)])
    assert recall > 0.95
    assert compared < 0.6 * len(queries) * len(known)
    np.testing.assert_allclose(similarities, np.sum(queries[:, None] * known[found], axis=2), atol=1e-6)
    assert (np.diff(similarities, axis=1) <= 0).all()


def test_where_the_lists_are_too_short_all_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inverted_lists, "_FEW", 10)
    monkeypatch.setattr(inverted_lists, "_PROBED", 1)
    vectors, _ = groups_of(300)
    found, _ = InvertedLists(vectors, 0).search(vectors[:40], 150)
    exact = np.argsort(-(vectors[:40] @ vectors.T), axis=1)[:, :150]
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(exact, axis=1))


@pytest.mark.parametrize("probed", [1, 8])
def test_of_many_that_are_the_same_few_are_compared_at_once(monkeypatch: pytest.MonkeyPatch, probed: int) -> None:
    monkeypatch.setattr(inverted_lists, "_FEW", 10)
    monkeypatch.setattr(inverted_lists, "_PROBED", probed)
    vectors, _ = groups_of(1_000)
    vectors[::2] = vectors[0]
    lists = InvertedLists(vectors, 0)
    held: list[int] = []
    sort_in = inverted_lists._sort_in

    def noted(compared: NDArray[np.float32], *rest: Any) -> None:
        held.append(compared.size)
        sort_in(compared, *rest)

    monkeypatch.setattr(inverted_lists, "_sort_in", noted)
    _, at_once = lists.search(vectors, 60)
    assert max(held) > 100_000
    held.clear()
    monkeypatch.setattr(inverted_lists, "_BLOCK", 20_000)
    found, similarities = lists.search(vectors, 60)
    assert max(held) <= 20_000
    np.testing.assert_allclose(similarities, at_once, atol=1e-6)
    np.testing.assert_allclose(similarities, np.sum(vectors[:, None] * vectors[found], axis=2), atol=1e-6)


def test_the_nearest_so_far_are_the_nearest_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inverted_lists, "_WAITING", 50)
    rng = np.random.default_rng(0)
    similarities = rng.random((300, 20)).astype(np.float32)
    first = np.argsort(-similarities[:10].T, axis=1)[:, :5]
    so_far = NearestSoFar(first, np.take_along_axis(similarities[:10].T, first, axis=1))
    for start in range(10, 300, 29):
        rows = np.arange(start, min(start + 29, 300))
        for positions in (np.arange(0, 12), np.arange(12, 20)):
            so_far.look(rows, positions, similarities[np.ix_(rows, positions)])
    so_far.settle()
    np.testing.assert_array_equal(so_far.rows, np.argsort(-similarities.T, axis=1)[:, :5])


def test_a_file_is_that_of_numpy(tmp_path: Path) -> None:
    vectors, _ = groups_of(300)
    file = stored(vectors, tmp_path)
    np.testing.assert_array_equal(np.load(file.path), vectors)
    assert file.shape == vectors.shape
    rows = np.array([0, 5, 127, 128, 290, 299])
    np.testing.assert_array_equal(file.taken(rows), vectors[rows])
    np.testing.assert_array_equal(file[290:400], vectors[290:])
    np.save(tmp_path / "other.npy", vectors.astype(np.float64))
    with pytest.raises(ValueError, match="no rows of float32"):
        VectorFile(tmp_path / "other.npy")
