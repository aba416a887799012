"""Single values in records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, time
from enum import Enum
from typing import Any

import numpy as np

Record = dict[str, Any]


def optional_iso(value: datetime | time | None) -> str | None:
    """A date or time as text."""
    return None if value is None else value.isoformat()


def optional_datetime(text: str | None) -> datetime | None:
    """The inverse of :func:`optional_iso` for dates."""
    return None if text is None else datetime.fromisoformat(text)


def optional_time(text: str | None) -> time | None:
    """The inverse of :func:`optional_iso` for times of day."""
    return None if text is None else time.fromisoformat(text)


def plain(value: object) -> object:
    """An enumeration as its value and NumPy's scalars as Python's; all else as it is."""
    if isinstance(value, Enum):
        return value.value
    return value.item() if isinstance(value, np.generic) else value


def figures(values: Mapping[str, float]) -> dict[str, float]:
    """Figures by name; one that is NaN or infinite has no value and is left out."""
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}
