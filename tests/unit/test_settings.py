"""Defaults are safe, mistakes are told, and the README's table is the class."""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from shoal_server.domain.schedule import Schedule
from shoal_server.settings import Settings, settings_tables, unknown_variables


def test_defaults_listen_on_loopback() -> None:
    assert Settings().listen == "127.0.0.1:50051"


@pytest.mark.parametrize("address", ["0.0.0.0:50051", "[::]:50051", "192.168.1.5:1", "photos.example:80"])
def test_refuses_to_be_exposed(address: str) -> None:
    with pytest.raises(ValidationError, match="SHOAL_INSECURE"):
        Settings(listen=address)
    assert Settings(listen=address, insecure=True).listen == address


def test_variables_that_mean_nothing_are_named_with_what_may_be_meant() -> None:
    fine = ["SHOAL_LISTEN", "SHOAL_SERVER", "HOME", "SHOAL_PORT_50051_TCP_ADDR", "SHOAL_SERVICE_HOST"]
    assert unknown_variables(fine) == []
    assert unknown_variables([*fine, "SHOAL_XYZZY", "SHOAL_QDRANT_ULR"]) == [
        "SHOAL_QDRANT_ULR is no setting; is SHOAL_QDRANT_URL meant?",
        "SHOAL_XYZZY is no setting",
    ]


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


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QDRANT_URL", "KEYS_FILE", "HTTP_LISTEN", "RECLUSTER_GROWTH", "MODEL"):
        monkeypatch.setenv(f"SHOAL_{name}", "")
    settings = Settings()
    assert (settings.keys_file, settings.qdrant_url, settings.http_listen) == (None, None, None)
    assert settings.recluster_growth == 0.2


def test_the_default_schedule_is_the_domains() -> None:
    schedule = Settings().default_schedule
    schedule.check()
    assert schedule == Schedule()


def test_a_schedule_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_RECLUSTER_INTERVAL_H", "1.5")
    monkeypatch.setenv("SHOAL_RECLUSTER_GROWTH", "none")
    monkeypatch.setenv("SHOAL_RECLUSTER_QUIET_HOURS", "22:00-06:00")
    monkeypatch.setenv("SHOAL_RECLUSTER_TIMEZONE", "Europe/Berlin")
    assert Settings().default_schedule == Schedule(
        interval=timedelta(hours=1.5), growth=None, quiet_from=time(22), quiet_to=time(6), timezone="Europe/Berlin"
    )


def test_the_schedule_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_RECLUSTER_AUTOMATICALLY", "false")
    assert not Settings().default_schedule.enabled


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("INTERVAL_H", "0", "0 hours are not in 1 minute to 3650 days"),
        ("INTERVAL_H", "-3", "-3 hours"),
        ("INTERVAL_H", "nan", "nan hours"),
        ("INTERVAL_H", "1e9", "hours are not in"),
        ("GROWTH", "0", "0 is not above 0"),
        ("GROWTH", "inf", "inf is not above 0 and at most 100"),
        ("QUIET_HOURS", "at night", "'at night' is not two times, for instance 08:00-18:00"),
        ("QUIET_HOURS", "08:00-08:00", "begins when it ends"),
        ("TIMEZONE", "Mars", "'Mars' is not the name of a timezone, for instance Europe/Berlin"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(f"SHOAL_RECLUSTER_{name}", value)
    with pytest.raises(ValidationError) as raised:
        Settings()
    (problem,) = raised.value.errors()
    assert problem["loc"] == (f"recluster_{name.lower()}",)
    assert problem["msg"].startswith("Value error, ")
    assert message in problem["msg"]
    assert "schedule." not in problem["msg"]


def test_some_run_is_always_kept() -> None:
    with pytest.raises(ValidationError, match="keep_runs"):
        Settings(keep_runs=0)


def test_the_documentation_has_the_tables() -> None:
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    assert settings_tables() in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("url", ["s3://bucket/shoal", "gs://bucket", "file:///srv/shoal"])
def test_files_may_be_where_all_servers_reach_them(url: str) -> None:
    assert Settings(files_url=url).files_url == url


@pytest.mark.parametrize(
    "url", ["/srv/shoal", "memory://x", "https://host/x", "s3://", "file://srv", "s3:///x", "s3://key:word@bucket/x"]
)
def test_files_go_only_where_they_stay_and_are_whole(url: str) -> None:
    with pytest.raises(ValidationError, match=r"s3://BUCKET|credentials") as raised:
        Settings(files_url=url)
    assert "word" not in raised.value.errors()[0]["msg"]
