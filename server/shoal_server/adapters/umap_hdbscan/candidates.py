"""What the search for a density tries, and which of it to take."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.run import Trial

#: Scores that differ by less count as the same: those of two seeds on the same images differ by as much.
_TOLERANCE = 0.01
#: More noise than this says that the density asked for was too high.
_NOISE = 0.5
#: More groups than this, times the square root of the number of points, are crumbs.
_CRUMBS = 3.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """Groups that one pair of parameters leads to; ``flaw`` says why they are ruled out, if they are."""

    min_cluster_size: int
    min_samples: int
    labels: NDArray[np.int64]
    strengths: NDArray[np.float32]
    score: float
    flaw: str | None

    @property
    def clusters(self) -> int:
        return int(self.labels.max(initial=-1)) + 1

    @property
    def noise(self) -> float:
        return float((self.labels < 0).mean())

    def trial(self, verdict: str) -> Trial:
        score = self.score if self.flaw is None else -math.inf
        return Trial(self.min_cluster_size, self.min_samples, self.clusters, self.noise, score, verdict)


def flaw_of(labels: NDArray[np.int64]) -> str | None:
    """Why a grouping is one of HDBSCAN's cliffs; None if it is none."""
    grouped = labels[labels >= 0]
    count = int(labels.max(initial=-1)) + 1
    if count < 2:
        return "ruled out: no two groups"
    if (noise := 1.0 - len(grouped) / len(labels)) > _NOISE:
        return f"ruled out: {noise:.0%} noise"
    # Of two groups one may well have 80 %; of thirty none should have half.
    if (largest := float(np.bincount(grouped).max()) / len(grouped)) > 0.5 + 0.6 / count:
        return f"ruled out: one group holds {largest:.0%}"
    if count > max(_CRUMBS * math.sqrt(len(labels)), 3):
        return "ruled out: crumbs"
    return None


def best_of(candidates: list[Candidate], usual: int) -> tuple[Candidate, str]:
    """The one to take, and why."""
    sound = [one for one in candidates if one.flaw is None]
    top = max(sound or candidates, key=lambda one: one.score)
    if not sound:
        return top, f"chosen: every trial was ruled out, this one scored best ({top.score:.3f})"
    equal = [one for one in sound if one.score >= top.score - _TOLERANCE]
    winner = min(equal, key=lambda one: (abs(math.log(one.min_cluster_size / usual)), -one.score))
    if winner is top:
        return winner, f"chosen: the best score of {len(candidates)}"
    return winner, f"chosen: as good as the best ({top.score:.3f}) and nearer to the usual size of {usual}"


def verdict_on(one: Candidate, winner: Candidate) -> str:
    """Why a candidate was not taken."""
    if one.flaw is not None:
        return one.flaw
    if one.score < winner.score - _TOLERANCE:
        return f"{winner.score - one.score:.3f} below the chosen one"
    return "as good, but farther from the usual size"
