"""Around every call of gRPC: the API key, faults, refusals."""

from __future__ import annotations

import hmac
import traceback
from collections.abc import Callable
from typing import Any

import grpc

from tests.standin.faults import Calls
from tests.standin.refusals import Refused

#: Answered to anybody, as by a server.
_OPEN = "/qdrant.Qdrant/HealthCheck"


def check_key(wanted: str | None, given: str | None, authorization: str | None) -> None:
    """Raises:
    Refused: the key is needed, and it is not this one.
    """
    if wanted is None:
        return
    key = given or (authorization or "").removeprefix("Bearer ") or None
    if key is None:
        problem = "Must provide an API key or an Authorization bearer token"
        raise Refused(grpc.StatusCode.UNAUTHENTICATED, problem)
    if not hmac.compare_digest(key.encode(), wanted.encode()):
        raise Refused(grpc.StatusCode.UNAUTHENTICATED, "Invalid API key or JWT")


class Guard(grpc.ServerInterceptor):
    """Counts, refuses and delays calls before and after the services have them."""

    def __init__(self, calls: Calls, api_key: str | None) -> None:
        self._calls = calls
        self._api_key = api_key

    def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """The handler of a call, with what is around it."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        path = handler_call_details.method
        metadata = {key: str(value) for key, value in handler_call_details.invocation_metadata}

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                if path != _OPEN:
                    check_key(self._api_key, metadata.get("api-key"), metadata.get("authorization"))
                try:
                    after = self._calls.begin(path.removeprefix("/qdrant.").replace("/", "."), request)
                    response = handler.unary_unary(request, context)
                finally:
                    self._calls.end()
                if after is not None:
                    raise after
                return response
            except Refused as refused:
                if refused.retry_after_s is not None:
                    context.set_trailing_metadata((("retry-after", str(refused.retry_after_s)),))
                context.abort(refused.status, refused.message)
            except NotImplementedError as error:
                context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the stand-in does not have {path}: {error}")
            except Exception as error:  # noqa: BLE001 - the client is told, as by a server
                traceback.print_exc()
                context.abort(grpc.StatusCode.INTERNAL, f"Service internal error: {type(error).__name__}")

        return grpc.unary_unary_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)
