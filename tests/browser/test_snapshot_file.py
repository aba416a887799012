"""The map in a file of its own, opened without a server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import PIL.Image
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Dialog, Page, expect

from shoal_client.export.map_points import map_data
from shoal_client.results import ExportedImage, Image, ImageMetadata
from shoal_server.web import snapshot
from tests.browser.sample_photos import HOSTILE_NAME

HOSTILE_CLUSTER = "</script><img src=x onerror=alert(2)>"
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def webp() -> bytes:
    file = io.BytesIO()
    PIL.Image.new("RGB", (60, 40), "red").save(file, "WEBP")
    return file.getvalue()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty images in two clusters with hostile names, one with a photo, and one in none."""
    metadata = ImageMetadata(width=1, height=1, format="PNG", byte_size=1)
    points = []
    for number in range(21):
        cluster = None if number == 20 else number % 2
        name = (None, HOSTILE_CLUSTER, "beaches")[0 if cluster is None else cluster + 1]
        uri = f"file:///photos/{HOSTILE_NAME}" if number == 0 else f"file:///photos/{number}.jpg"
        kept = Image(
            id=f"{number}", sha256="", uri=uri, metadata=metadata, tags=(), ingested_at=NOW, cluster_id=cluster
        )
        side = 0.0 if cluster is None else 4.0 * cluster - 2
        points.append(ExportedImage(kept, cluster, name, 1.0, side + number / 100, number / 50))
    page = tmp_path_factory.mktemp("snapshot") / "map.html"
    page.write_text(snapshot.page(map_data("My photos", points, {0: webp()}, NOW)))
    return page


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page without a network, on which nothing goes wrong."""
    wrong: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        wrong.append(dialog.message)
        dialog.dismiss()

    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    opened = context.new_page()
    opened.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("dialog", dismiss)
    yield opened
    context.close()
    assert not wrong


def test_it_opens_without_a_server_and_names_are_text(page: Page, file: Path) -> None:
    page.goto(file.as_uri())
    expect(page.locator(".map-label", has_text="beaches")).to_be_visible()
    expect(page.locator(".map-label", has_text=HOSTILE_CLUSTER)).to_be_visible()
    expect(page.locator(".map-summary")).to_have_text("My photos")
    expect(page.locator(".map-side")).to_contain_text("21 images in 2 clusters, 1 in none")
    assert page.locator("img[src=x]").count() == 0
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []


def test_the_pointer_shows_photos_and_names(page: Page, file: Path) -> None:
    page.goto(file.as_uri())
    photo = page.locator(".map-photo")
    expect(photo).to_have_count(1)
    box = photo.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    card = page.locator(".map-card")
    expect(card).to_contain_text(HOSTILE_NAME)
    expect(card).to_contain_text(HOSTILE_CLUSTER)
    assert card.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 60


def test_a_cluster_is_brought_out(page: Page, file: Path) -> None:
    page.goto(file.as_uri())
    page.get_by_role("button", name="beaches 10").click()
    expect(page.locator(".map-label.focus")).to_have_text("beaches")
    page.get_by_label("Find a cluster by name").fill("beach")
    expect(page.locator(".map-cluster")).to_have_count(1)
