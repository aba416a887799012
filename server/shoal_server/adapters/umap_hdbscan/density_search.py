"""HDBSCAN with what nobody gave found by a search.

A handful of smallest groups around the usual one is tried, each with a smoother and a less smooth density. Each is
judged by the silhouette of what it grouped times the share that it grouped, so that throwing the doubtful out as noise
gains nothing. HDBSCAN's cliffs are ruled out. Among equally good ones the usual wins, so that the choice does not jump
from run to run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan.candidates import Candidate, best_of, flaw_of, verdict_on
from shoal_server.adapters.umap_hdbscan.group import DensityTree, GrowTree, density_tree, groups_of_tree
from shoal_server.adapters.umap_hdbscan.groups import Groups
from shoal_server.adapters.umap_hdbscan.methods.divide import divide_loosest
from shoal_server.adapters.umap_hdbscan.methods.merge import merge_most_alike
from shoal_server.adapters.umap_hdbscan.methods.silhouette import (
    pairwise_distances,
    relative_validity,
    sample_rows,
    silhouette,
)
from shoal_server.adapters.umap_hdbscan.split import split_loose_groups
from shoal_server.domain.run import ClusteringParameters, Granularity, Trial, usual_cluster_size

#: Smallest groups that are tried, as multiples of the usual one ...
_BALANCED = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
#: ... among many points in larger steps, because there each takes its time and a step changes little ...
_BALANCED_MANY = (0.5, 1.0, 2.0)
#: ... beyond them, if the smallest or the largest is the best of all, in so many steps of this ratio ...
_STEPS = 3
_STEP = 1.4
#: ... for finer groups than those ...
_FINE = (0.2, 0.35, 0.5)
#: ... and for a number of groups that is given.
_TARGET = (0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
#: The smallest of all: two or three images are no cluster that a search should find.
_LEAST = 3
#: HDBSCAN's min_samples: less smooth and smoother ...
_SAMPLES = (5, 10)
#: ... and with the detail that finer groups need.
_FINE_SAMPLES = 3
#: So many points are many: then only one density is tried, because its tree takes most of the time.
_MANY = 20_000
#: Numbers of coarse groups, as multiples of the balanced number.
_COARSE = (0.7, 0.6, 0.5, 0.4)
#: Fine groups are at least so many times as many as balanced ones.
_CLEARLY_MORE = 1.25
#: To divide the loosest may cost so much of the score that this share of it is left.
_WORTH = 0.85
#: How much noise counts where a number is aimed at, beside the logarithm of the ratio by which it is missed.
_NOISE_WEIGHT = 4.0
#: So many of the nearest are looked at with their loose groups taken apart.
_NEAR = 3
#: A number that is missed by up to this share is met: to force it would only tear apart or join what is right.
_NEAR_ENOUGH = 0.05


@dataclass(frozen=True, slots=True)
class _Ground:
    """What every candidate is found on and judged by."""

    points: NDArray[np.float32]
    vectors: NDArray[np.float32]
    graph: scipy.sparse.csr_matrix
    rows: NDArray[np.int64]  # the sample
    distances: NDArray[np.float32]  # between the sample's points
    trees: dict[int, DensityTree]  # by min_samples
    grow_tree: GrowTree

    def score(self, labels: NDArray[np.int64]) -> float:
        """Silhouette times the share that is grouped; a negative one is not made better by noise."""
        figure = silhouette(self.distances, labels[self.rows])
        return figure * float((labels >= 0).mean()) if figure > 0 else figure

    def try_sizes(
        self, sizes: Iterable[int], min_samples: Iterable[int], on_fraction: Callable[[float], None]
    ) -> list[Candidate]:
        """One candidate for each pair, by min_samples first."""
        pairs = [(size, samples) for samples in min_samples for size in sizes]
        found = []
        for done, (size, samples) in enumerate(pairs):
            on_fraction(done / len(pairs))
            if samples not in self.trees:
                self.trees[samples] = self.grow_tree(self.points, self.graph, samples)
            labels, strengths = groups_of_tree(self.trees[samples], size)
            found.append(Candidate(size, samples, labels, strengths, self.score(labels), flaw_of(labels)))
        return found


def search_density(
    points: NDArray[np.float32],
    vectors: NDArray[np.float32],
    graph: scipy.sparse.csr_matrix,
    parameters: ClusteringParameters,
    on_fraction: Callable[[float], None],
    usual: int | None = None,
    grow_tree: GrowTree = density_tree,
) -> Groups:
    """Groups points by density; see :func:`~shoal_server.adapters.umap_hdbscan.search.choose_groups`."""
    n = len(points)
    rows = sample_rows(n, parameters.seed)
    ground = _Ground(points, vectors, graph, rows, pairwise_distances(points[rows]), {}, grow_tree)
    usual = usual or usual_cluster_size(n)
    if parameters.n_clusters is not None:
        chosen, trials = _aim(ground, parameters, parameters.n_clusters, usual, on_fraction)
    else:
        chosen, trials = _search(ground, parameters, usual, on_fraction)
    on_fraction(1.0)
    tree = ground.trees[chosen.min_samples]
    return Groups(
        chosen.labels,
        chosen.strengths,
        replace(parameters, min_cluster_size=chosen.min_cluster_size, min_samples=chosen.min_samples),
        tuple(trials),
        {
            "silhouette": silhouette(ground.distances, chosen.labels[rows]),
            "relative_validity": relative_validity(tree.spanning_tree, chosen.labels),
        },
    )


def _search(
    ground: _Ground, parameters: ClusteringParameters, usual: int, on_fraction: Callable[[float], None]
) -> tuple[Candidate, list[Trial]]:
    """As many groups as there are, and from there to more or fewer if that is wanted."""
    given = parameters.min_cluster_size
    granularity = parameters.granularity if given is None else Granularity.BALANCED
    n = len(ground.points)
    sizes = _sizes(_BALANCED_MANY if n > _MANY else _BALANCED, usual, n) if given is None else [given]
    share = 1.0 if granularity is Granularity.BALANCED else 0.7
    candidates = ground.try_sizes(
        sizes, _samples(parameters, given or usual, n), lambda fraction: on_fraction(share * fraction)
    )
    winner, why = best_of(candidates, given or usual)
    for _ in range(_STEPS if given is None else 0):
        beyond = _beyond(winner, {one.min_cluster_size for one in candidates}, n)
        if beyond is None or winner.score < max(one.score for one in candidates):
            break
        candidates += ground.try_sizes([beyond], [winner.min_samples], lambda _: None)
        winner, why = best_of(candidates, usual)
    chosen = _taken_apart(ground, winner)
    if len(candidates) == 1 and parameters.min_samples is not None:
        return chosen, []
    if chosen.clusters > winner.clusters:
        why += f"; its loose groups were taken apart, which makes {chosen.clusters}"
    if granularity is not Granularity.BALANCED:
        why = f"the balanced choice, from which to go on: {why}"
    trials = [one.trial(why if one is winner else verdict_on(one, winner)) for one in candidates]
    if granularity is Granularity.FINE:
        return _finer(ground, parameters, chosen, usual, trials, lambda fraction: on_fraction(0.7 + 0.3 * fraction))
    if granularity is Granularity.COARSE:
        return _coarser(ground, chosen, trials)
    return chosen, trials


def _finer(
    ground: _Ground,
    parameters: ClusteringParameters,
    balanced: Candidate,
    usual: int,
    trials: list[Trial],
    on_fraction: Callable[[float], None],
) -> tuple[Candidate, list[Trial]]:
    """Smaller groups in more detail; if those are not clearly more, the loosest are divided."""
    sizes = _sizes(_FINE, usual, len(ground.points))
    samples = parameters.min_samples or min(_FINE_SAMPLES, balanced.min_samples)
    candidates = ground.try_sizes(sizes, [samples], on_fraction)
    enough = math.ceil(_CLEARLY_MORE * balanced.clusters)
    finer = [one for one in candidates if one.clusters >= enough and one.flaw is None]
    if not finer:
        trials += [one.trial(one.flaw or "not clearly more than balanced") for one in candidates]
        size = min([*sizes, balanced.min_cluster_size])
        labels = divide_loosest(balanced.labels, ground.points, enough, size)
        chosen = replace(balanced, min_cluster_size=size, labels=labels, score=ground.score(labels))
        if chosen.clusters > balanced.clusters and chosen.score >= _WORTH * balanced.score:
            why = "chosen: the balanced groups with the loosest divided, because no trial found clearly more"
            return chosen, [*trials, chosen.trial(why)]
        trials.append(chosen.trial("the loosest divided: tears apart what is one"))
        return balanced, [
            *trials,
            balanced.trial("chosen: the balanced groups; there is nothing finer in these images"),
        ]
    winner, why = best_of(finer, sizes[len(sizes) // 2])
    trials += [
        one.trial(
            f"chosen among the clearly finer ones: {why.removeprefix('chosen: ')}"
            if one is winner
            else verdict_on(one, winner)
            if one in finer
            else one.flaw or "not clearly more than balanced"
        )
        for one in candidates
    ]
    return _taken_apart(ground, winner), trials


def _coarser(ground: _Ground, balanced: Candidate, trials: list[Trial]) -> tuple[Candidate, list[Trial]]:
    """Those of the balanced groups that are most alike are merged.

    The reduced space says nothing about how far apart two groups are that do not touch, so the merged groups are judged
    among the vectors themselves.
    """
    counts = sorted({max(2, round(share * balanced.clusters)) for share in _COARSE}, reverse=True)
    counts = [count for count in counts if count < balanced.clusters]
    if not counts:
        return balanced, [*trials, balanced.trial("chosen: too few groups to merge any")]
    distances = pairwise_distances(ground.vectors[ground.rows])
    grouped = 1.0 - balanced.noise
    merged = [
        replace(balanced, labels=labels, score=grouped * silhouette(distances, labels[ground.rows]), flaw=None)
        for labels in merge_most_alike(balanced.labels, ground.vectors, counts)
    ]
    winner = max(merged, key=lambda one: one.score)
    step = f"the most alike of {balanced.clusters} merged, judged among the vectors"
    trials += [one.trial(f"chosen: {step}; the best of these" if one is winner else step) for one in merged]
    return winner, trials


def _aim(
    ground: _Ground,
    parameters: ClusteringParameters,
    target: int,
    usual: int,
    on_fraction: Callable[[float], None],
) -> tuple[Candidate, list[Trial]]:
    """So many groups: first what comes nearest by itself, then the most alike merged or the loosest divided."""
    n = len(ground.points)
    given = parameters.min_cluster_size
    sizes = [given] if given is not None else _sizes(_TARGET, min(usual, max(_LEAST, n // target)), n)
    candidates = ground.try_sizes(sizes, _samples(parameters, given or usual, n)[:1], on_fraction)

    near = sorted(candidates, key=lambda one: _miss(one, target))[:_NEAR]
    apart = [_taken_apart(ground, one) for one in near]
    position, start = min(enumerate(apart), key=lambda one: _miss(one[1], target))
    trials = [
        one.trial(f"nearest to {target} with little noise" if one is near[position] else one.flaw or "not as near")
        for one in candidates
    ]
    labels = start.labels
    if abs(start.clusters - target) <= _NEAR_ENOUGH * target:
        step = "near enough as they are"
    elif start.clusters > target:
        labels = merge_most_alike(labels, ground.vectors, [target])[0]
        step = "the most alike merged"
    else:
        room = int((labels >= 0).sum()) // (2 * target)
        smallest = min(start.min_cluster_size, max(2, room)) if given is None else given
        labels = divide_loosest(labels, ground.points, target, smallest)
        step = "the loosest divided"
    aimed = replace(start, labels=labels, score=ground.score(labels), flaw=None)
    verdict = f"chosen: {start.clusters} groups, {step}"
    if aimed.clusters < (1 - _NEAR_ENOUGH) * target:
        verdict += f"; {target} cannot be had, because no group can be divided any more"
    return aimed, [*trials, aimed.trial(verdict)]


def _miss(one: Candidate, target: int) -> tuple[bool, float]:
    """How far groups are from a number of them, less is better; no group at all is the worst."""
    ratio = max(one.clusters, 1) / target
    return one.clusters < 2, abs(math.log(ratio)) + _NOISE_WEIGHT * one.noise


def _sizes(shares: Sequence[float], usual: int, n: int) -> list[int]:
    """Smallest groups to try, ascending; at least two groups of that size must fit in."""
    return sorted({min(max(_LEAST, round(share * usual)), max(2, n // 2)) for share in shares})


def _beyond(winner: Candidate, tried: set[int], n: int) -> int | None:
    """The next size where the winner is the smallest or the largest that was tried; None if it is neither."""
    size = winner.min_cluster_size
    if size == min(tried) > _LEAST:
        return max(_LEAST, min(size - 1, round(size / _STEP)))
    if size == max(tried) < n // 2:
        return min(n // 2, max(size + 1, round(size * _STEP)))
    return None


def _samples(parameters: ClusteringParameters, size: int, n: int) -> list[int]:
    """min_samples to try: not more than the smallest group has members."""
    if parameters.min_samples is not None:
        return [parameters.min_samples]
    choices = sorted({min(samples, max(2, size)) for samples in _SAMPLES})
    return choices[-1:] if n > _MANY else choices


def _taken_apart(ground: _Ground, candidate: Candidate) -> Candidate:
    """A candidate whose loose groups are split."""
    labels = split_loose_groups(candidate.labels, ground.graph, candidate.min_cluster_size)
    return replace(candidate, labels=labels, score=ground.score(labels))
