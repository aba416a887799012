"""Collections."""

from __future__ import annotations

from shoal.v1 import collection_pb2
from shoal_server.application.overview import CountedCollection
from shoal_server.application.scheduling import ScheduleStatus
from shoal_server.domain.attachment import Attachment, Distance
from shoal_server.domain.collection import Precision
from shoal_server.rpc.convert.schedules import schedule, schedule_state
from shoal_server.rpc.convert.values import timestamp
from shoal_server.rpc.resource_names import collection_name, run_name

_DISTANCES = {
    Distance.COSINE: collection_pb2.DISTANCE_COSINE,
    Distance.DOT: collection_pb2.DISTANCE_DOT,
    Distance.EUCLID: collection_pb2.DISTANCE_EUCLID,
    Distance.MANHATTAN: collection_pb2.DISTANCE_MANHATTAN,
}

_PRECISIONS = {
    Precision.FP32: collection_pb2.PRECISION_FP32,
    Precision.FP16: collection_pb2.PRECISION_FP16,
    Precision.BF16: collection_pb2.PRECISION_BF16,
    Precision.INT8: collection_pb2.PRECISION_INT8,
}


def collection(counted: CountedCollection, status: ScheduleStatus) -> collection_pb2.Collection:
    """A collection with its counts and its schedule."""
    record = counted.collection
    return collection_pb2.Collection(
        name=collection_name(record.id),
        model=collection_pb2.EmbeddingModel(
            name=record.model.name,
            digest=record.model.digest,
            dimension=record.model.dimension,
            distance=_DISTANCES[record.attachment.distance] if record.attachment else collection_pb2.DISTANCE_COSINE,
            precision=_PRECISIONS[record.model.precision],
            image_only=not record.model.reads_text,
        ),
        create_time=timestamp(record.created_at),
        image_count=counted.images,
        unclustered_count=counted.unclustered,
        cluster_count=counted.clusters,
        active_run="" if record.active_run is None else run_name(record.id, record.active_run),
        schedule=schedule(status.schedule),
        schedule_state=schedule_state(status),
        attachment=None if record.attachment is None else _attachment(record.attachment),
        problem=counted.problem,
    )


def _attachment(attachment: Attachment) -> collection_pb2.Attachment:
    return collection_pb2.Attachment(
        source=attachment.source,
        vector=attachment.vector,
        payload_key=attachment.payload_key,
        filter_json=attachment.where,
    )
