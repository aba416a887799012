"""Duplicates in the SDK and on the command line, against a server that really listens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from typer.testing import CliRunner

from shoal.v1 import duplicate_service_pb2, duplicate_service_pb2_grpc, image_pb2, image_service_pb2
from shoal_client import Client, Duplicate, DuplicateGroup, ImageFilter
from shoal_client.cli import app

PARENT = "collections/default"


def identity(number: int) -> str:
    return str(UUID(int=number))


def member(number: int, similarity: float, distance: int) -> duplicate_service_pb2.DuplicateGroup.Member:
    image = image_pb2.Image(
        name=f"{PARENT}/images/{identity(number)}", sha256=f"{number:064x}", uri=f"file:///[b]{number}"
    )
    image.metadata.width, image.metadata.height = 4000 - number, 3000
    image.metadata.format, image.metadata.byte_size = "JPEG", 2_500_000 if number < 10 else 900
    return duplicate_service_pb2.DuplicateGroup.Member(image=image, similarity=similarity, distance=distance)


class FakeServer(duplicate_service_pb2_grpc.DuplicateServiceServicer):
    """Two groups on two pages; notes what is asked for and what is deleted."""

    def __init__(self) -> None:
        self.address = ""
        self.asked: list[duplicate_service_pb2.ListDuplicateGroupsRequest] = []
        self.deleted: list[str] = []
        self.gone: set[str] = set()
        self.groups = [
            duplicate_service_pb2.DuplicateGroup(
                members=[member(1, 1.0, 0), member(11, 0.75, 2), member(12, 0.5, 4)],
                keeper=f"{PARENT}/images/{identity(1)}",
            ),
            duplicate_service_pb2.DuplicateGroup(
                members=[member(2, 1.0, 0), member(21, 0.25, 8)], keeper=f"{PARENT}/images/{identity(2)}"
            ),
        ]

    def ListDuplicateGroups(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked.append(request)
        at = int(request.page_token or 0)
        return duplicate_service_pb2.ListDuplicateGroupsResponse(
            groups=self.groups[at : at + 1],
            next_page_token=str(at + 1) if at + 1 < len(self.groups) else "",
            total=len(self.groups),
        )

    def DeleteImage(self, request: Any, context: Any) -> Empty:  # noqa: N802
        image = request.name.rpartition("/")[2]
        if image in self.gone:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such image")
        self.deleted.append(image)
        return Empty()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake, listening = FakeServer(), grpc.server(ThreadPoolExecutor(2))
    duplicate_service_pb2_grpc.add_DuplicateServiceServicer_to_server(fake, listening)
    delete = grpc.unary_unary_rpc_method_handler(
        fake.DeleteImage, image_service_pb2.DeleteImageRequest.FromString, Empty.SerializeToString
    )
    images = grpc.method_handlers_generic_handler("shoal.v1.ImageService", {"DeleteImage": delete})
    listening.add_generic_rpc_handlers((images,))
    fake.address = f"127.0.0.1:{listening.add_insecure_port('127.0.0.1:0')}"
    listening.start()
    yield fake
    listening.stop(None).wait()


def shoal(server: FakeServer, *arguments: str, answer: str = "") -> Any:
    result = CliRunner(env={"SHOAL_SERVER": server.address, "COLUMNS": "200"}).invoke(
        app, ["duplicates", *arguments], input=answer
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_groups_of_all_pages(server: FakeServer) -> None:
    with Client(server.address) as client:
        first, second = client.collection("default").duplicates(
            clusters=[7], filter=ImageFilter(tags=["sea"]), include_bursts=True, page_size=1
        )
    assert isinstance(first, DuplicateGroup)
    assert first.keeper == identity(1)
    assert [(each.image.id, each.similarity, each.distance) for each in first.members] == [
        (identity(1), 1.0, 0),
        (identity(11), 0.75, 2),
        (identity(12), 0.5, 4),
    ]
    assert [each.image.id for each in second.others] == [identity(21)]
    assert isinstance(second.members[0], Duplicate)
    assert [each.page_token for each in server.asked] == ["", "1"]
    for request in server.asked:
        assert (request.parent, request.page_size) == (PARENT, 1)
        assert (request.include_bursts, request.include_pairs) == (True, False)
        assert "clusters/7" in str(request.filter)
        assert "sea" in str(request.filter)


def test_listing(server: FakeServer) -> None:
    result = shoal(server, "--include-pairs", "--tag", "sea")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    [kept] = [line for line in lines if identity(1) in line]
    assert kept.startswith("keep")
    assert all(word in kept for word in ("3999 x 3000", "2.5 MB", "file:///[b]1"))
    [other] = [line for line in lines if identity(12) in line]
    assert "keep" not in other
    assert all(word in other for word in ("3988 x 3000", "1 kB", "0.500"))
    assert lines[-1] == "2 groups, 3 images beside the keepers"
    assert server.asked[0].include_pairs
    assert "sea" in str(server.asked[0].filter)
    assert not server.deleted


def test_records(server: FakeServer) -> None:
    result = shoal(server, "--json", "--limit", "1")
    [record] = [json.loads(line) for line in result.stdout.splitlines()]
    assert record["keeper"] == identity(1)
    assert record["members"][1] == {
        "id": identity(11),
        "uri": "file:///[b]11",
        "width": 3989,
        "height": 3000,
        "format": "JPEG",
        "byte_size": 900,
        "captured_at": None,
        "similarity": 0.75,
        "distance": 2,
    }


def test_none(server: FakeServer) -> None:
    server.groups.clear()
    assert shoal(server).stdout == "none\n"
    assert shoal(server, "--json").stdout == ""
    assert shoal(server, "--delete-others").exit_code == 0


def test_deleting_asks_first(server: FakeServer) -> None:
    refused = shoal(server, "--delete-others", answer="n\n")
    assert refused.exit_code == 1
    assert not server.deleted
    assert all(identity(number) in refused.stdout for number in (11, 12, 21)), "it must say what would go"
    assert "3 images beside the keepers from default" in refused.stderr
    done = shoal(server, "--delete-others", answer="y\n")
    assert done.exit_code == 0
    assert server.deleted == [identity(11), identity(12), identity(21)]
    assert "3 images were removed; the files stay where they are" in done.stdout


def test_nobody_can_be_asked(server: FakeServer) -> None:
    result = shoal(server, "--delete-others")
    assert (result.exit_code, server.deleted) == (2, [])
    assert "nobody can be asked here: add --yes" in " ".join(result.stderr.replace("│", "").split())


def test_deleting_without_asking(server: FakeServer) -> None:
    server.gone = {identity(11)}
    result = shoal(server, "--delete-others", "--yes", "--json")
    assert server.deleted == [identity(12), identity(21)]
    assert json.loads(result.stdout.splitlines()[-1]) == {"deleted": 2}


def test_yes_to_nothing(server: FakeServer) -> None:
    result = shoal(server, "--yes")
    assert result.exit_code == 2
    assert not server.asked
