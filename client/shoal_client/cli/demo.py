"""``shoal demo``: a server, a collection and its clusters in a minute."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from shoal_client.cli.demo_story import Pictures, tell
from shoal_client.cli.options import DEFAULT_COLLECTION, opened
from shoal_client.cli.output import console, error_console
from shoal_client.cli.progress import image_progress
from shoal_client.credentials import NO_CREDENTIALS
from shoal_client.demo.photographs import make_photographs
from shoal_client.demo.server_process import Addresses, ServerProcess, server_process
from shoal_client.errors import NotFound, ServerEnded
from shoal_client.files import find_images

#: Stored turned by EXIF, so that it finds its cluster only if it is turned upright first.
HELD_BACK = "chelsea_06.jpg"
PROMPTS = ("a cat", "a cup of coffee", "a rocket launch")


def demo(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Images of your own instead of the built-in photographs.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Keep the data there instead of a temporary folder.")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="The embedding model.")] = "starter",
    keep: Annotated[bool, typer.Option("--keep", help="Go on serving at the end, until Ctrl-C.")] = False,
) -> None:
    """Starts a server, ingests photographs, clusters, names and searches them, and shows what to do next."""
    with (
        ending_on_signals(),
        data_folder(data, keep=keep) as home,
        showing_last_words(),
        server_process(home, model) as server,
    ):
        pictures = photographs(home) if folder is None else own_pictures(folder)
        addresses = started(server, model)
        address = addresses.grpc
        with opened(address, DEFAULT_COLLECTION, make=True, given=NO_CREDENTIALS) as collection:
            tell(collection, pictures, address)
        kept = keep or data is not None
        console().print(
            f"\nThe data is in {home}{'' if kept else ' and is removed now; keep it with --data DIR or --keep'}.",
            markup=False,
            soft_wrap=True,
        )
        if keep:
            serve_on(server, addresses)


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Lets the signals that would end the process at once unwind it instead, so that the server is stopped too."""

    def end(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), end) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


@contextmanager
def data_folder(given: Path | None, *, keep: bool) -> Iterator[Path]:
    """The folder for everything; a temporary one is removed at the end unless it is to be kept."""
    if given is not None:
        yield given.resolve()
        return
    temporary = Path(tempfile.mkdtemp(prefix="shoal-demo-"))
    try:
        yield temporary
    finally:
        if not keep:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def showing_last_words() -> Iterator[None]:
    """Shows the end of the server's log if it ends by itself: the log may be removed with the data."""
    try:
        yield
    except ServerEnded as error:
        error_console().print(error.log_tail, markup=False, soft_wrap=True)
        raise


def photographs(home: Path) -> Pictures:
    """The built-in photographs, made in the data folder.

    Raises:
        MissingExtra: a package for that is not installed.
    """
    with image_progress(error_console()) as progress:
        bar = progress.add_task("making photographs", total=None)
        files = make_photographs(
            home / "photographs", lambda done, count: progress.update(bar, completed=done, total=count)
        )
    held_back = home / "photographs" / HELD_BACK
    return Pictures([file for file in files if file != held_back], held_back, PROMPTS)


def own_pictures(folder: Path) -> Pictures:
    """Somebody's own pictures; one from the middle is held back.

    Raises:
        NotFound: there are none.
    """
    files = find_images([folder]).files
    if not files:
        raise NotFound(f"no image files were found in {folder}")
    held_back = files.pop(len(files) // 2)
    return Pictures(files, held_back, ())


def started(server: ServerProcess, model: str) -> Addresses:
    """The server's addresses, when it is ready.

    Raises:
        ServerEnded: it ended instead.
    """
    with error_console().status(f"starting a server with model {model} (its log: {server.log})"):
        return server.wait_until_ready()


def serve_on(server: ServerProcess, addresses: Addresses) -> None:
    """Goes on serving until Ctrl-C.

    Raises:
        ServerEnded: the server ended by itself.
    """
    address = addresses.grpc
    console().print(
        f"\nLook at the clusters, search and correct them in a browser: {addresses.page}\n"
        f"Serving at {address} until Ctrl-C. In another terminal:\n"
        f"  shoal search 'a cat' --server {address}\n"
        f"  shoal clusters --server {address}\n"
        f"  shoal ingest FOLDER --server {address}",
        markup=False,
        soft_wrap=True,
    )
    try:
        server.serve_on()
    except KeyboardInterrupt:
        console().print("stopping")
