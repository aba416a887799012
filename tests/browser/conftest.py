"""A browser, and a server with its page for it to look at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, expect, sync_playwright

from tests.browser.explorer_server import Explorer, serving

#: What is waited for at most, in milliseconds; the machine may have other things to do.
PATIENCE_MS = 20_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    # Its sandbox does not work for root, as whom containers often run.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=chromium, args=options)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explorer]:
    """A server without a collection."""
    memory = Path("/dev/shm")  # noqa: S108 - a fresh folder is made in it
    base = memory if os.access(memory, os.W_OK) else None
    folder = tmp_path_factory.mktemp("explorer") if base is None else base / f"shoal-explorer-{os.getpid()}"
    try:
        with serving(folder) as served:
            yield served
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def page(browser: Browser, explorer: Explorer) -> Iterator[Page]:
    """A page of a fresh browser; see :func:`fresh_page`."""
    yield from fresh_page(browser, explorer.address)


def fresh_page(browser: Browser, address: str) -> Iterator[Page]:
    """A page that nothing goes wrong on: no error in its console, no dialog, no request to anywhere else."""
    wrong: list[str] = []
    host = urlsplit(address).netloc
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB", accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()

    def console(message: ConsoleMessage) -> None:
        # Answers of the API that are no success are told, too; what the page makes of them is what tests look at.
        if message.type == "error" and "Failed to load resource" not in message.text:
            wrong.append(message.text)

    def asked(request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme in ("http", "https", "ws", "wss") and url.netloc != host:
            wrong.append(f"a request to {request.url}")

    def dialog(opened_dialog: Dialog) -> None:
        if opened_dialog.type != "beforeunload":
            wrong.append(f"a dialog: {opened_dialog.message}")
        opened_dialog.accept()

    opened.on("console", console)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", asked)
    opened.on("dialog", dialog)
    yield opened
    context.close()
    assert not wrong
