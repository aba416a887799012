"""Defaults are safe, mistakes are told, and the README's table is the class."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from shoal_server.settings import Settings, settings_table


def test_defaults_listen_on_loopback() -> None:
    assert Settings().listen == "127.0.0.1:50051"


@pytest.mark.parametrize("address", ["0.0.0.0:50051", "[::]:50051", "192.168.1.5:1", "photos.example:80"])
def test_refuses_to_be_exposed(address: str) -> None:
    with pytest.raises(ValidationError, match="SHOAL_INSECURE"):
        Settings(listen=address)
    assert Settings(listen=address, insecure=True).listen == address


@pytest.mark.parametrize("address", ["localhost:0", "127.0.0.1:0", "[::1]:50051"])
def test_loopback_is_fine(address: str) -> None:
    assert Settings(listen=address).listen == address


@pytest.mark.parametrize("address", ["50051", "localhost", "127.0.0.1:http", "127.0.0.1:70000"])
def test_an_address_without_host_or_port_is_refused(address: str) -> None:
    with pytest.raises(ValidationError, match="HOST:PORT"):
        Settings(listen=address)


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_MODEL", "starter")
    monkeypatch.setenv("SHOAL_QDRANT_API_KEY", "secret-key")
    settings = Settings()
    assert settings.model == "starter"
    assert "secret-key" not in repr(settings)


def test_the_readme_has_the_table() -> None:
    readme = Path(__file__).parents[2] / "README.md"
    assert settings_table() in readme.read_text(encoding="utf-8")
