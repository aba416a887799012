"""Models in ONNX Runtime: a tiny one of open_clip with random weights, exported once."""

from __future__ import annotations

import json
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray

from shoal_server.adapters.onnx_runtime import OnnxEngine, making
from shoal_server.adapters.onnx_runtime import engine as engine_module
from shoal_server.adapters.onnx_runtime.checking import Closeness, photographs
from shoal_server.adapters.torch_models import OpenClipEngine, OpenClipModel
from shoal_server.bootstrap import load_engine
from shoal_server.domain.collection import Precision
from shoal_server.domain.errors import ModelUnavailable
from shoal_server.domain.image import Pixels
from shoal_server.settings.images import Runtime

TINY = "Shoal-tiny-32"
CONFIG: dict[str, Any] = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
PREPROCESSING = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear", "resize_mode": "squash"}
PRECISIONS = (Precision.FP32, Precision.INT8)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a model that prepares images in its own way."""
    folder = tmp_path_factory.mktemp("models") / "my-model"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": PREPROCESSING}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_clip.factory, "_MODEL_CONFIGS", {TINY: CONFIG})
        torch.manual_seed(3)
        torch.save(open_clip.create_model(TINY).state_dict(), folder / "open_clip_pytorch_model.bin")
    return f"local-dir:{folder}"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def exported(spec: str, cache: Path) -> dict[Precision, OnnxEngine]:
    exact = OnnxEngine.load(OpenClipModel.find(spec), cache)
    (folder,) = cache.iterdir()

    def export(_towers: object, _ends: object, into: Path) -> None:
        shutil.copytree(folder, into, dirs_exist_ok=True, ignore=shutil.ignore_patterns("notes.json"))

    with pytest.MonkeyPatch.context() as patch:
        # The same files again; making them takes seconds.
        patch.setattr(making, "_export", export)
        return {Precision.FP32: exact, Precision.INT8: OnnxEngine.load(OpenClipModel.find(spec), cache, Precision.INT8)}


@pytest.fixture(params=PRECISIONS, ids=lambda precision: precision.value)
def engine(exported: dict[Precision, OnnxEngine], request: pytest.FixtureRequest) -> OnnxEngine:
    return exported[request.param]


@pytest.fixture(scope="module")
def in_torch(spec: str) -> OpenClipEngine:
    return OpenClipEngine.load(spec)


def embed(engine: OnnxEngine | OpenClipEngine, *images: Pixels) -> NDArray[np.float32]:
    return engine.embed_images([engine.preprocess(image) for image in images])


def noise(seed: int, height: int = 40, width: int = 60) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def never(*_: object) -> None:
    raise AssertionError("it is exported, or its weights are read")


def test_the_vectors_in_fp32_are_pytorchs(exported: dict[Precision, OnnxEngine], in_torch: OpenClipEngine) -> None:
    engine = exported[Precision.FP32]
    pictures = [noise(seed) for seed in range(5)]
    texts = ["a cat", "", "word " * 100]
    np.testing.assert_allclose(embed(engine, *pictures), embed(in_torch, *pictures), atol=1e-5)
    np.testing.assert_allclose(engine.embed_texts(texts), in_torch.embed_texts(texts), atol=1e-5)


def test_the_vectors_in_int8_are_others_but_close(
    exported: dict[Precision, OnnxEngine], in_torch: OpenClipEngine
) -> None:
    engine = exported[Precision.INT8]
    pictures = photographs()
    for rounded, exact in [
        (embed(engine, *pictures), embed(in_torch, *pictures)),
        (engine.embed_texts(["a cat", "two dogs"]), in_torch.embed_texts(["a cat", "two dogs"])),
    ]:
        cosines = (rounded * exact).sum(axis=1)
        assert cosines.min() > 0.98
        assert cosines.min() < 1 - 1e-6


def test_it_is_the_same_model_in_its_precision(engine: OnnxEngine, in_torch: OpenClipEngine) -> None:
    assert engine.model.same_weights(in_torch.model)
    assert engine.model.name == in_torch.model.name == "local-dir:my-model"
    assert engine.model.reads_text


def test_images_are_prepared_as_in_pytorch(engine: OnnxEngine, in_torch: OpenClipEngine) -> None:
    assert engine.input_side == in_torch.input_side == 32
    for picture in (noise(1), noise(2, 1, 1), noise(3, 900, 2)):
        assert np.array_equal(engine.preprocess(picture), in_torch.preprocess(picture))
    assert np.allclose(engine.preprocess(np.full((9, 9, 3), 255, np.uint8)), 2)


def test_vectors_are_float32_of_unit_length(engine: OnnxEngine) -> None:
    for vectors in (embed(engine, noise(1), noise(2, 1, 1), noise(3, 900, 2)), engine.embed_texts(["a", "", "c d"])):
        assert vectors.dtype == np.float32
        assert vectors.shape == (3, 24)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert engine.embed_images([]).shape == engine.embed_texts([]).shape == (0, 24)


def test_passes_beside_one_another_do_not_disturb_each_other(engine: OnnxEngine) -> None:
    inputs = [engine.preprocess(noise(seed)) for seed in range(3)]
    alone = np.concatenate([engine.embed_images([each]) for each in inputs])
    # In int8 a batch is rounded by its largest activation.
    close = 1e-5 if engine.model.precision is Precision.FP32 else 0.05
    with ThreadPoolExecutor(4) as pool:
        many = [pool.submit(engine.embed_images, inputs) for _ in range(8)]
        single = [pool.submit(engine.embed_images, inputs[:1]) for _ in range(8)]
        text = pool.submit(engine.embed_texts, ["a cat"])
        assert all(np.allclose(each.result(), alone, atol=close) for each in many)
        assert all(np.allclose(each.result(), alone[:1], atol=close) for each in single)
        assert text.result().shape == (1, 24)
    assert engine.passes_at_once >= 1
    assert engine.batch_size >= 1


def test_what_it_loses_is_kept_beside_it(exported: dict[Precision, OnnxEngine], cache: Path) -> None:
    (rounded,) = cache.glob("local-dir-my-model-int8-*")
    notes = json.loads((rounded / "notes.json").read_text())["notes"]
    for kind in ("images", "texts"):
        assert notes["to_torch"][kind]["least"] > 0.9999
        assert 0.98 < notes["to_fp32"][kind]["least"] < notes["to_fp32"][kind]["mean"] < 1


def test_the_next_start_exports_nothing_and_reads_no_weights(
    engine: OnnxEngine,
    spec: str,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(OpenClipModel, "load", never)
    with caplog.at_level(logging.INFO, "shoal_server.adapters.onnx_runtime"):
        again = OnnxEngine.load(OpenClipModel.find(spec), cache, engine.model.precision)
    assert again.model == engine.model
    assert np.array_equal(embed(again, noise(1)), embed(engine, noise(1)))
    assert np.array_equal(again.embed_texts(["a cat"]), engine.embed_texts(["a cat"]))
    assert ("mean cosine similarity to fp32" in caplog.text) == (engine.model.precision is Precision.INT8)


def test_other_weights_another_architecture_and_another_version_are_other_exports(
    exported: dict[Precision, OnnxEngine], spec: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name() -> str:
        return engine_module._folder_name(OpenClipModel.find(spec), Precision.FP32)

    kept = name()
    assert (cache / kept).is_dir()
    folder = Path(spec.removeprefix("local-dir:"))
    for file, content in [
        (folder / "open_clip_pytorch_model.bin", b"other weights"),
        (folder / "open_clip_config.json", json.dumps({"model_cfg": {**CONFIG, "quick_gelu": True}}).encode()),
    ]:
        before = file.read_bytes()
        file.write_bytes(content)
        try:
            assert name() != kept
        finally:
            file.write_bytes(before)
    assert name() == kept
    monkeypatch.setattr(engine_module, "version", lambda library: "99")
    assert name() != kept


@pytest.mark.parametrize(("mean", "refused"), [(0.9799, True), (float("nan"), True), (0.9801, False)])
def test_too_much_loss_is_refused_at_every_start(
    exported: dict[Precision, OnnxEngine],
    spec: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mean: float,
    refused: bool,
) -> None:
    makes = 0

    def make(*_: object) -> dict[str, Any]:
        nonlocal makes
        makes += 1
        closeness = {"images": {"mean": 0.99, "least": 0.9}, "texts": {"mean": mean, "least": 0.9}}
        return {"recipe": {}, "to_fp32": closeness}

    monkeypatch.setattr(engine_module, "make", make)
    monkeypatch.setattr(engine_module, "Graph", lambda *_: None)
    monkeypatch.setattr(OpenClipModel, "ends", lambda *_: None)
    for _ in range(2):
        if refused:
            with pytest.raises(ModelUnavailable, match=rf"texts {mean:.4f} .*0\.98 is the least.*SHOAL_PRECISION=fp32"):
                OnnxEngine.load(OpenClipModel.find(spec), tmp_path, Precision.INT8)
        else:
            assert OnnxEngine.load(OpenClipModel.find(spec), tmp_path, Precision.INT8).model.reads_text
    assert makes == 1


def test_an_export_that_gives_other_vectors_is_refused_and_not_kept(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(folder: Path, ends: Any) -> making.Vectors:
        return np.eye(6, 24, dtype=np.float32), np.eye(12, 24, dtype=np.float32)

    monkeypatch.setattr(making, "_export", lambda *_: None)
    monkeypatch.setattr(making, "_vectors", other)
    with pytest.raises(ModelUnavailable, match=r"differ from PyTorch's.*0\.9999 is wanted.*SHOAL_RUNTIME=torch"):
        OnnxEngine.load(OpenClipModel.find(spec), tmp_path)
    assert not [*tmp_path.iterdir()]


def test_what_cannot_be_exported_is_refused_with_the_way_out(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such operator\nand a long trace")

    monkeypatch.setattr(making, "_export", fail)
    with pytest.raises(ModelUnavailable, match=r"\(no such operator\); use SHOAL_RUNTIME=torch with SHOAL_PREC.*fp32$"):
        OnnxEngine.load(OpenClipModel.find(spec), tmp_path, Precision.INT8)
    assert not [*tmp_path.iterdir()]


def test_a_cache_that_cannot_be_written_is_named(spec: str, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(ModelUnavailable, match=r"cannot be kept in .*cache .*SHOAL_CACHE"):
        OnnxEngine.load(OpenClipModel.find(spec), tmp_path / "cache")


def test_closeness_is_of_each_row() -> None:
    exact = np.eye(2, 3, dtype=np.float32)
    turned = np.array([[1, 0, 0], [0, 0.6, 0.8]], np.float32)
    closeness = Closeness.between(turned, exact)
    assert (closeness.mean, closeness.least) == pytest.approx((0.8, 0.6))
    assert np.isnan(Closeness.between(turned * np.float32("nan"), exact).mean)


@pytest.mark.parametrize(
    ("precision", "runtime", "kind"),
    [
        (Precision.FP32, Runtime.AUTO, OpenClipEngine),
        (Precision.FP32, Runtime.TORCH, OpenClipEngine),
        (Precision.FP32, Runtime.ONNX, OnnxEngine),
        (Precision.INT8, Runtime.ONNX, OnnxEngine),
        (Precision.INT8, Runtime.AUTO, OnnxEngine),
    ],
)
def test_what_runs_a_model_is_chosen_by_its_precision(
    exported: dict[Precision, OnnxEngine],
    spec: str,
    cache: Path,
    tmp_path: Path,
    precision: Precision,
    runtime: Runtime,
    kind: type,
) -> None:
    (tmp_path / "onnx").symlink_to(cache)
    engine = load_engine(spec, tmp_path, precision, runtime)
    assert isinstance(engine, kind)
    assert engine.model.precision is precision


@pytest.mark.parametrize(
    ("model", "precision", "runtime", "problem"),
    [
        (None, Precision.INT8, Runtime.TORCH, r"leave out SHOAL_RUNTIME"),
        (None, Precision.FP16, Runtime.ONNX, r"fp32 and int8 here, not in fp16; change SHOAL_PRECISION, or leave out"),
        ("starter", Precision.INT8, Runtime.AUTO, r"in fp32, not in int8; change SHOAL_PRECISION"),
        ("starter", Precision.BF16, Runtime.TORCH, r"in fp32, not in bf16; change SHOAL_PRECISION"),
        ("debug", Precision.FP32, Runtime.ONNX, r"leave out SHOAL_RUNTIME"),
        ("debug", Precision.INT8, Runtime.AUTO, r"in fp32, not in int8; change SHOAL_PRECISION"),
        ("timm/test_resnet", Precision.FP32, Runtime.ONNX, r"leave out SHOAL_RUNTIME"),
        ("timm/test_resnet", Precision.INT8, Runtime.AUTO, r"SHOAL_PRECISION"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_way_out(
    spec: str, tmp_path: Path, model: str | None, precision: Precision, runtime: Runtime, problem: str
) -> None:
    with pytest.raises(ModelUnavailable, match=problem):
        load_engine(model or spec, tmp_path, precision, runtime)
