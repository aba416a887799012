"""Runs on the page: two compared, one of before put in force again."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.explorer_server import Explorer
from tests.browser.sample_photos import EACH, home, images_of, store_colors


@pytest.fixture(scope="module", autouse=True)
def runs(explorer: Explorer) -> list[str]:
    """Two: of the colours as they are, and, with all in two clusters, of what was asked for on the page."""
    explorer.make_collection()
    store_colors(explorer)
    return [explorer.cluster()]


def test_a_run_with_other_settings_is_started_watched_and_compared(
    page: Page, explorer: Explorer, runs: list[str]
) -> None:
    before = {color: home(explorer, color) for color in ("red", "green", "blue")}
    page.goto(explorer.url("runs"))
    page.get_by_text("More settings").click()
    page.get_by_label("Clusters", exact=True).fill("2")
    explorer.hold_up(held=True)
    page.get_by_role("button", name="Cluster again").click()
    watched = page.get_by_role("region", name="The run under way")
    expect(watched.get_by_role("progressbar")).to_have_attribute("value", re.compile(r"0\.\d+"))
    explorer.hold_up(held=False)
    expect(page.get_by_role("heading", name="Start a run")).to_be_visible()
    newest = explorer.get("runs")["runs"][0]
    assert newest["parameters"]["cluster_count"] == 2
    assert newest["active"]
    runs.append(newest["id"])

    boxes = page.get_by_role("checkbox", name="Compare the run of")
    compare = page.get_by_role("button", name="Compare two")
    boxes.first.check()
    expect(compare).to_be_disabled()
    boxes.nth(1).check()
    compare.click()
    expect(page.get_by_role("heading", name="Two runs compared")).to_be_visible()
    said = explorer.get("runs:compare", **{"from": runs[0], "to": runs[1]})
    assert said["moved_count"] > 0
    expect(page.locator(".verdict")).to_contain_text(f"{said['moved_count']} images of {3 * EACH + 1} moved")
    rows = page.get_by_role("table").get_by_role("row")
    expect(rows).to_have_count(1 + len(said["flows"]))
    expect(rows.nth(1)).to_contain_text(str(said["flows"][0]["image_count"]))

    # The link reopens exactly this.
    address = page.url
    assert f"from={runs[0]}" in address
    assert f"to={runs[1]}" in address
    page.goto("about:blank")
    page.goto(address)
    expect(page.locator(".verdict")).to_contain_text("moved")
    expect(page.get_by_label("The run before")).to_have_value(runs[0])
    assert {color: set(images_of(explorer, color).values()) for color in before} != {
        color: {cluster} for color, cluster in before.items()
    }


def test_a_run_of_before_is_put_in_force_after_showing_what_that_moves(
    page: Page, explorer: Explorer, runs: list[str]
) -> None:
    page.goto(explorer.url("runs"))
    row = page.locator(f'tr[data-run="{runs[0]}"]')
    row.get_by_role("button", name="Put in force").click()
    dialog = page.get_by_role("dialog")
    said = explorer.get("runs:compare", **{"from": runs[1], "to": runs[0]})
    expect(dialog.locator(".verdict")).to_contain_text(f"{said['moved_count']} images")
    assert explorer.get("")["active_run"] == runs[1]
    dialog.get_by_role("button", name="Put in force").click()
    expect(row).to_contain_text("In force")
    assert explorer.get("")["active_run"] == runs[0]
    assert len({home(explorer, color) for color in ("red", "green", "blue")}) == 3


def test_a_run_tells_what_it_found_and_how(page: Page, explorer: Explorer, runs: list[str]) -> None:
    page.goto(explorer.url(f"runs/{runs[0]}"))
    found = explorer.get(f"runs/{runs[0]}")
    figures = page.locator(".figures")
    expect(figures).to_contain_text(f"{found['summary']['cluster_count']}")
    expect(page.get_by_role("heading", name="What the search for settings tried")).to_be_visible()
    for trial in found["trials"]:
        expect(page.get_by_role("row").filter(has_text=trial["verdict"]).first).to_be_visible()
    expect(page.get_by_role("heading", name="What became of the clusters")).to_be_visible()


def test_a_run_that_there_is_not_says_so(page: Page, explorer: Explorer) -> None:
    page.goto(explorer.url("runs/20200101-000000-000000-abcd"))
    expect(page.get_by_role("alert")).to_contain_text("there is no clustering run")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
