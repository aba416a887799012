"""Hears how far UMAP's optimisation is."""

from __future__ import annotations

import io
from collections.abc import Callable


class EpochReport(io.TextIOBase):
    """What tqdm, which is UMAP's only way to report, writes its bar to: a bare percentage, a few times a second."""

    def __init__(self, on_fraction: Callable[[float], None]) -> None:
        self._on_fraction = on_fraction

    def write(self, text: str) -> int:
        """Takes one state of the bar."""
        percentage = text.strip()
        if percentage:
            self._on_fraction(min(float(percentage) / 100.0, 1.0))
        return len(text)

    def options(self) -> dict[str, object]:
        """What to pass as ``tqdm_kwds``."""
        return {"disable": False, "file": self, "bar_format": "{percentage}", "leave": False, "mininterval": 0.25}
