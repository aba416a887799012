"""Every domain error has a status code of HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

import pytest

from shoal_server.domain import errors
from shoal_server.web.api.errors import STATUSES, HttpProblem, answer, problem_of, status_of


def kinds(root: type[errors.ShoalError] = errors.ShoalError) -> Iterator[type[errors.ShoalError]]:
    """All classes below one."""
    for kind in root.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_the_table_is_total() -> None:
    second_level = set(errors.ShoalError.__subclasses__())
    assert second_level <= STATUSES.keys()
    for kind in kinds():
        assert 400 <= status_of(kind.__new__(kind)) < 600


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ClusterNotFound("photos", 1), 404),
        (errors.CollectionExists("photos"), 409),
        (errors.InvalidField("text", "is too long"), 400),
        (errors.FileTooLarge(5), 413),
        (errors.NotClustered("photos"), 409),
        (errors.StoreFull("images"), 507),
        (errors.RunInProgress("photos", "r"), 409),
        (errors.WrongCredentials("the key is not valid"), 401),
        (errors.NotPermitted("key a", "call b", "the role write"), 403),
        (errors.ModelBroken("m", "it hangs"), 503),
        (errors.ModelFailed("m"), 500),
    ],
)
def test_statuses(error: errors.ShoalError, status: int) -> None:
    found, problem = problem_of(error)
    assert (found, problem.reason, problem.message) == (status, error.reason, error.message)
    assert problem.metadata == error.metadata


def test_what_is_none_of_ours_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    status, problem = problem_of(RuntimeError("secret"))
    assert (status, problem.reason) == (HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL")
    assert "secret" not in problem.message
    assert problem.metadata["incident"] in caplog.text


def test_headers_that_say_what_to_do() -> None:
    assert answer(errors.WrongCredentials("no key")).headers["www-authenticate"] == "Bearer"
    assert answer(errors.Overloaded("the queue", 1.2)).headers["retry-after"] == "2"
    assert answer(errors.StoreUnavailable("Qdrant", "it is down")).headers["retry-after"] == "5"
    problem = HttpProblem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "NOT_JSON", "send JSON")
    assert answer(problem).status_code == 415
