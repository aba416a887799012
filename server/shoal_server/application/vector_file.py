"""Vectors in a file, written and read a stretch at a time.

The format is that of ``numpy.save``. The file is read and written, not mapped: what is mapped of it counts as the
process's own memory until somebody else needs it, and a full disk ends the process instead of the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.full_disk import store_failure

#: Vectors read at once: 16 MiB of 512 dimensions.
STRETCH = 8_192


class VectorFile:
    """The rows of a ``.npy`` file, float32 (n, dimension), which does not change.

    Attributes:
        path: of the file.
        shape: (n, dimension).
    """

    def __init__(self, path: Path) -> None:
        """Raises:
        ValueError: it is no file of float32 rows.
        """
        self.path = path
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"{path} is of version {version}")
            shape, by_column, kind = np.lib.format.read_array_header_1_0(file)
            self._begin = file.tell()
        if len(shape) != 2 or kind != np.float32 or (by_column and min(shape) > 1):
            raise ValueError(f"{path} has no rows of float32")
        self.shape: tuple[int, int] = shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        """Some rows that follow one another, as an array of its own."""
        start, stop, _ = rows.indices(len(self))
        width = self.shape[1]
        offset = self._begin + start * width * np.dtype(np.float32).itemsize
        read = np.fromfile(self.path, np.float32, max(stop - start, 0) * width, offset=offset)
        return read.reshape(-1, width)

    def stretches(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """All rows in their order, :data:`STRETCH` at a time, each time with the number of the first."""
        for start in range(0, len(self), STRETCH):
            yield start, self[start : start + STRETCH]

    def taken(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows (m, dimension), given in ascending order (m,)."""
        taken = np.empty((len(rows), self.shape[1]), dtype=np.float32)
        bounds = np.searchsorted(rows, np.arange(0, len(self) + STRETCH, STRETCH))
        for (start, stretch), first, last in zip(self.stretches(), bounds[:-1], bounds[1:], strict=False):
            taken[first:last] = stretch[rows[first:last] - start]
        return taken


class VectorFileWriter:
    """A file for :class:`VectorFile` under way; whole when its context is left."""

    def __init__(self, path: Path, dimension: int) -> None:
        self._path = path
        self._dimension = dimension
        self._count = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> VectorFileWriter:
        try:
            self._file = self._path.open("wb")
        except OSError as error:
            raise store_failure(str(self._path.parent), error) from error
        self._write_header()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._file is None:
            return
        try:
            with self._file:
                if kind is None:
                    # numpy leaves room in the header for any number of rows.
                    self._file.seek(0)
                    self._write_header()
        except OSError as problem:
            raise store_failure(str(self._path.parent), problem) from problem

    def append(self, vectors: NDArray[np.float32]) -> None:
        """Adds rows (m, dimension).

        Raises:
            StoreFull: there is no room for them.
            StoreUnavailable: they cannot be written.
        """
        if self._file is None:
            raise ValueError(f"{self._path} is not open")
        if vectors.shape[1:] != (self._dimension,) or vectors.dtype != np.float32:
            raise ValueError(f"{vectors.dtype} {vectors.shape} are no rows of {self._dimension} float32")
        try:
            self._file.write(np.ascontiguousarray(vectors).data)
        except OSError as error:
            raise store_failure(str(self._path.parent), error) from error
        self._count += len(vectors)

    def _write_header(self) -> None:
        if self._file is not None:
            header = {"descr": "<f4", "fortran_order": False, "shape": (self._count, self._dimension)}
            np.lib.format.write_array_header_1_0(self._file, header)
