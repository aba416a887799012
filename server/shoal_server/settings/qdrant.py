"""A Qdrant server to store in, and other Shoal servers on it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings


class QdrantServer(BaseSettings):
    """A Qdrant server to store in, and other Shoal servers on it."""

    qdrant_url: Annotated[
        str | None, Field(description="Qdrant server to store in; without one, Qdrant's engine in the data folder.")
    ] = None
    qdrant_grpc_port: Annotated[
        int | None,
        Field(ge=1, le=65535, description="Port of its gRPC, on the same host; `none`: REST is used, which is slower."),
    ] = 6334
    qdrant_api_key: Annotated[SecretStr | None, Field(description="API key of that Qdrant server.")] = None
    store_wait_s: Annotated[
        float,
        Field(ge=0, le=3600, description="Seconds to wait at the start for a Qdrant server that does not answer yet."),
    ] = 0.0
    qdrant_timeout_s: Annotated[int, Field(ge=1, le=3600, description="Seconds for one call to Qdrant.")] = 60
    qdrant_hnsw_m: Annotated[
        int | None,
        Field(ge=4, le=128, description="Edges of a point in the search graph of new collections; Qdrant's own is 16."),
    ] = None
    qdrant_hnsw_ef_construct: Annotated[
        int | None,
        Field(ge=4, le=4096, description="Candidates looked at for each of them; Qdrant's own is 100."),
    ] = None
    qdrant_search_ef: Annotated[
        int | None,
        Field(ge=1, le=10_000, description="Candidates kept in a search: more find more, and take longer."),
    ] = None
    qdrant_quantization: Annotated[
        Literal["none", "scalar", "binary"],
        Field(
            description="Form of vectors that new collections keep in memory and compare first: `none`, `scalar` (a "
            "quarter of the memory), or `binary` (a thirtieth; for 1,024 dimensions and more)."
        ),
    ] = "none"
    qdrant_rescore: Annotated[
        bool, Field(description="Compare what was found in that form by the whole vectors again.")
    ] = True
    qdrant_oversampling: Annotated[
        float | None,
        Field(
            ge=1,
            le=100,
            description="So many times as many are found before that; without it, 1.5 for `scalar` and 3 for `binary`.",
        ),
    ] = None
    qdrant_vectors_on_disk: Annotated[
        bool, Field(description="New collections leave whole vectors on disk; memory is only a cache of them.")
    ] = False
    qdrant_payload_on_disk: Annotated[
        bool | None, Field(description="New collections leave payloads on disk; without it, as Qdrant is configured.")
    ] = None
    qdrant_shards: Annotated[
        int | None,
        Field(ge=1, le=1024, description="Shards of the images of new collections; without it, one for each node."),
    ] = None
    qdrant_replicas: Annotated[
        int | None, Field(ge=1, le=32, description="Copies of every shard of new collections, on as many nodes.")
    ] = None
    qdrant_write_consistency: Annotated[
        int | None, Field(ge=1, le=32, description="Copies that must have a write before it is acknowledged.")
    ] = None
    qdrant_write_ordering: Annotated[
        Literal["weak", "medium", "strong"],
        Field(description="How writes on several copies are put in order; what decides between servers is `strong`."),
    ] = "medium"
    qdrant_read_consistency: Annotated[
        int | Literal["majority", "quorum", "all"] | None,
        Field(description="Copies that must agree on what is read: a number, `majority`, `quorum` or `all`."),
    ] = None
    qdrant_batch: Annotated[
        int,
        Field(ge=1, le=1024, description="Most images in one write to Qdrant; fewer if they are over 2 MiB."),
    ] = 256
    qdrant_parallel_upserts: Annotated[
        int, Field(ge=1, le=16, description="Such writes of one batch under way at once.")
    ] = 2
    lease_s: Annotated[
        float,
        Field(
            ge=2,
            le=600,
            description="Seconds after which another server on the same Qdrant takes over from one that is silent.",
        ),
    ] = 20.0
    attach_interval_s: Annotated[
        float,
        Field(
            ge=1,
            le=3600,
            description="Seconds between two looks for points that others put into attached collections.",
        ),
    ] = 30.0

    @field_validator("qdrant_url")
    @classmethod
    def _has_no_credentials(cls, value: str | None) -> str | None:
        if value is None:
            return None
        # First, so that no other message shows them.
        if "@" in value.rpartition("://")[2].partition("/")[0]:
            raise ValueError("no credentials in it; give the API key with SHOAL_QDRANT_API_KEY")
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in ("http", "https") or not rest.strip("/"):
            raise ValueError(f"{value!r} is not http://HOST:PORT or https://HOST:PORT")
        # Files beside the store are found by it.
        return value.rstrip("/")

    @field_validator("qdrant_grpc_port", mode="before")
    @classmethod
    def _zero_is_none(cls, value: object) -> object:
        return None if str(value).strip().lower() in ("", "0", "none") else value
