"""The client's exceptions: the table is total, the tree in the docstring is the tree of the classes."""

from __future__ import annotations

import inspect
import re

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

import shoal_client
from shoal_client import errors

CLASSES = {
    name: cls
    for name, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, errors.ShoalError) and cls.__module__ == errors.__name__
}


def test_every_status_code_has_an_exception() -> None:
    assert set(errors.BY_CODE) == set(grpc.StatusCode)


def test_every_exception_is_exported() -> None:
    assert set(CLASSES) <= set(shoal_client.__all__)
    assert all(hasattr(shoal_client, name) for name in shoal_client.__all__)


def test_the_tree_is_drawn_as_it_is() -> None:
    """Each line's depth says whose child it is."""
    path: list[str] = []
    drawn: dict[str, str | None] = {}
    for line in (errors.__doc__ or "").splitlines():
        if (match := re.match(r"    ((?:│   |    )*(?:[├└]── )?)([A-Z]\w+)", line)) is not None:
            depth = len(match[1]) // 4
            del path[depth:]
            drawn[match[2]] = path[-1] if path else None
            path.append(match[2])
    assert drawn == {
        name: None if cls is errors.ShoalError else cls.__bases__[0].__name__ for name, cls in CLASSES.items()
    }


@given(st.integers(-5, 40), st.text(max_size=20))
def test_every_status_becomes_an_exception(code: int, message: str) -> None:
    status = status_pb2.Status(code=code, message=message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="WHY", metadata={"a": "b"}))
    error = errors.from_status(status)
    assert (error.reason, error.metadata) == ("WHY", {"a": "b"})
    assert error.message == str(error)
    assert error.message


@pytest.mark.parametrize("code", grpc.StatusCode)
def test_every_call_that_fails_becomes_an_exception(code: grpc.StatusCode) -> None:
    none = grpc.aio.Metadata()
    error = errors.from_rpc_error(grpc.aio.AioRpcError(code, none, none, "details"), "host:1")
    assert type(error) is errors.BY_CODE[code]


def test_details_that_contradict_the_status_are_not_believed() -> None:
    wrong = status_pb2.Status(code=5, message="no").SerializeToString()
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", wrong))
    error = errors.from_rpc_error(
        grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), trailing, "details"), "host:1"
    )
    assert (type(error), error.message) == (errors.InternalError, "details")


def test_file_too_large_says_how_large() -> None:
    assert errors.FileTooLarge(70 * 2**20 + 2**19, 64 * 2**20).message == (
        "file is 70.5 MiB; the limit is 64 MiB; raise SHOAL_MAX_MESSAGE_BYTES on both sides (max_message_bytes "
        "of a client in Python), or scale it down"
    )
