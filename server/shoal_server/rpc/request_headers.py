"""The header that carries a call's request id, in both directions."""

from __future__ import annotations

from shoal_server.application.log_context import request_id

REQUEST_ID_HEADER = "x-request-id"


def answer_headers() -> tuple[tuple[str, str], ...]:
    """What the answer to this task's call says of it; belongs into the trailing metadata of every call."""
    identity = request_id()
    return ((REQUEST_ID_HEADER, identity),) if identity else ()
