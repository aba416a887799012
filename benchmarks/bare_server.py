"""The store behind gRPC with nothing of Shoal around it: the least that a search through gRPC costs in Python.

    python benchmarks/bare_server.py DATA_FOLDER

Serves SearchImages by vector alone, without names, filters, limits, keys or metrics, until its input is closed; prints
its address. For benchmarks that say what Shoal adds.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import uvloop
from driver import COLLECTION

from shoal.v1.image_service_pb2 import SearchImagesRequest, SearchImagesResponse
from shoal.v1.image_service_pb2_grpc import ImageServiceServicer, add_ImageServiceServicer_to_server
from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.domain.filters import ImageFilter
from shoal_server.rpc import convert


class _Bare(ImageServiceServicer):
    def __init__(self, store: EdgeStore) -> None:
        self._store = store

    async def SearchImages(  # noqa: N802 - as gRPC calls it
        self, request: SearchImagesRequest, context: Any
    ) -> SearchImagesResponse:
        vector = np.array(request.vector.values, dtype=np.float32)
        response = SearchImagesResponse()
        for scored in await self._store.query_images(COLLECTION, vector, ImageFilter(), request.page_size):
            convert.fill_image(response.results.add(score=scored.score).image, COLLECTION, scored.image)
        return response


async def _serve(data: Path) -> None:
    store = await EdgeStore.open(data)
    server = grpc.aio.server()
    # Of the service, it has the one method that is measured.
    servicer = _Bare(store)  # type: ignore[abstract]
    add_ImageServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)
    await store.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(Path(sys.argv[1])))
