"""The map: what it shows, how one moves about in it, what can be picked from it, and what moved between runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import fresh_page
from tests.browser.explorer_server import Explorer, serving
from tests.browser.sample_photos import COLORS, EACH, HOSTILE_NAME, home, images_of, store_colors
from tests.fakes import picture

IMAGES = 3 * EACH + 2

#: Half the side of a lasso, in pixels.
AROUND = 45


@pytest.fixture(scope="module", autouse=True)
def runs(explorer: Explorer) -> list[str]:
    """A run of three colours, a hostile picture and one in no cluster."""
    explorer.clusterer.places = apart
    explorer.make_collection()
    store_colors(explorer)
    explorer.store("far.png", picture("white", 50))
    first = explorer.cluster()
    for color in COLORS:
        explorer.patch(f"clusters/{home(explorer, color)}", {"display_name": f"all {color}"})
    return [first]


def apart(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Places by how red, green and blue the images are."""
    black, white, red, green, blue = vectors[:, [0, 1, 3, 4, 5]].T
    places: NDArray[np.float32] = np.stack([red - blue, green - black - white], axis=1) + 0.1 * vectors[:, 11:13]
    return places


def show(page: Page, explorer: Explorer, view: str = "map") -> None:
    page.goto(explorer.url(view))
    expect(page.locator(".map-label").first).to_be_visible()


def label(page: Page, name: str) -> Locator:
    return page.locator(".map-label", has_text=name)


def middle_of(locator: Locator) -> tuple[float, float]:
    box = locator.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def lasso(page: Page, name: str) -> None:
    """Draws a line around a cluster, which is below its name."""
    page.get_by_role("button", name="Lasso").click()
    x, y = middle_of(label(page, name))
    y += 0.7 * AROUND
    page.mouse.move(x - AROUND, y - AROUND)
    page.mouse.down()
    for right, down in ((1, -1), (1, 1), (-1, 1), (-1, -1)):
        page.mouse.move(x + right * AROUND, y + down * AROUND, steps=4)
    page.mouse.up()


def selected(page: Page) -> Locator:
    return page.get_by_role("region", name="Selection").locator("p")


def pixels(page: Page) -> set[str]:
    """The colours of what is drawn."""
    found = page.evaluate(
        """() => {
            const canvas = document.querySelector(".map-canvas");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const seen = new Set();
            for (let at = 0; at < data.length; at += 4) {
                seen.add("#" + [...data.slice(at, at + 3)].map((each) => each.toString(16).padStart(2, "0")).join(""));
            }
            return [...seen];
        }"""
    )
    return set(found)


def test_every_image_is_on_it_and_every_cluster_named(page: Page, explorer: Explorer) -> None:
    show(page, explorer)
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Map of {IMAGES} images")
    expect(page.locator(".map-summary")).to_have_text(f"{IMAGES} images in 3 clusters")
    for color in COLORS:
        expect(label(page, f"all {color}")).to_be_visible()
    lines = page.locator(".map-clusters .map-cluster")
    assert sorted(lines.locator(".map-cluster-size").all_text_contents()) == ["12", "12", "13"]
    expect(page.get_by_label("1 in no cluster")).to_be_checked()


def test_points_have_their_clusters_colours_and_those_in_none_can_be_hidden(page: Page, explorer: Explorer) -> None:
    show(page, explorer)
    swatches = page.evaluate(
        """async () => {
            const { LIGHT, UNCLUSTERED } = await import("/explorer/js/map/palette.js");
            return [LIGHT, UNCLUSTERED.light];
        }"""
    )
    palette, none = swatches
    drawn = pixels(page)
    assert len(drawn & set(palette)) == 3
    assert none in drawn
    page.get_by_label("1 in no cluster").uncheck()
    expect(page).to_have_url(re.compile("unclustered=0"))
    page.wait_for_timeout(100)
    assert none not in pixels(page)
    page.reload()
    expect(page.get_by_label("1 in no cluster")).not_to_be_checked()


def test_the_pointer_shows_a_photo_and_a_click_what_can_be_done(page: Page, explorer: Explorer) -> None:
    show(page, explorer)
    x, y = middle_of(label(page, "all blue"))
    page.mouse.move(x, y)
    card = page.locator(".map-card")
    expect(card).to_contain_text("blue-")
    expect(card).to_contain_text("all blue")
    expect(card.locator("img[src^='blob:']")).to_be_visible()
    page.mouse.click(x, y)
    expect(card.get_by_role("link", name="Open")).to_be_focused()
    card.get_by_role("link", name="Open").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("blue-")
    expect(page.locator("main")).to_contain_text("all blue")
    page.get_by_role("link", name="Show on the map").click()
    expect(page.locator(".map-card.pinned")).to_contain_text("blue-")


def test_a_hostile_name_is_text_on_the_map(page: Page, explorer: Explorer) -> None:
    """That nothing ran is for the page's fixture."""
    listed = explorer.get("images", page_size=100)["images"]
    hostile = next(each["id"] for each in listed if each["uri"] == HOSTILE_NAME)
    page.goto(explorer.url("map", image=hostile))
    expect(page.locator(".map-card.pinned")).to_contain_text(HOSTILE_NAME)
    assert page.locator("main img[src=x]").count() == 0


def test_a_lasso_selects_and_its_link_selects_the_same(page: Page, explorer: Explorer) -> None:
    show(page, explorer)
    lasso(page, "all green")
    expect(selected(page)).to_have_text(f"{EACH} images selected")
    expect(page).to_have_url(re.compile("lasso="))
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(selected(page)).to_have_text(f"{EACH} images selected")
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.get_by_role("region", name="Selection")).to_be_hidden()


def test_what_is_selected_is_exported(page: Page, explorer: Explorer, tmp_path: Path) -> None:
    show(page, explorer)
    lasso(page, "all green")
    page.get_by_role("region", name="Selection").get_by_role("button", name="Export").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("JSON").check()
    with page.expect_download() as downloading:
        dialog.get_by_role("button", name="Export").click()
    file = tmp_path / "export.json"
    downloading.value.save_as(file)
    assert {each["image_id"] for each in json.loads(file.read_text())} == set(images_of(explorer, "green"))


def test_all_of_it_is_reached_by_keyboard(page: Page, explorer: Explorer) -> None:
    show(page, explorer)
    surface = page.get_by_role("application")
    surface.focus()
    # It is seen that the focus is there.
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("s")
    expect(selected(page)).to_have_text(f"{IMAGES} images selected")
    page.get_by_role("button", name="Clear", exact=True).press("Enter")
    page.get_by_role("button", name="Select all images of all red").press("Enter")
    expect(selected(page)).to_have_text(f"{EACH + 1} images selected")
    page.get_by_role("button", name="all blue", exact=False).first.press("Enter")
    expect(page).to_have_url(re.compile(r"cluster=\d+"))
    surface.focus()
    page.keyboard.press("0")
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile(r"x=.*&y=.*&zoom=1\.5"))
    page.keyboard.press("0")
    expect(page).not_to_have_url(re.compile("zoom="))


def test_the_link_reopens_the_same_view(page: Page, explorer: Explorer) -> None:
    show(page, explorer)
    x, y = middle_of(label(page, "all red"))
    page.mouse.move(x, y)
    for _ in range(4):
        page.mouse.wheel(0, -300)
    expect(page).to_have_url(re.compile("zoom="))
    page.wait_for_timeout(400)
    before = middle_of(label(page, "all red"))
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(label(page, "all red")).to_be_visible()
    after = middle_of(label(page, "all red"))
    assert abs(before[0] - after[0]) < 2
    assert abs(before[1] - after[1]) < 2


def test_what_moved_between_two_runs(page: Page, explorer: Explorer, runs: list[str]) -> None:
    blue, green = home(explorer, "blue"), home(explorer, "green")
    moved = list(images_of(explorer, "blue"))[:3]
    explorer.post("images:move", {"images": moved, "cluster": green})
    second = next(run["id"] for run in explorer.get("runs")["runs"] if run["active"])
    show(page, explorer)
    page.get_by_label("What moved since").select_option(runs[0])
    panel = page.get_by_role("region", name="What moved")
    expect(panel).to_contain_text("3 images changed cluster.")
    # The API says the same of the two runs.
    [flow] = explorer.get("runs:compare", **{"from": runs[0], "to": second})["flows"]
    assert (flow["from"], flow["to"], flow["image_count"]) == (blue, green, 3)
    line = panel.get_by_role("button", name=re.compile("all blue → all green"))
    line.first.click()
    expect(line.first).to_have_attribute("aria-pressed", "true")
    panel.get_by_role("button", name="Select the images that went from").click()
    expect(selected(page)).to_have_text("3 images selected")
    panel.get_by_role("button", name="Before").click()
    expect(page).to_have_url(re.compile("side=before"))
    expect(panel.get_by_role("button", name="Before")).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(panel.get_by_role("button", name="Before")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Run", exact=True).select_option(runs[0])
    expect(page).to_have_url(re.compile(f"run={runs[0]}"))
    expect(page.locator(".map-summary")).to_have_text(f"{IMAGES} images in 3 clusters")


def test_the_palette_is_for_people_who_see_fewer_colours_too(page: Page, explorer: Explorer) -> None:
    show(page, explorer)
    palettes = page.evaluate(
        "async () => { const { LIGHT, DARK } = await import('/explorer/js/map/palette.js'); return [LIGHT, DARK]; }"
    )
    for palette in palettes:
        assert least_difference(palette) > 0.1
    okabe_ito = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"]
    assert least_difference(okabe_ito) < 0.1


@pytest.fixture
def german(browser: Browser, explorer: Explorer) -> Iterator[Page]:
    context = browser.new_context(locale="de-DE")
    yield context.new_page()
    context.close()


def test_numbers_and_times_are_in_the_way_of_the_readers_language(german: Page, explorer: Explorer) -> None:
    show(german, explorer)
    said = german.evaluate(
        """async () => {
            const { bytes, date, decimal, number } = await import("/explorer/js/format.js");
            return [number(1234567), decimal(0.5), date("2019-05-04T23:30:00"), bytes(1500000)];
        }"""
    )
    assert said == ["1.234.567", "0,50", "04.05.2019", "1,5 MB"]
    german.get_by_role("application").press("+")
    expect(german).to_have_url(re.compile(r"zoom=1\.5"))
    german.reload()
    expect(german).to_have_url(re.compile(r"zoom=1\.5"))


def test_before_the_first_run_it_says_what_to_do(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path) as empty:
        empty.make_collection()
        for page in fresh_page(browser, empty.address):
            page.goto(empty.url("map"))
            expect(page.get_by_role("heading", name="Nothing is clustered yet")).to_be_visible()
            page.get_by_role("link", name="Cluster them").click()
            expect(page).to_have_url(re.compile("/runs"))


#: How cones that are not there change linear RGB: Machado, Oliveira and Fernandes (2009), severity 1.
SIGHTS = (
    ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
)


def least_difference(palette: list[str]) -> float:
    """The least distance of any two colours in OKLab, to whoever sees them least."""
    rgb = np.array([[int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)] for color in palette])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_lms = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    least = np.inf
    for sight in SIGHTS:
        lab = np.cbrt(np.clip(linear @ np.array(sight).T, 0, 1) @ to_lms.T) @ to_lab.T
        apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
        least = min(least, float(apart[~np.eye(len(palette), dtype=bool)].min()))
    return least
