"""Options that several commands share as a whole: typer knows single ones only."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any


def bundled(**bundles: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command all options of other functions in place of one parameter each.

        @bundled(chosen=filters)
        def list_images(chosen: ImageFilter, limit: LimitOption = None) -> None: ...

    The command then has the options of ``filters`` and ``--limit``, and is called with what ``filters`` makes of its
    own.

    Args:
        bundles: by the command's parameter: the function, whose parameters are typer's options and arguments.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        taken = {
            name: list(inspect.signature(make, eval_str=True).parameters.values()) for name, make in bundles.items()
        }

        @functools.wraps(command)
        def run(**given: Any) -> None:
            made = {
                name: make(**{each.name: given.pop(each.name) for each in taken[name]})
                for name, make in bundles.items()
            }
            command(**made, **given)

        parameters = [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in own.items()
            for each in taken.get(name, [parameter])
        ]
        # What typer reads. It would evaluate text annotations in one module, but the options come from several.
        vars(run)["__signature__"] = inspect.Signature(parameters)
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate
