"""``shoal ingest``: what it takes, what it says of the images, and what it remembers."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import termios
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from shoal.v1 import image_service_pb2
from shoal_client.cli import app
from shoal_client.cli.ingest_progress import IngestProgress
from tests.rpc.test_client_fake import FakeServer, serving, status


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


class Shoal:
    """Runs ``shoal ingest`` against a server."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server

    def __call__(self, *arguments: object, stdin: bytes = b"", code: int = 0) -> Result:
        runner = CliRunner(env={"SHOAL_SERVER": self.server.address, "COLUMNS": "200"})
        result = runner.invoke(app, ["ingest", *map(str, arguments)], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def sums(self, *arguments: object, stdin: bytes = b"", code: int = 0) -> dict[str, Any]:
        """The last line of ``--json``."""
        last = self(*arguments, "--json", stdin=stdin, code=code).stdout.splitlines()[-1]
        found: dict[str, Any] = json.loads(last)
        return found

    @property
    def images(self) -> dict[str, Any]:
        """What is stored, by the end of its URI."""
        return {image.uri.rpartition("/")[2]: image for image in self.server.images["collections/default"].values()}


@pytest.fixture
def shoal(server: FakeServer) -> Shoal:
    return Shoal(server)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "b.png", "sub/c.jpg"):
        (folder / name).write_bytes(name.encode())
    return folder


def test_what_is_known_is_neither_read_nor_sent(shoal: Shoal, photos: Path, tmp_path: Path) -> None:
    assert shoal.sums(photos)["stored"] == 3
    sums = shoal.sums(photos)
    assert (sums["stored"], sums["duplicates"], sums["known"], sums["failed"]) == (0, 3, 3, 0)
    assert len(shoal.server.streams) == 1
    assert "0 stored, 3 there already, 0 failed" in shoal(photos).stdout
    sums = shoal.sums(photos, "--no-journal")
    assert (sums["duplicates"], sums["known"]) == (3, 0)
    sums = shoal.sums(photos, "--journal", tmp_path / "other" / "j.sqlite")
    assert (sums["duplicates"], sums["known"]) == (3, 0)
    assert shoal.sums(photos, "--journal", tmp_path / "other" / "j.sqlite")["known"] == 3
    warned = shoal(photos, "--journal", photos)
    assert "cannot be used" in warned.stderr


def test_tags_attributes_and_options(shoal: Shoal, photos: Path) -> None:
    shoal(
        photos,
        "--tag",
        "x",
        "--attribute",
        "rating=5",
        "--attribute",
        "by=Ann",
        "--drop-gps",
        "--near-duplicates",
        "tag",
    )
    for image in shoal.images.values():
        assert list(image.tags) == ["x"]
        assert (image.attributes["rating"].integer, image.attributes["by"].text) == (5, "Ann")
    [options] = shoal.server.options
    assert options.drop_location
    assert options.near_duplicates == image_service_pb2.NEAR_DUPLICATES_TAG
    assert "'rating' is not KEY=VALUE" in shoal(photos, "--attribute", "rating", code=1).stderr


def test_near_duplicates_that_are_not_stored_are_told(shoal: Shoal, photos: Path) -> None:
    (photos / "z.jpg").write_bytes(b"alike")
    arguments = (photos / "a.jpg", photos / "z.jpg", "--near-duplicates", "skip")
    assert "1 stored, 0 there already, 1 near-duplicates not stored, 0 failed" in shoal(*arguments).stdout
    # The stored image stands for it: it is not embedded again only to be left out again.
    sums = shoal.sums(*arguments)
    assert (sums["known"], sums["near_duplicates"]) == (2, 0)


def test_archives_and_patterns(shoal: Shoal, photos: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/1.jpg", b"one")
        archive.writestr("in/notes.txt", b"text")
    with tarfile.open(tmp_path / "b.tgz", "w:gz") as tar:
        info = tarfile.TarInfo("2.jpg")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"two"))
    given = (tmp_path / "*.zip", tmp_path / "b.tgz", photos / "**" / "*.jpg")
    sums = shoal.sums(*given)
    assert (sums["stored"], sums["skipped"]) == (4, 1)
    assert shoal.sums(*given)["known"] == 4
    uris = {image.uri for image in shoal.server.images["collections/default"].values()}
    assert f"{(tmp_path / 'a.zip').as_uri()}#in/1.jpg" in uris
    assert f"{(tmp_path / 'b.tgz').as_uri()}#2.jpg" in uris


def test_a_manifest(shoal: Shoal, photos: Path) -> None:
    manifest = photos / "m.csv"
    manifest.write_text("path,tags,rating\na.jpg,x;y,5\nmissing.jpg,,\nsub/c.jpg,,1.5\nb.png\n")
    done = shoal("--manifest", manifest, "--attribute", "rating=0", "--json", code=3)
    sums = json.loads(done.stdout.splitlines()[-1])
    assert (sums["stored"], sums["failed"]) == (2, 2)
    assert f"{manifest}, line 5: it has 1 fields" in done.stderr
    assert list(shoal.images["a.jpg"].tags) == ["x", "y"]
    assert shoal.images["a.jpg"].attributes["rating"].integer == 5, "its own before everybody's"
    assert shoal.images["c.jpg"].attributes["rating"].number == 1.5
    manifest.write_text("name\na.jpg\n")
    assert "no column is called path or uri" in shoal("--manifest", manifest, code=1).stderr


@pytest.mark.parametrize(("option", "stdin"), [("-", "{0}/a.jpg\n{0}/sub\n"), ("-0", "{0}/a.jpg\0{0}/sub\0")])
def test_a_list_on_stdin(shoal: Shoal, photos: Path, option: str, stdin: str) -> None:
    given = ["-"] if option == "-" else ["--from-stdin", "-0"]
    assert shoal.sums(*given, stdin=stdin.format(photos).encode())["stored"] == 2
    assert "found in the list on stdin" in shoal("-", code=1).stderr


def test_by_uri(shoal: Shoal, photos: Path) -> None:
    assert shoal.sums(photos, "--by-uri")["stored"] == 3
    assert shoal.server.streams == [[b"", b"", b""]]
    assert shoal.sums(photos, "--by-uri")["known"] == 3


def test_failures_and_retry(shoal: Shoal, photos: Path, tmp_path: Path) -> None:
    failures = tmp_path / "failures.jsonl"
    (photos / "bad.jpg").write_bytes(b"bad")
    (photos / "worse.jpg").write_bytes(b"bad too")
    shoal(photos, photos / "missing.jpg", "--tag", "x", "--failures", failures, code=3)
    lines = [json.loads(line) for line in failures.read_text().splitlines()]
    assert [(Path(line["path"]).name, line["reason"]) for line in lines] == [
        ("bad.jpg", "UNSUPPORTED_FORMAT"), ("worse.jpg", "UNSUPPORTED_FORMAT"), ("missing.jpg", "UNREADABLE_FILE"),
    ]  # fmt: skip
    (photos / "bad.jpg").write_bytes(b"good now")
    sums = shoal.sums("--retry", failures, "--failures", failures, code=3)
    assert (sums["stored"], sums["failed"]) == (1, 2)
    assert list(shoal.images["bad.jpg"].tags) == ["x"]
    assert len(failures.read_text().splitlines()) == 2
    (photos / "worse.jpg").write_bytes(b"good too")
    (photos / "missing.jpg").write_bytes(b"found")
    assert shoal.sums("--retry", failures, "--failures", failures)["stored"] == 2
    assert failures.read_text() == ""
    assert shoal.sums("--retry", failures)["failed"] == 0
    assert "No such file" in shoal("--retry", tmp_path / "no", code=1).stderr


def test_a_retry_stores_as_the_first_time(shoal: Shoal, photos: Path, tmp_path: Path) -> None:
    """What is said of all is kept of those that nobody could look at, however often they fail."""
    backup, partly, failures = tmp_path / "backup.zip", tmp_path / "partly.zip", tmp_path / "failures.jsonl"
    for path, content in ((backup, b"in"), (partly, b"bad")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{path.stem}.jpg", content)
    whole = backup.read_bytes()
    backup.write_bytes(whole[:-10])
    said = ["--tag", "scans", "--attribute", "box=7", "--drop-gps"]
    shoal(backup, partly, tmp_path / "later" / "c.jpg", *said, "--failures", failures, code=1)
    partly.unlink()
    again = shoal("--retry", failures, "--failures", failures, code=1)
    assert f"stored without where they were taken, as {failures} says" in again.stderr
    lines = [json.loads(line) for line in failures.read_text().splitlines()]
    assert [(Path(line["path"]).name, line.get("member")) for line in lines] == [
        ("backup.zip", None), ("partly.zip", "partly.jpg"), ("c.jpg", None),
    ]  # fmt: skip
    backup.write_bytes(whole)
    with zipfile.ZipFile(partly, "w") as archive:
        archive.writestr("partly.jpg", b"good now")
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "c.jpg").write_bytes(b"c")
    assert shoal.sums("--retry", failures)["stored"] == 3
    for image in shoal.images.values():
        assert (list(image.tags), image.attributes["box"].integer) == (["scans"], 7)
    assert shoal.server.options[-1].drop_location
    shoal(photos, "--failures", failures)
    assert not shoal.server.options[-1].drop_location


def test_a_retry_that_breaks_down_keeps_the_rest(shoal: Shoal, photos: Path, tmp_path: Path) -> None:
    failures = tmp_path / "failures.jsonl"
    failures.write_text(
        "".join(json.dumps({"path": str(photos / name)}) + "\n" for name in ("a.jpg", "b.png", "sub/c.jpg"))
    )
    shoal.server.break_after = 1
    shoal.server.broken_with = status(grpc.StatusCode.FAILED_PRECONDITION, "made with x", "MODEL_MISMATCH")
    shoal("--retry", failures, "--failures", failures, code=1)
    left = [Path(json.loads(line)["path"]).name for line in failures.read_text().splitlines()]
    assert left == ["b.png", "c.jpg"]


def test_a_stream_that_breaks_is_told(shoal: Shoal, photos: Path) -> None:
    shoal.server.break_after = 2
    done = shoal(photos)
    assert "3 stored" in done.stdout
    assert "the server is shutting down; trying again in" in done.stderr


def test_the_code_says_whether_anything_is_in(shoal: Shoal, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"bad")
    shoal(tmp_path / "bad.jpg", tmp_path / "missing.jpg", code=1)
    shoal(tmp_path / "bad.jpg", photos / "a.jpg", code=3)
    assert shoal.sums(tmp_path / "bad.jpg", photos / "a.jpg", code=3)["known"] == 1


def test_that_stored_ones_keep_their_location_is_told(shoal: Shoal, photos: Path) -> None:
    shoal(photos / "a.jpg")
    told = "keep their location"
    assert told not in shoal(photos / "b.png", "--drop-gps").stderr
    assert told not in shoal(photos / "a.jpg").stderr
    assert told in shoal(photos / "a.jpg", "--drop-gps").stderr


def test_a_list_on_stdin_means_names(shoal: Shoal, photos: Path) -> None:
    sums = shoal.sums("-", stdin=f"{photos}/*.jpg\n  \n\t\r\n{photos}/b.png\n".encode(), code=3)
    assert (sums["stored"], sums["failed"]) == (1, 1)
    assert f"{photos}/*.jpg: there is no such file" in shoal("-", stdin=f"{photos}/*.jpg\n".encode(), code=1).stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_failures_that_cannot_be_written(shoal: Shoal, photos: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"bad")
    done = shoal(photos, "--failures", "/dev/full", code=1)
    assert done.stderr.splitlines()[-1] == "error: No space left on device: /dev/full"
    assert "trying again" not in done.stderr


def started(server: FakeServer, *arguments: object, **streams: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "shoal_client", "ingest", *map(str, arguments), "--server", server.address],
        text=True,
        **streams,
    )


def test_a_reader_that_is_gone_ends_it(server: FakeServer, photos: Path) -> None:
    """The warning of the stream that broke is what finds it out, in another thread than the main one."""
    reading, writing = os.pipe()
    os.close(reading)
    server.break_after = 1
    process = started(server, photos, "--no-journal", stdout=writing, stderr=writing)
    os.close(writing)
    try:
        assert process.wait(60) == 1
    finally:
        process.kill()
        process.wait()


def test_interrupts_end_it_though_nobody_reads_what_it_says(server: FakeServer, tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"{number:04}.png").write_bytes(b"bad")
    process = started(server, tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        waiting = bytearray(4)
        while int.from_bytes(waiting, sys.byteorder) < 60_000:  # a pipe takes 64 KiB
            time.sleep(0.1)
            fcntl.ioctl(process.stderr or 0, termios.FIONREAD, waiting)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give a PATH"),
        ([""], "is a variable unset?"),
        (["x.jpg", ""], "is a variable unset?"),
        (["x.jpg", "--null"], "list on stdin"),
        (["x.jpg", "--journal", "a", "--no-journal"], "one of --journal"),
        (["x.jpg", "--watch"], "--watch needs a folder"),
        (["x.jpg", "--near-duplicates", "eat"], "eat"),
    ],
)
def test_options_that_make_no_sense(shoal: Shoal, arguments: list[str], words: str) -> None:
    assert words in shoal(*arguments, code=2).stderr


def test_a_cluster_of_workers_for_other_programs_is_no_mistake(
    shoal: Shoal, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert shoal.sums(photos)["stored"] == 3


def test_help_has_its_panels(shoal: Shoal) -> None:
    text = shoal("--help").stdout
    for panel in (
        "Which images",
        "What is said of them",
        "How they are stored",
        "Interrupted, failed, and yet to come",
    ):
        assert panel in text


def bar(count: int | None) -> tuple[IngestProgress, io.StringIO]:
    shown = io.StringIO()
    return IngestProgress(Console(file=shown, force_terminal=True, width=150), lambda: count), shown


def test_the_bar_begins_where_it_was() -> None:
    progress, shown = bar(10)
    with progress:
        for _ in range(7):
            progress.advance(known=True)
        assert shown.getvalue() == ""
        progress.advance(known=False)
        first = shown.getvalue()
        # How many there are may still be counted at that moment.
        assert "8/" in first
        assert "0/" not in first.replace("10", "")
    assert "8/10" in shown.getvalue()


def test_the_bar_says_when_it_knows_no_end() -> None:
    progress, shown = bar(None)
    with progress:
        progress.advance(known=False)
        time.sleep(0.2)
        progress.advance(known=False)
    assert "2/?" in shown.getvalue()
    assert "total unknown" in shown.getvalue()
