"""The matrix of what the 1,000 ImageNet classes mean, which is kept between starts."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal_server.adapters.starter_embedder.weights import MEANING

_CLASS_TEMPLATE = "a photo of a {}."

_logger = logging.getLogger(__name__)


def class_texts() -> list[str]:
    from open_clip import IMAGENET_CLASSNAMES

    return [_CLASS_TEMPLATE.format(name) for name in IMAGENET_CLASSNAMES]


def read_matrix(file: Path) -> NDArray[np.float32] | None:
    """A matrix that was kept earlier, or None if there is none that can be used."""
    try:
        matrix = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    sound = matrix.dtype == np.float32 and matrix.shape == (1000, MEANING) and bool(np.isfinite(matrix).all())
    return matrix if sound else None


def write_matrix(file: Path, matrix: NDArray[np.float32]) -> None:
    """Keeps a matrix, whole or not at all: servers that start at the same time share the folder."""
    unfinished = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as stream:
            np.save(stream, matrix)
        unfinished.replace(file)
    except OSError as error:
        _logger.warning(
            "the class embeddings cannot be kept in %s (%s); the next start computes them again", file, error
        )
        with suppress(OSError):
            unfinished.unlink()
