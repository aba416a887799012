"""Clustering, assignment and identity on a folder of labelled images (one folder a label), beside the stock pipeline.

    python benchmarks/quality.py LABELLED [--outliers FOLDER] [--model starter]

Starts a server on a temporary folder, drives it with the ``shoal`` command as a person would, does the same job with
the peer of ``stock_pipeline.py`` (same model, same libraries), and prints one table:

* a clustering with default settings: NMI and ARI against the labels (noise is one label), share of images clustered;
* for how many labels that have a cluster of their own the label, as a text prompt, ranks that cluster first;
* ingest, a second ingest of the same folder, and what a second clustering writes;
* with 10 % held back: how many held-back images are assigned, how many of those to the cluster whose majority label is
  theirs, and how many images of the outliers' folder are left out;
* after clustering again with the 10 % in: how many images that are clustered both times have the same id.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from stock_pipeline import Embedded, StockClustering, embed, engine_of

SEED = 7
NOISE = -1


class Shoal:
    """A server and the command line that talks to it."""

    def __init__(self, address: str) -> None:
        self._environment = {**os.environ, "SHOAL_SERVER": address}

    def __call__(self, *arguments: str) -> list[dict[str, Any]]:
        """Runs a command with ``--json`` and reads what it prints."""
        command = [sys.executable, "-m", "shoal_client", *arguments, "--json"]
        done = subprocess.run(command, env=self._environment, stdout=subprocess.PIPE, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def ingest(self, files: Sequence[Path]) -> dict[str, float]:
        """Sends files, as many as fit on a command line at once."""
        total = {"stored": 0.0, "duplicates": 0.0, "failed": 0.0, "seconds": 0.0}
        for start in range(0, len(files), 1000):
            last = self("ingest", *map(str, files[start : start + 1000]))[-1]
            total = {name: total[name] + last[name] for name in total}
        return total

    def cluster_ids(self) -> dict[Path, int]:
        """The cluster of every stored file, -1 for none."""
        return {
            Path(unquote(urlsplit(row["uri"]).path)): NOISE if row["cluster_id"] is None else row["cluster_id"]
            for row in self("images", "list")
        }


@contextmanager
def served(model: str) -> Iterator[Shoal]:
    """A server on an empty folder."""
    with tempfile.TemporaryDirectory(prefix="shoal-quality-") as folder:
        ready = Path(folder) / "ready.json"
        with (Path(folder) / "server.log").open("wb") as log:
            server = subprocess.Popen(
                [
                    *(sys.executable, "-m", "shoal_server", "serve", "--data", f"{folder}/data"),
                    *("--listen", "127.0.0.1:0", "--model", model, "--ready-file", str(ready)),
                ],
                stderr=log,
            )
        try:
            while not ready.exists():
                if server.poll() is not None:
                    sys.exit((Path(folder) / "server.log").read_text())
                time.sleep(0.1)
            yield Shoal(json.loads(ready.read_text())["address"])
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def row(what: str, shoal: str, peer: str = "-") -> None:
    """Shows a row of the table as soon as it is known."""
    print(f"| {what} | {shoal} | {peer} |", flush=True)


def majorities(clusters: Mapping[Path, int]) -> dict[int, str]:
    """Cluster id to the label that most of its images have."""
    counts: dict[int, Counter[str]] = {}
    for file, cluster in clusters.items():
        if cluster != NOISE:
            counts.setdefault(cluster, Counter())[file.parent.name] += 1
    return {cluster: count.most_common(1)[0][0] for cluster, count in counts.items()}


def own_clusters(clusters: Mapping[Path, int]) -> dict[str, int]:
    """Labels that have a cluster of their own: one that holds most of them and in which they are the most."""
    sizes = Counter(file.parent.name for file in clusters)
    pairs = Counter((file.parent.name, cluster) for file, cluster in clusters.items() if cluster != NOISE)
    main = majorities(clusters)
    return {
        label: cluster
        for (label, cluster), count in pairs.items()
        if main[cluster] == label and 2 * count > sizes[label]
    }


def agreement(clusters: Mapping[Path, int]) -> tuple[str, str, str]:
    """NMI, ARI and the clustered share, as shown."""
    labels = [file.parent.name for file in clusters]
    found = list(clusters.values())
    return (
        f"{normalized_mutual_info_score(labels, found):.3f}",
        f"{adjusted_rand_score(labels, found):.3f}",
        f"{sum(cluster != NOISE for cluster in found) / len(found):.1%}",
    )


def kept(before: Mapping[Path, int], after: Mapping[Path, int]) -> str:
    """Share of the images clustered both times that have the same id."""
    both = [(before[file], after[file]) for file in before if NOISE not in (before[file], after[file])]
    return f"{sum(old == new for old, new in both) / len(both):.1%}"


def assigned(late: Mapping[Path, int], main: Mapping[int, str]) -> tuple[str, str]:
    """How many are assigned, and how many of those rightly, as shown."""
    taken = {file: cluster for file, cluster in late.items() if cluster != NOISE}
    right = sum(main[cluster] == file.parent.name for file, cluster in taken.items())
    return f"{len(taken) / len(late):.1%}", f"{right / len(taken):.1%}"


def whole_folder(shoal: Shoal, folder: Path, peer: Embedded) -> None:
    """Everything in: quality, prompts, and doing it all again."""
    first = shoal("ingest", str(folder))[-1]
    run = shoal("cluster")[-1]
    ours = shoal.cluster_ids()
    stock = StockClustering(np.stack(list(peer.vectors.values())))
    theirs = dict(zip(peer.vectors, stock.labels.tolist(), strict=True))
    row("images per second, embedded and stored", *speeds(first, peer))
    row("clusters found", str(run["clusters"]), str(stock.labels.max() + 1))
    for what, our, their in zip(("NMI", "ARI", "clustered"), agreement(ours), agreement(theirs), strict=True):
        row(what, our, their)
    own = own_clusters(ours)
    hits = sum(shoal("clusters", "search", label.replace("_", " "))[0]["id"] == own[label] for label in own)
    row("label's text ranks its cluster first", f"{hits / len(own):.1%} ({hits} of {len(own)})")
    second = shoal("ingest", str(folder))[-1]
    row(
        "second ingest of the same folder",
        f"{second['stored']} stored, {first['seconds'] / second['seconds']:.0f} times faster",
        "embeds all again",
    )
    again = shoal("cluster")[-1]
    row("second clustering: payload writes", str(again["payload_writes"]), f"{len(theirs)}")
    refitted = StockClustering(np.stack(list(peer.vectors.values())))
    row(
        "second clustering: same id",
        kept(ours, shoal.cluster_ids()),
        kept(theirs, dict(zip(peer.vectors, refitted.labels.tolist(), strict=True))),
    )


def speeds(first: Mapping[str, float], peer: Embedded) -> tuple[str, str]:
    """Images per second of both, as shown; the peer stores nothing."""
    return f"{first['stored'] / first['seconds']:.0f}", f"{len(peer.vectors) / peer.seconds:.0f} (embedded only)"


def held_back(shoal: Shoal, peer: Embedded, strange: Embedded | None) -> None:
    """10 % come later, and strangers knock."""
    files = sorted(peer.vectors)
    late = sorted(random.Random(SEED).sample(files, len(files) // 10))
    early = sorted(set(files) - set(late))
    shoal.ingest(early)
    shoal("cluster")
    before = shoal.cluster_ids()
    shoal.ingest(late)
    now = shoal.cluster_ids()
    stock = StockClustering(np.stack([peer.vectors[file] for file in early]))
    stock_before = dict(zip(early, stock.labels.tolist(), strict=True))
    predicted = stock.predict(np.stack([peer.vectors[file] for file in late]))
    our = assigned({file: cluster for file, cluster in now.items() if file not in before}, majorities(before))
    their = assigned(dict(zip(late, predicted.tolist(), strict=True)), majorities(stock_before))
    row("held-back images assigned", our[0], their[0])
    row("... to their label's cluster", our[1], their[1])
    if strange is not None:
        left = sum(shoal("assign", str(file))[0]["outlier"] for file in strange.vectors)
        refused = stock.predict(np.stack(list(strange.vectors.values()))) == NOISE
        row("outliers left out", f"{left / len(strange.vectors):.1%}", f"{refused.mean():.1%}")
    again = shoal("cluster")[-1]
    after = StockClustering(np.stack([peer.vectors[file] for file in files]))
    row(
        "clustered again with the 10 % in: same id",
        kept(before, shoal.cluster_ids()),
        kept(stock_before, dict(zip(files, after.labels.tolist(), strict=True))),
    )
    row(
        "clustered again with the 10 % in: payload writes",
        f"{again['payload_writes'] / len(files):.1%} of the images",
        "100.0% of the images",
    )


def pictures(folder: Path) -> list[Path]:
    """The files of a folder and of its folders."""
    return sorted(path.resolve() for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Runs all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path, help="a folder with a folder for each label")
    parser.add_argument("--outliers", type=Path, help="a folder of images that belong to no label")
    parser.add_argument("--model", default="starter")
    options = parser.parse_args()
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "umap-learn", "hdbscan", "qdrant-edge-py"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {libraries}")
    files = pictures(options.labelled)
    print(f"{len(files)} images in {len({file.parent for file in files})} labels, model {options.model}\n")
    engine = engine_of(options.model)
    peer = embed(engine, files)
    strange = None if options.outliers is None else embed(engine, pictures(options.outliers))
    row("", "Shoal", "stock pipeline")
    print("|---|---|---|")
    with served(options.model) as shoal:
        whole_folder(shoal, options.labelled, peer)
    with served(options.model) as shoal:
        held_back(shoal, peer, strange)


if __name__ == "__main__":
    main()
