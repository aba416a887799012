"""How people write times and shares of a schedule, and how a schedule reads."""

from __future__ import annotations

import re
from datetime import time, timedelta
from typing import Any

import typer

from shoal_client.cli.words import clock, count, percent, period
from shoal_client.results import Schedule, ScheduleStatus

#: What a server takes for the time between two runs.
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=3650)
#: Takes a part of a schedule away.
NEVER = "never"

_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_PERIOD = re.compile(r"(\d+(?:\.\d+)?)\s*(min|[smhdw])\s*")


def parse_interval(text: str) -> timedelta | None:
    """``12h``, ``90m``, ``1d 12h``; None for ``never``.

    Raises:
        typer.BadParameter: it is something else.
    """
    if text == NEVER:
        return None
    parts = _PERIOD.findall(text)
    if not parts or _PERIOD.sub("", text).strip():
        raise typer.BadParameter(f"--every {text!r} is no time; write it like 45m, 12h, 1d or 1d12h, or never")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds < SHORTEST.total_seconds():
        raise typer.BadParameter(f"--every {text!r} is too often; a minute is the least")
    if seconds > LONGEST.total_seconds():
        raise typer.BadParameter(f"--every {text!r} is too rare; {LONGEST.days}d is the most, or write never")
    return timedelta(seconds=seconds)


def parse_growth(text: str) -> float | None:
    """``20%`` or ``0.2``; None for ``never``.

    Raises:
        typer.BadParameter: it is something else.
    """
    if text == NEVER:
        return None
    try:
        growth = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        growth = 0.0
    if 1 < growth < float("inf") and not text.endswith("%"):
        raise typer.BadParameter(
            f"--growth {text!r} would be {growth:.0%}; write {text}% or {growth:.0%} if you mean it"
        )
    if not 0 < growth < float("inf"):
        raise typer.BadParameter(f"--growth {text!r} is no share above 0; write it like 20% or 0.2, or never")
    return growth


def parse_quiet(text: str) -> tuple[time | None, time | None]:
    """``08:00-18:00``, ``22:00-07:00``; twice None for ``never``.

    Raises:
        typer.BadParameter: it is something else.
    """
    if text == NEVER:
        return None, None
    match = re.fullmatch(r"\s*(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)\s*", text)
    try:
        if match is None:
            raise ValueError
        hours = [int(each) for each in match.groups()]
        begin, end = time(hours[0], hours[1]), time(hours[2], hours[3])
    except ValueError as error:
        raise typer.BadParameter(
            f"--quiet {text!r} is no pair of times; write it like 08:00-18:00, or never"
        ) from error
    if begin == end:
        raise typer.BadParameter(f"--quiet {text!r} begins when it ends; use `shoal schedule off` for never")
    return begin, end


def status_lines(status: ScheduleStatus) -> list[str]:
    """A schedule in words, and what it is about to do."""
    schedule = status.schedule
    whose = "the server's default" if status.server_default else "the collection's own"
    if not schedule.enabled or (schedule.interval is None and schedule.growth is None):
        lines = [f"off: nothing is clustered by itself ({whose})"]
    else:
        lines = [f"on ({whose})"]
        if schedule.interval is not None:
            lines.append(f"every {period(schedule.interval)}, if images came or went")
        if schedule.growth is not None:
            lines.append(f"when the number of images has changed by {percent(schedule.growth)}")
        if schedule.quiet_from is not None and schedule.quiet_to is not None:
            hours = f"{schedule.quiet_from:%H:%M} and {schedule.quiet_to:%H:%M} {schedule.time_zone}"
            now = "; that is now" if status.quiet else ""
            lines.append(f"no run begins between {hours}{now}")
        lines.append(_next(status))
    if status.last_run_at is None:
        lines.append("last run: none yet")
    else:
        lines.append(f"last run: {clock(status.last_run_at)}, the last good one of {_images(status)}")
    return lines


def status_record(status: ScheduleStatus) -> dict[str, Any]:
    """The JSON fields of a schedule: programs rely on them."""
    schedule = status.schedule
    return {
        "enabled": schedule.enabled,
        "interval_s": None if schedule.interval is None else schedule.interval.total_seconds(),
        "growth": schedule.growth,
        "quiet_from": None if schedule.quiet_from is None else f"{schedule.quiet_from:%H:%M}",
        "quiet_to": None if schedule.quiet_to is None else f"{schedule.quiet_to:%H:%M}",
        "time_zone": schedule.time_zone,
        "server_default": status.server_default,
        "next_run_at": None if status.next_run_at is None else status.next_run_at.isoformat(),
        "next_run_reason": status.next_run_reason or None,
        "last_run_at": None if status.last_run_at is None else status.last_run_at.isoformat(),
        "last_run_images": status.last_run_images,
        "quiet": status.quiet,
    }


def changed(
    schedule: Schedule, every: str | None, growth: str | None, quiet: str | None, time_zone: str | None
) -> Schedule:
    """The schedule with what was given, switched on.

    Raises:
        typer.BadParameter: something cannot be read, or nothing would ever start a run.
    """
    quiet_from, quiet_to = (schedule.quiet_from, schedule.quiet_to) if quiet is None else parse_quiet(quiet)
    new = Schedule(
        enabled=True,
        interval=schedule.interval if every is None else parse_interval(every),
        growth=schedule.growth if growth is None else parse_growth(growth),
        quiet_from=quiet_from,
        quiet_to=quiet_to,
        time_zone=schedule.time_zone if time_zone is None else time_zone,
    )
    if new.interval is None and new.growth is None:
        raise typer.BadParameter("nothing would start a run; give --every or --growth, or use `shoal schedule off`")
    return new


def _next(status: ScheduleStatus) -> str:
    if status.next_run_at is None:
        return "next run: not before images come or go"
    reason = {"interval": "because of the time", "growth": "because of the new images"}
    return f"next run: {clock(status.next_run_at)} {reason.get(status.next_run_reason, '')}".rstrip()


def _images(status: ScheduleStatus) -> str:
    return count(status.last_run_images, "image")
