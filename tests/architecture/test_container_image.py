"""The image's recipe: checked by hadolint and by rules of our own, but not built here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from shoal_server.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "server" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Each instruction and the rest of it, on one line."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    return [
        (line.split(maxsplit=1)[0], line.split(maxsplit=1)[1].strip()) for line in text.splitlines() if line.strip()
    ]


def values(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def environment() -> dict[str, str]:
    """Of the image that is left at the end."""
    return dict(part.split("=", 1) for part in values("ENV")[-1].split())


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_base_is_pinned_and_the_same_twice() -> None:
    [base] = [rest for rest in values("ARG") if rest.startswith("PYTHON_IMAGE=")]
    assert re.fullmatch(r"PYTHON_IMAGE=docker\.io/library/python:3\.\d+\.\d+-slim-\w+", base)
    assert [rest.split()[0] for rest in values("FROM")] == ["${PYTHON_IMAGE}"] * 2


def test_it_runs_as_nobody_special_and_gets_signals() -> None:
    assert values("USER") == ["10001:10001"]
    assert json.loads(values("ENTRYPOINT")[-1]) == ["shoal"]
    assert json.loads(values("CMD")[-1]) == ["serve"]
    assert values("STOPSIGNAL") == ["SIGTERM"]


def test_no_compiler_is_installed() -> None:
    assert not [rest for rest in values("RUN") if re.search(r"\bapt-get\b|\bgcc\b|build-essential", rest)]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = [part for rest in values("COPY") if not rest.startswith("--from") for part in rest.split()[:-1]]
    assert len(sources) > 5
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source.split("/")[0] in allowed, source


def test_its_settings_exist_and_it_waits_for_a_decision_on_keys_and_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {name: value for name, value in environment().items() if name.startswith("SHOAL_")}
    assert {name.removeprefix("SHOAL_").lower() for name in settings} <= set(Settings.model_fields)
    assert settings["SHOAL_REQUIRE_KEY"] == "true"
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="SHOAL_TLS_CERT"):
        Settings()
    assert Settings(plaintext=True).listen == "0.0.0.0:50051"


def test_dependencies_have_a_layer_of_their_own() -> None:
    def printed(extras: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "server/requirements.py", extras]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    lines = printed("server,s3").stdout.splitlines()
    for package in ("grpcio", "qdrant-client", "s3fs"):
        assert any(re.match(rf"{package}[<>=]", line) for line in lines), package
    assert not any(line.startswith("ruff") for line in lines)
    unknown = printed("server,nosuch")
    assert unknown.returncode == 1
    assert "no extra nosuch" in unknown.stderr
    [default] = [rest.partition("=")[2] for rest in values("ARG") if rest.startswith("EXTRAS=")]
    assert printed(default).returncode == 0


class Ready(BaseHTTPRequestHandler):
    """Says what its server was told to say."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def ready() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_tells_ready_from_not_ready(
    ready: int, status: int, healthy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ready, "status", status)
    [check] = values("HEALTHCHECK")
    program, *arguments = json.loads(check.partition("CMD ")[2])
    assert program == "python"
    assert environment()["SHOAL_HTTP_LISTEN"] == "127.0.0.1:9464"
    code = [argument.replace("127.0.0.1:9464", f"127.0.0.1:{ready}") for argument in arguments]
    done = subprocess.run([sys.executable, *code], capture_output=True, timeout=60)
    assert (done.returncode == 0) is healthy
