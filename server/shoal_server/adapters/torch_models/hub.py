"""The Hugging Face hub, from which published weights come: its cache on this disk, and whether it can be reached."""

from __future__ import annotations

import difflib
import queue
import threading
from collections.abc import Sequence
from pathlib import Path

from shoal_server.domain.errors import ModelUnavailable

_PROBE_S = 4.0

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


def check_hub(spec: str, repository: str, name: str) -> None:
    """Asks the hub, which has a file that is not here, for a sign of life.

    Its own downloads retry for most of a minute before they give up.

    Raises:
        ModelUnavailable: there is none.
    """
    from huggingface_hub import constants, get_session, is_offline_mode

    problems: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=_PROBE_S)
            problems.put(None)
        except Exception as error:  # noqa: BLE001 - whatever keeps the hub from answering is the answer
            problems.put(first_line(error))

    problem: str | None = "HF_HUB_OFFLINE is set"
    if not is_offline_mode():
        # In a thread of its own, for a name server that does not answer heeds no timeout.
        threading.Thread(target=ask, name="shoal-hub-probe", daemon=True).start()
        try:
            problem = problems.get(timeout=_PROBE_S)
        except queue.Empty:
            problem = f"no answer within {_PROBE_S:g} s"
    if problem is not None:
        raise ModelUnavailable(
            spec,
            f"{name} of {repository} is not in the hub's cache on this disk, and {constants.ENDPOINT} cannot be "
            f"reached ({problem}); {WAYS_OUT}",
        )


def close_to(word: str, known: Sequence[str]) -> str:
    """What somebody may have meant, as an addition to a message; empty if nothing is close."""
    matches = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    return f" (did you mean {' or '.join(matches)}?)" if matches else ""


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its kind if it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)
