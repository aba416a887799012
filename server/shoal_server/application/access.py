"""Finds out who calls and what they may do, whatever the call comes in by."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

from shoal_server.application.limits import Buckets
from shoal_server.domain.access import ApiKey, Caller, Role, key_id
from shoal_server.domain.errors import NotPermitted, Overloaded, ShoalError, WrongCredentials

_log = logging.getLogger(__name__)

#: Seconds between two looks whether the keys were changed.
POLL_S = 1.0
#: Calls without valid credentials that one address may make at once, and each second in the long run, before they are
#: neither told why nor logged.
FAILURES, FAILURES_PER_S = 20, 0.5

_BEARER = "bearer "
_NOT_VALID = "the API key is not valid"


class KeySource(Protocol):
    """Where the keys are kept."""

    async def changed_keys(self) -> tuple[ApiKey, ...] | None:
        """All keys, if they are not what the last call gave; None if they are. None are kept: an empty tuple.

        Raises:
            StoreIncompatible: they cannot be read, or understood; of what cannot be understood the next call says
                nothing unless it was changed meanwhile.
        """
        ...


class Access:
    """Knows the keys, and follows what is changed about them while the server runs.

    Once a key was seen, keys are needed until the server ends: taking all of them away lets nobody in.
    """

    def __init__(
        self,
        source: KeySource,
        *,
        key_required: bool = False,
        certificate_role: Role | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Args:
        source: where the keys are kept.
        key_required: every call needs credentials, even if there are no keys.
        certificate_role: of callers with a certificate and no key; None: they need a key.
        clock: the time, aware, UTC.
        """
        self._source = source
        self._certificate_role = certificate_role
        self._clock = clock
        self._required = key_required or certificate_role is not None
        self._keys: dict[str, ApiKey] = {}
        self._failures = Buckets(FAILURES_PER_S, FAILURES)

    @property
    def required(self) -> bool:
        """Whether every call needs credentials."""
        return self._required

    async def load(self) -> None:
        """Reads the keys, if they were changed.

        Raises:
            StoreIncompatible: they cannot be read; those before still hold.
        """
        keys = await self._source.changed_keys()
        if keys is None:
            return
        self._keys = {key.id: key for key in keys}
        self._required = self._required or bool(keys)
        valid = sum(key.problem(self._clock()) is None for key in keys)
        if self._required:
            _log.info("every call needs credentials: %d API keys are valid", valid)
        else:
            _log.warning("there are no API keys: whoever reaches this server may read and change everything")

    @asynccontextmanager
    async def following(self, poll_s: float = POLL_S) -> AsyncIterator[None]:
        """Reads the keys, and again after each change for as long as the context is open.

        Raises:
            StoreIncompatible: they cannot be read at the beginning.
        """
        await self.load()
        task = asyncio.create_task(self._follow(poll_s))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self, poll_s: float) -> None:
        told = ""
        while True:
            await asyncio.sleep(poll_s)
            try:
                await self.load()
                told = ""
            except ShoalError as error:
                if error.message != told:
                    told = error.message
                    _log.error("the API keys stay as they were: %s", error.message)
            except Exception:  # noqa: BLE001 - whoever revokes a key later relies on somebody looking
                _log.exception("the API keys could not be looked at")

    def identify(self, key: str | None, certificate: str | None, address: str) -> Caller:
        """Who calls.

        Args:
            key: the API key that came with the call, if one did.
            certificate: subject of the caller's certificate, which was verified; None if there is none.
            address: where the call comes from.

        Raises:
            WrongCredentials: nobody that is known.
            Overloaded: likewise, and too often from there.
        """
        if not self._required:
            return Caller(f"address:{address}", "anyone", Role.ADMIN, authenticated=False)
        if key is not None:
            found = self._keys.get(key_id(key) or "")
            if found is None or not found.matches(key):
                raise self._failure(address, _NOT_VALID)
            if problem := found.problem(self._clock()):
                raise self._failure(address, problem)
            return Caller(f"key:{found.id}", found.name, found.role, found.collections)
        if certificate is not None and self._certificate_role is not None:
            return Caller(f"certificate:{certificate}", certificate, self._certificate_role)
        raise self._failure(address, "the call came without an API key")

    def knows(self, key: str | None) -> bool:
        """Whether :meth:`identify` may find somebody who comes with this key, or with none; nothing is counted."""
        if not self._required:
            return True
        if key is None:
            return self._certificate_role is not None
        found = self._keys.get(key_id(key) or "")
        return found is not None and found.matches(key) and found.problem(self._clock()) is None

    def check_still(self, caller: Caller) -> None:
        """Refuses to go on for somebody whose credentials no longer hold.

        Raises:
            WrongCredentials: they do not.
        """
        kind, _, identity = caller.id.partition(":")
        if kind == "key":
            found = self._keys.get(identity)
            problem = f"the key {identity} was taken away" if found is None else found.problem(self._clock())
            if found is not None and (found.role, found.collections) != (caller.role, caller.collections):
                problem = f"the key {identity} was changed"
            if problem:
                raise WrongCredentials(problem)
        elif not caller.authenticated and self._required:
            raise WrongCredentials("this server has API keys since, and the call came without one")

    def _failure(self, address: str, problem: str) -> ShoalError:
        if wait := self._failures.take(address):
            return Overloaded("the number of calls without valid credentials from your address", round(wait, 3))
        _log.warning("a call from %s was refused: %s", address, problem)
        return WrongCredentials(problem)


def key_in(authorization: str) -> str:
    """The API key in a header; what is there and none of ours will be found not to be valid."""
    return authorization[len(_BEARER) :].strip() if authorization[: len(_BEARER)].lower() == _BEARER else authorization


def check_role(caller: Caller, needed: Role, what: str) -> None:
    """Refuses what a caller's role does not include.

    Args:
        caller: who calls.
        needed: the role.
        what: they want to do, for the message.

    Raises:
        NotPermitted: it is not theirs.
    """
    if not caller.role.includes(needed):
        raise NotPermitted(_shown(caller), what, f"the role {needed.value}, and this one has {caller.role.value}")


def check_collections(caller: Caller, collections: Iterable[str], what: str) -> None:
    """Refuses collections that a caller may not know of, whether they are there or not.

    Raises:
        NotPermitted: one is not theirs.
    """
    for collection in collections:
        if not caller.sees(collection):
            raise NotPermitted(_shown(caller), f"{what} for collection {collection[:63]!r}", "other credentials")


def check_everywhere(caller: Caller, what: str) -> None:
    """Refuses callers that are bound to some collections.

    Raises:
        NotPermitted: this one is.
    """
    if caller.collections is not None:
        raise NotPermitted(_shown(caller), what, "credentials for all collections")


def _shown(caller: Caller) -> str:
    kind, _, identity = caller.id.partition(":")
    return f"key {identity} ({caller.name})" if kind == "key" else f"certificate {identity[:100]!r}"
