"""Shoal beside what else there is: clusterings of labelled photographs, and searches.

    python benchmarks/peers.py LABELLED [--model starter] [--repeat 3] [--vectors 20000] [--json FILE]

Clusterings: all get the same vectors of one model, and each run is a fresh process (``clustering_peers.py``), in turn,
``--repeat`` times; the first start compiles, the later ones find what numba keeps. The peers have no seed, as they
come. Quality is the median of the repetitions, noise counted as one label, time and memory are the least. Searches:
``search_peers.py``.

A peer that is not installed is told as such, and is no figure. The exit status is 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from clustering_peers import WAYS
from figures import Figure, ended, json_option
from measures import ari, clustered, nmi, number
from search_peers import search_figures
from stock_pipeline import embed, engine_of
from table import head, introduction, kept_rows, percent, pictures, row
from watching import peak_memory

#: By so much the NMI may be below that of the best peer.
NMI_BELOW = 0.01
OURS = "shoal"


@dataclass
class Repeated:
    """What one way gave, a value for each repetition; memory in bytes."""

    clusters: list[int] = field(default_factory=list)
    nmi: list[float] = field(default_factory=list)
    ari: list[float] = field(default_factory=list)
    clustered: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


def main() -> int:
    """Runs all of it; 1 if a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path, help="a folder with a folder for each label")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--vectors", type=int, default=20_000, help="to search among; 0: no searches")
    json_option(parser)
    options = parser.parse_args()
    files = pictures(options.labelled)
    introduction(files, options.model)
    with tempfile.TemporaryDirectory(prefix="shoal-peers-") as folder:
        figures = clusterings(Path(folder), files, options.model, options.repeat)
    if options.vectors:
        figures += search_figures(options.vectors)
    return ended(figures, options.json)


def clusterings(folder: Path, files: list[Path], model: str, repeat: int) -> list[Figure]:
    """The figures about clusterings."""
    began = time.monotonic()
    np.save(folder / "vectors.npy", embed(engine_of(model), files).stacked(files))
    ways = [name for name, (_, packages, _) in WAYS.items() if all(importlib.util.find_spec(each) for each in packages)]
    found = {name: Repeated() for name in ways}
    for _ in range(repeat):
        for name in ways:
            _run(folder, name, files, found[name])
    with kept_rows() as rows:
        head("clusters", "NMI", "ARI", "clustered", "first start", "later starts", "memory")
        for name, (title, _, _) in WAYS.items():
            if name not in found:
                row(title, "not installed: pip install 'shoal[evoc,benchmarks]'")
                continue
            each = found[name]
            row(
                title,
                f"{statistics.median(each.clusters):.0f}",
                f"{statistics.median(each.nmi):.3f}",
                f"{statistics.median(each.ari):.3f}",
                percent(statistics.median(each.clustered)),
                f"{each.seconds[0]:.1f} s",
                f"{min(each.seconds[1:]):.1f} s" if each.seconds[1:] else "-",
                f"{min(each.memory) / 1e6:,.0f} MB",
            )
    table, seconds = tuple(rows), time.monotonic() - began
    ours, peers = found.pop(OURS), found
    best = max(peers, key=lambda name: statistics.median(peers[name].nmi))
    behind = statistics.median(peers[best].nmi) - statistics.median(ours.nmi)
    stock = peers["umap_hdbscan"]
    ratio = min(stock.seconds) / min(ours.seconds)
    return [
        Figure(
            "NMI beside the best peer's",
            "Clusters found with default settings are as good as those of the best peer.",
            f"at most {NMI_BELOW} below",
            f"{statistics.median(ours.nmi):.3f}, {WAYS[best][0]}: {statistics.median(peers[best].nmi):.3f}",
            behind <= NMI_BELOW,
            table,
            seconds,
        ),
        Figure(
            "fresh process: times UMAP(5) + HDBSCAN(20)",
            "A fresh process, with the search over settings that the peer has not, is faster than UMAP and HDBSCAN.",
            ">= 1",
            f"{ratio:.1f}",
            ratio >= 1,
            table,
        ),
        Figure(
            "memory beside UMAP(5) + HDBSCAN(20)",
            "Clustering takes no more memory than UMAP and HDBSCAN do.",
            f"<= {min(stock.memory) / 1e6:,.0f} MB",
            f"{min(ours.memory) / 1e6:,.0f} MB",
            min(ours.memory) <= min(stock.memory),
            table,
        ),
    ]


def _run(folder: Path, name: str, files: list[Path], into: Repeated) -> None:
    cache = folder / f"numba-{name}"
    cache.mkdir(exist_ok=True)
    command = [sys.executable, str(Path(__file__).with_name("clustering_peers.py")), name]
    command += [str(folder / "vectors.npy"), str(folder / "labels.npy")]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"NUMBA_CACHE_DIR": str(cache)})
    with peak_memory(psutil.Process(process.pid)) as peak:
        output, _ = process.communicate()
    seconds = time.monotonic() - began
    if process.returncode:
        sys.exit(f"{WAYS[name][0]} ended with {process.returncode}")
    print(f"{name}: {seconds:.1f} s, of that {json.loads(output)['seconds']:.1f} s after its start", file=sys.stderr)
    ids = dict(zip(files, np.load(folder / "labels.npy").tolist(), strict=True))
    into.clusters.append(number(ids))
    into.nmi.append(nmi(ids))
    into.ari.append(ari(ids))
    into.clustered.append(clustered(ids))
    into.seconds.append(seconds)
    into.memory.append(peak[0])


if __name__ == "__main__":
    sys.exit(main())
