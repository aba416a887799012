"""``shoal export`` against a server that really listens."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet
import pytest

from shoal.v1 import cluster_service_pb2, image_pb2
from shoal_client.export.rows import COLUMNS
from tests.rpc.test_client_cli import Shoal, shoal_at
from tests.rpc.test_client_fake import FakeServer, serving, status

DEFAULT = "collections/default"
Assignment = cluster_service_pb2.ExportAssignmentsResponse.Assignment


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeServer]:
    """Three images: one with everything there is, one with nothing, one that is not on this machine."""
    photo = tmp_path / "photos" / 'a, "b"\n.jpg'
    photo.parent.mkdir()
    photo.write_bytes(b"picture")
    with serving() as fake:
        full = image_pb2.Image(
            name=f"{DEFAULT}/images/00000000-0000-0000-0000-000000000001",
            sha256="ab",
            uri=photo.as_uri(),
            tags=["x,y", 'z"ä'],
            place=f"{DEFAULT}/places/3",
            moment=f"{DEFAULT}/moments/4",
        )
        full.ingest_time.FromDatetime(datetime(2024, 1, 2, 3, 4, 5))
        full.metadata.MergeFrom(
            image_pb2.ImageMetadata(
                width=20, height=10, format="JPEG", byte_size=7, orientation=6, captured_at="2019-07-01T12:00:00",
                camera_make="C", camera_model="M", lens="L", iso=100, f_number=2.5, exposure_s=0.25,
                focal_length_mm=50.0,
            )
        )  # fmt: skip
        full.metadata.location.latitude, full.metadata.location.longitude = 48.5, -11.25
        bare = image_pb2.Image(name=f"{DEFAULT}/images/00000000-0000-0000-0000-000000000002")
        far = image_pb2.Image(name=f"{DEFAULT}/images/00000000-0000-0000-0000-000000000003", uri="https://x/c.jpg")
        fake.assignments = [
            Assignment(image=full, cluster=f"{DEFAULT}/clusters/7", display_name="cats/dogs", strength=0.5, x=1, y=-2),
            Assignment(image=bare),
            Assignment(image=far, cluster=f"{DEFAULT}/clusters/7", display_name="cats/dogs", strength=1),
        ]
        yield fake


@pytest.fixture
def shoal(server: FakeServer) -> Shoal:
    return shoal_at(server)


FULL: dict[str, Any] = {
    "image_id": "00000000-0000-0000-0000-000000000001",
    "cluster_id": 7,
    "cluster_name": "cats/dogs",
    "strength": 0.5,
    "x": 1.0,
    "y": -2.0,
    "sha256": "ab",
    "tags": ["x,y", 'z"ä'],
    "captured_at": "2019-07-01T12:00:00",
    "lat": 48.5,
    "lon": -11.25,
    "place_id": 3,
    "moment_id": 4,
    "camera_make": "C",
    "camera_model": "M",
    "lens": "L",
    "iso": 100,
    "f_number": 2.5,
    "exposure_s": 0.25,
    "focal_length_mm": 50.0,
    "orientation": 6,
    "width": 20,
    "height": 10,
    "format": "JPEG",
    "byte_size": 7,
    "ingested_at": "2024-01-02T03:04:05+00:00",
}


def test_json_lines(server: FakeServer, shoal: Shoal, tmp_path: Path) -> None:
    records = shoal("export", "--format", "jsonl").records
    assert [tuple(record) for record in records] == [COLUMNS] * 3
    uri = records[0].pop("uri")
    assert records[0] == FULL
    assert uri.startswith("file:///")
    assert (records[1]["cluster_id"], records[1]["cluster_name"], records[1]["x"], records[1]["tags"]) == (
        None,
        None,
        None,
        [],
    )
    assert shoal("export", "--json").records[1] == records[1]
    output = tmp_path / "out.jsonl"
    done = shoal("export", "--output", output, "--run", "r1", "--json")
    assert done.records == [{"images": 3, "format": "jsonl", "path": str(output)}]
    assert len(output.read_text().splitlines()) == 3
    assert server.calls[-1][1].name == f"{DEFAULT}/clusteringRuns/r1"


def test_csv(shoal: Shoal, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    assert shoal("export", "-o", output).stdout == f"3 images written to {output}\n"
    content = output.read_bytes().decode()
    assert content == shoal("export", "--format", "csv").stdout.replace("\n", "\r\n").replace("\r\r\n", "\r\n")
    full, bare, _ = csv.DictReader(io.StringIO(content, newline=""))
    assert tuple(full) == COLUMNS
    assert json.loads(full.pop("tags")) == FULL["tags"]
    del full["uri"]
    assert full == {name: str(value) for name, value in FULL.items() if name != "tags"}
    assert (bare["cluster_id"], bare["tags"], bare["lat"], bare["strength"]) == ("", "", "", "0.0")


def test_parquet_round_trip(shoal: Shoal, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    assert shoal("export", "--format", "parquet", "--output", output).code == 0
    table = pyarrow.parquet.read_table(output)
    assert tuple(table.column_names) == COLUMNS
    full, bare, far = table.to_pylist()
    uri = full.pop("uri")
    assert full == FULL | {"ingested_at": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)}
    assert uri.startswith("file:///")
    assert {name for name, value in bare.items() if value is None} >= {"cluster_id", "x", "lat", "camera_make", "iso"}
    assert far["cluster_id"] == 7
    assert [path.name for path in tmp_path.glob("out*")] == ["out.parquet"]


def test_parquet_of_nothing_has_its_columns(server: FakeServer, shoal: Shoal, tmp_path: Path) -> None:
    server.assignments = []
    shoal("export", "--output", tmp_path / "out.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert (tuple(table.column_names), table.num_rows) == (COLUMNS, 0)


def test_parquet_without_pyarrow(shoal: Shoal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = shoal("export", "--format", "parquet", "--output", tmp_path / "out.parquet")
    assert (done.code, done.stderr) == (
        1,
        "error: Parquet files need pyarrow: pip install 'shoal[export]'; or export with --format csv or jsonl\n",
    )


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_an_export_that_fails_leaves_the_file_as_it_was(
    server: FakeServer, shoal: Shoal, tmp_path: Path, suffix: str
) -> None:
    output = tmp_path / f"out.{suffix}"
    output.write_text("before")
    server.failures["ExportAssignments"] = [
        status(grpc.StatusCode.FAILED_PRECONDITION, "its files are no longer kept", "RUN_NOT_ACTIVATABLE")
    ]
    done = shoal("export", "--output", output, "--run", "r1")
    assert (done.code, done.stderr) == (1, "error: its files are no longer kept\n")
    assert output.read_text() == "before"
    assert [path.name for path in tmp_path.glob("out*")] == [output.name]
    missing = shoal("export", "--output", tmp_path / "none" / "out.csv")
    assert (missing.code, "No such file or directory" in missing.stderr) == (1, True)


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["--format", "parquet"],
        ["--format", "csv", "--json"],
        ["--output", "x.txt"],
        ["--copy", "--format", "csv"],
        ["--folders", "x", "--format", "csv"],
        ["--folders", "x", "--copy", "--symlink"],
    ],
)
def test_what_does_not_go_together(server: FakeServer, shoal: Shoal, wrong: list[str]) -> None:
    assert shoal("export", *wrong).code == 2
    assert server.calls == []


@pytest.mark.parametrize("option", ["--symlink", "--hardlink", "--copy", None])
def test_folders(server: FakeServer, shoal: Shoal, tmp_path: Path, option: str | None) -> None:
    target = tmp_path / "sorted"
    options = [] if option is None else [option]
    done = shoal("export", "--folders", target, *options, "--json")
    assert done.code == 3
    *failures, sums = done.records
    assert {failure["id"][-1]: failure["error"] for failure in failures} == {
        "2": "it was stored without a URI",
        "3": "only file:// URIs can be put into folders",
    }
    expected = {"made": 1, "renamed": 0, "removed": 0, "unchanged": 0, "left": 0, "failed": 2, "folder": str(target)}
    assert sums == expected
    assert "image 00000000-0000-0000-0000-000000000003 (https://x/c.jpg): only file:// URIs" in done.stderr
    [made] = target.glob("*/*")
    assert made.relative_to(target).parts == ("7 cats_dogs", "a, _b__.jpg")
    assert (made.read_bytes(), made.is_symlink()) == (b"picture", option in (None, "--symlink"))
    del server.assignments[1:]
    again = shoal("export", "--folders", target, *options)
    assert (again.code, again.stdout) == (0, f"0 made, 1 unchanged, 0 failed in {target}\n")
    server.assignments[0].cluster = ""
    assert shoal("export", "--folders", target, *options).code == 0
    assert [path.parent.name for path in target.glob("*/*")] == ["unclustered"]


def test_a_folder_of_somebody_elses_is_refused(shoal: Shoal, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    done = shoal("export", "--folders", tmp_path)
    assert (done.code, "holds what no export put there" in done.stderr) == (1, True)
    assert shoal("export", "--folders", tmp_path / "mine").code == 1


def test_a_reader_that_has_seen_enough(server: FakeServer) -> None:
    server.assignments *= 3000
    command = [sys.executable, "-m", "shoal_client", "export", "--format", "csv", "--server", server.address]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"image_id,")
    process.stdout.close()
    assert process.stderr is not None
    assert (process.stderr.read(), process.wait(60)) == (b"", 1)
    process.stderr.close()
