"""How a collection was made, as a server tells it: what was asked for over the server's defaults."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from qdrant_client import models

_HNSW = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000, "max_indexing_threads": 0, "on_disk": False}
_PARAMS = {"shard_number": 1, "replication_factor": 1, "write_consistency_factor": 1, "on_disk_payload": True}


def told(made: models.CreateCollection, local: models.CollectionConfig) -> models.CollectionConfig:
    """The configuration of a collection.

    Args:
        made: what was asked for, and changed since.
        local: what the local mode says, for what nobody can set.
    """
    params = _PARAMS | _set(made, *models.CollectionParams.model_fields)
    optimizer = local.optimizer_config.model_dump() | _fields(made.optimizers_config)
    return models.CollectionConfig(
        params=models.CollectionParams.model_validate(params),
        hnsw_config=models.HnswConfig.model_validate(_HNSW | _fields(made.hnsw_config)),
        optimizer_config=models.OptimizersConfig.model_validate(optimizer),
        wal_config=models.WalConfig.model_validate(_fields(local.wal_config) | _fields(made.wal_config)),
        quantization_config=made.quantization_config,
        metadata=local.metadata,
    )


def applied(made: models.CreateCollection, changes: models.UpdateCollection) -> models.CreateCollection:
    """What was asked for, with changes; a setting that they do not name stays."""
    whole: dict[str, Any] = {}
    if changes.vectors is not None:
        whole["vectors"] = _changed_vectors(made.vectors, changes.vectors)
    if changes.params is not None:
        whole |= _fields(changes.params)
    for name in ("hnsw_config", "optimizers_config"):
        if (change := getattr(changes, name)) is not None:
            whole[name] = type(change).model_validate(_fields(getattr(made, name)) | _fields(change))
    if changes.quantization_config is not None:
        whole["quantization_config"] = _unless_disabled(changes.quantization_config)
    return made.model_copy(update=whole)


def _changed_vectors(
    vectors: models.VectorParams | dict[str, models.VectorParams] | None, changes: dict[str, models.VectorParamsDiff]
) -> models.VectorParams | dict[str, models.VectorParams] | None:
    if isinstance(vectors, models.VectorParams):
        return _changed(vectors, changes[""]) if "" in changes else vectors
    return {
        name: _changed(params, changes[name]) if name in changes else params for name, params in (vectors or {}).items()
    }


def _changed(params: models.VectorParams, change: models.VectorParamsDiff) -> models.VectorParams:
    whole: dict[str, Any] = {}
    if change.on_disk is not None:
        whole["on_disk"] = change.on_disk
    if change.hnsw_config is not None:
        merged = _fields(params.hnsw_config) | _fields(change.hnsw_config)
        whole["hnsw_config"] = models.HnswConfigDiff.model_validate(merged)
    if change.quantization_config is not None:
        whole["quantization_config"] = _unless_disabled(change.quantization_config)
    return params.model_copy(update=whole)


def _unless_disabled(quantization: Any) -> Any:
    return None if isinstance(quantization, models.Disabled) else quantization


def _fields(part: BaseModel | None) -> dict[str, Any]:
    return {} if part is None else part.model_dump(exclude_none=True)


def _set(part: BaseModel, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(part, name, None)) is not None}
