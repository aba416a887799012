"""What every page owes everybody: no barrier, no markup out of names, a phone's width, the dark, a link back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import fresh_page
from tests.browser.explorer_server import Explorer
from tests.browser.sample_photos import HOSTILE_CAMERA, HOSTILE_NAME, home, store_colors
from tests.fakes import picture

HOSTILE_CLUSTER = "<b>red</b><script>alert(4)</script>"
#: What axe-core finds that is not to be: of the impacts minor, moderate, serious and critical.
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module", autouse=True)
def views(explorer: Explorer) -> dict[str, str]:
    """The pages that there are, by what they are called here."""
    explorer.make_collection()
    store_colors(explorer)
    for shot in (50, 51):
        explorer.store(f"far-{shot}.png", picture("white", shot))
    first = explorer.cluster()
    red = home(explorer, "red")
    explorer.patch(f"clusters/{red}", {"display_name": HOSTILE_CLUSTER, "author": "<i>Ada</i>"})
    second = explorer.cluster()
    hostile = next(each for each in explorer.get("images", page_size=100)["images"] if each["uri"] == HOSTILE_NAME)
    return {
        "map": "map",
        "wall": "clusters",
        "wall in one": "clusters?themes=off&order=display_name",
        "nothing found": "clusters?find=nosuchname",
        "cluster": f"clusters/{red}",
        "unclustered": "clusters/none",
        "search": "search",
        "duplicates": "duplicates?bursts=on",
        "history": "history",
        "runs": "runs?corrections=on",
        "run": f"runs/{first}",
        "comparison": f"runs/compare?from={first}&to={second}",
        "add": "add",
        "image": f"image/{hostile['id']}",
        "missing": "clusters/4711",
    }


VIEWS = (
    "map",
    "wall",
    "wall in one",
    "nothing found",
    "cluster",
    "unclustered",
    "search",
    "duplicates",
    "history",
    "runs",
    "run",
    "comparison",
    "add",
    "image",
    "missing",
)


def show(page: Page, explorer: Explorer, view: str) -> None:
    page.goto(explorer.url(view))
    expect(page.locator("main").get_by_role("heading").first).to_be_visible()
    expect(page.locator(".busy")).to_have_count(0)


@pytest.fixture
def dark_phone(browser: Browser, explorer: Explorer) -> Iterator[Page]:
    """A page as a phone shows it at night."""
    for page in fresh_page(browser, explorer.address):
        page.set_viewport_size({"width": 360, "height": 740})
        page.emulate_media(color_scheme="dark")
        yield page


def found_by_axe(page: Page) -> list[str]:
    """What is serious, one line each."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['target']} {node['html'][:150]} {node.get('failureSummary', '')[:200]}"
        for each in found
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("view", VIEWS)
def test_there_is_no_serious_barrier(page: Page, explorer: Explorer, views: dict[str, str], view: str) -> None:
    show(page, explorer, views[view])
    assert found_by_axe(page) == []


@pytest.mark.parametrize("view", VIEWS)
def test_nor_in_the_dark_on_a_phone_and_nothing_is_wider_than_it(
    dark_phone: Page, explorer: Explorer, views: dict[str, str], view: str
) -> None:
    show(dark_phone, explorer, views[view])
    assert found_by_axe(dark_phone) == []
    assert dark_phone.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("action", ["Rename…", "Merge into…", "Split…", "Pin…", "Export…", "Dissolve…"])
def test_nor_in_a_dialog(page: Page, explorer: Explorer, views: dict[str, str], action: str) -> None:
    show(page, explorer, views["cluster"])
    page.locator(".view-head").get_by_role("button", name=action).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog.locator(".waiting")).to_have_count(0)
    assert found_by_axe(page) == []
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator(".view-head").get_by_role("button", name=action)).to_be_focused()


def test_names_are_text_wherever_they_are_shown(page: Page, explorer: Explorer, views: dict[str, str]) -> None:
    """That nothing ran is for the page's fixture: a dialog, or an error in the console, fails the test."""
    show(page, explorer, views["cluster"])
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE_CLUSTER)
    expect(page.get_by_role("region", name="Cameras")).to_contain_text(HOSTILE_CAMERA)
    expect(page.get_by_role("region", name="All images")).to_contain_text(HOSTILE_NAME)
    show(page, explorer, views["wall"])
    expect(page.locator(".wall")).to_contain_text(HOSTILE_CLUSTER)
    show(page, explorer, views["history"])
    expect(page.get_by_role("table")).to_contain_text(HOSTILE_CLUSTER)
    expect(page.get_by_role("table")).to_contain_text("<i>Ada</i>")
    show(page, explorer, views["image"])
    expect(page.locator("main")).to_contain_text(HOSTILE_NAME)
    expect(page.locator("main")).to_contain_text(HOSTILE_CAMERA)
    for view in VIEWS:
        show(page, explorer, views[view])
        assert page.locator("main script, main b, main i, main img[onerror], main img[src=x]").count() == 0, view


def test_the_wall_is_worked_through_by_keyboard(page: Page, explorer: Explorer, views: dict[str, str]) -> None:
    show(page, explorer, views["wall"])
    page.keyboard.press("Tab")
    reached = []
    for _ in range(60):
        here = page.evaluate(
            """() => {
                const now = document.activeElement;
                const ring = getComputedStyle(now);
                if (now === document.body) return ["", "", ""];
                const name = now.getAttribute("aria-label") ?? now.textContent.trim().slice(0, 40);
                return [name, ring.outlineStyle, ring.outlineWidth];
            }"""
        )
        reached.append(here)
        page.keyboard.press("Tab")
    names = [name for name, _, _ in reached]
    assert any(name.startswith("More for") for name in names), names
    assert any("Export all" in name for name in names)
    # Everything on the way shows that it has the focus.
    assert all(style != "none" and width != "0px" for name, style, width in reached if name), reached


def test_the_menu_of_a_card_is_one_for_the_keyboard(page: Page, explorer: Explorer, views: dict[str, str]) -> None:
    show(page, explorer, views["wall"])
    more = page.get_by_role("button", name="More for").first
    more.focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("menuitem", name="Dissolve")).to_be_focused()
    page.keyboard.press("Escape")
    expect(more).to_be_focused()
    expect(more).to_have_attribute("aria-expanded", "false")


def test_a_link_reopens_the_wall_as_it_was(page: Page, explorer: Explorer, views: dict[str, str]) -> None:
    show(page, explorer, "clusters")
    page.get_by_label("Order").select_option("display_name")
    expect(page.get_by_label("Order")).to_have_value("display_name")
    page.get_by_label("Find").fill("red")
    shown = page.locator("[data-cluster]")
    expect(shown).to_have_count(1)
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(page.get_by_label("Order")).to_have_value("display_name")
    expect(page.get_by_label("Find")).to_have_value("red")
    expect(shown).to_have_count(1)


def test_there_are_more_collections_than_a_page_of_the_list(page: Page, explorer: Explorer) -> None:
    explorer.make_collection("zebras")

    def one_a_page(route: Route) -> None:
        route.continue_(url=str(httpx.URL(route.request.url).copy_set_param("page_size", "1")))

    page.route(re.compile(r"/api/v1/collections(\?|$)"), one_a_page)
    page.goto(f"{explorer.address}/#/zebras/clusters")
    picker = page.get_by_label("Collection")
    expect(picker).to_have_value("zebras")
    expect(picker.locator("option")).to_have_text(["photos", "zebras"])
    expect(page.locator("main")).not_to_contain_text("There is no collection")


def test_numbers_of_another_language_break_nothing(browser: Browser, explorer: Explorer, views: dict[str, str]) -> None:
    context = browser.new_context(locale="de-DE")
    page = context.new_page()
    show(page, explorer, views["cluster"])
    expect(page.locator(".facts")).to_contain_text("1,00")
    page.get_by_role("button", name="Split…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("2 parts")
    context.close()
