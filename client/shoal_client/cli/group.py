"""The group of all commands: adds those of other distributions, and turns errors into a line and an exit code."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
import typer.core

from shoal_client.cli.output import complain
from shoal_client.errors import ShoalError

#: The entry-point group: the name is the command's, the object a function that typer can register, or an app of it.
COMMANDS = "shoal.commands"

#: The heading in the help above commands about servers, those of other distributions among them.
SERVER_PANEL = "Collections and servers"

FAILURE = 1
INTERRUPTED = 130


class ShoalGroup(typer.core.TyperGroup):
    """A group whose entry-point commands are imported only when they are asked for: the server half is heavy."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands, in the order of the help."""
        own = super().list_commands(ctx)
        return [*own, *sorted(entry_points(group=COMMANDS).names - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command of this distribution or of another one; None if there is none of that name."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        return next((_load(each) for each in entry_points(group=COMMANDS, name=cmd_name)), None)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; what goes wrong becomes one line on stderr."""
        try:
            return super().invoke(ctx)
        except ShoalError as error:
            complain(error.message)
            raise typer.Exit(FAILURE) from error
        except UnicodeEncodeError as error:
            complain(f"an argument is no valid text: {error.object!r}")
            raise typer.Exit(FAILURE) from error
        except BrokenPipeError:
            raise  # the reader has seen enough: click ends quietly
        except OSError as error:
            complain(": ".join(map(str, filter(None, [error.strerror or str(error), error.filename]))))
            forget_output()
            raise typer.Exit(FAILURE) from error
        except KeyboardInterrupt as error:
            complain("interrupted")
            raise typer.Exit(INTERRUPTED) from error


def forget_output() -> None:
    """Leads stdout nowhere if it cannot be written: Python would fail once more at its end, with what is left of it."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError, ValueError):  # a stdout that is no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _load(entry: EntryPoint) -> Any:
    try:
        function = entry.load()
    except ModuleNotFoundError as error:
        return _stand_in(entry, error)
    registry = typer.Typer(add_completion=False)
    if isinstance(function, typer.Typer):
        registry.add_typer(function, name=entry.name, rich_help_panel=SERVER_PANEL)
        # A group, even where its only command is another group.
        registry.callback()(lambda: None)
        group: Any = typer.main.get_command(registry)
        return group.commands[entry.name]
    registry.command(entry.name, rich_help_panel=SERVER_PANEL)(function)
    return typer.main.get_command(registry)


def _stand_in(entry: EntryPoint, error: ModuleNotFoundError) -> Any:
    """A command that says why the real one cannot be had; takes any arguments, so that it gets to say so."""
    registry = typer.Typer(add_completion=False)
    server_half = entry.module.split(".")[0] == "shoal_server"

    @registry.command(
        entry.name,
        help="(not installed)",
        rich_help_panel=SERVER_PANEL,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
    )
    def say_why(context: typer.Context) -> None:
        if server_half:
            complain("the server half is not installed: pip install 'shoal[server]'")
        else:
            complain(f"the command {entry.name!r} can't be loaded: {error}; reinstall the package it came with")
        raise typer.Exit(FAILURE)

    return typer.main.get_command(registry)
