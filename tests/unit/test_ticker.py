"""The ticker calls until it is stopped, one call at a time, whatever a call does."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from shoal_server.adapters import ticker as ticker_module
from shoal_server.adapters.ticker import MonotonicTicker

SOON = 0.01


async def test_calls_again_and_again_until_it_is_stopped() -> None:
    calls = 0
    three = asyncio.Event()

    async def call() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            three.set()

    ticker = MonotonicTicker(SOON)
    await ticker.start(call)
    await three.wait()
    await ticker.stop()
    then = calls
    await asyncio.sleep(10 * SOON)
    assert calls == then


async def test_a_failure_is_logged_and_calling_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    calls = 0
    again = asyncio.Event()

    async def call() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("the disk is full")
        again.set()

    ticker = MonotonicTicker(SOON)
    await ticker.start(call)
    await again.wait()
    await ticker.stop()
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "the disk is full"


async def test_a_system_clock_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    jumped = asyncio.Event()
    real = time.time

    async def call() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            # A day back, then two days forward.
            monkeypatch.setattr(time, "time", lambda: real() - 86_400)
        if calls == 6:
            monkeypatch.setattr(time, "time", lambda: real() + 86_400)
        if calls == 9:
            jumped.set()

    ticker = MonotonicTicker(SOON)
    await ticker.start(call)
    began = time.monotonic()
    await asyncio.wait_for(jumped.wait(), 10)
    await ticker.stop()
    # No call was lost, and none came early to make up for a day that never was.
    assert time.monotonic() - began >= 8 * SOON


async def test_one_call_at_a_time() -> None:
    under_way = most = calls = 0
    three = asyncio.Event()

    async def call() -> None:
        nonlocal under_way, most, calls
        under_way, calls = under_way + 1, calls + 1
        most = max(most, under_way)
        await asyncio.sleep(5 * SOON)
        under_way -= 1
        if calls == 3:
            three.set()

    ticker = MonotonicTicker(SOON)
    await ticker.start(call)
    await three.wait()
    await ticker.stop()
    assert most == 1


async def test_stopping_lets_the_call_under_way_end() -> None:
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def call() -> None:
        begun.set()
        await may_end.wait()
        ended.set()

    ticker = MonotonicTicker(SOON)
    await ticker.start(call)
    await begun.wait()
    stopping = asyncio.create_task(ticker.stop())
    await asyncio.sleep(SOON)
    assert not stopping.done()
    may_end.set()
    await stopping
    assert ended.is_set()


async def test_a_call_that_does_not_end_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticker_module, "_STOP_S", SOON)
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def call() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    ticker = MonotonicTicker(SOON)
    await ticker.start(call)
    await begun.wait()
    await ticker.stop()
    await cancelled.wait()


async def test_it_can_be_stopped_twice_unstarted_and_started_again() -> None:
    ticker = MonotonicTicker(SOON)
    await ticker.stop()
    called = asyncio.Event()

    async def call() -> None:
        called.set()

    for _ in range(2):
        called.clear()
        await ticker.start(call)
        await called.wait()
        await ticker.stop()
    await ticker.stop()


async def test_the_log_does_not_tell_of_every_call(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    twice = asyncio.Event()
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(3 * SOON)
        if calls == 2:
            twice.set()

    ticker = MonotonicTicker(SOON)
    await ticker.start(call)
    await twice.wait()
    await ticker.stop()
    assert not caplog.records
