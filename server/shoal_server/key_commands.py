"""``shoal keys``: makes, lists and revokes API keys, in the file that the server follows.

It puts itself together: of all that a server is built of, which takes seconds to import, it needs one file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from shoal_server.adapters.key_file import KeyFile
from shoal_server.domain.access import ApiKey, Role, expiry, make_key
from shoal_server.domain.errors import InvalidField, ShoalError
from shoal_server.settings import Settings, problems_of

keys = typer.Typer(no_args_is_help=True, help="Makes, lists and revokes the API keys of a server.")

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="The server's data folder; SHOAL_KEYS_FILE says if the keys are elsewhere."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object a line instead of a table.")]


@keys.command()
def create(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Whose it is: 1 to 60 characters.")],
    role: Annotated[Role, typer.Option("--role", help="What it is good for; write includes read, admin both.")],
    collections: Annotated[
        list[str] | None,
        typer.Option("--collection", metavar="NAME", help="Only good for this one; may be repeated. All if left out."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="WHEN", help="90d, 12h, 8w or 2027-01-31; never if left out.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes a key and prints it, once: nobody can show it again. A running server knows it within two seconds."""
    now = datetime.now(UTC)
    with _telling():
        until = None if expires is None else expiry(expires, now)
        key, made = make_key(name, role, frozenset(collections) if collections else None, now, until)
        _key_file(data).change(lambda there: (*there, made))
    if as_json:
        typer.echo(json.dumps({"key": key, **_record(made, now)}))
    else:
        typer.echo(key)
        typer.echo(f"id {made.id}: {_words(made)}; this is the only time that the key is shown", err=True)


@keys.command(name="list")
def list_(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Lists the keys, revoked and expired ones too; never the secrets."""
    now = datetime.now(UTC)
    with _telling():
        there = _key_file(data).read()
    if as_json:
        for key in there:
            typer.echo(json.dumps(_record(key, now)))
        return
    if not there:
        typer.echo("there are no keys; make one with `shoal keys create --role admin --name NAME`", err=True)
        return
    rows = [("id", "name", "role", "collections", "created", "expires", "state")]
    for key in there:
        record = _record(key, now)
        scope = "all" if key.collections is None else ", ".join(sorted(key.collections))
        until = "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M}"
        state = str(record["state"])
        rows.append((key.id, key.name, key.role.value, scope, f"{key.created_at:%Y-%m-%d %H:%M}", until, state))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@keys.command()
def revoke(
    identity: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, as `shoal keys list` has it.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Takes a key back. A running server refuses it within two seconds, and ends its streams at their next message."""
    now = datetime.now(UTC)

    with _telling():
        file = _key_file(data)
        # Before the file is touched: looking for a key makes no folder.
        if identity not in {key.id for key in file.read()}:
            raise InvalidField(
                "ID", f"there is no key {identity[:80]!r} in {file.path}; list them with `shoal keys list`"
            )
        file.change(lambda there: tuple(key.revoked(now) if key.id == identity else key for key in there))
        [revoked] = [key for key in file.read() if key.id == identity]
    if as_json:
        typer.echo(json.dumps(_record(revoked, now)))
    else:
        typer.echo(f"revoked {revoked.id} ({revoked.name})")


def _key_file(data: Path | None) -> KeyFile:
    """Where the server with these settings keeps its keys."""
    # Where and how the server listens has nothing to do with its keys, and may need the one that is being made.
    settings = Settings(insecure=True, tls_cert=None, tls_key=None, tls_client_ca=None, tls_client_role=None)
    return KeyFile((settings if data is None else settings.model_copy(update={"data": data})).keys_path)


@contextmanager
def _telling() -> Iterator[None]:
    """Turns what goes wrong into a line and an exit code."""
    try:
        yield
    except ValidationError as error:
        for problem in problems_of(error):
            typer.echo(f"shoal keys: {problem}", err=True)
        raise typer.Exit(2) from None
    except ShoalError as error:
        typer.echo(f"shoal keys: {error.message}", err=True)
        raise typer.Exit(1) from None


def _words(key: ApiKey) -> str:
    scope = "all collections" if key.collections is None else ", ".join(sorted(key.collections))
    until = "" if key.expires_at is None else f", until {key.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    return f"{key.name}, {key.role.value} on {scope}{until}"


def _record(key: ApiKey, now: datetime) -> dict[str, object]:
    state = "revoked" if key.revoked_at is not None else "expired" if key.problem(now) else "valid"
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role.value,
        "collections": None if key.collections is None else sorted(key.collections),
        "created_at": key.created_at.isoformat(),
        "expires_at": None if key.expires_at is None else key.expires_at.isoformat(),
        "revoked_at": None if key.revoked_at is None else key.revoked_at.isoformat(),
        "state": state,
    }
