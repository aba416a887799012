"""What a call is refused with, and how the local mode's errors become a server's."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import grpc

#: HTTP statuses of what REST answers.
HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
}

_NO_COLLECTION = re.compile(r"Collection (?P<name>.+) not found")
_SUCH_COLLECTION = re.compile(r"(Collection|Alias) (?P<name>.+) already exists")


class Refused(Exception):
    """A call that is answered with an error.

    Attributes:
        status: of gRPC.
        message: for whoever called.
        retry_after_s: told in the trailing metadata, None for not.
    """

    def __init__(self, status: grpc.StatusCode, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s


def not_understood(what: str) -> Refused:
    """For what the stand-in does not do as a server would."""
    return Refused(grpc.StatusCode.UNIMPLEMENTED, f"the stand-in does not understand {what}")


@contextlib.contextmanager
def as_a_server() -> Iterator[None]:
    """Turns what the local mode raises into what a server answers."""
    try:
        yield
    except KeyError as error:
        # The local mode raises the first id that it does not have, when all others are written, as a server does.
        message = f"Not found: No point with id {error.args[0]} found"
        raise Refused(grpc.StatusCode.NOT_FOUND, message) from error
    except NotImplementedError as error:
        raise not_understood(str(error)) from error
    except (ValueError, AssertionError) as error:
        text = str(error)
        if found := _NO_COLLECTION.fullmatch(text):
            message = f"Not found: Collection `{found['name']}` doesn't exist!"
            raise Refused(grpc.StatusCode.NOT_FOUND, message) from error
        if found := _SUCH_COLLECTION.fullmatch(text):
            message = f"Wrong input: Collection `{found['name']}` already exists!"
            raise Refused(grpc.StatusCode.ALREADY_EXISTS, message) from error
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"Wrong input: {text}") from error
