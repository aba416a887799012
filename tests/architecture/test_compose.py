"""The compose files: against the specification's own schema, and by rules of our own; no engine runs them here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from shoal_server.settings import Settings

ROOT = Path(__file__).parents[2]
FILES = ["docker-compose.yml", "deploy/compose/tls.yml", "deploy/compose/gpu.yml"]
#: What they and the chart read.
OTHERS = ["deploy/grafana/provisioning", "deploy/prometheus", "deploy/helm/shoal/values.yaml"]

_SECRET = re.compile(r"KEY|PASSWORD|TOKEN|SECRET")
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def loaded(name: str = "docker-compose.yml") -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return document


def with_defaults(text: object) -> str:
    """A value as compose makes it where no variable is set but those that must be."""
    return _VARIABLE.sub(lambda found: (found[3] or "") if found[2] == "-" else "given", str(text))


SERVICES = sorted(loaded()["services"])


def told_by(*command: str) -> str:
    """What a module says that is run as a program."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    return done.stdout


def test_it_is_what_the_specification_allows() -> None:
    assert told_by("check_jsonschema", "--builtin-schema", "vendor.compose-spec", *FILES) == "ok -- validation done\n"


def test_yamllint_has_nothing_to_say() -> None:
    rules = "{extends: default, rules: {document-start: disable, line-length: {max: 120}}}"
    assert told_by("yamllint", "--strict", "-d", rules, *FILES, *OTHERS) == ""


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_confined(service: str) -> None:
    described = loaded()["services"][service]
    assert described["read_only"] is True
    assert described["cap_drop"] == ["ALL"]
    assert described["security_opt"] == ["no-new-privileges:true"]
    assert described["deploy"]["resources"]["limits"]["memory"]
    assert not described.get("privileged")
    for port in described.get("ports", []):
        assert with_defaults(port).startswith("127.0.0.1:"), port


@pytest.mark.parametrize("name", FILES)
def test_secrets_are_files(name: str) -> None:
    """Compose copies any other into the container, which Docker refuses where the file system is read-only."""
    for secret, described in loaded(name).get("secrets", {}).items():
        assert list(described) == ["file"], secret


@pytest.mark.parametrize("service", SERVICES)
def test_every_image_is_of_one_version(service: str) -> None:
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", loaded()["services"][service]["image"])


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "shoal"])
def test_every_service_says_whether_it_is_well(service: str) -> None:
    # Shoal's image has a health check of its own.
    assert loaded()["services"][service]["healthcheck"]["test"][0] == "CMD"


def test_who_stores_gets_time_to_end() -> None:
    for service in ("qdrant", "shoal"):
        assert loaded()["services"][service]["stop_grace_period"] == "60s"
    assert Settings.model_fields["shutdown_grace_s"].default < 60


@pytest.mark.parametrize("name", FILES)
def test_no_secret_is_written_down(name: str) -> None:
    for service in loaded(name)["services"].values():
        for variable, value in service.get("environment", {}).items():
            if _SECRET.search(variable) and value not in ("true", "false"):
                assert re.fullmatch(r"\$\{\w+:\?[^}]*\}|/run/secrets/\w+", value), variable


def test_what_is_mounted_is_there() -> None:
    described = loaded()
    for service in described["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in described["volumes"], source


@pytest.mark.parametrize("files", [FILES[:1], FILES], ids=["on this machine", "tls and gpu"])
def test_the_server_would_start_with_these_settings(files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, str] = {}
    for name in files:
        given |= loaded(name)["services"]["shoal"].get("environment", {})
    assert {name.removeprefix("SHOAL_").lower() for name in given} <= set(Settings.model_fields)
    for name, value in given.items():
        monkeypatch.setenv(name, with_defaults(value))
    settings = Settings()
    assert settings.require_key
    assert settings.plaintext == (settings.tls_cert is None)
    assert settings.qdrant_url == "http://qdrant:6333"
    published = {with_defaults(port).rpartition(":")[2] for port in loaded()["services"]["shoal"]["ports"]}
    assert {str(address).rpartition(":")[2] for address in (settings.listen, settings.web_listen)} == published
    assert settings.model == Settings.model_fields["model"].default
