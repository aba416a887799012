"""Where and how calls are answered, and what is told of it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from shoal_server.settings.words import none_if_said

MEBIBYTE = 1024 * 1024

_NAME = re.compile(r"[A-Za-z0-9._-]+")


class Serving(BaseSettings):
    """Where and how calls are answered, and what is told of it."""

    listen: Annotated[str, Field(description="Host and port to serve gRPC on; port 0 picks a free one.")] = (
        "127.0.0.1:50051"
    )
    max_message_bytes: Annotated[
        int, Field(ge=MEBIBYTE, le=2**31 - 1, description="Longest gRPC message, both ways.")
    ] = 64 * MEBIBYTE
    stream_window: Annotated[int, Field(ge=1, description="Images of one ingest stream worked on at once.")] = 64
    shutdown_grace_s: Annotated[
        float, Field(ge=0, description="Seconds that calls in flight get to end when the server is stopped.")
    ] = 10.0
    http_listen: Annotated[
        str | None,
        Field(description="Host and port of `/metrics`, `/healthz` and `/readyz`, for instance `127.0.0.1:9464`."),
    ] = None
    http_public: Annotated[
        bool,
        Field(
            description="Whoever reaches that port may read the metrics, which name the collections, without an API "
            "key; also beyond loopback."
        ),
    ] = False
    web_listen: Annotated[
        str | None,
        Field(
            description="Host and port of the explorer, the page in which people look at collections and correct them, "
            "and of its JSON API, for instance `127.0.0.1:8080`."
        ),
    ] = None
    web_hosts: Annotated[
        tuple[str, ...],
        NoDecode,
        Field(
            description="Names that the explorer is reached by besides the address it listens on, for instance that of "
            "a proxy before it; separated by commas, without ports."
        ),
    ] = ()
    log_level: Annotated[str, Field(description="`DEBUG`, `INFO`, `WARNING` or `ERROR`.")] = "INFO"
    log_format: Annotated[
        Literal["text", "json"], Field(description="`text` for people, or `json`: one object a line.")
    ] = "text"
    otlp_endpoint: Annotated[
        str | None,
        Field(
            description="Send traces to this OpenTelemetry collector (OTLP over gRPC), for instance "
            "`http://127.0.0.1:4317`; needs the extra `tracing`."
        ),
    ] = None

    @field_validator("listen", "http_listen", "web_listen")
    @classmethod
    def _has_host_and_port(cls, value: str | None) -> str | None:
        if value is None:
            return None
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{value!r} is not HOST:PORT, for instance 127.0.0.1:50051")
        return value

    @field_validator("web_hosts", mode="before")
    @classmethod
    def _are_separated_by_commas(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("web_hosts")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if _NAME.fullmatch(name) is None:
                raise ValueError(
                    f"{name!r} is no name of a host, for instance photos.example.org, without https:// or port"
                )
        return value

    @field_validator("http_listen", "web_listen", mode="before")
    @classmethod
    def _none_is_off(cls, value: object) -> object:
        return none_if_said(value)

    @field_validator("log_level")
    @classmethod
    def _is_a_level(cls, value: str) -> str:
        if value.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError(f"{value!r} is none of DEBUG, INFO, WARNING, ERROR")
        return value.upper()
