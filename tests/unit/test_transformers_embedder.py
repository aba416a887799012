"""CLIP and SigLIP in the format of transformers: tiny ones with random weights, and folders with something wrong."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image as PillowImage
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from shoal_server.adapters.torch_models import TransformersEngine
from shoal_server.domain.errors import MissingExtra, ModelUnavailable
from shoal_server.domain.image import Pixels

library: Any = transformers
SIDE = 32
TOWER = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
WORDS = ("<pad>", "<eos>", "<unk>", "a", "cat", "dog", "of", "photo")
TEXTS = ["a cat", "", "a photo of a dog", "a " * 50]


def tokenizer(**options: Any) -> Any:
    words = {word: number for number, word in enumerate(WORDS)}
    whole = Tokenizer(models.WordLevel(words, "<unk>"))
    whole.pre_tokenizer = pre_tokenizers.Whitespace()
    whole.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    return library.PreTrainedTokenizerFast(tokenizer_object=whole, **special, **options)


def save_clip(folder: Path) -> Path:
    torch.manual_seed(1)
    text = TOWER | {"vocab_size": len(WORDS), "max_position_embeddings": 12, "eos_token_id": 1, "pad_token_id": 0}
    vision = TOWER | {"image_size": SIDE, "patch_size": 16}
    config = library.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    library.CLIPModel(config).save_pretrained(folder)
    images = library.CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, image_mean=[0.4] * 3
    )
    library.CLIPProcessor(images, tokenizer()).save_pretrained(folder)
    return folder


def save_siglip(folder: Path) -> Path:
    torch.manual_seed(2)
    text = TOWER | {"vocab_size": len(WORDS), "max_position_embeddings": 12, "projection_size": 16}
    vision = TOWER | {"image_size": SIDE, "patch_size": 16}
    library.SiglipModel(library.SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    images = library.SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    library.SiglipProcessor(images, tokenizer(model_input_names=["input_ids"])).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("models")
    return {"clip": save_clip(parent / "tiny-clip"), "siglip": save_siglip(parent / "tiny-siglip")}


@pytest.fixture(scope="module")
def engines(folders: dict[str, Path]) -> dict[str, TransformersEngine]:
    return {kind: TransformersEngine.load(f"transformers:{folder}") for kind, folder in folders.items()}


def noise(seed: int, height: int = 40, width: int = 60) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def embed(engine: TransformersEngine, *images: Pixels) -> NDArray[np.float32]:
    return engine.embed_images([engine.preprocess(image) for image in images])


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_vectors_and_preprocessing_are_the_librarys_own(
    kind: str, folders: dict[str, Path], engines: dict[str, TransformersEngine]
) -> None:
    engine = engines[kind]
    network = library.AutoModel.from_pretrained(folders[kind]).eval()
    processor = library.AutoProcessor.from_pretrained(folders[kind])
    picture = noise(1, 70, 50)
    padding = "max_length" if kind == "siglip" else True
    with torch.inference_mode():
        inputs = processor(
            images=PillowImage.fromarray(picture),
            text=TEXTS,
            padding=padding,
            max_length=12,
            truncation=True,
            return_tensors="pt",
        )
        outputs = network(**inputs)
    assert np.array_equal(engine.preprocess(picture), inputs["pixel_values"][0].numpy())
    np.testing.assert_allclose(embed(engine, picture), outputs.image_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(engine.embed_texts(TEXTS), outputs.text_embeds.numpy(), atol=1e-5)
    assert engine.input_side == SIDE


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_text_in_a_batch_is_the_text_alone(kind: str, engines: dict[str, TransformersEngine]) -> None:
    alone = np.concatenate([engines[kind].embed_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(engines[kind].embed_texts(TEXTS), alone, atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_vectors_are_float32_of_unit_length_and_the_same_each_time(
    kind: str, folders: dict[str, Path], engines: dict[str, TransformersEngine]
) -> None:
    engine, again = engines[kind], TransformersEngine.load(f"transformers:{folders[kind]}")
    assert engine.model == again.model
    assert engine.model.name == f"transformers:tiny-{kind}"
    assert engine.model.reads_text
    pictures = noise(1), noise(2, 1, 1), noise(3, 900, 2)
    for vectors, repeated in [
        (embed(engine, *pictures), embed(again, *pictures)),
        (engine.embed_texts(TEXTS), again.embed_texts(TEXTS)),
    ]:
        assert vectors.dtype == np.float32
        assert vectors.shape[1] == engine.model.dimension
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert np.array_equal(vectors, repeated)
    assert engine.embed_images([]).shape == engine.embed_texts([]).shape == (0, engine.model.dimension)


def test_the_digest_is_of_all_files_of_the_weights(
    folders: dict[str, Path], engines: dict[str, TransformersEngine], tmp_path: Path
) -> None:
    for name in ("one", "two"):
        shutil.copytree(folders["clip"], tmp_path / name)
        (tmp_path / name / "model.safetensors").unlink()
        library.CLIPModel.from_pretrained(folders["clip"]).save_pretrained(tmp_path / name, max_shard_size="10KB")
    parts = sorted((tmp_path / "one").glob("model-*.safetensors"))
    assert len(parts) > 1
    one, two = (TransformersEngine.load(f"transformers:{tmp_path}/{name}") for name in ("one", "two"))
    assert one.model.same_weights(two.model)
    assert one.model.digest != engines["clip"].model.digest
    assert np.allclose(one.embed_texts(TEXTS), engines["clip"].embed_texts(TEXTS), atol=1e-6)
    parts[-1].unlink()
    with pytest.raises(ModelUnavailable, match=rf"there is no file .*{parts[-1].name}"):
        TransformersEngine.load(f"transformers:{tmp_path}/one")


def configured(folder: Path, **changed: Any) -> str:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    return f"transformers:{folder}"


def test_a_folder_with_something_wrong_is_refused_with_what_it_is(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"there is no file '.*/nowhere/config\.json'.*transformers:FOLDER"):
        TransformersEngine.load(f"transformers:{tmp_path}/nowhere")
    folder = tmp_path / "model"
    shutil.copytree(folders["siglip"], folder)
    with pytest.raises(ModelUnavailable, match="it is a 'bert' model; CLIP, SigLIP and SigLIP 2"):
        TransformersEngine.load(configured(folder, model_type="bert"))
    with pytest.raises(ModelUnavailable, match="NaFlex"):
        TransformersEngine.load(configured(folder, model_type="siglip2"))
    with pytest.raises(ModelUnavailable, match="could not be loaded"):
        TransformersEngine.load(configured(folder, model_type="clip"))
    spec = configured(folder, model_type="siglip")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelUnavailable, match="could not be loaded"):
        TransformersEngine.load(spec)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match="no weights in the safetensors format"):
        TransformersEngine.load(spec)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelUnavailable, match="does not say what model it is"):
        TransformersEngine.load(spec)


def test_weights_that_are_not_in_the_file_are_noticed(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folders["clip"], tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailable, match=r"1 of its weights .*'text_projection\.weight'"):
        TransformersEngine.load(f"transformers:{tmp_path}/model")


def test_code_in_the_folder_is_not_run(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["clip"], tmp_path / "model")
    (tmp_path / "model" / "mine.py").write_text("import sys; sys.modules['shoal_was_here'] = sys")
    mapped = {"AutoModel": "mine.Mine", "AutoConfig": "mine.Config", "AutoProcessor": "mine.Processor"}
    TransformersEngine.load(configured(tmp_path / "model", auto_map=mapped))
    assert "shoal_was_here" not in sys.modules


def test_a_missing_package_is_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra):
        TransformersEngine.load("transformers:/models/clip")
