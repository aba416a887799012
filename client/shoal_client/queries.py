"""What to look for: a text, an image's bytes, a stored image or a vector."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from shoal.v1 import image_pb2
from shoal_client import names
from shoal_client.errors import InvalidArgument
from shoal_client.sources import ImageInput, read_image


async def query_fields(
    collection: str,
    max_file_bytes: int,
    *,
    text: str | None = None,
    image: ImageInput | None = None,
    like: str | None = None,
    vector: Iterable[float] | None = None,
) -> dict[str, Any]:
    """The request's field for the one of the four that is given; reads a file in a thread.

    Raises:
        InvalidArgument: not exactly one is given, or the text is none.
        UnreadableFile: the file cannot be read.
        FileTooLarge: the file does not fit into a message.
    """
    given = {"text": text, "image": image, "like": like, "vector": vector}
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise InvalidArgument(
            f"give exactly one of text, image, like and vector, not {' and '.join(chosen) or 'none'}",
            reason="INVALID_QUERY",
        )
    if text is not None:
        return {"text": _checked_text(text)}
    if image is not None:
        return {"image_content": await asyncio.to_thread(read_image, image, max_file_bytes)}
    if like is not None:
        return {"image_name": names.image_name(collection, like)}
    return {"vector": image_pb2.Vector(values=vector)}


def _checked_text(text: object) -> str:
    if not isinstance(text, str):
        raise InvalidArgument(f"text is {text!r}; it must be a str", reason="INVALID_QUERY")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"text is no valid text: {text!r}", reason="INVALID_QUERY") from error
    return text
