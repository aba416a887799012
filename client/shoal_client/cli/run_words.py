"""What came out of a run, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from shoal_client.cli.words import count, percent, ranges
from shoal_client.results import ClusteringRun, ClusteringSummary, Lineage, LineageKind, Share

#: Stories of single clusters told before the rest is only counted.
MOST_STORIES = 12

_CARRIED_ON = (LineageKind.CONTINUED, LineageKind.MERGED)
_NEW = (LineageKind.BORN, LineageKind.SPLIT)

Command = Callable[..., str]


def result_lines(run: ClusteringRun, names: Mapping[int, str], command: Command) -> Iterator[str]:
    """What a run came to.

    Args:
        run: one that has a result, with its lineage.
        names: of clusters, by id; may be incomplete.
        command: makes a command to copy out of its words.
    """
    if run.held_because and not run.active:
        yield f"nothing was changed: the result of run {run.id} is implausible, and was held back"
        yield from (f"  because {reason}" for reason in run.held_because)
        if run.summary is not None:
            yield f"it found {count(run.summary.clusters, 'cluster')}; {in_clusters(run.summary)}"
        if run.parent is not None:
            yield f"see what it would move: {command('runs', 'compare', run.parent, run.id)}"
        yield f"put it in force all the same: {command('runs', 'activate', run.id)}"
        return
    if run.summary is None:
        yield f"run {run.id} is done"
        return
    yield counts(run.summary)
    yield from lineage_lines(run.lineage, names)
    written = count(run.summary.payload_writes, "cluster id was", "cluster ids were")
    yield f"{in_clusters(run.summary)}; {written} written"
    yield from sampled_line(run)
    wanted = run.parameters.n_clusters
    if wanted and wanted != run.summary.clusters:
        yield (
            f"{count(wanted, 'cluster was', 'clusters were')} asked for; this is as near as the images, and what "
            "people corrected, allow"
        )
    if run.summary.dissolved and run.parent is not None:
        yield f"to have the clusters as they were: {command('runs', 'activate', run.parent)}"


def asked_for(run: ClusteringRun) -> str:
    """Who or what asked for a run."""
    who = {"": "somebody", "person": "a person"}.get(run.trigger, run.trigger)
    return f"asked for by {who}"


def counts(summary: ClusteringSummary) -> str:
    """How many clusters there are, and what became of their ids."""
    new = count(summary.born, "is", "are")
    gone = count(summary.dissolved, "is", "are")
    return f"{count(summary.clusters, 'cluster')}: {summary.kept} kept their id, {new} new; {gone} gone"


def in_clusters(summary: ClusteringSummary) -> str:
    """How many images are in a cluster."""
    return f"{summary.clustered} of {count(summary.images, 'image')} are in a cluster, {summary.noise} in none"


def sampled_line(run: ClusteringRun) -> Iterator[str]:
    """That not all images were clustered together, if so."""
    if run.sampled is not None:
        images = count(run.sampled, "image")
        yield f"a sample of {images} was clustered, and the others assigned to what was found among them"


def lineage_lines(lineage: Sequence[Lineage], names: Mapping[int, str]) -> Iterator[str]:
    """Which ids were kept, are new and are gone; then the story of each that has one."""
    for heading, kinds in (
        ("kept", (*_CARRIED_ON, LineageKind.RETURNED)),
        ("new ", _NEW),
        ("gone", (LineageKind.DISSOLVED,)),
    ):
        ids = [each.cluster_id for each in lineage if each.kind in kinds]
        if ids:
            yield f"  {heading} {ranges(ids)}"
    taken = {share.cluster_id for each in lineage for share in _taken_in(each)}
    told = [
        story
        for each in lineage
        # Where a cluster went is told by the one that took it in, if one did.
        if not (each.kind is LineageKind.DISSOLVED and each.cluster_id in taken)
        and (story := _story(each, names)) is not None
    ]
    yield from (f"  {story}" for story in told[:MOST_STORIES])
    if len(told) > MOST_STORIES:
        yield f"  and {len(told) - MOST_STORIES} more such changes; `shoal runs show RUN` tells all with --json"


def _story(lineage: Lineage, names: Mapping[int, str]) -> str | None:
    title = _title(lineage.cluster_id, names)
    others = [share for share in lineage.shares if share.cluster_id != lineage.cluster_id]
    match lineage.kind:
        case LineageKind.SPLIT:
            origin = next((share for share in others if share.cluster_id is not None), None)
            if origin is None:
                return None
            return f"{title} split off from {_title(origin.cluster_id, names)} ({percent(origin.of_before)} of it)"
        case LineageKind.MERGED:
            taken = ", ".join(f"{share.cluster_id} ({percent(share.of_before)} of it)" for share in _taken_in(lineage))
            return f"{title} took in {taken}" if taken else None
        case LineageKind.RETURNED:
            return f"{title} had dissolved and is back"
        case LineageKind.DISSOLVED if others:
            where = "no cluster" if others[0].cluster_id is None else _title(others[0].cluster_id, names)
            return f"{title} dissolved: {percent(others[0].of_before)} of it went to {where}"
        case LineageKind.DISSOLVED:
            return f"{title} dissolved: its images are gone"
    return None


def _taken_in(lineage: Lineage) -> list[Share]:
    """The other clusters of which a cluster took in at least half."""
    if lineage.kind is not LineageKind.MERGED:
        return []
    others = [share for share in lineage.shares if share.cluster_id not in (None, lineage.cluster_id)]
    return [share for share in others if share.of_before >= 0.5]


def _title(cluster: int | None, names: Mapping[int, str]) -> str:
    if cluster is None:
        return "no cluster"
    return f"{cluster} {names[cluster]}" if cluster in names else str(cluster)
