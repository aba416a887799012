"""The formulas of ``docs/scaling.md``: what a collection of any size takes in memory, machines, hours and money.

Nothing here is measured; what goes in and was measured says by which benchmark. Bytes are bytes, GB are 10**9 of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from scipy.stats import hypergeom


@dataclass(frozen=True)
class Inputs:
    """What is put in; each field can be set on the command line of ``billion.py``."""

    images: int = 1_000_000_000
    dimension: int = 512
    #: Edges of a point in the search graph (Qdrant's m).
    hnsw_m: int = 16
    replicas: int = 2
    #: RAM and cores of a node, and how much of the RAM is filled.
    node_gib: float = 256.0
    node_cores: int = 32
    filled: float = 0.8
    #: Bytes of a point's payload on disk.
    payload_bytes: int = 700
    #: Indexed payload fields that an image has on average: numbers and times, words that many share, and the bytes of
    #: those that each image has for itself (uri, sha256, phash).
    number_fields: int = 14
    shared_word_fields: int = 5
    own_word_bytes: int = 180
    #: Processor seconds for an image: all of it with a CLIP ViT-B-32 on the processor, and of that the forward pass.
    #: Phone photographs of 12 megapixels, measured by ingest.py.
    image_cpu_s: float = 0.232
    forward_cpu_s: float = 0.098
    #: Forward passes of one GPU, images a second; assumed.
    gpu_images_s: float = 2_000.0
    #: Processor seconds to build the index, for a vector; measured once on 100,000 vectors: 58 s on 2 cores.
    index_cpu_s: float = 58 * 2 / 100_000
    #: Processor milliseconds of a search in one shard of 100,000 vectors; measured by load.py and searching.py.
    search_cpu_ms: float = 2.0
    #: Busy share of the cores that still leaves short queues.
    busy: float = 0.6
    #: Images in the clustered sample, and lists that each of the others is compared with.
    sample: int = 1_000_000
    probed_lists: int = 8
    #: Multiplications and additions of one core in a second, in matrix products of float32; assumed.
    core_flops: float = 2e10
    #: Share of the images whose cluster changes in a run, and payload writes of one shard in a second: measured once,
    #: 100,000 in 2 s.
    changed: float = 0.01
    writes_s: float = 50_000.0
    #: Money, assumed: a core-hour, a GiB-hour of RAM, a GB-month of disk, a GPU-hour.
    core_hour: float = 0.04
    gib_hour: float = 0.005
    disk_gb_month: float = 0.08
    gpu_hour: float = 2.0

    @classmethod
    def names(cls) -> list[str]:
        """Of the fields."""
        return [each.name for each in fields(cls)]


#: Hours of a month.
MONTH_H = 730.0


@dataclass(frozen=True)
class Footprint:
    """Bytes of one image in the memory of one replica.

    Attributes:
        vector: what is compared first.
        graph: the search graph's edges.
        ids: from an image's id to its place in a segment and back, and its version.
        payload_index: what is filtered on.
        disk: bytes on disk: the vector, its compressed form if there is one, graph, payload, index and ids.
    """

    vector: float
    graph: float
    ids: float
    payload_index: float
    disk: float

    @property
    def memory(self) -> float:
        """All of it, and a fifth more for what runs and for what is rebuilt."""
        return 1.2 * (self.vector + self.graph + self.ids + self.payload_index)


#: Name to the bytes of a number in memory, and whether whole vectors lie on disk beside it.
FORMS = {
    "fp32": (4.0, False),
    "fp16": (2.0, False),
    "int8, whole vectors on disk": (1.0, True),
    "binary, whole vectors on disk": (1 / 8, True),
}


def footprint(inputs: Inputs, form: str, *, own_words_in_memory: bool) -> Footprint:
    """Of one image.

    Args:
        inputs: all.
        form: of :data:`FORMS`.
        own_words_in_memory: the indexes of words that each image has for itself are in memory, as they are unless a
            collection's maker says otherwise.
    """
    bytes_of_number, on_disk = FORMS[form]
    vector = inputs.dimension * bytes_of_number
    graph = graph_bytes(inputs.hnsw_m)
    # A UUID each way, a place of 4 bytes each way, a version of 8.
    ids = 2 * (16 + 4) + 8
    # A number: its value and place, sorted, and its value by place. A shared word: a place in its list, its number by
    # place. A word of its own: the word twice, once each way, and some 24 bytes of pointers with each.
    indexed = inputs.number_fields * (8 + 4 + 8) + inputs.shared_word_fields * (4 + 4)
    own = 2 * (inputs.own_word_bytes + 3 * 24)
    whole = inputs.dimension * 4 if on_disk or form == "fp32" else vector
    disk = whole + (vector if on_disk else 0) + graph + ids + indexed + own + inputs.payload_bytes
    return Footprint(vector, graph, ids, indexed + (own if own_words_in_memory else 0), disk)


def graph_bytes(m: int) -> float:
    """Of one point's edges: 2m on the ground floor, 4 bytes each, and a fifth more for floors above and offsets."""
    return 2 * m * 4 * 1.2


def nodes(inputs: Inputs, per_image: float) -> int:
    """Nodes that hold all replicas in memory; with replicas at least 3, so that a majority is left when one fails."""
    usable = inputs.node_gib * 2**30 * inputs.filled
    return max(3 if inputs.replicas > 1 else 1, math.ceil(inputs.images * inputs.replicas * per_image / usable))


def seen(images: int, sample: int, size: int, least: int) -> float:
    """Probability that a simple random sample has at least so many members of a cluster.

    ``P = 1 - sum over j < least of C(size, j) C(images - size, sample - j) / C(images, sample)``, the hypergeometric
    distribution.

    Args:
        images: in all.
        sample: of them in the sample.
        size: members of the cluster.
        least: members that are wanted in the sample.
    """
    return float(hypergeom.sf(least - 1, images, size, sample))


def smallest_seen(images: int, sample: int, least: int, probability: float) -> int:
    """The smallest cluster that is seen as :func:`seen` says, with at least this probability."""
    low, high = least, images
    while low < high:
        middle = (low + high) // 2
        if seen(images, sample, middle, least) >= probability:
            high = middle
        else:
            low = middle + 1
    return low


def assignment_flops(inputs: Inputs) -> float:
    """To compare every image that is not in the sample with the sample's lists.

    ``(images - sample) * (lists + probed / lists * sample) * dimension * 2``, with ``lists = sqrt(sample)``.
    """
    lists = math.sqrt(inputs.sample)
    compared = lists + inputs.probed_lists / lists * inputs.sample
    return (inputs.images - inputs.sample) * compared * inputs.dimension * 2


def search_cpu_s(inputs: Inputs, shards: int) -> float:
    """Processor seconds of one search: in every shard, with the logarithm of its size."""
    within = math.log(max(inputs.images / shards, 2)) / math.log(100_000)
    return shards * inputs.search_cpu_ms / 1000 * within


def searches_s(inputs: Inputs, shards: int, node_count: int) -> float:
    """Searches a second that all cores of so many nodes do at the busy share; each asks one replica of each shard."""
    return node_count * inputs.node_cores * inputs.busy / search_cpu_s(inputs, shards)


def month_of_nodes(inputs: Inputs, node_count: int, disk_bytes: float) -> float:
    """Money for a month: cores and RAM of the nodes, and the disk of all replicas with a fifth of room."""
    hourly = inputs.node_cores * inputs.core_hour + inputs.node_gib * inputs.gib_hour
    disk = inputs.images * inputs.replicas * disk_bytes * 1.2 / 1e9
    return node_count * hourly * MONTH_H + disk * inputs.disk_gb_month
