"""The starter model in ONNX Runtime, with its real weights, exported once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shoal_server.adapters.onnx_runtime import OnnxEngine
from shoal_server.adapters.onnx_runtime.checking import photographs
from shoal_server.adapters.starter_embedder import StarterEngine, StarterModel
from shoal_server.bootstrap import load_engine, models
from shoal_server.domain.collection import Precision
from shoal_server.domain.errors import ModelUnavailable
from shoal_server.settings.images import Runtime

TEXTS = ["a cat", "", "word " * 1000, "a cup of coffee, seen from above", "Motorräder & 写真"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def engine(cache: Path) -> OnnxEngine:
    return OnnxEngine.load(StarterModel(cache), cache / "onnx")


@pytest.fixture(scope="module")
def in_torch(engine: OnnxEngine, cache: Path) -> StarterEngine:
    return StarterEngine(cache)


def test_it_is_the_same_model(engine: OnnxEngine, in_torch: StarterEngine) -> None:
    assert engine.model == in_torch.model
    assert engine.input_side == in_torch.input_side


def test_the_vectors_are_pytorchs(engine: OnnxEngine, in_torch: StarterEngine) -> None:
    pictures = photographs()[:6]
    inputs = [engine.preprocess(picture) for picture in pictures]
    assert all(np.array_equal(a, in_torch.preprocess(b)) for a, b in zip(inputs, pictures, strict=True))
    np.testing.assert_allclose(engine.embed_images(inputs), in_torch.embed_images(inputs), atol=1e-4)
    np.testing.assert_allclose(engine.embed_texts(TEXTS), in_torch.embed_texts(TEXTS), atol=1e-4)
    np.testing.assert_allclose(engine.embed_texts(TEXTS[:1]), in_torch.embed_texts(TEXTS[:1]), atol=1e-4)


@pytest.mark.parametrize(("runtime", "kind"), [(Runtime.ONNX, OnnxEngine), (Runtime.AUTO, StarterEngine)])
def test_it_runs_here_where_that_is_asked_for(engine: OnnxEngine, cache: Path, runtime: Runtime, kind: type) -> None:
    assert isinstance(load_engine("starter", cache, runtime=runtime), kind)


def test_int8_on_a_machine_with_a_gpu_has_to_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_has_gpu", lambda: True)
    with pytest.raises(ModelUnavailable, match=r"runs on the CPU.*SHOAL_PRECISION=fp16.*SHOAL_RUNTIME=onnx"):
        load_engine("ViT-B-32/openai", tmp_path, Precision.INT8, Runtime.AUTO)
