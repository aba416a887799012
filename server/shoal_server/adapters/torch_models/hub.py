"""The Hugging Face hub, from which published weights come: its cache on this disk, and what to do without it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from shoal_server.hugging_face import check_hub

WAYS_OUT = (
    "use a checkpoint on this disk (--model MODEL/PATH), or a cache that was filled where there is a connection "
    "(HF_HOME=FOLDER), or the model that needs no download (--model starter)"
)


def cached(repository: str, *names: str) -> Path | None:
    """The first of these files of a repository that is in the hub's cache on this disk."""
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return Path(found)
    return None


def check_reachable(spec: str, repository: str, name: str) -> None:
    """Asks for a sign of life of the hub, which has a file that is not here.

    Raises:
        ModelUnavailable: there is none.
    """
    check_hub(spec, f"{name} of {repository}", WAYS_OUT)


def close_to(word: str, known: Sequence[str]) -> str:
    """What somebody may have meant, as an addition to a message; empty if nothing is close."""
    matches = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    return f" (did you mean {' or '.join(matches)}?)" if matches else ""
