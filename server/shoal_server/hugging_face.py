"""What every adapter that loads models needs of Hugging Face's libraries: a sign of life of the hub, and quiet."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from shoal_server.domain.errors import ModelUnavailable

_PROBE_S = 4.0


def check_hub(spec: str, lacking: str, ways_out: str) -> None:
    """Asks the hub, which has what is not here, for a sign of life.

    Its own downloads retry for most of a minute before they give up.

    Args:
        spec: the model that was asked for.
        lacking: what of it is not on this disk, for people.
        ways_out: what to do where the hub cannot be reached.

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
            f"{lacking} is not in the hub's cache on this disk, and {constants.ENDPOINT} cannot be reached "
            f"({problem}); {ways_out}",
        )


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Loading from the local disk takes seconds at most; a progress bar for it is only noise in a server's log."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its kind if it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)
