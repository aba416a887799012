"""Every RPC, every role, with and without a scope: what the table says is what the server does."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import httpx
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from starlette.routing import Route

from shoal.v1.collection_service_pb2 import (
    CreateCollectionRequest,
    DeleteCollectionRequest,
    GetCollectionRequest,
    ListCollectionsRequest,
)
from shoal.v1.collection_service_pb2_grpc import CollectionServiceStub
from shoal.v1.curation_service_pb2 import MergeClustersRequest
from shoal.v1.curation_service_pb2_grpc import CurationServiceStub
from shoal.v1.image_service_pb2 import IngestImagesRequest, ListImagesRequest, NewImage, SearchImagesRequest
from shoal.v1.image_service_pb2_grpc import ImageServiceStub
from shoal_server.adapters.key_file import KeyFile
from shoal_server.application.access import Access
from shoal_server.application.vitals import Part
from shoal_server.domain.access import ApiKey, Role, make_key
from shoal_server.rpc.authorization import RULES, Rule
from shoal_server.rpc.server import SERVICES
from shoal_server.web.app import Watched, make_app
from shoal_server.web.authorization import by_api_key
from tests.fakes import picture
from tests.rpc.conftest import refused, serving

MINE, THEIRS = "mine", "theirs"
#: Services of gRPC's own that are served too.
STANDARD = ("grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection")
_REFUSALS = frozenset({"WRONG_CREDENTIALS", "NOT_PERMITTED", "OVERLOADED"})

Key = tuple[Role, bool]


def methods() -> Iterator[MethodDescriptor]:
    """Every method of every service that is served."""
    for service in (*SERVICES, *STANDARD):
        yield from descriptor_pool.Default().FindServiceByName(service).methods


METHODS = {f"/{each.containing_service.full_name}/{each.name}": each for each in methods()}


def authorized(key: str) -> tuple[tuple[str, str], ...]:
    """The metadata that a key travels in."""
    return (("authorization", f"Bearer {key}"),)


def add_key(data: Path, role: Role, *collections: str, expires_at: datetime | None = None) -> tuple[str, ApiKey]:
    """A key of a server on this folder."""
    scope = frozenset(collections) if collections else None
    key, made = make_key(f"{role.value} key", role, scope, datetime.now(UTC), expires_at)
    KeyFile(data / "keys.json").change(lambda there: (*there, made))
    return key, made


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[tuple[str, dict[Key, str]]]:
    """A server with two collections, and a key for each role: for everything, and for the one collection only."""
    keys = {
        (role, scoped): add_key(tmp_path, role, *([MINE] if scoped else []))[0]
        for role in Role
        for scoped in (False, True)
    }
    async with serving(tmp_path) as server:
        admin = authorized(keys[Role.ADMIN, False])
        for collection in (MINE, THEIRS):
            await server.collections.CreateCollection(CreateCollectionRequest(collection_id=collection), metadata=admin)
        yield server.address, keys


def test_every_method_that_is_served_has_a_rule() -> None:
    assert not METHODS.keys() - RULES.keys()


def test_every_rule_names_fields_that_there_are() -> None:
    for method, rule in RULES.items():
        if method in METHODS:
            for field in (*rule.names, *rule.ids):
                assert _field(METHODS[method].input_type, field).type == FieldDescriptor.TYPE_STRING, (method, field)


def test_every_request_that_names_a_collection_is_held_to_it() -> None:
    """Whatever a method calls the resource it is about, the rule looks at it."""
    for method, descriptor in METHODS.items():
        rule = RULES[method]
        fields = {field.name for field in descriptor.input_type.fields}
        for usual in fields & {"parent", "name"}:
            assert usual in rule.names, method
        assert rule.names or rule.ids or rule.everywhere or rule.own or rule.role is None or "reflection" in method


async def test_what_is_served_is_what_was_looked_at(guarded: tuple[str, dict[Key, str]]) -> None:
    address, keys = guarded
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            [answer async for answer in stub.ServerReflectionInfo(iter([asked]))]
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
        call = stub.ServerReflectionInfo(iter([asked]), metadata=authorized(keys[Role.READ, True]))
        [answer] = [answer async for answer in call]
    served = {each.name for each in answer.list_services_response.service}
    assert served == {*SERVICES, *STANDARD}


async def test_matrix(guarded: tuple[str, dict[Key, str]]) -> None:
    """No key, a wrong one, each role, each with and without a scope, about a collection in it and outside it."""
    address, keys = guarded
    wrong: list[tuple[object, ...]] = []
    async with grpc.aio.insecure_channel(address) as channel:
        for method, rule in RULES.items():
            if method not in METHODS:
                continue
            for credentials in ((), authorized("shoal_nobody"), (("authorization", "Basic eDp5"),)):
                got = await _refusal(channel, method, MINE, credentials)
                if got not in (("",) if rule.role is None else ("WRONG_CREDENTIALS", "OVERLOADED")):
                    wrong.append((method, credentials, got))
            for (role, scoped), key in keys.items():
                # A backup takes seconds, and names no collection.
                for collection in (MINE, THEIRS, "nowhere") if rule.names or rule.ids else (MINE,):
                    allowed = _allowed(rule, role, scoped, collection)
                    got = await _refusal(channel, method, collection, authorized(key))
                    if got != ("" if allowed else "NOT_PERMITTED"):
                        wrong.append((method, role, scoped, collection, got))
    assert not wrong


def _allowed(rule: Rule, role: Role, scoped: bool, collection: str) -> bool:
    """The rules once more, in the words of the documentation."""
    if rule.role is None:
        return True
    rank = [Role.READ, Role.WRITE, Role.ADMIN]
    if rank.index(role) < rank.index(rule.role):
        return False
    if not scoped:
        return True
    names_something = bool(rule.names or rule.ids)
    return not rule.everywhere and (not names_something or collection == MINE)


async def _refusal(
    channel: grpc.aio.Channel, method: str, collection: str, credentials: tuple[tuple[str, str], ...]
) -> str:
    """The reason why a call is refused for who makes it; empty if it gets to its handler, whatever that says."""
    descriptor = METHODS[method]
    request = _request(RULES[method], descriptor, collection)
    kinds = [("unary", "stream")[each] for each in (descriptor.client_streaming, descriptor.server_streaming)]
    make: Any = getattr(channel, "_".join(kinds))
    call = make(
        method,
        request_serializer=type(request).SerializeToString,
        response_deserializer=message_factory.GetMessageClass(descriptor.output_type).FromString,
    )
    sent = iter([request]) if descriptor.client_streaming else request
    try:
        if descriptor.server_streaming:
            async for _ in call(sent, metadata=credentials, timeout=20):
                if descriptor.name == "Watch":  # which never ends by itself
                    break
        else:
            await call(sent, metadata=credentials, timeout=20)
    except grpc.aio.AioRpcError as error:
        return _reason(error)
    return ""


def _reason(error: grpc.aio.AioRpcError) -> str:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    info = error_details_pb2.ErrorInfo()
    if status is None or not status.details or not status.details[0].Unpack(info):
        return ""
    codes = {
        "WRONG_CREDENTIALS": grpc.StatusCode.UNAUTHENTICATED,
        "NOT_PERMITTED": grpc.StatusCode.PERMISSION_DENIED,
        # One address has tried without credentials for too often.
        "OVERLOADED": grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
    assert error.code() is codes.get(info.reason, error.code())
    return info.reason if info.reason in _REFUSALS else ""


def _request(rule: Rule, descriptor: MethodDescriptor, collection: str) -> Any:
    """A request about something in a collection that is not there, so that nothing comes of it."""
    request: Any = message_factory.GetMessageClass(descriptor.input_type)()
    if "until_now" in descriptor.input_type.fields_by_name:
        request.until_now = True
    for field in rule.names:
        owner, leaf = _owner(request, field)
        setattr(owner, leaf, f"collections/{collection}{_WITHIN.get(descriptor.name, '')}")
    for field in rule.ids:
        owner, leaf = _owner(request, field)
        # There already, or with a form that no id has.
        setattr(owner, leaf, collection)
    return request


_IMAGE, _CLUSTER, _RUN = f"/images/{UUID(int=0)}", "/clusters/99999", "/clusteringRuns/none"
#: What a method is about within a collection.
_WITHIN = {
    **dict.fromkeys(("GetImage", "UpdateImage", "DeleteImage", "GetThumbnail", "DownloadImage"), _IMAGE),
    **dict.fromkeys(("GetCluster", "UpdateCluster", "SplitCluster", "PinCluster", "DissolveCluster"), _CLUSTER),
    **dict.fromkeys(
        (
            "GetClusteringRun",
            "CancelClusteringRun",
            "ActivateClusteringRun",
            "CompareClusteringRuns",
            "StreamClusteringRun",
        ),
        _RUN,
    ),
    "UndoCorrection": "/corrections/none",
    # Nobody in the matrix is to lose a collection.
    "DeleteCollection": "/none",
    "DetachCollection": "/none",
}


def _owner(message: Any, field: str) -> tuple[Any, str]:
    *path, leaf = field.split(".")
    for part in path:
        message = getattr(message, part)
    return message, leaf


def _field(descriptor: Descriptor, field: str) -> FieldDescriptor:
    *path, leaf = field.split(".")
    for part in path:
        within = descriptor.fields_by_name[part].message_type
        assert within is not None
        descriptor = within
    return descriptor.fields_by_name[leaf]


async def test_a_scope_shows_only_its_collections(guarded: tuple[str, dict[Key, str]]) -> None:
    address, keys = guarded
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = CollectionServiceStub(channel)
        for scoped, seen in ((False, [MINE, THEIRS]), (True, [MINE])):
            listed = await stub.ListCollections(ListCollectionsRequest(), metadata=authorized(keys[Role.READ, scoped]))
            assert [each.name for each in listed.collections] == [f"collections/{each}" for each in seen]


async def test_a_page_token_gives_nobody_more(guarded: tuple[str, dict[Key, str]]) -> None:
    address, keys = guarded
    everything, scoped = authorized(keys[Role.READ, False]), authorized(keys[Role.READ, True])
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = CollectionServiceStub(channel)
        first = await stub.ListCollections(ListCollectionsRequest(page_size=1), metadata=everything)
        assert first.next_page_token
        again = ListCollectionsRequest(page_size=10, page_token=first.next_page_token)
        assert not (await stub.ListCollections(again, metadata=scoped)).collections
        alone = await stub.ListCollections(ListCollectionsRequest(page_size=1), metadata=scoped)
        assert not alone.next_page_token, "it would tell that there are more"

        images: Any = ImageServiceStub(channel)
        contents = [picture("red", number) for number in range(3)]
        requests = iter(
            IngestImagesRequest(parent=f"collections/{THEIRS}", image=NewImage(content=each)) for each in contents
        )
        stored = [r async for r in images.IngestImages(requests, metadata=authorized(keys[Role.WRITE, False]))]
        assert len(stored) == 3
        page = await images.ListImages(
            ListImagesRequest(parent=f"collections/{THEIRS}", page_size=1), metadata=everything
        )
        assert page.next_page_token
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN"):
            await images.ListImages(
                ListImagesRequest(parent=f"collections/{MINE}", page_size=1, page_token=page.next_page_token),
                metadata=scoped,
            )


async def test_names_inside_a_request_reach_no_other_collection(guarded: tuple[str, dict[Key, str]]) -> None:
    address, keys = guarded
    credentials = authorized(keys[Role.ADMIN, True])
    async with grpc.aio.insecure_channel(address) as channel:
        images: Any = ImageServiceStub(channel)
        other = f"collections/{THEIRS}/images/{UUID(int=1)}"
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME", "another collection"):
            await images.SearchImages(
                SearchImagesRequest(parent=f"collections/{MINE}", image_name=other), metadata=credentials
            )
        curation: Any = CurationServiceStub(channel)
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME", "another collection"):
            await curation.MergeClusters(
                MergeClustersRequest(
                    parent=f"collections/{MINE}", clusters=[f"collections/{THEIRS}/clusters/{n}" for n in (1, 2)]
                ),
                metadata=credentials,
            )


@pytest.mark.parametrize("name", ["", "mine", "collections/", f"collections/{MINE}\n", f"x/collections/{MINE}"])
async def test_a_name_of_another_form_gets_nobody_in(guarded: tuple[str, dict[Key, str]], name: str) -> None:
    address, keys = guarded
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = CollectionServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.GetCollection(GetCollectionRequest(name=name), metadata=authorized(keys[Role.READ, True]))
        assert raised.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED)


async def test_what_is_refused_is_the_same_whether_it_is_there_or_not(guarded: tuple[str, dict[Key, str]]) -> None:
    address, keys = guarded
    said = []
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = CollectionServiceStub(channel)
        for collection in (THEIRS, "nowhere"):
            for ask in (
                stub.GetCollection(
                    GetCollectionRequest(name=f"collections/{collection}"),
                    metadata=authorized(keys[Role.ADMIN, True]),
                ),
                stub.DeleteCollection(
                    DeleteCollectionRequest(name=f"collections/{collection}"),
                    metadata=authorized(keys[Role.ADMIN, True]),
                ),
                stub.CreateCollection(
                    CreateCollectionRequest(collection_id=collection), metadata=authorized(keys[Role.ADMIN, True])
                ),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await ask
                said.append((raised.value.code(), re.sub(collection, "X", raised.value.details() or "")))
    assert said[:3] == said[3:]
    assert {code for code, _ in said} == {grpc.StatusCode.PERMISSION_DENIED}


async def test_a_stream_cannot_change_to_another_collection(guarded: tuple[str, dict[Key, str]]) -> None:
    address, keys = guarded
    async with grpc.aio.insecure_channel(address) as channel:
        images: Any = ImageServiceStub(channel)
        parents = (MINE, THEIRS)
        requests = iter(
            IngestImagesRequest(parent=f"collections/{parent}", image=NewImage(content=picture("red", 1)))
            for parent in parents
        )
        async with refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED", THEIRS):
            call = images.IngestImages(requests, metadata=authorized(keys[Role.WRITE, True]))
            assert [response async for response in call]
        left = await images.ListImages(
            ListImagesRequest(parent=f"collections/{THEIRS}"), metadata=authorized(keys[Role.READ, False])
        )
        assert not left.images


#: Every HTTP route and the role that it needs; None: it is open to everybody, and names no collection to them.
_ROUTES = {"/healthz": None, "/readyz": None, "/metrics": Role.READ}


async def test_http_routes(tmp_path: Path) -> None:
    """The same for HTTP: a new route fails until it is written down here what it needs."""
    keys = {
        (role, scoped): add_key(tmp_path, role, *([MINE] if scoped else []))[0]
        for role in Role
        for scoped in (False, True)
    }
    access = Access(KeyFile(tmp_path / "keys.json"))
    await access.load()

    async def page() -> tuple[bytes, str]:
        return b"shoal_images 1", "text/plain"

    app = make_app(Watched(lambda: {Part.STORE: f"{THEIRS} is not there"}, page), by_api_key(access))
    assert {route.path for route in app.routes if isinstance(route, Route)} == _ROUTES.keys()
    assert all(isinstance(route, Route) for route in app.routes)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shoal") as client:
        for path, needed in _ROUTES.items():
            for header in ({}, {"authorization": "Bearer shoal_wrong"}, {"authorization": "Basic eDp5"}):
                answer = await client.get(path, headers=header)
                assert (answer.status_code == 401) == (needed is not None), (path, header)
                assert THEIRS not in answer.text
            for (role, scoped), key in keys.items():
                answer = await client.get(path, headers={"authorization": f"Bearer {key}"})
                refused_here = needed is not None and (scoped or not role.includes(needed))
                assert (answer.status_code == 403) == refused_here, (path, role, scoped)
                assert not scoped or THEIRS not in answer.text
