"""Every route, every role, with and without a scope: what the table says is what the server does."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from fastapi import APIRouter

from shoal_server.adapters.key_file import KeyFile
from shoal_server.domain.access import Role
from shoal_server.web.api.app import Facts, bare_app
from shoal_server.web.api.authorization import COLLECTION, RULES, Body, Rule
from shoal_server.web.api.guarding import Guard, GuardedRoute
from shoal_server.web.api.use_cases import UseCases
from tests.fakes import picture
from tests.web.conftest import API, PHOTOS, Explored, add_key, bearing, exploring, refused

MINE, THEIRS = "mine", "theirs"


def served() -> Iterator[tuple[str, str]]:
    """Method and path of every route that is served."""
    nothing: Any = None
    app = bare_app(cast("UseCases", nothing), cast("Guard", nothing), Facts("0", 1, keeps_originals=False))
    for route in app.routes:
        # Whatever is served without a rule, as a mounted folder would be, is found here.
        assert isinstance(route, GuardedRoute), route
        assert route.methods is not None
        for method in route.methods:
            yield method, route.path_format


def test_every_route_that_is_served_has_a_rule_and_every_rule_a_route() -> None:
    assert sorted(served()) == sorted(RULES)


def test_a_route_without_a_rule_cannot_be_made() -> None:
    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(KeyError):
        router.add_api_route("/api/v1/forgotten", lambda: None, methods=["GET"])


def test_every_route_about_a_collection_is_held_to_it() -> None:
    """The guard looks at the path: whatever is not below a collection must have a rule that says why."""
    for (method, path), rule in RULES.items():
        if f"{{{COLLECTION}}}" not in path and rule.role is not None:
            assert rule.own or rule.names or path == "/api/openapi.json", (method, path)


def test_what_changes_something_is_no_get_and_brings_what_no_form_can() -> None:
    for (method, path), rule in RULES.items():
        changes = rule.role in (Role.WRITE, Role.ADMIN)
        assert changes <= (method != "GET"), (method, path)
        # A page of somebody else's may send a form, or nothing, to any server; a DELETE it may not.
        assert method in ("GET", "DELETE") or rule.body is not Body.NONE, (method, path)


_VALUES = {
    "image": str(UUID(int=0)),
    "cluster": "99999",
    "run": "none",
    "correction": "none",
    "path": "index.html",
}


def path_of(template: str, collection: str) -> str:
    """A path about something that is not there, so that nothing comes of it."""
    values = {**_VALUES, COLLECTION: collection}
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], template)


async def asked(server: Explored, method: str, template: str, rule: Rule, collection: str, headers: Any) -> str:
    """The reason why a request is refused for who makes it; empty if it gets to its route, whatever that says."""
    content, kind = b"", {}
    if rule.body is Body.JSON:
        body = b'{"collection_id": "%s"}' % collection.encode() if rule.names else b"{}"
        content, kind = body, {"content-type": "application/json"}
    elif rule.body is Body.FILE:
        content, kind = b"no image", {"content-type": "application/octet-stream"}
    # Nobody in the matrix is to lose a collection.
    there = "nothing-of-it" if (method, rule.role) == ("DELETE", Role.ADMIN) and collection != THEIRS else collection
    answer = await server.http.request(method, path_of(template, there), content=content, headers={**kind, **headers})
    assert answer.status_code < 500, answer.text
    reason = {401: "WRONG_CREDENTIALS", 403: "NOT_PERMITTED", 429: "OVERLOADED"}.get(answer.status_code, "")
    if reason:
        assert answer.json()["error"]["reason"] == reason
    return reason


def allowed(rule: Rule, role: Role, scoped: bool, collection: str, template: str) -> bool:
    """The rules once more, in the words of the documentation."""
    if rule.role is None:
        return True
    rank = [Role.READ, Role.WRITE, Role.ADMIN]
    if rank.index(role) < rank.index(rule.role):
        return False
    about = f"{{{COLLECTION}}}" in template or rule.names
    return not scoped or not about or collection == MINE


async def test_matrix(tmp_path: Path) -> None:
    """No key, a wrong one, each role, each with and without a scope, about a collection in it and outside it."""
    keys = {
        (role, scoped): add_key(tmp_path, role, [MINE, "nothing-of-it"] if scoped else None)[0]
        for role in Role
        for scoped in (False, True)
    }
    wrong: list[tuple[object, ...]] = []
    async with exploring(tmp_path) as server:
        for collection in (MINE, THEIRS):
            made = await server.http.post(
                f"{API}/collections",
                json={"collection_id": collection},
                headers=bearing(keys[Role.WRITE, False]),
            )
            assert made.status_code == 201
        for (method, template), rule in RULES.items():
            for headers in ({}, bearing("shoal_nobody"), {"authorization": "Basic eDp5"}):
                got = await asked(server, method, template, rule, MINE, headers)
                if got not in (("",) if rule.role is None else ("WRONG_CREDENTIALS", "OVERLOADED")):
                    wrong.append((method, template, headers, got))
            for (role, scoped), key in keys.items():
                for collection in (MINE, THEIRS):
                    if (method, rule.role, role, scoped) == ("DELETE", Role.ADMIN, Role.ADMIN, False):
                        continue
                    got = await asked(server, method, template, rule, collection, bearing(key))
                    if got != ("" if allowed(rule, role, scoped, collection, template) else "NOT_PERMITTED"):
                        wrong.append((method, template, role, scoped, collection, got))
        assert not wrong
        for scoped, seen in ((False, [MINE, THEIRS]), (True, [MINE])):
            headers = bearing(keys[Role.READ, scoped])
            listed = await server.http.get(f"{API}/collections", headers=headers)
            assert [each["id"] for each in listed.json()["collections"]] == seen
            status = (await server.http.get(f"{API}/status", headers=headers)).json()
            assert [each["id"] for each in status["collections"]] == seen
            assert status["caller"] == {"name": "read key", "role": "read", "authenticated": True}
    recorded = (tmp_path / "audit.log").read_text()
    assert "DELETE /api/v1/collections/{collection}" in recorded
    assert '"POST /api/v1/collections/{collection}/images:search"' not in recorded, "reading is not on record"
    assert "no image" not in recorded


async def test_a_key_that_is_revoked_ends_what_it_began(tmp_path: Path) -> None:
    key, identity = add_key(tmp_path, Role.WRITE)
    async with exploring(tmp_path) as server:
        server.http.headers.update(bearing(key))
        await server.http.post(f"{API}/collections", json={"collection_id": "photos"})
        await server.store({f"{number}.png": picture("red", number) for number in range(12)})
        server.clusterer.may_go_on.clear()
        run = await server.post("/runs")
        events = server.events(run["id"])
        assert (await anext(events))[0] == "run"
        KeyFile(tmp_path / "keys.json").change(
            lambda there: tuple(each.revoked(each.created_at) if each.id == identity else each for each in there)
        )
        async with asyncio.timeout(30):
            while (await server.http.get(f"{API}/status")).status_code != 401:
                await asyncio.sleep(0.1)
        server.clusterer.may_go_on.set()
        # The stream breaks off: its end is never told.
        with pytest.raises(Exception, match=r"incomplete|peer closed"):
            assert [name async for name, _ in events if name == "end"] == []


async def test_what_was_refused_is_on_record_with_what_it_was_about(tmp_path: Path) -> None:
    key, identity = add_key(tmp_path, Role.WRITE, ["photos"])
    async with exploring(tmp_path) as server:
        server.http.headers.update(bearing(key))
        for name, status in (("photos", 201), ("other", 403)):
            made = await server.http.post(f"{API}/collections", json={"collection_id": name})
            assert made.status_code == status, made.text
        for name in ("photos", "other"):
            refused(await server.http.delete(f"{API}/collections/{name}"), 403, "NOT_PERMITTED", "the role admin")
        refused(await server.http.delete(PHOTOS, headers=bearing("shoal_nobody")), 401, "WRONG_CREDENTIALS")
    lines = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    assert [(line["method"], line["collections"], line["outcome"]) for line in lines] == [
        ("POST /api/v1/collections", ["photos"], "CREATED"),
        ("POST /api/v1/collections", ["other"], "FORBIDDEN"),
        ("DELETE /api/v1/collections/{collection}", ["photos"], "FORBIDDEN"),
        ("DELETE /api/v1/collections/{collection}", ["other"], "FORBIDDEN"),
    ]
    assert {line["caller"] for line in lines} == {f"key:{identity}"}


async def test_who_corrects_is_on_record_as_who_they_are(tmp_path: Path) -> None:
    key, _ = add_key(tmp_path, Role.WRITE)
    async with exploring(tmp_path) as server:
        server.http.headers.update(bearing(key))
        await server.http.post(f"{API}/collections", json={"collection_id": "photos"})
        await server.three_colors()
        home = (await server.homes())["red"]
        done = await server.http.patch(
            f"{API}/collections/photos/clusters/{home}", json={"display_name": "Reds", "author": "Eve"}
        )
        assert done.json()["correction"]["author"] == "Eve (as write key)"


async def test_limits_hold_for_http_as_for_grpc(tmp_path: Path) -> None:
    async with exploring(tmp_path, rate_limit_per_s=0.01, rate_limit_burst=3) as server:
        answers = [await server.http.get(f"{API}/collections") for _ in range(4)]
        assert [each.status_code for each in answers] == [200, 200, 200, 429]
        refused(answers[-1], 429, "OVERLOADED")
        assert int(answers[-1].headers["retry-after"]) > 0
        # The page itself is nobody's share.
        assert (await server.http.get("/")).status_code == 200


async def test_streams_are_counted_for_as_long_as_they_are_open(tmp_path: Path) -> None:
    async with exploring(tmp_path, max_streams=1) as server:
        await server.http.post(f"{API}/collections", json={"collection_id": "photos"})
        await server.store({f"{number}.png": picture("red", number) for number in range(12)})
        server.clusterer.may_go_on.clear()
        run = await server.post("/runs")
        events = server.events(run["id"])
        assert (await anext(events))[0] == "run"
        refused(await server.http.get(f"{PHOTOS}/export", params={"format": "csv"}), 429, "OVERLOADED", "streams")
        server.clusterer.may_go_on.set()
        assert [name async for name, _ in events][-1] == "end"
        for _ in range(2):
            assert (await server.http.get(f"{PHOTOS}/export", params={"format": "csv"})).status_code == 200
