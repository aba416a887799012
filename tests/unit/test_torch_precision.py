"""The numbers that models in PyTorch compute with, and how many images they take at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray

from shoal_server.adapters.torch_models import TimmEngine
from shoal_server.adapters.torch_models.batch_size import find_batch_size
from shoal_server.adapters.torch_models.device import Device
from shoal_server.adapters.torch_models.proving import prove, sample_pictures
from shoal_server.domain.collection import Precision
from shoal_server.domain.errors import ModelUnavailable


@pytest.fixture(autouse=True)
def in_float32() -> Iterator[None]:
    """How a CPU multiplies matrices is said for the whole process."""
    yield
    Device("cpu", Precision.FP32)
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    file: Path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.manual_seed(1)
    torch.save(timm.create_model("test_vit", pretrained=False).state_dict(), file)
    return f"timm/test_vit/{file}"


# Batch size, by a made-up device.


@pytest.mark.parametrize("fixed_s", [0.0, 0.05, 0.2, 1.0, 10.0])
def test_a_batch_grows_while_that_brings_a_tenth_more_images_a_second(fixed_s: float) -> None:
    def rate(count: int) -> float:
        return count / (fixed_s + 0.01 * count)

    found = find_batch_size(lambda count: count / rate(count), largest=512)
    sizes = [2**power for power in range(found.bit_length())]
    assert sizes[-1] == found
    assert all(rate(larger) >= 1.1 * rate(size) for size, larger in pairwise(sizes))
    assert found == 512 or rate(2 * found) < 1.1 * rate(found)


def test_a_batch_stops_where_memory_is_short_or_enough_is_enough() -> None:
    tried = []

    def seconds(count: int) -> float:
        tried.append(count)
        if count > 40:
            raise MemoryError
        return 1.0

    assert find_batch_size(seconds) == 32
    assert tried == [1, 2, 4, 8, 16, 32, 64]
    assert find_batch_size(lambda count: 1.0, largest=100) == 64
    with pytest.raises(MemoryError):
        find_batch_size(lambda count: seconds(100))


class Gpu(Device):
    """A CPU that is taken for a GPU."""

    @property
    def is_gpu(self) -> bool:
        return True

    def batch(self, inputs: Sequence[NDArray[np.float32]]) -> torch.Tensor:
        return torch.from_numpy(np.stack(inputs))


def test_on_a_gpu_the_batch_size_is_found_when_the_model_is_loaded(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TimmEngine.load(spec)
    assert engine.batch_size < 100

    def embed_images(inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        if len(inputs) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        time.sleep(0.001)
        return np.zeros((len(inputs), engine.model.dimension), np.float32)

    monkeypatch.setattr(engine, "device", Gpu("cpu"))
    monkeypatch.setattr(engine, "embed_images", embed_images)
    prove(spec, engine)
    assert (engine.batch_size, engine.passes_at_once) == (8, 1)


# Precision.


def test_what_a_cpu_does_not_compute_with_is_refused_with_what_it_does(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelUnavailable, match=r"fp16 needs a GPU.* SHOAL_PRECISION=bf16, int8 or fp32"):
        TimmEngine.load(spec, Precision.FP16)
    with pytest.raises(ModelUnavailable, match="does not compute in int8; ONNX Runtime does"):
        TimmEngine.load(spec, Precision.INT8)


def test_bf16_on_a_cpu_is_near_fp32_and_says_what_it_costs(spec: str, caplog: pytest.LogCaptureFixture) -> None:
    exact = TimmEngine.load(spec)
    inputs = [exact.preprocess(picture) for picture in sample_pictures(exact.input_side)]
    expected = exact.embed_images(inputs)
    with caplog.at_level(logging.INFO):
        low = TimmEngine.load(spec, Precision.BF16)
    assert low.model.precision is Precision.BF16
    assert low.model.same_weights(exact.model)
    assert torch.get_float32_matmul_precision() == "medium"
    vectors = low.embed_images(inputs)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert ((vectors * expected).sum(axis=1) >= 0.999).all()
    assert np.array_equal(vectors, low.embed_images(inputs))
    [line] = [record.getMessage() for record in caplog.records if "bf16" in record.getMessage()]
    assert "cosine similarity to fp32 at least 0.999" in line or "cosine similarity to fp32 at least 1.0" in line
    assert "times as fast here" in line


@pytest.mark.parametrize("ruin", [lambda vectors: vectors[:, ::-1].copy(), lambda vectors: vectors * np.nan])
def test_a_precision_that_ruins_the_vectors_is_refused(spec: str, monkeypatch: pytest.MonkeyPatch, ruin: Any) -> None:
    class Lossy(TimmEngine):
        def embed_images(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
            vectors = super().embed_images(inputs)
            spoilt: NDArray[np.float32] = ruin(vectors)
            return vectors if self.device.precision is Precision.FP32 else spoilt

    assert Lossy.load(spec).model.precision is Precision.FP32
    with pytest.raises(ModelUnavailable, match=r"in bf16 its vectors are too far .*use SHOAL_PRECISION=fp32"):
        Lossy.load(spec, Precision.BF16)


def test_the_sample_is_the_same_each_time_and_has_structure() -> None:
    pictures = sample_pictures(33)
    assert all(picture.shape == (33, 33, 3) and picture.dtype == np.uint8 for picture in pictures)
    assert all(np.array_equal(one, other) for one, other in zip(pictures, sample_pictures(33), strict=True))
    for picture in pictures:
        assert (picture.min(), picture.max()) == (0, 255)
        beside = np.corrcoef(picture[:, 1:].ravel(), picture[:, :-1].ravel())[0, 1]
        assert beside > 0.5, "neighbours are alike, as in photographs"
