"""From nothing: photos go in, a run is started, cancelled and watched to its end."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.explorer_server import Explorer
from tests.browser.sample_photos import HOSTILE_NAME, hostile_picture
from tests.fakes import picture

BROKEN = "broken.jpg"


def a_folder(base: Path) -> Path:
    """A folder below which are 20 pictures, a hostile one, a broken one, and what is no picture."""
    folder = base / "holiday"
    (folder / "evening").mkdir(parents=True)
    for shot in range(10):
        (folder / f"red-{shot:02}.png").write_bytes(picture("red", shot))
        (folder / "evening" / f"blue-{shot:02}.png").write_bytes(picture("blue", shot))
    (folder / HOSTILE_NAME).write_bytes(hostile_picture())
    (folder / BROKEN).write_bytes(picture("red", 0)[:300])
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(picture("green", 1))
    return folder


def test_a_folder_goes_in_and_is_clustered(page: Page, explorer: Explorer, tmp_path: Path) -> None:
    page.goto(explorer.address)
    expect(page.get_by_role("heading", name="No photos yet")).to_be_visible()
    page.goto(explorer.url("add"))
    with page.expect_file_chooser() as choosing:
        page.get_by_role("button", name="Choose a folder").click()
    choosing.value.set_files(a_folder(tmp_path))

    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    expect(page.get_by_text("21 stored · 0 there already · 1 failed")).to_be_visible()
    failure = page.get_by_role("listitem").filter(has_text=BROKEN)
    expect(failure).to_contain_text("holiday/broken.jpg")
    expect(failure.locator("p")).not_to_be_empty()
    assert explorer.get("")["image_count"] == 21
    stored = {image["uri"] for image in explorer.get("images", page_size=100)["images"]}
    assert {f"holiday/{HOSTILE_NAME}", "holiday/evening/blue-03.png"} <= stored
    assert not any("hidden" in uri or "notes" in uri for uri in stored)

    page.get_by_role("link", name="Cluster them").click()
    explorer.hold_up(held=True)
    page.get_by_role("button", name="Cluster now").click()
    progress = page.get_by_role("region", name="The run under way")
    expect(progress).to_contain_text("Finding every image's nearest neighbours")
    progress.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    expect(page.get_by_role("table")).to_contain_text("Cancelled")
    assert [run["state"] for run in explorer.get("runs")["runs"]] == ["cancelled"]

    page.get_by_role("button", name="Cluster now").click()
    expect(progress).to_contain_text("Finding every image's nearest neighbours")
    explorer.hold_up(held=False)
    row = page.get_by_role("row").filter(has_text="In force")
    expect(row).to_contain_text("Done")
    assert explorer.get("")["cluster_count"] == 2
    page.get_by_role("link", name="Clusters", exact=True).click()
    expect(page.locator("[data-cluster]")).to_have_count(2)


def test_what_is_there_is_not_sent_again(page: Page, explorer: Explorer, tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    before = explorer.get("")["image_count"]
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "/images?" in request.url else None)
    page.goto(explorer.url("add"))
    page.locator("#add-files").set_input_files([folder / "red-03.png", folder / "red-04.png"])
    expect(page.get_by_text("0 stored · 2 there already · 0 failed")).to_be_visible()
    assert not sent
    assert explorer.get("")["image_count"] == before


def test_files_that_are_dropped_go_in_with_their_tags(page: Page, explorer: Explorer) -> None:
    page.goto(explorer.url("add"))
    page.get_by_text("How they go in").click()
    page.get_by_label("Tags for all of them").fill("scans, <b>old</b>")
    page.get_by_label("Do not store where they were taken").check()
    content = list(picture("green", 7, at=(48.0, 11.0)))
    page.evaluate(
        """content => {
            const dropped = new DataTransfer();
            dropped.items.add(new File([new Uint8Array(content)], "dropped.png", { type: "image/png" }));
            const drop = new DragEvent("drop", { dataTransfer: dropped, bubbles: true });
            document.querySelector(".drop-zone").dispatchEvent(drop);
        }""",
        content,
    )
    expect(page.get_by_text("1 stored · 0 there already · 0 failed")).to_be_visible()
    [image] = [each for each in explorer.get("images", page_size=100)["images"] if each["uri"] == "dropped.png"]
    assert image["tags"] == ["scans", "<b>old</b>"]
    assert image["metadata"]["location"] is None


def test_files_that_are_no_pictures_are_told_from_failures(page: Page, explorer: Explorer, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no picture")
    page.goto(explorer.url("add"))
    page.locator("#add-files").set_input_files(notes)
    expect(page.get_by_role("alert")).to_contain_text("There is no picture among what you chose")
