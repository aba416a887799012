"""The routes: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from shoal_server.application.vitals import Part
from shoal_server.domain.access import Role
from shoal_server.domain.errors import Forbidden, Overloaded, ShoalError, Unauthenticated

#: Lets a request through, by its ASGI scope and the role that the route needs, or raises a ShoalError.
Authorize = Callable[[Scope, Role], Awaitable[None]]

_STATUS: Mapping[type[ShoalError], int] = {Unauthenticated: 401, Forbidden: 403, Overloaded: 429}


async def anybody(scope: Scope, role: Role) -> None:
    """Lets everybody in."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What the routes show.

    Attributes:
        problems: what does not work at the moment.
        metrics: a page for Prometheus and its content type.
    """

    problems: Callable[[], Mapping[Part, str]]
    metrics: Callable[[], Awaitable[tuple[bytes, str]]]


def make_app(watched: Watched, authorize: Authorize = anybody) -> Starlette:
    """The application.

    ``/healthz`` and ``/readyz`` are for whoever keeps the server running and let everybody in; to those who may not
    read, ``/readyz`` says which parts do not work, but not why.

    Args:
        watched: what to show.
        authorize: asked for every request but those to ``/healthz``.
    """

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        problems = watched.problems()
        try:
            await authorize(request.scope, Role.READ)
            reasons = {part.value: problem for part, problem in problems.items()}
        except ShoalError:
            reasons = {part.value: "does not work" for part in problems}
        return JSONResponse(
            {"ready": not problems, "problems": reasons}, status_code=503 if problems else 200, headers=_NOT_KEPT
        )

    async def metrics(request: Request) -> Response:
        await authorize(request.scope, Role.READ)
        content, content_type = await watched.metrics()
        return Response(content, headers={"content-type": content_type, **_NOT_KEPT})

    routes = [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]
    return Starlette(routes=routes, exception_handlers={ShoalError: _refuse})


_NOT_KEPT = {"cache-control": "no-store"}


async def _refuse(request: Request, error: Exception) -> Response:
    if not isinstance(error, ShoalError):
        raise error
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse({"error": error.message, "reason": error.reason}, status_code=status, headers=headers)
