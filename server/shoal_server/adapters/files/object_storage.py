"""A place in an object storage, through fsspec (https://filesystem-spec.readthedocs.io)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar
from uuid import uuid4

import fsspec

from shoal_server.adapters.files.place import Place, Reading
from shoal_server.domain.errors import FilesUnavailable, InvalidField, MissingExtra

T = TypeVar("T")

#: Bytes of an object that are read at once; one that is larger is read piece by piece.
PIECE = 8 * 1024 * 1024

#: Most objects in one request to delete.
_DELETED_AT_ONCE = 1000

#: The extra with the package for a scheme.
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


class ObjectStorage(Place):
    """Objects below a URL. An object storage puts an object whole or not at all, and durably.

    Several servers may share it. Credentials and endpoints come from where the storage's own programs take them
    (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ``GOOGLE_APPLICATION_CREDENTIALS``, the machine's role).
    """

    threads = 16

    def __init__(self, url: str) -> None:
        """Opens the place and tries whether files can be written, read and removed there; blocks.

        Args:
            url: ``s3://BUCKET/PREFIX`` or ``gs://BUCKET/PREFIX``, or another that fsspec knows, if its storage puts a
                file whole or not at all; without credentials in it.

        Raises:
            InvalidField: fsspec does not know such a URL.
            MissingExtra: the storage's package is not installed.
            FilesUnavailable: it does not answer, refuses, or has no such bucket.
        """
        self._shown = url.rstrip("/")
        scheme = url.partition("://")[0]
        with self._failures():
            try:
                # No listings from memory: other servers write there too.
                self._fs, path = fsspec.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
            except ImportError as error:
                if scheme in _EXTRAS:
                    raise MissingExtra(f"SHOAL_FILES_URL={self._shown}", _EXTRAS[scheme]) from error
                raise InvalidField("SHOAL_FILES_URL", f"{self._shown} cannot be used: {error}") from error
            except ValueError as error:
                raise InvalidField("SHOAL_FILES_URL", f"{self._shown} cannot be used: {error}") from error
        self._root = str(path).rstrip("/")
        self._try_out()

    def close(self) -> None:
        """See :meth:`Place.close`."""

    def full_name(self, name: str) -> str:
        """See :meth:`Place.full_name`."""
        return f"{self._shown}/{name}"

    def write(self, name: str, content: bytes, *, durably: bool = True) -> None:
        """See :meth:`Place.write`; always durable."""
        with self._failures():
            self._fs.pipe_file(self._path(name), content)

    def read(self, name: str) -> bytes | None:
        """See :meth:`Place.read`."""
        with self._failures():
            return _unless_missing(lambda: bytes(self._fs.cat_file(self._path(name))))

    def open(self, name: str) -> Reading | None:
        """See :meth:`Place.open`. One of at most 8 MiB is read at once; a larger one must stay until it is read."""
        size = self.size(name)
        if size is None:
            return None
        if size <= PIECE:
            content = self.read(name)
            return None if content is None else io.BytesIO(content)
        return _Pieces(lambda start, end: self._range(name, start, end), size)

    def size(self, name: str) -> int | None:
        """See :meth:`Place.size`."""
        with self._failures():
            found = _unless_missing(lambda: self._fs.info(self._path(name)))
            return int(found["size"]) if found is not None and found["type"] == "file" else None

    def delete(self, names: Sequence[str]) -> None:
        """See :meth:`Place.delete`."""
        if not names:
            return
        with self._failures(), ThreadPoolExecutor(min(len(names), self.threads)) as pool:
            # One by one: a request for many may fail for some without a word.
            list(pool.map(self._remove_one, names))

    def delete_all(self, start: str) -> None:
        """See :meth:`Place.delete_all`."""
        with self._failures():
            found = self._below(start)
            for first in range(0, len(found), _DELETED_AT_ONCE):
                self._remove(found[first : first + _DELETED_AT_ONCE])
            # Not every storage's package says so where it may not remove an object.
            if found and not set(found).isdisjoint(self._below(start)):
                raise PermissionError("objects that were to be removed are still there")

    def _remove_one(self, name: str) -> None:
        _unless_missing(lambda: self._fs.rm_file(self._path(name)))

    def _remove(self, paths: list[str]) -> None:
        _unless_missing(lambda: self._fs.rm(paths))

    def _below(self, start: str) -> list[str]:
        return _unless_missing(lambda: list(self._fs.find(self._path(start)))) or []

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _range(self, name: str, start: int, end: int) -> bytes:
        with self._failures():
            content = bytes(self._fs.cat_file(self._path(name), start=start, end=end))
            if len(content) != end - start:
                raise OSError(f"{name} was replaced while it was read")
            return content

    def _try_out(self) -> None:
        name = f".probe-{uuid4().hex}"
        self.write(name, b"Shoal tries whether it can write here.")
        if self.read(name) is None:
            raise FilesUnavailable(self._shown, "an object that was just written cannot be read")
        self.delete([name])

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (FilesUnavailable, InvalidField, MissingExtra):
            raise
        except FileNotFoundError as error:
            raise FilesUnavailable(
                self._shown, f"there is no such bucket or folder ({_said(error)}); make it first"
            ) from error
        except PermissionError as error:
            raise FilesUnavailable(
                self._shown,
                f"access is denied ({_said(error)}); give the server credentials that may list, read, write and "
                "delete there",
            ) from error
        # Each storage's package has a tree of exceptions of its own, and not all are OSErrors.
        except Exception as error:
            raise FilesUnavailable(self._shown, _said(error)) from error


class _Pieces:
    """A large object, read piece by piece."""

    def __init__(self, load: Callable[[int, int], bytes], size: int) -> None:
        self._load = load
        self._size = size
        self._loaded = 0
        self._piece = io.BytesIO()

    def read(self, size: int, /) -> bytes:
        part = self._piece.read(size)
        if not part and self._loaded < self._size:
            end = min(self._loaded + PIECE, self._size)
            self._piece = io.BytesIO(self._load(self._loaded, end))
            self._loaded = end
            part = self._piece.read(size)
        return part

    def close(self) -> None:
        self._piece.close()


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _unless_missing(call: Callable[[], T]) -> T | None:
    try:
        return call()
    except FileNotFoundError:
        return None
