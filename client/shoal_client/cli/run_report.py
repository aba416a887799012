"""A run, and the difference between two, for people."""

from __future__ import annotations

from collections.abc import Iterator

from shoal_client.cli.output import console, print_records, printable
from shoal_client.cli.run_records import parameters_record
from shoal_client.cli.run_words import asked_for, counts, in_clusters, lineage_lines, sampled_line
from shoal_client.cli.words import clock, count, percent, ranges
from shoal_client.results import ClusteringRun, RunComparison


def show_run(run: ClusteringRun) -> None:
    """Prints all that people want to know of a run."""
    for line in _head(run):
        _print(line)
    if run.trials:
        _print("what the search for settings tried:")
        columns = {
            "min_cluster_size": "min. cluster size",
            "min_samples": "min. samples",
            "clusters": "clusters",
            "noise": "in none",
            "score": "score",
            "verdict": "verdict",
        }
        rows = [
            {
                "min_cluster_size": each.min_cluster_size,
                "min_samples": each.min_samples,
                "clusters": each.clusters,
                "noise": percent(each.noise),
                "score": each.score,
                "verdict": each.verdict,
            }
            for each in run.trials
        ]
        print_records(rows, columns, as_json=False)


def show_comparison(comparison: RunComparison) -> None:
    """Prints what differs between two runs."""
    _print(
        f"{count(comparison.same, 'image is', 'images are')} in the same cluster, {comparison.moved} elsewhere; "
        f"{comparison.added} only in the second run, {comparison.removed} only in the first"
    )
    if comparison.new_clusters:
        _print(f"clusters only in the second run: {ranges(comparison.new_clusters)}")
    if comparison.gone_clusters:
        _print(f"clusters only in the first run: {ranges(comparison.gone_clusters)}")
    if comparison.flows:
        rows = [
            {
                "images": each.images,
                "from": _title(each.from_cluster, each.from_name),
                "to": _title(each.to_cluster, each.to_name),
            }
            for each in comparison.flows
        ]
        print_records(rows, {"images": "images", "from": "from", "to": "to"}, as_json=False)


def _head(run: ClusteringRun) -> Iterator[str]:
    in_force = ", in force" if run.active else ""
    yield f"run {run.id}: {run.state.value.replace('_', ' ')}{in_force}"
    yield f"{run.kind.value} {asked_for(run)}, began {clock(run.created_at)}"
    if run.activated_at is not None:
        yield f"last put in force {clock(run.activated_at)}"
    if not run.retained and run.ended_at is not None:
        yield "its files are no longer kept: it can't be compared, exported or put in force"
    if run.error is not None:
        yield f"failed: {run.error.message}"
    yield from (f"held back because {reason}" for reason in run.held_because)
    if run.parent is not None:
        yield f"matched with run {run.parent}"
    yield f"settings: {_pairs(parameters_record(run.parameters))}"
    if run.quality:
        yield f"quality: {_pairs({name: f'{value:.3f}' for name, value in run.quality.items()})}"
    if run.timings:
        yield f"seconds: {_pairs({name: f'{value:.1f}' for name, value in run.timings.items()})}"
    if run.summary is not None:
        yield counts(run.summary)
        yield in_clusters(run.summary)
    yield from sampled_line(run)
    yield from lineage_lines(run.lineage, {})


def _pairs(values: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "-"


def _title(cluster: int | None, name: str | None) -> str:
    return "no cluster" if cluster is None else f"{cluster} {name or ''}".rstrip()


def _print(line: str) -> None:
    console().print(printable(line), markup=False, soft_wrap=True)
