"""How close the vectors of an exported model are to those it was made from, on a sample of photographs and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.image import Pixels

TEXTS = (
    "a photo of a dog",
    "a red car in front of a house",
    "mountains",
    "two people at a table, eating and laughing, in the evening light",
    "a black and white drawing of a cat",
    "the number 42 on a yellow sign",
    "sunset over the sea",
    "an old church",
    "a close-up of a flower with a bee on it",
    "children playing football in the rain, seen from behind",
    "fog",
    "a plate of pasta with tomatoes and basil on a wooden table next to a glass of red wine",
)
#: Of scikit-image; they come with its package.
_PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


@dataclass(frozen=True)
class Closeness:
    """Cosine similarities between the vectors of two models, each pair of the same input.

    Attributes:
        mean: over the sample.
        least: of the sample.
    """

    mean: float
    least: float

    @classmethod
    def between(cls, vectors: NDArray[np.float32], exact: NDArray[np.float32]) -> Closeness:
        """Of unit vectors (n, dimension), row by row; where one is not finite, both figures are nan."""
        cosines = np.einsum("nd,nd->n", vectors.astype(np.float64), exact.astype(np.float64))
        return cls(float(cosines.mean()), float(cosines.min()))


def photographs() -> Sequence[Pixels]:
    """20 pictures, RGB uint8 (height, width, 3): photographs whole, and their quarters."""
    import skimage.data

    pictures = []
    for name in _PHOTOGRAPHS:
        whole: Pixels = getattr(skimage.data, name)()
        middle_y, middle_x = whole.shape[0] // 2, whole.shape[1] // 2
        pictures.append(whole)
        pictures += [whole[y, x] for y in np.s_[:middle_y, middle_y:] for x in np.s_[:middle_x, middle_x:]]
    return pictures
