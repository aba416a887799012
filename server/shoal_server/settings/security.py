"""Who may do what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings

from shoal_server.domain.access import Role
from shoal_server.settings.words import none_if_said


class Security(BaseSettings):
    """Who may do what."""

    insecure: Annotated[
        bool,
        Field(description="Listen beyond loopback although anybody who reaches the port may read and change all."),
    ] = False
    plaintext: Annotated[
        bool,
        Field(
            description="Listen beyond loopback without TLS, because what is in front of the server ends it. For "
            "clients: send the API key all the same."
        ),
    ] = False
    keys_file: Annotated[
        Path | None,
        Field(
            description="File of the API keys, read again when it changes; `keys.json` in the data folder if not set."
        ),
    ] = None
    require_key: Annotated[
        bool, Field(description="Every call needs credentials, even if there are no API keys yet.")
    ] = False
    tls_cert: Annotated[
        Path | None, Field(description="The server's certificate and its chain (PEM), read again when it changes.")
    ] = None
    tls_key: Annotated[Path | None, Field(description="The key to it (PEM, no password).")] = None
    tls_client_ca: Annotated[
        Path | None,
        Field(description="Clients must show a certificate that one of these authorities (PEM) signed."),
    ] = None
    tls_client_role: Annotated[
        Role | None,
        Field(
            description="What a client with such a certificate and no API key may do: `read`, `write` or `admin`; "
            "without it, clients need a key as well."
        ),
    ] = None
    rate_limit_per_s: Annotated[
        float | None,
        Field(gt=0, description="Calls a second that one API key, certificate or address may make in the long run."),
    ] = None
    rate_limit_burst: Annotated[int, Field(ge=1, description="Calls it may make at once after some quiet.")] = 100
    max_streams: Annotated[int, Field(ge=1, description="Streams it may have open at once.")] = 100
    max_calls: Annotated[
        int,
        Field(
            ge=1,
            description="Calls by gRPC that it may have under way at once, streams among them. Their messages are "
            "read 16 at a time, and twice `SHOAL_MAX_MESSAGE_BYTES` of them are answered at a time; the others wait.",
        ),
    ] = 500
    audit_log: Annotated[
        Path | None,
        Field(
            description="Who changed what, as JSON lines; in the data folder unless it is a whole path. `none`: not "
            "recorded."
        ),
    ] = Path("audit.log")

    @field_validator("rate_limit_per_s", "audit_log", mode="before")
    @classmethod
    def _none_is_no_limit(cls, value: object) -> object:
        return none_if_said(value)

    @model_validator(mode="after")
    def _has_whole_tls(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("SHOAL_TLS_CERT and SHOAL_TLS_KEY go together: set both, or none for no TLS")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError(
                "SHOAL_TLS_CLIENT_CA needs SHOAL_TLS_CERT and SHOAL_TLS_KEY: only TLS asks for certificates"
            )
        if self.tls_client_role is not None and self.tls_client_ca is None:
            raise ValueError("SHOAL_TLS_CLIENT_ROLE needs SHOAL_TLS_CLIENT_CA, which says whose certificates count")
        return self
