"""``shoal migrate``: moves collections between a data folder and a Qdrant server."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from shoal_server.application.comparing import TOLERANCE
from shoal_server.application.migrating import Moved, Outcome, Stage
from shoal_server.settings import Settings, default_data_folder
from shoal_server.store_commands.telling import telling

_INTERRUPTED = 130
_WORDS = {
    Stage.IMAGES: "images",
    Stage.FILES: "files of images",
    Stage.HISTORY: "runs and corrections",
    Stage.CHECKING: "reading back and comparing",
    Stage.INDEXING: "building the index",
}


def migrate(
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", envvar="SHOAL_DATA", help="The data folder.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="From the folder to this Qdrant server.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="URL", help="From this Qdrant server to the folder.")
    ] = None,
    collections: Annotated[
        list[str] | None,
        typer.Option("--collection", metavar="NAME", help="Only this one; may be repeated. All if left out."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove what goes by the same name where the collections go.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Copies collections with all that belongs to them, and compares both sides when it is done.

    No Shoal server may work with the folder or the Qdrant server meanwhile. What is cut short goes on where it was when
    it is called again; until a collection is complete no server sees it. Where it comes from, nothing is changed. The
    API key of the Qdrant server is SHOAL_QDRANT_API_KEY, its gRPC port SHOAL_QDRANT_GRPC_PORT.
    """
    if (to is None) == (from_ is None):
        raise typer.BadParameter("give --to URL or --from URL")
    folder = default_data_folder() if data is None else data
    if to is not None and not (folder / "collections").is_dir():
        # Not made empty by looking into it.
        raise typer.BadParameter(f"{folder} is no data folder with a store in it; name one with --data")
    with telling("migrate"):
        # What only a server needs is not asked for.
        try:
            settings = Settings(data=folder, qdrant_url=to or from_, listen="127.0.0.1:0")
        except ValidationError as error:
            for problem in error.errors():
                if problem["loc"] == ("qdrant_url",):
                    option = "--from" if to is None else "--to"
                    raise typer.BadParameter(problem["msg"].removeprefix("Value error, "), param_hint=option) from None
            raise
        try:
            asyncio.run(_migrate(settings, collections or [], to_qdrant=to is not None, replace=replace, json_=as_json))
        except KeyboardInterrupt:
            typer.echo("shoal migrate: interrupted; the same command goes on where it was", err=True)
            raise typer.Exit(_INTERRUPTED) from None
    if not as_json:
        store = f" --qdrant-url {to}" if to else ""
        typer.echo(f"a server finds them with: shoal serve --data {folder}{store}")


async def _migrate(settings: Settings, names: list[str], *, to_qdrant: bool, replace: bool, json_: bool) -> None:
    # Imports all that a server is built of, which takes seconds: not before the settings are known to be right.
    from shoal_server.bootstrap import migrating

    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    console = Console(stderr=True, highlight=False)
    with _Bars(console) as bars:
        try:
            async with (
                migrating(settings, to_qdrant=to_qdrant, progress=bars.show) as migration,
                aclosing(migration.move(names, replace=replace)) as moved,
            ):
                count = 0
                async for each in moved:
                    count += 1
                    bars.end()
                    typer.echo(json.dumps(_record(each)) if json_ else _words(each))
        except asyncio.CancelledError:
            # Ctrl-C and SIGTERM alike.
            raise KeyboardInterrupt from None
    if not count:
        typer.echo("there is no collection to move", err=True)


def _record(moved: Moved) -> dict[str, Any]:
    compared = moved.compared
    told: dict[str, Any] = {"collection": moved.collection, "outcome": moved.outcome.value}
    if compared is not None:
        told |= {
            "images": compared.images,
            "runs": compared.runs,
            "corrections": compared.corrections,
            "files": compared.files,
            "sha256": compared.digest,
            "largest_difference": compared.largest_difference,
        }
    return told


def _words(moved: Moved) -> str:
    compared = moved.compared
    if compared is None:
        return f"{moved.collection}: left out, because its images are somebody else's: attach to them again"
    counts = (
        f"{compared.images} images, {compared.files} files of images, {compared.runs} runs, "
        f"{compared.corrections} corrections"
    )
    same = (
        f"the same on both sides (sha256 {compared.digest[:16]}...)"
        if not compared.largest_difference
        else f"the same on both sides but for rounding (vectors differ by up to {compared.largest_difference:.1g}; "
        f"{TOLERANCE:.0e} is allowed)"
    )
    there = "was moved before and is" if moved.outcome is Outcome.THERE else "moved, and"
    return f"{moved.collection}: {there} {same}: {counts}"


class _Bars:
    """A bar for what is being done, on stderr and only where somebody sees it."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._showing: tuple[str, Stage] | None = None

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, collection: str, stage: Stage, done: int, total: int) -> None:
        """Shows how far it is."""
        if self._showing != (collection, stage):
            self.end()
            self._showing = (collection, stage)
            self._task = self._progress.add_task(f"{collection}: {_WORDS[stage]}", total=total or None)
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total or None)

    def end(self) -> None:
        """Takes the bar away."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._showing = None
