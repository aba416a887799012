"""Manifests, attributes in words, and files of failures."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from shoal_client.bulk.failures import FailureFile, Retry
from shoal_client.bulk.manifest import count_rows, read_manifest
from shoal_client.bulk.values import attribute, attribute_keys
from shoal_client.errors import InvalidArgument, MissingExtra, UnreadableFile
from shoal_client.files import LeftOut, scan
from shoal_client.filters.conditions import typed
from shoal_client.sources import BadSource, Common, NewImage


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-12", -12), ("0", 0), ("007", "007"), ("-0", 0), ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", "9223372036854775808"), ("1.5", 1.5), ("-.5", -0.5), ("1e3", 1000.0), ("2.", 2.0),
        ("true", True), ("FALSE", False), ("yes", "yes"), ("nan", "nan"), ("inf", "inf"), ("1e999", "1e999"),
        ("1,5", "1,5"), ("", ""), ("2019-05-01", "2019-05-01"), ("٣", "٣"),
    ],
)  # fmt: skip
def test_typed(text: str, value: object) -> None:
    assert typed(text) == value
    assert type(typed(text)) is type(value)


@given(st.text())
def test_any_text_has_a_value(text: str) -> None:
    assert typed(text) is not None


def test_assignments() -> None:
    assert attribute("rating=5") == ("rating", 5)
    assert attribute("note=a=b") == ("note", "a=b")
    for wrong in ("rating", "=5", "Rating=5", "1st=5", "x=", "ä=1"):
        with pytest.raises(InvalidArgument, match="is not KEY=VALUE"):
            attribute(wrong)


def test_keys_of_headings() -> None:
    headings = ["Camera Owner", " ISO (real) ", "Séance", "n_2"]
    assert attribute_keys(headings, "m.csv") == ["camera_owner", "iso_real", "seance", "n_2"]
    for wrong, words in (
        ([""], "column 1 ''"),
        (["path", "2nd"], "column 2 '2nd'"),
        (["path", "x" * 64], "column 2"),
        (["a b", "a-b"], "column 2 'a-b' gives the key 'a_b' like column 1"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            attribute_keys(wrong, "m.csv")
        assert words in caught.value.message
        assert "m.csv" in caught.value.message


def rows(manifest: Path) -> list[NewImage | BadSource]:
    return list(read_manifest(manifest))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_file(tmp_path: Path, delimiter: str) -> None:
    lines = [
        ["\ufeffPath", "tags", "Shot By", "rating", "ok", "uri"],
        ["a.jpg", "sea|sun", "Ann", "5", "true", ""],
        ["sub/b.jpg", "", "", "", "", "s3://b"],
        ["", "", "", "1.5", "", "file:///x/%C3%A4.jpg"],
        ["", "", "", "", "", "s3://c"],
    ]
    manifest = tmp_path / "m.csv"
    manifest.write_text("\n\n".join(delimiter.join(line) for line in lines))
    assert rows(manifest) == [
        NewImage(tmp_path / "a.jpg", "", ("sea", "sun"), {"shot_by": "Ann", "rating": 5, "ok": True}),
        NewImage(tmp_path / "sub/b.jpg", "s3://b", (), {}),
        NewImage(Path("/x/ä.jpg"), "file:///x/%C3%A4.jpg", (), {"rating": 1.5}),
        NewImage(None, "s3://c", (), {}),
    ]
    assert count_rows(manifest) == 4


def test_a_bad_row_fails_alone_with_its_line(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    (tmp_path / os.fsdecode(b"\xff.jpg")).touch()
    manifest.write_bytes(b'path,n\na.jpg,1\nb.jpg\n,2\n"c\n.jpg",3\nd.jpg,4,5\n\xff.jpg,6\n')
    found = rows(manifest)
    assert [isinstance(each, NewImage) for each in found] == [True, False, False, True, False, True]
    told = [each.error.message for each in found if isinstance(each, BadSource)]
    assert [f"{manifest}, line {line}: " in message for line, message in zip((3, 4, 7), told, strict=True)] == [
        True
    ] * 3
    assert "it has 1 fields, and the first line 2" in told[0]
    assert "neither path nor uri" in told[1]


def test_a_row_that_is_not_utf8_or_never_ends(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    rows_ = ["path,title", "a.jpg,Größe", "größe.jpg,x", "b.jpg,x", 'c.jpg,"' + "x" * 140_000]
    manifest.write_bytes("\n".join(rows_).encode("latin-1"))
    told = [each.error.message for each in rows(manifest) if isinstance(each, BadSource)]
    assert told[:2] == [f"{manifest}, line {line}: it is not UTF-8; save the table as UTF-8" for line in (2, 3)]
    assert "longer than 131,072 characters; is a quote not closed?" in told[2]
    assert NewImage(tmp_path / "b.jpg", "", (), {"title": "x"}) in rows(manifest)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no first line"),
        (b"name,tags\na,b\n", "no column is called path or uri; there are 'name', 'tags'"),
        (b"path,9lives\na,b\n", "column 2 '9lives'"),
        ("path,größe\na,b\n".encode("latin-1"), "m.csv, line 1: it is not UTF-8; save the table as UTF-8"),
        ("path,n\na,b\n".encode("utf-16"), "m.csv, line 1: it is not UTF-8"),
        ("path,n\na,b\n".encode("utf-16-le"), "m.csv, line 1: it is not UTF-8"),
    ],
)
def test_a_manifest_that_cannot_be_used(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(InvalidArgument) as caught:
        rows(tmp_path / "m.csv")
    assert words in caught.value.message
    for name in ("missing.csv", "missing.parquet"):
        with pytest.raises(UnreadableFile):
            rows(tmp_path / name)


def test_a_parquet_file(tmp_path: Path) -> None:
    manifest = tmp_path / "m.parquet"
    taken = datetime(2020, 5, 1, tzinfo=UTC)
    table: dict[str, Any] = {
        "path": ["a.jpg", "b.jpg", None],
        "tags": [["x", "y"], None, []],
        "n": [1, None, 3],
        "share": [0.5, float("nan"), None],
        "ok": [True, None, False],
        "at": [taken, None, None],
        "odd": [None, {"a": 1}, None],
    }
    parquet.write_table(pa.table(table), manifest)
    first, second, third = rows(manifest)
    assert first == NewImage(
        tmp_path / "a.jpg", "", ("x", "y"), {"n": 1, "share": 0.5, "ok": True, "at": taken.isoformat()}
    )
    assert isinstance(second, BadSource)
    assert f"{manifest}, row 2: column 'odd' holds a dict" in second.error.message
    assert isinstance(third, BadSource)
    assert count_rows(manifest) == 3
    (tmp_path / "no.parquet").write_bytes(b"no table")
    with pytest.raises(UnreadableFile):
        rows(tmp_path / "no.parquet")


def test_parquet_needs_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtra, match=r"shoal\[export\]"):
        rows(tmp_path / "m.parquet")


PROBLEM = InvalidArgument("no image", reason="UNSUPPORTED_FORMAT")


def test_failures_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"a")
    path = tmp_path / "failures.jsonl"
    with FailureFile(path, None, Common(("all",), {"n": 1})) as file:
        file.add(NewImage(Path("a.jpg"), "", ["own"], {"n": 2}), PROBLEM)
        assert len(path.read_text().splitlines()) == 1, "as they happen"
        file.add(NewImage(uri="s3://b"), PROBLEM)
        file.add(BadSource("m.csv, line 3", PROBLEM), PROBLEM)
    first = json.loads(path.read_text().splitlines()[0])
    assert first == {
        "path": str(tmp_path / "a.jpg"), "uri": None, "reason": "UNSUPPORTED_FORMAT", "message": "no image",
        "tags": ["own", "all"], "attributes": {"n": 2}, "drop_location": False,
    }  # fmt: skip
    retry = Retry(path)
    one, two, three = retry.images(LeftOut())
    assert one == NewImage(tmp_path / "a.jpg", "", ["own", "all"], {"n": 2})
    assert two == NewImage(None, "s3://b", ["all"], {"n": 1})
    assert isinstance(three, BadSource)
    assert retry.count() == 3


def test_what_was_not_tried_again_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    for name in "abcd":
        (tmp_path / name).write_bytes(b"x")
    with FailureFile(path, None, Common()) as file:
        for name in "abcd":
            file.add(NewImage(tmp_path / name), PROBLEM)
    retry = Retry(path)
    with FailureFile(path, retry, Common()) as file:
        images = retry.images(LeftOut())
        one, two = next(images), next(images)
        assert len(path.read_text().splitlines()) == 4, "until the end everything is there"
        file.add(one, PROBLEM)
        file.keep([two])
    left = [json.loads(line) for line in path.read_text().splitlines()]
    assert [Path(line["path"]).name for line in left] == ["a", "b", "c", "d"]
    assert [line["reason"] for line in left] == ["UNSUPPORTED_FORMAT", "NOT_TRIED", *["UNSUPPORTED_FORMAT"] * 2]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b", "c", "d", "failures.jsonl"]


def test_paths_that_nobody_can_look_at_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "failures.jsonl"
    long = "x" * 300  # of which the system does not even say whether it is there
    with FailureFile(path, None, Common()) as file:
        for bad in scan([Path("missing.jpg"), Path(long), Path("*.none")], LeftOut()):
            assert isinstance(bad, BadSource)
            file.add(bad, bad.error)
        file.add(BadSource("m.csv, line 3", PROBLEM), PROBLEM)
        file.add(BadSource(long, PROBLEM), PROBLEM)
    paths = [json.loads(line)["path"] for line in path.read_text().splitlines()]
    assert paths == [*(str(tmp_path / name) for name in ("missing.jpg", long, "*.none")), "m.csv, line 3", long]


def test_lines_that_are_no_failures(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    path.write_text('no json\n\n[1]\n{"path": 7}\n{"path": null, "uri": null}\n{"path": "/x", "tags": 3}\n')
    found = list(Retry(path).images(LeftOut()))
    assert all(isinstance(each, BadSource) for each in found)
    assert len(found) == 5
    with pytest.raises(UnreadableFile):
        list(Retry(tmp_path / "missing").images(LeftOut()))
