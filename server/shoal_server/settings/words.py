"""Words that stand for values which a variable of the environment has no other way to say."""

from __future__ import annotations


def none_if_said(value: object) -> object:
    """None for ``none`` and for nothing; whatever else is given, as it is."""
    return None if isinstance(value, str) and value.strip().lower() in ("", "none") else value
