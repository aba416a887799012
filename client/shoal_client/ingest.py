"""Streams images to the server: read ahead by a few threads, sent in order, answered in order.

    sources -> known? -> read ahead (bounded in bytes) -> sent (bounded in number) -> answered -> results

An image that cannot be read takes its place in the results without being sent. What the server has no room for is sent
again, and a stream that breaks is begun anew with what was not answered.

The stream is a blocking one, in threads: when a server ends a stream while grpc.aio writes to it, grpc.aio loses the
answers not yet read and the server's status (https://github.com/grpc/grpc/issues/36066).
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from shoal.v1 import image_service_pb2
from shoal_client import conversion
from shoal_client.bulk.journal import Journal, Sayings
from shoal_client.bulk.known import Check, Known
from shoal_client.bulk.messages import CHUNK, Message, messages, options_message, prepare
from shoal_client.bulk.queue import Attempt, Entry, Queue, failed
from shoal_client.errors import (
    InternalError,
    ResourceExhausted,
    ShoalError,
    Unimplemented,
    UnreadableFile,
    from_rpc_error,
    from_status,
)
from shoal_client.results import IngestResult, Outcome
from shoal_client.sources import Common, ImageSource, NearDuplicates, Source, open_source
from shoal_client.transport import Transport

_log = logging.getLogger(__name__)

#: Threads that read files; more do not help a disk, and fewer leave a network drive idle.
READERS = 4
#: Seconds for which an ingest goes on trying while nothing gets in.
PATIENCE_S = 120.0
#: Seconds for which answers are waited for before a stream is ended because of an image that broke off.
ANSWERS_S = 30.0
#: How often one image is sent again that the server has no room for.
MAX_REFUSALS = 12
#: Seconds between two attempts: so many at first, doubled each time up to so many.
FIRST_DELAY_S, LONGEST_DELAY_S = 0.25, 10.0

_FOR_THE_MOMENT = frozenset(code.value[0] for code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE))
#: What a server, or something before it, ends a stream with that can be begun anew.
_CAN_GO_ON = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
    }
)


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How images are to be stored.

    Attributes:
        common: what is said of every image.
        drop_location: do not store where they were taken.
        near_duplicates: what to do with them; None: as the server is set.
        journal: a file that remembers what was stored; None: none.
        patience_s: seconds for which an ingest goes on trying while nothing gets in, if a server has ever answered.
    """

    common: Common
    drop_location: bool = False
    near_duplicates: NearDuplicates | None = None
    journal: Path | None = None
    patience_s: float = PATIENCE_S


async def ingest(
    transport: Transport, parent: str, sources: Iterable[ImageSource], options: IngestOptions
) -> AsyncGenerator[IngestResult, None]:
    """Stores images and yields what became of each, in their order.

    Raises:
        ShoalError: the ingest as a whole failed; what was yielded before is stored.
    """
    with transport.translating():
        # Opening the journal may wait for another program.
        stream = await asyncio.to_thread(_Ingest, transport, parent, iter(sources), options)
        try:
            while results := await stream.next_results():
                for result in results:
                    yield result
        finally:
            stream.close()


class _Ingest:
    """One ingest, in as many streams as it takes."""

    def __init__(
        self, transport: Transport, parent: str, sources: Iterator[ImageSource], options: IngestOptions
    ) -> None:
        self._transport = transport
        self._images = transport.blocking_images()
        self._target = transport.target
        self._chunk = min(CHUNK, transport.max_file_bytes)
        self._parent = parent
        self._sources = sources
        self._options = options
        self._message = options_message(drop_location=options.drop_location, near_duplicates=options.near_duplicates)
        self._queue = Queue()
        self._known = _known(transport.target, parent, options, self._check)
        self._call: Any = None
        #: Answers that told what became of an image.
        self._got_in = 0
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="shoal-read")
        self._results = ThreadPoolExecutor(1, thread_name_prefix="shoal-results")
        # Daemons: a drive that hangs, or an iterable that never ends, does not keep a program from ending.
        for work in (self._take, self._send):
            threading.Thread(target=work, name=f"shoal-ingest{work.__name__}", daemon=True).start()

    async def next_results(self) -> list[IngestResult]:
        """The next results; empty after the last.

        Raises:
            ShoalError: the ingest as a whole failed.
            Exception: whatever the caller's iterable raised.
        """
        return await asyncio.wrap_future(self._results.submit(self._queue.next_results))

    def close(self) -> None:
        """Stops everything that is still going on. Does not wait: a drive that hangs must not hang the caller."""
        self._queue.close()
        if self._call is not None:
            self._call.cancel()
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._results.shutdown(wait=False, cancel_futures=True)
        if self._known is not None:
            self._known.close()

    def _take(self) -> None:
        """Takes the images from the caller and begins to read them, until there is no room for more."""
        problem: Exception | None = None
        try:
            for index, (source, known) in enumerate(self._sorted_out()):
                entry = Entry(index, source, IngestResult(index, source.uri, Outcome.KNOWN) if known else None)
                if not self._queue.wait_for_room(entry):
                    return
                if not known:
                    entry.reading = self._readers.submit(prepare, source)
                self._queue.put(entry)
        except ShoalError as error:
            self._queue.fail(error)
        except Exception as error:  # noqa: BLE001 - anything of the caller's; raised where the results are read
            problem = error
        finally:
            self._queue.end(problem)

    def _sorted_out(self) -> Iterator[tuple[Source, bool]]:
        opened = (open_source(given, self._options.common) for given in self._sources)
        return ((source, False) for source in opened) if self._known is None else self._known.sort_out(opened)

    def _check(self, sha256s: Sequence[str]) -> set[str]:
        request = image_service_pb2.CheckImagesRequest(parent=self._parent, sha256s=sha256s)
        patience = _Patience(self._options.patience_s)
        while True:
            try:
                stored = set(self._images.CheckImages(request).stored)
            except grpc.RpcError as error:
                problem = _translated(error, self._target)
                if isinstance(problem, Unimplemented):
                    return set()  # a server of before there was a journal gets everything
                if self._queue.done or not self._waits_after(problem, patience):
                    raise problem from error
            else:
                self._transport.has_answered = True
                return stored

    def _send(self) -> None:
        """Streams what there is to send, again and again if need be."""
        patience = _Patience(self._options.patience_s)
        try:
            while self._queue.wait_for_work():
                got_in = self._got_in
                problem = self._stream(Attempt())
                if self._got_in != got_in:
                    patience.renew()
                if problem is None or self._queue.done:
                    continue
                if not self._is_final(problem) and not self._queue.has_work:
                    # The server may be away for as long as it likes while nobody wants anything of it.
                    patience.renew()
                elif not self._waits_after(problem, patience):
                    self._queue.fail(problem)
                    return
        except Exception as error:  # noqa: BLE001 - a waiter must not wait for ever
            self._queue.fail(error)

    def _waits_after(self, problem: ShoalError, patience: _Patience) -> bool:
        """Lets some time pass after an attempt that failed; False if there is to be no other one."""
        delay = None if self._is_final(problem) else patience.delay()
        if delay is None:
            return False
        _log.warning("%s; trying again in %.1f s", problem.message, delay)
        self._queue.wait(delay)
        return True

    def _is_final(self, problem: ShoalError) -> bool:
        cause = problem.__cause__
        can_go_on = not isinstance(cause, grpc.RpcError) or cause.code() in _CAN_GO_ON
        # Without a reason it is gRPC itself: a message is too long, and will be again.
        can_go_on = can_go_on and not (isinstance(problem, ResourceExhausted) and not problem.reason)
        # Whoever never answered is no server that is being restarted: more likely the address is wrong.
        nobody_there = problem.reason == "NO_SERVER" and not self._transport.has_answered
        return nobody_there or not can_go_on

    def _stream(self, attempt: Attempt) -> ShoalError | None:
        """One stream to its end; what ended it before its time, if anything did."""
        self._call = call = self._images.IngestImages(self._requests(attempt))
        try:
            for response in call:
                entry = self._queue.answered(attempt)
                if entry is None:
                    raise InternalError("the server answered an image that it was not sent; is it another version?")
                self._answer(entry, response)
        except grpc.RpcError as error:
            if attempt.broken_off or self._queue.done:
                return None
            problem = _translated(error, self._target)
            return None if self._was_too_slow(problem, attempt) else problem
        finally:
            self._queue.break_off(attempt)
        if self._queue.done or attempt.broken_off:
            return None
        return InternalError("the server ended the stream before it had answered every image")

    def _was_too_slow(self, problem: ShoalError, attempt: Attempt) -> bool:
        """Whether the server gave up because the next part of an image did not come: that one has failed."""
        if problem.metadata.get("field") != "more":
            return False
        slow = self._queue.give_up_last(attempt)
        if slow is not None:
            text = f"{slow.source.label}: reading it took too long; is the drive still there?"
            self._queue.settle(slow, failed(slow, UnreadableFile(slow.source.label, text)))
        return slow is not None

    def _answer(self, entry: Entry, response: image_service_pb2.IngestImagesResponse) -> None:
        if response.WhichOneof("result") == "error" and response.error.code in _FOR_THE_MOMENT:
            if entry.refusals < MAX_REFUSALS:
                wanted = _retry_delay(response.error)
                self._queue.send_again(entry, max(wanted, _delay(entry.refusals)))
                return
            self._queue.settle(entry, failed(entry, from_status(response.error)))
            return
        result = conversion.ingest_result(entry.index, entry.source.uri, response)
        self._got_in += 1
        self._transport.has_answered = True
        if self._known is not None and result.image is not None:
            self._known.remember(entry.source, result.image.sha256)
        self._queue.settle(entry, result)

    def _given_up(self, entry: Entry, attempt: Attempt) -> bool:
        return not self._queue.is_unanswered(entry, attempt)

    def _requests(self, attempt: Attempt) -> Iterator[Message]:
        """The messages of one stream; gRPC takes them in a thread of its own."""
        options: image_service_pb2.IngestOptions | None = self._message
        while (entry := self._queue.next_to_send(attempt)) is not None:
            begun = False
            given_up = partial(self._given_up, entry, attempt)
            try:
                reading = entry.reading
                prepared = prepare(entry.source) if reading is None else reading.result()
                for message in messages(entry.source, prepared, self._parent, given_up, self._chunk):
                    if options is not None:
                        message.options.CopyFrom(options)
                        options = None
                    begun = True
                    yield message
                self._queue.forget_reading(entry)
            except CancelledError:  # nobody wants the results any more
                return
            except ShoalError as problem:
                # Half an image cannot be taken back but with its stream, once everything before it is answered.
                attempt.broken_off = begun
                if self._queue.take_back(entry, attempt):
                    self._queue.settle(entry, failed(entry, problem))
                if begun:
                    self._queue.wait_for_answers(attempt, ANSWERS_S)
                    self._call.cancel()
                    return


class _Patience:
    """Counts for how long nothing has got in, from the first attempt that failed; before it, nobody was in a hurry.

    Args:
        seconds: how long that may be.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None
        self._failures = 0

    def renew(self) -> None:
        """Something got in, or nothing waits to get in."""
        self._since, self._failures = None, 0

    def delay(self) -> float | None:
        """Seconds from an attempt that failed to the next one; None: it has been too long."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        self._failures += 1
        return None if now - self._since >= self._seconds else _delay(self._failures)


def _translated(error: grpc.RpcError, target: str) -> ShoalError:
    problem = from_rpc_error(error, target)
    problem.__cause__ = error
    return problem


def _known(target: str, parent: str, options: IngestOptions, check: Check) -> Known | None:
    if options.journal is None:
        return None
    sayings = Sayings(target, parent, drop_location=options.drop_location, near_duplicates=options.near_duplicates)
    return Known(Journal(options.journal), sayings, check)


def _delay(attempts: int) -> float:
    """Seconds until the next attempt; never the same for many clients at once."""
    return float(min(FIRST_DELAY_S * 2**attempts, LONGEST_DELAY_S) * random.uniform(0.75, 1.25))  # noqa: S311


def _retry_delay(status: status_pb2.Status) -> float:
    """Seconds that the server wants to be left alone; 0 if it does not say."""
    for detail in status.details:
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return float(info.retry_delay.ToTimedelta().total_seconds())
    return 0.0
