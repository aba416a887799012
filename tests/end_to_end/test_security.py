"""Credentials and secrets, with real processes: what starts, what is told, and what never is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.certificates import Authority
from tests.end_to_end.conftest import ServerProcess
from tests.fakes import picture


def run(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs ``shoal_client`` or ``shoal_server`` with some variables more."""
    return subprocess.run(
        [sys.executable, "-m", program, *arguments],
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def make_key(data: Path, role: str, *options: str) -> dict[str, Any]:
    """What ``shoal keys create --json`` prints."""
    done = run(
        "shoal_client", "keys", "create", "--data", str(data), "--role", role, "--name", "test", "--json", *options
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ("shoal keys create", "SHOAL_TLS_CLIENT_CA", "SHOAL_INSECURE")),
        ({"SHOAL_REQUIRE_KEY": "true"}, ("without TLS", "SHOAL_TLS_CERT", "SHOAL_PLAINTEXT")),
        ({"SHOAL_TLS_CERT": "server.crt"}, ("SHOAL_TLS_CERT and SHOAL_TLS_KEY go together",)),
        ({"SHOAL_TLS_CLIENT_ROLE": "root"}, ("SHOAL_TLS_CLIENT_ROLE", "'read', 'write' or 'admin'")),
    ],
)
def test_an_exposed_server_without_credentials_does_not_start(
    tmp_path: Path, settings: dict[str, str], words: tuple[str, ...]
) -> None:
    done = run(
        "shoal_server",
        "serve",
        "--listen",
        "0.0.0.0:0",
        "--model",
        "debug",
        "--data",
        str(tmp_path / "data"),
        **settings,
    )
    assert done.returncode == 2, done.stderr
    for word in words:
        assert word in done.stderr
    assert not (tmp_path / "data").exists()


def test_keys_and_tls_from_the_command_line(
    tmp_path: Path, servers: list[ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What docs/operations.md tells to do, in its order."""
    authority = Authority(tmp_path, "authority")
    pair = authority.sign("server")
    data = tmp_path / "data"
    admin = make_key(data, "admin")["key"]
    monkeypatch.setenv("SHOAL_TLS_CERT", str(pair.certificate))
    monkeypatch.setenv("SHOAL_TLS_KEY", str(pair.key))
    server = ServerProcess(data, listen="0.0.0.0:0")
    servers.append(server)
    port = server.address.rpartition(":")[2]
    (tmp_path / "admin.key").write_text(admin + "\n")
    options = ["--tls-ca", str(authority.file), "--api-key-file", str(tmp_path / "admin.key")]
    (tmp_path / "red.png").write_bytes(picture("red", 1))

    def shoal(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run("shoal_client", *arguments, SHOAL_SERVER=f"localhost:{port}", **environment)

    stored = shoal(*options, "ingest", str(tmp_path / "red.png"))
    assert stored.returncode == 0, stored.stderr
    nobody = shoal("collections", SHOAL_TLS_CA=str(authority.file))
    assert (nobody.returncode, "SHOAL_API_KEY or --api-key-file" in nobody.stderr) == (1, True), nobody.stderr
    reading = make_key(data, "read", "--collection", "default")
    environment = {"SHOAL_TLS_CA": str(authority.file), "SHOAL_API_KEY": reading["key"]}
    deadline = time.monotonic() + 60
    while (listed := shoal("collections", "--json", **environment)).returncode != 0 and time.monotonic() < deadline:
        pass
    assert json.loads(listed.stdout)["name"] == "default"
    refused = shoal("collections", "delete", "default", "--yes", **environment)
    assert refused.returncode == 1
    assert "needs the role admin, and this one has read" in refused.stderr
    assert run("shoal_client", "keys", "revoke", reading["id"], "--data", str(data)).returncode == 0
    while (listed := shoal("collections", **environment)).returncode == 0 and time.monotonic() < deadline:
        pass
    assert "was revoked" in listed.stderr
    assert shoal(*options, "collections").returncode == 0

    keys = run("shoal_client", "keys", "list", "--data", str(data))
    assert [line.split()[-1] for line in keys.stdout.splitlines()[1:]] == ["valid", "revoked"]
    assert run("shoal_client", "keys", "revoke", "nobody", "--data", str(data)).returncode == 1
    audited = [json.loads(line) for line in (data / "audit.log").read_text().splitlines()]
    # The client ends the stream of an ingest when it has its answers.
    assert {line["outcome"] for line in audited} - {"CANCELLED"} == {"OK", "BEGUN", "PERMISSION_DENIED"}
    assert server.stop() == 0


def test_no_secret_is_told(tmp_path: Path, servers: list[ServerProcess], monkeypatch: pytest.MonkeyPatch) -> None:
    """At its most talkative, a server with every secret there is tells none: no log, no answer and no process list."""
    authority = Authority(tmp_path, "authority")
    pair = authority.sign("server")
    data = tmp_path / "data"
    made = make_key(data, "admin")
    secret = made["key"].rpartition("_")[2]
    monkeypatch.setenv("SHOAL_TLS_CERT", str(pair.certificate))
    monkeypatch.setenv("SHOAL_TLS_KEY", str(pair.key))
    monkeypatch.setenv("SHOAL_QDRANT_API_KEY", "qdrant-hush")
    monkeypatch.setenv("SHOAL_INGEST_HTTP", "true")
    monkeypatch.setenv("SHOAL_LOG_LEVEL", "DEBUG")
    server = ServerProcess(data)
    servers.append(server)
    environment = {"SHOAL_SERVER": server.address, "SHOAL_TLS_CA": str(authority.file), "SHOAL_API_KEY": made["key"]}

    said = []
    listing = tmp_path / "listing.csv"
    uris = ("https://user:pass-hush@127.0.0.1:1/a.jpg", "https://127.0.0.1:1/b.jpg?X-Amz-Signature=signed-hush")
    listing.write_text("uri\n" + "\n".join(uris) + "\n")
    (tmp_path / "red.png").write_bytes(picture("red", 1))
    said.append(run("shoal_client", "ingest", str(tmp_path / "red.png"), **environment))
    fetching = (
        "import asyncio, sys\n"
        "import grpc\n"
        "from shoal.v1.image_service_pb2 import CreateImageRequest, NewImage\n"
        "from shoal.v1.image_service_pb2_grpc import ImageServiceStub\n"
        "import os\n"
        "channel = grpc.secure_channel(sys.argv[1], grpc.ssl_channel_credentials(open(sys.argv[2], 'rb').read()))\n"
        "for uri in sys.argv[3:]:\n"
        "    try:\n"
        "        ImageServiceStub(channel).CreateImage(CreateImageRequest(parent='collections/default', image="
        "NewImage(uri=uri, fetch=True)), metadata=(('authorization', 'Bearer ' + os.environ['SHOAL_API_KEY']),))\n"
        "    except grpc.RpcError as error:\n"
        "        print(error)\n"
    )
    said.append(
        subprocess.run(
            [sys.executable, "-c", fetching, server.address, str(authority.file), *uris],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    )
    assert "user name or password" in said[-1].stdout
    assert said[-1].stdout.count("status = ") == len(uris), said[-1].stdout
    wrong = made["key"][:-3] + "xyz"
    said.append(run("shoal_client", "collections", **{**environment, "SHOAL_API_KEY": wrong}))
    said.append(run("shoal_client", "collections", **{**environment, "SHOAL_API_KEY": "not a key: hush-hush"}))
    said.append(run("shoal_client", "--tls-ca", str(tmp_path / "red.png"), "collections", **environment))
    assert [each.returncode for each in said] == [0, 0, 1, 1, 1]

    processes = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    shown = " ".join(" ".join(each.cmdline()) for each in processes)
    assert server.stop() == 0
    told = server.log.read_text() + (data / "audit.log").read_text() + shown
    told += "".join(each.stdout + each.stderr for each in said)
    private = pair.key.read_text().splitlines()[1]
    for hidden in (secret, wrong[-20:], "qdrant-hush", "pass-hush", "signed-hush", "hush-hush", private):
        assert hidden not in told, hidden
    stored = [path for path in data.rglob("*") if path.is_file()]
    assert not [path for path in stored if secret.encode() in path.read_bytes()]
