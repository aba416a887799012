"""The embedder: preprocessing has a thread pool, and the model has a thread for each pass that may run at once.

Each of these takes what is waiting as soon as it is free. So a lone request never waits for company, and while the
model works on one batch the next is preprocessed and collected (continuous batching as in infinity and
text-embeddings-inference).

What becomes of failures:

* A pass that raises is halved until the failing requests are alone; they fail, the others do not. Before that the model
  has to pass a self-test.
* A model that fails the self-test, or has a pass that does not end, is broken: everybody who waits and everybody who
  comes fails at once with ModelBroken. It is tried again every few seconds and serves as soon as it works.
* If the task that feeds the model breaks down, everybody who waits fails likewise, and it is started again.

Nothing in this process mends a device that is lost or a thread that hangs: whoever runs the embedder looks at
:attr:`BatchingEmbedder.problem` and ends the process if it lasts.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shoal_server.adapters.batching.lanes import Input, Lane, Matrix, Request
from shoal_server.adapters.batching.soundness import Soundness
from shoal_server.adapters.batching.threads import shut_down
from shoal_server.application.ports import Embedder, EmbeddingEngine
from shoal_server.application.telemetry import FAILED, OK, Meter, NoMeter
from shoal_server.domain.collection import EmbeddingModel
from shoal_server.domain.errors import (
    ModelBroken,
    ModelFailed,
    Overloaded,
    ReadsNoText,
    ShoalError,
    ShuttingDown,
)
from shoal_server.domain.image import Pixels, Vector

#: By then the queue of any model worth serving has moved on.
_RETRY_AFTER_S = 1.0
#: Seconds that threads get to end when the embedder is closed; one that hangs never does.
_CLOSE_S = 10.0
#: Shade of the self-test's picture, and its text.
_GRAY = 128
_TEXT = "a photograph"

_logger = logging.getLogger(__name__)


class BatchingEmbedder(Embedder):
    """Serves one model to many callers. An asynchronous context manager; all calls belong to one event loop."""

    def __init__(
        self,
        engine: EmbeddingEngine,
        *,
        max_batch: int = 32,
        max_queue: int = 256,
        preprocess_threads: int = 2,
        stall_s: float = 120.0,
        retry_s: float = 5.0,
        meter: Meter | None = None,
    ) -> None:
        """Prepares the queue; :meth:`start` sets it going.

        Args:
            engine: the model; as many threads as it has passes at once call its ``embed_images``, one at a time its
                ``embed_texts``.
            max_batch: images or texts in one pass, at least 1; fewer images where the engine's batches are smaller.
            max_queue: calls under way, from preprocessing to answer, at least 1; a call beyond is refused. Each may
                hold one preprocessed image in memory.
            preprocess_threads: images preprocessed at the same time, at least 1.
            stall_s: seconds after which a pass that has not ended is taken for one that never will.
            retry_s: seconds after which a broken model is tried again, the first time; later up to 12 times as long.
            meter: told of every pass.
        """
        self._engine = engine
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._meter = meter or NoMeter()
        passes = engine.passes_at_once
        self._images: Lane[NDArray[np.float32]] = Lane(
            "image", engine.embed_images, largest=min(max_batch, engine.batch_size), at_once=passes
        )
        self._texts: Lane[str] = Lane("text", engine.embed_texts, largest=max_batch, at_once=1)
        self._turns: deque[Lane[Any]] = deque([self._images, self._texts])
        self._answers: set[asyncio.Future[Matrix]] = set()
        self._calls = 0
        self._wake = asyncio.Event()
        self._working = asyncio.Event()
        self._working.set()
        self._preprocessing = ThreadPoolExecutor(preprocess_threads, thread_name_prefix="shoal-preprocess")
        self._passes = passes
        self._device = ThreadPoolExecutor(passes, thread_name_prefix="shoal-model")
        self._began: dict[object, float] = {}
        self._stall_s = stall_s
        self._retry_s = retry_s
        self._soundness = Soundness(engine.model.name, self._try_all, retry_s)
        self._soundness.changed = self._health_changed
        self._listener: Callable[[], None] = lambda: None
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
    def limit(self) -> int:
        """Most calls under way."""
        return self._max_queue

    @property
    def serving(self) -> bool:
        """Whether calls are answered: it was started, is not closed and is not broken."""
        return self._worker is not None and not self._closed and not self.problem

    @property
    def problem(self) -> str:
        """Why the model does not work; empty while it does."""
        if self._worker is not None and self._worker.done() and not self._closed:
            return "the task that watches over it has ended"
        return self._soundness.problem

    @property
    def breakdowns(self) -> int:
        """How often the model broke."""
        return self._soundness.breakdowns

    def listen(self, listener: Callable[[], None]) -> None:
        """Has somebody called whenever :attr:`problem` has changed."""
        self._listener = listener

    def start(self) -> None:
        """Begins to serve, on the running event loop. May be called once."""
        if self._worker is not None:
            raise RuntimeError("the embedder was started before")
        self._worker = asyncio.create_task(self._live(), name="shoal-batching")

    async def aclose(self) -> None:
        """Refuses new calls, fails those under way and waits for the passes that are running, up to 10 s."""
        self._closed = True
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        self._fail_waiting()
        # Each thread finishes what it is doing, so that nobody uses the model once this has returned.
        for pool in (self._preprocessing, self._device):
            if not await shut_down(pool, _CLOSE_S):
                _logger.error("a thread of model %s does not end and is left behind", self.model.name)

    async def embed_image(self, pixels: Pixels) -> Vector:
        """Upright RGB uint8 (height, width, 3) to a unit vector.

        Raises:
            Overloaded: the queue is full.
            ModelFailed: the model raised an error on this image, or gave no usable vector.
            ModelBroken: the model fails whatever it is given.
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
        """A text to a unit vector. Raises as :meth:`embed_image`, and ReadsNoText."""
        self._check_reads()
        with self._admitted():
            vectors = await self._submit(self._texts, [text])
        vector: Vector = vectors[0]
        return vector

    async def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Many texts (a vocabulary) to unit vectors, float32 (n, dimension). Raises as :meth:`embed_text`.

        They go through the model a batch at a time, and images that wait come between.
        """
        self._check_reads()
        with self._admitted():
            parts = [
                await self._submit(self._texts, texts[start : start + self._max_batch])
                for start in range(0, len(texts), self._max_batch)
            ]
        return np.concatenate(parts) if parts else np.empty((0, self.model.dimension), np.float32)

    def _check_reads(self) -> None:
        if not self.model.reads_text:
            raise ReadsNoText(self.model.name)

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
        return ShuttingDown() if self._closed else ModelBroken(self.model.name, self.problem)

    def _preprocess(self, pixels: Pixels) -> NDArray[np.float32]:
        if self._closed:
            raise ShuttingDown()
        try:
            return self._engine.preprocess(pixels)
        except Exception as error:
            _logger.exception("model %s failed to preprocess an image of shape %s", self.model.name, pixels.shape)
            raise ModelFailed(self.model.name) from error

    async def _submit(self, lane: Lane[Input], inputs: Sequence[Input]) -> Matrix:
        self._check_serving()
        answer: asyncio.Future[Matrix] = asyncio.get_running_loop().create_future()
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)
        lane.requests.append(Request(inputs, answer))
        self._wake.set()
        return await answer

    async def _live(self) -> None:
        """Feeds the model and watches over it, for as long as the embedder lives."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed())
                group.create_task(self._watch())
        finally:
            self._fail_waiting()

    async def _feed(self) -> None:
        """Keeps the model's threads at work; begins again after a breakdown."""
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self._passes):
                        group.create_task(self._work())
            except Exception:
                _logger.critical(
                    "the task that feeds model %s broke down; it is started again", self.model.name, exc_info=True
                )
                self._soundness.note("the task that feeds it broke down")
                await self._working.wait()

    async def _watch(self) -> None:
        """Notices passes that do not end, and tries a broken model again."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(min(1.0, self._stall_s / 4, self._retry_s / 4))
            if not self.problem:
                if self._began and clock() - min(self._began.values()) > self._stall_s:
                    _logger.critical("a pass of model %s has not ended for %g s", self.model.name, self._stall_s)
                    self._soundness.note(f"a pass has not ended for {self._stall_s:g} s")
            elif not self._began and clock() >= self._soundness.due_at:
                await self._soundness.try_again()

    def _health_changed(self) -> None:
        if self.problem:
            self._working.clear()
            self._fail_waiting()
        else:
            self._working.set()
        self._listener()

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

    def _next_batch(self) -> tuple[Lane[Any], list[Request[Any]]]:
        """The next batch, images and texts in turn, or an empty one."""
        for _ in range(len(self._turns)):
            lane = self._turns[0]
            self._turns.rotate()
            batch = lane.take()
            if batch:
                break
        return lane, batch

    async def _run(self, lane: Lane[Any], batch: Sequence[Request[Any]], *, sound: bool = False) -> None:
        """One pass of the model; where it fails, one for each half, until the failing requests are alone.

        Args:
            lane: whose batch it is.
            batch: what waits.
            sound: the model has passed its self-test since it failed.
        """
        inputs = [item for request in batch for item in request.inputs]
        try:
            vectors = await self._pass(lane, inputs)
        except Exception as error:
            if len(batch) > 1:
                _logger.warning(
                    "model %s failed on a batch of %d, which is halved: %r", self.model.name, len(inputs), error
                )
            else:
                _logger.exception("model %s failed on a batch of %d", self.model.name, len(inputs))
            if not sound and not await self._soundness.examine(lambda: self._try(lane)):
                # Everybody who waits was told.
                return
            if len(batch) == 1:
                self._fail(batch[0].answer, error)
                return
            middle = len(batch) // 2
            for half in (batch[:middle], batch[middle:]):
                # Who left meanwhile needs no second pass.
                if waiting := [request for request in half if not request.answer.done()]:
                    await self._run(lane, waiting, sound=True)
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
        if not sound and not np.isfinite(vectors).all():
            await self._soundness.examine(lambda: self._try(lane))

    async def _pass(self, lane: Lane[Input], inputs: Sequence[Input]) -> Matrix:
        loop = asyncio.get_running_loop()
        mark = object()
        began = self._began[mark] = loop.time()
        outcome = FAILED
        try:
            raw = await loop.run_in_executor(self._device, lane.embed, inputs)
            vectors = self._checked(raw, len(inputs))
            outcome = OK
            return vectors
        finally:
            del self._began[mark]
            self._meter.passed(lane.kind, len(inputs), outcome, loop.time() - began)

    async def _try_all(self) -> None:
        """The self-test. Nothing else goes through the model meanwhile."""
        await self._try(self._images)
        if self.model.reads_text:
            await self._try(self._texts)

    async def _try(self, lane: Lane[Any]) -> None:
        """The self-test of one lane, by whoever has a turn in it.

        Raises:
            Exception: what the model raised, or that its vector is none.
        """
        harmless: Any = _TEXT
        if lane is self._images:
            side = self._engine.input_side
            gray = np.full((side, side, 3), _GRAY, np.uint8)
            loop = asyncio.get_running_loop()
            harmless = await loop.run_in_executor(self._preprocessing, self._engine.preprocess, gray)
        if not np.isfinite(await self._pass(lane, [harmless])).all():
            raise ValueError("the vector is zero or not finite")

    def _checked(self, raw: Matrix, count: int) -> Matrix:
        """Rows of unit length; not finite where a row has no direction."""
        vectors = np.asarray(raw, np.float64)  # in float32 the squares of large values overflow
        if vectors.shape != (count, self.model.dimension):
            raise ValueError(f"vectors of shape {vectors.shape}, not {(count, self.model.dimension)}")
        with np.errstate(invalid="ignore", divide="ignore"):
            unit: Matrix = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        return unit

    def _fail(self, answer: asyncio.Future[Matrix], cause: Exception | None) -> None:
        """One error a caller: a shared one would gather the tracebacks of all of them."""
        if not answer.done():
            failure = ModelFailed(self.model.name)
            failure.__cause__ = cause
            answer.set_exception(failure)

    def _fail_waiting(self) -> None:
        for answer in tuple(self._answers):
            if not answer.done():
                answer.set_exception(self._refusal())
