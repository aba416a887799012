"""Readers share the gate, an activation has it alone, and nobody who gives up blocks the others."""

from __future__ import annotations

import asyncio

import pytest

from shoal_server.application.activation_gate import ActivationGate


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Holder:
    """Holds the gate until told to leave."""

    def __init__(self, gate: ActivationGate, exclusive: bool) -> None:
        self.inside = False
        self._leave = asyncio.Event()
        self.task = asyncio.create_task(self._hold(gate, exclusive))

    async def _hold(self, gate: ActivationGate, exclusive: bool) -> None:
        async with gate.activating() if exclusive else gate.reading():
            self.inside = True
            await self._leave.wait()
        self.inside = False

    async def leave(self) -> None:
        self._leave.set()
        await self.task
        await settle()


async def test_readers_share() -> None:
    gate = ActivationGate()
    first, second = Holder(gate, False), Holder(gate, False)
    await settle()
    assert first.inside
    assert second.inside
    await first.leave()
    await second.leave()


async def test_activation_waits_for_readers_and_goes_before_later_ones() -> None:
    gate = ActivationGate()
    reader = Holder(gate, False)
    await settle()
    activation = Holder(gate, True)
    await settle()
    later = Holder(gate, False)
    await settle()
    assert (reader.inside, activation.inside, later.inside) == (True, False, False)
    await reader.leave()
    assert (activation.inside, later.inside) == (True, False)
    await activation.leave()
    assert later.inside
    await later.leave()


@pytest.mark.parametrize("exclusive", [False, True])
async def test_whoever_gives_up_waiting_lets_the_next_one_in(exclusive: bool) -> None:
    gate = ActivationGate()
    holder = Holder(gate, True)
    await settle()
    impatient, patient = Holder(gate, exclusive), Holder(gate, True)
    await settle()
    impatient.task.cancel()
    await settle()
    await holder.leave()
    assert patient.inside
    await patient.leave()


async def test_cancelled_activation_frees_readers_behind_it() -> None:
    gate = ActivationGate()
    reader = Holder(gate, False)
    await settle()
    activation, behind = Holder(gate, True), Holder(gate, False)
    await settle()
    assert not behind.inside
    activation.task.cancel()
    await settle()
    assert behind.inside
    await reader.leave()
    await behind.leave()


async def test_cancelled_in_the_moment_it_was_let_in() -> None:
    gate = ActivationGate()
    holder = Holder(gate, True)
    await settle()
    unlucky, patient = Holder(gate, True), Holder(gate, True)
    await settle()
    # Let the holder go and cancel the next before it has run again.
    holder._leave.set()
    await asyncio.sleep(0)
    unlucky.task.cancel()
    await settle()
    assert not unlucky.inside
    assert patient.inside
    await patient.leave()
