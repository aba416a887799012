"""Corrections as records."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shoal_server.domain.cluster import Hold, NameSource
from shoal_server.domain.correction import Correction, CorrectionKind, Former
from shoal_server.domain.records.values import Record, optional_datetime, optional_iso


def correction_to_record(correction: Correction) -> Record:
    """A correction as JSON values."""
    return {
        "id": correction.id,
        "kind": correction.kind.value,
        "author": correction.author,
        "created_at": correction.created_at.isoformat(),
        "clusters": [int(each) for each in correction.clusters],
        "images": int(correction.images),
        "detail": correction.detail,
        "former": [_former_to_record(each) for each in correction.former],
        "run": correction.run,
        "undone_at": optional_iso(correction.undone_at),
        "undone_by": correction.undone_by,
    }


def correction_from_record(record: Mapping[str, Any]) -> Correction:
    """The inverse of :func:`correction_to_record`."""
    return Correction(
        id=record["id"],
        kind=CorrectionKind(record["kind"]),
        author=record["author"],
        created_at=datetime.fromisoformat(record["created_at"]),
        clusters=tuple(int(each) for each in record["clusters"]),
        images=int(record["images"]),
        detail=record["detail"],
        former=tuple(_former_from_record(each) for each in record["former"]),
        run=record["run"],
        undone_at=optional_datetime(record["undone_at"]),
        undone_by=record["undone_by"],
    )


def _former_to_record(former: Former) -> Record:
    return {
        "cluster_id": int(former.cluster_id),
        "name": former.name,
        "name_source": former.name_source.value,
        "holds": sorted(each.value for each in former.holds),
        "created_at": former.created_at.isoformat(),
    }


def _former_from_record(record: Mapping[str, Any]) -> Former:
    return Former(
        cluster_id=int(record["cluster_id"]),
        name=record["name"],
        name_source=NameSource(record["name_source"]),
        holds=frozenset(Hold(each) for each in record["holds"]),
        created_at=datetime.fromisoformat(record["created_at"]),
    )
