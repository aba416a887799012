"""Between the domain and protobuf, both ways."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

import grpc
import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from google.type import latlng_pb2

from shoal.v1 import cluster_pb2, collection_pb2, image_pb2
from shoal_server.application.curation import CountedCluster
from shoal_server.application.overview import CountedCollection
from shoal_server.application.queries import ContentQuery, ImageQuery, Query, TextQuery, VectorQuery
from shoal_server.domain.cluster import Cluster, NameSource
from shoal_server.domain.errors import InvalidField, InvalidName
from shoal_server.domain.image import Image, ImageFilter, Metadata
from shoal_server.domain.run import ClusteringRun, RequestedParameters, RunStage, RunState
from shoal_server.rpc.errors import shoal_status
from shoal_server.rpc.resource_names import (
    cluster_name,
    collection_name,
    image_name,
    parse_cluster,
    parse_image,
    run_name,
)

Id = TypeVar("Id")

_NAME_SOURCES = {
    NameSource.AUTOMATIC: cluster_pb2.NAME_SOURCE_AUTOMATIC,
    NameSource.PERSON: cluster_pb2.NAME_SOURCE_PERSON,
}
_STATES = {
    RunState.RUNNING: cluster_pb2.RUN_STATE_RUNNING,
    RunState.SUCCEEDED: cluster_pb2.RUN_STATE_SUCCEEDED,
    RunState.FAILED: cluster_pb2.RUN_STATE_FAILED,
    RunState.CANCELLED: cluster_pb2.RUN_STATE_CANCELLED,
}
_STAGES = {
    RunStage.READING: cluster_pb2.RUN_STAGE_READING,
    RunStage.NEIGHBORS: cluster_pb2.RUN_STAGE_NEIGHBORS,
    RunStage.REDUCING: cluster_pb2.RUN_STAGE_REDUCING,
    RunStage.GROUPING: cluster_pb2.RUN_STAGE_GROUPING,
    RunStage.MAPPING: cluster_pb2.RUN_STAGE_MAPPING,
    RunStage.MATCHING: cluster_pb2.RUN_STAGE_MATCHING,
    RunStage.WRITING: cluster_pb2.RUN_STAGE_WRITING,
}
#: Fields of Metadata that have the same name and type in ImageMetadata.
_SAME = (
    "width", "height", "format", "byte_size", "orientation", "captured_at", "camera_make", "camera_model", "lens",
    "iso", "f_number", "exposure_s", "focal_length_mm",
)  # fmt: skip


def timestamp(moment: datetime | None) -> Timestamp | None:
    """An aware moment; None stays None."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def collection(counted: CountedCollection) -> collection_pb2.Collection:
    """A collection with its counts."""
    record = counted.collection
    return collection_pb2.Collection(
        name=collection_name(record.id),
        model=collection_pb2.EmbeddingModel(
            name=record.model.name,
            digest=record.model.digest,
            dimension=record.model.dimension,
            distance=collection_pb2.DISTANCE_COSINE,
        ),
        create_time=timestamp(record.created_at),
        image_count=counted.images,
        unclustered_count=counted.unclustered,
        cluster_count=counted.clusters,
        active_run="" if record.active_run is None else run_name(record.id, record.active_run),
    )


def image(collection_id: str, stored: Image) -> image_pb2.Image:
    """A stored image."""
    return image_pb2.Image(
        name=image_name(collection_id, stored.id),
        sha256=stored.sha256,
        uri=stored.uri,
        tags=stored.tags,
        cluster="" if stored.cluster_id is None else cluster_name(collection_id, stored.cluster_id),
        metadata=metadata(stored.metadata),
        ingest_time=timestamp(stored.ingested_at),
    )


def metadata(read: Metadata) -> image_pb2.ImageMetadata:
    """What was read from a file."""
    location = read.location
    message = image_pb2.ImageMetadata(
        location=None if location is None else latlng_pb2.LatLng(latitude=location.lat, longitude=location.lon)
    )
    for name in _SAME:
        value = getattr(read, name)
        if value is not None:
            setattr(message, name, value)
    return message


def cluster(collection_id: str, counted: CountedCluster) -> cluster_pb2.Cluster:
    """A cluster with its present size."""
    described: Cluster = counted.cluster
    return cluster_pb2.Cluster(
        name=cluster_name(collection_id, described.id),
        display_name=described.name,
        name_source=_NAME_SOURCES[described.name_source],
        name_candidates=[
            cluster_pb2.NameCandidate(display_name=candidate.name, score=candidate.score)
            for candidate in described.candidates
        ],
        size=counted.size,
        run_size=described.size,
        exemplars=[image_name(collection_id, exemplar) for exemplar in described.exemplars],
        cohesion=described.cohesion,
        assign_threshold=described.threshold,
        create_time=timestamp(described.created_at),
    )


def run(collection_id: str, record: ClusteringRun, active_run: str | None) -> cluster_pb2.ClusteringRun:
    """A clustering run."""
    message = cluster_pb2.ClusteringRun(
        name=run_name(collection_id, record.id),
        state=_STATES[record.state],
        stage=_STAGES[record.stage],
        progress=record.progress,
        create_time=timestamp(record.created_at),
        end_time=timestamp(record.ended_at),
        active=record.id == active_run,
        parameters=_parameters(record),
    )
    if record.state is RunState.FAILED:
        error = shoal_status(grpc.StatusCode.INTERNAL, record.error or "", record.error_reason or "", {})
        message.error.CopyFrom(error)
    if record.state is RunState.SUCCEEDED and record.summary is not None:
        summary = record.summary
        message.summary.CopyFrom(
            cluster_pb2.ClusteringSummary(
                image_count=summary.images,
                cluster_count=summary.clusters,
                clustered_count=summary.clustered,
                noise_count=summary.noise,
                payload_write_count=summary.payload_writes,
                kept_count=summary.kept,
                born_count=summary.born,
                dissolved_count=summary.dissolved,
            )
        )
    return message


def _parameters(record: ClusteringRun) -> cluster_pb2.ClusteringParameters:
    chosen = record.parameters or record.requested
    return cluster_pb2.ClusteringParameters(
        n_neighbors=chosen.n_neighbors or 0,
        n_components=chosen.n_components or 0,
        min_cluster_size=chosen.min_cluster_size or 0,
        min_samples=chosen.min_samples or 0,
        seed=chosen.seed,
    )


def requested_parameters(message: cluster_pb2.ClusteringParameters) -> RequestedParameters:
    """What a caller wants of a run; 0 and not set leave the choice to Shoal."""
    return RequestedParameters(
        n_neighbors=message.n_neighbors or None,
        n_components=message.n_components or None,
        min_cluster_size=message.min_cluster_size or None,
        min_samples=message.min_samples or None,
        seed=message.seed if message.HasField("seed") else None,
    )


def image_filter(collection_id: str, message: image_pb2.ImageFilter) -> ImageFilter:
    """Which images.

    Raises:
        InvalidField: clusters and unclustered exclude one another.
        InvalidName: a cluster is not one of this collection.
    """
    if message.clusters and message.unclustered:
        raise InvalidField("filter", "'clusters' and 'unclustered' exclude one another; give one of them")
    return ImageFilter(
        clusters=tuple(_within(collection_id, parse_cluster(name), name) for name in message.clusters),
        unclustered=message.unclustered,
    )


def query_of(
    collection_id: str, text: str, content: bytes, name: str, vector: image_pb2.Vector, which: str | None
) -> Query:
    """What to look for, of a request's ``oneof``.

    Raises:
        InvalidField: nothing is given.
        InvalidName: the image is not one of this collection.
    """
    match which:
        case "text":
            return TextQuery(text)
        case "image_content":
            return ContentQuery(content)
        case "image_name":
            return ImageQuery(_within(collection_id, parse_image(name), name))
        case "vector":
            return VectorQuery(np.array(vector.values, dtype=np.float32))
        case _:
            raise InvalidField("query", "is missing; give a text, an image's bytes, an image's name or a vector")


def _within(collection_id: str, parsed: tuple[str, Id], name: str) -> Id:
    if parsed[0] != collection_id:
        raise InvalidName(name, f"{collection_name(collection_id)}/...: it is of another collection than the request")
    return parsed[1]
