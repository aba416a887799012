"""Duplicates are reviewed and removed; lists are taken away."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet
import pytest
from playwright.sync_api import Download, Page, expect

from tests.browser.explorer_server import Explorer
from tests.browser.sample_photos import EACH, HOSTILE_CAMERA, HOSTILE_NAME, drawing, home, store_colors

LARGE, SMALL = "drawing-large.png", "drawing-small.jpg"


@pytest.fixture(scope="module", autouse=True)
def _clustered(explorer: Explorer) -> None:
    explorer.make_collection()
    store_colors(explorer)
    explorer.store(LARGE, drawing(256, "PNG"))
    explorer.store(SMALL, drawing(128, "JPEG"))
    explorer.cluster()


def downloaded(page: Page, kind: str) -> Download:
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("radio", name=kind).check()
    with page.expect_download() as waiting:
        dialog.get_by_role("button", name="Export").click()
    return waiting.value


def test_all_is_exported_as_csv(page: Page, explorer: Explorer) -> None:
    page.goto(explorer.url("clusters"))
    page.get_by_role("button", name="Export all").click()
    file = downloaded(page, "CSV")
    assert file.suggested_filename == "photos-images.csv"
    rows = list(csv.DictReader(Path(file.path()).read_text("utf-8-sig").splitlines()))
    assert len(rows) == explorer.get("")["image_count"]
    assert {row["uri"] for row in rows} >= {HOSTILE_NAME, LARGE}
    assert HOSTILE_CAMERA in {row["camera_model"] for row in rows}


def test_a_cluster_is_exported_as_parquet(page: Page, explorer: Explorer) -> None:
    green = home(explorer, "green")
    page.goto(explorer.url(f"clusters/{green}"))
    page.get_by_role("button", name="Export…").first.click()
    table = pyarrow.parquet.read_table(downloaded(page, "Parquet").path())
    assert table.num_rows == EACH
    assert set(table["cluster_id"].to_pylist()) == {green}


def test_a_selection_is_exported_as_json(page: Page, explorer: Explorer) -> None:
    page.goto(explorer.url(f"clusters/{home(explorer, 'green')}"))
    page.get_by_label("Select green-03.png").last.check()
    page.get_by_label("Select green-04.png").last.check()
    page.get_by_role("region", name="Selection").get_by_role("button", name="Export").click()
    rows = json.loads(Path(downloaded(page, "JSON").path()).read_text("utf-8"))
    assert {row["uri"] for row in rows} == {"green-03.png", "green-04.png"}


def test_the_smaller_of_two_duplicates_is_removed_when_a_person_says_so(page: Page, explorer: Explorer) -> None:
    page.goto(explorer.url("duplicates"))
    group = page.get_by_role("region", name=LARGE)
    cards = group.locator("[data-image]")
    expect(cards.first).to_contain_text("suggested")
    expect(cards.first).to_contain_text("256 × 256")
    expect(group.get_by_label(f"Keep {LARGE}")).to_be_checked()
    expect(group.get_by_label(f"Keep {SMALL}")).not_to_be_checked()
    uris = {image["uri"] for image in explorer.get("images", page_size=100)["images"]}
    group.get_by_role("button", name="Remove the other").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("cannot be undone")
    page.keyboard.press("Escape")
    assert {image["uri"] for image in explorer.get("images", page_size=100)["images"]} == uris

    group.get_by_role("button", name="Remove the other").click()
    dialog.get_by_role("button", name="Remove 1 image").click()
    expect(group).to_have_count(0)
    assert {image["uri"] for image in explorer.get("images", page_size=100)["images"]} == uris - {SMALL}


def test_one_image_of_a_group_is_always_kept(page: Page, explorer: Explorer) -> None:
    explorer.store(SMALL, drawing(128, "JPEG"))
    page.goto(explorer.url("duplicates"))
    group = page.get_by_role("region", name=LARGE)
    box = group.get_by_label(f"Keep {LARGE}")
    box.click()
    expect(box).to_be_checked()
    group.get_by_label(f"Keep {SMALL}").check()
    expect(group.get_by_role("button", name="All are kept")).to_be_disabled()
