"""The record of changes: what is in it, and what becomes of it when the disk does not take it."""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

import pytest

from shoal.v1.collection_pb2 import Attachment
from shoal.v1.collection_service_pb2 import AttachCollectionRequest, CreateCollectionRequest
from shoal_server.adapters import audit_file
from shoal_server.adapters.audit_file import AuditFile
from shoal_server.application.audit import AuditEntry
from shoal_server.domain.errors import FolderNotWritable
from shoal_server.rpc.authorization import RULES, collections_of

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def test_the_record_is_private_rotated_and_in_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    trail = AuditFile(path, max_bytes=4000)
    entry = AuditEntry(NOW, "key:abc", "CI", "192.0.2.1", "shoal.v1.X/Y", ("a\nb",), "OK", "r1", 0.12345)
    for _ in range(30):
        trail.record(entry)
    trail.close()
    lines = [line for file in tmp_path.glob("audit.log*") for line in file.read_text().splitlines()]
    assert len(lines) == 30
    assert json.loads(lines[0]) == {
        "time": "2026-05-01T00:00:00.000+00:00",
        "caller": "key:abc",
        "name": "CI",
        "address": "192.0.2.1",
        "method": "shoal.v1.X/Y",
        "collections": ["a\nb"],
        "outcome": "OK",
        "request": "r1",
        "seconds": 0.123,
    }
    assert {file.stat().st_mode & 0o777 for file in tmp_path.glob("audit.log*")} == {0o600}
    assert len(list(tmp_path.glob("audit.log*"))) > 1


def test_a_record_on_a_full_disk_is_told_once_and_fails_nothing(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    trail = AuditFile(Path("/dev/full"))
    entry = AuditEntry(NOW, "key:abc", "CI", "192.0.2.1", "shoal.v1.X/Y", (), "OK", "r1", 0.1)
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            trail.record(entry)
        trail.close()
    [told] = caplog.records
    assert "cannot be written" in told.getMessage()
    assert "No space left" in told.getMessage()
    # A traceback of logging's own would stand among the lines of a log that programs read.
    assert "Traceback" not in capfd.readouterr().err


def test_a_disk_that_hangs_takes_no_more_than_some_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hanging = threading.Event()
    monkeypatch.setattr(audit_file, "MAX_WAITING", 10)
    trail = AuditFile(tmp_path / "audit.log")
    monkeypatch.setattr(RotatingFileHandler, "shouldRollover", lambda self, record: not hanging.wait(20))
    entry = AuditEntry(NOW, "key:abc", "CI", "192.0.2.1", "shoal.v1.X/Y", (), "OK", "r1", 0.1)
    for _ in range(100):
        trail.record(entry)
    hanging.set()
    trail.close()
    assert 10 <= len((tmp_path / "audit.log").read_text().splitlines()) <= 12
    assert ["does not keep up" in each.getMessage() for each in caplog.records] == [True]


def test_what_a_request_names_is_noted_in_part() -> None:
    """Whatever somebody sends for the name of a collection, a line of the record is short."""
    rule = RULES["/shoal.v1.CollectionService/CreateCollection"]
    [noted] = collections_of(rule, CreateCollectionRequest(collection_id="x" * 10**6))
    assert len(noted) < 100


@pytest.mark.parametrize(
    ("request_", "noted"),
    [
        (AttachCollectionRequest(attachment=Attachment(source="theirs")), ("theirs",)),
        (AttachCollectionRequest(collection_id="ours", attachment=Attachment(source="theirs")), ("ours", "theirs")),
        (AttachCollectionRequest(collection_id="one", attachment=Attachment(source="one")), ("one",)),
    ],
)
def test_what_is_attached_is_noted(request_: AttachCollectionRequest, noted: tuple[str, ...]) -> None:
    assert collections_of(RULES["/shoal.v1.CollectionService/AttachCollection"], request_) == noted


def test_a_record_that_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderNotWritable, match=r"record of changes .*audit\.log .* SHOAL_AUDIT_LOG"):
        AuditFile(tmp_path / "file" / "audit.log")
