"""Serves the files of a folder over HTTP as a far storage does: many at once, and none before some time has passed.

    python benchmarks/slow_files.py FOLDER MILLISECONDS

Prints its address, and ends when its input does. ``/seen`` says how many files were asked for since it was asked last,
the most at once, and the seconds from the first request to the last answer.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class SlowFiles:
    """The files, in memory: what is waited for is the time that was asked for, and no disk."""

    def __init__(self, folder: Path, wait_s: float) -> None:
        self._files = {file.name: file.read_bytes() for file in folder.iterdir()}
        self._wait_s = wait_s
        self._first = self._last = 0.0
        self._count = self._now = self._most = 0

    async def file(self, request: Request) -> Response:
        """One file, or 404."""
        self._first = self._first or time.monotonic()
        self._now += 1
        self._most = max(self._most, self._now)
        await asyncio.sleep(self._wait_s)
        content = self._files.get(request.path_params["name"])
        self._count += 1
        self._now -= 1
        self._last = time.monotonic()
        return Response(status_code=404) if content is None else Response(content, media_type="image/jpeg")

    async def seen(self, _: Request) -> JSONResponse:
        """What came since the last time; begins anew."""
        told = {"files": self._count, "most_at_once": self._most, "seconds": self._last - self._first}
        self._forget()
        return JSONResponse(told)

    def _forget(self) -> None:
        self._first = self._last = 0.0
        self._count = self._now = self._most = 0


def main() -> None:
    """Serves until there is no more input."""
    folder, milliseconds = sys.argv[1:]
    files = SlowFiles(Path(folder), float(milliseconds) / 1000)
    app = Starlette(routes=[Route("/seen", files.seen), Route("/files/{name}", files.file)])
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    threading.Thread(target=_end_with_input, daemon=True).start()
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
