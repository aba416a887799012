"""What people say of an image."""

from __future__ import annotations

from collections.abc import Mapping

from shoal.v1 import image_pb2
from shoal_server.domain.errors import InvalidField
from shoal_server.domain.image import Attribute


def attribute(field: str, message: image_pb2.AttributeValue) -> Attribute:
    """A value.

    Raises:
        InvalidField: for ``field``, if it is not set.
    """
    match message.WhichOneof("value"):
        case "text":
            return message.text
        case "integer":
            return message.integer
        case "number":
            return message.number
        case "flag":
            return message.flag
    raise InvalidField(field, "a value is empty; give a text, an integer, a number or a flag")


def attributes(field: str, messages: Mapping[str, image_pb2.AttributeValue]) -> dict[str, Attribute]:
    """Values by key.

    Raises:
        InvalidField: for ``field``, if one is not set.
    """
    return {key: attribute(field, value) for key, value in messages.items()}


def attribute_messages(values: Mapping[str, Attribute]) -> dict[str, image_pb2.AttributeValue]:
    """The inverse of :func:`attributes`."""
    return {key: _message(value) for key, value in values.items()}


def _message(value: Attribute) -> image_pb2.AttributeValue:
    match value:
        case bool():
            return image_pb2.AttributeValue(flag=value)
        case int():
            return image_pb2.AttributeValue(integer=value)
        case float():
            return image_pb2.AttributeValue(number=value)
    return image_pb2.AttributeValue(text=value)
