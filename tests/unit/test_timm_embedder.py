"""timm models: tiny ones with random weights, and everything that can be wrong with the name of a real one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage

from shoal_server.adapters.torch_models import TimmEngine
from shoal_server.domain.collection import Precision
from shoal_server.domain.errors import MissingExtra, ModelUnavailable, ReadsNoText
from shoal_server.domain.image import Pixels

data: Any = timm.data


def save(file: Path, name: str, **options: Any) -> Path:
    torch.manual_seed(1)
    torch.save(timm.create_model(name, pretrained=False, **options).state_dict(), file)
    return file


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a classifier of another size than the published one's."""
    return save(tmp_path_factory.mktemp("weights") / "mine.pt", "test_resnet", num_classes=7)


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> TimmEngine:
    return TimmEngine.load(f"timm/test_resnet/{checkpoint}")


def noise(seed: int, height: int = 40, width: int = 60) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def embed(engine: TimmEngine, *images: Pixels) -> NDArray[np.float32]:
    return engine.embed_images([engine.preprocess(image) for image in images])


def test_it_is_recorded_as_a_model_of_images_only(engine: TimmEngine, checkpoint: Path) -> None:
    assert engine.model.name == "timm/test_resnet/mine.pt"
    assert engine.model.precision is Precision.FP32
    assert len(engine.model.digest) == 71
    assert not engine.model.reads_text
    with pytest.raises(ReadsNoText, match="ask with an image"):
        engine.embed_texts(["a cat"])
    with pytest.raises(ReadsNoText):
        engine.embed_texts([])


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_vectors_and_preprocessing_are_timms_own(name: str, tmp_path: Path) -> None:
    file = save(tmp_path / "tiny.pt", name)
    engine = TimmEngine.load(f"timm/{name}/{file}")
    network: Any = timm.create_model(name, pretrained=False, checkpoint_path=str(file))
    network.reset_classifier(0)
    config = data.resolve_model_data_config(network)
    transform = data.create_transform(**config, is_training=False)
    picture = noise(1, 300, 200)
    prepared = transform(PillowImage.fromarray(picture))
    assert np.array_equal(engine.preprocess(picture), prepared.numpy())
    with torch.inference_mode():
        own = torch.nn.functional.normalize(network.eval()(prepared[None]), dim=1).numpy()
    assert own.shape == (1, engine.model.dimension)
    np.testing.assert_allclose(embed(engine, picture), own, atol=1e-5)
    assert engine.input_side == -(-config["input_size"][1] // config["crop_pct"])


def test_vectors_are_float32_of_unit_length_and_the_same_each_time(engine: TimmEngine, checkpoint: Path) -> None:
    pictures = noise(1), noise(2, 1, 1), noise(3, 900, 2)
    vectors = embed(engine, *pictures)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.array_equal(vectors, embed(TimmEngine.load(f"timm/test_resnet/{checkpoint}"), *pictures))
    assert np.allclose(vectors, np.concatenate([embed(engine, each) for each in pictures]), atol=1e-5)
    assert engine.embed_images([]).shape == (0, engine.model.dimension)


@pytest.mark.parametrize("classes", [0, 1000])
def test_a_checkpoint_may_have_any_classifier_or_none(engine: TimmEngine, tmp_path: Path, classes: int) -> None:
    whole = save(tmp_path / "whole.pt", "test_resnet", num_classes=classes)
    other = TimmEngine.load(f"timm/test_resnet/{whole}")
    assert other.model.dimension == engine.model.dimension


def test_weights_that_do_not_fit_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="could not be loaded as test_vit"):
        TimmEngine.load(f"timm/test_vit/{checkpoint}")
    weights = torch.load(checkpoint, weights_only=True)
    del weights["layer1.0.bn1.weight"]
    torch.save(weights, tmp_path / "lacking.pt")
    with pytest.raises(ModelUnavailable, match=r"lacking\.pt could not be loaded"):
        TimmEngine.load(f"timm/test_resnet/{tmp_path}/lacking.pt")


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("import sys; sys.modules['shoal_was_here'] = sys",)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    torch.save({"conv1.weight": _Code()}, tmp_path / "bad.pt")
    with pytest.raises(ModelUnavailable, match=r"bad\.pt could not be loaded"):
        TimmEngine.load(f"timm/test_resnet/{tmp_path}/bad.pt")
    assert "shoal_was_here" not in sys.modules


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("timm/resnet5O", r"timm has no model 'resnet5O' \(did you mean .*resnet50"),
        ("timm/", "no model ''.*timm/NAME/PATH"),
        ("timm/resnet50.imagenet", r"resnet50 has no pretrained tag 'imagenet'.*its tags are .*a1_in1k"),
        ("timm/resnet50//no/such/file.pt", "there is no file '/no/such/file.pt'"),
        ("timm/test_convnext3x", "no model 'test_convnext3x'"),
    ],
)
def test_a_wrong_name_is_answered_with_what_there_is(spec: str, problem: str) -> None:
    with pytest.raises(ModelUnavailable, match=problem):
        TimmEngine.load(spec)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.npz").touch()
    with pytest.raises(ModelUnavailable, match=r"those end in \.bin, \.pt, \.pth, \.safetensors"):
        TimmEngine.load(f"timm/test_resnet/{tmp_path}/weights.npz")


def test_what_is_taken_for_granted_of_published_models() -> None:
    """Weights are on the hub, under the usual name, or have an address; the default has a tag of its architecture."""
    names = timm.list_pretrained()
    for name in names:
        published = timm.get_pretrained_cfg(name)
        assert published is not None
        assert published.hf_hub_id or published.url
        assert not published.hf_hub_filename
    for architecture in ("resnet50", "vit_small_patch14_dinov2", "test_vit"):
        assert timm.list_pretrained(architecture) == [each for each in names if each.partition(".")[0] == architecture]
        default = timm.get_pretrained_cfg(architecture)
        assert default is not None
        assert f"{architecture}.{default.tag}" in names


def test_published_weights_come_from_the_hubs_cache(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailable, match=r"model\.safetensors of timm/test_resnet\.r160_in1k .*HF_HUB_OFFLINE"):
        TimmEngine.load("timm/test_resnet")
    snapshot = tmp_path / "models--timm--test_resnet.r160_in1k" / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0")
    save(snapshot / "pytorch_model.bin", "test_resnet")
    loaded = TimmEngine.load("timm/test_resnet")
    assert loaded.model.name == "timm/test_resnet.r160_in1k"
    assert TimmEngine.load("timm/test_resnet.r160_in1k").model == loaded.model


def test_a_missing_package_is_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra):
        TimmEngine.load("timm/resnet50")
