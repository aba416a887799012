"""Qdrant's client, with what its operator has chosen said in every call, and calls repeated that may be."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Sequence
from typing import Any

import httpx
from qdrant_client import AsyncQdrantClient, models

from shoal_server.adapters.qdrant_store.tuning import Tuning

#: gRPC does it by itself, with waits of up to 0.2, 0.8, 3.2 and 5 s: a server that is restarted is not noticed.
_RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.2s",
    "maxBackoff": "5s",
    "backoffMultiplier": 4,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
#: What may be done twice. Points: a write replaces, sets or removes, and gives the same the second time. Not the making
#: of collections, which the second time is an error, nor the look whether the server is there.
_REPEATABLE = [
    {"service": "qdrant.Points"},
    *({"service": "qdrant.Collections", "method": method} for method in ("Get", "List", "CollectionExists")),
]

_GRPC_OPTIONS = {
    "grpc.enable_retries": 1,
    "grpc.service_config": json.dumps({"methodConfig": [{"name": _REPEATABLE, "retryPolicy": _RETRY}]}),
    # By default a server that was away for long is only looked for every two minutes.
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.min_reconnect_backoff_ms": 1000,
    "grpc.max_reconnect_backoff_ms": 3000,
    # A connection whose other end has vanished is found out while calls wait for it.
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
}
#: Attempts to connect over REST; requests that may have arrived are not sent again.
_CONNECT_RETRIES = 3


class TunedClient(AsyncQdrantClient):
    """A client of a server or cluster."""

    def __init__(self, url: str, api_key: str | None, grpc_port: int | None, tuning: Tuning) -> None:
        """Args:
        url: for instance ``https://qdrant.example.com:6333``.
        api_key: None for a server without one.
        grpc_port: of the same host; None for REST alone.
        tuning: what is said in every call.
        """
        self._tuning = tuning
        self._over_grpc = grpc_port is not None
        options: dict[str, Any] = {}
        if grpc_port is not None:
            options = {"grpc_port": grpc_port, "grpc_options": dict(_GRPC_OPTIONS)}
        else:
            options["transport"] = httpx.AsyncHTTPTransport(retries=_CONNECT_RETRIES)
        with warnings.catch_warnings():
            # Whether a key goes over http is said once, in Shoal's own words.
            warnings.filterwarnings("ignore", "Api key is used with an insecure connection", UserWarning)
            super().__init__(
                url=url,
                api_key=api_key,
                prefer_grpc=self._over_grpc,
                timeout=tuning.timeout_s,
                # The client's own check only warns.
                check_compatibility=False,
                **options,
            )

    async def info(self) -> models.VersionInfo:
        """Asked by REST too: the files beside a store are found by its address, and an address at which only the port
        of gRPC is right would be taken for another store's.
        """
        if self._over_grpc:
            await self.http.service_api.root()
        return await super().info()

    async def create_collection(self, collection_name: str, *args: Any, **options: Any) -> bool:
        """With as many replicas as all have; one without vectors has one shard."""
        chosen = self._tuning.of_every_collection()
        if not (args[0] if args else options.get("vectors_config")):
            chosen["shard_number"] = 1
        return await super().create_collection(collection_name, *args, **(chosen | options))

    async def upsert(self, collection_name: str, points: Any, *args: Any, **options: Any) -> models.UpdateResult:
        """In as many requests as it takes; when one of them fails, others may be done."""
        options = self._tuning.writes() | options
        batches = [points]
        if isinstance(points, Sequence) and points:
            batches = list(self._tuning.stretches(points, _dimension(points[0]), self._over_grpc))
        # Where a point stands there twice, the last one must win.
        distinct = len(batches) == 1 or len({each.id for each in points}) == len(points)
        sending = asyncio.Semaphore(self._tuning.parallel_upserts if distinct else 1)

        async def sent(batch: Any) -> models.UpdateResult:
            async with sending:
                return await super(TunedClient, self).upsert(collection_name, batch, *args, **options)

        # All are waited for, so that no write goes on behind the back of whoever is told of the error.
        results = await asyncio.gather(*map(sent, batches), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        last: Any = results[-1]
        return last  # type: ignore[no-any-return]

    async def delete(self, *args: Any, **options: Any) -> models.UpdateResult:
        """In the order that was chosen."""
        return await super().delete(*args, **(self._tuning.writes() | options))

    async def set_payload(self, *args: Any, **options: Any) -> models.UpdateResult:
        """In the order that was chosen."""
        return await super().set_payload(*args, **(self._tuning.writes() | options))

    async def delete_payload(self, *args: Any, **options: Any) -> models.UpdateResult:
        """In the order that was chosen."""
        return await super().delete_payload(*args, **(self._tuning.writes() | options))

    async def batch_update_points(self, *args: Any, **options: Any) -> list[models.UpdateResult]:
        """In the order that was chosen."""
        return await super().batch_update_points(*args, **(self._tuning.writes() | options))

    async def retrieve(self, *args: Any, **options: Any) -> list[models.Record]:
        """As many replicas agree as was chosen."""
        return await super().retrieve(*args, **(self._tuning.reads() | options))

    async def scroll(self, *args: Any, **options: Any) -> tuple[list[models.Record], Any]:
        """As many replicas agree as was chosen."""
        return await super().scroll(*args, **(self._tuning.reads() | options))

    async def query_points(self, *args: Any, **options: Any) -> models.QueryResponse:
        """With the search parameters that were chosen."""
        chosen = self._tuning.reads()
        if (params := self._tuning.search_params()) is not None:
            chosen["search_params"] = params
        return await super().query_points(*args, **(chosen | options))

    async def query_batch_points(
        self, collection_name: str, requests: Sequence[Any], *args: Any, **options: Any
    ) -> list[models.QueryResponse]:
        """With the search parameters that were chosen, where a request has none of its own."""
        if (params := self._tuning.search_params()) is not None:
            requests = [
                each if each.params is not None else each.model_copy(update={"params": params}) for each in requests
            ]
        return await super().query_batch_points(collection_name, requests, *args, **(self._tuning.reads() | options))


def _dimension(point: Any) -> int:
    """Numbers in a point's vectors."""
    vector = getattr(point, "vector", None)
    if isinstance(vector, dict):
        return sum(len(each) for each in vector.values() if isinstance(each, list))
    return len(vector) if isinstance(vector, list) else 0
