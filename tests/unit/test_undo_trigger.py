"""Who undid what is read back from the trigger of the run that did it."""

from __future__ import annotations

import pytest

from shoal_server.domain.correction import undo_trigger, undone_by


@pytest.mark.parametrize("author", ["", "Ann", "by night by day"])
def test_what_is_written_is_read(author: str) -> None:
    assert undone_by(undo_trigger("20240101-000000-000000-abcd", author)) == ("20240101-000000-000000-abcd", author)


def test_other_triggers_undo_nothing() -> None:
    assert undone_by("person") is None
