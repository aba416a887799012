"""Who may read: the same API keys as for gRPC."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.types import Scope

from shoal_server.application.access import Access, check_everywhere, check_role, key_in
from shoal_server.domain.access import Role, network_of
from shoal_server.domain.errors import WrongCredentials
from shoal_server.web.app import Authorize


def by_api_key(access: Access) -> Authorize:
    """Lets in whoever has a key for all collections, or everybody where no key is needed.

    Args:
        access: knows the keys.
    """

    async def authorize(scope: Scope, role: Role) -> None:
        connection = HTTPConnection(scope)
        given = connection.headers.get("authorization")
        if given is None and access.required:
            # No failure that is counted and logged: probes have no key, and come every few seconds.
            raise WrongCredentials("the call came without an API key")
        key = None if given is None else key_in(given)
        address = "" if connection.client is None else network_of(connection.client.host)
        caller = access.identify(key, None, address)
        check_role(caller, role, f"read {connection.url.path}")
        # What the routes show is about all collections.
        check_everywhere(caller, f"read {connection.url.path}")

    return authorize
