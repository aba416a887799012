"""Batches form behind the :class:`Embedder` port: concurrent callers share a pass of the model.

Preprocessing has a thread pool, the model has a thread for each pass that may run at once, and each of these takes what
is waiting as soon as it is free. So a lone request never waits for company, and while the model works on one batch the
next is preprocessed and collected (continuous batching as in infinity and text-embeddings-inference).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.ports import Embedder, EmbeddingEngine
from shoal_server.domain.collection import EmbeddingModel
from shoal_server.domain.errors import ModelFailed, Overloaded, ShoalError, ShuttingDown
from shoal_server.domain.image import Pixels, Vector

#: By then the queue of any model worth serving has moved on.
_RETRY_AFTER_S = 1.0

_logger = logging.getLogger(__name__)

_Input = TypeVar("_Input")
_Matrix = NDArray[np.float32]


@dataclass(slots=True)
class _Request(Generic[_Input]):
    """Inputs of one caller and where their vectors go. An answer that is done has no one waiting for it."""

    inputs: Sequence[_Input]
    answer: asyncio.Future[_Matrix]


@dataclass(slots=True)
class _Lane(Generic[_Input]):
    """Requests of one kind, first come, first served.

    Attributes:
        embed: one pass of the model.
        largest: most inputs in a pass, no fewer than any request has.
        at_once: most passes at the same time.
        under_way: passes at this moment.
        requests: those that wait.
    """

    embed: Callable[[Sequence[_Input]], _Matrix]
    largest: int
    at_once: int
    under_way: int = 0
    requests: deque[_Request[_Input]] = field(default_factory=deque)

    def take(self) -> list[_Request[_Input]]:
        """What the next pass is for, empty if it has to wait; callers who left are forgotten."""
        batch: list[_Request[_Input]] = []
        if self.under_way == self.at_once:
            return batch
        # The passes beside this one find their share, now or when they are through with what they have.
        share = -(-len(self.requests) // self.at_once)
        limit = self.largest if self.at_once == 1 else min(self.largest, share)
        size = 0
        while self.requests:
            request = self.requests[0]
            if not request.answer.done():
                if size + len(request.inputs) > limit:
                    break
                batch.append(request)
                size += len(request.inputs)
            self.requests.popleft()
        return batch


class BatchingEmbedder(Embedder):
    """Serves one model to many callers. An asynchronous context manager; all calls belong to one event loop."""

    def __init__(
        self, engine: EmbeddingEngine, *, max_batch: int = 32, max_queue: int = 256, preprocess_threads: int = 2
    ) -> None:
        """Prepares the queue; :meth:`start` sets it going.

        Args:
            engine: the model; as many threads as it has passes at once call its ``embed_images``, one at a time its
                ``embed_texts``.
            max_batch: images or texts in one pass, at least 1; fewer images where the engine's batches are smaller.
            max_queue: calls under way, from preprocessing to answer, at least 1; a call beyond is refused. Each may
                hold one preprocessed image in memory.
            preprocess_threads: images preprocessed at the same time, at least 1.
        """
        self._engine = engine
        self._max_batch = max_batch
        self._max_queue = max_queue
        passes = engine.passes_at_once
        self._images: _Lane[NDArray[np.float32]] = _Lane(
            engine.embed_images, largest=min(max_batch, engine.batch_size), at_once=passes
        )
        self._texts: _Lane[str] = _Lane(engine.embed_texts, largest=max_batch, at_once=1)
        self._turns: deque[_Lane[Any]] = deque([self._images, self._texts])
        self._answers: set[asyncio.Future[_Matrix]] = set()
        self._calls = 0
        self._wake = asyncio.Event()
        self._preprocessing = ThreadPoolExecutor(preprocess_threads, thread_name_prefix="shoal-preprocess")
        self._passes = passes
        self._device = ThreadPoolExecutor(passes, thread_name_prefix="shoal-model")
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def model(self) -> EmbeddingModel:
        """What collections record."""
        return self._engine.model

    @property
    def waiting(self) -> int:
        """Calls under way, from preprocessing to answer."""
        return self._calls

    @property
    def serving(self) -> bool:
        """Whether calls are answered: it was started, is not closed and has not broken down."""
        return self._worker is not None and not self._worker.done() and not self._closed

    def start(self) -> None:
        """Begins to serve, on the running event loop. May be called once."""
        if self._worker is not None:
            raise RuntimeError("the embedder was started before")
        self._worker = asyncio.create_task(self._work_all(), name="shoal-batching")

    async def aclose(self) -> None:
        """Refuses new calls, fails those under way and waits for the passes that are running."""
        self._closed = True
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        self._fail_waiting()
        # Each thread finishes what it is doing, so that nobody uses the model once this has returned.
        await asyncio.to_thread(self._preprocessing.shutdown)
        await asyncio.to_thread(self._device.shutdown)

    async def embed_image(self, pixels: Pixels) -> Vector:
        """Upright RGB uint8 (height, width, 3) to a unit vector.

        Raises:
            Overloaded: the queue is full.
            ModelFailed: the model raised an error on this image or on its batch, or gave no usable vector.
            ShuttingDown: the embedder was closed before the answer was there.
        """
        with self._admitted():
            loop = asyncio.get_running_loop()
            preprocessing = loop.run_in_executor(self._preprocessing, self._preprocess, pixels)
            # A photograph's pixels are tens of megabytes, and the queue may be long.
            del pixels
            prepared = await preprocessing
            vectors = await self._submit(self._images, [prepared])
        vector: Vector = vectors[0]
        return vector

    async def embed_text(self, text: str) -> Vector:
        """A text to a unit vector. Raises as :meth:`embed_image`."""
        with self._admitted():
            vectors = await self._submit(self._texts, [text])
        vector: Vector = vectors[0]
        return vector

    async def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Many texts (a vocabulary) to unit vectors, float32 (n, dimension). Raises as :meth:`embed_image`.

        They go through the model a batch at a time, and images that wait come between.
        """
        with self._admitted():
            parts = [
                await self._submit(self._texts, texts[start : start + self._max_batch])
                for start in range(0, len(texts), self._max_batch)
            ]
        return np.concatenate(parts) if parts else np.empty((0, self.model.dimension), np.float32)

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        """Counts a call while it is under way."""
        self._check_serving()
        if self._calls >= self._max_queue:
            raise Overloaded("the model's queue", _RETRY_AFTER_S)
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    def _check_serving(self) -> None:
        if self._worker is None and not self._closed:
            raise RuntimeError("the embedder was not started")
        if not self.serving:
            raise self._refusal()

    def _refusal(self) -> ShoalError:
        return ShuttingDown() if self._closed else ModelFailed(self.model.name)

    def _preprocess(self, pixels: Pixels) -> NDArray[np.float32]:
        if self._closed:
            raise ShuttingDown()
        try:
            return self._engine.preprocess(pixels)
        except Exception as error:
            _logger.exception("model %s failed to preprocess an image of shape %s", self.model.name, pixels.shape)
            raise ModelFailed(self.model.name) from error

    async def _submit(self, lane: _Lane[_Input], inputs: Sequence[_Input]) -> _Matrix:
        self._check_serving()
        answer: asyncio.Future[_Matrix] = asyncio.get_running_loop().create_future()
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)
        lane.requests.append(_Request(inputs, answer))
        self._wake.set()
        return await answer

    async def _work_all(self) -> None:
        """Keeps the model's threads at work, for as long as the embedder lives."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._passes):
                    group.create_task(self._work())
        except Exception:
            _logger.critical(
                "the task that feeds model %s broke down; nothing is embedded", self.model.name, exc_info=True
            )
            raise
        finally:
            self._fail_waiting()

    async def _work(self) -> None:
        """Hands the model one batch after the other."""
        while True:
            lane, batch = self._next_batch()
            if batch:
                lane.under_way += 1
                try:
                    await self._run(lane, batch)
                finally:
                    lane.under_way -= 1
            else:
                self._wake.clear()
                await self._wake.wait()

    def _next_batch(self) -> tuple[_Lane[Any], list[_Request[Any]]]:
        """The next batch, images and texts in turn, or an empty one."""
        for _ in range(len(self._turns)):
            lane = self._turns[0]
            self._turns.rotate()
            batch = lane.take()
            if batch:
                break
        return lane, batch

    async def _run(self, lane: _Lane[Any], batch: Sequence[_Request[Any]]) -> None:
        inputs = [item for request in batch for item in request.inputs]
        try:
            raw = await asyncio.get_running_loop().run_in_executor(self._device, lane.embed, inputs)
            vectors = self._checked(raw, len(inputs))
        except Exception as error:
            _logger.exception("model %s failed on a batch of %d", self.model.name, len(inputs))
            for request in batch:
                self._fail(request.answer, error)
            return
        start = 0
        for request in batch:
            part = vectors[start : start + len(request.inputs)]
            start += len(request.inputs)
            if not np.isfinite(part).all():
                _logger.error("model %s gave a vector that is zero or not finite", self.model.name)
                self._fail(request.answer, None)
            elif not request.answer.done():
                request.answer.set_result(part)

    def _checked(self, raw: _Matrix, count: int) -> _Matrix:
        """Rows of unit length; not finite where a row has no direction."""
        vectors = np.asarray(raw, np.float64)  # in float32 the squares of large values overflow
        if vectors.shape != (count, self.model.dimension):
            raise ValueError(f"vectors of shape {vectors.shape}, not {(count, self.model.dimension)}")
        with np.errstate(invalid="ignore", divide="ignore"):
            unit: _Matrix = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        return unit

    def _fail(self, answer: asyncio.Future[_Matrix], cause: Exception | None) -> None:
        """One error a caller: a shared one would gather the tracebacks of all of them."""
        if not answer.done():
            failure = ModelFailed(self.model.name)
            failure.__cause__ = cause
            answer.set_exception(failure)

    def _fail_waiting(self) -> None:
        for answer in tuple(self._answers):
            if not answer.done():
                answer.set_exception(self._refusal())
