"""Corrections on the wall and on a cluster's page: what is shown before, what is shown after, and what the API says."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.explorer_server import Explorer
from tests.browser.sample_photos import EACH, home, images_of, store_colors


@pytest.fixture(scope="module", autouse=True)
def _three_clusters(explorer: Explorer) -> None:
    explorer.make_collection()
    store_colors(explorer)
    explorer.cluster()
    assert len(explorer.clusters()) == 3


def card(page: Page, cluster: int) -> Locator:
    return page.locator(f'.wall [data-cluster="{cluster}"]')


def wall(page: Page, explorer: Explorer) -> None:
    page.goto(explorer.url("clusters"))
    expect(page.locator(".wall [data-cluster]")).to_have_count(len(explorer.clusters()))


def last_correction(explorer: Explorer) -> dict[str, object]:
    newest: dict[str, object] = explorer.get("corrections")["corrections"][0]
    return newest


def undo_by_the_message(page: Page) -> None:
    page.locator(".toast").get_by_role("button", name="Undo").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Undo it").click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_text("Taken back").first).to_be_attached()


def test_a_card_is_renamed_from_the_keyboard(page: Page, explorer: Explorer) -> None:
    red = home(explorer, "red")
    wall(page, explorer)
    card(page, red).get_by_role("link").focus()
    page.keyboard.press("F2")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Name", exact=True)).to_be_focused()
    name = '<img src=x onerror="alert(3)"> & "roses"'
    page.keyboard.type(name)
    expect(dialog).to_contain_text("No image goes elsewhere")
    page.keyboard.press("Enter")
    expect(card(page, red)).to_contain_text(name)
    expect(card(page, red)).to_contain_text("Named by a person")
    expect(card(page, red).get_by_role("link")).to_be_focused()
    assert explorer.get(f"clusters/{red}")["display_name"] == name
    assert explorer.get(f"clusters/{red}")["name_source"] == "person"


def test_a_name_that_another_has_is_refused_where_it_is_typed(page: Page, explorer: Explorer) -> None:
    red, blue = home(explorer, "red"), home(explorer, "blue")
    taken = explorer.get(f"clusters/{blue}")["display_name"]
    before = explorer.get(f"clusters/{red}")["display_name"]
    wall(page, explorer)
    card(page, red).get_by_role("button", name="Rename").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill(taken)
    expect(dialog.locator(".field-error").first).to_contain_text("choose another name, or merge them")
    dialog.get_by_role("button", name="Rename").click()
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert explorer.get(f"clusters/{red}")["display_name"] == before


def test_a_card_is_merged_from_the_keyboard_and_taken_back(page: Page, explorer: Explorer) -> None:
    green, blue = home(explorer, "green"), home(explorer, "blue")
    wall(page, explorer)
    card(page, green).get_by_role("link").focus()
    page.keyboard.press("m")
    dialog = page.get_by_role("dialog")
    merge = dialog.get_by_role("button", name="Merge")
    expect(merge).to_be_disabled()
    dialog.locator(f'input[type="radio"][value="{blue}"]').focus()
    page.keyboard.press("Space")
    preview = dialog.get_by_role("region", name="What will change")
    expect(preview).to_contain_text(f"{EACH} images go elsewhere")
    expect(preview.get_by_role("row").filter(has_text=f"id {green}")).to_contain_text("gone")
    expect(preview.get_by_role("row").filter(has_text=f"id {blue}")).to_contain_text(str(2 * EACH))
    assert home(explorer, "green") == green, "looking changes nothing"
    expect(merge).to_be_enabled()
    merge.focus()
    page.keyboard.press("Enter")
    expect(card(page, green)).to_have_count(0)
    expect(card(page, blue)).to_contain_text(f"{2 * EACH} images")
    expect(card(page, blue)).to_contain_text("Merged")
    assert home(explorer, "green") == blue
    assert last_correction(explorer)["kind"] == "merge"

    undo_by_the_message(page)
    expect(card(page, green)).to_contain_text(f"{EACH} images")
    assert (home(explorer, "green"), home(explorer, "blue")) == (green, blue)
    assert last_correction(explorer)["undo_time"] is not None


def test_a_card_is_merged_by_dragging_it_onto_another(page: Page, explorer: Explorer) -> None:
    green, blue = home(explorer, "green"), home(explorer, "blue")
    wall(page, explorer)
    card(page, blue).drag_to(card(page, green))
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("region", name="What will change")).to_contain_text(f"{EACH} images go elsewhere")
    kept = dialog.get_by_role("radio")
    expect(kept.first).to_be_checked()
    assert kept.first.get_attribute("value") == str(green), "the one that it is dropped on is kept"
    kept.last.check()
    expect(dialog.get_by_role("row").filter(has_text=f"id {green}")).to_contain_text("gone")
    dialog.get_by_role("button", name="Merge").click()
    expect(card(page, green)).to_have_count(0)
    assert home(explorer, "green") == home(explorer, "blue") == blue
    undo_by_the_message(page)
    assert home(explorer, "green") == green


def test_a_cluster_is_split_as_the_preview_says(page: Page, explorer: Explorer) -> None:
    blue = home(explorer, "blue")
    page.goto(explorer.url(f"clusters/{blue}"))
    page.get_by_role("button", name="Split…").click()
    dialog = page.get_by_role("dialog")
    preview = dialog.get_by_role("region", name="What will change")
    expect(preview.get_by_role("heading", name="2 parts")).to_be_visible()
    expect(preview).to_contain_text("6 images in a new cluster")
    expect(preview.locator("img[src]").first).to_be_visible()
    dialog.get_by_label("Parts", exact=True).fill("3")
    expect(preview.get_by_role("heading", name="3 parts")).to_be_visible()
    assert home(explorer, "blue") == blue
    dialog.get_by_role("button", name="Split").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator(".facts")).to_contain_text("4 images")
    parts = set(images_of(explorer, "blue").values())
    assert len(parts) == 3
    assert blue in parts
    undo_by_the_message(page)
    expect(page.locator(".facts")).to_contain_text(f"{EACH} images")
    assert home(explorer, "blue") == blue


def test_images_are_moved_and_made_a_cluster_of_their_own(page: Page, explorer: Explorer) -> None:
    red, blue = home(explorer, "red"), home(explorer, "blue")
    page.goto(explorer.url(f"clusters/{blue}"))
    every = page.get_by_role("region", name="All images")
    every.get_by_label("Select blue-03.png").check()
    every.get_by_label("Select blue-04.png").check()
    bar = page.get_by_role("region", name="Selection")
    expect(bar).to_contain_text("2 images selected")
    bar.get_by_role("button", name="Move to cluster").click()
    dialog = page.get_by_role("dialog")
    dialog.locator(f'input[type="radio"][value="{red}"]').check()
    expect(dialog).to_contain_text("2 images go elsewhere")
    dialog.get_by_role("button", name="Move").click()
    expect(bar).to_be_hidden()
    expect(page.locator(".facts")).to_contain_text(f"{EACH - 2} images")
    assert sorted(cluster == red for cluster in images_of(explorer, "blue").values()).count(True) == 2

    every.get_by_label("Select blue-05.png").check()
    bar.get_by_role("button", name="New cluster").click()
    expect(dialog).to_contain_text("2 parts")
    dialog.get_by_role("button", name="Make the cluster").click()
    expect(page.locator(".facts")).to_contain_text(f"{EACH - 3} images")
    assert len(set(images_of(explorer, "blue").values())) == 3

    page.get_by_role("link", name="History").click()
    rows = page.get_by_role("row")
    expect(rows.nth(1)).to_contain_text("Split")
    expect(rows.nth(2)).to_contain_text("Moved")
    for kind in ("Split", "Moved"):
        page.get_by_role("button", name=f"Undo: {kind}").first.click()
        dialog.get_by_role("button", name="Undo it").click()
        expect(dialog).to_be_hidden()
    expect(rows.nth(1)).to_contain_text("undone")
    assert home(explorer, "blue") == blue


def test_images_of_several_clusters_are_no_new_cluster(page: Page, explorer: Explorer) -> None:
    red, blue = home(explorer, "red"), home(explorer, "blue")
    page.goto(explorer.url(f"clusters/{blue}"))
    page.get_by_role("region", name="All images").get_by_label("Select blue-03.png").check()
    page.goto(explorer.url(f"clusters/{red}"))
    page.get_by_role("region", name="All images").get_by_label("Select red-03.png").check()
    page.get_by_role("region", name="Selection").get_by_role("button", name="New cluster").click()
    expect(page.get_by_role("alert")).to_contain_text("not all in one cluster")


def test_a_cluster_is_pinned_and_let_go_of(page: Page, explorer: Explorer) -> None:
    green = home(explorer, "green")
    wall(page, explorer)
    card(page, green).hover()
    card(page, green).get_by_role("button", name="More for").click()
    page.get_by_role("menuitem", name="Pin").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("No image goes elsewhere")
    dialog.get_by_role("button", name="Pin").click()
    expect(card(page, green)).to_contain_text("Pinned")
    assert explorer.get(f"clusters/{green}")["pinned"]
    undo_by_the_message(page)
    expect(card(page, green)).not_to_contain_text("Pinned")
    assert not explorer.get(f"clusters/{green}")["pinned"]


def test_a_cluster_is_dissolved_and_its_images_are_found_among_those_in_none(page: Page, explorer: Explorer) -> None:
    green = home(explorer, "green")
    page.goto(explorer.url(f"clusters/{green}"))
    page.get_by_role("button", name="Dissolve…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{EACH} images go elsewhere")
    dialog.get_by_role("button", name="Dissolve").click()
    # Its page is gone with it.
    expect(page.get_by_role("heading", name="Clusters", level=1)).to_be_visible()
    assert set(images_of(explorer, "green").values()) == {None}
    page.get_by_role("link", name=f"{EACH} in no cluster").click()
    expect(page.locator("[data-image]")).to_have_count(EACH)
    undo_by_the_message(page)
    expect(page.get_by_role("heading", name="Every image is in a cluster")).to_be_visible()
    assert home(explorer, "green") == green


def test_the_record_says_who_corrected(page: Page, explorer: Explorer) -> None:
    green = home(explorer, "green")
    page.goto(explorer.url("history"))
    page.get_by_label("Record my corrections as").fill("Ada <script>")
    page.get_by_label("Record my corrections as").press("Tab")
    page.goto(explorer.url(f"clusters/{green}"))
    page.get_by_role("button", name="Rename…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("Meadows")
    dialog.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", name="Meadows")).to_be_visible()
    assert last_correction(explorer)["author"] == "Ada <script>"
    page.goto(explorer.url("history"))
    expect(page.get_by_role("row").nth(1)).to_contain_text("Ada <script>")
