"""HTTP is off, and where it is on, it shows nobody what they may not see."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from shoal_server.domain.access import Role, make_key
from shoal_server.domain.records.keys import keys_to_record
from shoal_server.settings import Settings


def test_by_default_there_is_none(tmp_path: Path) -> None:
    assert Settings(data=tmp_path).http_listen is None


@pytest.mark.parametrize("address", ["127.0.0.1:9464", "localhost:0", "[::1]:9464"])
def test_loopback_is_fine(tmp_path: Path, address: str) -> None:
    assert Settings(data=tmp_path, http_listen=address).http_listen == address


@pytest.mark.parametrize("address", ["0.0.0.0:9464", "[::]:9464", "10.1.2.3:80", "shoal.example:9464"])
def test_beyond_it_somebody_has_to_say_so(tmp_path: Path, address: str) -> None:
    with pytest.raises(ValidationError, match="SHOAL_HTTP_PUBLIC"):
        Settings(data=tmp_path, http_listen=address)
    for allowed in ({"http_public": True}, {"insecure": True}):
        assert Settings(data=tmp_path, http_listen=address, **allowed).http_listen == address  # type: ignore[arg-type]


def test_keys_are_enough_where_tls_ends_in_front(tmp_path: Path) -> None:
    _, kept = make_key("prometheus", Role.READ, None, datetime.now(UTC), None)
    (tmp_path / "keys.json").write_text(json.dumps(keys_to_record((kept,))))
    with pytest.raises(ValidationError, match="SHOAL_PLAINTEXT"):
        Settings(data=tmp_path, http_listen="0.0.0.0:9464")
    assert Settings(data=tmp_path, http_listen="0.0.0.0:9464", plaintext=True).http_listen == "0.0.0.0:9464"


@pytest.mark.parametrize("address", ["9464", "localhost", "127.0.0.1:http", "127.0.0.1:70000"])
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ValidationError, match="HOST:PORT"):
        Settings(data=tmp_path, http_listen=address)


def test_none_is_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_MODEL_GIVE_UP_S", "none")
    monkeypatch.setenv("SHOAL_HTTP_LISTEN", "none")
    settings = Settings(data=tmp_path)
    assert (settings.model_give_up_s, settings.http_listen) == (None, None)


def test_a_format_of_the_log_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="json"):
        Settings(data=tmp_path, log_format="xml")  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["0.0.0.0:8080", "[::]:8080", "photos.example:8080"])
def test_the_explorer_beyond_loopback_needs_what_grpc_needs(tmp_path: Path, address: str) -> None:
    with pytest.raises(ValidationError, match="shoal keys create"):
        Settings(data=tmp_path, web_listen=address)
    with pytest.raises(ValidationError, match="without TLS"):
        Settings(data=tmp_path, web_listen=address, require_key=True, http_public=True)
    for allowed in (
        {"require_key": True, "plaintext": True},
        {"require_key": True, "tls_cert": tmp_path / "a.crt", "tls_key": tmp_path / "a.key"},
        {"insecure": True},
    ):
        assert Settings(data=tmp_path, web_listen=address, **allowed).web_listen == address


def test_the_explorer_has_a_port_of_its_own(tmp_path: Path) -> None:
    for other in ({"listen": "127.0.0.1:8080"}, {"http_listen": "127.0.0.1:8080"}):
        with pytest.raises(ValidationError, match="another port"):
            Settings(data=tmp_path, web_listen="127.0.0.1:8080", **other)  # type: ignore[arg-type]
    assert Settings(data=tmp_path, web_listen="127.0.0.1:0", listen="127.0.0.1:0").web_listen == "127.0.0.1:0"


def test_names_of_proxies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_WEB_HOSTS", "photos.example.org, shoal.local,")
    assert Settings(data=tmp_path).web_hosts == ("photos.example.org", "shoal.local")
    monkeypatch.setenv("SHOAL_WEB_HOSTS", "https://photos.example.org/")
    with pytest.raises(ValidationError, match="without https://"):
        Settings(data=tmp_path)
