"""Vectors in a folder for what can be computed again, one NumPy file a key."""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.vocabulary import VectorCache

#: How far from 1 the length of a vector may be. Models that compute in half precision are right to about 0.001.
_LENGTH_TOLERANCE = 0.01
_KEY = re.compile(r"[0-9a-f]{1,128}")

_logger = logging.getLogger(__name__)


class NumpyVectorCache(VectorCache):
    """A ``VectorCache`` of files ``<key>.npy``, float32 (n, dimension). Servers may share the folder.

    A file that is damaged or not of this kind is passed over and replaced. Nothing is ever removed: a folder that grew
    too large may be emptied at any time.
    """

    def __init__(self, folder: Path) -> None:
        """Prepares; the folder is made with the first file.

        Args:
            folder: for these files alone.
        """
        self._folder = folder

    async def read(self, key: str, shape: tuple[int, int]) -> NDArray[np.float32] | None:
        """See :meth:`VectorCache.read`.

        Raises:
            ValueError: the key is not hexadecimal.
        """
        return await asyncio.to_thread(_read, self._file(key), shape)

    async def write(self, key: str, vectors: NDArray[np.float32]) -> None:
        """See :meth:`VectorCache.write`.

        Raises:
            ValueError: the key is not hexadecimal.
        """
        await asyncio.to_thread(_write, self._file(key), vectors)

    def _file(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not hexadecimal")
        return self._folder / f"{key}.npy"


def _read(file: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    # The header is compared, not read: whatever a foreign file says of itself is never acted on.
    header = _header(shape)
    size = shape[0] * shape[1] * np.dtype("<f4").itemsize
    try:
        if file.stat().st_size != len(header) + size:
            return None
        content = file.read_bytes()
    except OSError:
        return None
    if len(content) != len(header) + size or not content.startswith(header):
        return None
    vectors = np.frombuffer(content, dtype="<f4", offset=len(header)).reshape(shape).astype(np.float32)
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(vectors, axis=1)
    return vectors if bool(np.all(np.abs(lengths - 1) < _LENGTH_TOLERANCE)) else None


def _write(file: Path, vectors: NDArray[np.float32]) -> None:
    # A name of its own: servers that start at the same time write the same file.
    unfinished = file.with_name(f"{uuid4().hex}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as stream:
            stream.write(_header(vectors.shape))
            stream.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
        unfinished.replace(file)
    except OSError as error:
        _logger.warning("vectors cannot be kept in %s (%s); the next start computes them again", file, error)
        with suppress(OSError):
            unfinished.unlink()


def _header(shape: tuple[int, ...]) -> bytes:
    """What an ``.npy`` file of a C-ordered float32 array begins with (numpy.lib.format, version 1.0)."""
    stream = BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()
