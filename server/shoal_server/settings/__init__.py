"""What can be set, by environment variables that begin with ``SHOAL_`` or by options of ``shoal serve``."""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from pydantic import ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shoal_server.domain.records.keys import keys_from_record
from shoal_server.settings.clustering import Clustering
from shoal_server.settings.images import Images
from shoal_server.settings.qdrant import QdrantServer
from shoal_server.settings.security import Security
from shoal_server.settings.serving import Serving
from shoal_server.settings.storing import Storing, default_cache_folder, default_data_folder

__all__ = [
    "Settings",
    "default_cache_folder",
    "default_data_folder",
    "is_loopback",
    "problems_of",
    "settings_tables",
    "unknown_variables",
]

#: In the order in which people read them.
_ROOMS = (Storing, Serving, Images, Clustering, Security, QdrantServer)


class Settings(Storing, Serving, Images, Clustering, Security, QdrantServer):
    """All settings of a server. Frozen: nothing changes while it runs."""

    # A variable that is set to nothing, as compose files and charts do, is one that is not set.
    model_config = SettingsConfigDict(
        env_prefix="SHOAL_", env_ignore_empty=True, frozen=True, extra="forbid", validate_default=True
    )

    @model_validator(mode="after")
    def _does_not_expose_metrics(self) -> Settings:
        if self.http_listen is None or self.insecure or self.http_public:
            return self
        keys = self.require_key or _has_keys(self.keys_path)
        if not is_loopback(self.http_listen.rpartition(":")[0].strip("[]")) and not (keys and self.plaintext):
            raise ValueError(
                f"serving HTTP on {self.http_listen} would show the metrics, which name the collections, to anybody "
                "who reaches it; listen on 127.0.0.1, or set SHOAL_HTTP_PUBLIC=true if the network is closed to "
                "others, or make API keys and set SHOAL_PLAINTEXT=true if what is in front of the server ends TLS"
            )
        return self

    @model_validator(mode="after")
    def _is_not_exposed(self) -> Settings:
        for address in filter(None, (self.listen, self.web_listen)):
            self._check_exposure(address)
        return self

    @model_validator(mode="after")
    def _listens_on_each_address_once(self) -> Settings:
        web = self.web_listen
        if web is not None and web in (self.listen, self.http_listen) and not web.endswith(":0"):
            raise ValueError(
                f"SHOAL_WEB_LISTEN is {web}, where gRPC or the metrics are served already; choose another port"
            )
        return self

    def _check_exposure(self, address: str) -> None:
        host = address.rpartition(":")[0].strip("[]")
        if self.insecure or is_loopback(host):
            return
        if not (self.require_key or self.tls_client_role or _has_keys(self.keys_path)):
            raise ValueError(
                f"listening on {address} would let anybody who reaches it read and change all images; make an API "
                f"key first (`shoal keys create --role admin --name NAME`, kept in {self.keys_path}), ask for clients' "
                "certificates with SHOAL_TLS_CLIENT_CA and SHOAL_TLS_CLIENT_ROLE, listen on 127.0.0.1, or set "
                "SHOAL_INSECURE=true if the network is closed to others"
            )
        if self.tls_cert is None and not self.plaintext:
            raise ValueError(
                f"listening on {address} without TLS would let whoever is on the way read the API keys; set "
                "SHOAL_TLS_CERT and SHOAL_TLS_KEY, or SHOAL_PLAINTEXT=true if something in front of the server ends TLS"
            )

    @property
    def keys_path(self) -> Path:
        """The file of the API keys."""
        return self.keys_file or self.data / "keys.json"

    @property
    def audit_path(self) -> Path | None:
        """The file of the record of changes; None: nothing is recorded."""
        return None if self.audit_log is None else self.data / self.audit_log


def _has_keys(path: Path) -> bool:
    try:
        return bool(keys_from_record(json.loads(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"the API keys in {path} cannot be read ({type(error).__name__}: {error})") from error


def is_loopback(host: str) -> bool:
    """Whether a host is reached from its own machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


#: Defaults that depend on whose machine it is, as people write them.
_FOLDERS = {"data": "~/.local/share/shoal", "cache": "~/.cache/shoal"}


def problems_of(error: ValidationError) -> list[str]:
    """What is wrong with settings, a line for each, as people set them."""
    return [
        (f"SHOAL_{str(problem['loc'][0]).upper()}: " if problem["loc"] else "")
        + problem["msg"].removeprefix("Value error, ")
        for problem in error.errors()
    ]


#: Variables of the client and of what starts a server, which stand in the same environment.
_OF_OTHERS = {"SHOAL_SERVER", "SHOAL_API_KEY", "SHOAL_API_KEY_FILE", "SHOAL_CLIENT_CERT", "SHOAL_CLIENT_KEY"}
_OF_OTHERS |= {"SHOAL_TLS", "SHOAL_TLS_CA", "SHOAL_TEST_DATA"}
#: What Kubernetes sets for every pod beside a service named ``shoal``.
_OF_KUBERNETES = re.compile(r"SHOAL(_[A-Z0-9_]+)?_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP)(_\w+)?)?)")


def unknown_variables(names: Iterable[str]) -> list[str]:
    """A line for each variable that looks like a setting and is none, with the setting that may be meant."""
    known = {f"SHOAL_{name.upper()}" for name in Settings.model_fields}
    lines = []
    for name in sorted(names):
        if not name.startswith("SHOAL_") or name in known | _OF_OTHERS or _OF_KUBERNETES.fullmatch(name):
            continue
        close = difflib.get_close_matches(name, known, 1)
        lines.append(f"{name} is no setting" + (f"; is {close[0]} meant?" if close else ""))
    return lines


def settings_tables() -> str:
    """The settings as Markdown, a table for each topic, as the documentation has it."""
    return "\n\n".join(f"## {room.__doc__}\n\n{_table(room)}".replace(".\n", "\n", 1) for room in _ROOMS)


def _table(room: type[BaseSettings]) -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in room.model_fields.items():
        default = _FOLDERS.get(name) or field.default
        default = default.value if isinstance(default, Enum) else default
        rows.append(
            f"| `SHOAL_{name.upper()}` | {'' if default in (None, ()) else f'`{default}`'} | {field.description} |"
        )
    return "\n".join(rows)
