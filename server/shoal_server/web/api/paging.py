"""Page tokens of requests in JSON and in query parameters."""

from __future__ import annotations

import hashlib

from shoal_server.application.page_tokens import FINGERPRINT, sealed, unsealed


class Pages:
    """Seals the tokens of one listing: they go on with the same request only."""

    def __init__(self, what: str, *asked: object) -> None:
        """Args:
        what: is listed.
        asked: all that the request says, but for its page size and token.
        """
        digest = hashlib.blake2b(f"{what}\0".encode(), digest_size=FINGERPRINT)
        for each in asked:
            digest.update(f"{each!r}\0".encode())
        self._fingerprint = digest.digest()

    def cursor(self, token: str) -> str:
        """What a token stands for; empty for an empty one.

        Raises:
            InvalidPageToken: it was made for another request.
        """
        return unsealed(self._fingerprint, token)

    def token(self, cursor: str) -> str:
        """A token; empty for an empty cursor."""
        return sealed(self._fingerprint, cursor) if cursor else ""
