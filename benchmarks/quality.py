"""Clustering, assignment and names on a folder of labelled images (one folder a label), beside the stock pipeline.

    python benchmarks/quality.py LABELLED [--outliers FOLDER] [--model starter] [--methods] [--json FILE]

Starts a server on a temporary folder, drives it with the client, does the same job with the peer of
``stock_pipeline.py`` (same model, same libraries), and prints one table:

* a clustering with default settings: NMI and ARI against the labels (noise is one label), share of images clustered;
* for how many labels that have a cluster of their own the label, as a text prompt, ranks that cluster first;
* of the clusters whose majority label the vocabulary has a word for, how many are called so (``label_words.py``);
* ingest, a second ingest of the same folder, and what a second clustering writes;
* clusterings that are asked to be fine, coarse, or of as many clusters as there are labels;
* with 10 % held back: how many held-back images are assigned, how many of those to the cluster whose majority label is
  theirs, and how many images of the outliers' folder are left out.

With ``--methods`` a second table follows: every other way to reduce and to group, chosen for a run. ``identity.py``
tells whether ids last. The bounds are for caltech30 and the starter model; the exit status is 1 if one is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from claims import Claim, judged
from driver import Ingested, Shoal, served
from figures import ended, json_option
from label_words import named
from measures import NOISE, Ids, ari, clustered, kept, majorities, nmi, number, own_clusters, rightly
from scenarios import tenth
from stock_pipeline import Embedded, StockClustering, embed, engine_of
from table import head, introduction, kept_rows, percent, pictures, row

from shoal_client import ShoalError
from shoal_client.results import ClusteringMethod, ClusteringParameters, Granularity, Reducer

SEED = 7
CLAIMS = (
    Claim(("NMI",), "Clusters found with default settings agree with the labels.", 0.95),
    Claim(("ARI",), "So they do by the adjusted Rand index.", 0.90),
    Claim(("clustered",), "Few photographs are in no cluster.", 95, unit=" %"),
    Claim(("held-back images assigned",), "A new image finds a cluster when it comes.", 93, unit=" %"),
    Claim(("held-back images assigned", "... to their label's"), "It is the right one.", 95, unit=" %"),
    Claim(("outliers left out",), "What belongs nowhere is left out.", 80, unit=" %"),
    Claim(("label's text ranks",), "A text finds its cluster first.", 75, unit=" %"),
    Claim(("cluster's name is", "... one of"), "A cluster's right name is among its first three.", 80, unit=" %"),
    Claim(("second ingest",), "Ingesting the same files again stores nothing.", 0, at_least=False),
    Claim(("second ingest",), "And it is much faster.", 10, unit=" times", place=1),
    Claim(("second clustering: payload",), "Clustering again with nothing new writes nothing.", 0, at_least=False),
)


def main() -> int:
    """Runs all of it; 1 if a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path, help="a folder with a folder for each label")
    parser.add_argument("--outliers", type=Path, help="a folder of images that belong to no label")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--methods", action="store_true", help="other reducers and clusterers too")
    json_option(parser)
    options = parser.parse_args()
    began = time.monotonic()
    files = pictures(options.labelled)
    introduction(files, options.model)
    engine = engine_of(options.model)
    peer = embed(engine, files)
    strange = None if options.outliers is None else embed(engine, pictures(options.outliers))
    with tempfile.TemporaryDirectory(prefix="shoal-quality-") as folder, kept_rows() as rows:
        head("Shoal", "stock pipeline")
        with served(Path(folder) / "held back", options.model) as shoal:
            held_back(shoal, peer, strange)
        with served(Path(folder) / "whole", options.model) as shoal:
            whole_folder(shoal, files, peer)
            chosen(shoal, len({file.parent for file in files}))
            figures = judged(CLAIMS, tuple(rows), time.monotonic() - began)
            if options.methods:
                methods(shoal)
    return ended(figures, options.json)


def whole_folder(shoal: Shoal, files: Sequence[Path], peer: Embedded) -> None:
    """Everything in: quality, prompts, names, and doing it all again."""
    first = shoal.ingest(files)
    shoal.cluster()
    ours = shoal.cluster_ids()
    stock = StockClustering(peer.stacked(files))
    theirs = dict(zip(files, stock.labels.tolist(), strict=True))
    row("images per second, embedded and stored", *speeds(first, peer))
    for (what, our), (_, their) in zip(figures(ours), figures(theirs), strict=True):
        row(what, our, their)
    own = own_clusters(ours)
    hits = sum(first_for(shoal, label) == cluster for label, cluster in own.items())
    row("label's text ranks its cluster first", of(hits, len(own)), "-")
    names = named(shoal)
    row("cluster's name is its majority label's word", of(names.first, names.nameable), "-")
    row("... one of its first three names is", of(names.top, names.nameable), "-")
    for wrong in names.wrong:
        print(f"not among the first three: {wrong}", file=sys.stderr)
    second = shoal.ingest(files)
    faster = f"{second.stored} stored, {first.seconds / second.seconds:.0f} times faster"
    row("second ingest of the same files", faster, "embeds all again")
    again = shoal.cluster()
    refitted = dict(zip(files, StockClustering(peer.stacked(files)).labels.tolist(), strict=True))
    writes = sum(theirs[file] != refitted[file] for file in files)
    row("second clustering: payload writes", str(again.summary and again.summary.payload_writes), str(writes))
    row("second clustering: same id", percent(kept(ours, shoal.cluster_ids())), percent(kept(theirs, refitted)))


def chosen(shoal: Shoal, labels: int) -> None:
    """What can be asked for in plain words; the peer has nothing of the kind."""
    for what, parameters in (
        (f"asked for {labels} clusters", ClusteringParameters(n_clusters=labels)),
        ("asked to be fine", ClusteringParameters(granularity=Granularity.FINE)),
        ("asked to be coarse", ClusteringParameters(granularity=Granularity.COARSE)),
    ):
        shoal.cluster(parameters)
        ids = shoal.cluster_ids()
        row(what, f"{number(ids)} clusters, NMI {nmi(ids):.3f}", "-")


def held_back(shoal: Shoal, peer: Embedded, strange: Embedded | None) -> None:
    """10 % come later, and strangers knock."""
    late = tenth(list(peer.vectors), SEED)
    early = sorted(peer.vectors.keys() - set(late))
    shoal.ingest(early)
    shoal.cluster()
    before = shoal.cluster_ids()
    shoal.ingest(late)
    now = shoal.cluster_ids()
    ours = {file: now[file] for file in late}
    stock = StockClustering(peer.stacked(early))
    stock_before = dict(zip(early, stock.labels.tolist(), strict=True))
    theirs = dict(zip(late, stock.predict(peer.stacked(late))[0].tolist(), strict=True))
    row("held-back images assigned", percent(clustered(ours)), percent(clustered(theirs)))
    right = percent(rightly(ours, majorities(before))), percent(rightly(theirs, majorities(stock_before)))
    row("... to their label's cluster", *right)
    if strange is not None:
        left = sum(shoal.assign(file).outlier for file in strange.vectors) / len(strange.vectors)
        refused = stock.predict(strange.stacked(list(strange.vectors)))[0]
        row("outliers left out", percent(left), percent(float((refused == NOISE).mean())))


def methods(shoal: Shoal) -> None:
    """A table of the other ways to reduce and to group, on a collection that is filled."""
    print()
    head("clusters", "NMI", "ARI", "clustered", "seconds")
    for what, parameters in ways():
        try:
            run = shoal.cluster(parameters)
        except ShoalError as error:
            row(what, error.message, *("-" * 4))
            continue
        seconds = 0.0 if run.ended_at is None else (run.ended_at - run.created_at).total_seconds()
        row(what, *(value for _, value in figures(shoal.cluster_ids())), f"{seconds:.1f}")


def ways() -> Iterator[tuple[str, ClusteringParameters]]:
    """All clusterers after UMAP, and the other reducers before those that look at the reduced space."""
    for method in ClusteringMethod:
        yield f"umap, {method.value}", ClusteringParameters(method=method, reducer=Reducer.UMAP)
    for reducer in (Reducer.PCA, Reducer.NONE):
        for method in (ClusteringMethod.HDBSCAN, ClusteringMethod.KMEANS):
            yield f"{reducer.value}, {method.value}", ClusteringParameters(method=method, reducer=reducer)


def figures(ids: Ids) -> list[tuple[str, str]]:
    """What is told of a clustering, and its value as shown."""
    return [
        ("clusters found", str(number(ids))),
        ("NMI", f"{nmi(ids):.3f}"),
        ("ARI", f"{ari(ids):.3f}"),
        ("clustered", percent(clustered(ids))),
    ]


def speeds(first: Ingested, peer: Embedded) -> tuple[str, str]:
    """Images per second of both, as shown; the peer stores nothing."""
    return f"{first.stored / first.seconds:.0f}", f"{len(peer.vectors) / peer.seconds:.0f} (embedded only)"


def first_for(shoal: Shoal, label: str) -> int:
    """The cluster that a label's text ranks first."""
    return shoal.collection.search_clusters(text=label.replace("_", " "), limit=1)[0].cluster.id


def of(hits: int, all_of_them: int) -> str:
    """A share with its counts, as shown."""
    return f"{percent(hits / max(all_of_them, 1))} ({hits} of {all_of_them})"


if __name__ == "__main__":
    sys.exit(main())
