"""A server that wants keys: the page asks for one, and offers what that one allows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from shoal_server.adapters.key_file import KeyFile
from shoal_server.domain.access import Role, make_key
from tests.browser.conftest import fresh_page
from tests.browser.explorer_server import Explorer, serving
from tests.browser.sample_photos import drawing, home, store_colors

#: Controls that change something, on the views that have them.
CHANGES = {
    "clusters": ["Rename"],
    "runs": ["Cluster again"],
    "history": ["Undo", "Record my corrections as"],
    "duplicates": ["Remove"],
}
#: What is there on each once all of it is.
SHOWN = {
    "clusters": ".wall [data-cluster]",
    "runs": "[data-run]",
    "history": "[data-correction]",
    "duplicates": ".duplicates",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's."""
    return tmp_path_factory.mktemp("guarded")


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[Role, str]:
    """A key of each role."""
    made = {role: make_key(role.value, role, None, datetime.now(UTC), None) for role in Role}
    KeyFile(folder / "keys.json").change(lambda there: (*there, *(key for _, key in made.values())))
    return {role: secret for role, (secret, _) in made.items()}


@pytest.fixture(scope="module")
def guarded(folder: Path, keys: dict[Role, str]) -> Iterator[Explorer]:
    """A server with these keys, three clusters of which one was renamed, and a picture that is there twice."""
    with serving(folder, keys[Role.ADMIN]) as served:
        served.make_collection()
        store_colors(served)
        served.store("large.png", drawing(256, "PNG"))
        served.store("small.jpg", drawing(128, "JPEG"))
        served.cluster()
        served.patch(f"clusters/{home(served, 'red')}", {"display_name": "roses", "author": "Ada"})
        yield served


@pytest.fixture
def stranger(browser: Browser, guarded: Explorer) -> Iterator[Page]:
    """A page of somebody who has not said who they are."""
    yield from fresh_page(browser, guarded.address)


def enter(page: Page, key: str) -> None:
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("API key").fill(key)
    dialog.get_by_role("button", name="Use this key").click()


def test_a_key_is_asked_for_and_one_that_is_none_is_refused(
    stranger: Page, guarded: Explorer, keys: dict[Role, str]
) -> None:
    stranger.goto(guarded.url("clusters"))
    expect(stranger.get_by_role("dialog")).to_contain_text("This server wants a key")
    expect(stranger.locator("body")).not_to_contain_text("roses")
    enter(stranger, "shoal_of_nobody")
    expect(stranger.get_by_role("dialog")).to_contain_text("The server refused this key")
    enter(stranger, keys[Role.WRITE])
    expect(stranger.locator(".wall")).to_contain_text("roses")
    # Kept for the tab, and nowhere that outlives it.
    stranger.reload()
    expect(stranger.locator(".wall")).to_contain_text("roses")
    assert keys[Role.WRITE] not in stranger.evaluate("JSON.stringify(localStorage) + document.cookie + location.href")


@pytest.mark.parametrize("view", CHANGES)
def test_who_may_only_look_is_offered_no_change(
    stranger: Page, guarded: Explorer, keys: dict[Role, str], view: str
) -> None:
    stranger.goto(guarded.url(view))
    enter(stranger, keys[Role.READ])
    expect(stranger.get_by_text("Read only")).to_be_visible()
    expect(stranger.locator(SHOWN[view]).first).to_be_visible()
    expect(stranger.get_by_role("link", name="Add photos")).to_have_count(0)
    for name in CHANGES[view]:
        expect(stranger.get_by_role("button", name=name).or_(stranger.get_by_label(name))).to_have_count(0)
    if view == "clusters":
        # The menus of cards have what is left.
        stranger.get_by_role("button", name="More for").first.click()
        expect(stranger.get_by_role("menuitem")).to_have_text(["Export…E"])
        assert stranger.locator(".wall [draggable=true]").count() == 0
        # Neither does a key on the keyboard.
        stranger.keyboard.press("Escape")
        stranger.locator(".wall [data-cluster] a").first.focus()
        stranger.keyboard.press("F2")
        expect(stranger.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("view", CHANGES)
def test_who_may_change_something_is_offered_it(
    stranger: Page, guarded: Explorer, keys: dict[Role, str], view: str
) -> None:
    stranger.goto(guarded.url(view))
    enter(stranger, keys[Role.WRITE])
    expect(stranger.get_by_role("link", name="Add photos")).to_be_visible()
    expect(stranger.get_by_text("Read only")).to_have_count(0)
    for name in CHANGES[view]:
        expect(stranger.get_by_role("button", name=name).or_(stranger.get_by_label(name)).first).to_be_visible()


def test_a_reader_can_only_export_what_is_selected(stranger: Page, guarded: Explorer, keys: dict[Role, str]) -> None:
    stranger.goto(guarded.url(f"clusters/{home(guarded, 'red')}"))
    enter(stranger, keys[Role.READ])
    expect(stranger.locator(".view-head").get_by_role("button")).to_have_text(["Export…"])
    stranger.get_by_role("region", name="All images").get_by_role("checkbox").first.check()
    bar = stranger.get_by_role("region", name="Selection")
    expect(bar.get_by_role("button")).to_have_text(["Export…", "Clear"])
    expect(stranger.get_by_role("button", name="Merge")).to_have_count(0)


def test_the_page_for_adding_photos_is_not_there_for_a_reader(
    stranger: Page, guarded: Explorer, keys: dict[Role, str]
) -> None:
    stranger.goto(guarded.url("add"))
    enter(stranger, keys[Role.READ])
    expect(stranger.get_by_role("heading", name="There is no page “add”")).to_be_visible()
    expect(stranger.get_by_role("button", name="Choose files")).to_have_count(0)
