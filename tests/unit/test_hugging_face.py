"""What adapters share that load models."""

from __future__ import annotations

import pytest
from transformers.utils import logging as transformers_logging

from shoal_server.hugging_face import first_line, without_progress_bars


@pytest.mark.parametrize("shown", [True, False])
def test_progress_bars_are_as_before_also_after_an_error(monkeypatch: pytest.MonkeyPatch, shown: bool) -> None:
    monkeypatch.setattr(transformers_logging, "_tqdm_active", shown)
    with pytest.raises(OSError, match="disk"), without_progress_bars():
        assert not transformers_logging.is_progress_bar_enabled()
        raise OSError("disk")
    assert transformers_logging.is_progress_bar_enabled() is shown


def test_the_first_line_of_an_error_or_its_kind() -> None:
    assert first_line(ValueError("no\nthat is why")) == "no"
    assert first_line(ValueError()) == "ValueError"
