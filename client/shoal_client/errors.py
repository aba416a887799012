"""Everything that the client raises.

    ShoalError
    ├── NotFound
    ├── AlreadyExists
    ├── InvalidArgument
    │   ├── OutOfRange
    │   ├── InvalidExpression        a filter in words that cannot be read; raised by the client itself
    │   ├── UnreadableFile           no bytes could be read; raised by the client itself
    │   └── FileTooLarge             does not fit into one message; raised by the client itself
    ├── FailedPrecondition
    │   └── ClientClosed             raised by the client itself
    ├── Aborted
    ├── ResourceExhausted
    ├── Unavailable
    ├── DeadlineExceeded
    ├── Unauthenticated
    ├── PermissionDenied
    ├── Cancelled
    ├── Unimplemented
    ├── InternalError
    │   └── DataLoss
    ├── ServerEnded                  the demo's own server; raised by the client itself
    └── MissingExtra                 a package that is optional is needed; raised by the client itself

Every error says what happened and what to do. ``reason`` is the name of the failure for programs and ``metadata`` the
failing input; both come from the server's ``google.rpc.ErrorInfo``. No exception of gRPC leaves the client; it stays
visible as ``__cause__``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status


class ShoalError(Exception):
    """Root of everything that the client raises.

    Attributes:
        message: what happened, for people.
        reason: what happened, for programs: UPPER_SNAKE_CASE, empty if the server gave none.
        metadata: the failing input.
    """

    def __init__(self, message: str, *, reason: str = "", metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))


class NotFound(ShoalError):
    """Something that was named does not exist."""


class AlreadyExists(ShoalError):
    """Something of that name exists already."""


class InvalidArgument(ShoalError):
    """The request can never succeed as it is."""


class OutOfRange(InvalidArgument):
    """Past the end of what there is."""


class InvalidExpression(InvalidArgument):
    """A filter in words cannot be read.

    Attributes:
        problem: what is wrong, and what can stand there.
        excerpt: the line of the expression that it is in.
        column: characters of the excerpt before the problem.
    """

    def __init__(self, problem: str, excerpt: str, column: int) -> None:
        super().__init__(f"{problem}\n  {excerpt}\n  {' ' * column}^", reason="INVALID_EXPRESSION")
        self.problem = problem
        self.excerpt = excerpt
        self.column = column


class UnreadableFile(InvalidArgument):
    """A file vanished, may not be read or is no regular file."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"the file can't be read: {problem}", reason="UNREADABLE_FILE", metadata={"path": path})


class FileTooLarge(InvalidArgument):
    """A file does not fit into one message."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"file is {_mebibytes(size)} MiB; the limit is {_mebibytes(limit)} MiB; raise SHOAL_MAX_MESSAGE_BYTES on "
            "both sides (max_message_bytes of a client in Python), or scale it down",
            reason="FILE_TOO_LARGE",
            metadata={"byte_size": str(size), "limit": str(limit)},
        )


class FailedPrecondition(ShoalError):
    """The request is fine, but the system is not in the state for it."""


class ClientClosed(FailedPrecondition):
    """The client was closed before."""

    def __init__(self) -> None:
        super().__init__("the client is closed; make a new one", reason="CLIENT_CLOSED")


class Aborted(ShoalError):
    """Somebody else's change came between; trying again makes sense."""


class ResourceExhausted(ShoalError):
    """The server is full, or a message is larger than one side takes; try later or send less."""


class Unavailable(ShoalError):
    """No server answers, or something it depends on does not."""


class DeadlineExceeded(ShoalError):
    """The answer took longer than the client's timeout."""


class Unauthenticated(ShoalError):
    """The server does not know who is asking."""


class PermissionDenied(ShoalError):
    """Whoever is asking may not do this."""


class Cancelled(ShoalError):
    """The call or the run was cancelled."""


class Unimplemented(ShoalError):
    """The server does not know this call: it is another version, or not Shoal."""


class InternalError(ShoalError):
    """The server failed; its log says why."""


class DataLoss(InternalError):
    """The server lost or damaged data."""


class ServerEnded(ShoalError):
    """The server that the demo started ended by itself.

    Attributes:
        log_tail: the last lines that it printed.
    """

    def __init__(self, exit_code: int, log: str, log_tail: str) -> None:
        super().__init__(
            f"the demo's server ended by itself with exit code {exit_code}",
            reason="SERVER_ENDED",
            metadata={"exit_code": str(exit_code), "log": log},
        )
        self.log_tail = log_tail


class MissingExtra(ShoalError):
    """Something needs packages that the base install leaves out."""


#: The exception for each status code; OK is no error, but a server that fails with OK is at fault itself.
BY_CODE: Mapping[grpc.StatusCode, type[ShoalError]] = MappingProxyType(
    {
        grpc.StatusCode.OK: InternalError,
        grpc.StatusCode.CANCELLED: Cancelled,
        grpc.StatusCode.UNKNOWN: InternalError,
        grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
        grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
        grpc.StatusCode.NOT_FOUND: NotFound,
        grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
        grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
        grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
        grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
        grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
        grpc.StatusCode.ABORTED: Aborted,
        grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
        grpc.StatusCode.INTERNAL: InternalError,
        grpc.StatusCode.UNAVAILABLE: Unavailable,
        grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
        grpc.StatusCode.DATA_LOSS: DataLoss,
    }
)

_CODE_BY_NUMBER: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def from_status(status: status_pb2.Status) -> ShoalError:
    """The exception for a ``google.rpc.Status``; a code that gRPC does not know becomes an InternalError."""
    code = _CODE_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    info = _error_info(status)
    return _build(code, status.message, info)


def from_rpc_error(error: grpc.RpcError, target: str) -> ShoalError:
    """The exception for a call that failed.

    Args:
        error: what gRPC raised.
        target: the server's address, for the message when nobody answers there.
    """
    # Every error that gRPC raises for a call has these methods of a call, though its type does not say so.
    call = cast("grpc.Call", error)
    try:
        status = rpc_status.from_call(call)
    except ValueError:  # the details contradict the status: trust the status
        status = None
    code = call.code()
    details = call.details() or ""
    info = None if status is None else _error_info(status)
    # Without ErrorInfo these two come from gRPC itself, whose text names sockets rather than what to do.
    if code is grpc.StatusCode.UNAVAILABLE and info is None and (problem := _tls_problem(details)):
        return Unavailable(
            f"no secure connection to {target}: {problem}",
            reason="TLS_FAILED",
            metadata={"target": target, "detail": details},
        )
    if code is grpc.StatusCode.UNAVAILABLE and info is None:
        return Unavailable(
            f"what answers at {target} ends the connection at once; if it speaks TLS, connect with it (--tls or "
            "--tls-ca, SHOAL_TLS_CA; tls=Tls() in Python), and with a certificate that it accepts if it asks for one "
            "(--client-cert; Tls(certificate=...))"
            if details.startswith("failed to connect") and any(end in details for end in _ENDED)
            else f"no Shoal server answers at {target}; start one with `shoal serve`, or name another (--server, "
            "SHOAL_SERVER; Client(target) in Python)",
            reason="NO_SERVER",
            metadata={"target": target, "detail": details},
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED and info is None:
        return DeadlineExceeded(
            f"the server at {target} did not answer in time; try again, or give the client a longer timeout",
            reason="TIMEOUT",
            metadata={"target": target},
        )
    return _build(code, details, info)


#: What gRPC says of a connection that was made and ended before it could be used.
_ENDED = ("Socket closed", "Connection reset by peer")


def _tls_problem(details: str) -> str | None:
    """What gRPC's text says about TLS, in other words; None if it is about something else."""
    if "WRONG_VERSION_NUMBER" in details:
        return (
            "whoever answers there does not speak TLS; leave out --tls, --tls-ca and SHOAL_TLS_CA (tls=... in Python), "
            "or check the port"
        )
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return (
            "its certificate is not signed by an authority that is trusted here, or is out of date; name the "
            "authority's file (--tls-ca, SHOAL_TLS_CA; tls=Tls(ca=...) in Python)"
        )
    if "Hostname Verification" in details or "is not in peer certificate" in details:
        return "its certificate is made out to another name; use the name that the certificate has"
    if "handshake failed" in details.lower():
        return f"the TLS handshake failed ({details[-200:]})"
    return None


def _build(code: grpc.StatusCode, message: str, info: error_details_pb2.ErrorInfo | None) -> ShoalError:
    text = message or f"the server failed with {code.name} and gave no reason"
    if info is None:
        return BY_CODE[code](text)
    request = info.metadata.get("request_id", "")
    if request and request not in text:
        # What whoever runs the server finds the reason by.
        text = f"{text} (request {request})"
    return BY_CODE[code](text, reason=info.reason, metadata=info.metadata)


def _error_info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo | None:
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info
    return None


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f}".removesuffix(".0")
