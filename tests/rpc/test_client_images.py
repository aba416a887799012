"""Stored images: their order, what people say of them, thumbnails and originals, by the SDK and by commands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal_client import AlreadyExists, Client, Collection, Image, ImageOrder, InvalidArgument, NotFound, Unavailable
from tests.rpc.test_client_cli import Shoal, shoal_at
from tests.rpc.test_client_fake import FakeServer, serving

AN_ID = "0d5f4a7e-6b1c-5c1e-9d38-2a7f0f0e6b11"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


@pytest.fixture
def default(server: FakeServer) -> Iterator[Collection]:
    with Client(server.address) as client:
        yield client.collection("default")


@pytest.fixture
def shoal(server: FakeServer) -> Shoal:
    return shoal_at(server)


@pytest.fixture
def image(default: Collection) -> Image:
    return default.add(b"one", uri="file:///one.jpg", tags=["a", "b"])


def last(server: FakeServer, method: str) -> Any:
    return [request for name, request in server.calls if name == method][-1]


def test_order(server: FakeServer, default: Collection, shoal: Shoal) -> None:
    list(default.images())
    assert last(server, "ListImages").order_by == ""
    list(default.images(order=ImageOrder.CAPTURED_LATEST_FIRST))
    assert last(server, "ListImages").order_by == "captured_at desc"
    for given, asked in (("captured", "captured_at"), ("-captured", "captured_at desc"), ("id", "")):
        assert shoal("images", "list", "--order", given).code == 0
        assert last(server, "ListImages").order_by == asked
    assert shoal("images", "list", "--order", "size").code == 2


def test_updating_says_what_changes(server: FakeServer, default: Collection, image: Image) -> None:
    changed = default.update(image.id, tags=[])
    assert (changed.tags, changed.uri) == ((), "file:///one.jpg")
    assert list(last(server, "UpdateImage").update_mask.paths) == ["tags"]
    default.update(image.id, uri="", attributes={"rating": 5, "album": "x", "done": True, "score": 0.5})
    request = last(server, "UpdateImage")
    assert list(request.update_mask.paths) == ["uri", "attributes"]
    kinds = {key: value.WhichOneof("value") for key, value in request.image.attributes.items()}
    assert kinds == {"rating": "integer", "album": "text", "done": "flag", "score": "number"}
    assert default.get(image.id).attributes == {"rating": 5, "album": "x", "done": True, "score": 0.5}
    wrong: Any = "night"
    for arguments in ({}, {"tags": wrong}, {"attributes": {"a": None}}):
        with pytest.raises(InvalidArgument):
            default.update(image.id, **arguments)


def test_update(server: FakeServer, shoal: Shoal, image: Image) -> None:
    done = shoal("images", "update", image.id, "--tag", "c", "--tag", "a", "--remove-tag", "b", "--set", "rating=5",
                 "--set", 'code="007"', "--set", "album=Summer = 19", "--json")  # fmt: skip
    assert done.code == 0
    assert list(last(server, "UpdateImage").update_mask.paths) == ["tags", "attributes"]
    [record] = done.records
    assert (record["tags"], record["uri"]) == (["a", "c"], "file:///one.jpg")
    assert record["attributes"] == {"rating": 5, "code": "007", "album": "Summer = 19"}
    done = shoal(
        "images", "update", image.id, "--unset", "code", "--set", "rating=false", "--uri", "file:///2.jpg", "--json"
    )
    assert done.records[0]["attributes"] == {"rating": False, "album": "Summer = 19"}
    assert (done.records[0]["uri"], done.records[0]["tags"]) == ("file:///2.jpg", ["a", "c"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], "give at least one of --tag"),
        (["--set", "rating"], "--set: 'rating' is not KEY=VALUE, as in rating=5"),
        (["--set", "Rating=5"], "--set: 'Rating' is no attribute's key: 1 to 63 of a-z"),
        (["--uri", ""], "--uri: it is empty"),
        (["--tag", ""], "--tag: it is empty"),
        (["--tag", "c", "--tag", "a", "--remove-tag", "a"], "--remove-tag: the tag 'a' is given as well"),
        (["--set", "x=1", "--unset", "x"], "--unset: the attribute 'x' is given as well"),
        ([f"--tag={number}" for number in range(63)], "--tag: the image would have 65 tags; it can have 64"),
        ([f"--set=a{number}=x" for number in range(65)], "--set: the image would have 65 attributes; it can have 64"),
    ],
)
def test_an_update_that_makes_no_sense(
    server: FakeServer, shoal: Shoal, image: Image, wrong: list[str], said: str
) -> None:
    done = shoal("images", "update", image.id, *wrong)
    assert done.code == 2
    assert said in " ".join(done.stderr.replace("│", "").split())
    assert "UpdateImage" not in {name for name, _ in server.calls}


def test_attributes_are_shown_in_order(server: FakeServer, shoal: Shoal, image: Image) -> None:
    changed = shoal("images", "update", image.id, *(f"--set={key}=1" for key in "hbzkaqxc"), "--json").records[0]
    assert list(changed["attributes"]) == list("abchkqxz")


def test_show_has_all_that_is_known(server: FakeServer, shoal: Shoal, image: Image) -> None:
    stored = server.images["collections/default"][f"collections/default/images/{image.id}"]
    before = shoal("images", "show", image.id, "--json").records[0]
    assert not {"local_time", "altitude_m", "phash", "captured_at"} & before.keys()
    stored.also_at.append("file:///copy.jpg")
    stored.phash = "0123456789abcdef"
    stored.metadata.captured_at = "2019-05-01T12:00:00"
    stored.metadata.local_time = True
    stored.metadata.altitude_m = -3.5
    stored.metadata.frame_count = 7
    record = shoal("images", "show", image.id, "--json").records[0]
    assert {name: record[name] for name in ("also_at", "phash", "local_time", "altitude_m", "frame_count")} == {
        "also_at": ["file:///copy.jpg"],
        "phash": "0123456789abcdef",
        "local_time": True,
        "altitude_m": -3.5,
        "frame_count": 7,
    }
    assert "file:///copy.jpg" in shoal("images", "show", image.id).stdout


def test_thumbnails(default: Collection, shoal: Shoal, image: Image, tmp_path: Path) -> None:
    assert default.thumbnail(image.id) == image.sha256.encode()
    file = tmp_path / "small.webp"
    done = shoal("images", "thumbnail", image.id, "--output", file, "--json")
    assert done.records == [{"id": image.id, "file": str(file), "byte_size": 64}]
    assert file.read_bytes() == image.sha256.encode()
    file.write_bytes(b"mine")
    done = shoal("images", "thumbnail", image.id, "--output", file)
    assert (done.code, done.stderr) == (
        1,
        f"error: {file} is there already; name another file, or overwrite it with --force\n",
    )
    assert file.read_bytes() == b"mine"
    assert shoal("images", "thumbnail", image.id, "-o", file, "--force").code == 0
    assert file.read_bytes() == image.sha256.encode()
    nowhere = shoal("images", "thumbnail", image.id, "--output", tmp_path / "none" / "x.webp")
    assert (nowhere.code, "there is no such folder" in nowhere.stderr) == (1, True)


def test_originals(default: Collection, shoal: Shoal, image: Image, tmp_path: Path) -> None:
    assert [len(part) for part in default.download(image.id)] == [10] * 6 + [4]
    file = tmp_path / "one.jpg"
    assert default.download_to(image.id, file) == 64
    assert file.read_bytes() == image.sha256.encode()
    with pytest.raises(AlreadyExists, match="is there already"):
        default.download_to(image.id, file)
    assert default.download_to(image.id, str(file), overwrite=True) == 64
    assert shoal("images", "download", image.id, "--output", file).code == 1
    assert shoal("images", "download", image.id, "--output", file, "--force", "--json").records[0]["byte_size"] == 64
    assert [each.name for each in tmp_path.iterdir()] == ["one.jpg"]


def test_pictures_go_to_stdout(shoal: Shoal, image: Image) -> None:
    for command in ("thumbnail", "download"):
        done = shoal("images", command, image.id, "--output", "-")
        assert (done.code, done.stdout) == (0, image.sha256)
        assert shoal("images", command, image.id, "--output", "-", "--json").code == 2
    assert not Path("-").exists()


@pytest.mark.parametrize("command", ["thumbnail", "download"])
def test_what_is_no_file_is_not_replaced(
    server: FakeServer, shoal: Shoal, image: Image, tmp_path: Path, command: str
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for output, said in ((pipe, "a device or a pipe; name a file"), (tmp_path, "a folder; name a file in it")):
        done = shoal("images", command, image.id, "--output", output, "--force")
        assert (done.code, done.stderr) == (1, f"error: {output} is {said}\n")
    assert pipe.is_fifo()
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]
    assert not {"GetThumbnail", "DownloadImage"} & {name for name, _ in server.calls}


def test_of_a_broken_download_nothing_stays(
    server: FakeServer, default: Collection, image: Image, tmp_path: Path
) -> None:
    server.break_after = 30
    old = tmp_path / "old.jpg"
    old.write_bytes(b"mine")
    with pytest.raises(Unavailable):
        default.download_to(image.id, tmp_path / "new.jpg")
    with pytest.raises(Unavailable):
        default.download_to(image.id, old, overwrite=True)
    with pytest.raises(NotFound):
        default.download_to(AN_ID, tmp_path / "none.jpg")
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"old.jpg": b"mine"}
