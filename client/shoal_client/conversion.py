"""From the API's messages to the client's results; the only place that knows both."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from shoal.v1 import cluster_pb2, cluster_service_pb2, collection_pb2, image_pb2, image_service_pb2
from shoal_client import names
from shoal_client.errors import InternalError, InvalidArgument, from_status
from shoal_client.results import (
    Alternative,
    Assignment,
    Cluster,
    ClusteringParameters,
    ClusteringRun,
    ClusteringSummary,
    CollectionInfo,
    EmbeddingModel,
    Image,
    ImageMetadata,
    IngestResult,
    Location,
    NameCandidate,
    NameSource,
    Outcome,
    RunStage,
    RunState,
)

NAME_SOURCES = {
    cluster_pb2.NAME_SOURCE_AUTOMATIC: NameSource.AUTOMATIC,
    cluster_pb2.NAME_SOURCE_PERSON: NameSource.PERSON,
}
RUN_STATES = {
    cluster_pb2.RUN_STATE_RUNNING: RunState.RUNNING,
    cluster_pb2.RUN_STATE_SUCCEEDED: RunState.SUCCEEDED,
    cluster_pb2.RUN_STATE_FAILED: RunState.FAILED,
    cluster_pb2.RUN_STATE_CANCELLED: RunState.CANCELLED,
}
RUN_STAGES = {
    cluster_pb2.RUN_STAGE_READING: RunStage.READING,
    cluster_pb2.RUN_STAGE_NEIGHBORS: RunStage.NEIGHBORS,
    cluster_pb2.RUN_STAGE_REDUCING: RunStage.REDUCING,
    cluster_pb2.RUN_STAGE_GROUPING: RunStage.GROUPING,
    cluster_pb2.RUN_STAGE_MAPPING: RunStage.MAPPING,
    cluster_pb2.RUN_STAGE_MATCHING: RunStage.MATCHING,
    cluster_pb2.RUN_STAGE_WRITING: RunStage.WRITING,
}
_OPTIONAL_METADATA = (
    "orientation", "captured_at", "camera_make", "camera_model", "lens", "iso", "f_number", "exposure_s",
    "focal_length_mm",
)  # fmt: skip


def collection(message: collection_pb2.Collection) -> CollectionInfo:
    """A collection."""
    return CollectionInfo(
        id=names.collection_id(message.name),
        model=EmbeddingModel(message.model.name, message.model.digest, message.model.dimension),
        created_at=_time(message.create_time),
        image_count=message.image_count,
        unclustered_count=message.unclustered_count,
        cluster_count=message.cluster_count,
        active_run=names.child_id(message.active_run, names.RUNS) if message.active_run else None,
    )


def image(message: image_pb2.Image) -> Image:
    """A stored image."""
    return Image(
        id=names.child_id(message.name, names.IMAGES),
        sha256=message.sha256,
        uri=message.uri,
        tags=tuple(message.tags),
        cluster_id=names.cluster_id(message.cluster) if message.cluster else None,
        metadata=_metadata(message.metadata),
        ingested_at=_time(message.ingest_time),
    )


def ingest_result(index: int, uri: str, message: image_service_pb2.IngestImagesResponse) -> IngestResult:
    """What became of one image.

    Raises:
        InternalError: the response says neither that it was stored nor why not.
    """
    match message.WhichOneof("result"):
        case "image":
            outcome = Outcome.DUPLICATE if message.duplicate else Outcome.STORED
            return IngestResult(index, uri, outcome, image=image(message.image))
        case "error":
            return IngestResult(index, uri, Outcome.FAILED, error=from_status(message.error))
    raise InternalError("the server answered an image with neither a result nor an error; is it another version?")


def cluster(message: cluster_pb2.Cluster) -> Cluster:
    """A cluster."""
    return Cluster(
        id=names.cluster_id(message.name),
        name=message.display_name,
        name_source=NAME_SOURCES.get(message.name_source, NameSource.UNKNOWN),
        name_candidates=tuple(NameCandidate(each.display_name, each.score) for each in message.name_candidates),
        size=message.size,
        run_size=message.run_size,
        exemplars=tuple(names.child_id(each, names.IMAGES) for each in message.exemplars),
        cohesion=message.cohesion,
        assign_threshold=message.assign_threshold,
        created_at=_time(message.create_time),
    )


def assignment(message: cluster_service_pb2.AssignImageResponse) -> Assignment:
    """The cluster of an image."""
    return Assignment(
        cluster_id=names.cluster_id(message.cluster) if message.cluster else None,
        name=message.display_name if message.cluster else None,
        similarity=message.similarity,
        outlier=message.outlier,
        alternatives=tuple(
            Alternative(names.cluster_id(each.cluster), each.display_name, each.similarity, each.share)
            for each in message.alternatives
        ),
    )


def run(message: cluster_pb2.ClusteringRun) -> ClusteringRun:
    """A clustering run."""
    return ClusteringRun(
        id=names.child_id(message.name, names.RUNS),
        state=RUN_STATES.get(message.state, RunState.UNKNOWN),
        stage=RUN_STAGES.get(message.stage, RunStage.UNKNOWN),
        progress=message.progress,
        created_at=_time(message.create_time),
        ended_at=_time(message.end_time) if message.HasField("end_time") else None,
        error=from_status(message.error) if message.HasField("error") else None,
        active=message.active,
        parameters=_parameters(message.parameters),
        summary=_summary(message.summary) if message.HasField("summary") else None,
    )


def parameters_message(parameters: ClusteringParameters) -> cluster_pb2.ClusteringParameters:
    """The message for what a caller wants; what is None is left for the server to choose.

    Raises:
        InvalidArgument: a value does not fit into the message.
    """
    try:
        return cluster_pb2.ClusteringParameters(
            n_neighbors=parameters.n_neighbors or 0,
            n_components=parameters.n_components or 0,
            min_cluster_size=parameters.min_cluster_size or 0,
            min_samples=parameters.min_samples or 0,
            seed=parameters.seed,
        )
    except ValueError as error:
        raise InvalidArgument(
            f"a clustering parameter is far out of its range: {error}", reason="INVALID_FIELD"
        ) from error


def _parameters(message: cluster_pb2.ClusteringParameters) -> ClusteringParameters:
    return ClusteringParameters(
        n_neighbors=message.n_neighbors or None,
        n_components=message.n_components or None,
        min_cluster_size=message.min_cluster_size or None,
        min_samples=message.min_samples or None,
        seed=message.seed if message.HasField("seed") else None,
    )


def _summary(message: cluster_pb2.ClusteringSummary) -> ClusteringSummary:
    return ClusteringSummary(
        images=message.image_count,
        clusters=message.cluster_count,
        clustered=message.clustered_count,
        noise=message.noise_count,
        payload_writes=message.payload_write_count,
        kept=message.kept_count,
        born=message.born_count,
        dissolved=message.dissolved_count,
    )


def _metadata(message: image_pb2.ImageMetadata) -> ImageMetadata:
    has_location = message.HasField("location")
    return ImageMetadata(
        width=message.width,
        height=message.height,
        format=message.format,
        byte_size=message.byte_size,
        location=Location(message.location.latitude, message.location.longitude) if has_location else None,
        **{field.name: value for field, value in message.ListFields() if field.name in _OPTIONAL_METADATA},
    )


def _time(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)
