"""Turns what a handler raises into a status, for unary and streaming handlers alike."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, NoReturn, TypeAlias

import grpc
from grpc_status import rpc_status

from shoal_server.rpc.errors import status_of
from shoal_server.rpc.request_headers import answer_headers

#: https://github.com/grpc/proposal/blob/master/A6-client-retries.md#pushback
_NO_REPETITION = ("grpc-retry-pushback-ms", "-1")

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
#: A handler with one answer: from the request, or the iterator of requests, and the context.
Single = Callable[[Any, Context], Awaitable[Any]]
#: A handler with many answers.
Streaming = Callable[[Any, Context], AsyncIterator[Any]]

_KINDS: dict[tuple[bool, bool], Any] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def around(
    handler: Handler,
    single: Callable[[Single], Single],
    streaming: Callable[[Streaming], Streaming],
    *,
    unread: bool = False,
) -> Handler:
    """The same handler with something around what it does.

    Args:
        handler: any of the four kinds.
        single: goes around one that is a coroutine: it has a single answer, or writes many to the context.
        streaming: goes around one that yields many.
        unread: what goes around has a single request unread, and reads its bytes from the context. gRPC would read it
            to its end before it calls the handler; on the wire it is the same.
    """
    # Typed as for a synchronous server; in an asyncio server the behaviours are coroutines and async generators.
    behavior: Any
    if handler.response_streaming:
        behavior = handler.stream_stream if handler.request_streaming else handler.unary_stream
    else:
        behavior = handler.stream_unary if handler.request_streaming else handler.unary_unary
    # A handler with many answers may also be a coroutine that writes them to the context, as the health service's is.
    wrapped: Any = streaming(behavior) if inspect.isasyncgenfunction(behavior) else single(behavior)
    kind = _KINDS[handler.request_streaming or unread, handler.response_streaming]
    made: Handler = kind(wrapped, None if unread else handler.request_deserializer, handler.response_serializer)
    return made


class OncePerMethod:
    """What an interceptor makes of the handlers: made at a method's first call, and the same at all others."""

    def __init__(self, make: Callable[[str, Handler], Handler]) -> None:
        """Args:
        make: from a method's full name and its handler.
        """
        self._make = make
        self._made: dict[str, tuple[Handler, Handler]] = {}

    def __call__(self, method: str, handler: Handler) -> Handler:
        """What stands for a handler of a method that there is."""
        known = self._made.get(method)
        if known is None or known[0] is not handler:
            known = self._made[method] = (handler, self._make(method, handler))
        return known[1]


def unread(handler: Handler, answer: Callable[[Context], Awaitable[None]]) -> Handler:
    """A handler in the place of another, which answers without reading a message.

    gRPC reads a single request to its end before it calls the handler; of a stream it reads what the handler asks for.

    Args:
        handler: any of the four kinds.
        answer: ends the call.
    """

    async def answered(requests: AsyncIterator[Any], context: Context) -> None:
        await answer(context)

    kind = _KINDS[True, handler.response_streaming]
    made: Handler = kind(answered, handler.request_deserializer, handler.response_serializer)
    return made


class TranslateErrors(grpc.aio.ServerInterceptor):
    """Every handler may raise domain errors; nothing else of an exception reaches the wire."""

    def __init__(self) -> None:
        self._translating = OncePerMethod(lambda _, handler: around(handler, _single, _streaming))

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wraps the handler that would have been called."""
        handler = await continuation(handler_call_details)
        return None if handler is None else self._translating(handler_call_details.method, handler)


def _single(behavior: Single) -> Single:
    async def translated(request: Any, context: Context) -> Any:
        try:
            return await behavior(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - this is the boundary
            await abort(context, error)

    return translated


def _streaming(behavior: Streaming) -> Streaming:
    async def translated(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            async for response in behavior(request, context):
                yield response
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - this is the boundary
            await abort(context, error)

    return translated


async def abort(context: Context, error: Exception) -> NoReturn:
    """Ends the call with the status of an error."""
    if isinstance(error, NotImplementedError):
        # A method of a service that its servicer does not have, which is how generated code says so.
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this server does not have that method", answer_headers())
    status = rpc_status.to_status(status_of(error))
    # What was set before does not go with an error by itself.
    headers = (*(status.trailing_metadata or ()), *answer_headers())
    if status.code is grpc.StatusCode.UNAVAILABLE:
        # The client repeats calls that nobody answers. This one was answered, after what could be repeated here was.
        headers = (*headers, _NO_REPETITION)
    try:
        await context.abort(status.code, status.details, headers)
    except grpc.aio.AbortError as ended:
        let_go: Any = partial(_let_go, ended)
        context.add_done_callback(let_go)
        raise
    raise AssertionError("abort returned")


def _let_go(ended: grpc.aio.AbortError, _: Context) -> None:
    """Opens a ring: gRPC keeps the error with the call, and the error everything on its way, the call and the request.

    Until the garbage collector came round, requests that were refused would pile up.
    """
    ended.__traceback__ = ended.__context__ = None
