"""When a collection is clustered again by itself."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from shoal_server.domain.errors import InvalidField
from shoal_server.domain.run import MIN_IMAGES

MIN_INTERVAL = timedelta(minutes=1)
MAX_INTERVAL = timedelta(days=3650)
MAX_GROWTH = 100.0

#: Fewer images than this that came or went are no reason for a run by growth: the vote at ingest does well with them.
MIN_NEW = 10
#: A run by growth waits until nothing came or went for so long, so that it does not begin in the middle of an ingest.
SETTLE = timedelta(seconds=60)
#: What follows a failed run waits this long, or for the interval if that is shorter; twice as long after each further
#: failure, up to the longest.
FIRST_WAIT = timedelta(hours=1)
LONGEST_WAIT = timedelta(hours=24)

_MINUTE = timedelta(minutes=1)
_HOURS = re.compile(r"([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})")


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a collection's keeper wants.

    Attributes:
        enabled: whether anything happens by itself.
        interval: after so much time since the last run, if images came or went; 1 minute to 3650 days; None: never.
        growth: after the number of images has changed by this share since the last run, above 0 and at most 100; None:
            never.
        quiet_from: no run begins from this local time on ...
        quiet_to: ... until this one; both or none, in whole minutes; the hours may span midnight.
        timezone: IANA name that the quiet hours are in.
    """

    enabled: bool = True
    interval: timedelta | None = timedelta(hours=24)
    growth: float | None = 0.2
    quiet_from: time | None = None
    quiet_to: time | None = None
    timezone: str = "UTC"

    def check(self) -> None:
        """Raises:
        InvalidField: a value is out of its range, or only one of the quiet hours is given.
        """
        if self.interval is not None and not MIN_INTERVAL <= self.interval <= MAX_INTERVAL:
            raise InvalidField("schedule.interval", f"{self.interval} is not in 1 minute to {MAX_INTERVAL.days} days")
        # Written so that NaN is refused too.
        if self.growth is not None and not 0 < self.growth <= MAX_GROWTH:
            raise InvalidField("schedule.growth", f"{self.growth:g} is not above 0 and at most {MAX_GROWTH:g}")
        if self.quiet_from is None or self.quiet_to is None:
            if self.quiet_from is not self.quiet_to:
                raise InvalidField("schedule.quiet_hours", "only one of their two ends is given; give both or none")
        elif self.quiet_from == self.quiet_to:
            raise InvalidField(
                "schedule.quiet_hours", "they begin when they end; give two times, or disable the schedule"
            )
        for end in (self.quiet_from, self.quiet_to):
            if end is not None and (end.second or end.microsecond or end.tzinfo is not None):
                raise InvalidField("schedule.quiet_hours", f"{end} is not a local time in whole minutes, like 08:00")
        _zone(self.timezone)


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """What a schedule looks at. All dates are aware, UTC.

    Attributes:
        last_run_at: when the last run ended, whatever became of it; None before the first.
        images_then: images that the last successful run read; 0 before the first.
        images_now: images that are there.
        last_change_at: when an image last came or went since the server started; None if none did.
        created_at: when the collection was made; None: not known. The interval counts from it before the first run.
        read_at: when the last successful run began; it may not have seen what came or went later.
        failures: runs since the last successful one, none of which succeeded.
    """

    last_run_at: datetime | None
    images_then: int
    images_now: int
    last_change_at: datetime | None
    created_at: datetime | None = None
    read_at: datetime | None = None
    failures: int = 0


class DueReason(StrEnum):
    """What makes a run due."""

    INTERVAL = "interval"
    GROWTH = "growth"


@dataclass(frozen=True, slots=True)
class Due:
    """The next run, if nothing changes until then. Dates are aware, UTC.

    Attributes:
        at: when it begins; never in quiet hours.
        since: when it is or became due; before ``at`` if it had to wait for the end of the quiet hours, or for the
            server.
        reason: what makes it due.
    """

    at: datetime
    since: datetime
    reason: DueReason


def parse_quiet_hours(text: str) -> tuple[time, time]:
    """Reads ``08:00-18:00``, or ``22:00-06:00``.

    Raises:
        InvalidField: the text has another form, or its two times are the same.
    """
    match = _HOURS.fullmatch(text.strip())
    problem = f"{text[:40]!r} is not two times, for instance 08:00-18:00 or 22:00-06:00"
    if match is None:
        raise InvalidField("quiet_hours", problem)
    from_hour, from_minute, to_hour, to_minute = map(int, match.groups())
    try:
        begin, end = time(from_hour, from_minute), time(to_hour, to_minute)
    except ValueError as error:
        raise InvalidField("quiet_hours", problem) from error
    if begin == end:
        raise InvalidField("quiet_hours", f"{text[:40]!r} begins when it ends")
    return begin, end


def in_quiet_hours(schedule: Schedule, at: datetime) -> bool:
    """Whether a clock on the wall in the schedule's timezone shows a time of the quiet hours."""
    if schedule.quiet_from is None or schedule.quiet_to is None:
        return False
    return _is_quiet(at.astimezone(_zone(schedule.timezone)).time(), schedule.quiet_from, schedule.quiet_to)


def next_run(schedule: Schedule, state: ScheduleState, now: datetime) -> Due | None:
    """When the next run begins by itself, and why; None if nothing calls for one.

    - By the interval: so long after the last run (before the first: after the collection was made), if the number of
      images is another than then or one came or went since that run began.
    - By growth: once at least that share of the images, and at least ``MIN_NEW``, came or went since the last
      successful run, and nothing more did for ``SETTLE``. The first run needs only ``MIN_IMAGES``.
    - Never with fewer than ``MIN_IMAGES``, never in quiet hours, and not at once after a failed run.

    What became due in quiet hours or while the server was down begins once, as soon as it may. The answer for an
    unchanged state stays the same until ``at``; from then on it is ``now``, or the end of the next quiet hours.

    Args:
        schedule: one that passes :meth:`Schedule.check`.
        state: of the collection.
        now: aware.
    """
    if not schedule.enabled or state.images_now < MIN_IMAGES:
        return None
    reasons = (_by_growth(schedule, state, now), _by_interval(schedule, state))
    due = [(since, reason) for since, reason in reasons if since is not None]
    if not due:
        return None
    since, reason = min(due, key=lambda each: each[0])
    since = max(since, _not_before(schedule, state) or since)
    return Due(at=_after_quiet_hours(schedule, max(since, now)).astimezone(UTC), since=since, reason=reason)


def _by_interval(schedule: Schedule, state: ScheduleState) -> tuple[datetime | None, DueReason]:
    begin = state.last_run_at or state.created_at
    if schedule.interval is None or begin is None or not _has_news(state):
        return None, DueReason.INTERVAL
    return begin + schedule.interval, DueReason.INTERVAL


def _has_news(state: ScheduleState) -> bool:
    if state.images_now != state.images_then:
        return True
    seen = state.read_at or state.last_run_at
    return state.last_change_at is not None and (seen is None or state.last_change_at > seen)


def _by_growth(schedule: Schedule, state: ScheduleState, now: datetime) -> tuple[datetime | None, DueReason]:
    if schedule.growth is None:
        return None, DueReason.GROWTH
    # 0.07 * 100 is a little more than 7, and 7 of 100 are 7 %.
    needed = max(MIN_NEW, math.ceil(schedule.growth * state.images_then - 1e-9)) if state.images_then else MIN_IMAGES
    if abs(state.images_now - state.images_then) < needed:
        return None, DueReason.GROWTH
    # What changed before the server was started is known by the number only: it has settled.
    return (now if state.last_change_at is None else state.last_change_at + SETTLE), DueReason.GROWTH


def _not_before(schedule: Schedule, state: ScheduleState) -> datetime | None:
    if state.last_run_at is None or not state.failures:
        return state.last_run_at
    first = min(FIRST_WAIT, schedule.interval or FIRST_WAIT)
    # The exponent is bounded because a timedelta overflows long before a counter of failures does.
    doubled: int = 2 ** min(state.failures - 1, 16)
    return state.last_run_at + min(first * doubled, LONGEST_WAIT)


def _after_quiet_hours(schedule: Schedule, at: datetime) -> datetime:
    """The first moment from ``at`` on that is not in quiet hours."""
    if schedule.quiet_from is None or schedule.quiet_to is None:
        return at
    zone = _zone(schedule.timezone)
    local = at.astimezone(zone)
    if not _is_quiet(local.time(), schedule.quiet_from, schedule.quiet_to):
        return at
    shown = local.replace(tzinfo=None)
    end = datetime.combine(shown.date(), schedule.quiet_to)
    moment = at.astimezone(UTC)
    simple = moment + (end - shown if end > shown else end + timedelta(days=1) - shown)
    if simple.astimezone(zone).utcoffset() == local.utcoffset():
        return simple
    # The clock is set meanwhile: the hours may end by that, or at a time that is skipped or shown twice. Looking at
    # every minute is right in all these cases.
    while _is_quiet(moment.astimezone(zone).time(), schedule.quiet_from, schedule.quiet_to):
        moment = moment.replace(second=0, microsecond=0) + _MINUTE
    return moment


def _is_quiet(local: time, begin: time, end: time) -> bool:
    return begin <= local < end if begin < end else local >= begin or local < end


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidField(
            "schedule.time_zone", f"{name[:64]!r} is not the name of a timezone, for instance Europe/Berlin or UTC"
        ) from error
