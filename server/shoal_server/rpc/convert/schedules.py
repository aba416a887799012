"""Schedules and what comes of them."""

from __future__ import annotations

import re
from datetime import time, timedelta

from google.protobuf.duration_pb2 import Duration

from shoal.v1 import collection_pb2
from shoal_server.application.scheduling import ScheduleStatus
from shoal_server.domain.errors import InvalidField
from shoal_server.domain.schedule import Schedule
from shoal_server.rpc.convert.values import timestamp

_LOCAL_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


def schedule(wanted: Schedule) -> collection_pb2.Schedule:
    """A schedule."""
    message = collection_pb2.Schedule(
        disabled=not wanted.enabled,
        growth=wanted.growth or 0.0,
        quiet_from=_hours(wanted.quiet_from),
        quiet_to=_hours(wanted.quiet_to),
        time_zone=wanted.timezone,
    )
    if wanted.interval is not None:
        message.interval.FromTimedelta(wanted.interval)
    return message


def schedule_state(status: ScheduleStatus) -> collection_pb2.ScheduleState:
    """What a schedule is about to do."""
    due = status.next_run
    return collection_pb2.ScheduleState(
        server_default=status.is_default,
        next_run_time=None if due is None else timestamp(due.at),
        next_run_reason="" if due is None else due.reason.value,
        last_run_time=timestamp(status.last_run_at),
        last_run_image_count=status.images_then,
        quiet=status.in_quiet_hours,
    )


def requested_schedule(message: collection_pb2.Collection) -> Schedule | None:
    """The schedule that a collection is to have; None for the server's.

    Raises:
        InvalidField: it makes no sense.
    """
    if not message.HasField("schedule"):
        return None
    asked = message.schedule
    wanted = Schedule(
        enabled=not asked.disabled,
        interval=_interval(asked.interval) if asked.HasField("interval") else None,
        growth=asked.growth or None,
        quiet_from=_local_time("schedule.quiet_from", asked.quiet_from),
        quiet_to=_local_time("schedule.quiet_to", asked.quiet_to),
        timezone=asked.time_zone or "UTC",
    )
    wanted.check()
    return wanted


def _interval(message: Duration) -> timedelta:
    try:
        return message.ToTimedelta()
    except (OverflowError, ValueError) as error:
        raise InvalidField(
            "schedule.interval", f"{message.seconds} s and {message.nanos} ns are not a duration"
        ) from error


def _local_time(field: str, text: str) -> time | None:
    if not text:
        return None
    match = _LOCAL_TIME.fullmatch(text)
    if match is None:
        raise InvalidField(field, f"{text[:40]!r} is not a time of day as HH:MM, for instance 08:00 or 22:30")
    return time(int(match[1]), int(match[2]))


def _hours(local: time | None) -> str:
    return "" if local is None else f"{local:%H:%M}"
