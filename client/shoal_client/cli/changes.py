"""``shoal changes``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from shoal_client.cli.options import (
    DEFAULT_COLLECTION,
    CollectionOption,
    JsonOption,
    ServerOption,
    command_line,
    opened,
)
from shoal_client.cli.output import console, error_console, print_json
from shoal_client.cli.words import count
from shoal_client.errors import FailedPrecondition, InvalidArgument
from shoal_client.results import AssignmentChanges, ImageAssignment
from shoal_client.transport import DEFAULT_TARGET
from shoal_client.whole_file import check_writable, whole_file

#: More than any token has.
_MAX_TOKEN_BYTES = 2**20


def changes(
    since: Annotated[
        str | None, typer.Option("--since", metavar="TOKEN", help="Only what changed since; all if left out.")
    ] = None,
    since_file: Annotated[
        Path | None,
        typer.Option(
            "--since-file",
            metavar="FILE",
            help="Keep the token in this file: read at the beginning, written when what comes before it was printed.",
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with each change until Ctrl-C.")] = False,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Prints which image is in which cluster, once or since the last time, so that others keep their copies fresh."""
    if since is not None and since_file is not None:
        raise typer.BadParameter("it cannot be given with --since-file", param_hint="--since")
    token = since if since_file is None else _read_token(since_file)
    told, last = 0, token
    with opened(server, collection) as target:
        try:
            for batch in target.watch_assignments(token, until_now=not follow):
                _print(batch, as_json=as_json)
                told += len(batch.assignments)
                last = batch.token or last
                if since_file is not None and batch.token is not None:
                    _write_token(since_file, batch.token)
        except FailedPrecondition as error:
            if since_file is None or error.reason != "CHANGES_EXPIRED":
                raise
            raise FailedPrecondition(
                f"{error.message}: remove {since_file}, and what you keep of collection {collection!r}",
                reason=error.reason,
                metadata=error.metadata,
            ) from error
    if since_file is None and last is not None:
        again = command_line("changes", "--since", last, collection=collection, server=server)
        error_console().print(f"{count(told, 'image')}; go on with: {again}", markup=False, soft_wrap=True)


def assignment_record(assignment: ImageAssignment) -> dict[str, Any]:
    """Where an image is; ``cluster_id`` is null for none."""
    return {
        "id": assignment.image,
        "point_id": assignment.point_id,
        "cluster_id": assignment.cluster_id,
        "removed": assignment.removed,
    }


def _print(batch: AssignmentChanges, *, as_json: bool) -> None:
    for each in batch.assignments:
        if as_json:
            print_json(assignment_record(each))
        else:
            where = "removed" if each.removed else "in none" if each.cluster_id is None else str(each.cluster_id)
            console().print(f"{each.image}  {where}", markup=False, soft_wrap=True)
    sys.stdout.flush()


def _read_token(path: Path) -> str | None:
    """The token in a file; None if there is no file yet.

    Raises:
        InvalidArgument: it is no regular file, or holds something else.
        OSError: it cannot be read, or could not be written.
    """
    check_writable(path, overwrite=True)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    text = content.decode("ascii", "replace").strip()
    if not text or len(content) > _MAX_TOKEN_BYTES or len(text.split()) != 1:
        raise InvalidArgument(
            f"{path} holds no token of `shoal changes`; name another file, or remove it to begin anew",
            reason="INVALID_TOKEN_FILE",
            metadata={"path": str(path)},
        )
    return text


def _write_token(path: Path, token: str) -> None:
    with whole_file(path, overwrite=True) as file:
        file.write(f"{token}\n".encode("ascii"))
