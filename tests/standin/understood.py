"""Messages of gRPC as models of REST, and nothing of them lost on the way.

Each is converted there and back; where that does not give the same message, the call is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

from tests.standin.refusals import not_understood

#: What makes no difference where there is one node that is never behind.
_WITHOUT_EFFECT = {"wait", "ordering", "read_consistency", "timeout"}


def only(request: Message, *fields: str) -> None:
    """Raises:
    Refused: the request sets fields beside these.
    """
    others = {field.name for field, _ in request.ListFields()} - {"collection_name", *fields} - _WITHOUT_EFFECT
    if others:
        raise not_understood(f"{', '.join(sorted(others))} in {request.DESCRIPTOR.name}")


def converted(message: Message, there: Callable[[Any], Any], back: Callable[[Any], Any]) -> Any:
    """A message as a model of REST.

    Raises:
        Refused: a part of it would be lost.
    """
    model = there(message)
    returned = back(model)
    if returned != message:
        raise not_understood(f"a part of this {message.DESCRIPTOR.name}: {message}")
    return model


def optional(request: Message, name: str, convert: Callable[[Any], Any]) -> Any:
    """A field converted, None if it is not set."""
    return convert(getattr(request, name)) if request.HasField(name) else None


def to_filter(message: Message) -> Any:
    """A filter."""
    return converted(message, GrpcToRest.convert_filter, RestToGrpc.convert_filter)


def to_selector(message: Message) -> Any:
    """Points by id or by filter."""
    return converted(message, GrpcToRest.convert_points_selector, RestToGrpc.convert_points_selector)


def to_query(message: Message) -> Any:
    """What is looked for."""
    return converted(message, GrpcToRest.convert_query, RestToGrpc.convert_query)


def to_search_params(message: Message) -> Any:
    """How it is looked for; the stand-in's search is exact whatever they say."""
    return converted(message, GrpcToRest.convert_search_params, RestToGrpc.convert_search_params)


def to_order(message: Message) -> Any:
    """An order of scrolling."""
    return converted(message, GrpcToRest.convert_order_by, RestToGrpc.convert_order_by)


def to_points(messages: Any) -> list[Any]:
    """Points with vectors and payload."""
    for message in messages:
        only(message, "id", "payload", "vectors")
    return [GrpcToRest.convert_point_struct(message) for message in messages]
