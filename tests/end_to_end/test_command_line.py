"""The main job through the commands, as a person or a script does it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import ServerProcess
from tests.fakes import picture

COLORS = ("red", "green", "blue")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a folder for each colour."""
    folder = tmp_path / "photos"
    for color in COLORS:
        (folder / color).mkdir(parents=True)
        for number in range(14):
            (folder / color / f"{color} {number:02}.png").write_bytes(picture(color, number))
    return folder


def fields(row: dict[str, Any], *names: str) -> bool:
    return set(names) <= row.keys()


def test_the_main_job(tmp_path: Path, photos: Path, servers: list[ServerProcess]) -> None:
    servers.append(ServerProcess(tmp_path / "data"))
    server = servers[-1]

    held_back = photos / "green" / "green 13.png"
    later = tmp_path / held_back.name
    held_back.rename(later)
    (photos / "broken.jpg").write_text("no image")
    rows = server.shoal("ingest", str(photos), status=3)
    assert (rows[-1]["stored"], rows[-1]["duplicates"], rows[-1]["failed"]) == (41, 0, 1)
    assert rows[-1]["seconds"] > 0
    (photos / "broken.jpg").unlink()
    rows = server.shoal("ingest", str(photos))
    assert (rows[-1]["stored"], rows[-1]["duplicates"], rows[-1]["failed"]) == (0, 41, 0)

    [summary] = server.shoal("cluster")
    assert fields(summary, "run", "clusters", "clustered", "noise", "payload_writes", "seconds")
    assert (summary["clusters"], summary["clustered"], summary["noise"], summary["payload_writes"]) == (3, 41, 0, 41)
    [again] = server.shoal("cluster")
    assert (again["clusters"], again["payload_writes"]) == (3, 0)

    clusters = server.shoal("clusters")
    assert sorted(cluster["size"] for cluster in clusters) == [13, 14, 14]
    images = server.shoal("images", "list")
    assert len(images) == 41
    home: dict[str, int] = {}
    for image in images:
        assert fields(image, "id", "uri", "cluster_id", "sha256", "width", "height", "format", "byte_size")
        color = Path(image["uri"]).parent.name
        assert home.setdefault(color, image["cluster_id"]) == image["cluster_id"]
    assert sorted(home.values()) == sorted(cluster["id"] for cluster in clusters)
    assert images[0]["uri"].startswith("file:///")
    assert " " not in images[0]["uri"]

    found = server.shoal("clusters", "search", "red")
    assert found[0]["id"] == home["red"]
    assert fields(found[0], "id", "name", "score", "size")
    hits = server.shoal("search", "blue", "--limit", "5")
    assert len(hits) == 5
    assert {hit["cluster_id"] for hit in hits} == {home["blue"]}
    assert fields(hits[0], "id", "uri", "score", "cluster_id")
    alike = server.shoal("search", "--like", hits[0]["id"], "--cluster", str(home["blue"]), "--limit", "50")
    assert len(alike) == 13
    assert {hit["cluster_id"] for hit in alike} == {home["blue"]}

    [assigned] = server.shoal("assign", str(later))
    assert (assigned["cluster_id"], assigned["outlier"]) == (home["green"], False)
    [hit, *_] = server.shoal("search", "--image", str(later))
    assert hit["cluster_id"] == home["green"]
    stranger = tmp_path / "stranger.png"
    stranger.write_bytes(picture("yellow", 1))
    [outlier] = server.shoal("assign", str(stranger))
    assert (outlier["cluster_id"], outlier["outlier"]) == (None, True)
    server.shoal("ingest", str(later))
    assert {cluster["size"] for cluster in server.shoal("clusters")} == {14}

    server.shoal("rename", str(home["red"]), "Sunsets")
    assert {c["id"]: c["name"] for c in server.shoal("clusters")}[home["red"]] == "Sunsets"
    server.shoal("images", "delete", images[0]["id"])
    assert len(server.shoal("images", "list")) == 41
    assert server.stop() == 0

    servers.append(ServerProcess(tmp_path / "data"))
    assert {c["id"]: c["name"] for c in servers[-1].shoal("clusters")}[home["red"]] == "Sunsets"


def test_failures_are_told_in_a_line(tmp_path: Path, photos: Path, servers: list[ServerProcess]) -> None:
    servers.append(ServerProcess(tmp_path / "data"))
    server = servers[-1]
    server.shoal("ingest", str(photos))
    for arguments, words in (
        (("images", "show", str(uuid.uuid4())), "no image"),
        (("assign", str(photos / "red" / "red 01.png")), "no clusters yet"),
        (("search", "  "), "empty"),
        (("rename", "12", "x"), "no cluster 12"),
        (("clusters", "--collection", "No Such Name"), "1 to 63"),
        (("ingest", str(photos / "missing")), "missing"),
    ):
        done = server.shoal_process(*arguments)
        assert done.returncode == 1, (arguments, done.stdout, done.stderr)
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_no_server(tmp_path: Path, photos: Path, servers: list[ServerProcess]) -> None:
    servers.append(ServerProcess(tmp_path / "data"))
    servers[-1].stop()
    done = servers[-1].shoal_process("ingest", str(photos))
    assert done.returncode == 1
    assert "shoal serve" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--listen", "0.0.0.0:50051", "--model", "debug"], "SHOAL_INSECURE"),
        (["--listen", "nonsense", "--model", "debug"], "HOST:PORT"),
        (["--model", "no-such-model"], "no-such-model"),
        (["--model", "debug", "--data", "/dev/null/x"], "cannot be written to"),
        (["--model", "debug", "--ready-file", "/no/such/folder/ready"], "--ready-file"),
    ],
)
def test_a_server_that_cannot_start_says_why(tmp_path: Path, options: list[str], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "shoal_server", "serve", "--data", str(tmp_path / "data"), *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_still_loading_its_model_stops_at_once(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "shoal_server", "serve", "--data", str(tmp_path / "data"), "--model", "starter"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([*command, "--listen", "127.0.0.1:0"], stderr=log)
    while "starting" not in (tmp_path / "log").read_text():
        assert server.poll() is None
        time.sleep(0.05)
    server.send_signal(number)
    assert server.wait(3) == 128 + number
