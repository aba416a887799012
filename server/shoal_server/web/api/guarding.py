"""Lets a request through to its route only if the caller may make it, and puts on record what was changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from shoal_server.application.access import Access, check_collections, check_role, key_in
from shoal_server.application.audit import AuditEntry, AuditTrail
from shoal_server.application.caller import CALLER, calling
from shoal_server.application.limits import CallerLimits
from shoal_server.application.log_context import note, request_id, request_id_of
from shoal_server.application.telemetry import Meter, Tracer
from shoal_server.domain.access import Caller, Role, network_of
from shoal_server.domain.errors import ShoalError
from shoal_server.web.api.authorization import COLLECTION, RULES, Rule
from shoal_server.web.api.bodies import Bodies
from shoal_server.web.api.errors import answer, refuse

#: The header that carries a request's id, in both directions.
REQUEST_ID_HEADER = "x-request-id"
#: What requests count as, beside the services of gRPC.
SERVICE = "http"

#: An answer that took longer gets a line in the log, whatever it was.
SLOW_S = 1.0

#: Where a request keeps the id of the collection that its body names.
_NAMED = "shoal.collection"

_log = logging.getLogger("shoal_server.access")

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class GuardedRoute(APIRoute):
    """A route with a rule: one that has none cannot be made."""

    def get_route_handler(self) -> Handler:
        """Puts the guard before the route."""
        [method] = list(self.methods or ())
        rule = RULES[method, self.path_format]
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            guard: Guard = request.app.state.guard
            return await guard.answer(request, rule, f"{method} {self.path_format}", handler)

        return guarded


@dataclass(slots=True)
class _Call:
    """A request under way.

    Attributes:
        caller: who makes it; None until they are known.
        status: of the answer.
    """

    caller: Caller | None = None
    status: int = HTTPStatus.INTERNAL_SERVER_ERROR


class Guard:
    """Authentication, limits, authorization, the record and the numbers, around every route."""

    def __init__(
        self,
        access: Access,
        limits: CallerLimits,
        trail: AuditTrail,
        meter: Meter,
        tracer: Tracer,
        bodies: Bodies,
    ) -> None:
        """Args:
        access: knows the callers.
        limits: counts what they ask for.
        trail: the record.
        meter: told of every request.
        tracer: has a span for every request.
        bodies: lets them in.
        """
        self._access = access
        self._limits = limits
        self._trail = trail
        self._meter = meter
        self._tracer = tracer
        self._bodies = bodies

    async def answer(self, request: Request, rule: Rule, route: str, handler: Handler) -> Response:
        """The answer of a route, or of the guard in its place."""
        note(request_id=request_id_of(request.headers.get(REQUEST_ID_HEADER)))
        async with AsyncExitStack() as stack:
            call = stack.enter_context(self._observed(request, rule, route))
            with self._tracer.call(SERVICE, route, request.headers) as tell_code:
                try:
                    caller = call.caller = self._known(request, rule)
                    self._check(caller, request, rule)
                    CALLER.set(caller)
                    if rule.streams:
                        stack.enter_context(self._limits.stream(caller.id))
                    limited = await stack.enter_async_context(self._bodies.let_in(request, rule.body))
                    response = await handler(limited)
                except ShoalError as error:
                    response = answer(error)
                except Exception as error:  # noqa: BLE001 - this is the boundary
                    response = await refuse(request, error)
                call.status = response.status_code
                tell_code(HTTPStatus(call.status).name)
            response.headers[REQUEST_ID_HEADER] = request_id()
            return _Sent(response, stack.pop_all(), self._access, call.caller if rule.streams else None)

    def _known(self, request: Request, rule: Rule) -> Caller:
        """Who calls, and does not call too often.

        Raises:
            WrongCredentials: nobody that is known.
            Overloaded: they have had as many calls as may be.
        """
        address = _address(request)
        if rule.role is None:
            return Caller(f"address:{address}", "anyone", Role.READ, frozenset(), authenticated=False)
        given = request.headers.get("authorization")
        certificate = request.scope.get("state", {}).get("certificate")
        caller = self._access.identify(None if given is None else key_in(given), certificate, address)
        self._limits.admit(caller.id)
        return caller

    def _check(self, caller: Caller, request: Request, rule: Rule) -> None:
        """Refuses what is not the caller's to do.

        Raises:
            NotPermitted: it is not.
        """
        if rule.role is None:
            return
        what = _what(request)
        check_role(caller, rule.role, what)
        if (collection := request.path_params.get(COLLECTION)) is not None:
            check_collections(caller, (collection,), what)

    @contextmanager
    def _observed(self, request: Request, rule: Rule, route: str) -> Iterator[_Call]:
        began = time.monotonic()
        self._meter.call_began(SERVICE, route)
        call = _Call()
        try:
            yield call
        finally:
            seconds = time.monotonic() - began
            outcome = HTTPStatus(call.status).name
            self._meter.call_ended(SERVICE, route, outcome, seconds)
            self._tell(route, rule, call.status, seconds)
            if rule.recorded and call.caller is not None:
                collection = request.path_params.get(COLLECTION) or request.scope.get(_NAMED)
                self._trail.record(
                    AuditEntry(
                        time=datetime.now(UTC),
                        caller=call.caller.id,
                        name=call.caller.name,
                        address=_address(request),
                        method=route,
                        collections=() if collection is None else (collection[:63],),
                        outcome=outcome,
                        request=request_id(),
                        seconds=seconds,
                    )
                )

    @staticmethod
    def _tell(route: str, rule: Rule, status: int, seconds: float) -> None:
        """One line a request: at INFO if it changed something, failed or was slow, as for gRPC."""
        turned_away = status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)
        slow = seconds > SLOW_S and not rule.streams
        failed = status >= HTTPStatus.BAD_REQUEST and rule.role is not None
        level = logging.INFO if (slow or failed or rule.recorded) and not turned_away else logging.DEBUG
        if _log.isEnabledFor(level):
            fields = {"http_route": route, "http_status": status, "seconds": round(seconds, 6)}
            _log.log(level, "%s %d in %.3f s", route, status, seconds, extra={"fields": fields})


class _Sent(Response):
    """An answer on its way: what was held for the request is let go of when it is sent, or nobody reads it any more."""

    def __init__(self, response: Response, held: AsyncExitStack, access: Access, caller: Caller | None) -> None:
        """Args:
        response: the answer.
        held: closed at the end.
        access: asked before each part whether the caller's credentials still hold.
        caller: of an answer in parts; None: it is not looked at again.
        """
        self._response = response
        self._held = held
        self._access = access
        self._caller = caller
        self.status_code = response.status_code
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""

        async def checked(message: Message) -> None:
            if self._caller is not None and self._caller.id and message["type"] == "http.response.body":
                self._access.check_still(self._caller)
            await send(message)

        async with self._held:
            await self._response(scope, receive, checked)


def check_named(request: Request, collection: str) -> None:
    """Puts on record which collection a body names, and refuses it if it is not the caller's.

    Raises:
        NotPermitted: it is not.
    """
    request.scope[_NAMED] = collection
    check_collections(calling(), (collection,), _what(request))


def _what(request: Request) -> str:
    return f"{request.method} {request.url.path[:200]}"


def _address(request: Request) -> str:
    return "" if request.client is None else network_of(request.client.host)
