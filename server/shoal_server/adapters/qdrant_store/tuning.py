"""How collections are made and calls are done on a Qdrant server: what its operator has chosen.

https://qdrant.tech/documentation/guides/optimize/ says what the choices are worth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from qdrant_client import models

T = TypeVar("T")

#: Most bytes of one upsert: below what proxies in front of a server let through (4 MiB is common).
_UPSERT_BYTES = 2 * 1024 * 1024
#: Bytes of a number of a vector, over gRPC and as JSON, and of a point's payload.
_FLOAT_BYTES, _JSON_FLOAT_BYTES, _PAYLOAD_BYTES = 4, 22, 1024

#: Candidates read for each one wanted, where vectors are compared by their quantised form first.
_OVERSAMPLING = {"scalar": 1.5, "binary": 3.0}

_ORDERING = {
    "weak": models.WriteOrdering.WEAK,
    "medium": models.WriteOrdering.MEDIUM,
    "strong": models.WriteOrdering.STRONG,
}

Quantization = Literal["none", "scalar", "binary"]
Ordering = Literal["weak", "medium", "strong"]
Consistency = Literal["majority", "quorum", "all"]


@dataclass(frozen=True, slots=True)
class Tuning:
    """What can be chosen. None leaves it to the server.

    Attributes:
        hnsw_m: edges of a point in the search graph.
        hnsw_ef_construct: candidates looked at for each edge.
        search_ef: candidates kept in a search.
        quantization: the form of vectors that are compared first, kept in memory.
        rescore: what is found so is compared by the whole vectors again.
        oversampling: so many times as many are found before that, at least 1.
        vectors_on_disk: whole vectors are read from disk.
        payload_on_disk: payloads are read from disk, but for indexed fields.
        shards: of an image collection; collections of clusters and records have one.
        replicas: of every shard of every collection.
        write_consistency: replicas that must have a write before it is acknowledged.
        ordering: of writes on several replicas.
        read_consistency: replicas that must agree, by number or share.
        batch: most points in one upsert.
        parallel_upserts: upserts of one call under way at once.
        timeout_s: of one call, in whole seconds.
    """

    hnsw_m: int | None = None
    hnsw_ef_construct: int | None = None
    search_ef: int | None = None
    quantization: Quantization = "none"
    rescore: bool = True
    oversampling: float | None = None
    vectors_on_disk: bool = False
    payload_on_disk: bool | None = None
    shards: int | None = None
    replicas: int | None = None
    write_consistency: int | None = None
    ordering: Ordering = "medium"
    read_consistency: int | Consistency | None = None
    batch: int = 256
    parallel_upserts: int = 2
    timeout_s: int = 60

    def of_images(self, dimension: int) -> dict[str, Any]:
        """Arguments of ``create_collection`` for images."""
        return self._of_vectors(dimension) | _given(
            hnsw_config=self._hnsw(),
            quantization_config=self._quantization_config(),
            on_disk_payload=self.payload_on_disk,
            shard_number=self.shards,
        )

    def of_clusters(self, dimension: int) -> dict[str, Any]:
        """Arguments of ``create_collection`` for clusters: too few to spread, quantise or leave on disk."""
        return {
            "vectors_config": models.VectorParams(size=dimension, distance=models.Distance.COSINE),
            "shard_number": 1,
        }

    def of_every_collection(self) -> dict[str, Any]:
        """Arguments of ``create_collection`` for whatever else does not say otherwise."""
        return _given(replication_factor=self.replicas, write_consistency_factor=self.write_consistency)

    def writes(self) -> dict[str, Any]:
        """Arguments of every write of points."""
        return {"ordering": _ORDERING[self.ordering]}

    def reads(self) -> dict[str, Any]:
        """Arguments of every read of points."""
        consistency = self.read_consistency
        if isinstance(consistency, str):
            return {"consistency": models.ReadConsistencyType(consistency)}
        return _given(consistency=consistency)

    def search_params(self) -> models.SearchParams | None:
        """Of every search; None if there is nothing to say."""
        quantization = None
        if self.quantization != "none":
            oversampling = _OVERSAMPLING[self.quantization] if self.oversampling is None else self.oversampling
            quantization = models.QuantizationSearchParams(
                rescore=self.rescore, oversampling=oversampling if self.rescore else None
            )
        if self.search_ef is None and quantization is None:
            return None
        return models.SearchParams(hnsw_ef=self.search_ef, quantization=quantization)

    def stretches(self, points: Sequence[T], dimension: int, over_grpc: bool) -> Iterator[Sequence[T]]:
        """Points in stretches that one upsert may carry.

        Args:
            points: to be sent.
            dimension: of their vectors.
            over_grpc: or else as JSON.
        """
        each = dimension * (_FLOAT_BYTES if over_grpc else _JSON_FLOAT_BYTES) + _PAYLOAD_BYTES
        length = max(1, min(self.batch, _UPSERT_BYTES // each))
        for start in range(0, len(points), length):
            yield points[start : start + length]

    def differences(self, config: models.CollectionConfig) -> list[str]:
        """What is otherwise in an image collection that exists: ``hnsw_m: 16, not 32`` and the like.

        Settings are for collections yet to be made. One that exists is changed with Qdrant's ``update_collection``, in
        a moment that its operator chooses: its server builds it anew.
        """
        params = config.params
        vectors = params.vectors
        on_disk = isinstance(vectors, models.VectorParams) and bool(vectors.on_disk)
        pairs: list[tuple[str, Any, Any]] = [
            ("qdrant_hnsw_m", config.hnsw_config.m, self.hnsw_m),
            ("qdrant_hnsw_ef_construct", config.hnsw_config.ef_construct, self.hnsw_ef_construct),
            ("qdrant_quantization", _kind(config.quantization_config), self.quantization),
            ("qdrant_vectors_on_disk", on_disk, self.vectors_on_disk),
            ("qdrant_payload_on_disk", params.on_disk_payload, self.payload_on_disk),
            ("qdrant_shards", params.shard_number, self.shards),
            ("qdrant_replicas", params.replication_factor, self.replicas),
            ("qdrant_write_consistency", params.write_consistency_factor, self.write_consistency),
        ]
        return [
            f"{name} is {wanted}, and it has {present}"
            for name, present, wanted in pairs
            if wanted is not None and wanted != present
        ]

    def _of_vectors(self, dimension: int) -> dict[str, Any]:
        on_disk = True if self.vectors_on_disk else None
        return {"vectors_config": models.VectorParams(size=dimension, distance=models.Distance.COSINE, on_disk=on_disk)}

    def _hnsw(self) -> models.HnswConfigDiff | None:
        if self.hnsw_m is None and self.hnsw_ef_construct is None:
            return None
        return models.HnswConfigDiff(m=self.hnsw_m, ef_construct=self.hnsw_ef_construct)

    def _quantization_config(self) -> models.ScalarQuantization | models.BinaryQuantization | None:
        match self.quantization:
            case "none":
                return None
            case "scalar":
                return models.ScalarQuantization(
                    scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
                )
            case "binary":
                return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))


def _given(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


def _kind(quantization: Any) -> str:
    match quantization:
        case None:
            return "none"
        case models.ScalarQuantization():
            return "scalar"
        case models.BinaryQuantization():
            return "binary"
        case other:
            return type(other).__name__
