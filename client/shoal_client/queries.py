"""What to look for: texts, images' bytes, stored images and vectors, alone or together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from shoal.v1 import image_pb2
from shoal_client import names
from shoal_client.errors import InvalidArgument
from shoal_client.sources import ImageInput, read_image

#: How much counts what is to be avoided: if it counted as much as the rest, images would come up that have to do
#: with neither, for they are the least like it.
MINUS_WEIGHT = 0.5
#: What is said of a picture's bytes.
_OF_PICTURES = frozenset({"EMPTY_IMAGE", "UNSUPPORTED_FORMAT", "BROKEN_IMAGE", "IMAGE_TOO_LARGE", "FILE_TOO_LARGE"})


class ImageOrder(Enum):
    """Which image comes first in a list."""

    ID = ""
    #: By what the cameras' clocks showed; images without a time come last.
    CAPTURED = "captured_at"
    #: The latest first; images without a time come last.
    CAPTURED_LATEST_FIRST = "captured_at desc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One of several things to look for at once.

    Attributes:
        text: what images show, in words. Exactly one of the first four is given.
        image: a path or a file's bytes.
        like: id of a stored image, which is left out of the answer.
        vector: an embedding of the collection's model, of any length above 0.
        weight: how much it counts beside the others, -10 to 10 and not 0; negative: look for what is not like it. If
            None, 1, or for what is to be avoided, MINUS_WEIGHT.
    """

    text: str | None = None
    image: ImageInput | None = None
    like: str | None = None
    vector: Iterable[float] | None = None
    weight: float | None = None


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
        with naming([image]):
            return {"image_content": await asyncio.to_thread(read_image, image, max_file_bytes)}
    if like is not None:
        return {"image_name": names.image_name(collection, like)}
    return {"vector": image_pb2.Vector(values=vector)}


def wanted_terms(
    *,
    text: str | None = None,
    image: ImageInput | None = None,
    like: str | None = None,
    vector: Iterable[float] | None = None,
    minus: str | Term | Iterable[str | Term] = (),
    terms: Iterable[Term] = (),
) -> list[Term]:
    """All that is looked for, and with a negative weight what is to be avoided.

    Raises:
        InvalidArgument: a weight is 0, or one of ``minus`` has a negative weight.
    """
    single = [
        *([Term(text=text)] if text is not None else []),
        *([Term(image=image)] if image is not None else []),
        *([Term(like=like)] if like is not None else []),
        *([Term(vector=vector)] if vector is not None else []),
    ]
    avoided = [minus] if isinstance(minus, str | Term) else list(minus)
    return [*single, *terms, *map(_negative, avoided)]


async def search_fields(collection: str, max_file_bytes: int, wanted: list[Term]) -> dict[str, Any]:
    """The request's fields for what is looked for; reads files in threads.

    Raises:
        InvalidArgument: there is nothing to look for, or a term is not exactly one thing.
        UnreadableFile: a file cannot be read.
        FileTooLarge: a file does not fit into a message.
    """
    if not any(each.weight is None or each.weight > 0 for each in wanted):
        raise InvalidArgument(
            "give at least one of text, image, like and vector, or a term with a weight above 0: only what is to be "
            "avoided was given"
            if wanted
            else "give at least one of text, image, like and vector",
            reason="INVALID_QUERY",
        )
    queries = [
        await query_fields(
            collection, max_file_bytes, text=each.text, image=each.image, like=each.like, vector=each.vector
        )
        for each in wanted
    ]
    if len(queries) == 1 and wanted[0].weight in {None, 1}:
        return queries[0]
    weighted = zip(queries, wanted, strict=True)
    return {"terms": [image_pb2.QueryTerm(weight=term.weight, **query) for query, term in weighted]}


@contextmanager
def naming(images: Iterable[ImageInput | None]) -> Iterator[None]:
    """Says of which file it is that its picture is none: the server knows bytes only, and no names.

    Raises:
        InvalidArgument: what was raised within, with the file's name, or all names if it may be any of several.
    """
    try:
        yield
    except InvalidArgument as error:
        given = [each for each in images if each is not None]
        paths = [os.fspath(each) for each in given if isinstance(each, str | os.PathLike)]
        if error.reason not in _OF_PICTURES or not paths or len(paths) < len(given):
            raise
        label = str(paths[0]) if len(paths) == 1 else f"one of {', '.join(map(str, paths))}"
        error.message = f"{label}: {error.message}"
        error.args = (error.message,)
        raise


def _negative(avoided: str | Term) -> Term:
    term = Term(text=avoided) if isinstance(avoided, str) else avoided
    weight = MINUS_WEIGHT if term.weight is None else term.weight
    if weight <= 0:
        raise InvalidArgument(
            f"the weight of something to avoid is {weight}; it must be above 0: `minus` makes it negative",
            reason="INVALID_QUERY",
        )
    return replace(term, weight=-weight)


def _checked_text(text: object) -> str:
    if not isinstance(text, str):
        raise InvalidArgument(f"text is {text!r}; it must be a str", reason="INVALID_QUERY")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"text is no valid text: {text!r}", reason="INVALID_QUERY") from error
    return text
