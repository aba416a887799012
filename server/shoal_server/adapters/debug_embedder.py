"""A model without weights, so that the whole server can be tried and tested in an instant (``--model debug``).

It knows colours and rough layout, nothing else: images that look alike embed alike, and a text with the name of a
colour is nearest the images of that colour.
"""

from __future__ import annotations

import hashlib
import re
import sys
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.ports import EmbeddingEngine
from shoal_server.domain.collection import EmbeddingModel
from shoal_server.domain.image import Pixels

_NAME = "debug"
#: Raised whenever the same image or text would give another vector.
_METHOD = "colours-1"

_SIDE = 32
_CELLS = 4
#: The basic colour terms of Berlin and Kay (1969), as sRGB.
_COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "gray": (128, 128, 128),
    "red": (220, 20, 30),
    "green": (30, 150, 40),
    "blue": (30, 60, 210),
    "yellow": (250, 230, 40),
    "orange": (250, 140, 20),
    "brown": (120, 70, 30),
    "purple": (130, 40, 160),
    "pink": (250, 150, 190),
}
_SYNONYMS = {"grey": "gray", "violet": "purple"}
#: Room for the colours, and enough more that the directions of two words never cancel out.
_MIN_DIMENSION = 16
#: How far, in sRGB from 0 to 1, a pixel's colour may be from a colour's prototype and still count as it.
_SOFTNESS = 0.15
#: Share of the colours in an image's squared length; the rest is layout.
_COLOUR_SHARE = 0.7
_WORD = re.compile(r"\w+")


class DebugEngine(EmbeddingEngine):
    """Colour names by their share of the image, then a projection of colours and edges over a 4 x 4 grid.

    It needs numpy only and gives the same vectors everywhere.
    """

    def __init__(self, dimension: int = 32, delay_s: float = 0.0) -> None:
        """Makes the engine.

        Args:
            dimension: of its vectors, at least 16.
            delay_s: seconds that each pass takes longer, to stand in for a slow model.

        Raises:
            ValueError: the dimension is too small.
        """
        if dimension < _MIN_DIMENSION:
            raise ValueError(f"dimension {dimension}: the debug model needs at least {_MIN_DIMENSION}")
        digest = hashlib.sha256(f"{_METHOD} {dimension}".encode()).hexdigest()
        self._model = EmbeddingModel(_NAME, f"sha256:{digest}", dimension)
        self._delay_s = delay_s
        self._prototypes = np.array(list(_COLOURS.values()), np.float32) / 255
        self._rest = dimension - len(_COLOURS)
        layout = _CELLS * _CELLS * (len(_COLOURS) + 2)
        self._projection = _spread(b"layout", layout * self._rest).reshape(layout, self._rest)

    @property
    def model(self) -> EmbeddingModel:
        """``debug``; the digest covers the method and the dimension."""
        return self._model

    @property
    def input_side(self) -> int:
        """Pixels of the grid that is sampled."""
        return _SIDE

    @property
    def passes_at_once(self) -> int:
        """One: the interpreter lock allows no more."""
        return 1

    @property
    def batch_size(self) -> int:
        """Any number: a pass takes its time once, however many images it has."""
        return sys.maxsize

    def preprocess(self, pixels: Pixels) -> NDArray[np.float32]:
        """Samples the image on a 32 x 32 grid; float32 (32, 32, 3), 0 to 1."""
        height, width = pixels.shape[:2]
        centres = (np.arange(_SIDE) + 0.5) / _SIDE
        rows, columns = (centres * height).astype(np.intp), (centres * width).astype(np.intp)
        return pixels[np.ix_(rows, columns)].astype(np.float32) / np.float32(255)

    def embed_images(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Preprocessed images to unit vectors, float32 (len(inputs), dimension)."""
        time.sleep(self._delay_s)
        vectors = [self._embed_image(image) for image in inputs]
        return np.array(vectors, np.float32).reshape(len(inputs), self._model.dimension)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts to unit vectors, float32 (len(texts), dimension).

        Colour names point where images of that colour are; every other word has a direction of its own.
        """
        time.sleep(self._delay_s)
        vectors = [self._embed_text(text) for text in texts]
        return np.array(vectors, np.float32).reshape(len(texts), self._model.dimension)

    def _embed_image(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        distances = np.square(image[:, :, None, :] - self._prototypes).sum(axis=3)
        likeness = np.exp(-(distances - distances.min(axis=2, keepdims=True)) / (2 * _SOFTNESS**2))
        shares = likeness / likeness.sum(axis=2, keepdims=True)
        light = image.mean(axis=2)
        down, across = np.gradient(light)
        features = np.concatenate([shares, np.abs(down)[:, :, None], np.abs(across)[:, :, None]], axis=2)
        step = _SIDE // _CELLS
        layout = features.reshape(_CELLS, step, _CELLS, step, -1).mean(axis=(1, 3)).reshape(-1)
        return np.concatenate(
            [
                _unit(shares.mean(axis=(0, 1))) * _COLOUR_SHARE**0.5,
                _unit(layout @ self._projection) * (1 - _COLOUR_SHARE) ** 0.5,
            ]
        )

    def _embed_text(self, text: str) -> NDArray[np.float32]:
        vector = np.zeros(self._model.dimension, np.float32)
        colours = list(_COLOURS)
        for word in _WORD.findall(text.casefold()) or [text]:
            name = _SYNONYMS.get(word, word)
            if name in _COLOURS:
                vector[colours.index(name)] += 1
            else:
                vector[len(colours) :] += _unit(_spread(name.encode(), self._rest))
        return _unit(vector)


def _spread(seed: bytes, count: int) -> NDArray[np.float32]:
    """Numbers from -1 to 1 that look random and are the same everywhere; numpy's generators promise no such thing."""
    stream = hashlib.shake_256(seed).digest(4 * count)
    return np.frombuffer(stream, dtype="<u4").astype(np.float32) / np.float32(2**31) - 1


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return vector / np.linalg.norm(vector)
