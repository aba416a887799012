"""Attributes: what people say of an image, by key."""

from __future__ import annotations

from collections.abc import Mapping

from shoal.v1 import image_pb2
from shoal_client.errors import InvalidArgument
from shoal_client.filters import Attribute

_WHOLE_NUMBERS = range(-(2**63), 2**63)


def attribute_message(key: str, value: Attribute) -> image_pb2.AttributeValue:
    """The value of an attribute; ``key`` is for the message of an error.

    Raises:
        InvalidArgument: it is none of text, whole number, number, true and false, or a whole number of over 64 bits.
    """
    match value:
        case bool():
            return image_pb2.AttributeValue(flag=value)
        case int() if value in _WHOLE_NUMBERS:
            return image_pb2.AttributeValue(integer=value)
        case float():
            return image_pb2.AttributeValue(number=value)
        case str():
            return image_pb2.AttributeValue(text=value)
    raise InvalidArgument(
        f"attribute {key!r} is {value!r}; it must be a text, a number (whole ones of at most 64 bits), true or false",
        reason="INVALID_FIELD",
        metadata={"field": "attributes"},
    )


def attribute_messages(attributes: Mapping[str, Attribute]) -> dict[str, image_pb2.AttributeValue]:
    """Attributes by key.

    Raises:
        InvalidArgument: a value is none.
    """
    return {key: attribute_message(key, value) for key, value in attributes.items()}


def attribute_values(messages: Mapping[str, image_pb2.AttributeValue]) -> dict[str, Attribute]:
    """Attributes by key; those of a kind that this version does not know are left out."""
    kinds = {key: message.WhichOneof("value") for key, message in messages.items()}
    return {key: getattr(messages[key], kind) for key, kind in kinds.items() if kind is not None}
