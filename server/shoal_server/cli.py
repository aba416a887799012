"""``shoal serve``: parse, build, serve, stop."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from pydantic import ValidationError

from shoal_server import logs
from shoal_server.domain.errors import ShoalError
from shoal_server.settings import Settings, problems_of, unknown_variables

_log = logging.getLogger("shoal_server")


def serve(
    data: Annotated[Path | None, typer.Option(help="Folder for everything the server keeps.")] = None,
    listen: Annotated[str | None, typer.Option(help="Host and port; port 0 picks a free one.")] = None,
    web: Annotated[
        str | None, typer.Option(help="Host and port of the explorer, a page to look at and correct the clusters.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="MODEL/PRETRAINED of open_clip, MODEL/FILE, timm/NAME[/FILE], transformers:FOLDER, starter, or debug."
        ),
    ] = None,
    precision: Annotated[str | None, typer.Option(help="fp32; fp16 or bf16 on a GPU; bf16 or int8 on a CPU.")] = None,
    runtime: Annotated[str | None, typer.Option(help="What runs the model: auto, torch, or onnx.")] = None,
    qdrant_url: Annotated[str | None, typer.Option(help="Store in this Qdrant server, not in the folder.")] = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="Write the address here as JSON once the server serves.")
    ] = None,
) -> None:
    """Serve until interrupted. Every option is also a variable SHOAL_...; the option wins."""
    given = {
        "data": data,
        "listen": listen,
        "web_listen": web,
        "model": model,
        "precision": precision,
        "runtime": runtime,
        "qdrant_url": qdrant_url,
    }
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        for problem in problems_of(error):
            typer.echo(f"shoal serve: {problem}", err=True)
        raise typer.Exit(2) from None
    if ready_file is not None and not ready_file.parent.is_dir():
        typer.echo(f"shoal serve: --ready-file: there is no folder {ready_file.parent}", err=True)
        raise typer.Exit(2)
    logs.set_up(settings.log_level, settings.log_format)
    for line in unknown_variables(os.environ):
        _log.warning("%s", line)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, ready_file))
    except (ShoalError, OSError) as error:
        typer.echo(f"shoal serve: {error}", err=True)
        _end_without_stuck_threads(1)
        raise typer.Exit(1) from None
    _end_without_stuck_threads(0)


async def _serve(settings: Settings, ready_file: Path | None) -> None:
    # Threads of one pass that wait for each other would keep the cores from those that decode the next images. Read
    # once, when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Lines of its own among the log, one for every stranger who sends something else than TLS.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Building the adapters imports the frameworks, which takes seconds: not before the settings are known to be right.
    from shoal_server.bootstrap import running

    # The model's many short steps each take the interpreter lock back; by default a step waits up to 5 ms for it.
    sys.setswitchinterval(0.0005)
    stopping = asyncio.Event()
    serving = False

    def stop(number: int) -> None:
        if not serving or stopping.is_set():
            # Loading a model cannot be interrupted, and nothing is lost: whatever is cut off the next start puts right.
            _log.warning("stopped at once")
            os._exit(128 + number)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    _log.info("starting with model %s, data in %s", settings.model, settings.qdrant_url or settings.data)
    async with running(settings) as listening:
        serving = True
        _log.info("serving on %s with model %s", listening.address, listening.model)
        if ready_file is not None:
            await asyncio.to_thread(_announce, ready_file, {"address": listening.address, "web": listening.web})
        await stopping.wait()
        _log.info("stopping: finishing the calls in flight")
    _log.info("stopped")


def _end_without_stuck_threads(exit_code: int) -> None:
    """Ends the process at once if a thread of the model hangs: the interpreter would wait for it for ever."""
    if any(thread.name.startswith("shoal-model") and thread.is_alive() for thread in threading.enumerate()):
        _log.warning("a thread of the model hangs; the process ends without it")
        logging.shutdown()
        os._exit(exit_code)


def _announce(ready_file: Path, message: dict[str, Any]) -> None:
    # Whoever waits for the file must never read half of it.
    part = ready_file.with_name(ready_file.name + ".part")
    part.write_text(json.dumps(message) + "\n", encoding="utf-8")
    part.replace(ready_file)


def main() -> None:
    """Entry of ``python -m shoal_server``."""
    app = typer.Typer(add_completion=False)
    app.command()(serve)

    @app.callback()
    def _root() -> None:
        """Shoal's server."""

    app()
