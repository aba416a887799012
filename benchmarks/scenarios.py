"""What happens to a collection: it grows, kinds of things go and come, strangers knock.

Each scenario takes a contestant and gives the cells of its column.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from contestants import Contestant
from measures import NOISE, agreement, clustered, kept, majorities, own_clusters, rightly, separated, touched
from table import listed, percent

#: A class that comes or goes has at least so many images.
LARGE = 30

Column = dict[str, str]


def by_label(files: Sequence[Path]) -> dict[str, list[Path]]:
    """The files of each label."""
    found: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        found[file.parent.name].append(file)
    return found


def drawn(files: Sequence[Path], count: int, seed: int) -> list[str]:
    """So many of the labels with at least :data:`LARGE` files, or all of them, at random."""
    large = sorted(label for label, own in by_label(files).items() if len(own) >= LARGE)
    return random.Random(seed).sample(large, min(count, len(large)))


def tenth(files: Sequence[Path], seed: int) -> list[Path]:
    """10 % of the files, at random."""
    return sorted(random.Random(seed).sample(sorted(files), len(files) // 10))


def held_back(contestant: Contestant, files: Sequence[Path], seed: int) -> Column:
    """90 % are clustered, the other 10 % come, all are clustered again."""
    late = tenth(files, seed)
    contestant.add(sorted(set(files) - set(late)))
    contestant.recluster()
    before = contestant.ids()
    contestant.add(late)
    assigned = contestant.ids()
    writes = contestant.recluster()
    after = contestant.ids()
    newcomers = {file: assigned[file] for file in late}
    # Matched on these images alone, which favours who needs the matching.
    agreed = contestant.comparable(newcomers, {file: after[file] for file in late})
    return {
        "10 % added to 90 %: same id": percent(kept(before, after)),
        "... images in a cluster before and after": listed([percent(clustered(before)), percent(clustered(after))]),
        "... payload writes, share of the images": percent(writes),
        "the 10 %: id when they came = id after reclustering": percent(agreement(newcomers, agreed, late)),
        "... of those in a cluster both times": percent(kept(newcomers, agreed)),
        "... in a cluster when they came": percent(clustered(newcomers)),
        "... of these, in their label's": percent(rightly(newcomers, majorities(before))),
    }


def growth(contestant: Contestant, files: Sequence[Path], seed: int) -> Column:
    """50 %, then 10 % of the whole five times."""
    order = random.Random(seed).sample(sorted(files), len(files))
    marks = [len(order) * tenths // 10 for tenths in range(5, 11)]
    contestant.add(order[: marks[0]])
    contestant.recluster()
    same, writes = [], []
    for start, stop in itertools.pairwise(marks):
        before = contestant.ids()
        contestant.add(order[start:stop])
        writes.append(contestant.recluster())
        same.append(kept(before, contestant.ids()))
    return {
        "50 % to 100 % in five steps: same id, each step": listed(map(percent, same)),
        "... at the least": percent(min(same)),
        "... payload writes, each step": listed(map(percent, writes)),
    }


def departures(contestant: Contestant, files: Sequence[Path], labels: Sequence[str]) -> Column:
    """One class after the other is deleted; all other files are in and clustered."""
    dissolved, disturbed, by_others, moved = [], [], [], []
    for label in labels:
        before = contestant.ids()
        own = {cluster for cluster, main in majorities(before).items() if main == label}
        contestant.remove(by_label(files)[label])
        contestant.recluster()
        after = contestant.ids()
        dissolved.append(f"{len(own - set(after.values()))} of {len(own)}")
        disturbed.append(len(touched(before, after, own)))
        elsewhere = {file: cluster for file, cluster in before.items() if cluster not in own}
        by_others.append(len(touched(elsewhere, {file: after[file] for file in elsewhere.keys() & after.keys()}, own)))
        moved.append(percent(1 - kept(before, after)))
    return {
        f"{listed(labels)} deleted one by one: their ids that dissolved": listed(dissolved),
        "... other ids touched": listed(disturbed),
        "... not counting what other labels' images the dissolved ones leave behind": listed(by_others),
        "... other images that changed their id": listed(moved),
    }


def arrivals(contestant: Contestant, files: Sequence[Path], labels: Sequence[str]) -> Column:
    """One class after the other comes; some other files are in and clustered."""
    born, its_own, lost, disturbed, moved = [], [], [], [], []
    for label in labels:
        before = contestant.ids()
        contestant.add(by_label(files)[label])
        contestant.recluster()
        after = contestant.ids()
        new = set(after.values()) - set(before.values())
        born.append(len(new))
        its_own.append("yes" if own_clusters(after).get(label) in new else "no")
        lost.append(len(set(before.values()) - set(after.values()) - {NOISE}))
        disturbed.append(len(touched(before, after)))
        moved.append(percent(1 - kept(before, after)))
    return {
        f"{listed(labels)} added one by one: ids born": listed(born),
        "... one of them is its own": listed(its_own),
        "... other ids that vanished": listed(lost),
        "... other ids touched": listed(disturbed),
        "... other images that changed their id": listed(moved),
    }


def strangers(
    contestant: Contestant, files: Sequence[Path], unseen: Collection[str], outliers: Sequence[Path], seed: int
) -> Column:
    """Some classes are held out and 10 % of the others; which of the images held out are strange?"""
    known = [file for file in files if file.parent.name not in unseen]
    familiar = tenth(known, seed)
    contestant.add(sorted(set(known) - set(familiar)))
    contestant.recluster()
    scores = contestant.strangeness(familiar)
    strange = contestant.strangeness([file for file in files if file.parent.name in unseen])
    column = {f"{len(unseen)} unseen classes from held-back images: AUROC": f"{separated(strange, scores):.3f}"}
    if outliers:
        column["outliers from held-back images: AUROC"] = f"{separated(contestant.strangeness(outliers), scores):.3f}"
    return column


def side_by_side(columns: Sequence[Mapping[str, str]]) -> list[tuple[str, ...]]:
    """The rows of columns that have the same rows."""
    return [(what, *(column[what] for column in columns)) for what in columns[0]]
