"""What keeps other pages away, and what every answer says to browsers."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

from shoal_server.domain.access import Role
from shoal_server.web.shield import HEADERS, Shield
from tests.certificates import Authority
from tests.fakes import picture
from tests.web.conftest import API, MAX_MESSAGE, PHOTOS, Explored, add_key, bearing, exploring, refused

JSON = {"content-type": "application/json"}


def client(host: str, *, loopback: bool = True, names: tuple[str, ...] = ()) -> httpx.AsyncClient:
    """A client of an application behind a shield, which it calls by a name."""
    shield = Shield(PlainTextResponse("in"), loopback=loopback, names=names)
    return httpx.AsyncClient(transport=httpx.ASGITransport(shield), base_url=f"http://{host}")


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "127.8.8.8", "proxy.example"]
)
async def test_names_of_this_machine(host: str) -> None:
    async with client(host, names=("proxy.example",)) as http:
        assert (await http.get("/")).text == "in"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8080", "192.0.2.1", "localhost.evil", ""])
async def test_a_foreign_name_that_means_this_machine_is_not_answered(host: str) -> None:
    async with client("127.0.0.1") as http:
        for method in ("GET", "POST"):
            answer = await http.request(method, "/", headers={"host": host})
            refused(answer, 421, "UNKNOWN_HOST", "SHOAL_WEB_HOSTS")
            assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]
    async with client("127.0.0.1", loopback=False) as http:
        # There, credentials are what keeps others out.
        assert (await http.get("/", headers={"host": host})).text == "in"


@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        ({}, True),
        ({"origin": "http://127.0.0.1:8080"}, True),
        ({"origin": "http://127.0.0.1:8080", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "https://photos.example.org"}, True),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "http://127.0.0.1:8081"}, False),
        ({"origin": "http://localhost:8080"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
    ],
)
async def test_only_the_page_itself_changes_something(headers: dict[str, str], let_in: bool) -> None:
    async with client("127.0.0.1:8080", names=("photos.example.org",)) as http:
        for method in ("POST", "PATCH", "DELETE", "PUT"):
            answer = await http.request(method, "/", headers=headers)
            if let_in:
                assert answer.text == "in"
            else:
                refused(answer, 403, "FOREIGN_ORIGIN")
        assert (await http.get("/", headers=headers)).text == "in", "no page can read the answer"


async def test_every_answer_says_what_a_page_may_do(explored: Explored) -> None:
    stored = await explored.store_one("red.png", picture("red", 1))
    missing = f"{PHOTOS}/clusters/7"
    for path in (
        "/",
        "/explorer/nothing.js",
        f"{API}/status",
        missing,
        f"{PHOTOS}/images/{stored['image']['id']}/thumbnail",
    ):
        answer = await explored.http.get(path)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (path, name)
        assert answer.headers["x-request-id"] or answer.status_code == 404
        assert "access-control-allow-origin" not in answer.headers
        assert "set-cookie" not in answer.headers
    policy = HEADERS["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    asked = await explored.http.options(f"{PHOTOS}/runs", headers={"origin": "https://evil.example"})
    assert asked.status_code == 405, "nobody is told that they may"


async def test_the_page_is_served(explored: Explored) -> None:
    page = await explored.http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "<script>" not in page.text
    assert "style=" not in page.text
    again = await explored.http.get("/", headers={"if-none-match": page.headers["etag"]})
    assert again.status_code == 304
    for path in (
        "/explorer/",
        "/explorer/..%2fapp.py",
        "/explorer/%2e%2e/server.py",
        "/explorer/index.html%00",
        "/web",
    ):
        refused(await explored.http.get(path), 404, "NO_SUCH_PATH")


async def test_bodies(explored: Explored) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        sent = {"content-type": kind} if kind else {}
        refused(await explored.http.post(f"{PHOTOS}/runs", content=b"{}", headers=sent), 415, "NOT_JSON")
    for kind in ("text/plain", "multipart/form-data; boundary=x", ""):
        sent = {"content-type": kind} if kind else {}
        refused(await explored.http.post(f"{PHOTOS}/images", content=b"x", headers=sent), 415, "NOT_A_FILE")
    large = b'{"text": "%s"}' % (b"x" * MAX_MESSAGE)
    refused(await explored.http.post(f"{PHOTOS}/images:search", content=large, headers=JSON), 413, "BODY_TOO_LARGE")

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 100_000):
            yield large[start : start + 100_000]

    # Of a length that nobody has said before.
    refused(await explored.http.post(f"{PHOTOS}/images:search", content=parts(), headers=JSON), 413, "BODY_TOO_LARGE")
    for body in (b"", b"{", b"[" * 100_000, b"null", b"[]", b"\xff", b'{"page_size": -1, "text": "a"}'):
        answer = await explored.http.post(f"{PHOTOS}/images:search", content=body, headers=JSON)
        assert answer.status_code == 400, (body[:9], answer.text)
        assert answer.json()["error"]["reason"] in ("INVALID_FIELD", "INVALID_BODY")
    deep = b'{"where":' * 500 + b"{}" + b"}" * 500
    assert (await explored.http.post(f"{PHOTOS}/images:search", content=deep, headers=JSON)).status_code == 400


async def test_what_is_asked_for_and_is_not_there(explored: Explored) -> None:
    refused(await explored.http.get("/api/v2/status"), 404, "NO_SUCH_PATH", "openapi.json")
    refused(await explored.http.put(f"{API}/status"), 405, "METHOD_NOT_ALLOWED")
    refused(await explored.http.get(f"{PHOTOS}/images/no-id"), 400, "INVALID_FIELD", "image")
    refused(await explored.http.get(f"{PHOTOS}/clusters/1:split"), 400, "INVALID_FIELD", "cluster")
    refused(await explored.http.get(f"{API}/collections/None/images"), 404, "COLLECTION_NOT_FOUND")
    refused(await explored.http.post(f"{API}/collections", json={"collection_id": "../x"}), 400, "INVALID_NAME")
    refused(await explored.http.post(f"{API}/collections", json={"collection_id": "photos"}), 409, "COLLECTION_EXISTS")


async def test_openapi(explored: Explored) -> None:
    described = (await explored.http.get("/api/openapi.json")).json()
    assert described["openapi"].startswith("3.")
    assert described["security"] == [{"api_key": []}]
    operations = [each for path in described["paths"].values() for each in path.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    for each in operations:
        assert each["description"].endswith("."), each["operationId"]
        assert each["responses"]["default"]["content"].keys() == {"application/json"}
    assert described["components"]["schemas"]["ErrorAnswer"]["properties"].keys() == {"error"}
    answered = described["components"]["schemas"]["Image"]["properties"]
    stored = await explored.store_one("red.png", picture("red", 1))
    assert stored["image"].keys() == answered.keys()


async def test_tls(tmp_path: Path) -> None:
    """The certificates of gRPC, and keys over them; a certificate that is replaced is taken over."""
    authority = Authority(tmp_path, "authority")
    pair = authority.sign("server")
    clients = Authority(tmp_path, "clients")
    own = clients.sign("somebody", "own")
    key, _ = add_key(tmp_path, Role.READ)
    settings: dict[str, Any] = {"tls_cert": pair.certificate, "tls_key": pair.key, "tls_client_ca": clients.file}
    async with exploring(tmp_path, tls_client_role=Role.WRITE, **settings) as server:
        url = str(server.http.base_url)
        assert url.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=str(authority.file))
        with pytest.raises(httpx.TransportError):
            async with httpx.AsyncClient(base_url=url, verify=trusted, trust_env=False) as http:
                await http.get(f"{API}/status")
        trusted.load_cert_chain(own.certificate, own.key)
        async with httpx.AsyncClient(base_url=url, verify=trusted, trust_env=False) as http:
            caller = (await http.get(f"{API}/status")).json()["caller"]
            assert caller == {"name": "somebody", "role": "write", "authenticated": True}
            caller = (await http.get(f"{API}/status", headers=bearing(key))).json()["caller"]
            assert caller["name"] == "read key"
        other = Authority(tmp_path, "other")
        other.sign("server")
        replaced = ssl.create_default_context(cafile=str(other.file))
        replaced.load_cert_chain(own.certificate, own.key)
        async with httpx.AsyncClient(base_url=url, verify=replaced, trust_env=False) as http:
            assert (await http.get(f"{API}/status")).status_code == 200
