"""The journal: what it remembers, and what it does when it cannot."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from shoal_client.bulk.contents import InMemory
from shoal_client.bulk.journal import Journal, Sayings, default_journal
from shoal_client.bulk.known import ASK_AT_ONCE, Known
from shoal_client.sources import NearDuplicates, Origin, Source

SHA = "ab" * 32


def source(name: str, **said: object) -> Source:
    plain = Source(name, f"file:///{name}", (), {}, None, Origin(name.encode(), 5, 7))
    return replace(plain, **said)  # type: ignore[arg-type]


def sayings(
    target: str = "h:1", parent: str = "collections/a", *, drop: bool = False, near: NearDuplicates | None = None
) -> Sayings:
    return Sayings(target, parent, drop_location=drop, near_duplicates=near)


def test_it_remembers_versions(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "j.sqlite"
    origin = Origin(b"/a.jpg", 5, 7)
    journal = Journal(path)
    journal.record(b"key", origin, SHA)
    journal.close()
    journal.close()
    again = Journal(path)
    assert again.lookup({b"key": origin, b"other": origin}) == {b"key": SHA}
    assert again.lookup({b"key": replace(origin, mtime_ns=8)}) == {}
    assert again.lookup({b"key": replace(origin, size=6)}) == {}
    again.close()
    assert again.lookup({b"key": origin}) == {}


def test_two_at_once(tmp_path: Path) -> None:
    one, two = Journal(tmp_path / "j"), Journal(tmp_path / "j")
    origin = Origin(b"/a.jpg", 5, 7)
    for number in range(300):
        one.record(b"one%d" % number, origin, SHA)
        two.record(b"two%d" % number, origin, SHA)
    one.close()
    assert len(two.lookup({b"one%d" % number: origin for number in range(300)})) == 300
    two.close()


def test_one_that_cannot_be_used_warns_and_knows_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "text").write_text("this is no database, but long enough to be taken for one" * 50)
    (tmp_path / "newer").touch()
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    for name, words in (("text", "not a database"), ("newer", "newer version"), ("text/below", "")):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            journal = Journal(tmp_path / name)
            journal.record(b"key", Origin(b"a", 1, 1), SHA)
            assert journal.lookup({b"key": Origin(b"a", 1, 1)}) == {}
            journal.close()
        [record] = caplog.records
        assert words in record.getMessage()
        assert str(tmp_path / name) in record.getMessage()


def test_another_programs_database_is_left_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, statement in (("tables", "CREATE TABLE songs (title TEXT)"), ("marked", "PRAGMA application_id = 7")):
        path = tmp_path / name
        other = sqlite3.connect(path)
        other.execute(statement)
        other.close()
        before = path.read_bytes()
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            Journal(path).close()
        assert "another program" in caplog.text
        assert path.read_bytes() == before


def test_a_journal_of_before_there_was_a_mark_is_used(tmp_path: Path) -> None:
    path, origin = tmp_path / "j", Origin(b"/a.jpg", 5, 7)
    journal = Journal(path)
    journal.record(b"key", origin, SHA)
    journal.close()
    unmarked = sqlite3.connect(path)
    unmarked.execute("PRAGMA application_id = 0")
    unmarked.close()
    assert Journal(path).lookup({b"key": origin}) == {b"key": SHA}


def test_what_is_said_makes_the_key() -> None:
    plain = source("a")
    key = sayings().key(plain)
    assert key == sayings().key(plain)
    # Whether it has the image is asked of any server; what it was told of it cannot be.
    assert key == sayings("other:2").key(plain)
    tagged = source("a", tags=("x",))
    assert sayings().key(tagged) != sayings("other:2").key(tagged)
    different = [
        sayings().key(tagged),
        sayings().key(source("a", attributes={"n": 1})),
        sayings().key(source("a", attributes={"n": "1"})),
        sayings().key(source("a", uri="s3://a")),
        sayings().key(source("b")),
        sayings(parent="collections/b").key(plain),
        sayings(drop=True).key(plain),
        sayings(near=NearDuplicates.SKIP).key(plain),
        key,
    ]
    assert len(set(different)) == len(different)
    assert sayings().key(source("a", origin=None)) is None
    assert sayings().key(source("a", tags=("x", "y"))) == sayings().key(source("a", tags=("y", "x", "y")))


def test_the_server_is_asked_in_batches_and_has_the_last_word(tmp_path: Path) -> None:
    asked: list[int] = []
    digests = {f"{number}.jpg": f"{number:064x}" for number in range(2500)}

    def check(sha256s: Sequence[str]) -> set[str]:
        asked.append(len(sha256s))
        return set(sha256s) - {digests["17.jpg"]}

    known = Known(Journal(tmp_path / "j"), sayings(), check)
    for name, digest in digests.items():
        known.remember(source(name), digest)
    known.close()
    known = Known(Journal(tmp_path / "j"), sayings(), check)
    files = [source(name) for name in digests]
    outcome = list(known.sort_out(iter([*files, source("new.jpg")])))
    assert [each for each, _ in outcome] == [*files, source("new.jpg")]
    assert [each.label for each, is_known in outcome if not is_known] == ["17.jpg", "new.jpg"]
    assert asked == [ASK_AT_ONCE, ASK_AT_ONCE, 500]
    known.close()


def test_nothing_new_is_held_back_without_need(tmp_path: Path) -> None:
    known = Known(Journal(tmp_path / "j"), sayings(), lambda _: set())
    pulled = 0

    def sources() -> object:
        nonlocal pulled
        for number in range(10):
            pulled += 1
            yield source(f"{number}.jpg") if number else source("0", content=InMemory(b"x"), origin=None)

    for number, _ in enumerate(known.sort_out(sources()), 1):  # type: ignore[arg-type]
        assert pulled == number
    known.close()


def test_an_error_comes_after_what_was_before_it(tmp_path: Path) -> None:
    known = Known(Journal(tmp_path / "j"), sayings(), set)
    known.remember(source("a.jpg"), SHA)
    known.close()
    known = Known(Journal(tmp_path / "j"), sayings(), set)

    def sources() -> object:
        yield source("a.jpg")
        raise LookupError("mine")

    sorted_out = known.sort_out(sources())  # type: ignore[arg-type]
    assert next(sorted_out) == (source("a.jpg"), True)
    with pytest.raises(LookupError):
        next(sorted_out)
    known.close()


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_journal() == Path("/state/shoal/ingest.sqlite")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert default_journal() == Path.home() / ".local/state/shoal/ingest.sqlite"
