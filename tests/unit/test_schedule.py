"""When a run is due: by time, by growth, and never when it must not be."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_server.domain.errors import InvalidField
from shoal_server.domain.run import MIN_IMAGES
from shoal_server.domain.schedule import (
    MIN_NEW,
    SETTLE,
    DueReason,
    Schedule,
    ScheduleState,
    in_quiet_hours,
    next_run,
    parse_quiet_hours,
)

NOW = datetime(2025, 6, 10, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)

#: A collection of 100 images, clustered an hour ago, as it was then.
CALM = ScheduleState(
    last_run_at=NOW - HOUR,
    images_then=100,
    images_now=100,
    last_change_at=NOW - 2 * HOUR,
    created_at=NOW - 9 * DAY,
    read_at=NOW - HOUR - MINUTE,
)
#: The same with half as many images again, settled.
GROWN = replace(CALM, images_now=150, last_change_at=NOW - 5 * MINUTE)

#: Days on which clocks are set or were, and one on which they are not.
DAYS = [
    datetime(2025, 3, 30, tzinfo=UTC),  # Europe: 02:00 to 03:00
    datetime(2025, 10, 26, tzinfo=UTC),  # Europe: 03:00 to 02:00
    datetime(2025, 11, 2, tzinfo=UTC),  # America
    datetime(2025, 10, 5, tzinfo=UTC),  # Lord Howe: half an hour
    datetime(2025, 4, 24, tzinfo=UTC),  # Egypt: midnight is skipped
    datetime(2025, 6, 10, tzinfo=UTC),
]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu"]

moments = st.builds(
    lambda day, seconds: day + timedelta(seconds=seconds), st.sampled_from(DAYS), st.integers(-90_000, 130_000)
)
minutes = st.builds(time, st.integers(0, 23), st.integers(0, 59))


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Any that passes its check."""
    begin, end = draw(st.tuples(minutes, minutes).filter(lambda hours: hours[0] != hours[1]))
    quiet = draw(st.booleans())
    schedule = Schedule(
        enabled=draw(st.integers(0, 9)) > 0,
        interval=draw(st.none() | st.timedeltas(MINUTE, timedelta(days=3))),
        growth=draw(st.none() | st.floats(0.01, 3.0)),
        quiet_from=begin if quiet else None,
        quiet_to=end if quiet else None,
        timezone=draw(st.sampled_from(ZONES)),
    )
    schedule.check()
    return schedule


@st.composite
def states(draw: st.DrawFn) -> ScheduleState:
    """Any, near the days of :data:`DAYS`."""
    ran = draw(st.none() | moments)
    succeeded = ran is not None and draw(st.booleans())
    return ScheduleState(
        last_run_at=ran,
        images_then=draw(st.integers(MIN_IMAGES, 200)) if succeeded else 0,
        images_now=draw(st.integers(0, 300)),
        last_change_at=draw(st.none() | moments),
        created_at=draw(st.none() | moments),
        read_at=ran - MINUTE if ran is not None and succeeded else None,
        failures=0 if ran is None else draw(st.integers(0 if succeeded else 1, 30)),
    )


@given(schedules(), states(), moments)
def test_a_run_never_begins_in_quiet_hours_in_the_past_or_before_the_last_one(
    schedule: Schedule, state: ScheduleState, now: datetime
) -> None:
    due = next_run(schedule, state, now)
    if due is None:
        return
    assert schedule.enabled
    assert state.images_now >= MIN_IMAGES
    assert not in_quiet_hours(schedule, due.at)
    assert due.at >= max(now, due.since)
    assert state.last_run_at is None or due.at >= state.last_run_at
    assert due.at.utcoffset() == timedelta(0)


@given(schedules(), states(), moments, st.integers(0, 200_000))
def test_later_looks_never_give_an_earlier_run(
    schedule: Schedule, state: ScheduleState, now: datetime, seconds: int
) -> None:
    due, later = next_run(schedule, state, now), next_run(schedule, state, now + timedelta(seconds=seconds))
    if due is None or later is None:
        assert due is later
        return
    assert later.at >= due.at
    if now + timedelta(seconds=seconds) <= due.at:
        assert later.at == due.at


@given(schedules(), states(), moments)
def test_when_its_time_has_come_the_run_is_due(schedule: Schedule, state: ScheduleState, now: datetime) -> None:
    due = next_run(schedule, state, now)
    if due is not None:
        then = next_run(schedule, state, due.at)
        assert then is not None
        assert then.at == due.at


@given(schedules(), states(), moments)
def test_a_run_begins_as_early_as_it_may(schedule: Schedule, state: ScheduleState, now: datetime) -> None:
    due = next_run(schedule, state, now)
    if due is None or due.at == max(now, due.since):
        return
    minute = max(now, due.since)
    while minute < due.at:
        assert in_quiet_hours(schedule, minute)
        minute += MINUTE


@given(schedules(), states(), moments)
def test_what_was_missed_is_caught_up_once(schedule: Schedule, state: ScheduleState, now: datetime) -> None:
    due = next_run(schedule, state, now)
    if due is None:
        return
    done = replace(
        state,
        last_run_at=due.at + MINUTE,
        images_then=state.images_now,
        read_at=due.at,
        last_change_at=None,
        failures=0,
    )
    assert next_run(schedule, done, due.at + 9 * DAY) is None


@given(schedules(), states(), moments, st.integers(0, 50))
def test_further_failures_never_bring_a_run_nearer(
    schedule: Schedule, state: ScheduleState, now: datetime, more: int
) -> None:
    due, later = next_run(schedule, state, now), next_run(schedule, replace(state, failures=state.failures + more), now)
    assert (due is None) == (later is None)
    assert due is None or later is None or later.at >= due.at


def test_nothing_happens_without_a_change() -> None:
    assert next_run(Schedule(), CALM, NOW + 9 * DAY) is None


@pytest.mark.parametrize(
    "state",
    [
        replace(CALM, images_now=101),
        replace(CALM, images_now=99),
        replace(CALM, last_change_at=NOW - HOUR),
    ],
    ids=["one came", "one went", "one came and one went"],
)
def test_the_interval_counts_from_the_last_run(state: ScheduleState) -> None:
    due = next_run(Schedule(), state, NOW)
    assert due is not None
    assert (due.at, due.since, due.reason) == (NOW + 23 * HOUR, NOW + 23 * HOUR, DueReason.INTERVAL)


def test_an_interval_that_passed_while_the_server_was_down_is_due_at_once() -> None:
    due = next_run(Schedule(), replace(CALM, images_now=101, last_change_at=None), NOW + 5 * DAY)
    assert due is not None
    assert (due.at, due.since) == (NOW + 5 * DAY, NOW + 23 * HOUR)


def test_growth_waits_until_the_ingest_has_settled() -> None:
    due = next_run(Schedule(), replace(GROWN, last_change_at=NOW - timedelta(seconds=1)), NOW)
    assert due is not None
    assert (due.at, due.reason) == (NOW - timedelta(seconds=1) + SETTLE, DueReason.GROWTH)


@pytest.mark.parametrize(
    ("then", "now", "reason"),
    [
        (100, 119, DueReason.INTERVAL),
        (100, 120, DueReason.GROWTH),
        (100, 80, DueReason.GROWTH),
        (20, 20 + MIN_NEW - 1, DueReason.INTERVAL),
        (20, 20 + MIN_NEW, DueReason.GROWTH),
        (0, MIN_IMAGES, DueReason.GROWTH),
    ],
)
def test_how_much_growth_it_takes(then: int, now: int, reason: DueReason) -> None:
    due = next_run(Schedule(growth=0.2), replace(GROWN, images_then=then, images_now=now), NOW)
    assert due is not None
    assert due.reason is reason


def test_shares_are_not_lost_to_rounding() -> None:
    due = next_run(Schedule(interval=None, growth=0.07), replace(GROWN, images_then=300, images_now=321), NOW)
    assert due is not None


def test_too_few_images_are_never_clustered() -> None:
    assert next_run(Schedule(), replace(CALM, images_then=100, images_now=MIN_IMAGES - 1), NOW + 9 * DAY) is None


def test_before_the_first_run_the_interval_counts_from_the_making_of_the_collection() -> None:
    """Images that come one by one never settle, and must not wait for ever."""
    state = ScheduleState(None, 0, 50, last_change_at=NOW, created_at=NOW - HOUR)
    assert (due := next_run(Schedule(growth=None), state, NOW)) is not None
    assert (due.at, due.reason) == (NOW + 23 * HOUR, DueReason.INTERVAL)


def test_each_trigger_can_be_left_out() -> None:
    assert next_run(Schedule(interval=None, growth=None), GROWN, NOW + 9 * DAY) is None
    assert next_run(Schedule(enabled=False), GROWN, NOW + 9 * DAY) is None


@pytest.mark.parametrize(
    ("interval", "failures", "wait"),
    [
        (DAY, 1, HOUR),
        (DAY, 2, 2 * HOUR),
        (DAY, 1000, DAY),
        (None, 1, HOUR),
        (10 * MINUTE, 1, 10 * MINUTE),
        (10 * MINUTE, 3, 40 * MINUTE),
    ],
)
def test_a_failed_run_is_not_repeated_at_once(interval: timedelta | None, failures: int, wait: timedelta) -> None:
    due = next_run(Schedule(interval=interval), replace(GROWN, last_run_at=NOW, failures=failures), NOW)
    assert due is not None
    assert due.at == NOW + wait


def test_growth_in_quiet_hours_waits_for_their_end() -> None:
    schedule = Schedule(quiet_from=time(8), quiet_to=time(18), timezone="Europe/Berlin")
    due = next_run(schedule, GROWN, NOW)
    assert due is not None
    assert (due.at, due.since, due.reason) == (
        datetime(2025, 6, 10, 16, tzinfo=UTC),
        NOW - 4 * MINUTE,
        DueReason.GROWTH,
    )


@pytest.mark.parametrize(
    ("at", "begins"),
    [
        ("2025-06-10T21:59", "2025-06-10T21:59"),
        ("2025-06-10T22:00", "2025-06-11T06:00"),
        ("2025-06-11T00:30", "2025-06-11T06:00"),
        ("2025-06-11T05:59", "2025-06-11T06:00"),
        ("2025-06-11T06:00", "2025-06-11T06:00"),
    ],
)
def test_quiet_hours_may_span_midnight(at: str, begins: str) -> None:
    schedule = Schedule(quiet_from=time(22), quiet_to=time(6), timezone="America/New_York")
    zone = ZoneInfo("America/New_York")
    now = datetime.fromisoformat(at).replace(tzinfo=zone)
    due = next_run(schedule, GROWN, now.astimezone(UTC))
    assert due is not None
    assert due.at == datetime.fromisoformat(begins).replace(tzinfo=zone)


def test_quiet_hours_end_at_a_time_that_is_skipped() -> None:
    """In Berlin 02:30 is not shown on 30 March 2025: the clock goes from 01:59 to 03:00, when it is 01:00 UTC."""
    schedule = Schedule(quiet_from=time(22), quiet_to=time(2, 30), timezone="Europe/Berlin")
    state = replace(GROWN, last_change_at=datetime(2025, 3, 29, 12, tzinfo=UTC), last_run_at=None)
    due = next_run(schedule, state, datetime(2025, 3, 29, 23, tzinfo=UTC))
    assert due is not None
    assert due.at == datetime(2025, 3, 30, 1, tzinfo=UTC)


def test_quiet_hours_of_a_long_day_are_long() -> None:
    """In Berlin 26 October 2025 has 25 hours: from 22:00 to 06:00 are nine."""
    schedule = Schedule(quiet_from=time(22), quiet_to=time(6), timezone="Europe/Berlin")
    state = replace(GROWN, last_change_at=datetime(2025, 10, 25, 12, tzinfo=UTC), last_run_at=None)
    due = next_run(schedule, state, datetime(2025, 10, 25, 20, tzinfo=UTC))
    assert due is not None
    assert due.at - datetime(2025, 10, 25, 20, tzinfo=UTC) == 9 * HOUR


@pytest.mark.parametrize(
    ("schedule", "field"),
    [
        (Schedule(interval=timedelta(seconds=59)), "schedule.interval"),
        (Schedule(interval=timedelta(0)), "schedule.interval"),
        (Schedule(interval=timedelta(days=4000)), "schedule.interval"),
        (Schedule(growth=0.0), "schedule.growth"),
        (Schedule(growth=-0.1), "schedule.growth"),
        (Schedule(growth=float("nan")), "schedule.growth"),
        (Schedule(growth=float("inf")), "schedule.growth"),
        (Schedule(quiet_from=time(8)), "schedule.quiet_hours"),
        (Schedule(quiet_to=time(8)), "schedule.quiet_hours"),
        (Schedule(quiet_from=time(8), quiet_to=time(8)), "schedule.quiet_hours"),
        (Schedule(quiet_from=time(8, 0, 1), quiet_to=time(9)), "schedule.quiet_hours"),
        (Schedule(quiet_from=time(8, tzinfo=UTC), quiet_to=time(9)), "schedule.quiet_hours"),
        (Schedule(timezone="Middle/Earth"), "schedule.time_zone"),
        (Schedule(timezone=""), "schedule.time_zone"),
        (Schedule(timezone="../../etc/passwd"), "schedule.time_zone"),
        (Schedule(timezone="Europe"), "schedule.time_zone"),
    ],
)
def test_nonsense_is_refused(schedule: Schedule, field: str) -> None:
    with pytest.raises(InvalidField) as raised:
        schedule.check()
    assert raised.value.metadata["field"] == field


def test_the_defaults_are_fine() -> None:
    Schedule().check()
    Schedule(enabled=False, interval=None, growth=None).check()


@given(minutes, minutes)
def test_quiet_hours_as_text(begin: time, end: time) -> None:
    text = f"{begin:%H:%M}-{end:%H:%M}"
    if begin == end:
        with pytest.raises(InvalidField, match="begins when it ends"):
            parse_quiet_hours(text)
    else:
        assert parse_quiet_hours(text) == (begin, end)


@pytest.mark.parametrize(
    "text", ["", "8-18", "08:00", "08:00-24:00", "25:00-06:00", "08:00-18:60", "08:00-18:00-19:00"]
)
def test_other_texts_are_no_quiet_hours(text: str) -> None:
    with pytest.raises(InvalidField, match="08:00-18:00"):
        parse_quiet_hours(text)
