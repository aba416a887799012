"""The JSON fields of the command line: programs rely on them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from shoal_client.errors import ShoalError
from shoal_client.results import Assignment, Cluster, ClusterMatch, CollectionInfo, Image, ImageMatch


def collection_record(collection: CollectionInfo) -> dict[str, Any]:
    """A collection; its model by name, what it is attached to, if it is, and why it cannot be used, if it cannot."""
    record: dict[str, Any] = {
        "name": collection.id,
        "images": collection.image_count,
        "unclustered": collection.unclustered_count,
        "clusters": collection.cluster_count,
        "model": collection.model.name or None,
        "precision": collection.model.precision,
        "image_only": collection.model.image_only,
    }
    if (attachment := collection.attachment) is not None:
        record |= {
            "attached_to": attachment.source,
            "vector": attachment.vector or None,
            "payload_key": attachment.payload_key,
            "filter": json.loads(attachment.filter) if attachment.filter else None,
        }
    if collection.problem:
        record["problem"] = collection.problem
    return record


def image_record(image: Image) -> dict[str, Any]:
    """A stored image with its payload fields; a field that is not known is left out, except ``cluster_id``."""
    metadata = asdict(image.metadata)
    if image.metadata.captured_at is None:
        del metadata["local_time"]  # there is no time that it could speak of
    groups = {"place_id": image.place_id, "moment_id": image.moment_id}
    known = {name: value for name, value in (groups | metadata).items() if value is not None}
    hashes = {} if image.phash is None else {"phash": image.phash}
    return {
        "id": image.id,
        "uri": image.uri,
        "also_at": list(image.also_at),
        "cluster_id": image.cluster_id,
        "sha256": image.sha256,
        **hashes,
        "tags": list(image.tags),
        # A protobuf map comes in another order each time.
        "attributes": dict(sorted(image.attributes.items())),
        **known,
        "ingested_at": image.ingested_at.isoformat(),
    }


def image_match_record(match: ImageMatch) -> dict[str, Any]:
    """An image found."""
    image = match.image
    return {"id": image.id, "uri": image.uri, "score": match.score, "cluster_id": image.cluster_id}


def cluster_record(cluster: Cluster) -> dict[str, Any]:
    """A cluster."""
    return {
        "id": cluster.id,
        "name": cluster.name,
        "size": cluster.size,
        "name_source": cluster.name_source.value,
        "cohesion": cluster.cohesion,
        "separation": cluster.separation,
        "pinned": cluster.pinned,
        "theme_id": cluster.theme_id,
        "exemplars": list(cluster.exemplars),
    }


def cluster_details(cluster: Cluster) -> dict[str, Any]:
    """All that is known of a cluster; ``medoid`` is its most typical image."""
    return {
        "id": cluster.id,
        "name": cluster.name,
        "name_source": cluster.name_source.value,
        "name_candidates": [asdict(each) for each in cluster.name_candidates],
        "size": cluster.size,
        "run_size": cluster.run_size,
        "cohesion": cluster.cohesion,
        "separation": cluster.separation,
        "assign_threshold": cluster.assign_threshold,
        "pinned": cluster.pinned,
        "merged": cluster.merged,
        "split": cluster.split,
        "theme_id": cluster.theme_id,
        "created_at": cluster.created_at.isoformat(),
        "medoid": cluster.exemplars[0] if cluster.exemplars else None,
        "exemplars": list(cluster.exemplars),
        "borderline": list(cluster.borderline),
    }


def cluster_match_record(match: ClusterMatch) -> dict[str, Any]:
    """A cluster found."""
    cluster = match.cluster
    found = {"id": cluster.id, "name": cluster.name, "score": match.score, "size": cluster.size}
    return found if match.matching is None else found | {"matching": match.matching}


def assignment_record(assignment: Assignment) -> dict[str, Any]:
    """An image's cluster."""
    return {
        "cluster_id": assignment.cluster_id,
        "name": assignment.name,
        "similarity": assignment.similarity,
        "outlier": assignment.outlier,
        "outlier_score": assignment.outlier_score,
        "alternatives": [asdict(each) for each in assignment.alternatives],
    }


def failure_record(path: str, error: ShoalError) -> dict[str, Any]:
    """An image that was not stored."""
    return {"path": path, "error": error.message, "reason": error.reason}


def ingest_record(
    *, stored: int, duplicates: int, near_duplicates: int, known: int, failed: int, skipped: int, seconds: float
) -> dict[str, Any]:
    """What became of an ingest.

    ``known`` of the ``duplicates`` were not even read, ``near_duplicates`` were not stored, ``skipped`` files of
    folders were not sent, ``seconds`` is how long it took.
    """
    return {
        "stored": stored,
        "duplicates": duplicates,
        "near_duplicates": near_duplicates,
        "known": known,
        "failed": failed,
        "skipped": skipped,
        "seconds": round(seconds, 3),
    }
