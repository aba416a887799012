"""What can be set, by environment variables that begin with ``SHOAL_`` or by options of ``shoal serve``."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shoal_server.domain.errors import InvalidField
from shoal_server.domain.image import OnNearDuplicate
from shoal_server.domain.schedule import MAX_GROWTH, MAX_INTERVAL, MIN_INTERVAL, Schedule, parse_quiet_hours

MEBIBYTE = 1024 * 1024


def default_data_folder() -> Path:
    """``$XDG_DATA_HOME/shoal``, or ``~/.local/share/shoal``."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "shoal"


def default_cache_folder() -> Path:
    """``$XDG_CACHE_HOME/shoal``, or ``~/.cache/shoal``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shoal"


class Settings(BaseSettings):
    """All settings of a server. Frozen: nothing changes while it runs."""

    model_config = SettingsConfigDict(env_prefix="SHOAL_", frozen=True, extra="forbid", validate_default=True)

    data: Annotated[Path, Field(description="Folder for everything the server keeps.")] = Field(
        default_factory=default_data_folder
    )
    cache: Annotated[Path, Field(description="Folder for what can be computed again; shared by all servers.")] = Field(
        default_factory=default_cache_folder
    )
    listen: Annotated[str, Field(description="Host and port to serve gRPC on; port 0 picks a free one.")] = (
        "127.0.0.1:50051"
    )
    insecure: Annotated[
        bool,
        Field(description="Listen beyond loopback although anybody who reaches the port may read and change all."),
    ] = False
    model: Annotated[
        str,
        Field(
            description="Embedding model: `MODEL/PRETRAINED` of open_clip, `MODEL/PATH` of a local checkpoint, "
            "`local-dir:FOLDER`, `starter`, or `debug`."
        ),
    ] = "ViT-B-32/datacomp_xl_s13b_b90k"
    qdrant_url: Annotated[
        str | None, Field(description="Qdrant server to store in; without one, Qdrant's engine in the data folder.")
    ] = None
    qdrant_grpc_port: Annotated[int, Field(ge=1, le=65535, description="Port of its gRPC, on the same host.")] = 6334
    qdrant_api_key: Annotated[SecretStr | None, Field(description="API key of that Qdrant server.")] = None
    vocabulary: Annotated[
        Path | None, Field(description="File of the words that clusters are named with; without one, Shoal's own.")
    ] = None
    captioner: Annotated[
        str | None,
        Field(
            description="Model that suggests names for clusters from what their typical images show: a BLIP model's "
            "folder or its name on the hub (`Salesforce/blip-image-captioning-base`); needs the extra `captions`."
        ),
    ] = None
    max_message_bytes: Annotated[
        int, Field(ge=MEBIBYTE, le=2**31 - 1, description="Longest gRPC message, both ways.")
    ] = 64 * MEBIBYTE
    max_file_bytes: Annotated[
        int, Field(ge=1, description="Largest image file; one over the message limit comes in several messages.")
    ] = 512 * MEBIBYTE
    max_ingest_bytes: Annotated[
        int, Field(ge=1, description="Most bytes of image files worked on at once; senders wait for their turn.")
    ] = 64 * MEBIBYTE
    max_image_pixels: Annotated[
        int, Field(ge=1, description="Images with more pixels are refused before they are decoded.")
    ] = 150_000_000
    decode_threads: Annotated[int, Field(ge=1, le=64, description="Threads that decode images.")] = 2
    max_batch: Annotated[int, Field(ge=1, le=1024, description="Most images in one forward pass.")] = 32
    max_queue: Annotated[
        int, Field(ge=1, description="Most images and texts waiting for the model; more are refused.")
    ] = 1024
    max_in_flight: Annotated[
        int, Field(ge=1, description="Most images between decoding and embedding; bounds the memory for pixels.")
    ] = 64
    stream_window: Annotated[int, Field(ge=1, description="Images of one ingest stream worked on at once.")] = 64
    near_duplicates: Annotated[
        OnNearDuplicate,
        Field(
            description="What to do with new images that look like stored ones, where the client does not say: `keep`, "
            "`tag` (with `near-duplicate`) or `skip`."
        ),
    ] = OnNearDuplicate.KEEP
    keep_originals: Annotated[bool, Field(description="Keep the files of new images as they were sent.")] = False
    ingest_roots: Annotated[
        tuple[Path, ...],
        NoDecode,
        Field(
            description="Folders, separated by `:`, below which the server itself reads files that clients name by "
            "URI; none: it reads none."
        ),
    ] = ()
    ingest_http: Annotated[
        bool, Field(description="Let the server itself read images from public http and https addresses.")
    ] = False
    shutdown_grace_s: Annotated[
        float, Field(ge=0, description="Seconds that calls in flight get to end when the server is stopped.")
    ] = 10.0
    recluster_automatically: Annotated[
        bool,
        Field(description="Cluster by itself, as the next four say, each collection that has no schedule of its own."),
    ] = True
    recluster_interval_h: Annotated[
        float | None,
        Field(description="Hours after a run until the next one, if images came or went since; `none`: no such run."),
    ] = 24.0
    recluster_growth: Annotated[
        float | None,
        Field(
            description="Share by which the number of images changes until the next run, 0.2 being 20 %; `none`: no "
            "such run."
        ),
    ] = 0.2
    recluster_quiet_hours: Annotated[
        str | None, Field(description="No run begins by itself at these times of day, for instance `08:00-18:00`.")
    ] = None
    recluster_timezone: Annotated[
        str, Field(description="Timezone of the quiet hours, for instance `Europe/Berlin`.")
    ] = "UTC"
    keep_runs: Annotated[
        int,
        Field(
            ge=1, description="Runs of each collection that are kept with all their files; the active one always is."
        ),
    ] = 20
    log_level: Annotated[str, Field(description="`DEBUG`, `INFO`, `WARNING` or `ERROR`.")] = "INFO"

    @field_validator("listen")
    @classmethod
    def _has_host_and_port(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{value!r} is not HOST:PORT, for instance 127.0.0.1:50051")
        return value

    @field_validator("ingest_roots", mode="before")
    @classmethod
    def _are_separated(cls, value: object) -> object:
        return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value

    @field_validator("ingest_roots")
    @classmethod
    def _are_folders(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        for folder in value:
            if not folder.is_dir():
                raise ValueError(f"{folder} is no folder")
        return value

    @field_validator("recluster_interval_h", "recluster_growth", "recluster_quiet_hours", mode="before")
    @classmethod
    def _none_is_a_word(cls, value: object) -> object:
        # An environment variable has no other way to say that there is none.
        return None if isinstance(value, str) and value.strip().lower() in ("", "none") else value

    @field_validator("recluster_interval_h")
    @classmethod
    def _is_an_interval(cls, value: float | None) -> float | None:
        low, high = MIN_INTERVAL / timedelta(hours=1), MAX_INTERVAL / timedelta(hours=1)
        if value is not None and not low <= value <= high:
            raise ValueError(f"{value:g} hours are not in 1 minute to {MAX_INTERVAL.days} days; or write none")
        return value

    @field_validator("recluster_growth")
    @classmethod
    def _is_a_share(cls, value: float | None) -> float | None:
        if value is not None and not 0 < value <= MAX_GROWTH:
            raise ValueError(f"{value:g} is not above 0 and at most {MAX_GROWTH:g}, for instance 0.2; or write none")
        return value

    @field_validator("recluster_quiet_hours")
    @classmethod
    def _are_hours(cls, value: str | None) -> str | None:
        if value is not None:
            _told_as_value_error(lambda: parse_quiet_hours(value))
        return value

    @field_validator("recluster_timezone")
    @classmethod
    def _is_a_timezone(cls, value: str) -> str:
        _told_as_value_error(Schedule(timezone=value).check)
        return value

    @field_validator("log_level")
    @classmethod
    def _is_a_level(cls, value: str) -> str:
        if value.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError(f"{value!r} is none of DEBUG, INFO, WARNING, ERROR")
        return value.upper()

    @model_validator(mode="after")
    def _is_not_exposed(self) -> Settings:
        host = self.listen.rpartition(":")[0].strip("[]")
        if not self.insecure and not _is_loopback(host):
            raise ValueError(
                f"listening on {self.listen} would let anybody who reaches it read and change all images; listen on "
                "127.0.0.1, or set SHOAL_INSECURE=true if the network is closed to others"
            )
        return self

    @property
    def default_schedule(self) -> Schedule:
        """The schedule of collections that have none of their own."""
        hours = None if self.recluster_quiet_hours is None else parse_quiet_hours(self.recluster_quiet_hours)
        quiet_from, quiet_to = hours or (None, None)
        return Schedule(
            enabled=self.recluster_automatically,
            interval=None if self.recluster_interval_h is None else timedelta(hours=self.recluster_interval_h),
            growth=self.recluster_growth,
            quiet_from=quiet_from,
            quiet_to=quiet_to,
            timezone=self.recluster_timezone,
        )


def _told_as_value_error(check: Callable[[], object]) -> None:
    """The settings' own name stands before the message; the field's of a request would only confuse."""
    try:
        check()
    except InvalidField as error:
        raise ValueError(error.message.removeprefix(f"{error.metadata['field']}: ")) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


#: Defaults that depend on whose machine it is, as people write them.
_FOLDERS = {"data": "~/.local/share/shoal", "cache": "~/.cache/shoal"}


def settings_table() -> str:
    """The settings as a Markdown table, as the README has it."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = _FOLDERS.get(name) or field.default
        default = default.value if isinstance(default, OnNearDuplicate) else default
        rows.append(
            f"| `SHOAL_{name.upper()}` | {'' if default in (None, ()) else f'`{default}`'} | {field.description} |"
        )
    return "\n".join(rows)
