"""The benchmarks that ``run_all.py`` runs, and how."""

from __future__ import annotations

from dataclasses import dataclass

#: Stands for the folder of data sets in arguments.
DATA = "DATA"
#: Stands for a folder that a benchmark keeps what it measured in, so that it goes on where it was interrupted.
KEPT = "KEPT"

_CALTECH30 = f"{DATA}/caltech30"
_CLUTTER = f"{DATA}/clutter"
_PHOTOGRAPHS = "caltech30: 1,780 photographs of 30 kinds from Caltech-101"

#: Peers that no script here runs, and why.
NOT_RUN = {
    "clip-as-service (clip-server)": "it could not be installed. In an environment of its own (Python 3.11), pip had "
    "not found versions that go together when it was stopped after 400 s: jina, which it is built on, asks for gRPC "
    "packages of at most 1.68, and pip was still going back through those and through releases of OpenTelemetry.",
}


@dataclass(frozen=True)
class Benchmark:
    """One script.

    Attributes:
        name: of the script, without ``.py``.
        about: what it measures, in one line.
        data: what it is measured on.
        peers: what stands beside Shoal; empty where nothing does.
        full: its arguments.
        quick: its arguments for a run of minutes; None: those of the full one.
        plots: a file in ``docs/`` that it draws, for the report to show.
    """

    name: str
    about: str
    data: str
    peers: str
    full: tuple[str, ...] = ()
    quick: tuple[str, ...] | None = None
    plots: str = ""

    def arguments(self, *, quick: bool) -> tuple[str, ...]:
        """What the script is called with."""
        return self.full if self.quick is None or not quick else self.quick


BENCHMARKS = (
    Benchmark(
        "quality",
        "Clusters, assignment, names and outliers of labelled photographs",
        f"{_PHOTOGRAPHS}; outliers: 120 other pictures",
        "UMAP and HDBSCAN as BERTopic's documentation sets them, same vectors, same process",
        full=(_CALTECH30, "--outliers", _CLUTTER),
    ),
    Benchmark(
        "identity",
        "Whether cluster ids last while images come and go, and over crashes",
        f"{_PHOTOGRAPHS}; outliers: 120 other pictures",
        "the same pipeline, with its labels as they fall and matched to those before",
        full=(_CALTECH30, "--outliers", _CLUTTER),
        quick=(_CALTECH30, "--outliers", _CLUTTER, "--kills", "3"),
    ),
    Benchmark(
        "peers",
        "Clusterings of the same vectors, each in a fresh process; searches of the same vectors in one process",
        f"{_PHOTOGRAPHS}; 20,000 synthetic vectors for search",
        "UMAP(5) + HDBSCAN(20), BERTopic's default UMAP and HDBSCAN, EVoC, qdrant-client's local mode",
        full=(_CALTECH30,),
        quick=(_CALTECH30, "--repeat", "1", "--vectors", "5000"),
    ),
    Benchmark(
        "embedding_peers",
        "Photographs to vectors: images a second of a whole process after its start",
        "64 photographs of caltech30, again and again",
        "a plain open_clip loop, fastembed, infinity, with the same random ViT-B-32 weights",
        full=(_CALTECH30,),
        quick=(_CALTECH30, "--repeat", "1"),
    ),
    Benchmark(
        "embedding",
        "Pixels to vectors in PyTorch and in ONNX Runtime, fp32 and int8, many images at once and one alone",
        "128 photographs of caltech30; ViT-B-32 with random weights, and the starter",
        "the plain PyTorch loop with the same weights, in the same run",
        full=(_CALTECH30,),
        quick=(_CALTECH30, "--rounds", "2", "--count", "32"),
    ),
    Benchmark(
        "ingest",
        "`shoal ingest` of phone photographs, from the command's start to its end, and the server's memory",
        "300 made-up photographs of 12 megapixels",
        "a plain loop: Pillow, the model's own preprocessing, the model, qdrant-client, in one process",
        quick=("--count", "40", "--memory-count", "200", "--model", "starter"),
    ),
    Benchmark(
        "reclustering",
        "A collection clustered afresh: time in a fresh process and in a warm one, memory, quality",
        "8,700 vectors made from those of caltech30; 50,000 and 100,000 x 512 in a mixture of known groups",
        "stock UMAP and HDBSCAN, in turns, each in a process of its own",
        full=(_CALTECH30,),
        quick=(_CALTECH30, "--sizes", "8700"),
    ),
    Benchmark(
        "million",
        "A million vectors: reclustering by a sample, memory, and search",
        "1,000,000 x 512 synthetic vectors in 700 known groups",
        "what the sample alone gets",
        quick=("--count", "60000", "--above", "30000", "--sample", "15000", "--index-minutes", "1"),
    ),
    Benchmark(
        "searching",
        "Searches and assignments by vector through gRPC, one client and many, and while ids are written",
        "100,000 x 512 synthetic vectors",
        "the store in the same process, the engine alone with as many threads",
        quick=("--vectors", "20000", "--seconds", "4"),
    ),
    Benchmark(
        "load",
        "50 clients at once: searches, assignments and new images; searches while a run is under way",
        "100,000 x 512 synthetic vectors",
        "the store in the same process",
        quick=("--vectors", "20000", "--clients", "8", "--seconds", "15"),
    ),
    Benchmark(
        "explorer",
        "The explorer's map with many points: until it shows them, and how it moves",
        "100,000 made-up points in 40 groups, in Chromium without a window or a graphics card",
        "",
        quick=("--count", "20000"),
    ),
    Benchmark(
        "bulk",
        "`shoal ingest --ray` with one worker and with two",
        "small JPEG files behind a server that answers each after 100 ms",
        "one worker; a Shoal server's own ingest, for what is stored",
        quick=("--files", "200", "--rounds", "1"),
    ),
    Benchmark(
        "cost_curves",
        "Time and memory against the number of images",
        "synthetic unit vectors of 512 dimensions in 40 groups; made-up images for ingest",
        "",
        full=("--results", KEPT, "--up-to", "1000000", "--ingest-up-to", "30000", "--plot", "docs/cost-curves.svg"),
        quick=("--results", KEPT, "--up-to", "10000", "--ingest-up-to", "3000", "--plot", "docs/cost-curves.svg"),
        plots="cost-curves.svg",
    ),
    Benchmark(
        "mutations",
        "Damaged files against a server",
        "47 files with EXIF data, and files made in every format, damaged with a fixed seed",
        "",
        full=(f"{DATA}/exif",),
        quick=(f"{DATA}/exif", "--count", "1000"),
    ),
    Benchmark(
        "chaos",
        "`kill -9` at random moments of ingest, reclustering and write-back",
        "made-up images, model `debug`",
        "",
        quick=("--kills", "10", "--images", "220"),
    ),
)
