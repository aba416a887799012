"""The tables of ``docs/scaling.md``: a collection of a billion images on paper.

    python benchmarks/billion.py [--set NAME=VALUE ...] [--write]

Prints them for the inputs that are given (``scale_model.py`` has them all, with the reason of each); ``--write`` puts
them, for the usual inputs, into docs/scaling.md between its marks. A test holds the page to what this prints.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from report import table
from scale_model import (
    FORMS,
    Inputs,
    assignment_flops,
    footprint,
    month_of_nodes,
    nodes,
    search_cpu_s,
    searches_s,
    seen,
    smallest_seen,
)

from shoal_server.domain.run import usual_cluster_size

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
#: The form of vectors that the plan is made with.
PLAN = "int8, whole vectors on disk"
_SIZES = (10_000, 50_000, 100_000, 200_000, 300_000, 500_000, 1_000_000)
_SAMPLES = (50_000, 200_000, 1_000_000, 5_000_000)
#: What this code holds of each image in one process while it clusters a sample: its id as a Python object and in a list
#: (32 + 28 + 8 bytes, the number inside among them), the id's lot, its stratum, and the result's arrays (labels,
#: strengths, coordinates, 5 reduced dimensions, 15 neighbours and their similarities).
_PER_IMAGE_IN_A_RUN = (32 + 28 + 8) + 8 + 8 + (8 + 4 + 8 + 20 + 15 * 8 + 15 * 4)


def memory(inputs: Inputs) -> str:
    """Bytes of one image by the form of its vector."""
    rows = [["in memory, one replica", "vector", "graph", "ids", "filters", "sum + 20 %", "all", "nodes", "disk, all"]]
    for form in FORMS:
        for own in (True, False) if form == PLAN else (True,):
            found = footprint(inputs, form, own_words_in_memory=own)
            rows.append(
                [
                    form if own else f"{form}; uri, sha256, phash indexed on disk",
                    *(f"{each:.0f} B" for each in (found.vector, found.graph, found.ids, found.payload_index)),
                    f"{found.memory:.0f} B",
                    f"{found.memory * inputs.images * inputs.replicas / 1e12:.2f} TB",
                    str(nodes(inputs, found.memory)),
                    f"{found.disk * inputs.images * inputs.replicas / 1e12:.1f} TB",
                ]
            )
    return table(rows)


def ingest(inputs: Inputs) -> str:
    """Hours until all are in, by workers."""
    rows = [["workers", "images/s", "days for all", "core-hours", "GPU-hours", "money"]]
    beside = inputs.image_cpu_s - inputs.forward_cpu_s
    for cores in (64, 256, 1024):
        rate = cores / inputs.image_cpu_s
        rows.append(_ingest_row(inputs, f"{cores:,} cores, no GPU", rate, cores, 0))
    for gpus in (1, 4, 16):
        cores = round(gpus * inputs.gpu_images_s * beside)
        rate = gpus * inputs.gpu_images_s
        rows.append(_ingest_row(inputs, f"{gpus} GPU, {cores:,} cores that decode for them", rate, cores, gpus))
    return table(rows)


def _ingest_row(inputs: Inputs, what: str, rate: float, cores: int, gpus: int) -> list[str]:
    hours = inputs.images / rate / 3600
    money = hours * (cores * inputs.core_hour + gpus * inputs.gpu_hour)
    return [
        what,
        f"{rate:,.0f}",
        f"{hours / 24:.1f}",
        f"{hours * cores:,.0f}",
        f"{hours * gpus:,.0f}" if gpus else "-",
        f"${money:,.0f}",
    ]


def sample(inputs: Inputs) -> str:
    """Whether a cluster is seen, by its size and the sample's."""
    rows = [["members of the cluster", *(f"sample of {each:,}" for each in _SAMPLES)]]
    rows.append(["members wanted in it", *(f"{usual_cluster_size(each)}" for each in _SAMPLES)])
    for size in _SIZES:
        chances = (seen(inputs.images, each, size, usual_cluster_size(each)) for each in _SAMPLES)
        rows.append([f"{size:,}", *(_chance(chance) for chance in chances)])
    for probability in (0.5, 0.99):
        smallest = (smallest_seen(inputs.images, each, usual_cluster_size(each), probability) for each in _SAMPLES)
        rows.append([f"smallest that is seen with {probability:.0%}", *(_rounded(each) for each in smallest)])
    return table(rows)


def members(inputs: Inputs) -> str:
    """With how many members a cluster is seen in the plan's sample, by its size."""
    wanted = (5, 20, 50, 100, 200)
    rows = [["members of the cluster", "expected in the sample", *(f"{each} or more" for each in wanted)]]
    for size in (5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 300_000):
        chances = (_chance(seen(inputs.images, inputs.sample, size, each)) for each in wanted)
        rows.append([f"{size:,}", f"{size * inputs.sample / inputs.images:g}", *chances])
    return table(rows)


def recluster(inputs: Inputs) -> str:
    """What a run by sample costs."""
    flops = assignment_flops(inputs)
    core_hours = flops / inputs.core_flops / 3600
    per_image = _PER_IMAGE_IN_A_RUN
    written = inputs.changed * inputs.images
    shards = plan_shards(inputs)
    return table(
        [
            ["step", "how much", "how long, or what it costs"],
            [
                "read all vectors, float32",
                f"{inputs.images * inputs.dimension * 4 / 1e12:.2f} TB",
                f"{inputs.images * inputs.dimension * 4 / 1.25e9 / 3600:.1f} h at 10 Gbit/s into one server",
            ],
            [
                "held in one server for a run",
                f"{per_image} B an image, {per_image * inputs.images / 1e9:,.0f} GB",
                "what one server cannot have: see below",
            ],
            [
                "assign the rest to the sample",
                f"{flops:.2e} operations",
                f"{core_hours:,.0f} core-hours: {core_hours / 256:.1f} h on 256 cores, "
                f"${core_hours * inputs.core_hour:,.0f}",
            ],
            [
                f"write the ids of the {inputs.changed:.0%} that changed",
                f"{written / 1e6:,.0f} million, {written / 1000:,.0f} batches of 1,000",
                f"{written / (inputs.writes_s * shards) / 60:.1f} min if all {shards} shards write at once",
            ],
            [
                "index what was moved by that",
                f"{written * inputs.index_cpu_s / 3600:,.0f} core-hours",
                f"and {inputs.images * inputs.index_cpu_s / 3600:,.0f} core-hours if every segment is built anew",
            ],
        ]
    )


def search(inputs: Inputs) -> str:
    """Searches a second by shards."""
    node_count = plan_nodes(inputs)
    rows = [
        ["shards", "vectors in each", "processor time of a search", "searches/s of the cluster", "searches/s a node"]
    ]
    for shards in sorted({node_count, plan_shards(inputs), 4 * node_count, 12 * node_count}):
        rate = searches_s(inputs, shards, node_count)
        rows.append(
            [
                str(shards),
                f"{inputs.images / shards / 1e6:.1f} million",
                f"{1000 * search_cpu_s(inputs, shards):.0f} ms",
                f"{rate:,.0f}",
                f"{rate / node_count:,.0f}",
            ]
        )
    return table(rows)


def cost(inputs: Inputs) -> str:
    """Money."""
    rows = [["vectors", "nodes", "a month", "a month for a million images"]]
    for form in FORMS:
        own = form != PLAN
        found = footprint(inputs, form, own_words_in_memory=own)
        count = nodes(inputs, found.memory)
        money = month_of_nodes(inputs, count, found.disk)
        name = form if own else f"{form}; uri, sha256, phash indexed on disk (the plan)"
        rows.append([name, str(count), f"${money:,.0f}", f"${money / inputs.images * 1e6:.2f}"])
    return table(rows)


def assumed(inputs: Inputs) -> str:
    """All inputs."""
    return table([["input", "value"], *([name, f"{getattr(inputs, name):g}"] for name in Inputs.names())])


#: Name of a mark in the page to what stands between it.
TABLES: Mapping[str, Callable[[Inputs], str]] = {
    "memory": memory,
    "ingest": ingest,
    "sample": sample,
    "members": members,
    "recluster": recluster,
    "search": search,
    "cost": cost,
    "inputs": assumed,
}


def plan_nodes(inputs: Inputs) -> int:
    """Nodes of the plan."""
    return nodes(inputs, footprint(inputs, PLAN, own_words_in_memory=False).memory)


def plan_shards(inputs: Inputs) -> int:
    """Shards of the plan: two for each node, so that the cluster can grow to twice the nodes."""
    return 2 * plan_nodes(inputs)


def written_into(page: str, inputs: Inputs) -> str:
    """The page with its tables as they are for some inputs.

    Raises:
        ValueError: a table has no place in it.
    """
    for name, of in TABLES.items():
        place = re.compile(rf"(<!-- billion\.py: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        places = list(place.finditer(page))
        if len(places) != 1:
            raise ValueError(f"the page has {len(places)} places for the table '{name}'")
        page = page[: places[0].end(1)] + of(inputs) + page[places[0].start(2) :]
    return page


def main() -> int:
    """Prints the tables, or writes them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an input; may be repeated")
    parser.add_argument("--write", action="store_true", help="write docs/scaling.md, with the usual inputs")
    options = parser.parse_args()
    if options.write and options.set:
        parser.error("--write is for the usual inputs")
    inputs = Inputs()
    for each in options.set:
        name, _, value = each.partition("=")
        if name not in Inputs.names():
            parser.error(f"there is no input '{name}'; there are {', '.join(Inputs.names())}")
        try:
            inputs = replace(inputs, **{name: type(getattr(inputs, name))(value)})
        except ValueError:
            parser.error(f"'{value}' is no number")
    if options.write:
        PAGE.write_text(written_into(PAGE.read_text(encoding="utf-8"), inputs), encoding="utf-8")
    else:
        for name, of in TABLES.items():
            print(f"{name}\n\n{of(inputs)}")
    return 0


def _chance(probability: float) -> str:
    return "< 0.1 %" if probability < 0.001 else "> 99.9 %" if probability > 0.999 else f"{100 * probability:.1f} %"


def _rounded(size: int) -> str:
    digits = len(str(size)) - 3
    return f"{round(size, -digits) if digits > 0 else size:,}"


if __name__ == "__main__":
    sys.exit(main())
