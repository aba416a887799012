"""The words that clusters are named with, and their embeddings."""

from __future__ import annotations

import asyncio

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.ports import Embedder
from shoal_server.domain.naming import Vocabulary


class NamingWords:
    """Embeds a vocabulary once, the first time it is needed.

    Attributes:
        words: the name that each vector stands for; a name with synonyms stands there several times.
    """

    def __init__(self, vocabulary: Vocabulary, embedder: Embedder) -> None:
        self.words = vocabulary.names
        self._texts = vocabulary.texts
        self._embedder = embedder
        self._vectors: NDArray[np.float32] | None = None
        self._embedding = asyncio.Lock()

    async def vectors(self) -> NDArray[np.float32]:
        """Unit vectors of the words, float32 (number of words, dimension).

        Raises:
            ModelFailed: the model raised an error.
        """
        async with self._embedding:
            if self._vectors is None:
                self._vectors = await self._embedder.embed_texts([f"a photo of a {text}" for text in self._texts])
            return self._vectors
