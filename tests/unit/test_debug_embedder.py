"""The model without weights."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal_server.adapters.debug_embedder import DebugEngine
from shoal_server.domain.image import Pixels

COLOURS = {
    "black": (5, 5, 5),
    "white": (250, 250, 250),
    "gray": (120, 125, 122),
    "red": (240, 30, 40),
    "green": (40, 170, 60),
    "blue": (20, 50, 230),
    "yellow": (250, 240, 70),
    "orange": (245, 130, 10),
    "brown": (110, 65, 35),
    "purple": (120, 50, 150),
    "pink": (245, 160, 185),
}


def plain(colour: tuple[int, int, int], height: int = 40, width: int = 60) -> Pixels:
    return np.full((height, width, 3), colour, np.uint8)


def embed(engine: DebugEngine, *images: Pixels) -> NDArray[np.float32]:
    return engine.embed_images([engine.preprocess(image) for image in images])


def test_a_colour_name_is_nearest_the_images_of_that_colour() -> None:
    engine = DebugEngine()
    similarities = engine.embed_texts(list(COLOURS)) @ embed(engine, *map(plain, COLOURS.values())).T
    assert np.array_equal(similarities.argmax(axis=1), np.arange(len(COLOURS)))
    assert np.array_equal(similarities.argmax(axis=0), np.arange(len(COLOURS)))


def test_words_around_the_colour_and_synonyms_do_no_harm() -> None:
    engine = DebugEngine()
    red, grey = embed(engine, plain(COLOURS["red"]), plain(COLOURS["gray"]))
    for text, near, far in [("A RED car!", red, grey), ("a grey cat", grey, red)]:
        vector = engine.embed_texts([text])[0]
        assert vector @ near > vector @ far + 0.3


def test_images_alike_embed_alike() -> None:
    engine = DebugEngine()
    random = np.random.default_rng(1)
    scene = np.repeat(np.repeat(random.integers(0, 256, (4, 6, 3), np.uint8), 20, axis=0), 20, axis=1)
    noisy = np.clip(scene.astype(int) + random.integers(-8, 9, scene.shape), 0, 255).astype(np.uint8)
    turned = np.ascontiguousarray(scene[::-1, ::-1])
    original, similar, mirrored, other = embed(engine, scene, noisy, turned, plain(COLOURS["blue"]))
    assert original @ similar > 0.99
    assert original @ similar > original @ mirrored > original @ other


@pytest.mark.parametrize("dimension", [16, 32, 512])
def test_vectors_are_float32_of_unit_length(dimension: int) -> None:
    engine = DebugEngine(dimension)
    images = embed(engine, plain((0, 0, 0), 1, 1), plain((255, 255, 255), 1, 500), plain((9, 99, 200), 3000, 2))
    texts = engine.embed_texts(["red", "a cat", "!!", ""])
    for vectors in (images, texts):
        assert vectors.dtype == np.float32
        assert vectors.shape[1] == dimension == engine.model.dimension
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_nothing_in_nothing_out() -> None:
    engine = DebugEngine()
    assert engine.embed_images([]).shape == engine.embed_texts([]).shape == (0, 32)


def test_two_engines_agree_and_another_dimension_is_another_model() -> None:
    one, two = DebugEngine(), DebugEngine()
    picture = plain((200, 100, 50))
    assert one.model == two.model
    assert np.array_equal(embed(one, picture), embed(two, picture))
    assert np.array_equal(one.embed_texts(["a dog"]), two.embed_texts(["a dog"]))
    assert DebugEngine(64).model.digest != one.model.digest


def test_a_dimension_without_room_for_the_colours_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        DebugEngine(15)


def test_it_loads_no_heavy_package() -> None:
    program = (
        "import sys; from shoal_server.adapters.debug_embedder import DebugEngine; DebugEngine().embed_texts(['red']); "
        "assert not {'torch', 'PIL', 'open_clip', 'transformers'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_no_adapter_of_a_model_loads_torch_when_it_is_imported() -> None:
    program = (
        "import sys; from shoal_server.adapters import batching, onnx_runtime, starter_embedder, torch_models; "
        "heavy = {'torch', 'onnx', 'onnxruntime', 'open_clip', 'transformers', 'sentence_transformers'}; "
        "assert not heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
