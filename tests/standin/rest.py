"""REST, and the path by which tests order faults."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python
from qdrant_client import models

from tests.standin.collections_service import RootService
from tests.standin.engine import Engine
from tests.standin.faults import Calls
from tests.standin.guard import check_key
from tests.standin.refusals import HTTP_STATUS, Refused, not_understood

Answer = Callable[["Api", str, bytes], Any]


class Api:
    """What the paths do.

    Args:
        drop: closes all connections of gRPC, and listens again.
    """

    def __init__(
        self, engine: Engine, calls: Calls, root: RootService, api_key: str | None, drop: Callable[[], None]
    ) -> None:
        self.engine = engine
        self.calls = calls
        self.root = root
        self.api_key = api_key
        self.drop = drop

    def answer(self, verb: str, path: str, body: bytes, headers: Any) -> Any:
        """What a request is answered with.

        Raises:
            Refused: it is not answered.
        """
        if path == "/control":
            return self._control(verb, body)
        if (verb, path) == ("GET", "/"):
            return models.VersionInfo(title="stand-in for qdrant", version=self.root.version)
        for wanted_verb, pattern, method, handler in _ROUTES:
            found = re.fullmatch(pattern, path)
            if verb != wanted_verb or found is None:
                continue
            check_key(self.api_key, headers.get("api-key"), headers.get("authorization"))
            name = unquote(found["collection"]) if "collection" in found.groupdict() else ""
            try:
                after = self.calls.begin(method, None)
                result = handler(self, name, body)
            finally:
                self.calls.end()
            if after is not None:
                raise after
            return {"result": result, "status": "ok", "time": 0.0}
        raise not_understood(f"{verb} {path}")

    def _control(self, verb: str, body: bytes) -> Any:
        if verb == "GET":
            report = self.calls.report()
            last = report["last"].items()
            return report | {
                "last": {method: MessageToDict(each) for method, each in last if isinstance(each, Message)}
            }
        for order, value in json.loads(body).items():
            match order:
                case "faults":
                    self.calls.order(value)
                case "forget_calls":
                    self.calls.forget()
                case "version":
                    self.root.version = value
                case "drop_connections":
                    self.drop()
                case _:
                    raise not_understood(f"the order {order!r}")
        return {}


def serve(api: Api, host: str, port: int) -> ThreadingHTTPServer:
    """A server of HTTP that listens, and serves when it is told to."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            try:
                status, content = 200, api.answer(self.command, urlsplit(self.path).path, body, self.headers)
            except Refused as refused:
                status, content = HTTP_STATUS[refused.status], {"status": {"error": refused.message}, "time": 0.0}
            except ValidationError as error:
                status, content = 400, {"status": {"error": f"Format error in JSON body: {error}"}, "time": 0.0}
            except Exception:  # noqa: BLE001 - the thread goes on
                traceback.print_exc()
                status, content = 500, {"status": {"error": "Service internal error"}, "time": 0.0}
            written = json.dumps(to_jsonable_python(content, exclude_none=False)).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - the base class names them

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
            """Nothing of what goes well."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    return server


def _parsed(kind: Any, body: bytes) -> Any:
    model = TypeAdapter(kind).validate_json(body)
    for each in (model, *(model.searches if isinstance(model, models.QueryRequestBatch) else ())):
        for name in ("shard_key", "prefetch", "lookup_from"):
            if getattr(each, name, None) is not None:
                raise not_understood(f"{name} in {type(each).__name__}")
    return model


def _selected(request: Any) -> Any:
    if request.points is not None:
        return models.PointIdsList(points=request.points)
    if request.filter is not None:
        return models.FilterSelector(filter=request.filter)
    raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "Wrong input: neither points nor filter are given")


def _upsert(api: Api, name: str, body: bytes) -> Any:
    request = _parsed(models.PointInsertOperations, body)
    points = request.points if isinstance(request, models.PointsList) else request.batch
    return api.engine.write(
        "upsert", name, points=points, update_filter=request.update_filter, update_mode=request.update_mode
    )


def _delete(api: Api, name: str, body: bytes) -> Any:
    return api.engine.write("delete", name, points_selector=_parsed(models.PointsSelector, body))


def _set_payload(api: Api, name: str, body: bytes) -> Any:
    request = _parsed(models.SetPayload, body)
    return api.engine.write("set_payload", name, payload=request.payload, points=_selected(request), key=request.key)


def _delete_payload(api: Api, name: str, body: bytes) -> Any:
    request = _parsed(models.DeletePayload, body)
    return api.engine.write("delete_payload", name, keys=request.keys, points=_selected(request))


def _update_batch(api: Api, name: str, body: bytes) -> Any:
    operations = _parsed(models.UpdateOperations, body).operations
    return api.engine.write("batch_update_points", name, update_operations=operations)


def _retrieve(api: Api, name: str, body: bytes) -> Any:
    request = _parsed(models.PointRequest, body)
    return api.engine.read("retrieve", name, ids=request.ids, **_wanted(request))


def _scroll(api: Api, name: str, body: bytes) -> Any:
    request = _parsed(models.ScrollRequest, body)
    found, following = api.engine.read(
        "scroll",
        name,
        scroll_filter=request.filter,
        limit=request.limit or 10,
        offset=request.offset,
        order_by=request.order_by,
        **_wanted(request),
    )
    return models.ScrollResult(points=found, next_page_offset=following)


def _count(api: Api, name: str, body: bytes) -> Any:
    return api.engine.read("count", name, count_filter=_parsed(models.CountRequest, body).filter)


def _facet(api: Api, name: str, body: bytes) -> Any:
    request = _parsed(models.FacetRequest, body)
    return api.engine.read("facet", name, key=request.key, facet_filter=request.filter, limit=request.limit or 10)


def _query(api: Api, name: str, body: bytes) -> Any:
    return _queried(api, name, _parsed(models.QueryRequest, body))


def _query_batch(api: Api, name: str, body: bytes) -> Any:
    return [_queried(api, name, each) for each in _parsed(models.QueryRequestBatch, body).searches]


def _queried(api: Api, name: str, request: models.QueryRequest) -> Any:
    return api.engine.read(
        "query_points",
        name,
        query=request.query,
        using=request.using,
        query_filter=request.filter,
        search_params=request.params,
        score_threshold=request.score_threshold,
        limit=10 if request.limit is None else request.limit,
        offset=request.offset or 0,
        with_payload=request.with_payload or False,
        with_vectors=request.with_vector or False,
    )


def _wanted(request: Any) -> dict[str, Any]:
    payload = True if request.with_payload is None else request.with_payload
    return {"with_payload": payload, "with_vectors": request.with_vector or False}


def _create(api: Api, name: str, body: bytes) -> Any:
    return api.engine.write("create_collection", name, settings=_parsed(models.CreateCollection, body))


def _update(api: Api, name: str, body: bytes) -> Any:
    return api.engine.write("update_collection", name, changes=_parsed(models.UpdateCollection, body))


def _create_index(api: Api, name: str, body: bytes) -> Any:
    request = _parsed(models.CreateFieldIndex, body)
    return api.engine.write("create_payload_index", name, field=request.field_name, schema=request.field_schema)


def _names(api: Api, name: str, body: bytes) -> BaseModel:
    return models.CollectionsResponse(
        collections=[models.CollectionDescription(name=each) for each in api.engine.names()]
    )


_ONE = "/collections/(?P<collection>[^/]+)"

#: Verb, path, gRPC's name of the call, what it does.
_ROUTES: list[tuple[str, str, str, Answer]] = [
    ("GET", "/collections", "Collections.List", _names),
    ("GET", _ONE, "Collections.Get", lambda api, name, _: api.engine.info(name)),
    ("GET", f"{_ONE}/exists", "Collections.CollectionExists", lambda api, name, _: {"exists": api.engine.exists(name)}),
    ("PUT", _ONE, "Collections.Create", _create),
    ("PATCH", _ONE, "Collections.Update", _update),
    ("DELETE", _ONE, "Collections.Delete", lambda api, name, _: api.engine.write("delete_collection", name)),
    ("PUT", f"{_ONE}/index", "Points.CreateFieldIndex", _create_index),
    ("POST", f"{_ONE}/points", "Points.Get", _retrieve),
    ("PUT", f"{_ONE}/points", "Points.Upsert", _upsert),
    ("POST", f"{_ONE}/points/delete", "Points.Delete", _delete),
    ("POST", f"{_ONE}/points/payload", "Points.SetPayload", _set_payload),
    ("POST", f"{_ONE}/points/payload/delete", "Points.DeletePayload", _delete_payload),
    ("POST", f"{_ONE}/points/batch", "Points.UpdateBatch", _update_batch),
    ("POST", f"{_ONE}/points/scroll", "Points.Scroll", _scroll),
    ("POST", f"{_ONE}/points/count", "Points.Count", _count),
    ("POST", f"{_ONE}/points/query", "Points.Query", _query),
    ("POST", f"{_ONE}/points/query/batch", "Points.QueryBatch", _query_batch),
    ("POST", f"{_ONE}/facet", "Points.Facet", _facet),
]
