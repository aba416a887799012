"""What the routes of a topic are gathered in."""

from __future__ import annotations

from fastapi import APIRouter

from shoal_server.web.api.authorization import COLLECTION, PREFIX
from shoal_server.web.api.errors import ErrorAnswer
from shoal_server.web.api.guarding import GuardedRoute


def server_router(topic: str) -> APIRouter:
    """For routes about the server."""
    return APIRouter(
        prefix=PREFIX,
        route_class=GuardedRoute,
        tags=[topic],
        responses={"default": {"model": ErrorAnswer, "description": "A failure."}},
        generate_unique_id_function=lambda route: route.name,
    )


def collection_router(topic: str) -> APIRouter:
    """For routes about one collection."""
    router = server_router(topic)
    router.prefix = f"{PREFIX}/collections/{{{COLLECTION}}}"
    return router
