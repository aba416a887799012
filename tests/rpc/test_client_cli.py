"""The command line against a server that really listens: JSON lines, tables and exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner

from shoal_client.cli import app
from tests.rpc.test_client_fake import FakeServer, cluster, run_updates, serving
from tests.rpc.test_client_fake_ingest import status


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]


Shoal = Callable[..., Done]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


def shoal_at(server: FakeServer) -> Shoal:
    """Runs commands against a server."""

    def run(*arguments: object) -> Done:
        result = CliRunner(env={"SHOAL_SERVER": server.address, "COLUMNS": "200"}).invoke(
            app, list(map(str, arguments))
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def shoal(server: FakeServer) -> Shoal:
    return shoal_at(server)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "Fotos äöü"
    (folder / "sub").mkdir(parents=True)
    (folder / "a b.JPG").write_bytes(b"one")
    (folder / "sub" / "c.png").write_bytes(b"two")
    (folder / "sub" / "d.png").write_bytes(b"two")
    (folder / "notes.txt").write_bytes(b"bad notes")
    (folder / ".hidden.jpg").write_bytes(b"hidden")
    return folder


def test_ingest(server: FakeServer, shoal: Shoal, photos: Path) -> None:
    done = shoal("ingest", photos, "--tag", "x", "--tag", "y", "--json")
    assert done.code == 0
    [sums] = done.records
    assert sums.keys() == {"stored", "duplicates", "near_duplicates", "known", "failed", "skipped", "seconds"}
    assert (sums["stored"], sums["duplicates"], sums["failed"], sums["skipped"]) == (2, 1, 0, 1)
    assert done.stderr == "1 file was passed over: 1 .txt; name a file to send it anyway\n"
    stored = list(server.images["collections/default"].values())
    assert [image.uri for image in stored] == [(photos / name).resolve().as_uri() for name in ("a b.JPG", "sub/c.png")]
    assert list(stored[0].tags) == ["x", "y"]
    again = shoal("ingest", photos, "--collection", "new")
    assert (again.code, again.stdout[:31]) == (0, "2 stored, 1 there already, 0 failed"[:31])
    assert len(server.images["collections/new"]) == 2


def test_ingest_names_what_failed(shoal: Shoal, photos: Path) -> None:
    notes, missing = photos / "notes.txt", photos / "missing.jpg"
    done = shoal("ingest", notes, photos, missing, "--json")
    assert done.code == 3
    *failures, sums = done.records
    assert (sums["stored"], sums["duplicates"], sums["failed"]) == (2, 1, 2)
    assert {failure["path"]: failure["reason"] for failure in failures} == {
        str(missing): "UNREADABLE_FILE",
        str(notes): "UNSUPPORTED_FORMAT",
    }
    assert f"failed: {notes}: no image" in done.stderr
    assert f"failed: the file can't be read: {missing}: there is no such file" in done.stderr
    assert shoal("ingest", notes).code == 1


def test_ingest_tells_what_it_left_out(shoal: Shoal, photos: Path) -> None:
    for name in ("x.CR2", "y.cr2", "z"):
        (photos / name).touch()
    (photos / "link").symlink_to(photos / "sub", target_is_directory=True)
    done = shoal("ingest", photos, "--json")
    assert (done.code, done.records[-1]["skipped"]) == (0, 4)
    assert done.stderr == (
        "4 files were passed over: 2 .cr2, 1 .txt, 1 without suffix; name a file to send it anyway\n"
        f"linked folder {photos / 'link'} is not followed\n"
    )


def test_an_unreadable_path_fails_alone(shoal: Shoal, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, allowed = photos / "a b.JPG", os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != secret and allowed(path, mode))
    done = shoal("ingest", secret, photos / "sub", "--json")
    assert (done.code, done.records[-1]["stored"], done.records[-1]["failed"]) == (3, 1, 1)
    assert f"failed: the file can't be read: {secret}: it may not be read" in done.stderr
    assert shoal("ingest", secret).code == 1


def test_ids_that_are_none(shoal: Shoal) -> None:
    for arguments in (["search", "--like", "x"], ["images", "show", "x"], ["images", "delete", "x"]):
        done = shoal(*arguments)
        assert (done.code, done.stderr) == (
            1,
            "error: 'x' is not an image id (a UUID as `shoal images list` prints it)\n",
        )
    done = shoal("images", "list", "--cluster", "-3")
    assert (done.code, done.stderr) == (1, "error: -3 is not a cluster id (a number as `shoal clusters` prints it)\n")
    done = shoal("clusters", "--collection", "My Photos")
    assert (done.code, "1 to 63 of a-z, 0-9, '-' and '_', beginning with a letter" in done.stderr) == (1, True)
    for wrong in ("", "http://host:1", "foo"):
        done = shoal("clusters", "--server", wrong)
        assert (done.code, done.stderr) == (
            1,
            f"error: {wrong!r} is not HOST:PORT, for instance 127.0.0.1:50051\n",
        )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("options", [["--json"], []])
def test_a_full_disk_is_one_line(server: FakeServer, shoal: Shoal, photos: Path, options: list[str]) -> None:
    shoal("ingest", photos)
    command = [sys.executable, "-m", "shoal_client", "images", "list", *options, "--server", server.address]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")


def test_ingest_of_nothing(shoal: Shoal, tmp_path: Path) -> None:
    done = shoal("ingest", tmp_path, "--json")
    assert done.code == 1
    assert done.records[-1]["stored"] == 0
    assert f"no image files were found in {tmp_path}" in done.stderr
    assert shoal("ingest", tmp_path / "missing").code == 1


def test_ingest_into_a_collection_of_another_model(server: FakeServer, shoal: Shoal, photos: Path) -> None:
    server.failures["GetCollection"] = [status(grpc.StatusCode.FAILED_PRECONDITION, "made with x", "MODEL_MISMATCH")]
    done = shoal("ingest", photos)
    assert (done.code, done.stderr.splitlines()[-1]) == (1, "error: made with x")


def test_a_file_over_the_limit_is_sent_in_parts(
    server: FakeServer, shoal: Shoal, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "large.png").write_bytes(bytes(2**20))
    monkeypatch.setenv("SHOAL_MAX_MESSAGE_BYTES", str(2**19))
    done = shoal("ingest", photos, "--json")
    assert (done.code, done.records[-1]["stored"]) == (0, 3)
    assert server.longest_message <= 2**19
    monkeypatch.setenv("SHOAL_MAX_MESSAGE_BYTES", "much")
    done = shoal("ingest", photos)
    assert (done.code, "'much'" in done.stderr) == (1, True)


def test_cluster(server: FakeServer, shoal: Shoal) -> None:
    server.runs = {"collections/default/clusteringRuns/r1": run_updates("r1")}
    done = shoal("cluster", "--min-cluster-size", "4", "--seed", "0", "--json")
    assert done.code == 0
    [summary] = done.records
    assert {"run", "clusters", "clustered", "noise", "payload_writes", "seconds"} <= summary.keys()
    assert (summary["run"], summary["clusters"], summary["payload_writes"]) == ("r1", 2, 9)
    assert "2 clusters: 0 kept their id, 2 are new" in shoal("cluster").stdout
    error = status(grpc.StatusCode.FAILED_PRECONDITION, "too few images", "TOO_FEW_IMAGES")
    server.runs = {"collections/default/clusteringRuns/r1": run_updates("r1", error=error)}
    failed = shoal("cluster", "--json")
    assert (failed.code, failed.stdout, failed.stderr) == (1, "", "error: too few images\n")


def test_clusters(server: FakeServer, shoal: Shoal) -> None:
    server.clusters = [cluster(number, f"c{number}", 20 - number) for number in range(1, 8)]
    records = shoal("clusters", "--json").records
    assert [(record["id"], record["name"], record["size"]) for record in records] == [
        (number, f"c{number}", 20 - number) for number in range(1, 8)
    ]
    assert len(shoal("clusters", "--limit", "4", "--json").records) == 4
    assert "c7" in shoal("clusters").stdout
    found = shoal("clusters", "search", "sea", "--limit", "5", "--json").records
    assert found[0] == {"id": 1, "name": "c1", "score": 0.25, "size": 19}
    assert len(found) == 5
    assert shoal("clusters", "--json", "search", "sea").code == 2
    renamed = shoal("rename", "3", "Möwen", "--json")
    assert (renamed.records[0]["id"], renamed.records[0]["name"]) == (3, "Möwen")


def test_search(server: FakeServer, shoal: Shoal, photos: Path) -> None:
    shoal("ingest", photos)
    first = next(iter(server.images["collections/default"].values()))
    first.cluster = "collections/default/clusters/4"
    hits = shoal("search", "a cat", "--cluster", "4", "--cluster", "5", "--json").records
    identity = first.name.rpartition("/")[2]
    assert hits[0] == {"id": identity, "uri": first.uri, "score": 0.5, "cluster_id": 4}
    assert hits[1]["cluster_id"] is None
    assert identity in shoal("search", "--image", photos / "a b.JPG").stdout
    assert shoal("search", "--like", identity, "--json").code == 0
    for wrong in ([], ["--minus", "b"], ["a", "--limit", "0"]):
        assert shoal("search", *wrong).code == 2


def test_assign(server: FakeServer, shoal: Shoal, photos: Path) -> None:
    server.clusters = [cluster(1, "cats", 9)]
    record = shoal("assign", photos / "a b.JPG", "--json").records[0]
    assert (record["cluster_id"], record["name"], record["similarity"], record["outlier"]) == (1, "cats", 0.75, False)
    assert shoal("assign", photos / "a b.JPG").stdout == "cluster 1, cats (similarity 0.750)\n"
    server.clusters = []
    record = shoal("assign", photos / "a b.JPG", "--json").records[0]
    assert (record["cluster_id"], record["name"], record["outlier"]) == (None, None, True)
    missing = shoal("assign", photos / "missing.jpg")
    assert (missing.code, "missing.jpg" in missing.stderr) == (1, True)


def test_images(shoal: Shoal, photos: Path) -> None:
    shoal("ingest", photos)
    one, two = shoal("images", "list", "--json").records
    assert {"id", "uri", "cluster_id", "sha256", "width", "height", "format", "byte_size"} <= one.keys()
    assert "captured_at" not in one
    assert len(shoal("images", "list", "--limit", "1", "--json").records) == 1
    assert two["id"] in shoal("images", "list").stdout
    assert shoal("images", "show", one["id"], "--json").records == [one]
    assert one["sha256"] in shoal("images", "show", one["id"]).stdout
    assert shoal("images", "delete", one["id"], "--json").code == 0
    gone = shoal("images", "show", one["id"], "--json")
    assert (gone.code, gone.stdout, gone.stderr) == (1, "", "error: there is no image of that id\n")


def test_collections(server: FakeServer, shoal: Shoal, photos: Path) -> None:
    shoal("ingest", photos, "--collection", "new")
    plain = {"precision": "fp32", "image_only": False}
    assert shoal("collections", "--json").records == [
        {"name": "default", "images": 0, "unclustered": 0, "clusters": 0, "model": "debug", **plain},
        {"name": "new", "images": 2, "unclustered": 0, "clusters": 0, "model": "debug", **plain},
    ]
    rows = [line.split() for line in shoal("collections").stdout.splitlines()]
    assert rows == [["name", "images", "clusters", "model"], ["default", "0", "0", "debug"], ["new", "2", "0", "debug"]]
    unconfirmed = shoal("collections", "delete", "new")
    assert (unconfirmed.code, unconfirmed.stdout.strip(), "2 images" in unconfirmed.stderr) == (1, "", True)
    assert "collections/new" in server.images
    assert shoal("collections", "delete", "new", "--yes", "--json").records == [{"name": "new", "deleted": True}]
    assert "collections/new" not in server.images
    missing = shoal("collections", "delete", "new", "--yes")
    assert (missing.code, missing.stderr) == (1, "error: there is no collection collections/new\n")
    assert shoal("collections", "--json", "delete", "new").code == 2


def test_no_server(photos: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "shoal_client", "ingest", str(photos), "--server", "127.0.0.1:9"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.endswith(
        "error: no Shoal server answers at 127.0.0.1:9; start one with `shoal serve`, or name another (--server, "
        "SHOAL_SERVER; Client(target) in Python)\n"
    )


def interrupted(server: FakeServer, *arguments: str) -> Done:
    """Interrupts a command once the server is answering it no further."""
    command = [sys.executable, "-m", "shoal_client", *arguments, "--server", server.address, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert server.watching.wait(60)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    return Done(process.returncode, stdout, stderr)


def test_an_interrupted_ingest_tells_what_was_stored(server: FakeServer, photos: Path) -> None:
    server.stop_answering_after = 2
    done = interrupted(server, "ingest", str(photos))
    assert (done.code, done.stderr.splitlines()[1:]) == (
        130,
        ["error: interrupted; run it again: what is stored is kept"],
    )
    assert done.records[-1]["stored"] + done.records[-1]["duplicates"] == 2


def test_an_interrupted_ingest_counts_what_was_under_way(server: FakeServer, tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number:04}.png").write_bytes(b"%d" % number)
    server.stop_answering_after = 20
    command = [sys.executable, "-m", "shoal_client", "ingest", str(tmp_path), "--server", server.address, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert server.watching.wait(60)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)  # so that the signal is there before the answers
    server.answering.set()
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "error: interrupted; run it again: what is stored is kept\n")
    stored = json.loads(stdout.splitlines()[-1])["stored"]
    assert 20 <= stored == len(server.images["collections/default"]) < 1000


def test_an_interrupted_clustering_is_cancelled(server: FakeServer) -> None:
    server.runs = {"collections/default/clusteringRuns/r1": run_updates("r1")}
    server.answering.clear()
    done = interrupted(server, "cluster")
    assert (done.code, done.stdout, done.stderr) == (130, "", "error: interrupted\n")
    assert "CancelClusteringRun" in [name for name, _ in server.calls]
