"""From errors to HTTP: one total table, and one form of answer."""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Mapping
from http import HTTPStatus

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from shoal_server.application.log_context import request_id
from shoal_server.domain import errors

_log = logging.getLogger(__name__)

#: Every kind of failure (the second level of the error tree), and the few that HTTP has a word of its own for.
STATUSES: Mapping[type[errors.ShoalError], HTTPStatus] = {
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.AlreadyExists: HTTPStatus.CONFLICT,
    errors.Invalid: HTTPStatus.BAD_REQUEST,
    errors.FileTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.Precondition: HTTPStatus.CONFLICT,
    errors.StoreFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.Overloaded: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Failed: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class HttpProblem(Exception):
    """A request that HTTP itself has a word for, before Shoal has a look at it.

    Attributes:
        status: of the answer.
        reason: UPPER_SNAKE_CASE name of the failure for programs.
        message: what happened and what to do next.
    """

    def __init__(self, status: HTTPStatus, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


class Problem(BaseModel):
    """A failure: ``reason`` is for programs and never changes, ``message`` for people."""

    reason: str
    message: str
    metadata: dict[str, str] = {}


class ErrorAnswer(BaseModel):
    """What every request that fails is answered with."""

    error: Problem


def status_of(error: errors.ShoalError) -> HTTPStatus:
    """The status code of a domain error."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def problem_of(error: Exception) -> tuple[HTTPStatus, Problem]:
    """Any exception. What is none of ours says nothing but the id under which it was logged."""
    if isinstance(error, errors.ShoalError):
        metadata = error.metadata
        if isinstance(error, errors.Failed) and request_id():
            # The log has the reason, under this id.
            metadata = {**metadata, "request_id": request_id()}
        return status_of(error), Problem(reason=error.reason, message=error.message, metadata=metadata)
    if isinstance(error, HttpProblem):
        return error.status, Problem(reason=error.reason, message=error.message)
    incident = request_id() or secrets.token_hex(4)
    _log.error("internal error %s", incident, exc_info=error)
    return HTTPStatus.INTERNAL_SERVER_ERROR, Problem(
        reason="INTERNAL",
        message=f"internal error {incident}; the server's log has the details under that id",
        metadata={"incident": incident},
    )


def answer(error: Exception) -> JSONResponse:
    """The answer to a request that failed."""
    status, problem = problem_of(error)
    headers = {"cache-control": "no-store"}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    wait = getattr(error, "retry_after_s", None)
    if wait is not None:
        headers["retry-after"] = str(math.ceil(wait))
    return JSONResponse(ErrorAnswer(error=problem).model_dump(), status_code=status, headers=headers)


async def refuse(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request for what there is not, as the framework tells it."""
    if isinstance(error, RequestValidationError):
        return answer(_invalid(error))
    if isinstance(error.__cause__, HttpProblem):
        # The framework reads bodies, and takes whatever goes wrong there for broken JSON.
        return answer(error.__cause__)
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        status = HTTPStatus(error.status_code)
        response = answer(HttpProblem(status, *_PROBLEMS.get(status, (status.name, str(error.detail)))))
        response.headers.update(error.headers or {})
        return response
    return answer(error)


_PROBLEMS = {
    HTTPStatus.NOT_FOUND: ("NO_SUCH_PATH", "there is nothing at this path; /api/openapi.json lists what there is"),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "METHOD_NOT_ALLOWED",
        "this path does not take that method; /api/openapi.json lists what there is",
    ),
    HTTPStatus.BAD_REQUEST: ("INVALID_BODY", "the body is no JSON that can be read; send an object in UTF-8"),
}


def _invalid(error: RequestValidationError) -> errors.ShoalError:
    """The first of what is wrong, in the words of all other errors."""
    first = error.errors()[0]
    # Where it was found: the body, the query or the path; people know that.
    place = [str(each) for each in first["loc"] if each not in ("body", "query", "path")]
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "there is no such field; /api/openapi.json lists those there are"
    elif first["type"] == "json_invalid":
        place, message = ["body"], "is no JSON that can be read; send an object in UTF-8"
    return errors.InvalidField(".".join(place)[:200] or "body", message[:500])
