"""``shoal ingest --ray`` as the client has it: what is listed, what is told, and what is refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from shoal_client.cli import bulk_ingest
from shoal_client.cli.app import app


class ServerHalf:
    """In place of the server half: notes what it is given, and answers as it is told by the end of a location."""

    def __init__(self) -> None:
        self.files: list[Mapping[str, Any]] = []
        self.manner: Mapping[str, Any] = {}
        self.fates: dict[str, dict[str, Any]] = {}
        self.closed = False

    def find(self, url: str, suffixes: Iterable[str]) -> Iterator[dict[str, Any]]:
        assert ".jpg" in suffixes
        if url.endswith("nowhere"):
            yield {"reason": "FETCH_FAILED", "message": f"{url!r} cannot be read", "metadata": {}}
            return
        yield {"url": f"{url}/a.jpg", "taken": True}
        yield {"url": f"{url}/notes.txt", "taken": False}

    def ingest(self, files: Iterable[Mapping[str, Any]], manner: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        self.files, self.manner = list(files), manner
        try:
            for file in self.files:
                fate = next((told for end, told in self.fates.items() if file["location"].endswith(end)), None)
                yield {**file, "fate": "stored", **(fate or {})}
        finally:
            self.closed = True


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> ServerHalf:
    half = ServerHalf()
    monkeypatch.setattr(bulk_ingest, "_server_half", lambda name: getattr(half, name))
    return half


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg", "notes.txt"):
        (folder / name).write_bytes(b"...")
    return folder


def shoal(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["ingest", *arguments], env={"RAY_ADDRESS": "", "COLUMNS": "200"})


def test_files_folders_tables_and_storages(half: ServerHalf, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("uri,tags,box\ns3://bucket/c.jpg,night,7\n")
    done = shoal("--ray", str(photos), "s3://bucket/2024", "--manifest", str(table), "--tag", "all", "--json")
    assert done.exit_code == 0, done.output
    assert [(file["location"], file["tags"], file["attributes"]) for file in half.files] == [
        (str(photos / "a.jpg"), ["all"], {}),
        (str(photos / "b.jpg"), ["all"], {}),
        ("s3://bucket/c.jpg", ["night", "all"], {"box": 7}),
        ("s3://bucket/2024/a.jpg", ["all"], {}),
    ]
    assert half.files[0]["uri"] == (photos / "a.jpg").as_uri()
    sums = json.loads(done.stdout)
    assert (sums["stored"], sums["skipped"]) == (4, 2)
    assert half.manner == {
        "collection": "default",
        "drop_location": False,
        "near_duplicates": None,
        "workers": None,
        "gpus": 0.0,
        "reads": 8,
        "address": None,
    }


def test_what_fails_is_named_and_can_be_tried_again(half: ServerHalf, photos: Path, tmp_path: Path) -> None:
    broken = {"fate": "failed", "reason": "BROKEN_IMAGE", "message": "it is cut off", "metadata": {}}
    half.fates = {"a.jpg": broken, "b.jpg": {"fate": "duplicate"}}
    failures = tmp_path / "failed.jsonl"
    done = shoal("--ray", str(photos), "s3://bucket/x", "gs://nowhere", "--failures", str(failures))
    assert done.exit_code == 3, done.output
    assert f"failed: {photos}/a.jpg: it is cut off" in done.stderr
    assert "failed: s3://bucket/x/a.jpg: it is cut off" in done.stderr
    assert "failed: 'gs://nowhere' cannot be read" in done.stderr
    assert done.stdout.startswith("0 stored, 1 there already, 3 failed")
    half.fates = {}
    assert shoal("--ray", "--retry", str(failures)).exit_code == 3  # the last one still is nothing
    assert [file["location"] for file in half.files] == [str(photos / "a.jpg"), "s3://bucket/x/a.jpg"]


def test_what_is_wrong_with_all_ends_it(half: ServerHalf, photos: Path) -> None:
    half.fates = {"a.jpg": {"fate": "halted", "reason": "MODEL_MISMATCH", "message": "another model", "metadata": {}}}
    done = shoal("--ray", str(photos))
    assert (done.exit_code, half.closed) == (1, True)
    assert "error: another model" in done.stderr
    assert "0 stored" in done.stdout


def test_nothing_but_the_server_half_is_missing(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_ingest, "entry_points", lambda **_: ())
    done = shoal("--ray", str(photos))
    assert done.exit_code == 1
    assert "pip install 'shoal[server,ray]'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ray"], "give a PATH"),
        (["--ray", "--watch", "."], "--watch goes without"),
        (["--ray", "--by-uri", "."], "leave out --by-uri"),
        (["--ray", "--journal", "j.sqlite", "."], "leave out --journal"),
        (["--ray", "photos.zip"], "unpack photos.zip"),
        (["--ray-workers", "2", "."], "--ray-workers goes with --ray"),
        (["--ray-gpus", "0.5", "."], "--ray-gpus goes with --ray"),
        (["--ray-reads", "8", "."], "--ray-reads goes with --ray"),
        (["--ray-address", "auto", "."], "--ray-address goes with --ray"),
    ],
)
def test_what_makes_no_sense_with_workers(half: ServerHalf, arguments: list[str], said: str) -> None:
    done = shoal(*arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert half.files == []


def test_an_image_in_an_archive_that_failed_before(half: ServerHalf, photos: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a.jpg", b"...")
    failures = tmp_path / "failed.jsonl"
    failures.write_text(json.dumps({"path": str(tmp_path / "photos.zip"), "member": "a.jpg"}) + "\n")
    done = shoal("--ray", str(photos), "--retry", str(failures))
    assert done.exit_code == 3, done.output
    assert "--ray opens no archives" in done.stderr
    assert len(half.files) == 2
