"""Readers share the gate, an activation has it alone, and nobody who gives up blocks the others."""

from __future__ import annotations

import asyncio

import pytest

from shoal_server.application.activation_gate import ActivationGate
from shoal_server.domain.errors import WriteBackHalted


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


class Waiting:
    """Waits to keep the readers out."""

    def __init__(self, gate: ActivationGate) -> None:
        self.task = asyncio.create_task(gate.hold())


async def test_who_activates_takes_the_place_of_the_one_who_holds() -> None:
    gate = ActivationGate()
    await gate.hold()
    reader = Holder(gate, False)
    await settle()
    activation = Holder(gate, True)
    await settle()
    assert (activation.inside, reader.inside, gate.held) == (True, False, False)
    await activation.leave()
    assert reader.inside
    await reader.leave()


async def test_who_waits_to_activate_takes_the_place_of_the_one_who_holds_at_last() -> None:
    gate = ActivationGate()
    reader = Holder(gate, False)
    await settle()
    holding = Waiting(gate)
    await settle()
    late, activation = Holder(gate, False), Holder(gate, True)
    await settle()
    await reader.leave()
    assert holding.task.done()
    assert (activation.inside, late.inside, gate.held) == (True, False, False)
    await activation.leave()
    assert late.inside
    await late.leave()


async def test_two_who_hold_are_as_one() -> None:
    gate = ActivationGate()
    reader = Holder(gate, False)
    await settle()
    first, second = Waiting(gate), Waiting(gate)
    await settle()
    await reader.leave()
    assert first.task.done()
    assert second.task.done()
    assert gate.held
    gate.let_go()
    reader = Holder(gate, False)
    await settle()
    assert reader.inside
    await reader.leave()


async def test_an_activation_that_leaves_the_gate_closed_hands_it_to_the_next_one() -> None:
    gate = ActivationGate()
    async with gate.activating():
        reader, following = Holder(gate, False), Holder(gate, True)
        await settle()
        gate.stay_closed()
    await settle()
    assert (following.inside, reader.inside) == (True, False)
    await following.leave()
    assert reader.inside
    await reader.leave()


async def test_an_activation_that_leaves_the_gate_closed_keeps_readers_out_until_it_is_let_go() -> None:
    gate = ActivationGate()
    async with gate.activating():
        reader = Holder(gate, False)
        await settle()
        gate.stay_closed()
    await settle()
    assert (reader.inside, gate.held) == (False, True)
    gate.let_go()
    gate.let_go()
    await settle()
    assert reader.inside
    await reader.leave()


async def test_cancelled_in_the_moment_it_took_the_place_of_the_one_who_holds() -> None:
    gate = ActivationGate()
    async with gate.activating():
        unlucky, reader = Holder(gate, True), Holder(gate, False)
        await settle()
        gate.stay_closed()
    unlucky.task.cancel()
    await settle()
    assert (unlucky.inside, reader.inside, gate.held) == (False, False, True)
    gate.let_go()
    await settle()
    assert reader.inside
    await reader.leave()


async def test_nobody_waits_for_an_activation_that_is_halted() -> None:
    gate = ActivationGate()
    writing = Holder(gate, exclusive=True)
    await settle()
    assert writing.inside
    gate.halted = ("photos", "there is no space left")
    with pytest.raises(WriteBackHalted, match=r"'photos'.*no space left.*by itself"):
        async with gate.reading():
            raise AssertionError("not reached")
    gate.halted = None
    waiting = Holder(gate, exclusive=False)
    await settle()
    assert not waiting.inside
    await writing.leave()
    await settle()
    assert waiting.inside
    await waiting.leave()
