"""Lets a call through to its handler only if the caller may make it, and puts on record what was changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError

from shoal_server.application.access import Access, check_role, key_in
from shoal_server.application.audit import AuditEntry, AuditTrail
from shoal_server.application.caller import CALLER
from shoal_server.application.limits import CallerLimits, Share
from shoal_server.application.log_context import request_id
from shoal_server.domain.access import Caller, Role, network_of
from shoal_server.domain.errors import InvalidField, NotPermitted, ShoalError, WrongCredentials
from shoal_server.rpc.authorization import MAX_NOTED, RULES, Rule, check_request, collections_of
from shoal_server.rpc.errors import code_of
from shoal_server.rpc.interceptor import Context, Handler, OncePerMethod, Single, Streaming, abort, around, unread

#: Where a certificate says who its owner is, the best first.
_SUBJECTS = ("x509_common_name", "x509_subject_alternative_name", "x509_subject")

#: Seconds that gRPC may take to say that a caller has left.
LEAVING_S = 0.1


class Guard(grpc.aio.ServerInterceptor):
    """Authentication, limits, authorization and the record, in this order, around every handler."""

    def __init__(self, access: Access, limits: CallerLimits, trail: AuditTrail, *, certificates: bool = False) -> None:
        """Args:
        access: knows the callers.
        limits: counts what they ask for.
        trail: the record.
        certificates: clients show certificates, and they were verified.
        """
        self._access = access
        self._limits = limits
        self._trail = trail
        self._certificates = certificates
        self._guarding = OncePerMethod(self._around)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wraps the handler that would have been called."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        rule = RULES.get(method)
        if rule is None or (
            rule.role is not None and not self._access.knows(_key(handler_call_details.invocation_metadata))
        ):
            # Before the request is read: strangers must not fill the memory with those that come to nothing.
            return unread(handler, partial(_refuse, self._beginning(method, handler)))
        return self._guarding(method, handler)

    def _beginning(self, method: str, handler: Handler) -> _Begin:
        return partial(self._admitted, method, handler.request_streaming or handler.response_streaming)

    def _around(self, method: str, handler: Handler) -> Handler:
        begin = self._beginning(method, handler)
        unread = not handler.request_streaming
        requested: _Requests = _stream
        if unread:
            parse: Any = handler.request_deserializer
            requested = partial(_single_request, parse)
        return around(handler, partial(_single, begin, requested), partial(_streaming, begin, requested), unread=unread)

    @contextmanager
    def _admitted(self, method: str, streams: bool, context: Context) -> Iterator[_Call]:
        """A call that its caller may make, as far as can be said without the request.

        Raises:
            ShoalError: it is refused.
        """
        began = time.monotonic()
        rule = RULES.get(method)
        short = f"call {method.rpartition('.')[2]}"
        if rule is None:
            raise NotPermitted("nobody", short, "a rule for it, which this version of Shoal lacks")
        address = address_of(context.peer())
        if rule.role is None:
            caller = Caller(f"address:{address}", "anyone", Role.READ, frozenset(), authenticated=False)
            # Who is in need of health checks does not wait for what else comes from there.
            whose = f"stranger:{address}"
        else:
            certificate = _subject(context) if self._certificates else None
            caller = self._access.identify(_key(context.invocation_metadata()), certificate, address)
            self._limits.admit(caller.id)
            whose = caller.id
        call = _Call(self._access, caller, rule, short)
        record = partial(self._record, call, method, address, began) if rule.recorded else None
        outcome = grpc.StatusCode.OK.name
        try:
            if rule.role is not None:
                check_role(caller, rule.role, short)
            CALLER.set(caller)
            with self._limits.call(whose) as call.share:
                try:
                    if not streams:
                        yield call
                    else:
                        call.begun = record
                        with self._limits.stream(caller.id):
                            yield call
                finally:
                    call.share.room.give_back(call.room)
        except ShoalError as error:
            outcome = code_of(error).name
            raise
        except grpc.aio.AbortError:
            outcome = _code(context)
            raise
        except BaseException:
            # The caller left, or the server ends.
            outcome = grpc.StatusCode.CANCELLED.name
            raise
        finally:
            if record is not None:
                record(outcome)

    def _record(self, call: _Call, method: str, address: str, began: float, outcome: str) -> None:
        self._trail.record(
            AuditEntry(
                time=datetime.now(UTC),
                caller=call.caller.id,
                name=call.caller.name,
                address=address,
                method=method.removeprefix("/"),
                collections=call.collections,
                outcome=outcome,
                request=request_id(),
                seconds=time.monotonic() - began,
            )
        )


@dataclass(slots=True)
class _Call:
    """A call that was let in.

    Attributes:
        access: knows whether the caller's credentials still hold.
        caller: who makes it.
        rule: what it needs.
        what: the method, for messages.
        share: what its caller has of the server.
        room: how much of it this call's message has.
        collections: that its first message named.
        begun: puts on record that it has begun; None if it is no stream, or not on record.
    """

    access: Access
    caller: Caller
    rule: Rule
    what: str
    share: Share = field(init=False)
    room: int = 0
    collections: tuple[str, ...] = ()
    begun: Callable[[str], None] | None = None
    _first: bool = field(default=True)

    def check(self, request: Any) -> Any:
        """A message of the caller's, if it may be answered.

        Raises:
            ShoalError: it may not.
        """
        first, self._first = self._first, False
        if first and self.rule.recorded:
            self.collections = collections_of(self.rule, request)[:MAX_NOTED]
        if not first:
            self.access.check_still(self.caller)
        check_request(self.rule, self.caller, request, self.what, first=first)
        if first and self.begun is not None:
            self.begun("BEGUN")
        return request


_Begin = Callable[[Context], Any]


async def _refuse(begin: _Begin, context: Context) -> None:
    try:
        with begin(context):
            # The key has come to be known since.
            raise WrongCredentials("the call came before its API key was known; make it again")
    except ShoalError as error:
        await abort(context, error)


#: What a handler is given: the request, or the iterator of requests, once the caller may make the call.
_Requests = Callable[[_Call, Any, Context], Awaitable[Any]]


class _messages:  # noqa: N801 - stands for a function
    """The messages of a stream, each looked at before the handler has it."""

    def __init__(self, call: _Call, requests: AsyncIterator[Any]) -> None:
        self._call, self._requests = call, aiter(requests)

    def __aiter__(self) -> _messages:
        return self

    async def __anext__(self) -> Any:
        return self._call.check(await anext(self._requests))


async def _stream(call: _Call, requests: AsyncIterator[Any], context: Context) -> _messages:
    return _messages(call, requests)


async def _single_request(
    parse: Callable[[bytes], Any], call: _Call, requests: AsyncIterator[Any], context: Context
) -> Any:
    """The only message of a call, read when it is its turn among those of its caller.

    Raises:
        InvalidField: it does not come, or is none of this method's.
    """
    async with call.share.reading:
        content: Any = await context.read()
        if content is not grpc.aio.EOF:
            await call.share.room.take(len(content))
            call.room = len(content)
    if content is grpc.aio.EOF:
        # So it looks as well when the caller leaves, just before the call is cancelled.
        await asyncio.sleep(LEAVING_S)
        raise InvalidField("request", "is missing: the call has no message")
    try:
        request = parse(content)
    except DecodeError:
        raise InvalidField("request", "its bytes are none of the message that this method takes") from None
    return call.check(request)


def _single(begin: _Begin, requested: _Requests, behavior: Single) -> Single:
    async def guarded(requests: Any, context: Context) -> Any:
        try:
            with begin(context) as call:
                return await behavior(await requested(call, requests, context), context)
        except ShoalError as error:
            await abort(context, error)

    return guarded


def _streaming(begin: _Begin, requested: _Requests, behavior: Streaming) -> Streaming:
    async def guarded(requests: Any, context: Context) -> AsyncIterator[Any]:
        try:
            with begin(context) as call:
                # What the handlers are declared as does not say that they are generators.
                responses: Any = behavior(await requested(call, requests, context), context)
                async with aclosing(responses):
                    async for response in responses:
                        if call.rule.role is not None:
                            call.access.check_still(call.caller)
                        yield response
        except ShoalError as error:
            await abort(context, error)

    return guarded


@lru_cache(maxsize=4096)
def address_of(peer: str) -> str:
    """Where a call comes from, without its port, as :func:`network_of` has it.

    Args:
        peer: as gRPC tells it, for instance ``ipv4:192.0.2.1:4711`` or ``ipv6:%5B::1%5D:4711``.
    """
    family, _, rest = peer.partition(":")
    if family not in ("ipv4", "ipv6"):
        return family
    host = unquote(rest).rpartition(":")[0].strip("[]")
    return network_of(host) or peer[:80]


def _key(metadata: Iterable[tuple[str, str | bytes]] | None) -> str | None:
    """The API key in a call's metadata."""
    for name, value in metadata or ():
        if name == "authorization":
            return key_in(value) if isinstance(value, str) else ""
    return None


def _subject(context: Context) -> str | None:
    """Who the caller's certificate is made out to."""
    properties = context.auth_context()
    for name in _SUBJECTS:
        for value in properties.get(name) or ():
            text = value.decode("utf-8", "replace")
            return "".join(each for each in text if each.isprintable())[:100]
    return None


def _code(context: Context) -> str:
    """The name of the status that a call was ended with."""
    code: Any = context.code()
    for status in grpc.StatusCode:
        if code is status or code == status.value[0]:
            return status.name
    return grpc.StatusCode.UNKNOWN.name
