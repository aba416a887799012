"""What the command line connects with: options before the command, or the environment."""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from shoal_client.credentials import Credentials, Tls
from shoal_client.errors import InvalidArgument, UnreadableFile

_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class _Given:
    """The options, or what the environment says in their place.

    Attributes:
        shown: the options as they were given, for a command line that does the same.
    """

    tls: bool = False
    tls_ca: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    api_key_file: Path | None = None
    shown: tuple[str, ...] = ()


_NOTHING = _Given()
_given: ContextVar[_Given] = ContextVar("shoal_connecting")


def connecting(
    context: typer.Context,
    tls: Annotated[
        bool,
        typer.Option("--tls", envvar="SHOAL_TLS", help="Connect with TLS; the server's authority is a public one."),
    ] = False,
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            "--tls-ca", metavar="FILE", envvar="SHOAL_TLS_CA", help="The same; its authority is in this file."
        ),
    ] = None,
    client_cert: Annotated[
        Path | None,
        typer.Option(
            "--client-cert", metavar="FILE", envvar="SHOAL_CLIENT_CERT", help="Certificate to show, with TLS."
        ),
    ] = None,
    client_key: Annotated[
        Path | None,
        typer.Option("--client-key", metavar="FILE", envvar="SHOAL_CLIENT_KEY", help="The key to it."),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            "--api-key-file",
            metavar="FILE",
            envvar="SHOAL_API_KEY_FILE",
            help="File with the API key; or set SHOAL_API_KEY. There is no option for the key itself, which others on "
            "the machine could read.",
        ),
    ] = None,
) -> None:
    """Turns image collections into named, stable clusters."""
    options = {
        "--tls-ca": ("tls_ca", tls_ca),
        "--client-cert": ("client_cert", client_cert),
        "--client-key": ("client_key", client_key),
        "--api-key-file": ("api_key_file", api_key_file),
    }
    shown = ["--tls"] if tls and on_command_line(context, "tls") else []
    for option, (name, value) in options.items():
        if value is not None and on_command_line(context, name):
            shown += [option, str(value)]
    _given.set(_Given(tls, tls_ca, client_cert, client_key, api_key_file, tuple(shown)))


def shown_options() -> tuple[str, ...]:
    """The options before the command, for a command line that connects in the same way."""
    return _given.get(_NOTHING).shown


def credentials() -> Credentials:
    """What to connect with.

    Raises:
        UnreadableFile: the file with the key cannot be read.
        InvalidArgument: SHOAL_PLAINTEXT is neither true nor false.
    """
    given = _given.get(_NOTHING)
    tls = None
    if given.tls or given.tls_ca or given.client_cert or given.client_key:
        tls = Tls(given.tls_ca, given.client_cert, given.client_key)
    return Credentials(_api_key(given.api_key_file), tls, _flag("SHOAL_PLAINTEXT"))


def _api_key(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get("SHOAL_API_KEY") or None
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        problem = error.strerror if isinstance(error, OSError) and error.strerror else "it is no text"
        raise UnreadableFile(str(file), f"{file}: {problem}") from error


def _flag(name: str) -> bool:
    value = os.environ.get(name, "").strip().lower()
    if value not in _TRUE | _FALSE:
        raise InvalidArgument(f"{name} is {value!r}; it must be true or false")
    return value in _TRUE


def on_command_line(context: typer.Context, name: str) -> bool:
    """Whether a parameter was given there, and not by a variable or its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
