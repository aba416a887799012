"""Options that many commands share, and the connection that they describe."""

from __future__ import annotations

import getpass
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from shoal_client.cli.connecting import credentials, on_command_line, shown_options
from shoal_client.client import Client
from shoal_client.collection import Collection
from shoal_client.credentials import Credentials
from shoal_client.errors import InvalidArgument, NotFound
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
ThemeFilterOption = Annotated[
    list[int] | None, typer.Option("--theme", metavar="ID", help="Only what is below this theme; may be repeated.")
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
    return shlex.join(["shoal", *shown_options(), *map(str, words), *options])


def refuse_before_subcommand(context: typer.Context) -> None:
    """Refuses options that stand before a subcommand, where nothing would come of them.

    Raises:
        typer.BadParameter: there are some.
    """
    for name in context.params:
        if on_command_line(context, name):
            raise typer.BadParameter(f"put the options after `{context.invoked_subcommand}`")


@contextmanager
def connection(server: str, given: Credentials | None = None) -> Iterator[Client]:
    """A client of the server, with the message limit of SHOAL_MAX_MESSAGE_BYTES if that is set.

    Args:
        server: its address.
        given: what to connect with; None: what the options before the command or the environment say.

    Raises:
        InvalidArgument: SHOAL_MAX_MESSAGE_BYTES is no number or too small, or the credentials are not for this server.
        UnreadableFile: of those that the credentials are in.
    """
    limit = os.environ.get("SHOAL_MAX_MESSAGE_BYTES", str(DEFAULT_MAX_MESSAGE_BYTES))
    if not limit.isdecimal():
        raise InvalidArgument(f"SHOAL_MAX_MESSAGE_BYTES is {limit!r}; it must be a number of bytes")
    chosen = credentials() if given is None else given
    with Client(
        server, max_message_bytes=int(limit), api_key=chosen.api_key, tls=chosen.tls, plaintext=chosen.plaintext
    ) as client:
        yield client


@contextmanager
def opened(
    server: str, collection: str, *, make: bool = False, given: Credentials | None = None
) -> Iterator[Collection]:
    """A collection of the server.

    Args:
        server: its address.
        collection: the collection's id.
        make: make it if there is none; for commands that put something in.
        given: as of :func:`connection`.

    Raises:
        ShoalError: no server answers, there is no such collection, or its id does not have the form of one.
    """
    with connection(server, given) as client:
        if make:
            client.ensure_collection(collection)
        try:
            yield client.collection(collection)
        except NotFound as error:
            if error.reason != "COLLECTION_NOT_FOUND":
                raise
            raise NotFound(
                f"there is no collection {collection!r} yet: `shoal ingest` makes it, and `shoal collections` lists "
                "those that there are",
                reason=error.reason,
                metadata=error.metadata,
            ) from error
