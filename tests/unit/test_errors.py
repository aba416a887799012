"""Every domain error has a code, a reason of its own, and a message that helps."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.rpc import error_details_pb2

from shoal_server.domain import errors
from shoal_server.rpc.errors import CODES, code_of, status_of


def below(kind: type[errors.ShoalError]) -> Iterator[type[errors.ShoalError]]:
    for child in kind.__subclasses__():
        yield child
        yield from below(child)


LEAVES = [kind for kind in below(errors.ShoalError) if not kind.__subclasses__()]


def test_the_table_is_total() -> None:
    assert set(CODES) == set(errors.ShoalError.__subclasses__())


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_error_has_a_reason_and_stands_in_the_tree(kind: type[errors.ShoalError]) -> None:
    assert kind.reason != errors.ShoalError.reason
    assert kind.reason == kind.reason.upper()
    assert errors.__doc__ is not None
    assert f"── {kind.__name__}\n" in errors.__doc__


def test_reasons_are_unique() -> None:
    reasons = [kind.reason for kind in LEAVES]
    assert len(reasons) == len(set(reasons))


def test_a_domain_error_becomes_a_status_with_error_info() -> None:
    error = errors.ClusterNotFound("photos", 7)
    status = status_of(error)
    info = error_details_pb2.ErrorInfo()
    assert code_of(error) is grpc.StatusCode.NOT_FOUND
    assert status.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert "cluster 7" in status.message
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, info.metadata["cluster"]) == ("CLUSTER_NOT_FOUND", "shoal", "7")


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (errors.FetchUnavailable("https://host/a.jpg", "it took too long"), "FETCH_UNAVAILABLE", "host/a.jpg"),
        (errors.UploadStalled(60.0), "UPLOAD_STALLED", "within 60 s; send it again"),
    ],
)
def test_what_may_pass_is_told_from_what_never_will(error: errors.ShoalError, reason: str, words: str) -> None:
    assert code_of(error) is grpc.StatusCode.UNAVAILABLE
    assert code_of(errors.FetchFailed("https://host/a.jpg", "status 404")) is grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == reason
    assert words in error.message


def test_overload_says_when_to_try_again() -> None:
    retry = error_details_pb2.RetryInfo()
    assert status_of(errors.Overloaded("the queue", 0.5)).details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 500


def test_an_unknown_error_tells_nothing_of_itself() -> None:
    status = status_of(ValueError("secret path /home/x"))
    assert "secret" not in str(status)
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
