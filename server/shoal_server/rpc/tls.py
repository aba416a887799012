"""TLS for the server, with certificates that are read again when their files change."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from shoal_server.domain.errors import InvalidField

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the certificates are, each in PEM.

    Attributes:
        certificate: the server's, and those between it and the authority.
        key: the private key to it, without a password.
        client_authority: certificates of those who sign clients' certificates; None: clients need none.
    """

    certificate: Path
    key: Path
    client_authority: Path | None = None


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that every new connection reads afresh, if the files were changed.

    Files that cannot be used are not taken over: the certificates before stay, and the log says why. Connections that
    are open stay as they are. A client that needs a certificate and has none is refused before it can call anything.

    Raises:
        InvalidField: the files cannot be read, or do not belong together.
    """
    certificates = Certificates(files)
    return grpc.dynamic_ssl_server_credentials(
        certificates.first,
        certificates.changed,  # type: ignore[arg-type]  # None, which the types leave out, means no change
        require_client_authentication=files.client_authority is not None,
    )


class Certificates:
    """The certificates as they are in their files."""

    def __init__(self, files: TlsFiles) -> None:
        """Reads them; what is there is :attr:`first`.

        Raises:
            InvalidField: the files cannot be read, or do not belong together.
        """
        self._files = files
        self._told = ""
        self._seen: object = self._version()
        self.first = self._read()

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """The certificates, if they are others than at the last call. Called by gRPC, for each connection."""
        try:
            version = self._version()
            if version == self._seen:
                return None
            # Before reading: what is written meanwhile has another version, and is read the next time.
            self._seen = version
            made = self._read()
        except InvalidField as error:
            if error.message != self._told:
                self._told = error.message
                _log.error("the certificates stay as they were: %s", error.message)
            if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, ssl.SSLError):
                # It may be readable the next time though nothing in it has changed.
                self._seen = None
            return None
        if version != self._version():
            # It may be the certificate of one pair and the key of another; the next connection reads them again.
            return None
        self._told = ""
        _log.info("the certificates were read again")
        return made

    def _version(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(_version(path) for path in self._paths())

    def _paths(self) -> tuple[Path, ...]:
        files = self._files
        return (files.certificate, files.key, *filter(None, [files.client_authority]))

    def _read(self) -> grpc.ServerCertificateConfiguration:
        files = self._files
        _check_pair(files.certificate, files.key)
        if files.client_authority is not None:
            _check_authority(files.client_authority)
        authority = None if files.client_authority is None else _bytes(files.client_authority)
        return grpc.ssl_server_certificate_configuration([(_bytes(files.key), _bytes(files.certificate))], authority)


def _version(path: Path) -> tuple[int, int, int]:
    try:
        stat = path.stat()
    except OSError:
        # Told when it is read.
        return 0, 0, 0
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _check_pair(certificate: Path, key: Path) -> None:
    """gRPC says nothing that helps about a key that is not the certificate's."""
    for path in (certificate, key):
        _bytes(path)
    try:
        # An empty password: one that is asked for on the terminal would be waited for.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise InvalidField(
            "SHOAL_TLS_CERT",
            f"{certificate} and the key {key} cannot be used ({error}); both must be PEM, belong together, and the key "
            "have no password",
        ) from error


def _check_authority(path: Path) -> None:
    _bytes(path)
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise InvalidField("SHOAL_TLS_CLIENT_CA", f"{path} holds no certificates in PEM ({error})") from error


def _unreadable(path: Path, error: OSError) -> InvalidField:
    return InvalidField("SHOAL_TLS_CERT", f"{path} cannot be read: {error.strerror or error}")
