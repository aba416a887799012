"""Lines for people, lines for programs, and what both are about."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from shoal_server import logs
from shoal_server.application.log_context import note, noted, request_id, request_id_of


@pytest.fixture(params=[logs.TextLines(), logs.JsonLines()], ids=["text", "json"])
def log(request: pytest.FixtureRequest) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger, and what is written of it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(logs.WithContext())
    handler.setFormatter(request.param)
    logger = logging.getLogger("test_logs")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger, stream
    logger.removeHandler(handler)


async def test_a_line_says_what_it_is_about(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log

    async def work(number: int) -> None:
        note(request_id=f"r{number}")
        await asyncio.sleep(0)
        note(collection="photos")
        await asyncio.to_thread(logger.info, "worked on %d", number)

    await asyncio.gather(*(work(number) for number in range(3)))
    assert noted() == {}
    lines = sorted(stream.getvalue().splitlines())
    assert len(lines) == 3
    for number in range(3):
        [line] = [each for each in lines if f"worked on {number}" in each]
        if line.startswith("{"):
            record = json.loads(line)
            assert (record["request_id"], record["collection"]) == (f"r{number}", "photos")
            assert (record["level"], record["logger"]) == ("INFO", "test_logs")
            assert record["time"].endswith("+00:00")
        else:
            assert line.endswith(f"INFO test_logs: worked on {number} [request_id=r{number} collection=photos]")


def test_an_exception_is_in_the_line(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    try:
        raise ZeroDivisionError("by nothing")
    except ZeroDivisionError:
        logger.exception("it failed")
    text = stream.getvalue()
    if text.startswith("{"):
        [line] = text.splitlines()
        assert "ZeroDivisionError: by nothing" in json.loads(line)["exception"]
    else:
        assert text.splitlines()[-1] == "  ZeroDivisionError: by nothing"


def test_nobody_can_write_a_line_of_their_own(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    logger.warning("no such file %s", "x\n2026-01-01 00:00:00,000 INFO shoal_server: all is well\r\n")
    assert [line for line in stream.getvalue().splitlines() if line.startswith("2026-01-01")] == []


def test_nor_in_a_traceback(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    try:
        raise ValueError("no such file x\n2026-01-01 00:00:00,000 INFO shoal_server: all is well")
    except ValueError:
        logger.exception("it failed")
    assert "all is well" in stream.getvalue()
    assert [line for line in stream.getvalue().splitlines() if line.startswith("2026-01-01")] == []


def test_nothing_that_was_sent_is_an_order_to_a_terminal(log: tuple[logging.Logger, io.StringIO]) -> None:
    """Colours, the cursor, the title of the window; and what some programs take for the end of a line."""
    logger, stream = log
    hostile = "a\x1b[2J\x1b]0;b\x07\x08\x7f\x9b31m\x85\u2028\u2029c\td"
    try:
        raise ValueError(hostile)
    except ValueError:
        logger.exception("no such file %s", hostile)
    text = stream.getvalue()
    assert not set(text) & set("\x00\x07\x08\x1b\x7f\x85\x9b\u2028\u2029")
    if text.startswith("{"):
        assert json.loads(text)["message"] == f"no such file {hostile}"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_line_is_json_whatever_the_terminals_encoding_is(encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding, errors="backslashreplace")
    text = "Grüße \N{FISH} \udc80"
    record = logging.LogRecord("x", logging.INFO, "", 0, text, None, None)
    stream.write(logs.JsonLines().format(record) + "\n")
    stream.flush()
    assert json.loads(raw.getvalue().decode("utf-8"))["message"] == text


@pytest.mark.parametrize("lines", [logs.TextLines(), logs.JsonLines()], ids=["text", "json"])
def test_what_is_no_text_can_be_written(lines: logging.Formatter) -> None:
    # Not logged: what pytest captures of it could not be sent from one test process to another.
    record = logging.LogRecord("x", logging.INFO, "", 0, "surrogates \udc80 and %s", (object,), None)
    logs.WithContext().filter(record)
    assert "surrogates" in lines.format(record)


def test_a_field_replaces_nothing_that_stands_fixed() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "the message", None, None)
    extra: Any = {"fields": {"message": "another", "level": "NONE", "seconds": 1.5}}
    record.__dict__.update(extra)
    line = json.loads(logs.JsonLines().format(record))
    assert (line["message"], line["level"], line["seconds"]) == ("the message", "INFO", 1.5)


@pytest.mark.parametrize("given", ["a", "A-1.b_c:d", "0" * 64])
def test_the_callers_id_is_taken(given: str) -> None:
    assert request_id_of(given) == given


@pytest.mark.parametrize("given", [None, "", "-a", "a b", "a\nb", "é", "0" * 65])
def test_or_one_is_made(given: str | None) -> None:
    made = request_id_of(given)
    assert made != given
    assert request_id_of(made) == made


def test_outside_a_call_there_is_none() -> None:
    assert request_id() == ""
