"""Exported models in a cache that servers share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shoal_server.adapters.onnx_runtime.kept import kept_or_made


class Maker:
    """Makes a model of two files.

    Attributes:
        times: that it was asked to.
    """

    def __init__(self, content: bytes = b"weights") -> None:
        self.content = content
        self.times = 0

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        self.times += 1
        assert not [*folder.iterdir()]
        (folder / "images.onnx").write_bytes(self.content)
        (folder / "images.onnx.data").write_bytes(self.content)
        return {"closeness": 0.99}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the model; the cache is not there yet either."""
    return tmp_path / "cache" / "model"


def test_what_is_kept_is_not_made_again(folder: Path) -> None:
    make = Maker()
    first, second = kept_or_made(folder, make), kept_or_made(folder, make)
    assert make.times == 1
    assert first == second
    assert first.notes == {"closeness": 0.99}
    assert (first.folder / "images.onnx.data").read_bytes() == b"weights"
    assert [*folder.parent.iterdir()] == [folder]


@pytest.mark.parametrize("name", ["images.onnx", "images.onnx.data", "notes.json"])
@pytest.mark.parametrize("content", [b"", b"weighty", None])
def test_what_is_damaged_is_made_again(folder: Path, name: str, content: bytes | None) -> None:
    make = Maker()
    kept_or_made(folder, make)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    kept = kept_or_made(folder, make)
    assert make.times == 2
    assert (kept.folder / "images.onnx").read_bytes() == b"weights"
    assert [*folder.parent.iterdir()] == [folder]
    assert kept_or_made(folder, make).notes == kept.notes
    assert make.times == 2


def test_what_fails_while_it_is_made_leaves_nothing(folder: Path) -> None:
    def fail(into: Path) -> Mapping[str, Any]:
        (into / "images.onnx").write_bytes(b"half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        kept_or_made(folder, fail)
    assert not [*folder.parent.iterdir()]


def test_of_two_that_make_it_at_the_same_time_the_first_wins(folder: Path) -> None:
    other = Maker(b"of the other")

    def overtaken(into: Path) -> Mapping[str, Any]:
        kept_or_made(folder, other)
        return Maker(b"of this one")(into)

    kept = kept_or_made(folder, overtaken)
    assert other.times == 1
    assert (kept.folder / "images.onnx").read_bytes() == b"of the other"
    assert [*folder.parent.iterdir()] == [folder]


def test_a_cache_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(OSError, match="cache"):
        kept_or_made(tmp_path / "cache" / "model", Maker())
