"""Settings of the Qdrant server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from shoal_server.settings import Settings


@pytest.mark.parametrize(("written", "port"), [("none", None), ("0", None), ("7000", 7000)])
def test_a_port_of_none_is_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: str, port: int | None
) -> None:
    monkeypatch.setenv("SHOAL_QDRANT_GRPC_PORT", written)
    assert Settings(data=tmp_path).qdrant_grpc_port == port


@pytest.mark.parametrize(("written", "read"), [("2", 2), ("majority", "majority"), ("all", "all")])
def test_consistency_is_a_number_or_a_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: str, read: int | str
) -> None:
    monkeypatch.setenv("SHOAL_QDRANT_READ_CONSISTENCY", written)
    assert Settings(data=tmp_path).qdrant_read_consistency == read


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("qdrant_url", "localhost:6333", "is not http://HOST:PORT"),
        ("qdrant_url", "ftp://host", "is not http://HOST:PORT"),
        ("qdrant_url", "https://", "is not http://HOST:PORT"),
        ("qdrant_url", "https://me:secret@host:6333", "no credentials in it"),
        ("qdrant_grpc_port", "70000", "less than or equal to 65535"),
        ("qdrant_quantization", "float8", "'none', 'scalar' or 'binary'"),
        ("qdrant_write_ordering", "any", "'weak', 'medium' or 'strong'"),
        ("qdrant_oversampling", 0.5, "greater than or equal to 1"),
        ("store_wait_s", -1, "greater than or equal to 0"),
        ("qdrant_batch", 0, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, name: str, value: Any, words: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Settings(data=tmp_path, **{name: value})
    [error] = raised.value.errors()
    assert words in error["msg"]
    assert "secret" not in error["msg"]
