"""The Qdrant server that tests were told to use with ``--qdrant-url``, or the stand-in."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from qdrant_client import QdrantClient

#: How long a server under test may take for one call, in seconds.
_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class QdrantServer:
    """Where a server is that has nothing on it but what tests put there.

    Attributes:
        url: of REST.
        grpc_port: on the same host.
        api_key: None if it needs none.
    """

    url: str
    grpc_port: int
    api_key: str | None = None

    def environment(self) -> dict[str, str]:
        """Makes a Shoal server that is started store there."""
        variables = {"SHOAL_QDRANT_URL": self.url, "SHOAL_QDRANT_GRPC_PORT": str(self.grpc_port)}
        return variables if self.api_key is None else variables | {"SHOAL_QDRANT_API_KEY": self.api_key}

    def collections(self) -> list[str]:
        """Names of all it has."""
        with self._client() as client:
            return [each.name for each in client.get_collections().collections]

    def clean(self) -> None:
        """Deletes all collections, whoever made them."""
        with self._client() as client:
            for each in client.get_collections().collections:
                client.delete_collection(each.name)

    @contextlib.contextmanager
    def _client(self) -> Iterator[QdrantClient]:
        with warnings.catch_warnings():
            # A key over http: the tests' server is on this machine, or meant for them.
            warnings.simplefilter("ignore")
            client = QdrantClient(url=self.url, api_key=self.api_key, timeout=_TIMEOUT_S, check_compatibility=False)
        try:
            yield client
        finally:
            client.close()
