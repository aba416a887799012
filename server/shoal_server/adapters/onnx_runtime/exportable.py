"""What a model in PyTorch offers that can be exported. Whoever builds the engine brings both together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.collection import EmbeddingModel
from shoal_server.domain.image import Pixels

#: Tokenised texts, int64 (n, length) each: what the text tower takes, in its order.
Tokens = tuple[NDArray[np.int64], ...]


class Ends(Protocol):
    """What happens to images and texts before the towers; holds no network."""

    @property
    def input_side(self) -> int:
        """As that of an engine."""
        ...

    def preprocess(self, pixels: Pixels) -> NDArray[np.float32]:
        """As that of an engine."""
        ...

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Texts, at least one, to what the text tower takes."""
        ...


class Towers(Protocol):
    """The networks, loaded in PyTorch on the CPU, in float32."""

    @property
    def image_tower(self) -> Any:
        """A ``torch.nn.Module``: preprocessed images (n, ...) to unit vectors (n, dimension)."""
        ...

    @property
    def text_tower(self) -> Any:
        """A ``torch.nn.Module``: tokens, each array an argument, to unit vectors (n, dimension)."""
        ...

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What :meth:`Exportable.ends` needs to know of the networks; can be written as JSON."""
        ...

    def embed_images(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """As an engine's, in PyTorch: what the exported tower is compared with."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Likewise."""
        ...


class Exportable(Protocol):
    """A model that was found and whose weights are not read yet."""

    @property
    def model(self) -> EmbeddingModel:
        """What collections record, were it computed in fp32."""
        ...

    @property
    def fingerprint(self) -> str:
        """Whatever, beside the weights, makes other towers of them: the architecture and the versions of its code."""
        ...

    def load(self) -> Towers:
        """Reads the weights; takes seconds and memory.

        Raises:
            ModelUnavailable: they cannot be loaded.
        """
        ...

    def ends(self, recipe: Mapping[str, Any]) -> Ends:
        """What is needed beside the towers; reads no weights."""
        ...
