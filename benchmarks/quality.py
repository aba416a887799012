"""Clustering, assignment and naming quality on a folder of labelled images (one folder a label).

    python benchmarks/quality.py LABELLED [--outliers FOLDER] [--model starter]

Starts a server on a temporary folder, drives it with the ``shoal`` command as a person would, and prints:

* quality of a clustering with default settings: NMI and ARI against the labels (noise is one label), clustered share;
* for how many labels that have a cluster of their own the label, as a text prompt, ranks that cluster first;
* how much faster a second ingest of the same folder is, and what a second clustering writes;
* after holding 10 % back: how many of the held-back images are assigned, how many of those to the cluster whose
  majority label is theirs, and how many images of the outliers' folder are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

SEED = 7


class Shoal:
    """A server and the command line that talks to it."""

    def __init__(self, address: str) -> None:
        self._environment = {**os.environ, "SHOAL_SERVER": address}

    def __call__(self, *arguments: str) -> list[dict[str, Any]]:
        """Runs a command with ``--json`` and reads what it prints."""
        command = [sys.executable, "-m", "shoal_client", *arguments, "--json"]
        done = subprocess.run(command, env=self._environment, stdout=subprocess.PIPE, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]


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


def label_of(row: dict[str, Any]) -> str:
    """The folder that an image lies in."""
    return Path(unquote(urlsplit(row["uri"]).path)).parent.name


def majorities(rows: Sequence[dict[str, Any]]) -> dict[int, str]:
    """Cluster id to the label that most of its images have."""
    counts: dict[int, Counter[str]] = {}
    for row in rows:
        if row["cluster_id"] is not None:
            counts.setdefault(row["cluster_id"], Counter())[label_of(row)] += 1
    return {cluster: count.most_common(1)[0][0] for cluster, count in counts.items()}


def own_clusters(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Labels that have a cluster of their own: one that holds most of them and in which they are the most."""
    sizes = Counter(label_of(row) for row in rows)
    pairs = Counter((label_of(row), row["cluster_id"]) for row in rows if row["cluster_id"] is not None)
    main = majorities(rows)
    return {
        label: cluster
        for (label, cluster), count in pairs.items()
        if main[cluster] == label and 2 * count > sizes[label]
    }


def ingest(shoal: Shoal, files: Sequence[Path]) -> dict[str, Any]:
    """Sends files, as many as fit on a command line at once."""
    total = {"stored": 0, "duplicates": 0, "failed": 0, "seconds": 0.0}
    for start in range(0, len(files), 1000):
        last = shoal("ingest", *map(str, files[start : start + 1000]))[-1]
        total = {name: total[name] + last[name] for name in total}
    return total


def clustering(shoal: Shoal, folder: Path) -> None:
    """Quality with everything in."""
    first = shoal("ingest", str(folder))[-1]
    run = shoal("cluster")[-1]
    rows = shoal("images", "list")
    labels = [label_of(row) for row in rows]
    found = [-1 if row["cluster_id"] is None else row["cluster_id"] for row in rows]
    print(f"images                        {len(rows)} in {len(set(labels))} labels")
    print(f"ingest                        {first['stored'] / first['seconds']:.0f} images/s")
    print(f"clustering                    {run['clusters']} clusters in {run['seconds']:.1f} s")
    print(f"NMI                           {normalized_mutual_info_score(labels, found):.3f}")
    print(f"ARI                           {adjusted_rand_score(labels, found):.3f}")
    print(f"clustered                     {run['clustered'] / len(rows):.1%}")
    own = own_clusters(rows)
    hits = 0
    for label, cluster in sorted(own.items()):
        best = shoal("clusters", "search", label.replace("_", " "))[0]
        hits += best["id"] == cluster
    print(
        f"label's text finds its cluster {hits / len(own):.1%} "
        f"({hits} of {len(own)} labels that have a cluster of their own)"
    )
    second = shoal("ingest", str(folder))[-1]
    print(
        f"second ingest                 {second['stored']} stored, {second['duplicates']} duplicates, "
        f"{first['seconds'] / second['seconds']:.1f} times faster"
    )
    again = shoal("cluster")[-1]
    kept = {row["id"]: row["cluster_id"] for row in shoal("images", "list")}
    same = sum(kept[row["id"]] == row["cluster_id"] for row in rows)
    print(
        f"second clustering             {again['payload_writes']} payload writes, {same / len(rows):.1%} keep their id"
    )


def assignment(shoal: Shoal, folder: Path, outliers: Path | None) -> None:
    """Quality of assigning what comes later."""
    files = sorted(path for path in folder.glob("*/*") if path.is_file())
    held_back = set(random.Random(SEED).sample(files, len(files) // 10))
    ingest(shoal, [path for path in files if path not in held_back])
    shoal("cluster")
    before = shoal("images", "list")
    main = majorities(before)
    ingest(shoal, sorted(held_back))
    known = {row["id"] for row in before}
    late = [row for row in shoal("images", "list") if row["id"] not in known]
    assigned = [row for row in late if row["cluster_id"] is not None]
    right = sum(main[row["cluster_id"]] == label_of(row) for row in assigned)
    print(f"held-back images assigned     {len(assigned) / len(late):.1%} of {len(late)}")
    print(f"... to their label's cluster  {right / len(assigned):.1%}")
    if outliers is not None:
        known |= {row["id"] for row in late}
        shoal("ingest", str(outliers))
        strange = [row for row in shoal("images", "list") if row["id"] not in known]
        left = sum(row["cluster_id"] is None for row in strange)
        print(f"outliers left out             {left / len(strange):.1%} of {len(strange)}")


def main() -> None:
    """Runs all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path, help="a folder with a folder for each label")
    parser.add_argument("--outliers", type=Path, help="a folder of images that belong to no label")
    parser.add_argument("--model", default="starter")
    options = parser.parse_args()
    with served(options.model) as shoal:
        clustering(shoal, options.labelled)
    with served(options.model) as shoal:
        assignment(shoal, options.labelled, options.outliers)


if __name__ == "__main__":
    main()
