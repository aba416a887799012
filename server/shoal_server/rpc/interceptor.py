"""Turns what a handler raises into a status, for unary and streaming handlers alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
from grpc_status import rpc_status

from shoal_server.rpc.errors import status_of


class TranslateErrors(grpc.aio.ServerInterceptor):
    """Every handler may raise domain errors; nothing else of an exception reaches the wire."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wraps the handler that would have been called."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        # Typed as for a synchronous server; in an asyncio server the behaviours are coroutines and async generators.
        behavior: Any
        if handler.response_streaming:
            behavior = handler.stream_stream if handler.request_streaming else handler.unary_stream
            translated: Any = _streaming(behavior)
        else:
            behavior = handler.stream_unary if handler.request_streaming else handler.unary_unary
            translated = _single(behavior)
        kinds = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }
        kind: Any = kinds[handler.request_streaming, handler.response_streaming]
        made: grpc.RpcMethodHandler[Any, Any] = kind(
            translated, handler.request_deserializer, handler.response_serializer
        )
        return made


def _single(behavior: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def translated(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await behavior(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - this is the boundary
            await _abort(context, error)

    return translated


def _streaming(behavior: Callable[[Any, Any], AsyncIterator[Any]]) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def translated(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        try:
            async for response in behavior(request, context):
                yield response
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - this is the boundary
            await _abort(context, error)

    return translated


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> NoReturn:
    await context.abort_with_status(rpc_status.to_status(status_of(error)))
    raise AssertionError("abort_with_status returned")
