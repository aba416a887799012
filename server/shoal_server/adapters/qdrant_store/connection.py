"""The client and what it raises."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import re
from collections.abc import Iterator

from qdrant_client import AsyncQdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from shoal_server.domain.errors import (
    CollectionNotFound,
    Overloaded,
    ShoalError,
    StoreIncompatible,
    StoreRefused,
    StoreUnavailable,
)

_log = logging.getLogger(__name__)

#: Exact facet counts came with this version.
MINIMUM_VERSION = (1, 12)

_REFUSED = {"UNAUTHENTICATED", "PERMISSION_DENIED", "401", "403"}
_MISSING = {"NOT_FOUND", "404"}


class Connection:
    """A client and where it leads to.

    Attributes:
        client: does the calls.
        location: the server, for messages.
    """

    def __init__(self, client: AsyncQdrantClient, location: str) -> None:
        self.client = client
        self.location = location

    async def check_version(self) -> None:
        """Looks whether the server is there and is one that Shoal knows.

        One whose version cannot be read, or is newer than the client's, is worked with, and the log says so: Qdrant
        promises that client and server one minor version apart understand each other.

        Raises:
            StoreUnavailable: the server does not answer.
            StoreIncompatible: it is too old.
        """
        with self.translated():
            version = (await self.client.info()).version
        read = _read_version(version)
        if read is None:
            wanted = ".".join(map(str, MINIMUM_VERSION))
            _log.warning(
                "the Qdrant server %s says that its version is %r, which cannot be compared; Shoal needs at least %s",
                self.location,
                version,
                wanted,
            )
            return
        if read < MINIMUM_VERSION:
            wanted = ".".join(map(str, MINIMUM_VERSION))
            raise StoreIncompatible(
                f"the Qdrant server {self.location} has version {version}, but Shoal needs at least {wanted}; upgrade "
                "the server"
            )
        known = _read_version(importlib.metadata.version("qdrant-client"))
        if known is not None and read > (known[0], known[1] + 1):
            _log.warning(
                "the Qdrant server %s has version %s, and Shoal's client for it knows versions up to %d.%d; if calls "
                "fail, upgrade Shoal or its qdrant-client",
                self.location,
                version,
                known[0],
                known[1] + 1,
            )

    async def make_collection(self, name: str) -> None:
        """Makes a collection without vectors, if there is none of that name."""
        if not await self.client.collection_exists(name):
            try:
                await self.client.create_collection(name, vectors_config={})
            except Exception:
                # Another server that starts at the same time may have been faster.
                if not await self.client.collection_exists(name):
                    raise

    @contextlib.contextmanager
    def translated(self, collection: str | None = None) -> Iterator[None]:
        """Turns the client's errors into Shoal's, once and with their cause.

        Args:
            collection: the one that a call is about; if the server does not have it, it is not found.
        """
        try:
            yield
        except ShoalError:
            raise
        except ResourceExhaustedResponse as error:
            raise Overloaded(f"the vector store {self.location}", float(error.retry_after_s)) from error
        except Exception as error:
            status = _status(error)
            if status is None:
                raise
            if status in _MISSING and collection is not None:
                raise CollectionNotFound(collection) from error
            if status in _REFUSED:
                raise StoreRefused(
                    self.location, "it refuses the API key; set the right one with SHOAL_QDRANT_API_KEY"
                ) from error
            raise StoreUnavailable(self.location, _problem(error)) from error


def _read_version(version: str) -> tuple[int, int] | None:
    """Major and minor; None if these are no numbers, as in a build of a branch."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return None if found is None else (int(found[1]), int(found[2]))


def _status(error: Exception) -> str | None:
    """The status of a vendor's error, None if it is not one."""
    if isinstance(error, UnexpectedResponse):
        return str(error.status_code)
    if isinstance(error, ApiException):
        return "UNREACHABLE"
    # gRPC's error; its type belongs to a package that only the transport imports.
    if (code := getattr(error, "code", None)) is not None and type(error).__module__.startswith("grpc."):
        return str(code().name)
    return None


def _problem(error: Exception) -> str:
    details = getattr(error, "details", None)
    if callable(details):
        return str(details())
    # A timeout over REST says nothing but its name.
    source = getattr(error, "source", error)
    return str(source) or type(source).__name__
