"""From domain errors to gRPC statuses: one total table, always with ``google.rpc.ErrorInfo``."""

from __future__ import annotations

import logging
import secrets

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

from shoal_server.application.log_context import request_id
from shoal_server.domain import errors

_log = logging.getLogger(__name__)

DOMAIN = "shoal"
MAX_MESSAGE = 1500
MAX_METADATA = 300

#: Every kind of failure (the second level of the error tree) and its code.
CODES: dict[type[errors.ShoalError], grpc.StatusCode] = {
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.Invalid: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Precondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Conflict: grpc.StatusCode.ABORTED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Failed: grpc.StatusCode.INTERNAL,
}


def code_of(error: errors.ShoalError) -> grpc.StatusCode:
    """The status code of a domain error."""
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


def status_of(error: Exception) -> status_pb2.Status:
    """Any exception as a status. What is not a domain error says nothing but the id under which it was logged."""
    if isinstance(error, errors.ShoalError):
        metadata = error.metadata
        if isinstance(error, errors.Failed) and request_id():
            # The log has the reason, under this id.
            metadata = {**metadata, "request_id": request_id()}
        return shoal_status(code_of(error), error.message, error.reason, metadata, _retry_after(error))
    incident = request_id() or secrets.token_hex(4)
    _log.error("internal error %s", incident, exc_info=error)
    return shoal_status(
        grpc.StatusCode.INTERNAL,
        f"internal error {incident}; the server's log has the details under that id",
        "INTERNAL",
        {"incident": incident},
    )


def shoal_status(
    code: grpc.StatusCode, message: str, reason: str, metadata: dict[str, str], retry_after_s: float | None = None
) -> status_pb2.Status:
    """A status with ErrorInfo, and RetryInfo if there is a time to wait."""
    # A status travels in HTTP/2 headers, whose size is limited; what callers sent may stand in it.
    status = status_pb2.Status(code=code_pb2.Code.Value(code.name), message=message[:MAX_MESSAGE])
    short = {name: value[:MAX_METADATA] for name, value in metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=short)
    status.details.append(_packed(info))
    if retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(retry_after_s * 1000))
        status.details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status


def _retry_after(error: errors.ShoalError) -> float | None:
    return error.retry_after_s if isinstance(error, errors.Overloaded | errors.StoreUnavailable) else None


def _packed(message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
