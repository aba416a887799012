"""Whether the parts of a server work: the model says so itself, the store is asked every few seconds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from enum import Enum
from typing import Protocol

from shoal_server.application.ports import CollectionStore
from shoal_server.domain.collection import EmbeddingModel
from shoal_server.domain.errors import ModelBroken, ShoalError

_log = logging.getLogger(__name__)


class Part(Enum):
    """A part of a server that may fail without the process ending."""

    MODEL = "model"
    STORE = "store"


class WatchedModel(Protocol):
    """A model that knows whether it works."""

    @property
    def model(self) -> EmbeddingModel:
        """What collections record."""
        ...

    @property
    def problem(self) -> str:
        """What is the matter with it; empty while it works."""
        ...

    def listen(self, listener: Callable[[], None]) -> None:
        """Has somebody called whenever the problem has changed."""
        ...


class Vitals:
    """What is the matter with a server, kept up to date by :meth:`watch` and told to who listens."""

    def __init__(
        self,
        model: WatchedModel,
        store: CollectionStore,
        *,
        every_s: float = 5.0,
        timeout_s: float = 10.0,
        give_up_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        model: watched.
        store: asked for the collections' records, the least that everything needs.
        every_s: seconds between two looks.
        timeout_s: seconds in which the store has to answer.
        give_up_s: seconds after which a model that does not work is given up; None: never.
        clock: seconds that only grow.
        """
        self._model = model
        self._store = store
        self._every_s = every_s
        self._timeout_s = timeout_s
        self._give_up_s = give_up_s
        self._clock = clock
        self._store_problem = ""
        self._broken_since: float | None = None
        self._listeners: list[Callable[[], Awaitable[None]]] = []
        self._look = asyncio.Event()
        model.listen(self._look.set)
        #: Seconds that the store took to answer last.
        self.store_latency_s = 0.0

    @property
    def problems(self) -> Mapping[Part, str]:
        """What is the matter, for people; a part that works is absent."""
        found = {Part.MODEL: self._model.problem, Part.STORE: self._store_problem}
        return {part: problem for part, problem in found.items() if problem}

    def listen(self, listener: Callable[[], Awaitable[None]]) -> None:
        """Has somebody called when the problems have changed."""
        self._listeners.append(listener)

    async def watch(self) -> None:
        """Looks again and again until it is cancelled.

        Raises:
            ModelBroken: it has been for too long; only another process can help.
        """
        # A store that takes its time must not keep back what there is to say of the model.
        asking = asyncio.create_task(self._keep_asking(), name="asking the store")
        try:
            await self._follow()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _keep_asking(self) -> None:
        while True:
            await self.check_store()
            self._look.set()
            await asyncio.sleep(self._every_s)

    async def _follow(self) -> None:
        told: Mapping[Part, str] = {}
        while True:
            with suppress(TimeoutError):
                # Not wait_for: before Python 3.12 it loses a cancellation that comes at the wrong moment.
                async with asyncio.timeout(self._every_s):
                    await self._look.wait()
            self._look.clear()
            problems = self.problems
            if problems.keys() != told.keys():
                _tell(told, problems)
                for listener in self._listeners:
                    await listener()
            told = problems
            self._check_patience(problems.get(Part.MODEL))

    async def check_store(self) -> None:
        """Asks the store; what comes of it is among the :attr:`problems`."""
        began = self._clock()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._store.list_collections()
        except TimeoutError:
            self._store_problem = f"it has not answered within {self._timeout_s:g} s"
        except ShoalError as error:
            self._store_problem = error.message
        except Exception as error:  # noqa: BLE001 - whatever it is, the store does not work
            _log.exception("the store could not be asked")
            self._store_problem = f"it fails ({type(error).__name__}); the server's log says why"
        else:
            self._store_problem = ""
        self.store_latency_s = self._clock() - began

    def _check_patience(self, problem: str | None) -> None:
        if problem is None:
            self._broken_since = None
            return
        if self._broken_since is None:
            self._broken_since = self._clock()
        elif self._give_up_s is not None and self._clock() - self._broken_since >= self._give_up_s:
            raise ModelBroken(self._model.model.name, problem)


def _tell(before: Mapping[Part, str], now: Mapping[Part, str]) -> None:
    for part in Part:
        if part in now and part not in before:
            _log.error("the %s does not work: %s", part.value, now[part])
        elif part in before and part not in now:
            _log.warning("the %s works again", part.value)
