"""Options that many commands share, and the connection that they describe."""

from __future__ import annotations

import getpass
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from shoal_client.client import Client
from shoal_client.collection import Collection
from shoal_client.errors import InvalidArgument
from shoal_client.transport import DEFAULT_MAX_MESSAGE_BYTES, DEFAULT_TARGET

DEFAULT_COLLECTION = "default"

CollectionOption = Annotated[
    str, typer.Option("--collection", metavar="NAME", help="The collection; `shoal ingest` makes it.")
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
ThemeFilterOption = Annotated[
    list[int] | None, typer.Option("--theme", metavar="ID", help="Only what is below this theme; may be repeated.")
]
PlaceFilterOption = Annotated[
    list[int] | None, typer.Option("--place", metavar="ID", help="Only images taken at this place; may be repeated.")
]
MomentFilterOption = Annotated[
    list[int] | None, typer.Option("--moment", metavar="ID", help="Only images of this moment; may be repeated.")
]
AuthorOption = Annotated[
    str | None,
    typer.Option("--author", metavar="NAME", help="Who asks, for the record; your login name if left out."),
]
ClusterArgument = Annotated[int, typer.Argument(metavar="CLUSTER", help="Id of a cluster.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run.")]
RunningArgument = Annotated[
    str | None, typer.Argument(metavar="[RUN]", help="Id of a run; the one under way if left out.")
]


class Filters(TypedDict):
    """Which images; an empty list lets all through."""

    clusters: list[int]
    unclustered: bool
    themes: list[int]
    places: list[int]
    moments: list[int]


def filters(
    cluster: list[int] | None,
    unclustered: bool,
    theme: list[int] | None,
    place: list[int] | None,
    moment: list[int] | None,
) -> Filters:
    """Which images were asked for."""
    return {
        "clusters": cluster or [],
        "unclustered": unclustered,
        "themes": theme or [],
        "places": place or [],
        "moments": moment or [],
    }


def author_name(given: str | None) -> str:
    """Who asks: as given, or the login name; empty if the system has none."""
    if given is not None:
        return given
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user id without a name, as in some containers
        return ""


def command_line(*words: object, collection: str, server: str) -> str:
    """A command to copy that asks the same server about the same collection."""
    options = [] if collection == DEFAULT_COLLECTION else ["--collection", collection]
    if server != os.environ.get("SHOAL_SERVER", DEFAULT_TARGET):
        options += ["--server", server]
    return shlex.join(["shoal", *map(str, words), *options])


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
def opened(server: str, collection: str, *, make: bool = False) -> Iterator[Collection]:
    """A collection of the server.

    Args:
        server: its address.
        collection: the collection's id.
        make: make it if there is none; for commands that put something in.

    Raises:
        ShoalError: no server answers, there is no such collection, or its id does not have the form of one.
    """
    with connection(server) as client:
        if make:
            client.ensure_collection(collection)
        yield client.collection(collection)
