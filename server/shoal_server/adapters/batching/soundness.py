"""Whether a model works, found out by giving it what it is known to be able to do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

_logger = logging.getLogger(__name__)

#: Between two trials of a model that is broken, the pause doubles up to so many times the first one.
_LONGEST_PAUSE = 12


class Soundness:
    """Tells a broken model from one that was given something it cannot digest.

    Whoever sees the model fail has it examined. A model that fails the trial too is broken, until a trial succeeds.
    """

    def __init__(self, model: str, trial: Callable[[], Awaitable[None]], retry_s: float) -> None:
        """Args:
        model: its name, for the log.
        trial: gives the model something harmless; raises if it fails.
        retry_s: seconds after which a broken model is tried again, the first time; later up to 12 times as long.
        """
        self._model = model
        self._trial = trial
        self._retry_s = retry_s
        self._pause_s = retry_s
        self._examining = asyncio.Lock()
        self._mended_at: float | None = None
        #: What is the matter; empty while the model works.
        self.problem = ""
        #: How often it broke.
        self.breakdowns = 0
        #: Called when the problem has changed.
        self.changed: Callable[[], None] = lambda: None
        #: When it is to be tried again, on the event loop's clock.
        self.due_at = 0.0

    async def examine(self, trial: Callable[[], Awaitable[None]]) -> bool:
        """Whether the model works although it has failed just now.

        Args:
            trial: of the kind of work that it failed at.
        """
        async with self._examining:
            if self.problem:
                return False
            try:
                await trial()
            except Exception as error:
                _logger.critical("model %s fails its self-test and counts as broken", self._model, exc_info=True)
                self.note(f"it fails its self-test ({type(error).__name__})")
                return False
            return True

    def note(self, problem: str) -> None:
        """The model is broken."""
        now = asyncio.get_running_loop().time()
        if not self.problem:
            self.breakdowns += 1
            # One that breaks again at once is not tried as often as one that worked in between.
            brief = self._mended_at is not None and now - self._mended_at < self._pause_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE * self._retry_s) if brief else self._retry_s
        self.problem = problem
        self.due_at = now + self._pause_s
        self.changed()

    async def try_again(self) -> None:
        """Gives a broken model a chance to show that it works; raises nothing."""
        try:
            await self._trial()
        except Exception as error:  # noqa: BLE001 - it is as broken as before
            _logger.warning("model %s is still broken: %r", self._model, error)
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE * self._retry_s)
            self.due_at = asyncio.get_running_loop().time() + self._pause_s
            return
        _logger.warning("model %s works again", self._model)
        self._mended_at = asyncio.get_running_loop().time()
        self.problem = ""
        self.changed()
