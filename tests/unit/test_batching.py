"""The batching embedder in front of a model that the tests stop and release."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal_server.adapters.batching import BatchingEmbedder
from shoal_server.adapters.batching import embedder as batching_embedder
from shoal_server.application.ports import EmbeddingEngine
from shoal_server.application.telemetry import NoMeter
from shoal_server.domain.collection import EmbeddingModel
from shoal_server.domain.errors import ModelBroken, ModelFailed, Overloaded, ShuttingDown
from shoal_server.domain.image import Pixels

DIMENSION = 8
#: What an image of the self-test's shade is; its vector is on axis 0.
SELF_TEST = 128
Matrix = NDArray[np.float32]


class HeldEngine(EmbeddingEngine):
    """Puts image number n on axis n; while it is held, a pass does not end. Self-tests are counted apart."""

    def __init__(self, at_once: int = 1, largest: int = 100) -> None:
        self.at_once = at_once
        self.largest = largest
        self.passes: list[list[int] | list[str]] = []
        self.preprocessed: list[int] = []
        self.trials = 0
        self.testing = False
        self.entered = threading.Event()
        self.released = threading.Event()
        self.released.set()
        self.answer: Callable[[Matrix], Matrix] = lambda vectors: vectors

    @property
    def model(self) -> EmbeddingModel:
        return EmbeddingModel("held", "sha256:" + "0" * 64, DIMENSION)

    @property
    def input_side(self) -> int:
        return 2

    @property
    def passes_at_once(self) -> int:
        return self.at_once

    @property
    def batch_size(self) -> int:
        return self.largest

    def hold(self) -> None:
        self.entered.clear()
        self.released.clear()

    def preprocess(self, pixels: Pixels) -> Matrix:
        number = int(pixels[0, 0, 0])
        if number == 255:
            raise ValueError("cannot preprocess this")
        if number != SELF_TEST:
            self.preprocessed.append(number)
        return np.array([number], np.float32)

    def embed_images(self, inputs: Sequence[Matrix]) -> Matrix:
        numbers = [int(one[0]) for one in inputs]
        return self._pass(numbers, numbers)

    def embed_texts(self, texts: Sequence[str]) -> Matrix:
        return self._pass(list(texts), [int(text) if text.isdigit() else SELF_TEST for text in texts])

    def _pass(self, inputs: list[int] | list[str], axes: Sequence[int]) -> Matrix:
        self.testing = list(axes) == [SELF_TEST]
        if self.testing:
            self.trials += 1
        else:
            self.passes.append(inputs)
        self.entered.set()
        assert self.released.wait(10)
        return self.answer(np.eye(DIMENSION, dtype=np.float32)[[axis % DIMENSION for axis in axes]])


def image(number: int) -> Pixels:
    return np.full((2, 3, 3), number, np.uint8)


def axis(number: int) -> Matrix:
    vector: Matrix = np.eye(DIMENSION, dtype=np.float32)[number]
    return vector


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.fixture
def engine() -> HeldEngine:
    return HeldEngine()


@pytest.fixture
async def embedder(engine: HeldEngine) -> AsyncIterator[BatchingEmbedder]:
    async with BatchingEmbedder(engine, max_batch=4, max_queue=8) as started:
        yield started
        engine.released.set()


async def occupy(engine: HeldEngine, embedder: BatchingEmbedder) -> asyncio.Task[Matrix]:
    """Has the model busy with image 0, until it is released."""
    engine.hold()
    first = asyncio.create_task(embedder.embed_image(image(0)))
    await until(engine.entered.is_set)
    return first


async def test_a_lone_image_does_not_wait_for_company(engine: HeldEngine, embedder: BatchingEmbedder) -> None:
    assert np.array_equal(await embedder.embed_image(image(3)), axis(3))
    assert engine.passes == [[3]]


async def test_what_waits_shares_a_pass_and_everyone_gets_their_own_vector(
    engine: HeldEngine, embedder: BatchingEmbedder
) -> None:
    first = await occupy(engine, embedder)
    others = [asyncio.create_task(embedder.embed_image(image(number))) for number in (1, 2, 3)]
    await until(lambda: len(engine.preprocessed) == 4)
    await asyncio.sleep(0.05)
    engine.released.set()
    assert [int(np.argmax(await task)) for task in [first, *others]] == [0, 1, 2, 3]
    assert engine.passes[0] == [0]
    assert sorted(map(int, engine.passes[1])) == [1, 2, 3]
    assert len(engine.passes) == 2


async def test_the_next_batch_is_preprocessed_while_the_model_works(
    engine: HeldEngine, embedder: BatchingEmbedder
) -> None:
    first = await occupy(engine, embedder)
    second = asyncio.create_task(embedder.embed_image(image(1)))
    await until(lambda: 1 in engine.preprocessed)
    assert not first.done()
    engine.released.set()
    await asyncio.gather(first, second)


async def test_texts_come_in_order_and_a_pass_has_at_most_max_batch(
    engine: HeldEngine, embedder: BatchingEmbedder
) -> None:
    first = await occupy(engine, embedder)
    singles = [asyncio.create_task(embedder.embed_text(str(number))) for number in range(6)]
    await until(lambda: embedder.waiting == 7)
    engine.released.set()
    await first
    assert [int(np.argmax(await task)) for task in singles] == [0, 1, 2, 3, 4, 5]
    assert engine.passes == [[0], ["0", "1", "2", "3"], ["4", "5"]]


async def test_images_come_between_the_batches_of_a_vocabulary(engine: HeldEngine, embedder: BatchingEmbedder) -> None:
    first = await occupy(engine, embedder)
    vocabulary = asyncio.create_task(embedder.embed_texts([str(number % DIMENSION) for number in range(10)]))
    second = asyncio.create_task(embedder.embed_image(image(7)))
    await until(lambda: 7 in engine.preprocessed)
    await asyncio.sleep(0.05)
    engine.released.set()
    await asyncio.gather(first, second)
    assert [int(np.argmax(row)) for row in await vocabulary] == [number % DIMENSION for number in range(10)]
    sizes = [len(one) for one in engine.passes if isinstance(one[0], str)]
    assert sizes == [4, 4, 2]
    assert engine.passes.index([7]) < len(engine.passes) - 1


async def test_what_waits_is_shared_out_among_the_passes_that_may_run_at_once() -> None:
    engine = HeldEngine(at_once=2)
    async with BatchingEmbedder(engine, max_batch=8, max_queue=20) as embedder:
        both = [await occupy(engine, embedder) for _ in range(2)]
        others = [asyncio.create_task(embedder.embed_image(image(number))) for number in (1, 2, 3, 4)]
        await until(lambda: len(engine.preprocessed) == 6)
        await asyncio.sleep(0.05)
        assert engine.passes == [[0], [0]]
        engine.released.set()
        assert [int(np.argmax(await task)) for task in [*both, *others]] == [0, 0, 1, 2, 3, 4]
    assert sum(len(one) for one in engine.passes) == 6
    assert max(len(one) for one in engine.passes[2:]) < 4


async def test_a_pass_has_no_more_images_than_the_engine_asks_for() -> None:
    engine = HeldEngine(largest=2)
    async with BatchingEmbedder(engine, max_batch=8, max_queue=20) as embedder:
        first = await occupy(engine, embedder)
        others = [asyncio.create_task(embedder.embed_image(image(number))) for number in (1, 2, 3)]
        texts = asyncio.create_task(embedder.embed_texts(["4", "5", "6"]))
        await until(lambda: len(engine.preprocessed) == 4)
        await asyncio.sleep(0.05)
        engine.released.set()
        await asyncio.gather(first, texts, *others)
    assert sorted(len(one) for one in engine.passes) == [1, 1, 2, 3]


async def test_a_text_goes_beside_the_images_but_never_beside_another_text() -> None:
    engine = HeldEngine(at_once=3)
    async with BatchingEmbedder(engine, max_batch=1, max_queue=20) as embedder:
        first = await occupy(engine, embedder)
        texts = [asyncio.create_task(embedder.embed_text(text)) for text in ("1", "2")]
        await until(lambda: ["1"] in engine.passes)
        second = asyncio.create_task(embedder.embed_image(image(3)))
        await until(lambda: [3] in engine.passes)
        assert ["2"] not in engine.passes
        engine.released.set()
        assert [int(np.argmax(await task)) for task in (first, *texts, second)] == [0, 1, 2, 3]


async def test_no_texts_are_no_vectors(engine: HeldEngine, embedder: BatchingEmbedder) -> None:
    assert (await embedder.embed_texts([])).shape == (0, DIMENSION)
    assert engine.passes == []


async def test_a_caller_who_left_is_not_embedded(engine: HeldEngine, embedder: BatchingEmbedder) -> None:
    first = await occupy(engine, embedder)
    leaver = asyncio.create_task(embedder.embed_text("1"))
    stayer = asyncio.create_task(embedder.embed_text("2"))
    await until(lambda: embedder.waiting == 3)
    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    assert leaver.cancelled()
    assert embedder.waiting == 2
    engine.released.set()
    await first
    assert np.array_equal(await stayer, axis(2))
    assert engine.passes == [[0], ["2"]]


async def test_a_caller_who_leaves_during_the_pass_takes_nobody_along(
    engine: HeldEngine, embedder: BatchingEmbedder
) -> None:
    first = await occupy(engine, embedder)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    engine.released.set()
    assert np.array_equal(await embedder.embed_image(image(1)), axis(1))


async def test_an_error_of_the_model_reaches_everyone_in_the_batch_and_the_next_is_served(
    engine: HeldEngine, embedder: BatchingEmbedder, caplog: pytest.LogCaptureFixture
) -> None:
    def fail_unless_tested(vectors: Matrix) -> Matrix:
        if engine.testing:
            return vectors
        raise RuntimeError("out of memory")

    first = await occupy(engine, embedder)
    others = [asyncio.create_task(embedder.embed_text(str(number))) for number in range(3)]
    await until(lambda: embedder.waiting == 4)
    engine.answer = fail_unless_tested
    with caplog.at_level(logging.WARNING):
        engine.released.set()
        outcomes = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ModelFailed] * 4
    assert len({id(outcome) for outcome in outcomes}) == 4
    assert all(isinstance(error, ModelFailed) and str(error.__cause__) == "out of memory" for error in outcomes)
    # The image; all texts; one of them; the two others; each of these.
    assert [len(each) for each in engine.passes] == [1, 3, 1, 2, 1, 1]
    assert len(caplog.records) == len(engine.passes)
    # Once for each batch, however often it was halved.
    assert engine.trials == 2
    engine.answer = lambda vectors: vectors
    assert np.array_equal(await embedder.embed_image(image(1)), axis(1))


async def test_an_image_that_cannot_be_preprocessed_fails_alone(engine: HeldEngine, embedder: BatchingEmbedder) -> None:
    bad, good = await asyncio.gather(
        embedder.embed_image(image(255)), embedder.embed_image(image(1)), return_exceptions=True
    )
    assert isinstance(bad, ModelFailed)
    assert isinstance(bad.__cause__, ValueError)
    assert isinstance(good, np.ndarray)


@pytest.mark.parametrize("poison", [np.nan, np.inf, 0.0])
async def test_a_vector_without_a_direction_fails_alone(
    engine: HeldEngine, embedder: BatchingEmbedder, poison: float
) -> None:
    def spoil_axis_1(vectors: Matrix) -> Matrix:
        return np.where(vectors[:, 1:2] == 1, np.float32(poison), vectors)

    first = await occupy(engine, embedder)
    engine.answer = spoil_axis_1
    both = [asyncio.create_task(embedder.embed_text(text)) for text in ("1", "2")]
    await until(lambda: embedder.waiting == 3)
    engine.released.set()
    _, bad, good = await asyncio.gather(first, *both, return_exceptions=True)
    assert isinstance(bad, ModelFailed)
    assert isinstance(good, np.ndarray)


def raises(vectors: Matrix) -> Matrix:
    if vectors[:, 5].any():
        raise RuntimeError("cannot embed this")
    return vectors


def loses_a_row(vectors: Matrix) -> Matrix:
    return vectors[:-1] if vectors[:, 5].any() else vectors


def flattens(vectors: Matrix) -> Matrix:
    return vectors.ravel() if vectors[:, 5].any() else vectors


@pytest.mark.parametrize("poisoned", [raises, loses_a_row, flattens])
async def test_an_image_that_spoils_its_batch_fails_alone(poisoned: Callable[[Matrix], Matrix]) -> None:
    engine = HeldEngine()
    engine.answer = poisoned
    async with BatchingEmbedder(engine, max_batch=8, max_queue=16) as embedder:
        first = await occupy(engine, embedder)
        others = [asyncio.create_task(embedder.embed_image(image(number))) for number in range(1, 8)]
        await until(lambda: len(engine.preprocessed) == 8)
        await asyncio.sleep(0.05)
        engine.released.set()
        outcomes = await asyncio.gather(first, *others, return_exceptions=True)
    for number, outcome in enumerate(outcomes):
        if number == 5:
            assert isinstance(outcome, ModelFailed)
        else:
            assert not isinstance(outcome, BaseException)
            assert np.array_equal(outcome, axis(number))
    # One alone; then seven, halved until the poisoned one is alone.
    assert len(engine.passes) <= 1 + 7


async def test_who_left_is_not_embedded_again(engine: HeldEngine, embedder: BatchingEmbedder) -> None:
    first = await occupy(engine, embedder)
    others = [asyncio.create_task(embedder.embed_text(str(number))) for number in range(3)]
    await until(lambda: embedder.waiting == 4)
    entered, may_fail = threading.Event(), threading.Event()

    def fail_all_three(vectors: Matrix) -> Matrix:
        if len(vectors) == 3:
            entered.set()
            assert may_fail.wait(10)
            raise RuntimeError("not today")
        return vectors

    engine.answer = fail_all_three
    engine.released.set()
    await until(entered.is_set)
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    may_fail.set()
    await asyncio.gather(first, embedder.embed_image(image(1)))
    assert [len(each) for each in engine.passes] == [1, 3, 1]


@pytest.mark.parametrize("scale", [3.0, 1e-30, 1e30])
async def test_vectors_are_brought_to_unit_length(engine: HeldEngine, embedder: BatchingEmbedder, scale: float) -> None:
    engine.answer = lambda vectors: (vectors + 1) * np.float32(scale)
    vector = await embedder.embed_image(image(1))
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


async def test_vectors_of_a_wrong_shape_are_an_error(engine: HeldEngine, embedder: BatchingEmbedder) -> None:
    engine.answer = lambda vectors: vectors if engine.testing else vectors[:, :3]
    with pytest.raises(ModelFailed) as caught:
        await embedder.embed_image(image(1))
    assert "(1, 3)" in str(caught.value.__cause__)


async def test_a_full_queue_refuses_and_has_room_again_later(engine: HeldEngine, embedder: BatchingEmbedder) -> None:
    first = await occupy(engine, embedder)
    others = [asyncio.create_task(embedder.embed_text("1")) for _ in range(7)]
    await until(lambda: embedder.waiting == 8)
    with pytest.raises(Overloaded) as caught:
        await embedder.embed_text("2")
    assert caught.value.retry_after_s > 0
    with pytest.raises(Overloaded):
        await embedder.embed_image(image(2))
    engine.released.set()
    await asyncio.gather(first, *others)
    assert embedder.waiting == 0
    assert np.array_equal(await embedder.embed_text("2"), axis(2))


async def test_closing_fails_those_who_wait_and_waits_for_the_pass(engine: HeldEngine) -> None:
    embedder = BatchingEmbedder(engine)
    embedder.start()
    first = await occupy(engine, embedder)
    second = asyncio.create_task(embedder.embed_text("1"))
    vocabulary = asyncio.create_task(embedder.embed_texts(["1"] * 100))
    await until(lambda: embedder.waiting == 3)
    closing = asyncio.create_task(embedder.aclose())
    outcomes = await asyncio.gather(first, second, vocabulary, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ShuttingDown] * 3
    assert not closing.done()
    engine.released.set()
    await closing
    assert not embedder.serving
    assert engine.passes == [[0]]


async def test_after_closing_calls_are_refused(engine: HeldEngine) -> None:
    async with BatchingEmbedder(engine) as embedder:
        assert embedder.serving
    for call in (embedder.embed_image(image(1)), embedder.embed_text("1"), embedder.embed_texts(["1"])):
        with pytest.raises(ShuttingDown):
            await call
    await embedder.aclose()


async def test_an_embedder_that_never_started_can_be_closed(engine: HeldEngine) -> None:
    embedder = BatchingEmbedder(engine)
    with pytest.raises(RuntimeError, match="not started"):
        await embedder.embed_text("1")
    await embedder.aclose()


async def test_starting_twice_is_refused(embedder: BatchingEmbedder) -> None:
    with pytest.raises(RuntimeError, match="started before"):
        embedder.start()


async def test_if_the_worker_breaks_down_nobody_hangs_and_it_is_started_again(
    engine: HeldEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(*_: object) -> None:
        raise MemoryError

    async with BatchingEmbedder(engine, retry_s=0.05) as embedder:
        first = await occupy(engine, embedder)
        second = asyncio.create_task(embedder.embed_text("1"))
        await until(lambda: embedder.waiting == 2)
        with monkeypatch.context() as broken:
            broken.setattr(embedder, "_next_batch", break_down)
            engine.released.set()
            assert np.array_equal(await first, axis(0))
            with pytest.raises(ModelBroken, match="broke down"):
                await second
            assert not embedder.serving
            with pytest.raises(ModelBroken):
                await embedder.embed_text("1")
            assert [record.levelname for record in caplog.records] == ["CRITICAL"]
        await until(lambda: embedder.serving)
        assert np.array_equal(await embedder.embed_text("1"), axis(1))


def fail(_: Matrix) -> Matrix:
    raise RuntimeError("the device is lost")


async def test_a_model_that_fails_whatever_it_is_given_is_broken_until_it_works_again(
    engine: HeldEngine, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []
    async with BatchingEmbedder(engine, max_batch=4, retry_s=0.05) as embedder:
        embedder.listen(lambda: heard.append(embedder.problem))
        first = await occupy(engine, embedder)
        others = [asyncio.create_task(embedder.embed_text(str(number))) for number in range(6)]
        await until(lambda: embedder.waiting == 7)
        engine.answer = fail
        engine.released.set()
        outcomes = await asyncio.gather(first, *others, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {ModelBroken}
        assert (embedder.serving, embedder.waiting, embedder.breakdowns) == (False, 0, 1)
        # Nobody was tried in halves with a model that does not work.
        assert engine.passes == [[0]]
        # Who comes is told at once, and the model is left alone.
        tried = engine.trials
        with pytest.raises(ModelBroken, match=r"self-test \(RuntimeError\)"):
            await embedder.embed_image(image(1))
        assert "the device is lost" not in embedder.problem
        assert tried <= engine.trials <= tried + 1
        await until(lambda: engine.trials >= tried + 2)
        assert not embedder.serving
        engine.answer = lambda vectors: vectors
        await until(lambda: embedder.serving)
        assert np.array_equal(await embedder.embed_image(image(1)), axis(1))
    assert [bool(problem) for problem in heard] == [True, False]
    assert "the device is lost" in caplog.text


async def test_a_model_whose_vectors_are_all_nothing_is_broken(engine: HeldEngine, embedder: BatchingEmbedder) -> None:
    engine.answer = lambda vectors: vectors * np.float32(np.nan)
    with pytest.raises(ModelFailed):
        await embedder.embed_image(image(1))
    await until(lambda: not embedder.serving)
    with pytest.raises(ModelBroken):
        await embedder.embed_image(image(1))


async def test_a_pass_that_does_not_end_is_noticed_and_so_is_its_end(engine: HeldEngine) -> None:
    async with BatchingEmbedder(engine, stall_s=0.2, retry_s=0.05) as embedder:
        first = await occupy(engine, embedder)
        second = asyncio.create_task(embedder.embed_text("1"))
        for call in (first, second):
            with pytest.raises(ModelBroken, match="has not ended"):
                await call
        # While a thread is held nothing else is given to the model, be it to try it.
        await asyncio.sleep(0.3)
        assert (engine.trials, embedder.serving) == (0, False)
        engine.released.set()
        await until(lambda: embedder.serving)
        assert engine.trials == 2
        assert np.array_equal(await embedder.embed_text("1"), axis(1))


async def test_closing_does_not_wait_for_a_thread_that_hangs(
    engine: HeldEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(batching_embedder, "_CLOSE_S", 0.1)
    embedder = BatchingEmbedder(engine)
    embedder.start()
    first = await occupy(engine, embedder)
    async with asyncio.timeout(5):
        await embedder.aclose()
    with pytest.raises(ShuttingDown):
        await first
    assert "is left behind" in caplog.text
    engine.released.set()


async def test_every_pass_is_measured(engine: HeldEngine) -> None:
    class Noted(NoMeter):
        def passed(self, kind: str, size: int, outcome: str, seconds: float) -> None:
            noted.append((kind, size, outcome))
            assert 0 <= seconds < 10

    noted: list[tuple[str, int, str]] = []
    async with BatchingEmbedder(engine, max_batch=2, meter=Noted()) as embedder:
        await embedder.embed_image(image(1))
        await embedder.embed_texts(["1", "2", "3"])
        engine.answer = lambda vectors: vectors if engine.testing else fail(vectors)
        with pytest.raises(ModelFailed):
            await embedder.embed_text("1")
    assert noted == [
        ("image", 1, "ok"),
        ("text", 2, "ok"),
        ("text", 1, "ok"),
        ("text", 1, "failed"),
        ("text", 1, "ok"),
    ]


async def test_no_call_is_lost_among_many(engine: HeldEngine) -> None:
    roomy = BatchingEmbedder(engine, max_batch=4, max_queue=1000)

    async def ask(number: int) -> None:
        await asyncio.sleep(number % 7 / 2000)
        call = roomy.embed_text(str(number % 8)) if number % 2 else roomy.embed_image(image(number % 8))
        assert np.array_equal(await call, axis(number % 8))

    async with asyncio.timeout(20), roomy:
        await asyncio.gather(*(ask(number) for number in range(500)))
    assert sum(len(one) for one in engine.passes) == 500
    assert max(len(one) for one in engine.passes) <= 4
