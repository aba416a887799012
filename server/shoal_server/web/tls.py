"""TLS for the explorer, with the certificates of gRPC, which are read again when their files change."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shoal_server.domain.errors import InvalidField

_log = logging.getLogger(__name__)


class Certificates:
    """The certificates as they are in their files.

    Attributes:
        context: for a server; every connection that it lets in has the certificates as they are then.
    """

    def __init__(self, certificate: Path, key: Path, client_authority: Path | None) -> None:
        """Args:
        certificate: the server's, and those between it and the authority, in PEM.
        key: the private key to it, without a password.
        client_authority: of those who sign clients' certificates; None: clients need none.

        Raises:
            InvalidField: the files cannot be read, or do not belong together.
        """
        self._certificate, self._key, self._client_authority = certificate, key, client_authority
        self._told = ""
        try:
            self._seen = self._version()
            self.context = self._latest = self._read()
        except (OSError, ValueError) as error:
            raise InvalidField("SHOAL_TLS_CERT", f"the certificates cannot be used: {error}") from error
        self.context.sni_callback = self._hand_over

    def _hand_over(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Called at the beginning of every connection, whether or not the client says whom it wants."""
        try:
            version = self._version()
            if version != self._seen:
                self._latest = self._read()
                self._seen = version
                self._told = ""
                _log.info("the explorer's certificates were read again")
        except (OSError, ValueError) as error:
            # They may be in the middle of being replaced: those before are good until then.
            if str(error) != self._told:
                self._told = str(error)
                _log.error("the explorer's certificates stay as they were: %s", error)
        connection.context = self._latest

    def _version(self) -> tuple[tuple[int, int, int], ...]:
        paths = filter(None, (self._certificate, self._key, self._client_authority))
        return tuple((found.st_mtime_ns, found.st_size, found.st_ino) for found in (path.stat() for path in paths))

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # Without a password, so that nobody is asked for one on a terminal.
        context.load_cert_chain(self._certificate, self._key, password="")
        if self._client_authority is not None:
            context.load_verify_locations(self._client_authority)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def subject_of(certificate: Mapping[str, Any] | None) -> str | None:
    """Who a client's certificate is made out to, as gRPC has it; None without one.

    Args:
        certificate: as :meth:`ssl.SSLSocket.getpeercert` gives it.
    """
    if not certificate:
        return None
    for part in certificate.get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return _shown(value)
    for _, value in certificate.get("subjectAltName", ()):
        return _shown(value)
    return _shown(", ".join(f"{name}={value}" for part in certificate.get("subject", ()) for name, value in part))


def _shown(text: str) -> str:
    return "".join(each for each in text if each.isprintable())[:100]
