"""How long a collection takes to be clustered afresh, beside stock UMAP and HDBSCAN, and how well it comes out.

    python benchmarks/reclustering.py [LABELLED] [--sizes 8700 50000 100000] [--rounds 2] [--json FILE]

Shoal's side is everything that a run computes with default settings: neighbours, UMAP to 5 dimensions, the search for
HDBSCAN's parameters, the map in 2 dimensions, figures of quality. The stock side is
``UMAP(n_neighbors=15, n_components=5, min_dist=0, metric="cosine")`` and ``HDBSCAN(min_cluster_size=15)`` alone.

Every figure comes from a process of its own, the two sides in turns, and the faster round of each side counts: other
work on the machine only ever makes one slower. *Fresh* counts from the process's start, with what Shoal keeps compiled
already on disk (a first start of all compiles it, in the background, and is shown too); *warm* counts from when both
have clustered something small. Up to 10,000 vectors the bound is on fresh processes, beyond on warm ones. With a folder
of labelled images, the starter model's vectors of these come first, for the quality alone, and up to 10,000 are more
vectors like them (``labelled_vectors.py``). All others are a mixture whose groups are known.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from labelled_vectors import mixture, more_of
from numpy.typing import NDArray
from stock_pipeline import embed, engine_of
from table import head, pictures, row

#: At least so many times faster, by the number of vectors from which it holds.
BOUNDS = ((100_000, 4.0), (0, 3.0))
#: NMI may be lower by this.
TOLERANCE = 0.01
#: Up to so many vectors a fresh process counts.
_SMALL = 10_000
SEED = 1

Vectors: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int64]


def main() -> None:
    """Runs all of it; status 1 if a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path, nargs="?", help="a folder with a folder for each label")
    parser.add_argument("--sizes", type=int, nargs="+", default=[8_700, 50_000, 100_000])
    parser.add_argument("--rounds", type=int, default=2, help="turns of each side, at least 1")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores; processor seconds in brackets\n")
    head("seconds", "stages", "NMI", "ARI", "groups", "noise", "peak RSS")
    images = None if options.labelled is None else labelled_images(options.labelled)
    with tempfile.TemporaryDirectory(prefix="shoal-reclustering-") as name:
        folder = Path(name)
        figures = [] if images is None else quality(folder, *images)
        figures += [figure for n in options.sizes for figure in measured(folder, n, images, options.rounds)]
    print()
    for figure in figures:
        verdict = "met" if figure["met"] else "MISSED"
        print(f"{figure['claim']}: {figure['value']:.2f} (bound {figure['bound']}), {verdict}")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1))
    sys.exit(0 if all(figure["met"] for figure in figures) else 1)


def quality(folder: Path, vectors: Vectors, labels: Labels) -> list[dict[str, Any]]:
    """How much NMI is lost on the images themselves."""
    began = time.monotonic()
    stock, ours = both(folder, written(folder, vectors, labels), fresh=True, rounds=1)
    lost = stock["nmi"] - ours["nmi"]
    return [
        {
            "name": "reclustering NMI, labelled images", "claim": f"{len(vectors)} labelled images: NMI below stock's",
            "bound": TOLERANCE, "value": lost, "met": lost <= TOLERANCE, "rows": [stock, ours],
            "seconds": round(time.monotonic() - began, 1),
        }
    ]  # fmt: skip


def measured(folder: Path, n: int, images: tuple[Vectors, Labels] | None, rounds: int) -> list[dict[str, Any]]:
    """The three figures of one size: how many times faster, how much NMI is lost, share of the memory."""
    began = time.monotonic()
    fresh = n <= _SMALL
    if fresh and images is not None:
        vectors, labels = more_of(*images, n, SEED)
    else:
        vectors, labels = mixture(n, 1280 if fresh else 512, max(2, round(np.sqrt(n))), SEED)
    stock, ours = both(folder, written(folder, vectors, labels), fresh=fresh, rounds=rounds)
    faster = stock["seconds"] / ours["seconds"]
    bound = next(times for least, times in BOUNDS if n >= least)
    lost = stock["nmi"] - ours["nmi"]
    memory = ours["rss_mb"] / stock["rss_mb"]
    seconds = round(time.monotonic() - began, 1)
    rows = [stock, ours]

    def figure(what: str, claim: str, limit: float, value: float, met: bool) -> dict[str, Any]:
        return {
            "name": f"reclustering {what}, {n}", "claim": claim, "bound": limit, "value": value,
            "met": met, "rows": rows, "seconds": seconds,
        }  # fmt: skip

    state = "in a fresh process" if fresh else "warm"
    return [
        figure("time", f"{n} vectors clustered {state}: times faster than stock", bound, faster, faster >= bound),
        figure("NMI", f"{n} vectors: NMI below stock's", TOLERANCE, lost, lost <= TOLERANCE),
        figure("memory", f"{n} vectors: peak RSS, in shares of stock's", 1.0, memory, memory <= 1.0),
    ]


def both(folder: Path, files: Path, *, fresh: bool, rounds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The stock side and Shoal's, on the same vectors: the faster round of each, with the most memory of all rounds."""
    cache = folder / "compiled"
    if not cache.exists():
        child(files, "shoal", fresh=True, cache=cache, what="Shoal, first start of all")
    state = "fresh" if fresh else "warm"
    turns = [
        (
            child(files, "stock", fresh=fresh, cache=cache, what=f"stock, {state}"),
            child(files, "shoal", fresh=fresh, cache=cache, what=f"Shoal, {state}"),
        )
        for _ in range(rounds)
    ]
    stock, ours = (
        min(side, key=lambda one: float(one["seconds"])) | {"rss_mb": max(one["rss_mb"] for one in side)}
        for side in zip(*turns, strict=True)
    )
    return stock, ours


def labelled_images(folder: Path) -> tuple[Vectors, Labels]:
    """The image's part of the starter model's vectors of labelled images, of unit length, and their labels."""
    files = pictures(folder)
    vectors = embed(engine_of("starter"), files).stacked(files)[:, :1280]
    _, labels = np.unique([file.parent.name for file in files], return_inverse=True)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


def written(folder: Path, vectors: Vectors, labels: Labels) -> Path:
    """Writes vectors and labels; where they lie."""
    place = folder / str(len(vectors))
    # The labelled images may be as many as one of the sizes.
    place.mkdir(exist_ok=True)
    np.save(place / "vectors.npy", vectors)
    np.save(place / "labels.npy", labels)
    return place


def child(files: Path, side: str, *, fresh: bool, cache: Path, what: str) -> dict[str, Any]:
    """Lets a process cluster, and shows its row."""
    environment = os.environ | ({"NUMBA_CACHE_DIR": str(cache)} if side == "shoal" else {})
    if side == "stock":
        environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, str(Path(__file__).with_name("reclustering_side.py")), side, str(files)]
    began = time.time()
    done = subprocess.run(
        [*command, *(["--fresh", str(began)] if fresh else [])], env=environment, check=True, stdout=subprocess.PIPE
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in found["stages"].items())
    row(
        f"{files.name}: {what}", f"{found['seconds']:.1f} ({found['processor']:.1f})", stages, f"{found['nmi']:.3f}",
        f"{found['ari']:.3f}", str(found["groups"]), f"{found['noise']:.1%}", f"{found['rss_mb']} MB",
    )  # fmt: skip
    return {"what": what, **found}


if __name__ == "__main__":
    main()
