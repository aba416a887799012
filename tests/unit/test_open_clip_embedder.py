"""open_clip models: a tiny one with random weights, and everything that can be wrong with the name of a real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray

from shoal_server.adapters.torch_models import OpenClipEngine
from shoal_server.domain.errors import MissingExtra, ModelUnavailable
from shoal_server.domain.image import Pixels

TINY = "Shoal-tiny-16"
CONFIG: dict[str, Any] = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module", autouse=True)
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    file = tmp_path_factory.mktemp("configs") / f"{TINY}.json"
    file.write_text(json.dumps(CONFIG))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_clip.factory, "_MODEL_CONFIGS", {})
        patch.setattr(open_clip.factory, "_MODEL_CONFIG_PATHS", [*open_clip.factory._MODEL_CONFIG_PATHS])
        open_clip.add_model_config(file)
        yield


def save_checkpoint(file: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    torch.save(open_clip.create_model(TINY).state_dict(), file)
    return file


@pytest.fixture(scope="module")
def checkpoint(tiny_model: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("weights") / "tiny.pt", seed=1)


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> OpenClipEngine:
    return OpenClipEngine.load(f"{TINY}/{checkpoint}")


def embed(engine: OpenClipEngine, *images: Pixels) -> NDArray[np.float32]:
    return engine.embed_images([engine.preprocess(image) for image in images])


def noise(seed: int, height: int = 40, width: int = 60) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_the_name_has_no_folder_and_the_digest_is_of_the_weights(
    engine: OpenClipEngine, checkpoint: Path, tmp_path: Path
) -> None:
    assert engine.model.name == f"{TINY}/tiny.pt"
    assert engine.model.dimension == 24
    assert engine.model.digest.startswith("sha256:")
    assert len(engine.model.digest) == 71
    assert OpenClipEngine.load(f"{TINY}/{checkpoint}").model == engine.model
    other = save_checkpoint(tmp_path / "tiny.pt", seed=2)
    assert OpenClipEngine.load(f"{TINY}/{other}").model.digest != engine.model.digest


def test_vectors_are_float32_of_unit_length_and_the_same_each_time(engine: OpenClipEngine, checkpoint: Path) -> None:
    again = OpenClipEngine.load(f"{TINY}/{checkpoint}")
    pictures = noise(1), noise(2, 1, 1), noise(3, 900, 2)
    for vectors, repeated in [
        (embed(engine, *pictures), embed(again, *pictures)),
        (engine.embed_texts(["a cat", "", "word " * 100]), again.embed_texts(["a cat", "", "word " * 100])),
    ]:
        assert vectors.dtype == np.float32
        assert vectors.shape == (3, 24)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert np.array_equal(vectors, repeated)


def test_an_image_in_a_batch_is_the_image_alone(engine: OpenClipEngine) -> None:
    pictures = [noise(seed) for seed in range(5)]
    alone = np.concatenate([embed(engine, picture) for picture in pictures])
    assert np.allclose(embed(engine, *pictures), alone, atol=1e-5)


def test_passes_beside_one_another_do_not_disturb_each_other(engine: OpenClipEngine) -> None:
    inputs = [engine.preprocess(noise(seed)) for seed in range(3)]
    alone = engine.embed_images(inputs)
    with ThreadPoolExecutor(4) as pool:
        many = [pool.submit(engine.embed_images, inputs) for _ in range(8)]
        single = [pool.submit(engine.embed_images, inputs[:1]) for _ in range(8)]
        text = pool.submit(engine.embed_texts, ["a cat"])
        assert all(np.allclose(each.result(), alone, atol=1e-5) for each in many)
        assert all(np.allclose(each.result(), alone[:1], atol=1e-5) for each in single)
        assert text.result().shape == (1, 24)
    assert engine.passes_at_once >= 1
    assert engine.batch_size >= 1


def test_only_a_lone_input_gets_all_cores(engine: OpenClipEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(engine.device, "cores", 8)
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    image = engine.preprocess(noise(1))
    given.clear()
    engine.embed_images([image])
    engine.embed_images([image, image])
    engine.embed_texts(["a cat"])
    with engine.device.passing(1):
        engine.embed_images([image])
    assert given == [8, 1, 8, 8, 1]


def test_the_input_side_is_what_preprocessing_scales_to(engine: OpenClipEngine) -> None:
    assert engine.input_side == 32 == engine.preprocess(noise(1)).shape[1]


def test_preprocessing_is_open_clips_own_and_leaves_the_image_upright(engine: OpenClipEngine) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:16] = 255
    prepared = engine.preprocess(picture)
    assert prepared.shape == (3, 32, 32)
    assert prepared.dtype == np.float32
    white = (1 - np.array(open_clip.OPENAI_DATASET_MEAN)) / np.array(open_clip.OPENAI_DATASET_STD)
    assert np.allclose(prepared[:, 0, 16], white, atol=1e-5)
    assert (prepared[:, 2] > prepared[:, -1]).all()


@pytest.mark.parametrize(("height", "width"), [(1, 100_000), (100_000, 1)])
def test_a_long_strip_is_cut_to_its_middle_and_needs_no_gigabytes(
    engine: OpenClipEngine, height: int, width: int
) -> None:
    strip = np.zeros((height, width, 3), np.uint8)
    middle = (max(height, width) - 8) // 2
    strip.reshape(-1, 3)[middle : middle + 8] = 255
    white = np.full_like(strip.reshape(-1, 3)[:64], 255).reshape(8, 8, 3)
    np.testing.assert_allclose(engine.preprocess(strip), engine.preprocess(white), atol=1e-5)


def test_nothing_in_nothing_out(engine: OpenClipEngine) -> None:
    assert engine.embed_images([]).shape == engine.embed_texts([]).shape == (0, 24)


def test_a_folder_is_loaded_like_its_checkpoint(engine: OpenClipEngine, checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}})
    )
    (folder / "open_clip_pytorch_model.bin").write_bytes(checkpoint.read_bytes())
    loaded = OpenClipEngine.load(f"local-dir:{folder}")
    assert loaded.model.name == "local-dir:my-model"
    assert loaded.model.digest == engine.model.digest
    assert np.array_equal(loaded.embed_texts(["a cat"]), engine.embed_texts(["a cat"]))
    assert np.allclose(loaded.preprocess(np.full((9, 9, 3), 255, np.uint8)), 1)

    (folder / "older.pth").write_bytes(b"")
    with pytest.raises(ModelUnavailable, match=r"must hold one .*older\.pth, open_clip_pytorch_model\.bin"):
        OpenClipEngine.load(f"local-dir:{folder}")
    (folder / "open_clip_config.json").write_text("{")
    with pytest.raises(ModelUnavailable, match="not a configuration"):
        OpenClipEngine.load(f"local-dir:{folder}")


def test_a_checkpoint_takes_the_preprocessing_that_all_weights_of_the_model_share(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = {"mean": (0.0,) * 3, "std": (0.5,) * 3, "interpolation": "bilinear", "resize_mode": "squash"}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, TINY, {"one": published, "two": {**published, "url": "x"}})
    white = np.full((9, 9, 3), 255, np.uint8)
    assert np.allclose(OpenClipEngine.load(f"{TINY}/{checkpoint}").preprocess(white), 2)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED[TINY], "three", {**published, "mean": (1.0,) * 3})
    assert OpenClipEngine.load(f"{TINY}/{checkpoint}").preprocess(white).min() < 1.95


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("ViT-B-23/openai", r"no model 'ViT-B-23' \(did you mean .*ViT-B-32"),
        ("nonsense", "the forms are MODEL/PRETRAINED_TAG"),
        ("", "no model ''"),
        ("ViT-B-32", "no pretrained tag ''; its tags are .*datacomp_xl_s13b_b90k"),
        ("ViT-B-32/datacomp_xl", r"did you mean datacomp_.*its tags are openai, "),
        (f"{TINY}/openai", "it has none, so give the path of a checkpoint"),
        ("ViT-B-32//no/such/file.pt", "there is no file '/no/such/file.pt'"),
        ("ViT-B-32/checkpoint.safetensors", "there is no file 'checkpoint.safetensors'"),
        ("local-dir:/no/such/folder", "there is no file '/no/such/folder/open_clip_config.json'"),
        ("ViT-B-32/openai", "use 'ViT-B-32-quickgelu/openai'"),
    ],
)
def test_a_wrong_name_is_answered_with_what_there_is(spec: str, problem: str) -> None:
    with pytest.raises(ModelUnavailable, match=problem):
        OpenClipEngine.load(spec)


def test_every_model_that_is_proposed_for_quick_gelu_exists() -> None:
    for architecture, tag in open_clip.list_pretrained():
        trained = open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
        if trained and not open_clip.get_model_config(architecture).get("quick_gelu", False):
            assert open_clip.is_pretrained_cfg(f"{architecture}-quickgelu", tag)
            assert open_clip.get_model_config(f"{architecture}-quickgelu")["quick_gelu"]


def test_weights_of_another_model_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="could not be loaded as ViT-B-32"):
        OpenClipEngine.load(f"ViT-B-32/{checkpoint}")
    broken = tmp_path / "broken.pt"
    broken.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(ModelUnavailable, match=r"broken\.pt could not be loaded"):
        OpenClipEngine.load(f"{TINY}/{broken}")


def test_a_missing_package_is_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtra):
        OpenClipEngine.load("ViT-B-32/datacomp_xl_s13b_b90k")


class Hub:
    """Stands in for the hub's HTTP session."""

    def __init__(self, error: Exception | None = None, delay_s: float = 0.0) -> None:
        self.error = error
        self.delay_s = delay_s

    def head(self, *_: object, **__: object) -> None:
        time.sleep(self.delay_s)
        if self.error:
            raise self.error


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of the hub, which is on line."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.get_session", Hub)
    return tmp_path


def put(cache: Path, repository: str, name: str, content: bytes) -> None:
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "snapshots" / "0").mkdir(parents=True)
    (folder / "snapshots" / "0" / name).write_bytes(content)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0")


def test_an_unreachable_hub_is_found_out_soon_and_the_ways_out_are_named(tmp_path: Path) -> None:
    program = (
        "import open_clip, time\n"
        "from shoal_server.adapters.torch_models import OpenClipEngine\n"
        "from shoal_server.domain.errors import ModelUnavailable\n"
        "begin = time.monotonic()\n"
        "try: OpenClipEngine.load('ViT-B-32/datacomp_xl_s13b_b90k')\n"
        "except ModelUnavailable as error: print(time.monotonic() - begin, error)\n"
    )
    environment = {
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    seconds, _, message = done.stdout.partition(" ")
    assert float(seconds) < 10
    assert "http://127.0.0.1:9 cannot be reached" in message
    for way in ("--model MODEL/PATH", "HF_HOME=", "--model starter"):
        assert way in message


def test_a_hub_that_keeps_silent_is_not_waited_for(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal_server.hugging_face._PROBE_S", 0.2)
    monkeypatch.setattr("huggingface_hub.get_session", lambda: Hub(delay_s=2))
    begin = time.monotonic()
    with pytest.raises(ModelUnavailable, match=r"no answer within 0\.2 s"):
        OpenClipEngine.load("ViT-B-32/datacomp_xl_s13b_b90k")
    assert time.monotonic() - begin < 2


def test_offline_mode_is_respected(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailable, match="HF_HUB_OFFLINE is set"):
        OpenClipEngine.load("ViT-B-32/datacomp_xl_s13b_b90k")


def test_weights_in_the_hubs_cache_are_used_without_the_hub(
    engine: OpenClipEngine, checkpoint: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache, "shoal/tiny", "open_clip_pytorch_model.bin", checkpoint.read_bytes())
    published = {"hf_hub": "shoal/tiny/", "mean": (0.0,) * 3, "std": (0.5,) * 3}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, TINY, {"reef": published})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    loaded = OpenClipEngine.load(f"{TINY}/reef")
    assert loaded.model.name == f"{TINY}/reef"
    assert loaded.model.digest == engine.model.digest
    assert np.array_equal(loaded.embed_texts(["a cat"]), engine.embed_texts(["a cat"]))
    assert np.allclose(loaded.preprocess(np.full((9, 9, 3), 255, np.uint8)), 2)


def test_a_tokenizer_that_is_not_in_the_cache_is_found_out_soon(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache, "timm/ViT-B-16-SigLIP", "open_clip_model.safetensors", b"weights")
    monkeypatch.setattr("huggingface_hub.get_session", lambda: Hub(OSError("no route to host")))
    with pytest.raises(ModelUnavailable, match=r"tokenizer_config\.json of timm/ViT-B-16-SigLIP .*no route to host"):
        OpenClipEngine.load("ViT-B-16-SigLIP/webli")


def test_a_failed_download_names_the_ways_out(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise FileNotFoundError("the repository is gone")

    monkeypatch.setattr(open_clip, "download_pretrained", fail)
    with pytest.raises(ModelUnavailable, match=r"the repository is gone\); use a checkpoint on this disk"):
        OpenClipEngine.load("ViT-B-32/datacomp_xl_s13b_b90k")
