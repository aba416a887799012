"""BLIP captions: a tiny model with random weights, and everything that can be wrong with the name of a real one."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

from shoal_server.adapters.blip_captioner import BlipCaptioner
from shoal_server.domain.errors import MissingExtra, ModelUnavailable

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "dog", "on", "the", "sofa", "red", "car", "."]
SIDE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blip")
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(WORDS))
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": len(WORDS), "encoder_hidden_size": 16, "max_position_embeddings": 32}
    text |= {"bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    vision = {**sizes, "image_size": SIDE, "patch_size": 16}
    torch.manual_seed(3)
    network = BlipForConditionalGeneration(
        BlipConfig(text_config=text, vision_config=vision, projection_dim=16, image_text_hidden_size=16)
    )
    # The usual spread of random weights is so small that every image would be told the same.
    for weights in network.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=0.5)
    # Nothing but words: the end that a random model chooses is mostly at once.
    with torch.no_grad():
        network.text_decoder.cls.predictions.bias[:5] = -100.0
    network.save_pretrained(folder)
    images = BlipImageProcessor(size={"height": SIDE, "width": SIDE})
    BlipProcessor(images, BertTokenizer(str(vocabulary))).save_pretrained(folder)  # type: ignore[no-untyped-call]
    return folder


@pytest.fixture(scope="module")
def captioner(folder: Path) -> BlipCaptioner:
    return BlipCaptioner.load(str(folder))


def photo(seed: int, height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "copy"))


def test_every_image_gets_a_caption_of_the_vocabulary(captioner: BlipCaptioner) -> None:
    captions = captioner.caption([photo(0), photo(1, 90, 20), photo(2, 3, 3)])

    assert len(captions) == 3
    for caption in captions:
        assert caption
        assert set(caption.replace(".", "").split()) <= set(WORDS[5:])
        assert caption == caption.strip(" .")


def test_captions_are_the_same_each_time_and_in_any_batch(captioner: BlipCaptioner) -> None:
    photos = [photo(seed) for seed in range(11)]

    together = captioner.caption(photos)

    assert together == captioner.caption(photos)
    assert together == [captioner.caption([each])[0] for each in photos]


def test_the_image_matters(captioner: BlipCaptioner) -> None:
    black, white = np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 255, np.uint8)

    assert len(set(captioner.caption([black, white, *(photo(seed) for seed in range(8))]))) > 1


def test_no_images(captioner: BlipCaptioner) -> None:
    assert captioner.caption([]) == []


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))

    with pytest.raises(ModelUnavailable, match="it is a 'bert' model, not a BLIP model"):
        BlipCaptioner.load(str(tmp_path))


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_a_folder_without_a_model_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)

    with pytest.raises(ModelUnavailable, match="does not say what model it is"):
        BlipCaptioner.load(str(tmp_path))


def test_pickled_weights_are_not_read(folder: Path, tmp_path: Path) -> None:
    copy = copied(folder, tmp_path)
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")

    with pytest.raises(ModelUnavailable, match="no weights in the safetensors format"):
        BlipCaptioner.load(str(copy))


def test_broken_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = copied(folder, tmp_path)
    (copy / "model.safetensors").write_bytes(b"not weights")

    with pytest.raises(ModelUnavailable, match="could not be loaded as BLIP"):
        BlipCaptioner.load(str(copy))


def test_weights_that_lack_something_are_refused(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = copied(folder, tmp_path)
    weights = load_file(copy / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if "layers.0" not in name},
        copy / "model.safetensors",
        metadata={"format": "pt"},
    )

    with pytest.raises(ModelUnavailable, match="of its weights are not in the file"):
        BlipCaptioner.load(str(copy))


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: True)

    with pytest.raises(ModelUnavailable, match=r"cache .* cannot be reached \(HF_HUB_OFFLINE is set\); give the"):
        BlipCaptioner.load("nobody/nothing-of-that-name")


def test_a_name_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="there is no such folder"):
        BlipCaptioner.load(str(tmp_path / "nowhere"))


def test_without_transformers(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)

    with pytest.raises(MissingExtra, match="captions"):
        BlipCaptioner.load(str(folder))
