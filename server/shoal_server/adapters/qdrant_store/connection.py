"""The client and what it raises."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from qdrant_client import AsyncQdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from shoal_server.domain.errors import (
    CollectionNotFound,
    Overloaded,
    ShoalError,
    StoreIncompatible,
    StoreUnavailable,
)

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
        """Raises:
        StoreUnavailable: the server does not answer or refuses the API key.
        StoreIncompatible: it is too old.
        """
        with self.translated():
            version = (await self.client.info()).version
        if tuple(int(part) for part in version.split("-")[0].split(".")[:2]) < MINIMUM_VERSION:
            wanted = ".".join(map(str, MINIMUM_VERSION))
            raise StoreIncompatible(
                f"the Qdrant server {self.location} has version {version}, but Shoal needs at least {wanted}; upgrade "
                "the server"
            )

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
                raise StoreUnavailable(self.location, "it refuses the API key; set the right one") from error
            raise StoreUnavailable(self.location, _problem(error)) from error


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
    return str(details()) if callable(details) else str(error)
