"""The words that clusters are named with, and their embeddings."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.ports import Embedder
from shoal_server.domain.collection import EmbeddingModel, Precision
from shoal_server.domain.naming import Vocabulary, mix_glosses

#: As CLIP's authors ask it: in what it learnt from, a word alone is rare.
_TEMPLATE = "a photo of a {}"


class VectorCache(Protocol):
    """Keeps unit vectors that took long to compute. What it cannot keep or read is computed again."""

    async def read(self, key: str, shape: tuple[int, int]) -> NDArray[np.float32] | None:
        """Vectors kept under a key, float32; None if there are none that are whole and of this shape."""
        ...

    async def write(self, key: str, vectors: NDArray[np.float32]) -> None:
        """Keeps vectors, whole or not at all; any kept under the key are replaced. Raises nothing if it cannot."""
        ...


class NamingWords:
    """Embeds a vocabulary once, the first time it is needed.

    Attributes:
        words: the name that each vector stands for; a name with synonyms stands there several times.
    """

    def __init__(self, vocabulary: Vocabulary, embedder: Embedder, cache: VectorCache | None = None) -> None:
        """Prepares; nothing is embedded yet.

        Args:
            vocabulary: what to embed.
            embedder: the model that the clusters' images are embedded with.
            cache: where other starts left the vectors, under a key of the model, the prompt and all texts;
                None embeds anew at every start.
        """
        self.words = vocabulary.names
        self._vocabulary = vocabulary
        self._embedder = embedder
        self._cache = cache
        self._vectors: NDArray[np.float32] | None = None
        self._embedding = asyncio.Lock()

    @property
    def readable(self) -> bool:
        """Whether the model reads words at all."""
        return self._embedder.model.reads_text

    async def vectors(self) -> NDArray[np.float32]:
        """Vectors of the words, float32 (number of words, dimension).

        Those of words and synonyms have unit length, those of glosses are at most as long; see
        :func:`shoal_server.domain.naming.mix_glosses`.

        Raises:
            ModelFailed: the model raised an error.
            ReadsNoText: it looks at images only.
        """
        async with self._embedding:
            if self._vectors is None:
                self._vectors = mix_glosses(self._vocabulary, await self._embedded())
            return self._vectors

    async def _embedded(self) -> NDArray[np.float32]:
        prompts = [_TEMPLATE.format(text) for text in self._vocabulary.texts]
        if self._cache is None:
            return await self._embedder.embed_texts(prompts)
        model = self._embedder.model
        key = _key(model, prompts)
        kept = await self._cache.read(key, (len(prompts), model.dimension))
        if kept is not None:
            return kept
        vectors = await self._embedder.embed_texts(prompts)
        await self._cache.write(key, vectors)
        return vectors


def _key(model: EmbeddingModel, prompts: list[str]) -> str:
    """SHA-256 in hexadecimal over what the vectors depend on; JSON keeps apart where one text ends."""
    precision = [] if model.precision is Precision.FP32 else [model.precision.value]
    return hashlib.sha256(json.dumps([model.digest, *precision, prompts]).encode()).hexdigest()
