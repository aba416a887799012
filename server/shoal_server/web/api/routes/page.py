"""The page, what it is made of, and the description of the API."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from shoal_server.web.api.description import describe
from shoal_server.web.api.guarding import GuardedRoute

#: The page's files.
FOLDER = Path(__file__).parents[2] / "explorer"
#: What a page is made of; nothing else that may lie in the folder is served.
SUFFIXES = {".css", ".html", ".ico", ".js", ".json", ".mjs", ".png", ".svg", ".webmanifest", ".woff2"}

#: Asked for again each time, which costs little: a new version must not meet scripts of the one before.
_ASK_AGAIN = {"cache-control": "no-cache"}


def routes() -> APIRouter:
    """The routes."""
    router = APIRouter(route_class=GuardedRoute, include_in_schema=False)
    files = StaticFiles(directory=FOLDER)

    async def file(request: Request, path: str) -> Response:
        if PurePosixPath(path).suffix not in SUFFIXES:
            raise HTTPException(404)
        response = await files.get_response(path, request.scope)
        response.headers.update(_ASK_AGAIN)
        return response

    @router.get("/")
    async def page(request: Request) -> Response:
        return await file(request, "index.html")

    @router.get("/explorer/{path:path}")
    async def part(request: Request, path: str) -> Response:
        return await file(request, path)

    @router.get("/api/openapi.json")
    async def openapi(request: Request) -> JSONResponse:
        return JSONResponse(describe(request.app), headers=_ASK_AGAIN)

    return router
