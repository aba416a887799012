"""``python -m tests.standin``: serves until it is told to end."""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from qdrant_client.grpc.collections_service_pb2_grpc import add_CollectionsServicer_to_server
from qdrant_client.grpc.points_service_pb2_grpc import add_PointsServicer_to_server
from qdrant_client.grpc.qdrant_pb2_grpc import add_QdrantServicer_to_server

from tests.standin.collections_service import CollectionsService, RootService
from tests.standin.engine import Engine
from tests.standin.faults import Calls
from tests.standin.guard import Guard
from tests.standin.points_service import PointsService
from tests.standin.rest import Api, serve

_HOST = "127.0.0.1"
_THREADS = 64


class _Grpc:
    """The server of gRPC, which can drop its connections."""

    def __init__(self, engine: Engine, calls: Calls, root: RootService, api_key: str | None, port: int) -> None:
        self._engine = engine
        self._calls = calls
        self._root = root
        self._api_key = api_key
        self._changing = threading.Lock()
        self._server, self.port = self._listening(port)

    def drop_connections(self) -> None:
        """Closes all, in the middle of calls too, and listens again on the same port."""
        with self._changing:
            self._server.stop(grace=None).wait()
            self._server, self.port = self._listening(self.port)

    def stop(self) -> None:
        """Lets calls end."""
        with self._changing:
            self._server.stop(grace=1).wait()

    def _listening(self, port: int) -> tuple[grpc.Server, int]:
        server = grpc.server(
            ThreadPoolExecutor(_THREADS),
            interceptors=[Guard(self._calls, self._api_key)],
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", 64 * 1024 * 1024),
                ("grpc.max_send_message_length", -1),
            ],
        )
        add_PointsServicer_to_server(PointsService(self._engine), server)  # type: ignore[no-untyped-call]
        add_CollectionsServicer_to_server(CollectionsService(self._engine), server)  # type: ignore[no-untyped-call]
        add_QdrantServicer_to_server(self._root, server)  # type: ignore[no-untyped-call]
        bound = server.add_insecure_port(f"{_HOST}:{port}")
        server.start()
        return server, bound


def main() -> None:
    """Serves on loopback; the ready file says the ports."""
    parser = argparse.ArgumentParser(prog="python -m tests.standin")
    parser.add_argument("--port", type=int, default=0, help="of REST; 0 picks a free one")
    parser.add_argument("--grpc-port", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keeps everything; without one, nothing is kept")
    parser.add_argument("--ready-file", type=Path, help="is written when calls are answered")
    parser.add_argument("--api-key", help="calls need this one")
    parser.add_argument("--version", default="1.16.0", help="that it says it has")
    options = parser.parse_args()
    # Local mode says what it cannot do; here that is known.
    warnings.simplefilter("ignore")

    engine = Engine(options.folder)
    calls = Calls()
    root = RootService(options.version)
    served = _Grpc(engine, calls, root, options.api_key, options.grpc_port)
    web = serve(Api(engine, calls, root, options.api_key, served.drop_connections), _HOST, options.port)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    if options.ready_file is not None:
        ready = {"port": web.server_port, "grpc_port": served.port, "pid": os.getpid()}
        partial = options.ready_file.with_suffix(".partial")
        partial.write_text(json.dumps(ready))
        partial.replace(options.ready_file)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    served.stop()
    web.shutdown()
    engine.close()


if __name__ == "__main__":
    main()
