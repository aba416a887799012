"""The API in OpenAPI's words."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

_KEY = "api_key"
_FAILURE = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}}


def describe(app: FastAPI) -> dict[str, Any]:
    """What the framework knows of the routes, and how callers show who they are; made once."""
    if app.openapi_schema is None:
        described = FastAPI.openapi(app)
        described["components"]["securitySchemes"] = {
            _KEY: {
                "type": "http",
                "scheme": "bearer",
                "description": "A key that `shoal keys create` has made; not needed where the server has none.",
            }
        }
        described["security"] = [{_KEY: []}]
        for operation in (each for path in described["paths"].values() for each in path.values()):
            # The framework takes a failure for what the route answers with, be it a picture.
            operation["responses"]["default"]["content"] = _FAILURE
        app.openapi_schema = described
    return app.openapi_schema
