"""Collections and their schedules."""

from __future__ import annotations

from datetime import time, timedelta

from google.protobuf.duration_pb2 import Duration

from shoal.v1 import collection_pb2
from shoal_client import names
from shoal_client.conversion import times
from shoal_client.errors import InternalError, InvalidArgument
from shoal_client.results import Attachment, CollectionInfo, EmbeddingModel, Schedule, ScheduleStatus

#: A server that is older than the field says nothing, and computes in fp32.
_PRECISIONS = {
    collection_pb2.PRECISION_FP32: "fp32",
    collection_pb2.PRECISION_FP16: "fp16",
    collection_pb2.PRECISION_BF16: "bf16",
    collection_pb2.PRECISION_INT8: "int8",
}


def collection(message: collection_pb2.Collection) -> CollectionInfo:
    """A collection."""
    return CollectionInfo(
        id=names.collection_id(message.name),
        model=EmbeddingModel(
            message.model.name,
            message.model.digest,
            message.model.dimension,
            _PRECISIONS.get(message.model.precision, "fp32"),
            message.model.image_only,
        ),
        created_at=times.time(message.create_time),
        image_count=message.image_count,
        unclustered_count=message.unclustered_count,
        cluster_count=message.cluster_count,
        active_run=names.child_id(message.active_run, names.RUNS) if message.active_run else None,
        schedule=_status(message.schedule, message.schedule_state),
        attachment=_attachment(message.attachment) if message.HasField("attachment") else None,
        problem=message.problem,
    )


def _attachment(message: collection_pb2.Attachment) -> Attachment:
    return Attachment(
        source=message.source,
        vector=message.vector,
        payload_key=message.payload_key,
        filter=message.filter_json,
    )


def schedule_message(schedule: Schedule) -> collection_pb2.Schedule:
    """The message for a schedule.

    Raises:
        InvalidArgument: a part of it makes no sense, whatever the server's limits are.
    """
    if (schedule.quiet_from is None) != (schedule.quiet_to is None):
        raise InvalidArgument(
            "quiet hours have a beginning and an end; give both of quiet_from and quiet_to", reason="INVALID_FIELD"
        )
    if schedule.interval is not None and schedule.interval <= timedelta(0):
        raise InvalidArgument(
            f"interval is {schedule.interval}; it must be at least a minute, or None for never", reason="INVALID_FIELD"
        )
    if schedule.growth is not None and not schedule.growth > 0:
        raise InvalidArgument(
            f"growth is {schedule.growth}; it must be above 0 (0.2 is a fifth), or None for never",
            reason="INVALID_FIELD",
        )
    return collection_pb2.Schedule(
        disabled=not schedule.enabled,
        interval=_duration(schedule.interval),
        growth=schedule.growth or 0.0,
        quiet_from=_clock(schedule.quiet_from),
        quiet_to=_clock(schedule.quiet_to),
        time_zone=schedule.time_zone,
    )


def _status(schedule: collection_pb2.Schedule, state: collection_pb2.ScheduleState) -> ScheduleStatus:
    return ScheduleStatus(
        schedule=Schedule(
            enabled=not schedule.disabled,
            interval=schedule.interval.ToTimedelta() if schedule.HasField("interval") else None,
            growth=schedule.growth or None,
            quiet_from=_time_of_day(schedule.quiet_from),
            quiet_to=_time_of_day(schedule.quiet_to),
            time_zone=schedule.time_zone or "UTC",
        ),
        server_default=state.server_default,
        next_run_at=times.time(state.next_run_time) if state.HasField("next_run_time") else None,
        next_run_reason=state.next_run_reason,
        last_run_at=times.time(state.last_run_time) if state.HasField("last_run_time") else None,
        last_run_images=state.last_run_image_count,
        quiet=state.quiet,
    )


def _duration(interval: timedelta | None) -> Duration | None:
    if interval is None:
        return None
    message = Duration()
    message.FromTimedelta(interval)
    return message


def _clock(of_day: time | None) -> str:
    return "" if of_day is None else of_day.strftime("%H:%M")


def _time_of_day(text: str) -> time | None:
    try:
        return time.fromisoformat(text) if text else None
    except ValueError as error:
        raise InternalError(
            f"the server answered with the time {text!r} where HH:MM belongs; is it another version?"
        ) from error
