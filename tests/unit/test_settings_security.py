"""A server that others can reach has credentials, and they do not travel in clear; or somebody said so on purpose."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from shoal_server.adapters.key_file import KeyFile
from shoal_server.domain.access import Role, make_key
from shoal_server.settings import Settings

EXPOSED = "0.0.0.0:50051"


def refused(data: Path, **settings: Any) -> str:
    """What is said of settings that are not taken."""
    with pytest.raises(ValidationError) as raised:
        Settings(data=data, listen=EXPOSED, **settings)
    return str(raised.value.errors()[0]["msg"])


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, Any]:
    return {"tls_cert": tmp_path / "c", "tls_key": tmp_path / "k"}


def with_a_key(data: Path, *, revoked: bool = False) -> Path:
    now = datetime.now(UTC)
    _, made = make_key("x", Role.READ, None, now, None)
    KeyFile(data / "keys.json").change(lambda there: (*there, made.revoked(now) if revoked else made))
    return data


def test_nothing_at_all(tmp_path: Path, tls: dict[str, Any]) -> None:
    for settings in ({}, tls, {"plaintext": True}, {**tls, "tls_client_ca": tmp_path / "ca"}):
        assert "shoal keys create" in refused(tmp_path, **settings)
    assert Settings(data=tmp_path, listen=EXPOSED, insecure=True)


def test_keys_without_tls(tmp_path: Path, tls: dict[str, Any]) -> None:
    with_a_key(tmp_path)
    assert "SHOAL_PLAINTEXT" in refused(tmp_path)
    assert Settings(data=tmp_path, listen=EXPOSED, plaintext=True)
    assert Settings(data=tmp_path, listen=EXPOSED, **tls)


def test_revoked_keys_keep_the_server_closed_too(tmp_path: Path) -> None:
    assert Settings(data=with_a_key(tmp_path, revoked=True), listen=EXPOSED, plaintext=True)


def test_keys_elsewhere(tmp_path: Path) -> None:
    with_a_key(tmp_path / "secret")
    assert "keys.json" in refused(tmp_path, plaintext=True)
    file = tmp_path / "secret" / "keys.json"
    settings = Settings(data=tmp_path, listen=EXPOSED, plaintext=True, keys_file=file)
    assert settings.keys_path == file


def test_keys_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{")
    assert "cannot be read" in refused(tmp_path, plaintext=True)


def test_a_role_for_certificates_is_enough(tmp_path: Path, tls: dict[str, Any]) -> None:
    settings = Settings(data=tmp_path, listen=EXPOSED, tls_client_ca=tmp_path / "ca", tls_client_role=Role.READ, **tls)
    assert settings.tls_client_role is Role.READ


def test_tls_is_whole(tmp_path: Path) -> None:
    halves: list[dict[str, Any]] = [{"tls_cert": tmp_path}, {"tls_key": tmp_path}]
    for half in halves:
        with pytest.raises(ValidationError, match="go together"):
            Settings(data=tmp_path, **half)
    with pytest.raises(ValidationError, match="SHOAL_TLS_CLIENT_CA needs"):
        Settings(data=tmp_path, tls_client_ca=tmp_path)
    with pytest.raises(ValidationError, match="SHOAL_TLS_CLIENT_ROLE needs"):
        Settings(data=tmp_path, tls_client_role=Role.READ)


def test_where_the_record_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings(data=tmp_path).audit_path == tmp_path / "audit.log"
    assert Settings(data=tmp_path, audit_log=Path("/var/log/shoal.log")).audit_path == Path("/var/log/shoal.log")
    monkeypatch.setenv("SHOAL_AUDIT_LOG", "none")
    assert Settings(data=tmp_path).audit_path is None


def test_a_rate_is_above_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().rate_limit_per_s is None
    monkeypatch.setenv("SHOAL_RATE_LIMIT_PER_S", "none")
    assert Settings().rate_limit_per_s is None
    monkeypatch.setenv("SHOAL_RATE_LIMIT_PER_S", "0")
    with pytest.raises(ValidationError):
        Settings()
