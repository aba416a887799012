"""Ingesting many images: interrupted at any point, through servers that end, by many clients, into watched folders."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shoal_client import Client, Outcome
from tests.end_to_end.conftest import ServerProcess
from tests.fakes import picture

COLORS = ("red", "green", "blue")
COUNT = 1000


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(COUNT):
        (folder / f"{number:04}.png").write_bytes(picture(COLORS[number % 3], number))
    return folder


class Ingest:
    """``shoal ingest ARGUMENTS --json`` in a process of its own."""

    def __init__(self, server: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "shoal_client", "ingest", *arguments, "--json"],
            env={**os.environ, "SHOAL_SERVER": server},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[int, list[dict[str, Any]], str]:
        """Its exit status, what it printed on stdout, and on stderr."""
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err


@pytest.fixture
def started() -> Iterator[list[Ingest]]:
    """Those put in here are killed at the end, whatever happens."""
    all_of_them: list[Ingest] = []
    yield all_of_them
    for each in all_of_them:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


def wait_until(true: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.02)


def stored(address: str) -> int:
    with Client(address) as client:
        return next((each.image_count for each in client.collections()), 0)


def settled(address: str) -> int:
    """How many images there are once the server is through with those of a client that is gone."""
    counts = [-1, stored(address)]
    while counts[-1] != counts[-2]:
        time.sleep(1)
        counts.append(stored(address))
    return counts[-1]


def test_interrupted_anywhere_the_next_one_does_the_rest(
    tmp_path: Path, photos: Path, servers: list[ServerProcess], started: list[Ingest]
) -> None:
    """Whichever way it ends, nothing is lost and nothing embedded twice, and what was answered is not read again."""
    servers.append(ServerProcess(tmp_path / "data"))
    address = servers[-1].address
    chance = random.Random(4)
    told = 0
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        point = stored(address) + chance.randrange(20, 100)
        run = Ingest(address, str(photos))
        started.append(run)
        wait_until(lambda point=point: stored(address) >= point, f"{point} images")  # type: ignore[misc]
        run.process.send_signal(number)
        code, records, errors = run.end()
        assert code == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}[number]
        assert "Traceback" not in errors
        if number is signal.SIGKILL:
            continue
        sums = records[-1]
        assert sums["failed"] == 0
        # All that is in was told, and what was told before was known.
        assert (sums["duplicates"], sums["known"]) == (told, told)
        told += sums["stored"]
        assert told == stored(address) < COUNT
    before = settled(address)
    assert told <= before < COUNT
    code, records, _ = (run := Ingest(address, str(photos))).end()
    started.append(run)
    sums = records[-1]
    assert (code, sums["failed"], stored(address)) == (0, 0, COUNT)
    # What the killed one had stored is either known or found by its bytes: never embedded again.
    assert (sums["stored"], sums["duplicates"]) == (COUNT - before, before)
    assert sums["known"] >= told


def test_a_server_that_ends_meanwhile(
    tmp_path: Path, photos: Path, servers: list[ServerProcess], started: list[Ingest]
) -> None:
    """The ingest waits for the next one at the same address, and goes on."""
    servers.append(ServerProcess(tmp_path / "data"))
    address = servers[-1].address
    run = Ingest(address, str(photos))
    started.append(run)
    wait_until(lambda: stored(address) >= 100, "100 images")
    servers[-1].kill()
    servers.append(ServerProcess(tmp_path / "data", listen=address))
    wait_until(lambda: stored(address) >= 250, "250 images")
    assert servers[-1].stop() == 0
    servers.append(ServerProcess(tmp_path / "data", listen=address))
    code, records, errors = run.end()
    assert (code, records[-1]["failed"]) == (0, 0), errors
    assert records[-1]["stored"] + records[-1]["duplicates"] == COUNT == stored(address)
    assert "trying again" in errors


def test_many_clients_at_once(
    tmp_path: Path, photos: Path, servers: list[ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is full makes them wait; all images get in, and searching goes on."""
    monkeypatch.setenv("SHOAL_MAX_QUEUE", "16")
    servers.append(ServerProcess(tmp_path / "data"))
    address = servers[-1].address
    files = sorted(photos.iterdir())
    with Client(address) as client:
        client.ensure_collection("default")

    def ingest(number: int) -> list[Outcome]:
        with Client(address) as client:
            collection = client.collection("default")
            mine = files[number::16]
            outcomes = [result.outcome for result in collection.ingest(mine)]
            collection.search(text="red")
            return outcomes

    with ThreadPoolExecutor(16) as pool:
        outcomes = [outcome for each in pool.map(ingest, range(16)) for outcome in each]
    assert outcomes == [Outcome.STORED] * COUNT
    assert stored(address) == COUNT


def test_a_list_that_never_ends_can_be_interrupted(
    tmp_path: Path, photos: Path, servers: list[ServerProcess], started: list[Ingest]
) -> None:
    servers.append(ServerProcess(tmp_path / "data"))
    address = servers[-1].address
    run = Ingest(address, "-")
    started.append(run)
    assert run.process.stdin is not None
    run.process.stdin.write(f"{photos}/0001.png\n{photos}/0002.png\n")
    run.process.stdin.flush()
    wait_until(lambda: stored(address) == 2, "what was listed so far")
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(60) == 130
    _, records, errors = run.end()
    assert (records[-1]["stored"], errors) == (2, "error: interrupted; run it again: what is stored is kept\n")


def test_watching_a_folder(tmp_path: Path, servers: list[ServerProcess], started: list[Ingest]) -> None:
    servers.append(ServerProcess(tmp_path / "data"))
    address = servers[-1].address
    folder = tmp_path / "camera"
    folder.mkdir()
    (folder / "first.png").write_bytes(picture("red", 1))
    run = Ingest(address, str(folder), "--watch")
    started.append(run)
    wait_until(lambda: stored(address) == 1, "what was there")
    whole = picture("red", 2)
    with (folder / "slow.png").open("wb") as file:
        file.write(whole[:50])
        file.flush()
        time.sleep(0.6)
        file.write(whole[50:])
    (folder / ".hidden.png").write_bytes(picture("red", 3))
    (folder / "notes.txt").write_text("no image")
    other = tmp_path / "other"
    (other / "deep").mkdir(parents=True)
    (other / "deep" / "moved.png").write_bytes(picture("red", 4))
    other.rename(folder / "moved here")
    wait_until(lambda: stored(address) == 3, "a new file and a folder")
    (folder / "moved here" / "deep" / "later.png").write_bytes(picture("red", 5))
    wait_until(lambda: stored(address) == 4, "a file in a folder that came later")
    (folder / "broken.png").write_bytes(whole[:50])
    time.sleep(3)
    (folder / "broken.png").write_bytes(picture("red", 6))
    wait_until(lambda: stored(address) == 5, "a file that was repaired")
    assert servers[-1].stop() == 0
    (folder / "meanwhile.png").write_bytes(picture("red", 8))
    time.sleep(3)
    servers.append(ServerProcess(tmp_path / "data", listen=address))
    wait_until(lambda: stored(address) == 6, "a file that came while the server was restarted")
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("in.png", picture("red", 7))
    time.sleep(1)
    run.process.send_signal(signal.SIGINT)
    code, records, errors = run.end()
    assert (code, records[-1]["stored"], records[-1]["failed"]) == (0, 6, 0), errors
    assert "1 image came in, done in" in errors
    assert "failed: " in errors
    assert f"{folder / 'a.zip'} is passed over" in errors
    with Client(address) as client:
        names = {Path(image.uri).name for image in client.collection("default").images()}
    assert names == {"first.png", "slow.png", "moved.png", "later.png", "broken.png", "meanwhile.png"}


def test_failures_are_tried_again(tmp_path: Path, photos: Path, servers: list[ServerProcess]) -> None:
    servers.append(ServerProcess(tmp_path / "data"))
    server = servers[-1]
    folder, failures = tmp_path / "mixed", tmp_path / "failures.jsonl"
    folder.mkdir()
    (folder / "broken.png").write_bytes(picture("red", 1)[:100])
    (folder / "good.png").write_bytes(picture("red", 2))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/broken.jpg", b"no image")
        archive.writestr("in/good.png", picture("red", 3))
    given = [str(folder), str(tmp_path / "a.zip")]
    *_, sums = server.shoal("ingest", *given, "--tag", "t", "--failures", str(failures), status=3)
    assert (sums["stored"], sums["failed"]) == (2, 2)
    lines = [json.loads(line) for line in failures.read_text().splitlines()]
    assert [(line["path"], line.get("member")) for line in lines] == [
        (str(folder / "broken.png"), None),
        (str(tmp_path / "a.zip"), "in/broken.jpg"),
    ]
    assert all(line["reason"] and line["message"] for line in lines)
    (folder / "broken.png").write_bytes(picture("red", 1))
    *_, sums = server.shoal("ingest", "--retry", str(failures), "--failures", str(failures), status=3)
    assert (sums["stored"], sums["duplicates"], sums["failed"]) == (1, 0, 1)
    [line] = [json.loads(line) for line in failures.read_text().splitlines()]
    assert (line["member"], line["tags"]) == ("in/broken.jpg", ["t"])
    assert {tuple(image["tags"]) for image in server.shoal("images", "list")} == {("t",)}
    uris = {image["uri"] for image in server.shoal("images", "list")}
    assert f"{(tmp_path / 'a.zip').resolve().as_uri()}#in/good.png" in uris


def test_a_large_file_is_stored_whole(tmp_path: Path, servers: list[ServerProcess]) -> None:
    servers.append(ServerProcess(tmp_path / "data"))
    large = tmp_path / "large.bmp"
    side = 2600  # 20 MB: more than is read at once
    header = b"BM" + (54 + 3 * side * side).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    header += (40).to_bytes(4, "little") + 2 * side.to_bytes(4, "little") + b"\1\0\x18\0" + bytes(24)
    large.write_bytes(header + os.urandom(3 * side * side))
    [sums] = servers[-1].shoal("ingest", str(large))
    assert sums["stored"] == 1
    [image] = servers[-1].shoal("images", "list")
    assert (image["width"], image["height"], image["byte_size"]) == (side, side, large.stat().st_size)
