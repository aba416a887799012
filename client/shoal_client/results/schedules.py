"""When a collection is clustered again by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a collection is clustered again by itself.

    Attributes:
        enabled: whether anything happens by itself.
        interval: after so much time since the last run, if images came or went; at least a minute; None: never.
        growth: after the number of images has changed by this share since the last run, above 0; None: never.
        quiet_from: no run begins from this local time on, to the minute ...
        quiet_to: ... until this one, which may be the next day; both or none.
        time_zone: IANA name of the time zone of the quiet hours.
    """

    enabled: bool = True
    interval: timedelta | None = None
    growth: float | None = None
    quiet_from: time | None = None
    quiet_to: time | None = None
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """A schedule and what it is about to do.

    Attributes:
        server_default: the schedule is that of the server's settings, not the collection's own.
        next_run_at: when the next run begins as things are now; None: not before images come or go.
        next_run_reason: ``interval`` or ``growth``; empty if there is no next run.
        last_run_at: when the last run ended, whatever became of it; None before the first.
        last_run_images: images that the last successful run read.
        quiet: no run begins now because of the quiet hours.
    """

    schedule: Schedule
    server_default: bool
    next_run_at: datetime | None = None
    next_run_reason: str = ""
    last_run_at: datetime | None = None
    last_run_images: int = 0
    quiet: bool = False
