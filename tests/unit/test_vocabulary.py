"""A vocabulary is embedded once; what is kept of it is used only if it is whole and meant for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shoal_server.adapters.vector_cache import NumpyVectorCache
from shoal_server.application.vocabulary import NamingWords
from shoal_server.domain.collection import EmbeddingModel, Precision
from shoal_server.domain.image import Pixels, Vector
from shoal_server.domain.naming import parse_vocabulary

VOCABULARY = parse_vocabulary("cat\nseal = sea lion ~ grey sea animal\ndog")
DIMENSION = 8
KEY = "0a1b"


class CountingEmbedder:
    """An embedder of texts only, which remembers what it was asked for."""

    def __init__(self, digest: str = "sha256:0") -> None:
        self.model = EmbeddingModel("words", digest, DIMENSION)
        self.asked: list[str] = []

    async def embed_image(self, pixels: Pixels) -> Vector:
        raise NotImplementedError

    async def embed_text(self, text: str) -> Vector:
        raise NotImplementedError

    async def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked.extend(texts)
        return np.stack([unit_vectors(1, seed=list(f"{self.model.digest} {text}".encode()))[0] for text in texts])


def unit_vectors(count: int, seed: int | list[int] = 0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, DIMENSION))
    scaled: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_prompts_are_embedded_once_and_glosses_are_mixed_with_their_words() -> None:
    embedder = CountingEmbedder()
    words = NamingWords(VOCABULARY, embedder)

    vectors = await words.vectors()

    assert await words.vectors() is vectors
    assert embedder.asked == [
        "a photo of a cat",
        "a photo of a seal",
        "a photo of a sea lion",
        "a photo of a grey sea animal",
        "a photo of a dog",
    ]
    raw = await CountingEmbedder().embed_texts(embedder.asked)
    assert words.words == ("cat", "seal", "seal", "seal", "dog")
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors[[0, 1, 2, 4]], raw[[0, 1, 2, 4]])
    assert vectors[3] == pytest.approx((raw[1] + raw[3]) / 2)


async def test_only_the_first_start_embeds(tmp_path: Path) -> None:
    first = await NamingWords(VOCABULARY, CountingEmbedder(), NumpyVectorCache(tmp_path / "words")).vectors()
    embedder = CountingEmbedder()

    again = await NamingWords(VOCABULARY, embedder, NumpyVectorCache(tmp_path / "words")).vectors()

    assert embedder.asked == []
    assert np.array_equal(again, first)
    assert again.dtype == np.float32


async def test_another_model_or_vocabulary_is_embedded_anew(tmp_path: Path) -> None:
    cache = NumpyVectorCache(tmp_path)
    await NamingWords(VOCABULARY, CountingEmbedder(), cache).vectors()
    other_model = CountingEmbedder("sha256:1")
    other_words = CountingEmbedder()

    await NamingWords(VOCABULARY, other_model, cache).vectors()
    await NamingWords(parse_vocabulary("cat\nseal = sea lion ~ grey animal\ndog"), other_words, cache).vectors()

    assert len(other_model.asked) == len(other_words.asked) == 5
    assert len(files_in(tmp_path)) == 3


async def test_another_precision_is_embedded_anew(tmp_path: Path) -> None:
    cache = NumpyVectorCache(tmp_path)
    await NamingWords(VOCABULARY, CountingEmbedder(), cache).vectors()
    low = CountingEmbedder()
    low.model = replace(low.model, precision=Precision.BF16)
    await NamingWords(VOCABULARY, low, cache).vectors()
    assert len(low.asked) == 5


async def test_the_same_texts_told_apart_otherwise_share_their_vectors(tmp_path: Path) -> None:
    """What is kept is of texts; which word each stands for is the vocabulary's business."""
    cache = NumpyVectorCache(tmp_path)
    await NamingWords(parse_vocabulary("cat = lion"), CountingEmbedder(), cache).vectors()
    embedder = CountingEmbedder()

    words = NamingWords(parse_vocabulary("cat\nlion"), embedder, cache)

    assert len(await words.vectors()) == 2
    assert words.words == ("cat", "lion")
    assert embedder.asked == []


async def test_a_kept_file_is_numpys_and_stands_alone(tmp_path: Path) -> None:
    vectors = unit_vectors(3)

    await NumpyVectorCache(tmp_path / "new" / "words").write(KEY, vectors)

    (file,) = files_in(tmp_path / "new" / "words")
    assert file.name == f"{KEY}.npy"
    loaded = np.load(file, allow_pickle=False)
    assert loaded.dtype == np.float32
    assert np.array_equal(loaded, vectors)


def _empty(content: bytes) -> bytes:
    return b""


def _cut(content: bytes) -> bytes:
    return content[:-1]


def _longer(content: bytes) -> bytes:
    return content + b"\0"


def _zeroed(content: bytes) -> bytes:
    return content[:-DIMENSION] + bytes(DIMENSION)


def _not_a_number(content: bytes) -> bytes:
    return content[:-4] + np.float32(np.nan).tobytes()


def _other_type(content: bytes) -> bytes:
    return content.replace(b"'<f4'", b"'<i4'")


def _foreign(content: bytes) -> bytes:
    return b"PK\x03\x04" + content[4:]


@pytest.mark.parametrize("damage", [_empty, _cut, _longer, _zeroed, _not_a_number, _other_type, _foreign])
async def test_a_damaged_file_is_replaced(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    whole = await NamingWords(VOCABULARY, CountingEmbedder(), NumpyVectorCache(tmp_path)).vectors()
    (file,) = files_in(tmp_path)
    content = file.read_bytes()
    file.write_bytes(damage(content))
    assert file.read_bytes() != content
    embedder = CountingEmbedder()

    vectors = await NamingWords(VOCABULARY, embedder, NumpyVectorCache(tmp_path)).vectors()

    assert len(embedder.asked) == 5
    assert np.array_equal(vectors, whole)
    assert file.read_bytes() == content


@given(content=st.binary(max_size=400))
async def test_no_content_of_a_file_is_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("words")
    (folder / f"{KEY}.npy").write_bytes(content)

    assert await NumpyVectorCache(folder).read(KEY, (3, DIMENSION)) is None


@pytest.mark.parametrize("shape", [(2, DIMENSION), (3, DIMENSION - 1), (DIMENSION, 3), (1, 3 * DIMENSION)])
async def test_vectors_of_another_shape_are_passed_over(tmp_path: Path, shape: tuple[int, int]) -> None:
    cache = NumpyVectorCache(tmp_path)
    await cache.write(KEY, unit_vectors(3))

    assert await cache.read(KEY, shape) is None
    assert await cache.read(KEY, (3, DIMENSION)) is not None


async def test_a_folder_that_cannot_be_written_costs_only_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "words").write_text("a file where the folder would be")
    words = NamingWords(VOCABULARY, CountingEmbedder(), NumpyVectorCache(tmp_path / "words"))

    assert len(await words.vectors()) == 5
    assert "the next start computes them again" in caplog.text


async def test_what_cannot_be_put_in_place_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(file: Path, target: Path) -> Path:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "replace", full)

    await NumpyVectorCache(tmp_path).write(KEY, unit_vectors(3))

    assert files_in(tmp_path) == []
    assert os.strerror(28) in caplog.text


@pytest.mark.parametrize("key", ["", "../up", "A0", "a/b", "a.b"])
async def test_a_key_is_no_path(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="not hexadecimal"):
        await NumpyVectorCache(tmp_path).read(key, (1, DIMENSION))
    with pytest.raises(ValueError, match="not hexadecimal"):
        await NumpyVectorCache(tmp_path).write(key, unit_vectors(1))
