"""What interceptors make of handlers."""

from __future__ import annotations

from typing import Any

import grpc

from shoal_server.rpc.interceptor import Handler, OncePerMethod


def a_handler() -> Handler:
    async def behavior(request: Any, context: Any) -> None:
        return None

    made: Handler = grpc.unary_unary_rpc_method_handler(behavior)
    return made


def test_a_handler_is_wrapped_once_for_each_method() -> None:
    wrapped: list[str] = []

    def wrap(method: str, handler: Handler) -> Handler:
        wrapped.append(method)
        return a_handler()

    made = OncePerMethod(wrap)
    first, second = a_handler(), a_handler()
    assert made("/a/A", first) is made("/a/A", first)
    assert made("/a/B", first) is not made("/a/A", first)
    assert wrapped == ["/a/A", "/a/B"]
    replaced = made("/a/A", second)
    assert made("/a/A", second) is replaced
    assert wrapped == ["/a/A", "/a/B", "/a/A"]
