"""What is measured of clusterings of files, where a file's label is the name of its folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, roc_auc_score

NOISE = -1

#: The cluster of every file, -1 for none.
Ids: TypeAlias = dict[Path, int]


def nmi(ids: Mapping[Path, int]) -> float:
    """Normalised mutual information with the labels, 0 to 1; noise counts as one cluster."""
    return float(normalized_mutual_info_score([file.parent.name for file in ids], list(ids.values())))


def ari(ids: Mapping[Path, int]) -> float:
    """Adjusted Rand index with the labels, at most 1; noise counts as one cluster."""
    return float(adjusted_rand_score([file.parent.name for file in ids], list(ids.values())))


def clustered(ids: Mapping[Path, int]) -> float:
    """Share of the files that are in a cluster, 0 to 1."""
    return _share([cluster != NOISE for cluster in ids.values()])


def number(ids: Mapping[Path, int]) -> int:
    """How many clusters there are."""
    return len(set(ids.values()) - {NOISE})


def majorities(ids: Mapping[Path, int]) -> dict[int, str]:
    """Cluster to the label that most of its files have."""
    counts: dict[int, Counter[str]] = {}
    for file, cluster in ids.items():
        if cluster != NOISE:
            counts.setdefault(cluster, Counter())[file.parent.name] += 1
    return {cluster: count.most_common(1)[0][0] for cluster, count in counts.items()}


def own_clusters(ids: Mapping[Path, int]) -> dict[str, int]:
    """Labels that have a cluster of their own: one that holds most of them and in which they are the most."""
    sizes = Counter(file.parent.name for file in ids)
    pairs = Counter((file.parent.name, cluster) for file, cluster in ids.items() if cluster != NOISE)
    main = majorities(ids)
    return {
        label: cluster
        for (label, cluster), count in pairs.items()
        if main[cluster] == label and 2 * count > sizes[label]
    }


def kept(before: Mapping[Path, int], after: Mapping[Path, int]) -> float:
    """Share of the files clustered both times that have the same id, 0 to 1."""
    both = [(before[file], after[file]) for file in before.keys() & after.keys()]
    return _share([old == new for old, new in both if NOISE not in (old, new)])


def changed(before: Mapping[Path, int], after: Mapping[Path, int]) -> float:
    """Share of the files of after that are not where they were, into and out of noise too, 0 to 1."""
    return _share([before.get(file) != cluster for file, cluster in after.items()])


def agreement(first: Mapping[Path, int], second: Mapping[Path, int], files: Iterable[Path]) -> float:
    """Share of some files that have the same id, or none, both times, 0 to 1."""
    return _share([first[file] == second[file] for file in files])


def rightly(ids: Mapping[Path, int], main: Mapping[int, str]) -> float:
    """Share of the clustered files that are in a cluster whose majority has their label, 0 to 1."""
    return _share([main.get(cluster) == file.parent.name for file, cluster in ids.items() if cluster != NOISE])


def touched(before: Mapping[Path, int], after: Mapping[Path, int], beside: Collection[int] = ()) -> set[int]:
    """Ids to which something happened.

    Args:
        before: the files and ids to look at.
        after: of the same files, or of fewer.
        beside: ids that are not asked about.

    Returns:
        Ids of before that nothing has any more, and ids that a file left for another id or came to from another one.
    """
    found = set(before.values()) - set(after.values())
    for file, now in after.items():
        was = before.get(file, NOISE)
        if NOISE not in (was, now) and was != now:
            found |= {was, now}
    return found - {NOISE} - set(beside)


def matched(before: Mapping[Path, int], after: Mapping[Path, int]) -> Ids:
    """After, its clusters renumbered so that as many files as can be have the id that they had before.

    Maximum-weight assignment (Kuhn 1955), with no rule about who may be matched; who is not matched gets a new number.
    """
    old, new = (sorted(set(ids.values()) - {NOISE}) for ids in (before, after))
    overlap = np.zeros((len(new), len(old)), dtype=np.int64)
    for file in before.keys() & after.keys():
        if NOISE not in (before[file], after[file]):
            overlap[new.index(after[file]), old.index(before[file])] += 1
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    number_of = {new[row]: old[column] for row, column in pairs if overlap[row, column]}
    fresh = max(old, default=0) + 1
    number_of |= {cluster: fresh + cluster for cluster in new if cluster not in number_of}
    return {file: number_of.get(cluster, NOISE) for file, cluster in after.items()}


def separated(strange: Collection[float], familiar: Collection[float]) -> float:
    """Area under the ROC curve of a figure that should be higher for what is strange, 0 to 1; 0.5 by chance."""
    truth = [1] * len(strange) + [0] * len(familiar)
    return float(roc_auc_score(truth, [*strange, *familiar]))


def _share(outcomes: Sequence[bool]) -> float:
    return sum(outcomes) / len(outcomes) if outcomes else 0.0
