"""Who is compared where images come and go: a Shoal server, and the stock pipeline with and without matched ids.

All are a :class:`Contestant`, so that the same lines of a scenario drive every one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from driver import Shoal
from measures import NOISE, Ids, changed, matched
from stock_pipeline import Embedded, StockClustering


class Contestant(Protocol):
    """A collection of images in clusters."""

    def add(self, files: Sequence[Path]) -> None:
        """Takes images in; they are in a cluster, or in none, from then on."""
        ...

    def remove(self, files: Sequence[Path]) -> None:
        """Drops images."""
        ...

    def recluster(self) -> float:
        """Clusters all there is; the writes that this takes, as a share of the images."""
        ...

    def ids(self) -> Ids:
        """The cluster of every image."""
        ...

    def strangeness(self, files: Sequence[Path]) -> list[float]:
        """How little each of some images, that are not taken in, belongs to any cluster; higher is stranger."""
        ...

    def comparable(self, ids: Ids, other: Ids) -> Ids:
        """Other, with its ids made those of ids if that is allowed."""
        ...


class ShoalContestant:
    """A server's collection with default settings."""

    def __init__(self, shoal: Shoal) -> None:
        self._shoal = shoal

    def add(self, files: Sequence[Path]) -> None:
        """Ingests; the server lets the neighbours vote."""
        self._shoal.ingest(files)

    def remove(self, files: Sequence[Path]) -> None:
        """Deletes."""
        self._shoal.delete(files)

    def recluster(self) -> float:
        """Writes as the run counts them."""
        run = self._shoal.cluster()
        if run.summary is None:
            raise RuntimeError(f"run {run.id} has no summary")
        return run.summary.payload_writes / run.summary.images

    def ids(self) -> Ids:
        """As stored."""
        return self._shoal.cluster_ids()

    def strangeness(self, files: Sequence[Path]) -> list[float]:
        """The outlier score."""
        return [self._shoal.assign(file).outlier_score for file in files]

    def comparable(self, ids: Ids, other: Ids) -> Ids:
        """Ids are what they are."""
        del ids
        return other


class StockFits:
    """Fits of the stock pipeline; one for each set of images, so that both stock contestants have the same."""

    def __init__(self, embedded: Embedded) -> None:
        self.embedded = embedded
        self._fits: dict[frozenset[Path], StockClustering] = {}

    def fit(self, files: Sequence[Path]) -> StockClustering:
        """Fitted to some images, in the order of their names."""
        key = frozenset(files)
        if key not in self._fits:
            self._fits[key] = StockClustering(self.embedded.stacked(sorted(files)))
        return self._fits[key]


class StockContestant:
    """UMAP and HDBSCAN afresh each time; writes what differs.

    Args:
        fits: where to get it from.
        matches: new labels are renamed by maximum-weight assignment to agree with those before. If not, they are as
            they fall.
    """

    def __init__(self, fits: StockFits, *, matches: bool) -> None:
        self._fits = fits
        self._matches = matches
        self._ids: Ids = {}
        self._fit: StockClustering | None = None
        self._number_of: dict[int, int] = {}

    def add(self, files: Sequence[Path]) -> None:
        """Assigned by ``approximate_predict``."""
        if self._fit is None:
            self._ids |= dict.fromkeys(files, NOISE)
            return
        labels, _ = self._fit.predict(self._fits.embedded.stacked(files))
        for file, label in zip(files, labels.tolist(), strict=True):
            self._ids[file] = self._number_of.get(label, NOISE)

    def remove(self, files: Sequence[Path]) -> None:
        """Forgets."""
        for file in files:
            del self._ids[file]

    def recluster(self) -> float:
        """Fits afresh."""
        files = sorted(self._ids)
        self._fit = self._fits.fit(files)
        fallen = dict(zip(files, self._fit.labels.tolist(), strict=True))
        now = self.comparable(self._ids, fallen)
        self._number_of = {fallen[file]: now[file] for file in files}
        writes = changed(self._ids, now)
        self._ids = now
        return writes

    def ids(self) -> Ids:
        """The labels."""
        return dict(self._ids)

    def strangeness(self, files: Sequence[Path]) -> list[float]:
        """1 less the strength that ``approximate_predict`` gives; 1 for noise."""
        if self._fit is None:
            raise RuntimeError("nothing is fitted yet")
        labels, strengths = self._fit.predict(self._fits.embedded.stacked(files))
        return [1.0 if label == NOISE else 1 - strength for label, strength in zip(labels, strengths, strict=True)]

    def comparable(self, ids: Ids, other: Ids) -> Ids:
        """Matched, or as they fall."""
        return matched(ids, other) if self._matches else other
