"""The application: routes behind a guard, behind a shield."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from shoal_server.web.api.errors import refuse
from shoal_server.web.api.guarding import Guard
from shoal_server.web.api.routes import (
    clusters,
    corrections,
    duplicates,
    export,
    finding,
    images,
    page,
    runs,
    server,
)
from shoal_server.web.api.use_cases import UseCases
from shoal_server.web.shield import Shield


@dataclass(frozen=True, slots=True)
class Reached:
    """How the server is reached.

    Attributes:
        loopback: from this machine only.
        names: hosts that it is reached by besides, for instance that of a proxy before it.
    """

    loopback: bool
    names: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page is told of the server's settings.

    Attributes:
        version: of Shoal.
        max_file_bytes: of an image.
        keeps_originals: whether new images' files are kept.
    """

    version: str
    max_file_bytes: int
    keeps_originals: bool


def make_api(use: UseCases, guard: Guard, facts: Facts, reached: Reached) -> ASGIApp:
    """The explorer.

    Args:
        use: the use cases.
        guard: before every route.
        facts: about the server.
        reached: how.
    """
    return Shield(bare_app(use, guard, facts), loopback=reached.loopback, names=reached.names)


def bare_app(use: UseCases, guard: Guard, facts: Facts) -> FastAPI:
    """All routes, without the shield."""
    app = FastAPI(
        title="Shoal",
        summary="Named, stable clusters of images.",
        description="What the explorer calls: the use cases of the gRPC API, with the same API keys, roles and limits. "
        "An API key goes into the header Authorization: Bearer KEY.",
        version=facts.version,
        # Served by a route with a rule; the pages that show it would load scripts from elsewhere.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={HTTPException: refuse, Exception: refuse},
    )
    app.state.guard = guard
    for router in _routers(use, facts):
        # The routes themselves, and not a router that stands for them: the tests go through what is served.
        app.router.routes.extend(router.routes)
    return app


def _routers(use: UseCases, facts: Facts) -> list[APIRouter]:
    topics: list[Any] = [images, finding, clusters, corrections, runs, duplicates, export]
    return [
        page.routes(),
        server.routes(use, facts.max_file_bytes, facts.keeps_originals),
        *(topic.routes(use) for topic in topics),
    ]
