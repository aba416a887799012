"""What goes wrong in a command, as one line and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import ValidationError

from shoal_server.domain.errors import ShoalError
from shoal_server.settings import problems_of


@contextmanager
def telling(command: str) -> Iterator[None]:
    """Turns what a user can cause into a line on stderr.

    Args:
        command: how it begins.

    Raises:
        typer.Exit: with 1, or with 2 where a setting is wrong.
    """
    try:
        yield
    except ShoalError as error:
        typer.echo(f"shoal {command}: {error.message}", err=True)
        raise typer.Exit(1) from error
    except ValidationError as error:
        for problem in problems_of(error):
            typer.echo(f"shoal {command}: {problem}", err=True)
        raise typer.Exit(2) from error
    except OSError as error:
        what = ": ".join(map(str, filter(None, [error.strerror or str(error), error.filename])))
        typer.echo(f"shoal {command}: {what}", err=True)
        raise typer.Exit(1) from error
