"""Clustering runs where several servers share a store: one at a time a collection, and known to all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from shoal_server.application.leases import Leases, Right
from shoal_server.application.live_run import LiveRun
from shoal_server.application.ports import Store
from shoal_server.application.shared_store import SharedStore
from shoal_server.domain.errors import LeaseLost, RunInProgress
from shoal_server.domain.lease import Lease, Purpose
from shoal_server.domain.run import ClusteringRun, RunKind, RunStage

#: Seconds between two looks at a run on another server.
_LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What other servers are doing with a collection.

    Attributes:
        run: the run that one of them carries out; empty: none.
        stage: of it.
        progress: of it, 0 to 1.
        epoch: of the lease that it is carried out under.
        deciding: one of them has the turn to decide.
    """

    run: str = ""
    stage: str = ""
    progress: float = 0.0
    epoch: int = 0
    deciding: bool = False

    def carries_out(self, run: ClusteringRun) -> bool:
        """Whether a run that the store says is under way is so on one of them."""
        return run.id == self.run or (run.kind is RunKind.CORRECTION and self.deciding)

    def as_it_is(self, run: ClusteringRun) -> ClusteringRun:
        """A run that one of them carries out, with what it tells of it."""
        if run.id != self.run or not self.stage:
            return run
        return replace(run, stage=RunStage(self.stage), progress=self.progress)


class SharedRuns:
    """Takes the right to run, and knows of the runs of the others."""

    def __init__(self, store: Store, shared: SharedStore, leases: Leases) -> None:
        self._store = store
        self._shared = shared
        self._leases = leases

    async def begin(self, collection: str, live: LiveRun) -> Right:
        """Takes the right to run; while it is kept, others see how far the run is, and may cancel it.

        Raises:
            RunInProgress: another server has it.
        """

        def told(lease: Lease) -> tuple[str, float]:
            if lease.asked_to_cancel == live.run.id:
                live.cancel()
            return live.run.stage.value, live.run.progress

        taken = await self._leases.take_now(collection, Purpose.RUNNING, live.run.id, told)
        if isinstance(taken, Right):
            return taken
        raise RunInProgress(collection, taken.run)

    async def end(self, right: Right) -> None:
        """Gives it back."""
        await self._leases.give_back(right)

    async def confirm(self, right: Right) -> None:
        """Makes sure that nobody has taken the run for lost.

        Raises:
            LeaseLost: somebody has.
        """
        if right.lost:
            raise LeaseLost(right.collection)
        await right.renew()

    async def elsewhere(self, collection: str) -> Elsewhere:
        """What other servers that are not silent are doing."""
        shared = await self._shared.shared_collection(collection)
        run = self._of_another(collection, Purpose.RUNNING, shared.lease(Purpose.RUNNING))
        deciding = self._of_another(collection, Purpose.DECIDING, shared.lease(Purpose.DECIDING))
        return Elsewhere(run.run, run.stage, run.progress, run.epoch, bool(deciding.holder))

    async def take_over(self, collection: str) -> Elsewhere:
        """Sees to it that a server that fell silent over a run does not go on with it; what the others are doing."""
        lease = (await self._shared.shared_collection(collection)).lease(Purpose.RUNNING)
        silent = lease.holder and not self._of_another(collection, Purpose.RUNNING, lease).holder
        if silent and lease.run:
            taken = await self._leases.take_now(collection, Purpose.RUNNING)
            if isinstance(taken, Right):
                await self._leases.give_back(taken)
        return await self.elsewhere(collection)

    async def may_decide(self, collection: str) -> bool:
        """Whether no other server seems to have the turn to decide."""
        return not (await self.elsewhere(collection)).deciding

    async def cancel(self, collection: str, run: str) -> ClusteringRun:
        """Asks the server that carries out a run to cancel it, and waits until it has ended."""
        elsewhere = await self.elsewhere(collection)
        if elsewhere.run == run:
            await self._shared.ask_to_cancel(collection, elsewhere.epoch, run)
        async for current in self.watch(collection, run):
            ended = current
        return ended

    async def watch(self, collection: str, run: str) -> AsyncIterator[ClusteringRun]:
        """A run on another server, as it is at the moment and whenever it has changed, until it has ended there.

        The last one is under way only if that server fell silent.
        """
        told: ClusteringRun | None = None
        while True:
            elsewhere = await self.elsewhere(collection)
            current = await self._store.get_run(collection, run)
            under_way = not current.state.ended and elsewhere.carries_out(current)
            if under_way:
                current = elsewhere.as_it_is(current)
            if current != told:
                told = current
                yield current
            if not under_way:
                return
            await asyncio.sleep(_LOOK_EVERY_S)

    def _of_another(self, collection: str, purpose: Purpose, lease: Lease) -> Lease:
        mine = lease.holder == self._leases.server
        return Lease() if mine or self._leases.is_stale(collection, purpose, lease) else lease
