"""What the commands refuse before they touch anything, in the words of their options."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from shoal_client.cli import app


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (("migrate", "--to", "nonsense"), 2, ("--to", "nonsense")),
        (("migrate", "--from", "nonsense"), 2, ("--from", "nonsense")),
        (("backup", "--output", "-"), 2, ("--output", "name a file")),
    ],
)
def test_in_the_words_of_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], status: int, words: tuple[str, ...]
) -> None:
    (tmp_path / "collections").mkdir()
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    done = CliRunner().invoke(app, [*command], env={"COLUMNS": "300"})
    assert done.exit_code == status, done.output
    assert all(word in done.output for word in words), done.output
    assert "SHOAL_QDRANT_URL" not in done.output


def test_looking_for_a_key_makes_no_folder(tmp_path: Path) -> None:
    data = tmp_path / "nothing"
    done = CliRunner().invoke(app, ["keys", "revoke", "nobody", "--data", str(data)])
    assert done.exit_code == 1
    assert f"there is no key 'nobody' in {data}" in done.output
    assert not data.exists()
