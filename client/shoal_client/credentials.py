"""How a client shows who it is, and makes sure of whom it talks to."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio

from shoal_client.errors import InvalidArgument, UnreadableFile
from shoal_client.tracing import traced

Options = Sequence[tuple[str, str | int]]

#: What fits into a header; longer is no key of Shoal's.
_KEY = re.compile(r"[!-~]{1,512}")
_NO_NETWORK = ("unix:", "unix-abstract:")


@dataclass(frozen=True, slots=True)
class Tls:
    """An encrypted connection.

    Attributes:
        ca: file (PEM) of the authorities one of which signed the server's certificate; None: the public ones.
        certificate: file (PEM) of the client's certificate, for servers that ask for one.
        key: file (PEM) of the key to it.
        server_name: whom the server's certificate must be made out to, if not the target's host.
    """

    ca: str | os.PathLike[str] | None = None
    certificate: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client connects with.

    Attributes:
        api_key: of the server; None: the client has none. Never shown.
        tls: None: the connection is not encrypted.
        plaintext: send the key even if the connection is not encrypted and leads to another machine.
    """

    api_key: str | None = field(default=None, repr=False)
    tls: Tls | None = None
    plaintext: bool = False

    def check(self, target: str) -> None:
        """Refuses to show the key to whoever is on the way.

        Args:
            target: the server's address.

        Raises:
            InvalidArgument: it would be shown, or it is no key.
        """
        if self.api_key is None:
            return
        if not _KEY.fullmatch(self.api_key):
            raise InvalidArgument(
                "the API key is empty or has characters that no key has; take it as `shoal keys create` printed it",
                reason="INVALID_API_KEY",
            )
        if self.tls is None and not self.plaintext and not is_loopback(target):
            raise InvalidArgument(
                f"the API key would travel to {target} in clear; connect with TLS (--tls or --tls-ca, SHOAL_TLS_CA; "
                "tls=Tls() in Python), or set SHOAL_PLAINTEXT=true (plaintext=True) if the way there is closed to "
                "others",
                reason="KEY_IN_CLEAR",
            )

    def channel(self, target: str, options: Options) -> grpc.aio.Channel:
        """A channel for asyncio.

        Raises:
            UnreadableFile: of the files for TLS.
            InvalidArgument: one of them is not what it should be.
        """
        if self.tls is None:
            made = grpc.aio.insecure_channel(target, options=options)
        else:
            made = grpc.aio.secure_channel(target, _channel_credentials(self.tls), options=_named(self.tls, options))
        return cast("grpc.aio.Channel", self._keyed(traced(made)))

    def blocking_channel(self, target: str, options: Options) -> grpc.Channel:
        """A channel for threads.

        Raises:
            UnreadableFile: of the files for TLS.
            InvalidArgument: one of them is not what it should be.
        """
        if self.tls is None:
            made = grpc.insecure_channel(target, options=options)
        else:
            made = grpc.secure_channel(target, _channel_credentials(self.tls), options=_named(self.tls, options))
        return cast("grpc.Channel", self._keyed(traced(made)))

    def _keyed(self, channel: grpc.Channel | grpc.aio.Channel) -> object:
        return channel if self.api_key is None else _KeyedChannel(channel, self.api_key)


#: For servers that ask for none.
NO_CREDENTIALS = Credentials()


class _KeyedChannel:
    """A channel that sends a key with every call.

    gRPC's own call credentials are for encrypted channels only, and the key is needed on this machine too.
    """

    def __init__(self, channel: Any, api_key: str) -> None:
        self._channel = channel
        self._metadata = (("authorization", f"Bearer {api_key}"),)

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        return partial(self._channel.unary_unary(*arguments, **options), metadata=self._metadata)

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        return partial(self._channel.unary_stream(*arguments, **options), metadata=self._metadata)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        return partial(self._channel.stream_unary(*arguments, **options), metadata=self._metadata)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        return partial(self._channel.stream_stream(*arguments, **options), metadata=self._metadata)

    def close(self, *arguments: Any) -> Any:
        return self._channel.close(*arguments)


def is_loopback(target: str) -> bool:
    """Whether a target is this machine, however names are resolved."""
    if target.startswith(_NO_NETWORK):
        return True
    addresses = target.partition(":")[2] if target.startswith(("ipv4:", "ipv6:")) else target
    return all(map(_is_loopback, addresses.split(",")))


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _channel_credentials(tls: Tls) -> grpc.ChannelCredentials:
    if (tls.certificate is None) != (tls.key is None):
        raise InvalidArgument("a client's certificate and the key to it go together; give both, or none")
    ca, key, certificate = _read(tls.ca), _read(tls.key), _read(tls.certificate)
    _check_usable(tls)
    return grpc.ssl_channel_credentials(ca, key, certificate)


def _check_usable(tls: Tls) -> None:
    # gRPC would only fail to connect, as if nobody were there.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.ca is not None:
        try:
            context.load_verify_locations(tls.ca)
        except ssl.SSLError as error:
            raise InvalidArgument(
                f"{os.fspath(tls.ca)} holds no certificate of an authority; it must be PEM", reason="INVALID_TLS_FILE"
            ) from error
    if tls.certificate is not None:
        try:
            # An empty password: nobody is there to be asked for one.
            context.load_cert_chain(tls.certificate, tls.key, password="")
        except ssl.SSLError as error:
            raise InvalidArgument(
                f"the certificate {os.fspath(tls.certificate)} and its key cannot be used; both must be PEM, belong "
                "together, and the key have no password",
                reason="INVALID_TLS_FILE",
            ) from error


def _read(path: str | os.PathLike[str] | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UnreadableFile(str(path), f"{path}: {error.strerror or error}") from error


def _named(tls: Tls, options: Options) -> Options:
    return options if tls.server_name is None else [*options, ("grpc.ssl_target_name_override", tls.server_name)]
