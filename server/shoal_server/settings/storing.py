"""Where things are kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

MEBIBYTE = 1024 * 1024


def default_data_folder() -> Path:
    """``$XDG_DATA_HOME/shoal``, or ``~/.local/share/shoal``."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "shoal"


def default_cache_folder() -> Path:
    """``$XDG_CACHE_HOME/shoal``, or ``~/.cache/shoal``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shoal"


class Storing(BaseSettings):
    """Where things are kept."""

    data: Annotated[Path, Field(description="Folder for everything the server keeps.")] = Field(
        default_factory=default_data_folder
    )
    cache: Annotated[Path, Field(description="Folder for what can be computed again; shared by all servers.")] = Field(
        default_factory=default_cache_folder
    )
    files_url: Annotated[
        str | None,
        Field(
            description="Where the files of runs and images are: `s3://BUCKET/PREFIX` (extra `s3`), "
            "`gs://BUCKET/PREFIX` (extra `gcs`), or `file:///FOLDER`, which all servers mount; one for each Qdrant. "
            "Without it, in the data folder."
        ),
    ] = None
    min_free_bytes: Annotated[
        int,
        Field(
            ge=0,
            description="Room that stays free on the disk of the data folder: new images and runs are refused beyond, "
            "half of it is for finishing what was begun. 0: nothing is checked, and a full disk ends the server.",
        ),
    ] = 256 * MEBIBYTE
    change_log_size: Annotated[
        int,
        Field(
            ge=1000,
            description="Changes of assignments that are kept of each collection for those who follow them; who comes "
            "later begins anew.",
        ),
    ] = 1_000_000

    @field_validator("files_url")
    @classmethod
    def _is_shared_for_good(cls, value: str | None) -> str | None:
        if value is None:
            return None
        scheme, separator, rest = value.partition("://")
        # Only what puts a file whole or not at all, and keeps it.
        if not separator or scheme not in ("s3", "s3a", "gs", "gcs", "file"):
            raise ValueError("write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or file:///FOLDER")
        if not rest.strip("/") or rest.startswith("/") != (scheme == "file"):
            raise ValueError(f"{value} does not say where: write s3://BUCKET/PREFIX or file:///FOLDER")
        if "@" in rest.partition("/")[0] or any(each in rest for each in "*?[]"):
            raise ValueError(
                "no credentials, ? or * in it; credentials are read where the storage's own programs read them, for "
                "instance AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        return value
