"""The order and the place in which the embedded store's jobs run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shoal_server.adapters.edge_store.engine import Engine
from shoal_server.domain.errors import ShuttingDown, StoreUnavailable


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    made = Engine(tmp_path)
    yield made
    made.shut_down()


async def test_a_question_is_answered_here_when_nothing_is_before_it(engine: Engine) -> None:
    assert await engine.run_at_once(threading.get_ident) == threading.get_ident()
    assert await engine.run(threading.get_ident) != threading.get_ident()
    assert await engine.run_at_once(threading.get_ident) == threading.get_ident()


async def test_a_question_waits_for_what_was_asked_before_it(engine: Engine) -> None:
    go_on, done = threading.Event(), list[str]()

    def write() -> None:
        go_on.wait(5)
        done.append("written")

    writing = asyncio.create_task(engine.run(write))
    await asyncio.sleep(0)
    asking = asyncio.create_task(engine.run_at_once(lambda: list(done)))
    await asyncio.sleep(0.02)
    assert not asking.done()
    go_on.set()
    assert await asking == ["written"]
    await writing


async def test_a_job_that_nobody_waits_for_any_more_is_still_before_a_question(engine: Engine) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), list[str]()

    def write() -> None:
        begun.set()
        go_on.wait(5)
        done.append("written")

    first = asyncio.create_task(engine.run(write))
    second = asyncio.create_task(engine.run(lambda: done.append("never")))
    await asyncio.to_thread(begun.wait)
    for each in (first, second):
        each.cancel()
    asking = asyncio.create_task(engine.run_at_once(lambda: list(done)))
    await asyncio.sleep(0.02)
    assert not asking.done()
    go_on.set()
    assert await asking == ["written"]
    assert await engine.run_at_once(threading.get_ident) == threading.get_ident()


async def test_others_have_their_turn_between_two_questions(engine: Engine) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    for _ in range(10):
        await engine.run_at_once(lambda: None)
    counting.cancel()
    assert turns >= 9


async def test_a_question_fails_as_a_job_does(engine: Engine) -> None:
    def fail() -> None:
        raise Exception("the engine says no")

    with pytest.raises(StoreUnavailable, match="the engine says no"):
        await engine.run_at_once(fail)
    engine.shut_down()
    with pytest.raises(ShuttingDown):
        await engine.run_at_once(lambda: None)
