"""Connections to public addresses only, whatever a name resolves to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpcore

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

#: From a host and a port to addresses as texts, best first; raises OSError.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

#: Unicast addresses of the Internet are in here (RFC 4291).
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
#: An IPv4 address in its last 32 bits (RFC 6052): how a network without IPv4 reaches one with nothing else.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
#: What Python's own tables, as of 3.11, take for global: Teredo (RFC 4380), which ends at an IPv4 address, the retired
#: relays of 6to4 (RFC 7526), protocol assignments (RFC 6890) and documentation (RFC 9637); and the address at which the
#: machines of a cloud, and nobody else, reach its platform.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in ("2001::/32", "192.88.99.0/24", "192.0.0.0/24", "3fff::/20", "168.63.129.16/32")
)
#: A host's other addresses are tried after so many seconds without an answer.
_NEXT_AFTER_S = 1.5
#: Names that are looked up at once.
_LOOKUPS = 8


class AddressRefused(Exception):
    """A host has no address, or one that is not public; the two must not be told apart."""


class NameUnresolved(Exception):
    """Nobody could say at the moment which addresses a host has."""


def is_public(address: IpAddress) -> bool:
    """Whether an address is a single machine's on the Internet.

    Not so: loopback, private, link-local (cloud metadata), shared, multicast, unspecified and reserved ones, and IPv6
    addresses in which such an IPv4 address is embedded.
    """
    if any(address in network for network in _NOT_PUBLIC):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if embedded is not None:
            return is_public(embedded)
        if address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the very address that was checked: a name that resolves to another one later is not asked again."""

    def __init__(self, resolve: Resolve | None = None, is_allowed: Callable[[IpAddress], bool] = is_public) -> None:
        """Args:
        resolve: how names become addresses; None asks the system.
        is_allowed: which addresses may be connected to.
        """
        self._resolve = resolve or self._ask_system
        self._is_allowed = is_allowed
        # A name whose server does not answer keeps a thread for half a minute: not one of those that all else uses.
        self._threads = ThreadPoolExecutor(max_workers=_LOOKUPS, thread_name_prefix="resolve")
        self._sockets = httpcore.AnyIOBackend()

    def close(self) -> None:
        """Looks up no more names; does not wait for those that are being looked up, whose answers nobody needs."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as httpcore calls it
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connects to the first address that answers; ``timeout`` is in seconds, for all of it.

        Raises:
            AddressRefused: one of the host's addresses is not allowed, or it has none.
            NameUnresolved: the system cannot say at the moment.
            httpcore.ConnectError: none answers.
            httpcore.ConnectTimeout: not in time.
        """
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._allowed_addresses(host, port)
                for address in addresses[:-1]:
                    try:
                        return await self._sockets.connect_tcp(
                            address, port, _NEXT_AFTER_S, local_address, socket_options
                        )
                    except (httpcore.ConnectError, httpcore.ConnectTimeout):
                        continue
                return await self._sockets.connect_tcp(addresses[-1], port, None, local_address, socket_options)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error

    async def _ask_system(self, host: str, port: int) -> Sequence[str]:
        """A host's addresses, in the system's order of preference."""
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return [str(address[0]) for *_, address in found]

    async def _allowed_addresses(self, host: str, port: int) -> list[str]:
        try:
            addresses = [ipaddress.ip_address(address) for address in await self._resolve(host, port)]
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise NameUnresolved(host) from error
            raise AddressRefused(host) from error
        except (OSError, UnicodeError) as error:
            raise AddressRefused(host) from error
        if not addresses or not all(self._is_allowed(address) for address in addresses):
            raise AddressRefused(host)
        return list(dict.fromkeys(str(address) for address in addresses))

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)
