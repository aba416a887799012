"""Search: by words, by a photo, by what is like another, with filters; what it shows, and what the API says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.explorer_server import Explorer
from tests.browser.sample_photos import COLORS, EACH, HOSTILE_CAMERA, HOSTILE_NAME, home, images_of, store_colors
from tests.fakes import picture


@pytest.fixture(scope="module", autouse=True)
def clusters(explorer: Explorer) -> dict[str, int]:
    """Three colours and a hostile picture, clustered; the cluster of each colour."""
    explorer.make_collection()
    store_colors(explorer)
    explorer.cluster()
    found = {color: home(explorer, color) for color in COLORS}
    for color, cluster in found.items():
        explorer.patch(f"clusters/{cluster}", {"display_name": f"all {color}"})
    return found


def show(page: Page, explorer: Explorer, **params: str) -> None:
    page.goto(explorer.url("search", **params))
    settled(page)


def settled(page: Page) -> None:
    expect(page.locator(".search-results")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".search-times")).to_be_visible()


def names(page: Page) -> list[str]:
    """Of the images that were found, in their order."""
    return page.locator(".search-images .card-title").all_text_contents()


def test_words_are_answered_with_clusters_and_images_together(page: Page, explorer: Explorer) -> None:
    show(page, explorer)
    page.get_by_role("searchbox", name="Search by what photos show").fill("green")
    page.keyboard.press("Enter")
    expect(page.locator(".search-clusters .card-title").first).to_have_text("all green")
    expect(page.locator(".search-images .card-title").first).to_contain_text("green-")
    expect(page).to_have_url(re.compile("text=green"))
    said = explorer.post("images:search", {"text": "green", "page_size": 48})["results"]
    assert names(page) == [each["image"]["uri"] for each in said]
    assert all(name.startswith("green-") for name in names(page)[:EACH])
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(page.get_by_role("searchbox", name="Search by what photos show")).to_have_value("green")
    expect(page.locator(".search-clusters .card-title").first).to_have_text("all green")


def test_a_photo_finds_its_cluster_and_its_like(page: Page, explorer: Explorer, tmp_path: Path) -> None:
    photo = tmp_path / HOSTILE_NAME
    photo.write_bytes(picture("blue", 77))
    show(page, explorer)
    page.locator("#search-photo").set_input_files(photo)
    expect(page.locator(".search-assignment")).to_contain_text("It belongs to all blue")
    expect(page.locator(".search-photo")).to_contain_text(HOSTILE_NAME)
    expect(page.locator(".search-images .card-title").first).to_contain_text("blue-")
    page.get_by_role("button", name="Remove photo").click()
    expect(page.locator(".search-assignment")).to_have_count(0)


def test_a_photo_is_dropped(page: Page, explorer: Explorer) -> None:
    show(page, explorer)
    page.evaluate(
        """content => {
            const dropped = new DataTransfer();
            dropped.items.add(new File([new Uint8Array(content)], "mine.png", { type: "image/png" }));
            const drop = new DragEvent("drop", { dataTransfer: dropped, bubbles: true, cancelable: true });
            document.querySelector(".search-page").dispatchEvent(drop);
        }""",
        list(picture("red", 78)),
    )
    expect(page.locator(".search-assignment")).to_contain_text("It belongs to all red")


def test_what_is_no_photo_is_refused_with_what_to_do(page: Page, explorer: Explorer, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    show(page, explorer)
    page.locator("#search-photo").set_input_files(broken)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("That did not work")
    expect(alert.get_by_role("button", name="Try again")).to_be_visible()


def test_more_like_this_and_less(page: Page, explorer: Explorer) -> None:
    show(page, explorer, text="green")
    expect(page.locator(".search-images .card-title").first).to_contain_text("green-")
    card = page.locator(".search-images .card").first
    card.hover()
    card.get_by_role("button", name="More like").click()
    settled(page)
    expect(page).to_have_url(re.compile("like="))
    expect(page.get_by_role("button", name="Remove: like this")).to_be_visible()
    page.get_by_role("button", name="Remove: like this").click()
    expect(page).not_to_have_url(re.compile("like="))
    blue = next(iter(images_of(explorer, "blue")))
    show(page, explorer, like=blue)
    assert all(name.startswith("blue-") for name in names(page)[: EACH - 1])


def test_filters_narrow_what_is_found(page: Page, explorer: Explorer, clusters: dict[str, int]) -> None:
    show(page, explorer, text="green")
    page.locator("[data-facet=cluster]").get_by_label("all red").check()
    expect(page.get_by_role("button", name="Remove filter Cluster: all red")).to_be_visible()
    expect(page.locator(".search-images .card-title")).to_have_count(EACH + 1)
    where = {"clusters": [clusters["red"]]}
    said = explorer.post("images:search", {"text": "green", "where": where, "page_size": 48})["results"]
    assert sorted(names(page)) == sorted(each["image"]["uri"] for each in said)
    # Others can still be chosen beside it.
    page.locator("[data-facet=cluster]").get_by_label("all blue").check()
    expect(page.locator(".search-images .card-title")).to_have_count(2 * EACH + 1)
    page.get_by_role("button", name="Clear filters").click()
    expect(page).not_to_have_url(re.compile("where="))


def test_times_filter_by_the_cameras_clock(page: Page, explorer: Explorer) -> None:
    show(page, explorer)
    page.get_by_label("Taken from").fill("2023-06-01")
    page.get_by_label("and before").fill("2023-07-01")
    page.get_by_label("and before").press("Tab")
    expect(page.locator(".search-images .card-title")).to_have_count(EACH)
    assert all(name.startswith("green-") for name in names(page))
    expect(page.get_by_role("button", name="Remove filter Taken from")).to_be_visible()


def test_a_link_with_a_filter_of_the_api_opens(page: Page, explorer: Explorer) -> None:
    area = {"circle": {"center": {"latitude": 41.0, "longitude": 2.0}, "radius_m": 1000}}
    show(page, explorer, where=json.dumps({"area": area}))
    expect(page.get_by_role("button", name="Remove filter Taken in an area")).to_be_visible()
    expect(page.locator(".search-images .card-title")).to_have_count(EACH)
    assert all(name.startswith("blue-") for name in names(page))


def test_a_hostile_camera_and_name_are_text(page: Page, explorer: Explorer) -> None:
    """That nothing ran is for the page's fixture."""
    show(page, explorer)
    page.locator("[data-facet=camera]").get_by_label(HOSTILE_CAMERA).check()
    expect(page.locator(".search-images .card-title")).to_have_text([HOSTILE_NAME])
    page.locator(".search-images .card a").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE_NAME)
    expect(page.locator(".image-details")).to_contain_text(HOSTILE_CAMERA)
    page.locator(".image-details").get_by_role("link", name=HOSTILE_CAMERA).click()
    expect(page.locator(".search-images .card-title")).to_have_text([HOSTILE_NAME])
    assert page.locator("main script, main img[src=x]").count() == 0


def test_images_are_selected_and_moved(page: Page, explorer: Explorer, clusters: dict[str, int]) -> None:
    show(page, explorer, where=json.dumps({"clusters": [clusters["green"]]}))
    boxes = page.locator(".search-images .card-check input")
    boxes.nth(0).check()
    boxes.nth(1).check()
    bar = page.get_by_role("region", name="Selection")
    expect(bar).to_contain_text("2 images selected")
    moved = [card.get_attribute("data-image") for card in page.locator(".search-images .card.selected").all()]
    bar.get_by_role("button", name="Move to cluster…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label(re.compile("all blue")).first.click()
    dialog.get_by_role("button", name="Move", exact=False).last.click()
    expect(dialog).to_be_hidden()
    now = images_of(explorer, "green")
    assert {each for each, cluster in now.items() if cluster == clusters["blue"]} == set(moved)


def test_nothing_found_says_so(page: Page, explorer: Explorer) -> None:
    show(page, explorer, where=json.dumps({"tags": ["no such tag"]}))
    expect(page.get_by_role("heading", name="Nothing was found")).to_be_visible()


def test_a_wrong_filter_is_told_with_a_way_on(page: Page, explorer: Explorer) -> None:
    page.goto(explorer.url("search", where=json.dumps({"colour": "red"})))
    expect(page.get_by_role("alert").first).to_contain_text("colour")
