"""Corrections over HTTP: each is previewed, carried out as previewed, and taken back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import picture
from tests.web.conftest import PHOTOS, Explored, refused


async def both(explored: Explored, method: str, path: str, **body: Any) -> tuple[Any, Any]:
    """A preview, which must change nothing, and then what was done."""
    before = await explored.homes_of_all()
    preview = await explored.http.request(method, f"{PHOTOS}{path}", json={**body, "validate_only": True})
    assert preview.status_code == 200, preview.text
    told = preview.json()
    assert (told["validate_only"], told["correction"]) == (True, None)
    assert await explored.homes_of_all() == before
    assert (await explored.get("/corrections", page_size=1))["corrections"] == explored.last
    done = await explored.http.request(method, f"{PHOTOS}{path}", json=body)
    assert done.status_code == 200, done.text
    result = done.json()
    assert (result["validate_only"], result["preview"]) == (False, None)
    explored.last = [result["correction"]]
    after = await explored.homes_of_all()
    moved = {image for image in after if after[image] != before[image]}
    assert told["preview"]["image_count"] == result["correction"]["image_count"] == len(moved)
    for flow in told["preview"]["flows"]:
        went = {image for image in moved if (before[image], after[image]) == (flow["from"], flow["to"])}
        assert (flow["image_count"], set(flow["images"]) <= went) == (len(went), True)
    for cluster in told["preview"]["clusters"]:
        inside = {image for image, home in after.items() if home == cluster["id"]}
        assert (cluster["size_after"], set(cluster["images"]) <= inside) == (len(inside), True)
    return told["preview"], result


async def undone(explored: Explored, correction: Any) -> None:
    """Takes a correction back, as its preview says."""
    before = await explored.homes_of_all()
    path = f"/corrections/{correction['id']}:undo"
    preview = (await explored.post(path, validate_only=True))["preview"]
    assert await explored.homes_of_all() == before
    result = await explored.post(path, author="me")
    explored.last = [result["correction"]]
    assert result["correction"]["undo_author"] == "me"
    after = await explored.homes_of_all()
    assert preview["image_count"] == sum(after[image] != before[image] for image in after)
    refused(await explored.http.post(f"{PHOTOS}{path}", json={"validate_only": True}), 409, "CANNOT_UNDO")


@pytest.fixture
async def clustered(explored: Explored) -> Explored:
    """Three clusters of twelve."""
    await explored.three_colors()
    return explored


async def test_merge_and_undo(clustered: Explored) -> None:
    homes, before = await clustered.homes(), await clustered.homes_of_all()
    preview, result = await both(
        clustered, "POST", "/clusters:merge", clusters=[homes["red"], homes["blue"]], author="me"
    )
    assert preview["kind"] == "merge"
    assert [(flow["from"], flow["to"]) for flow in preview["flows"]] == [(homes["blue"], homes["red"])]
    assert [each["size_after"] for each in preview["clusters"]] == [24, 0]
    assert result["clusters"] == [homes["red"]]
    [run] = (await clustered.get("/runs", kind="correction"))["runs"]
    assert run["active"]
    await undone(clustered, result["correction"])
    assert await clustered.homes_of_all() == before


async def test_split_move_and_dissolve(clustered: Explored) -> None:
    homes, before = await clustered.homes(), await clustered.homes_of_all()
    red = homes["red"]
    preview, result = await both(clustered, "POST", f"/clusters/{red}:split", part_count=2)
    fresh = next(each for each in preview["clusters"] if each["id"] != red)
    assert fresh["display_name"] == ""
    assert result["clusters"] == [red, fresh["id"]]
    await undone(clustered, result["correction"])
    assert await clustered.homes_of_all() == before

    some = [image for image, home in before.items() if home == red][:3]
    _, listed = await both(clustered, "POST", f"/clusters/{red}:split", images=some)
    assert listed["correction"]["image_count"] == 3
    _, moved = await both(clustered, "POST", "/images:move", images=some, cluster=homes["green"])
    _, out = await both(clustered, "POST", "/images:move", images=some[:1], cluster=None)
    assert out["correction"]["detail"] == "to none"
    assert moved["correction"]["kind"] == "move"
    refused(
        await clustered.http.post(
            f"{PHOTOS}/images:move", json={"images": some[:1], "cluster": None, "validate_only": True}
        ),
        409,
        "CANNOT_CORRECT",
    )
    _, dissolved = await both(clustered, "POST", f"/clusters/{homes['blue']}:dissolve")
    assert dissolved["clusters"] == []
    await undone(clustered, dissolved["correction"])


async def test_rename_and_pin(clustered: Explored) -> None:
    homes = await clustered.homes()
    path = f"/clusters/{homes['red']}"
    former = (await clustered.get(path))["display_name"]
    preview, result = await both(clustered, "PATCH", path, display_name="Reds")
    assert [each["display_name"] for each in preview["clusters"]] == ["Reds"]
    assert (await clustered.get(path))["display_name"] == "Reds"
    told = (await clustered.post(f"/corrections/{result['correction']['id']}:undo", validate_only=True))["preview"]
    assert [each["display_name"] for each in told["clusters"]] == [former]
    await undone(clustered, result["correction"])
    assert (await clustered.get(path))["display_name"] == former
    await both(clustered, "POST", f"{path}:pin", pinned=True)
    assert (await clustered.get(path))["pinned"]
    for validate_only in (True, False):
        again = await clustered.http.post(f"{PHOTOS}{path}:pin", json={"pinned": True, "validate_only": validate_only})
        refused(again, 409, "CANNOT_CORRECT", "pinned already")
        taken = (await clustered.get(f"/clusters/{homes['blue']}"))["display_name"]
        same = await clustered.http.patch(
            f"{PHOTOS}{path}", json={"display_name": taken.upper(), "validate_only": validate_only}
        )
        refused(same, 409, "CANNOT_CORRECT", "choose another name")
        missing = await clustered.http.patch(
            f"{PHOTOS}/clusters/999", json={"display_name": "x", "validate_only": validate_only}
        )
        refused(missing, 404, "CLUSTER_NOT_FOUND")


async def test_images_in_no_cluster_join_the_nearest(explored: Explored) -> None:
    await explored.three_colors()
    # Between red and black: not alike enough to join by itself.
    await explored.store({"odd.png": picture("orange", 1)})
    odd = next(
        image for image in (await explored.get("/images", page_size=1000))["images"] if image["uri"] == "odd.png"
    )
    assert odd["cluster"] is None
    preview, result = await both(explored, "POST", "/images:reassign_noise", min_similarity=-1.0)
    assert preview["kind"] == result["correction"]["kind"] == "reassign_noise"
    assert [flow["from"] for flow in preview["flows"]] == [None]
    refused(
        await explored.http.post(f"{PHOTOS}/images:reassign_noise", json={"min_similarity": 2, "validate_only": True}),
        400,
        "INVALID_FIELD",
    )


async def test_nothing_is_corrected_before_there_are_clusters(explored: Explored) -> None:
    await explored.store({"one.png": picture("red", 1)})
    for validate_only in (True, False):
        body = {"clusters": [1, 2], "validate_only": validate_only}
        refused(await explored.http.post(f"{PHOTOS}/clusters:merge", json=body), 409, "NOT_CLUSTERED")
