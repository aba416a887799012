"""Options that many commands share, and the connection that they describe."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from shoal_client.client import Client
from shoal_client.collection import Collection
from shoal_client.errors import InvalidArgument
from shoal_client.transport import DEFAULT_MAX_MESSAGE_BYTES

DEFAULT_COLLECTION = "default"

CollectionOption = Annotated[
    str, typer.Option("--collection", metavar="NAME", help="The collection; made on first use.")
]
ServerOption = Annotated[
    str, typer.Option("--server", metavar="HOST:PORT", envvar="SHOAL_SERVER", help="Address of the Shoal server.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object a line instead of a table.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="At most this many; all if left out.")]
BestOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most this many.")]
TextArgument = Annotated[str | None, typer.Argument(metavar="[TEXT]", help="What to look for, in words.")]
ImageOption = Annotated[
    Path | None, typer.Option("--image", metavar="FILE", readable=False, help="Look for what this file shows.")
]
LikeOption = Annotated[str | None, typer.Option("--like", metavar="ID", help="Look for what this stored image shows.")]
ClusterFilterOption = Annotated[
    list[int] | None, typer.Option("--cluster", metavar="ID", help="Only images in this cluster; may be repeated.")
]
UnclusteredOption = Annotated[bool, typer.Option("--unclustered", help="Only images in no cluster.")]


class Query(TypedDict):
    """What to look for; exactly one is not None."""

    text: str | None
    image: Path | None
    like: str | None


def query(text: str | None, image: Path | None, like: str | None) -> Query:
    """Checks that exactly one thing to look for was given.

    Raises:
        typer.BadParameter: none or several were.
    """
    if sum(each is not None for each in (text, image, like)) != 1:
        raise typer.BadParameter("give one of TEXT, --image FILE and --like ID")
    return {"text": text, "image": image, "like": like}


def refuse_before_subcommand(context: typer.Context) -> None:
    """Refuses options that stand before a subcommand, where nothing would come of them.

    Raises:
        typer.BadParameter: there are some.
    """
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"put the options after `{context.invoked_subcommand}`")


@contextmanager
def connection(server: str) -> Iterator[Client]:
    """A client of the server, with the message limit of SHOAL_MAX_MESSAGE_BYTES if that is set.

    Raises:
        InvalidArgument: SHOAL_MAX_MESSAGE_BYTES is no number or too small.
    """
    limit = os.environ.get("SHOAL_MAX_MESSAGE_BYTES", str(DEFAULT_MAX_MESSAGE_BYTES))
    if not limit.isdecimal():
        raise InvalidArgument(f"SHOAL_MAX_MESSAGE_BYTES is {limit!r}; it must be a number of bytes")
    with Client(server, max_message_bytes=int(limit)) as client:
        yield client


@contextmanager
def opened(server: str, collection: str) -> Iterator[Collection]:
    """A collection of the server; made if there was none.

    Raises:
        ShoalError: no server answers, or the collection's id does not have its form.
    """
    with connection(server) as client:
        client.ensure_collection(collection)
        yield client.collection(collection)
