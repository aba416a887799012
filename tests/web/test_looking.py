"""What people look at: images, clusters, runs and their maps, over HTTP."""

from __future__ import annotations

import base64
import csv
import io
import json
import struct
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import pyarrow.parquet
import pytest

from shoal_server.application import exporting
from shoal_server.application.images import Images
from shoal_server.web.api.tables import COLUMNS
from tests.fakes import picture
from tests.web.conftest import API, PHOTOS, Explored, exploring, refused

HOSTILE = "<img src=x onerror=alert(1)>.jpg"


def read_map(content: bytes) -> tuple[list[UUID], Any, Any]:
    """Ids, coordinates and clusters, as the page reads them."""
    (count,) = struct.unpack_from("<I", content)
    ids = [UUID(bytes=content[4 + 16 * row : 20 + 16 * row]) for row in range(count)]
    at = 4 + 16 * count
    coordinates = np.frombuffer(content, "<f4", 2 * count, at).reshape(-1, 2)
    clusters = np.frombuffer(content, "<i4", count, at + 8 * count)
    assert len(content) == at + 12 * count
    return ids, coordinates, clusters


async def test_images_clusters_and_runs(explored: Explored) -> None:
    await explored.three_colors()
    homes = await explored.homes()
    assert len(set(homes.values())) == 3

    first = await explored.get("/images", page_size=30)
    rest = await explored.get("/images", page_size=30, page_token=first["next_page_token"])
    ids = [image["id"] for image in (*first["images"], *rest["images"])]
    assert len(ids) == len(set(ids)) == 36
    assert rest["next_page_token"] == ""
    reds = await explored.get("/images", cluster_id=homes["red"])
    assert {image["uri"] for image in reds["images"]} == {f"red{number}.png" for number in range(12)}
    assert len((await explored.get("/images", where=json.dumps({"clusters": [homes["red"]]})))["images"]) == 12
    refused(
        await explored.http.get(
            f"{PHOTOS}/images", params={"page_token": first["next_page_token"], "order_by": "captured_at"}
        ),
        400,
        "INVALID_PAGE_TOKEN",
    )
    one = await explored.get(f"/images/{ids[0]}")
    assert one == first["images"][0]
    unknown = str(UUID(int=5))
    some = await explored.post("/images:get", ids=[ids[1], unknown, ids[0]])
    assert [image["id"] for image in some["images"]] == [ids[1], ids[0]]
    assert await explored.post("/images:check", sha256s=["0" * 64, one["sha256"]]) == {"stored": [one["sha256"]]}

    ordered = await explored.get("/clusters", order_by="display_name desc")
    names = [cluster["display_name"] for cluster in ordered["clusters"]]
    assert names == sorted(names, key=str.casefold, reverse=True)
    assert ordered["run"]
    assert {cluster["size"] for cluster in ordered["clusters"]} == {12}
    page = await explored.get("/clusters", page_size=2)
    more = await explored.get("/clusters", page_size=2, page_token=page["next_page_token"])
    assert {each["id"] for each in (*page["clusters"], *more["clusters"])} == set(homes.values())
    refused(await explored.http.get(f"{PHOTOS}/clusters", params={"order_by": "age"}), 400, "INVALID_FIELD", "cohesion")
    similar = (await explored.get(f"/clusters/{homes['red']}/similar"))["clusters"]
    assert {each["cluster"]["id"] for each in similar} == {homes["green"], homes["blue"]}
    assert similar[0]["similarity"] >= similar[1]["similarity"]
    assert (await explored.get(f"/clusters/{homes['red']}/similar", limit=1))["clusters"] == similar[:1]

    [run] = (await explored.get("/runs", kind="clustering"))["runs"]
    assert run["active"]
    assert run["lineage"] is None
    assert (await explored.get("/runs", kind="correction"))["runs"] == []
    whole = await explored.get(f"/runs/{run['id']}")
    assert {entry["kind"] for entry in whole["lineage"]} == {"born"}
    assert whole["trials"][1]["score"] is None
    assert [step["kind"] for step in (await explored.get(f"/clusters/{homes['red']}/lineage"))["steps"]] == ["born"]
    refused(await explored.http.get(f"{PHOTOS}/clusters/999/lineage"), 404, "CLUSTER_NOT_FOUND")
    told = await explored.get(f"/runs/{run['id']}/clusters")
    assert {(each["id"], each["size"]) for each in told["clusters"]} == {(home, 12) for home in homes.values()}

    await explored.store({"late.png": picture("red", 99), "far.png": picture("yellow", 1)})
    of_run = read_map((await explored.http.get(f"{PHOTOS}/runs/{run['id']}/map")).content)
    assert sorted(map(str, of_run[0])) == sorted(ids)
    assert not np.isnan(of_run[1]).any()
    answer = await explored.http.get(f"{PHOTOS}/runs/active/map")
    assert answer.headers["x-shoal-run"] == run["id"]
    now, coordinates, clusters = read_map(answer.content)
    assert len(now) == 38
    assert int(np.isnan(coordinates[:, 0]).sum()) == 2, "what came since has no place yet"
    assert sorted(clusters[np.isnan(coordinates[:, 0])].tolist()) == [-1, homes["red"]]

    gone = next(
        image for image in (await explored.get("/images", page_size=1000))["images"] if image["uri"] == "red3.png"
    )
    assert (await explored.http.delete(f"{PHOTOS}/images/{gone['id']}")).status_code == 204
    left, _, _ = read_map((await explored.http.get(f"{PHOTOS}/runs/active/map")).content)
    assert len(left) == 37
    assert UUID(gone["id"]) not in left
    await explored.store({"red3.png": picture("red", 3)})

    again = await explored.cluster()
    compared = await explored.get("/runs:compare", **{"from": run["id"], "to": again["id"]})
    # With those that came while the first run was in force.
    assert compared["same_count"] == 38
    assert compared["moved_count"] == 0
    back = await explored.post(f"/runs/{run['id']}:activate")
    assert back["active"]
    refused(await explored.http.get(f"{PHOTOS}/runs/none/map"), 404, "RUN_NOT_FOUND")
    assert (await explored.get("/themes"))["run"] == run["id"]
    counted = (await explored.http.get(PHOTOS)).json()
    assert (counted["image_count"], counted["cluster_count"], counted["active_run"]) == (38, 3, run["id"])
    [of_status] = (await explored.http.get(f"{API}/status")).json()["collections"]
    assert of_status["id"] == "photos"


async def test_a_run_is_watched_and_cancelled(explored: Explored) -> None:
    await explored.store({f"{number}.png": picture("red", number) for number in range(12)})
    explored.clusterer.may_go_on.clear()
    run = await explored.post("/runs", parameters={"granularity": "fine"}, request_id="one")
    assert (await explored.post("/runs", request_id="one"))["id"] == run["id"]
    refused(await explored.http.post(f"{PHOTOS}/runs", json={}), 409, "RUN_IN_PROGRESS")
    events = explored.events(run["id"])
    name, state = await anext(events)
    assert (name, state["state"], state["parameters"]["granularity"]) == ("run", "running", "fine")
    assert (await explored.post(f"/runs/{run['id']}:cancel"))["state"] == "cancelled"
    told = [event async for event in events]
    assert told[-2][1]["state"] == "cancelled"
    assert told[-1] == ("end", {})
    refused(await explored.http.get(f"{PHOTOS}/runs/none/events"), 404, "RUN_NOT_FOUND")
    refused(
        await explored.http.post(f"{PHOTOS}/runs", json={"parameters": {"n_neighbors": 1}}),
        400,
        "INVALID_FIELD",
        "n_neighbors",
    )


async def test_files(tmp_path: Path) -> None:
    async with exploring(tmp_path, keep_originals=True, max_file_bytes=100_000) as server:
        await server.http.post(f"{API}/collections", json={"collection_id": "photos"})
        content = picture("red", 1, taken=datetime(2019, 5, 4, 12), at=(48.0, 11.0))
        stored = await server.store_one(HOSTILE, content, tags=["a", "b"])
        image = stored["image"]
        assert (image["uri"], image["tags"], stored["duplicate"]) == (HOSTILE, ["a", "b"], False)
        assert image["metadata"]["location"] == {"latitude": 48.0, "longitude": 11.0}
        assert image["metadata"]["local_time"]
        assert (await server.store_one("again.png", content))["duplicate"]

        path = f"{PHOTOS}/images/{image['id']}"
        thumbnail = await server.http.get(f"{path}/thumbnail")
        assert thumbnail.headers["content-type"] == "image/webp"
        assert "immutable" in thumbnail.headers["cache-control"]
        assert thumbnail.content[8:12] == b"WEBP"
        original = await server.http.get(f"{path}/original")
        assert original.content == content
        assert original.headers["content-disposition"].startswith("attachment")
        refused(await server.http.get(f"{PHOTOS}/images/{UUID(int=1)}/original"), 404, "IMAGE_NOT_FOUND")

        changed = await server.http.patch(path, json={"tags": ["c"], "attributes": {"rating": 5, "kept": True}})
        assert changed.json()["tags"] == ["c"]
        assert changed.json()["attributes"] == {"rating": 5, "kept": True}
        found = await server.get("/images", where='{"attributes": [{"key": "rating", "min": 4}]}')
        assert len(found["images"]) == 1

        refused(
            await server.http.post(f"{PHOTOS}/images", content=b"x" * 100_001, headers={"content-type": "image/png"}),
            413,
            "FILE_TOO_LARGE",
        )
        refused(
            await server.http.post(f"{PHOTOS}/images", content=b"no image", headers={"content-type": "image/png"}),
            400,
            "UNSUPPORTED_FORMAT",
        )
        assert (await server.http.delete(path)).status_code == 204
        refused(await server.http.get(path), 404, "IMAGE_NOT_FOUND")


async def test_finding(explored: Explored) -> None:
    for month in range(1, 7):
        content = picture("red", month, taken=datetime(2019, month, 4, 12), at=(48.0, 11.0 + month / 1000))
        await explored.store_one(f"red{month}.png", content)
    await explored.store({f"blue{number}.png": picture("blue", number) for number in range(6)})
    await explored.cluster()
    homes = await explored.homes()

    by_text = await explored.post("/images:search", text="red", page_size=4)
    assert {each["image"]["cluster"] for each in by_text["results"]} == {homes["red"]}
    rest = await explored.post("/images:search", text="red", page_size=4, page_token=by_text["next_page_token"])
    assert not {each["image"]["id"] for each in by_text["results"]} & {each["image"]["id"] for each in rest["results"]}
    assert rest["results"][0]["score"] <= by_text["results"][-1]["score"]
    dropped = base64.b64encode(picture("blue", 77)).decode()
    alike = await explored.post("/images:search", image_base64=dropped, where={"clusters": [homes["red"]]})
    assert len(alike["results"]) == 6
    image = by_text["results"][0]["image"]["id"]
    other = rest["results"][-1]["image"]["id"]
    more = await explored.post("/images:search", liked=[image], disliked=[other], page_size=1000)
    assert image not in {each["image"]["id"] for each in more["results"]}
    weighted = await explored.post("/images:search", terms=[{"text": "red"}, {"text": "blue", "weight": -0.5}])
    assert weighted["results"][0]["image"]["cluster"] == homes["red"]
    for body, word in (
        ({}, "is missing"),
        ({"text": "red", "image": image}, "2 times"),
        ({"text": "red", "liked": [image]}, "as well"),
        ({"text": "red", "diversity": 2}, "within 0 and 1"),
        ({"text": "red", "where": {"area": {}}}, "circle"),
        ({"text": "red", "where": {"none_of": [{"x": 1}]}}, "no such field"),
    ):
        refused(await explored.http.post(f"{PHOTOS}/images:search", json=body), 400, "INVALID_FIELD", word)
    deep: dict[str, Any] = {}
    for _ in range(17):
        deep = {"any_of": [deep]}
    refused(await explored.http.post(f"{PHOTOS}/images:timeline", json={"where": deep}), 400, "INVALID_FIELD", "deeper")

    clusters = await explored.post("/clusters:search", text="red", where={"captured": {"earliest": "2019-03"}})
    assert [each["cluster"]["id"] for each in clusters["results"]] == [homes["red"]]
    assert clusters["results"][0]["matching"] == 4
    assert (await explored.post("/images:assign", image_base64=dropped))["cluster"] == homes["blue"]

    facets = await explored.post("/images:facet", fields=["cluster", "year"])
    by_field = {facet["field"]: facet for facet in facets["facets"]}
    assert by_field["year"]["counts"] == [{"value": 2019, "display_name": "2019", "count": 6}]
    assert by_field["year"]["without"] == 6
    assert {each["value"]: each["count"] for each in by_field["cluster"]["counts"]} == {
        homes["red"]: 6,
        homes["blue"]: 6,
    }

    timeline = await explored.post("/images:timeline")
    assert timeline == {
        "unit": "month",
        "buckets": [{"start": f"2019-{month:02}", "count": 1} for month in range(1, 7)],
        "without": 6,
    }
    spring = await explored.post("/images:timeline", where={"captured": {"earliest": "2019-04", "before": "2019-06"}})
    assert [bucket["start"] for bucket in spring["buckets"]] == ["2019-04-04", "2019-05-04"]
    located = await explored.post("/images:locations", limit=4)
    assert located["total"] == 6
    assert [(each["latitude"], round(each["longitude"], 1)) for each in located["locations"]] == [(48.0, 11.0)] * 4
    assert (await explored.post("/images:locations", where={"clusters": [homes["blue"]]}))["locations"] == []
    assert (await explored.get("/places"))["next_page_token"] == ""
    assert (await explored.get("/moments"))["next_page_token"] == ""
    copies = (await explored.get("/duplicates", include_bursts=True))["groups"]
    assert all(group["keeper"] == group["members"][0]["image"]["id"] for group in copies)


@pytest.mark.parametrize("whole", [True, False])
async def test_tables_to_take_away(explored: Explored, whole: bool) -> None:
    await explored.three_colors(4 if whole else 10)
    await explored.store({HOSTILE: picture("yellow", 1)})
    homes = await explored.homes()
    listed = (await explored.get("/images", page_size=1000))["images"]
    chosen = {image["id"]: image for image in listed if whole or image["cluster"] == homes["red"]}
    params = {} if whole else {"where": json.dumps({"clusters": [homes["red"]]})}
    tables = {}
    for form in ("csv", "json", "parquet"):
        answer = await explored.http.get(f"{PHOTOS}/export", params={"format": form, **params})
        assert answer.status_code == 200
        assert answer.headers["content-disposition"] == f'attachment; filename="photos.{form}"'
        tables[form] = answer.content
    rows = list(csv.DictReader(io.StringIO(tables["csv"].decode())))
    assert list(rows[0]) == list(COLUMNS)
    assert {row["image_id"] for row in rows} == chosen.keys()
    parsed = json.loads(tables["json"])
    assert [row["image_id"] for row in parsed] == [row["image_id"] for row in rows] == sorted(chosen)
    of_parquet = pyarrow.parquet.read_table(io.BytesIO(tables["parquet"])).to_pylist()
    for row, again in zip(parsed, of_parquet, strict=True):
        image = chosen[row["image_id"]]
        assert (row["uri"], row["cluster_id"]) == (image["uri"], image["cluster"])
        assert (again["uri"], again["cluster_id"], again["x"]) == (row["uri"], row["cluster_id"], row["x"])
        assert again["ingested_at"] == datetime.fromisoformat(row["ingested_at"])
        assert (row["x"] is None) == (image["uri"] == HOSTILE)
    selection = sorted(chosen)[:2]
    answer = await explored.http.post(
        f"{PHOTOS}/export", json={"format": "json", "ids": [*selection[::-1], str(UUID(int=9)), selection[0]]}
    )
    assert [row["image_id"] for row in answer.json()] == selection
    refused(
        await explored.http.post(f"{PHOTOS}/export", json={"format": "csv", "ids": [], "where": {}}),
        400,
        "INVALID_FIELD",
    )
    refused(await explored.http.get(f"{PHOTOS}/export", params={"format": "xls"}), 400, "INVALID_FIELD", "parquet")
    refused(
        await explored.http.get(f"{API}/collections/none/export", params={"format": "csv"}), 404, "COLLECTION_NOT_FOUND"
    )
    nothing = await explored.http.get(f"{PHOTOS}/export", params={"format": "json", "where": '{"tags": ["none"]}'})
    assert nothing.json() == []


async def test_a_table_breaks_off_where_the_clusters_change(
    explored: Explored, monkeypatch: pytest.MonkeyPatch
) -> None:
    await explored.three_colors()
    homes = await explored.homes()
    reads, works = 0, Images.page

    async def page(*arguments: Any) -> Any:
        nonlocal reads
        if (reads := reads + 1) == 3:
            await explored.post(f"/clusters/{homes['blue']}:dissolve")
        return await works(*arguments)

    monkeypatch.setattr(exporting, "EXPORT_BATCH", 10)
    monkeypatch.setattr(Images, "page", page)
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        await explored.http.get(f"{PHOTOS}/export", params={"format": "csv"})
    assert reads == 3
