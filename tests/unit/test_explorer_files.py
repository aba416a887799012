"""The page's files: all of them are installed, and all of them are served."""

from __future__ import annotations

from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

from shoal_server.web.api.routes.page import FOLDER, SUFFIXES

ROOT = Path(__file__).parents[2]


def test_every_file_of_the_page_is_in_the_wheel_and_served() -> None:
    wheel = WheelBuilder(str(ROOT))
    installed = {Path(each.path) for each in wheel.recurse_included_files()}
    page = {path for path in FOLDER.rglob("*") if path.is_file()}
    assert FOLDER / "index.html" in page
    assert not page - installed
    assert {path.suffix for path in page} <= SUFFIXES


def test_no_file_brings_another_sites_script() -> None:
    for path in (each for each in FOLDER.rglob("*") if each.suffix in {".html", ".css", ".js"}):
        text = path.read_text(encoding="utf-8")
        for word in ("cdn.", "innerHTML =", "eval(", "document.write", "new Function"):
            assert word not in text, (path, word)
